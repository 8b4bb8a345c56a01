/* SPDX-License-Identifier: GPL-2.0-only */
/* A pack while it is verified. */
#ifndef WV_EVIDENCE_PACK_CHECK_H
#define WV_EVIDENCE_PACK_CHECK_H

#include <stdarg.h>

#include "user/evidence/pack.h"

struct wv_pack_entry {
	char name[WV_PACK_NAME_SIZE];
	char sha256[WV_SHA256_HEX];
	uint64_t bytes;
	char *data; /* NUL after it; NULL where it is not kept */
	bool known; /* listed in the manifest, or what signs it */
};

struct wv_pack_reading {
	const struct wv_pack_check *check;
	struct wv_pack_verdict *verdict;
	struct wv_pack_entry entries[WV_PACK_FILES_MAX];
	unsigned n;
	uint64_t total;
	struct json_object *manifest; /* NULL if it is none */
	bool has_key;		      /* verdict->key is one */
};

void wv_pack_finding(struct wv_pack_reading *p, const char *what, const char *where,
		     const char *format, ...) __attribute__((format(printf, 4, 5)));
struct wv_pack_entry *wv_pack_entry(struct wv_pack_reading *p, const char *name);
/* A whole number from 0; false if there is none of that name. */
bool wv_pack_u64(struct json_object *o, const char *key, uint64_t *ret);
/* Everything after reading: fills the verdict. */
void wv_pack_judge(struct wv_pack_reading *p);
/* pack_check_log.c: checkpoint, proof, leaves and records */
void wv_pack_check_log(struct wv_pack_reading *p);

#endif
