// SPDX-License-Identifier: GPL-2.0-only
/* evidence: a table of sub-verbs. */
#include <stdio.h>
#include <string.h>

#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"

static const struct {
	const char *name, *summary;
	int (*run)(struct wv_cli *cli, int argc, char **argv);
} subverbs[] = {
	{"verify", "whether the log, a proof or a pack is what was signed; names what is not",
	 wv_evidence_verify},
	{"export", "an evidence pack: records with proofs, the run's artifacts, signed",
	 wv_evidence_export},
	{"prove", "a proof that a record is in the log, to be checked anywhere", wv_evidence_prove},
	{"consistency", "a proof that an older state of the log is a prefix of a newer one",
	 wv_evidence_consistency},
	{"append", "lines of standard input become records of the log", wv_evidence_append},
	{"tail", "the newest records, and those that come", wv_evidence_tail},
	{"hold", "place, release and list legal holds", wv_evidence_hold},
	{"retain", "compress closed segments, retire those that are old enough",
	 wv_evidence_retain},
	{"checkpoint", "sign the log's state now, and show it to witnesses",
	 wv_evidence_checkpoint},
	{"witness", "remember other machines' logs, and cosign what continues them",
	 wv_evidence_witness},
	{"anchor", "have the TPM sign the log's state", wv_evidence_anchor},
	{"export", "an evidence pack: records with proofs, the run's artifacts, signed",
	 wv_evidence_export},
	{"key", "the public key that this device signs with", wv_evidence_key},
};

static int usage(FILE *f, int code)
{
	fprintf(f, "usage: waveos-bpf evidence SUBVERB [options]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(subverbs); i++)
		fprintf(f, "  %-11s %s\n", subverbs[i].name, subverbs[i].summary);
	fprintf(f, "\nExamples:\n  waveos-bpf evidence verify\n"
		   "  waveos-bpf evidence prove 4711 -o proof.json\n"
		   "  waveos-bpf evidence verify --proof proof.json --key device.vkey\n"
		   "  waveos-bpf evidence export --run latest -o run.tar.zst\n"
		   "\nHelp of one: waveos-bpf evidence SUBVERB --help\n");
	return code;
}

int wv_cmd_evidence(struct wv_cli *cli, int argc, char **argv)
{
	char name[32];

	if (argc < 2)
		return usage(stderr, WV_EXIT_USAGE);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return usage(stdout, WV_EXIT_OK);
	for (size_t i = 0; i < ARRAY_SIZE(subverbs); i++)
		if (strcmp(argv[1], subverbs[i].name) == 0) {
			snprintf(name, sizeof(name), "evidence %s", argv[1]);
			argv[1] = name;
			/* a pack is verified by what is in it, whatever log this device has */
			if (subverbs[i].run == wv_evidence_verify &&
			    wv_evidence_names_pack(argc, argv))
				return wv_evidence_verify_pack(cli, argc - 1, argv + 1);
			return subverbs[i].run(cli, argc - 1, argv + 1);
		}
	fprintf(stderr,
		"waveos-bpf evidence: unknown '%s'; `waveos-bpf evidence --help` lists all\n",
		argv[1]);
	return WV_EXIT_USAGE;
}
