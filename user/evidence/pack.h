/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Evidence packs: one .tar.zst with a signed manifest over everything else in it, the records of a
 * range of the log with the proof that they are the log's, and the artifacts of a run, redacted.
 * docs/evidence-packs.md has the format.
 */
#ifndef WV_EVIDENCE_PACK_H
#define WV_EVIDENCE_PACK_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "user/core/io.h"
#include "user/core/paths.h"
#include "user/core/sha256.h"
#include "user/evidence/redact.h"
#include "user/evidence/sign.h"

#define WV_PACK_SCHEMA_VERSION 1
#define WV_PACK_RECORDS_MAX (1U << 20)
#define WV_PACK_FILE_MAX (256U << 20) /* bytes of one file */
#define WV_PACK_TOTAL_MAX (1ULL << 30)
#define WV_PACK_FILES_MAX 256
#define WV_PACK_NAME_SIZE 96
#define WV_PACK_ERROR_SIZE 256

#define WV_PACK_MANIFEST "manifest.json"
#define WV_PACK_MINISIG "manifest.json.minisig"
#define WV_PACK_RAW_SIG "manifest.json.sig"
#define WV_PACK_PEM "key.pem"
#define WV_PACK_MINISIGN_KEY "key.pub"

struct wv_config;
struct wv_tlog;

struct wv_pack_options {
	const struct wv_io *io;
	const struct wv_paths *paths;
	const struct wv_config *config; /* for redact.*; NULL: defaults */
	const struct wv_secret_key *key;
	const char *key_name;
	uint64_t first_seq, last_seq; /* of the log; a checkpoint must cover the last one */
	const char *run;	      /* folder of the run; "" none */
	const char *reason;	      /* manual, incident, cadence */
	enum wv_redact_profile profile;
	/* MAY: the one-page summary of the (redacted) run in a folder, to be freed */
	int (*summary)(const char *run_dir, char **ret_html);
};

struct wv_pack_result {
	char sha256[WV_SHA256_HEX]; /* of the pack */
	uint64_t bytes;
	uint64_t records, redacted; /* records in it, and how many of them are not as in the log */
	char error[WV_PACK_ERROR_SIZE]; /* why it failed, for people */
};

/* Writes the pack to output, atomically. 0 or -errno with ret->error filled. */
int wv_pack_make(const struct wv_pack_options *o, const char *output, struct wv_pack_result *ret);

/* What to look for in the log. Exactly one of run_id, incident, at_mono_ns, since and from is
 * given. */
struct wv_pack_query {
	const char *run_id;
	uint64_t from, to;   /* seq; to 0: the end */
	uint64_t incident;   /* seq of a record, or 0 ... */
	uint64_t at_mono_ns; /* ... a time in the boot at_boot_id ... */
	const char *at_boot_id;
	uint64_t before_ns, after_ns; /* ... and how much around it */
	uint64_t since_wall_ns;
};
struct wv_pack_range {
	uint64_t first_seq, last_seq;
	char run_id[64]; /* of the last record that has one */
};
/* -ENOENT: no record is so; -ENODATA: they were retired. */
int wv_pack_find(const struct wv_io *io, const char *state, const struct wv_pack_query *q,
		 struct wv_pack_range *ret);

/* Verification ----------------------------------------------------------------------------------
 */

struct wv_pack_check {
	const struct wv_public_key
		*trusted; /* NULL: the pack's own key, which proves nothing of who */
	/* called with each thing that is wrong */
	void (*finding)(void *ctx, const char *what, const char *where, const char *text);
	void *ctx;
};
struct wv_pack_verdict {
	unsigned findings;
	bool trusted;		      /* signed by check.trusted */
	struct json_object *manifest; /* owned by the caller; NULL if it was no JSON */
	struct wv_public_key key;     /* that signed */
	uint64_t records, redacted, files, bytes;
};
/* Reads the whole pack. 0 (look at findings), or -errno if it cannot be read at all. */
int wv_pack_verify(int fd, const struct wv_pack_check *check, struct wv_pack_verdict *ret);

/* For making and verifying: eight bytes that minisign's key and signature share. */
void wv_pack_key_id(const struct wv_public_key *key, unsigned char ret[8]);
/* A name in a pack is relative, of [A-Za-z0-9._-] parts, without . and .. */
bool wv_pack_name_ok(const char *name);

#endif
