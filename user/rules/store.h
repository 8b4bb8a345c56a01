/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * <state>/rules.json: breakers that are open or on trial, so that a restarted core, or a new agent
 * of the same boot, goes on where the last one was. Rules are named, not numbered: the policy may
 * have changed.
 */
#ifndef WV_RULES_STORE_H
#define WV_RULES_STORE_H

#include <json-c/json.h>

#include "user/core/io.h"
#include "user/policy/engine.h"

#define WV_RULES_FILE "rules.json"

/* The engine's states as JSON: {"boot", "states": [...]}. To be released. */
struct json_object *wv_rules_states_json(const struct wv_engine *e, const struct wv_policy *p,
					 const char *boot_id);
/*
 * Puts states into a new engine. find gives the slot of a cgroup's key, negative if it is gone.
 * What fits nothing is left out. Returns how many were taken.
 */
size_t wv_rules_states_put(struct wv_engine *e, const struct wv_policy *p, struct json_object *o,
			   const char *boot_id, int (*find)(void *ctx, uint64_t key), void *ctx);
int wv_rules_save(const struct wv_io *io, const char *state, struct json_object *o);
/* NULL: there is none, or it cannot be read. */
struct json_object *wv_rules_load(const struct wv_io *io, const char *state);

#endif
