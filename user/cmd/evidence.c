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
	{"export", "write an evidence pack: records with proofs, the run's artifacts, signed",
	 wv_evidence_export},
	{"verify", "whether an evidence pack is what was signed, and what is wrong with it",
	 wv_evidence_verify_pack},
};

static int usage(FILE *f, int code)
{
	fprintf(f, "usage: waveos-bpf evidence SUBVERB [options]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(subverbs); i++)
		fprintf(f, "  %-8s %s\n", subverbs[i].name, subverbs[i].summary);
	fprintf(f, "\nExamples:\n  waveos-bpf evidence export --run latest -o run.tar.zst\n"
		   "  waveos-bpf evidence verify run.tar.zst --key device.pem\n"
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
			return subverbs[i].run(cli, argc - 1, argv + 1);
		}
	fprintf(stderr,
		"waveos-bpf evidence: unknown '%s'; `waveos-bpf evidence --help` lists all\n",
		argv[1]);
	return WV_EXIT_USAGE;
}
