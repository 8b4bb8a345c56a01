/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The index of a source of updates: for each (kind, name) of one channel the newest bundle. It
 * expires soon, so that who keeps an old one from us (freeze) is noticed, and it names counters and
 * hashes together, so that bundles of different times are not mixed. A DSSE envelope of type
 * WV_TYPE_INDEX, signed by role index. Pure.
 */
#ifndef WV_BUNDLE_INDEX_H
#define WV_BUNDLE_INDEX_H

#include "user/bundle/root.h"

#define WV_BUNDLE_INDEX_MAX (4U << 20) /* bytes of an envelope */
#define WV_BUNDLE_INDEX_ENTRIES_MAX 4096
#define WV_BUNDLE_INDEX_LIFE_MAX_S (90 * WV_BUNDLE_DAY_S)

struct wv_bundle_index_entry {
	enum wv_bundle_kind kind;
	char name[WV_BUNDLE_NAME_SIZE];
	uint64_t counter;
	char id[WV_SHA256_HEX];		/* of the bundle: SHA-256 of its manifest */
	char sha256[WV_SHA256_HEX];	/* of the file */
	uint64_t size;			/* of the file */
	char file[WV_BUNDLE_PATH_SIZE]; /* relative to the index */
};

struct wv_bundle_index {
	uint64_t version, created_s, expires_s;
	char channel[WV_BUNDLE_NAME_SIZE];
	struct wv_bundle_index_entry *entries; /* by kind's name, then name */
	unsigned n;
};

/* -EBADMSG, -EFBIG, -ENOMEM; release with wv_bundle_index_done(). */
int wv_bundle_index_parse(const char *payload, size_t len, struct wv_bundle_index *ret,
			  struct wv_manifest_error *error);
/* The canonical payload, to be freed; sorts the entries. */
int wv_bundle_index_text(struct wv_bundle_index *index, char **ret, size_t *ret_len);
const struct wv_bundle_index_entry *wv_bundle_index_find(const struct wv_bundle_index *index,
							 enum wv_bundle_kind kind,
							 const char *name);
void wv_bundle_index_done(struct wv_bundle_index *index);

#endif
