/* SPDX-License-Identifier: GPL-2.0-only */
/* What the subverbs of bundle share. */
#ifndef WV_CMD_BUNDLE_CMD_H
#define WV_CMD_BUNDLE_CMD_H

#include <json-c/json.h>

#include "user/bundle/archive.h"
#include "user/cmd/cmd.h"

#define WV_BUNDLE_VERB(name, summary)                                                              \
	int wv_bundle_##name##_cmd(struct wv_cli *cli, int argc, char **argv);
#include "user/cmd/bundle.def"
#undef WV_BUNDLE_VERB

/* Says "waveos-bpf VERB: what: why" and gives the exit code for the error; why "": its errno. */
int wv_bundle_say(const char *verb, const char *what, int error, const char *why);

/* A whole file, to be freed; at most max bytes. */
int wv_bundle_load_file(const char *path, size_t max, char **ret, size_t *ret_len);
int wv_bundle_load_secret(const char *path, struct wv_secret_key *ret);
int wv_bundle_load_public(const char *path, struct wv_public_key *ret);
/* Replaces a file atomically and durably. */
int wv_bundle_save_file(const char *path, const void *bytes, size_t len, mode_t mode);
/* Splits a path into its folder (opened) and its name in it. */
int wv_bundle_open_folder(const char *path, int *ret_dir, const char **ret_name);

/* Now, or SOURCE_DATE_EPOCH (reproducible-builds.org), so that a build can be repeated. */
uint64_t wv_bundle_time_s(void);
/* "2026-01-31 12:00 UTC" */
void wv_bundle_print_time(FILE *f, uint64_t unix_s);
void wv_bundle_print_json(struct json_object *o);

/* Keys given with --sign or --key. */
struct wv_bundle_keys {
	const char *paths[WV_DSSE_SIGNATURES_MAX];
	unsigned n;
};
/* Signs with each; says what goes wrong and gives an exit code. */
int wv_bundle_sign_with(const char *verb, const struct wv_bundle_keys *keys, struct wv_dsse *d,
			const char *type, const void *payload, size_t len);
/* A signed or unsigned envelope around a payload, written to a file. Exit code. */
int wv_bundle_save_envelope(const char *verb, const char *path, const char *type,
			    const char *payload, size_t len, const struct wv_bundle_keys *keys);

#endif
