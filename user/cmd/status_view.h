/* SPDX-License-Identifier: GPL-2.0-only */
/* What verbs that look at a running agent share: its lock, its snapshot, and words for figures. */
#ifndef WV_CMD_STATUS_VIEW_H
#define WV_CMD_STATUS_VIEW_H

#include <json-c/json.h>

#include "user/core/paths.h"
#include "user/flow/snapshot.h"

struct wv_view {
	struct wv_snapshot_map map;
	uint64_t inode; /* of the file that is mapped: a new agent may publish another one */
	struct wv_sample sample;
	struct wv_snapshot head;
};

/* Whether an agent holds <runtime>/lock; *ret_pid is what the lock file names (0 if unreadable). */
bool wv_view_agent_runs(const struct wv_paths *paths, int *ret_pid);
/*
 * Reads the published sample into v->sample and v->head, (re)opening the file where needed. Start
 * with v zeroed. Errors as of wv_snapshot_open() and wv_snapshot_read(); v stays usable.
 */
int wv_view_read(struct wv_view *v, const struct wv_paths *paths);
/* Waits until a sample is at least after_ns newer than the last one. 0, -ENOENT (no agent runs any
 * more), -ETIMEDOUT (it publishes none), or as wv_view_read(). */
int wv_view_next(struct wv_view *v, const struct wv_paths *paths, uint64_t after_ns);
/* Says for a verb why there is nothing to show; an exit code. */
int wv_view_explain(const char *verb, const struct wv_paths *paths, int error);
void wv_view_done(struct wv_view *v);

uint64_t wv_view_mono_ns(void);
uint64_t wv_view_wall_ns(void);

/* Short words for people: "1.5 GiB", "3 min 12 s", "12.3 ms". Each returns buf. */
#define WV_WORD 32
const char *wv_word_bytes(char buf[WV_WORD], double bytes);
const char *wv_word_span(char buf[WV_WORD], uint64_t ns);
const char *wv_word_count(char buf[WV_WORD], double n);

extern const char *const wv_event_names[WV_EV_N];
extern const char *const wv_place_ids[WV_PLACE_N]; /* upper case, as in wire.h */
extern const char *const wv_place_texts[WV_PLACE_N];

/* o[key] = v; values above INT64_MAX are kept exactly. */
void wv_json_u64(struct json_object *o, const char *key, uint64_t v);
void wv_json_str(struct json_object *o, const char *key, const char *v);
/* One line of JSON. */
void wv_json_print(struct json_object *o);

#endif
