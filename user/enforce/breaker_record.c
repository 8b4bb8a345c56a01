// SPDX-License-Identifier: GPL-2.0-only
/* What breakers write to events.jsonl: placing them (decision, outcome), and what the kernel did.
 */
#include <json-c/json.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/enforce/breaker_set.h"

static const char *const kind_names[] = {
#define X(id, text) [WV_BREAKER_##id] = text,
	WV_BREAKER_KINDS(X)
#undef X
};
static const char *const severity_names[] = {
	[WV_INFO] = "info", [WV_WARNING] = "warning", [WV_CRITICAL] = "critical"};
const char *const wv_breaker_phase_names[WV_BREAKER_PHASE_N] = {
#define X(id, text) [WV_BREAKER_##id] = text,
	WV_BREAKER_PHASES(X)
#undef X
};
static const char *const outcome_names[] = {
	[WV_BREAKER_CHANGED] = "changed",  [WV_BREAKER_ALREADY] = "already so",
	[WV_BREAKER_FAILED] = "failed",	   [WV_BREAKER_NOT_ENFORCED] = "not enforced",
	[WV_BREAKER_REMOVED] = "restored",
};
static const char *const transition_types[WV_BREAKER_PHASE_N] = {
	[WV_BREAKER_OPEN] = "breaker-trip",
	[WV_BREAKER_HALF_OPEN] = "breaker-half-open",
	[WV_BREAKER_CLOSED] = "breaker-close",
};

static void add_text(struct json_object *o, const char *name, const char *value)
{
	if (value && value[0])
		json_object_object_add(o, name, json_object_new_string(value));
}

static void add_number(struct json_object *o, const char *name, uint64_t value)
{
	json_object_object_add(o, name, json_object_new_uint64(value));
}

static const struct wv_breaker *declared(const struct wv_agent *agent, uint32_t breaker)
{
	return agent->policy && breaker < agent->policy->n_breakers
		       ? &agent->policy->breakers[breaker]
		       : NULL;
}

static const char *path_of(struct wv_agent *agent, uint32_t slot)
{
	const struct wv_row *row = wv_sample_row(&agent->sample, slot);

	return row ? row->path : "";
}

void wv_breaker_record_decision(struct wv_agent *agent, uint32_t slot, uint64_t cgroup,
				const char *name, uint32_t breaker, bool apply, bool dry_run)
{
	const struct wv_breaker *b = declared(agent, breaker);
	struct json_object *o = json_object_new_object();
	int r;

	add_text(o, "breaker", name);
	if (b) {
		add_text(o, "domain", b->domain);
		add_text(o, "kind", kind_names[b->kind]);
		add_text(o, "rule_file", agent->policy->source);
		add_number(o, "rule_line", b->line);
	}
	json_object_object_add(o, "cgroup", json_object_new_string(path_of(agent, slot)));
	add_number(o, "cgroup_key", cgroup);
	add_number(o, "slot", slot);
	add_text(o, "verdict", apply ? "apply" : "release");
	json_object_object_add(o, "dry_run", json_object_new_boolean(dry_run));
	add_text(o, "condition", "always");
	add_number(o, "sample_mono_ns", agent->sample.mono_ns);
	r = agent->record(agent, "decision", o);
	if (r < 0) /* a full disk must not keep a breaker from being placed */
		(void)wv_log_full(LOG_DEBUG, r, "breaker", "record of a decision");
}

void wv_breaker_record_outcome(struct wv_agent *agent, uint32_t slot, uint64_t cgroup,
			       const char *name, enum wv_breaker_outcome outcome, const char *uses,
			       const char *reason)
{
	struct json_object *o = json_object_new_object(), *action = json_object_new_object(),
			   *actions = json_object_new_array(), *names = json_object_new_array();

	json_object_object_add(o, "cgroup", json_object_new_string(path_of(agent, slot)));
	add_number(o, "cgroup_key", cgroup);
	add_number(o, "slot", slot);
	json_object_array_add(names, json_object_new_string(name));
	json_object_object_add(o, "breakers", names);
	add_text(action, "item", "breaker");
	add_text(action, "outcome", outcome_names[outcome]);
	add_text(action, "mode", uses);
	add_text(action, "reason", reason);
	json_object_array_add(actions, action);
	json_object_object_add(o, "actions", actions);
	(void)agent->record(agent, "outcome", o);
}

static void add_trip(struct json_object *o, const struct wv_breaker_place *p,
		     const struct wv_breaker_machine *m, const struct wv_event *ev)
{
	add_text(o, "after", wv_breaker_phase_names[p->seen.phase]);
	add_number(o, "count", m->trip_count);
	add_number(o, "counted_ns", m->trip_ns - m->trip_since_ns);
	add_number(o, "open_ns", p->config.rate.open_ns);
	if (ev && ev->pid) {
		add_number(o, "pid", ev->pid);
		add_text(o, "comm", ev->comm);
	}
}

void wv_breaker_record_transition(struct wv_agent *agent, const struct wv_breaker_place *p,
				  const struct wv_breaker_machine *m, const struct wv_event *ev,
				  uint64_t missed)
{
	const struct wv_breaker *b = declared(agent, p->breaker);
	int slot = wv_cgroups_slot(agent->cgroups, p->config.cgroup);
	struct json_object *o = json_object_new_object();

	add_text(o, "breaker", p->config.name);
	json_object_object_add(
		o, "cgroup",
		json_object_new_string(slot > 0 ? path_of(agent, (uint32_t)slot) : ""));
	add_number(o, "cgroup_key", p->config.cgroup);
	add_text(o, "kind", kind_names[p->config.hook]);
	add_text(o, "action", p->config.kill ? "kill" : "deny");
	add_number(o, "event_mono_ns", m->changed_ns);
	add_number(o, "transition", m->transitions);
	add_number(o, "trips", m->trips);
	add_number(o, "refused", m->refused);
	if (m->phase == WV_BREAKER_OPEN)
		add_trip(o, p, m, ev);
	add_number(o, "limit", p->config.rate.limit);
	add_number(o, "burst", p->config.rate.burst);
	if (b) {
		add_number(o, "per_ns", b->per_ns);
		add_text(o, "domain", b->domain);
		add_text(o, "severity", severity_names[b->severity]);
		add_text(o, "route", b->route);
	}
	if (missed)
		add_number(o, "missed", missed);
	(void)agent->record(agent, transition_types[m->phase], o);
}
