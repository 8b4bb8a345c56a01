// SPDX-License-Identifier: GPL-2.0-only
/* What enforcement tells beside decisions and outcomes. */
#include <json-c/json.h>
#include <string.h>

#include "user/core/log.h"
#include "user/enforce/enforcer.h"
#include "waveos/limit.h"

void wv_enforcer_trip(struct wv_agent *agent, const struct wv_event *event)
{
	static const struct {
		const char *text, *unit;
	} limits[WV_LIMIT_N] = {
#define X(id, text, unit) [WV_LIMIT_##id] = {text, unit},
		WV_LIMITS(X)
#undef X
	};
	const struct wv_event_limit *ev = (const void *)event;
	int slot = wv_cgroups_slot(agent->cgroups, event->key);
	struct wv_row *row = slot > 0 ? wv_sample_row(&agent->sample, (uint32_t)slot) : NULL;
	struct json_object *o;

	if (event->size < sizeof(*ev) || ev->limit >= WV_LIMIT_N)
		return;
	o = json_object_new_object();
	json_object_object_add(o, "cgroup", json_object_new_string(row ? row->path : ""));
	json_object_object_add(o, "cgroup_key", json_object_new_uint64(event->key));
	json_object_object_add(o, "event_mono_ns", json_object_new_uint64(event->mono_ns));
	json_object_object_add(o, "limit", json_object_new_string(limits[ev->limit].text));
	json_object_object_add(o, "unit", json_object_new_string(limits[ev->limit].unit));
	json_object_object_add(o, "rate", json_object_new_uint64(ev->per_second));
	json_object_object_add(o, "refused", json_object_new_uint64(ev->refused));
	(void)agent->record(agent, "limit-trip", o);
}

/* A pattern that is misspelt would otherwise go unnoticed; one that is early is normal. */
void wv_enforcer_unmatched(const struct wv_enforcer *e)
{
	const struct wv_policy *c = e->agent->policy;

	for (uint32_t b = 0; b < c->n_budgets; b++) {
		bool any = false;

		for (uint32_t slot = 1; slot < e->agent->sample.used_rows && !any; slot++)
			any = wv_enforcer_matches(e, slot, b);
		if (!any)
			(void)wv_log_warn(
				0, "budget",
				"%s:%u: budget '%s': no cgroup matches '%s' yet; it applies when "
				"one appears",
				wv_budget_file(e, b), c->budgets[b].line, c->budgets[b].name,
				*c->budgets[b].domain ? c->budgets[b].domain
						      : c->budgets[b].cgroup);
	}
}
