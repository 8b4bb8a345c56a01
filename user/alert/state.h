/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What outlives the worker, in <state>/alert: state.json (the book, and what sinks were told of),
 * silences.json (written by `alert silence`), dead-<sink>.jsonl. All by wv_io.
 */
#ifndef WV_ALERT_STATE_H
#define WV_ALERT_STATE_H

#include <json-c/json.h>

#include "user/alert/alert.h"
#include "user/core/io.h"

#define WV_ALERT_FOLDER "alert" /* in <state> */
#define WV_ALERT_STATE "state.json"
#define WV_ALERT_SILENCES "silences.json"

/* The folder, made if need be: a descriptor or -errno. */
int wv_alert_open_dir(const struct wv_io *io, const char *state);
/* Replaces state.json. 0 or -errno. */
int wv_alert_save(const struct wv_alerts *a, const struct wv_io *io, int dirfd);
/* Into a book that was just made; sinks and routes are those of its configuration now. 1; 0: there
 * is none; -EBADMSG: what is there is not one of ours; the book is empty then. */
int wv_alert_load(struct wv_alerts *a, const struct wv_io *io, int dirfd);

/* Those that are over are left out. 0 also if there are none. */
int wv_alert_silences_load(struct wv_alerts *a, const struct wv_io *io, int dirfd,
			   uint64_t wall_ns);
int wv_alert_silences_save(const struct wv_alerts *a, const struct wv_io *io, int dirfd);

/* Appends a line to a sink's dead letters; before they are over `max` bytes, the file becomes
 * dead-<sink>.1.jsonl, and the one of that name goes. */
int wv_alert_bury(const struct wv_io *io, int dirfd, const char *sink, uint64_t max,
		  const char *line, size_t len);

#endif
