/* SPDX-License-Identifier: GPL-2.0-only */
/* A record with the fields that all have. */
#ifndef WV_EVIDENCE_EVENT_H
#define WV_EVIDENCE_EVENT_H

#include <json-c/json.h>

#include "user/core/paths.h"
#include "user/evidence/tlog.h"

/*
 * Appends {"boot_id","mono_ns","run_id","schema_version","seq","type","wall_ns", ...fields} in
 * canonical form. run_id is "" outside of a run. durable: committed before it returns (the intent
 * of an action always is). Takes the reference of fields, also on failure. -EINVAL: a field has the
 * name of a common one.
 */
int wv_event(struct wv_tlog *l, const struct wv_io *io, const char *run_id, const char *type,
	     struct json_object *fields, bool durable, uint64_t *ret_seq);

/* For who appends by other ways: the fields that all records have but seq, into the object; and a
 * wv_tlog_compose_fn whose context is that object (it gets `seq`). */
int wv_event_common(struct json_object *o, const struct wv_io *io, const char *run_id,
		    const char *type);
ssize_t wv_event_compose(void *ctx, uint64_t seq, char *buf, size_t room);

/* How the log is kept by these settings; the key and its name are the caller's to add. */
struct wv_config;
void wv_tlog_options_of(const struct wv_config *c, struct wv_tlog_options *ret);
/* Opens the device's log as verbs do: with the device's key and the settings of the configuration
 * file (defaults where there is none that can be read). One of them a process. */
int wv_tlog_open_device(struct wv_tlog **ret, const struct wv_io *io, const struct wv_paths *paths);
/* One durable record, of a run or (run_id "") of none: opens the device's log, appends, closes.
 * Takes the reference of fields, also on failure. 0 or -errno. */
int wv_event_device(const struct wv_io *io, const struct wv_paths *paths, const char *run_id,
		    const char *type, struct json_object *fields);

#endif
