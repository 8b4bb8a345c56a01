/* SPDX-License-Identifier: GPL-2.0-only */
/* What the sub-verbs of `evidence` share. One sub-verb a file: user/cmd/evidence_<name>.c. */
#ifndef WV_CMD_EVIDENCE_CMD_H
#define WV_CMD_EVIDENCE_CMD_H

#include <json-c/json.h>

#include "user/cmd/cmd.h"
#include "user/evidence/note.h"
#include "user/evidence/witness_show.h"

/* argv[0] is "evidence <name>". Each returns an exit code. */
int wv_evidence_verify(struct wv_cli *cli, int argc, char **argv);
int wv_evidence_prove(struct wv_cli *cli, int argc, char **argv);
int wv_evidence_consistency(struct wv_cli *cli, int argc, char **argv);
int wv_evidence_key(struct wv_cli *cli, int argc, char **argv);
int wv_evidence_append(struct wv_cli *cli, int argc, char **argv);
int wv_evidence_tail(struct wv_cli *cli, int argc, char **argv);
int wv_evidence_hold(struct wv_cli *cli, int argc, char **argv);
int wv_evidence_retain(struct wv_cli *cli, int argc, char **argv);
int wv_evidence_checkpoint(struct wv_cli *cli, int argc, char **argv);
int wv_evidence_witness(struct wv_cli *cli, int argc, char **argv);
int wv_evidence_anchor(struct wv_cli *cli, int argc, char **argv);

int wv_evidence_export(struct wv_cli *cli, int argc, char **argv);
/* evidence_pack.c: `evidence verify FILE.tar.zst`, and whether it is that. */
int wv_evidence_verify_pack(struct wv_cli *cli, int argc, char **argv);
bool wv_evidence_names_pack(int argc, char **argv);
/* evidence_tuning.c: `evidence verify DIR`, a tuning of `gpu tune`, and whether it is that. */
int wv_evidence_verify_tuning(struct wv_cli *cli, int argc, char **argv);
bool wv_evidence_names_tuning(int argc, char **argv);
/* report_pack.c: the one-page summary of a run's folder (wv_pack_options.summary). */
int wv_report_page(const char *run_dir, char **ret_html);

/* evidence_common.c ---------------------------------------------------------------------------- */

#define WV_EVIDENCE_KEYS_MAX 32

/* Whose signatures count: the log's key first, then those of witnesses. */
struct wv_evidence_keys {
	const char *key; /* --key, NULL: the device's */
	struct wv_note_verifier list[WV_EVIDENCE_KEYS_MAX];
	unsigned n; /* 1 and more: list[0] is filled in by wv_evidence_keys_ready() */
};
/* --witness VKEY. 0 or an exit code, having said why. */
int wv_evidence_add_witness(struct wv_evidence_keys *k, const char *verb, const char *vkey);
/* A verifier key, or the file that holds one. 0 or an exit code. */
int wv_evidence_parse_key(const char *verb, const char *text, struct wv_note_verifier *ret);
int wv_evidence_keys_ready(struct wv_evidence_keys *k, const char *verb,
			   const struct wv_paths *paths);
/* The log's folder: --log, or the device's. */
const char *wv_evidence_folder(const struct wv_paths *paths, const char *log,
			       char buf[WV_PATH_SIZE + 16]);
/* Says what is wrong and returns an exit code. */
int wv_evidence_failed(const char *verb, const char *what, int error);
/* Text to a file, or to standard output where there is none ("-" too). 0 or an exit code. */
int wv_evidence_write(const char *verb, const char *file, const char *text);
/* evidence_checkpoint.c: witnesses to ask over the network */
/* "URL VKEY". 0 or an exit code, having said why. */
int wv_evidence_add_url(struct wv_witness_urls *w, const char *verb, const char *text);

/* Prints and releases the object. */
void wv_evidence_print(struct json_object *o);

#endif
