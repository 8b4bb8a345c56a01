// SPDX-License-Identifier: GPL-2.0-only
/* At the start of a run: what is not as it was in the run before goes into the log. */
#include "user/agent/drift.h"

#include <fcntl.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/artifacts.h"

#define META_MAX (1U << 20)

struct recording {
	struct wv_agent *agent;
	uint32_t *counts;
	const char *previous; /* run_id */
};

static void record(void *ctx, const struct wv_drift *d)
{
	struct recording *x = ctx;
	struct json_object *o = json_object_new_object();

	x->counts[d->kind]++;
	json_object_object_add(o, "kind", json_object_new_string(wv_drift_names[d->kind]));
	json_object_object_add(o, "name", json_object_new_string(d->name));
	json_object_object_add(o, "old", json_object_get(d->before));
	json_object_object_add(o, "new", json_object_get(d->after));
	json_object_object_add(o, "origin", json_object_new_string(d->origin));
	json_object_object_add(o, "previous_run", json_object_new_string(x->previous));
	(void)x->agent->record(x->agent, "config-drift", o);
}

void wv_drift_record(struct wv_agent *agent, const char *run_dir, uint32_t counts[WV_DRIFT_N])
{
	struct json_object *before = NULL, *after, *id = NULL;
	struct recording x = {.agent = agent, .counts = counts};
	_cleanup_free_ char *text = NULL;
	char path[2 * WV_PATH_SIZE];
	uint32_t all = 0;

	memset(counts, 0, WV_DRIFT_N * sizeof(*counts));
	snprintf(path, sizeof(path), "%s/runs", agent->paths->state);
	if (wv_drift_previous(agent->io, path, agent->run_id, &before) < 0)
		return; /* the first run */
	snprintf(path, sizeof(path), "%s/" WV_META_NAME, run_dir);
	if (wv_io_read_file(agent->io, AT_FDCWD, path, META_MAX, &text, NULL) == 0) {
		after = json_tokener_parse(text);
		(void)json_object_object_get_ex(before, "run_id", &id);
		x.previous = id ? json_object_get_string(id) : "";
		if (after)
			wv_drift_compare(before, after, record, &x);
		json_object_put(after);
	}
	json_object_put(before);
	for (int i = 0; i < WV_DRIFT_N; i++)
		all += counts[i];
	if (all)
		wv_log_info("core",
			    "%u settings or facts are not as in the run before (config-drift)",
			    all);
}
