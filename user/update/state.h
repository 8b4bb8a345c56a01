/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the update agent knows, in <state>/updates/state.json: how the last look at the source went,
 * and what became of each bundle that it met. Losing it costs a download, never safety: what is
 * newest is known by trust and by what is installed.
 */
#ifndef WV_UPDATE_STATE_H
#define WV_UPDATE_STATE_H

#include <json-c/json.h>

#include "user/bundle/manifest.h"
#include "user/core/io.h"
#include "user/core/paths.h"
#include "user/update/http.h"

#define WV_UPDATE_DIR "updates" /* below the state folder */
#define WV_UPDATE_KNOWN_MAX 1024

enum wv_update_result {
	WV_UPDATE_INSTALLED,
	WV_UPDATE_OLD,	   /* not newer than what is here */
	WV_UPDATE_REFUSED, /* signatures, expiry, not for this device */
	WV_UPDATE_FAILED,  /* may be better next time */
	WV_UPDATE_RESULTS
};
extern const char *const wv_update_results[]; /* names, NULL-terminated */

struct wv_update_known {
	enum wv_bundle_kind kind;
	char name[WV_BUNDLE_NAME_SIZE];
	char id[WV_SHA256_HEX];
	uint64_t counter, at_s; /* wall clock */
	enum wv_update_result result;
	char from[32]; /* "folder", "source" */
	char why[256];
};

struct wv_update_state {
	uint64_t checked_s, next_s; /* wall clock; 0: never */
	unsigned failures;	    /* in a row */
	char error[256];	    /* of the last look, "" if it went well */
	char etag[WV_ETAG_SIZE];    /* of the index in use */
	uint64_t downloaded_bytes, resumed_bytes;
	struct wv_update_known known[WV_UPDATE_KNOWN_MAX]; /* one for each (kind, name) */
	unsigned n;
};

/* Opens <state>/updates, made if need be; a descriptor. */
int wv_update_open_dir(const struct wv_io *io, const struct wv_paths *paths, bool create);
/* What cannot be read is as if it were not there. */
int wv_update_state_load(struct wv_update_state *s, const struct wv_io *io, int dir);
int wv_update_state_save(const struct wv_update_state *s, const struct wv_io *io, int dir);
/* The same as JSON, to be put; NULL without memory. */
struct json_object *wv_update_state_json(const struct wv_update_state *s);
const struct wv_update_known *wv_update_find(const struct wv_update_state *s,
					     enum wv_bundle_kind kind, const char *name);
/* Replaces what was known of that (kind, name); the oldest makes room. */
void wv_update_note(struct wv_update_state *s, const struct wv_update_known *k);

#endif
