// SPDX-License-Identifier: GPL-2.0-only
/* Records of module `budget`: what was decided and why, and that a limit in the kernel refused. */
#include <json-c/json.h>
#include <string.h>

#include "waveos/limit.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/enforce/enforcer.h"

static const char *const verdict_names[] = {"none", "apply", "release"};

/* The configuration's budgets come first in the policy's list. */
const char *wv_budget_file(const struct wv_enforcer *e, uint32_t budget)
{
	return budget < e->agent->config->n_budgets ? e->agent->config->source
						    : e->agent->policy->source;
}

/* The record of a decision: everything that led to it, before anything is done. */
void wv_record_decision(struct wv_enforcer *e, const struct wv_decision *d)
{
	const struct wv_budget *b = &e->agent->policy->budgets[d->budget];
	struct json_object *o = json_object_new_object(), *shares = NULL;
	struct wv_row *row = wv_sample_row(&e->agent->sample, d->slot);
	const char *held_back = wv_enforcer_held_back(e, d->budget);
	int r;

	json_object_object_add(o, "budget", json_object_new_string(b->name));
	json_object_object_add(o, "rule",
			       json_object_new_string(*b->domain ? b->domain : b->cgroup));
	json_object_object_add(o, "rule_file",
			       json_object_new_string(wv_budget_file(e, d->budget)));
	json_object_object_add(o, "rule_line", json_object_new_int64(b->line));
	json_object_object_add(o, "cgroup", json_object_new_string(row ? row->path : ""));
	json_object_object_add(o, "cgroup_key", json_object_new_uint64(d->key));
	json_object_object_add(o, "slot", json_object_new_int64(d->slot));
	json_object_object_add(o, "verdict", json_object_new_string(verdict_names[d->verdict]));
	json_object_object_add(o, "dry_run", json_object_new_boolean(d->dry_run));
	if (d->verdict == WV_VERDICT_APPLY && held_back)
		json_object_object_add(o, "held_back", json_object_new_string(held_back));
	json_object_object_add(o, "sample_mono_ns", json_object_new_uint64(d->mono_ns));
	json_object_object_add(o, "since_mono_ns", json_object_new_uint64(d->since_ns));
	json_object_object_add(o, "condition",
			       json_object_new_string(d->signal < 0 ? "always" : "signal"));
	if (d->signal >= 0) {
		bool apply = d->verdict == WV_VERDICT_APPLY;

		json_object_object_add(o, "signal",
				       json_object_new_string(wv_signals[d->signal].name));
		json_object_object_add(o, "rate", json_object_new_boolean(d->rate));
		json_object_object_add(o, "value", json_object_new_double(d->value));
		json_object_object_add(o, "threshold", json_object_new_double(d->threshold));
		json_object_object_add(o, "comparison", json_object_new_string(apply ? ">" : "<"));
		json_object_object_add(
			o, "for_ns",
			json_object_new_uint64(apply ? b->when.for_ns : b->when.clear_for_ns));
	}
	wv_shares_tell(e, d->slot, d->budget, &shares);
	if (shares)
		json_object_object_add(o, "shares", shares);
	r = e->agent->record(e->agent, "decision", o);
	if (r < 0) /* a full disk must not keep a limit from being applied: the journal is what
		      restores it */
		(void)wv_log_full(LOG_DEBUG, r, "budget", "record of a decision");
}
