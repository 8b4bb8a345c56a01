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

/* Opens the device's log as verbs and workers do: with the device's key, defaults of the settings.
 */
int wv_tlog_open_device(struct wv_tlog **ret, const struct wv_io *io, const struct wv_paths *paths);

#endif
