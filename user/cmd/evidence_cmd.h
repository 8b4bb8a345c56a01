/* SPDX-License-Identifier: GPL-2.0-only */
/* What the sub-verbs of `evidence` share. One sub-verb a file: user/cmd/evidence_<name>.c. */
#ifndef WV_CMD_EVIDENCE_CMD_H
#define WV_CMD_EVIDENCE_CMD_H

#include "user/cmd/cmd.h"
#include "user/core/config.h"

/* argv[0] is "evidence <name>". Each returns an exit code. */
int wv_evidence_export(struct wv_cli *cli, int argc, char **argv);
/* `evidence verify FILE.tar.zst` */
int wv_evidence_verify_pack(struct wv_cli *cli, int argc, char **argv);

/* report_pack.c: the one-page summary of a run's folder (wv_pack_options.summary). */
int wv_report_page(const char *run_dir, char **ret_html);

#endif
