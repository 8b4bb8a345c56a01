// SPDX-License-Identifier: GPL-2.0-only
/* evidence: a table of sub-verbs. */
#include <stdio.h>
#include <string.h>

#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"

/* A pack or a tuning is verified by what is in it, whatever log this device has. */
static int verify(struct wv_cli *cli, int argc, char **argv)
{
	if (wv_evidence_names_tuning(argc, argv))
		return wv_evidence_verify_tuning(cli, argc, argv);
	return wv_evidence_names_pack(argc, argv) ? wv_evidence_verify_pack(cli, argc, argv)
						  : wv_evidence_verify(cli, argc, argv);
}

static const struct wv_subverb subverbs[] = {
	{"verify", "whether the log, a proof or a pack is what was signed; names what is not",
	 verify},
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
	{"key", "the public key that this device signs with", wv_evidence_key},
	{0},
};

static const char examples[] = "  waveos-bpf evidence verify\n"
			       "  waveos-bpf evidence prove 4711 -o proof.json\n"
			       "  waveos-bpf evidence verify --proof proof.json --key device.vkey\n"
			       "  waveos-bpf evidence export --run latest -o run.tar.zst\n";

int wv_cmd_evidence(struct wv_cli *cli, int argc, char **argv)
{
	return wv_cli_dispatch("evidence", subverbs, examples, cli, argc, argv);
}
