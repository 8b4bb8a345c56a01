/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Drift between runs: what of settings, policy, programs, kernel and host is not as it was in the
 * run before, from the run_meta.json of both. Pure, but for finding the run before.
 */
#ifndef WV_EVIDENCE_DRIFT_H
#define WV_EVIDENCE_DRIFT_H

#include <json-c/json.h>

#include "user/core/io.h"
#include "user/flow/drift.h"

struct wv_drift {
	enum wv_drift_kind kind;
	char name[96];			    /* such as agent.tick, host.kernel */
	struct json_object *before, *after; /* NULL: it was, or is, not there */
	/* where the new value comes from: default, file, environment, command line, machine,
	 * installation */
	const char *origin;
};
/* Calls each() for every difference. meta: run_meta.json of the run before and of this one. */
void wv_drift_compare(struct json_object *before, struct json_object *after,
		      void (*each)(void *ctx, const struct wv_drift *d), void *ctx);

/* run_meta.json of the newest run below `runs` that is not `own`: 0 with an object to be put, or
 * -ENOENT. */
int wv_drift_previous(const struct wv_io *io, const char *runs, const char *own,
		      struct json_object **ret);

#endif
