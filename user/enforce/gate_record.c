// SPDX-License-Identifier: GPL-2.0-only
/* What gates put into the log. */
#include <arpa/inet.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/domain/domain.h"
#include "user/enforce/gate.h"
#include "user/enforce/gate_modules.h"
#include "user/enforce/gate_object.h"
#include "user/enforce/gate_selftest.h"

static const char *const severity_names[] = {
	[WV_INFO] = "info",
	[WV_WARNING] = "warning",
	[WV_CRITICAL] = "critical",
};

static void add(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static const struct wv_gate *gate_by_name(const struct wv_policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_gates; i++)
		if (strcmp(p->gates[i].name, name) == 0)
			return &p->gates[i];
	return NULL;
}

static const struct wv_priority *priority_by_name(const struct wv_policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_priorities; i++)
		if (strcmp(p->priorities[i].name, name) == 0)
			return &p->priorities[i];
	return NULL;
}

static void add_severity(struct json_object *o, const struct wv_policy *p, uint32_t kind,
			 const char *name)
{
	const struct wv_priority *c = kind == WV_GATED_PRIORITY ? priority_by_name(p, name) : NULL;
	const struct wv_gate *g = kind != WV_GATED_PRIORITY ? gate_by_name(p, name) : NULL;

	if (g || c)
		add(o, "severity", severity_names[g ? g->severity : c->severity]);
	if (g && g->route[0])
		add(o, "route", g->route);
}

void wv_gate_record_event(struct wv_gates *g, const struct wv_event *event)
{
	const struct wv_event_gate *ev = (const void *)event;
	struct wv_agent *agent = g->agent;
	int slot = wv_cgroups_slot(agent->cgroups, event->key);
	struct wv_row *row = slot > 0 ? wv_sample_row(&agent->sample, (uint32_t)slot) : NULL;
	struct wv_gate_stored *list;
	struct wv_gate_list counters;
	struct json_object *o;
	char object[WV_GATE_OBJECT_MAX];

	if (event->size < sizeof(*ev) || ev->kind >= WV_GATED_N || g->error)
		return;
	list = wv_gate_store_find(&g->store, ev->list);
	wv_gate_object_text(ev, object, sizeof(object));
	o = json_object_new_object();
	add(o, "gate", list ? list->name : "");
	add(o, "kind", wv_gated_names[ev->kind]);
	add(o, "cgroup", row ? row->path : "");
	json_object_object_add(o, "cgroup_key", json_object_new_uint64(event->key));
	json_object_object_add(o, "event_mono_ns", json_object_new_uint64(event->mono_ns));
	add(o, "object", object);
	json_object_object_add(
		o, "comm",
		json_object_new_string_len(event->comm,
					   (int)strnlen(event->comm, sizeof(event->comm))));
	json_object_object_add(o, "pid", json_object_new_int64(event->pid));
	json_object_object_add(o, "tid", json_object_new_int64(event->tid));
	if (list)
		add_severity(o, agent->policy, ev->kind, list->name);
	if (wv_gate_store_counters(&g->store, ev->list, &counters) == 0) {
		json_object_object_add(o, "denied", json_object_new_uint64(counters.denied));
		json_object_object_add(o, "audited", json_object_new_uint64(counters.audited));
		json_object_object_add(o, "suppressed",
				       json_object_new_uint64(counters.suppressed));
	}
	(void)agent->record(agent, ev->enforced ? "gate-deny" : "gate-audit", o);
}

void wv_gate_record_selftest(struct wv_gates *g, uint32_t kind)
{
	static const char *const results[] = {
		[WV_PROOF_NONE] = "not tried",
		[WV_PROOF_DENIED] = "denied",
		[WV_PROOF_PASSED] = "let pass",
		[WV_PROOF_UNABLE] = "cannot be tried",
	};
	struct json_object *o = json_object_new_object();
	const char *why;
	enum wv_gate_proof proof = wv_gate_proof(kind, &why);
	char by[64], reason[160];

	(void)wv_gate_kind_check(g->agent->host, g->agent->bpf, kind, by, sizeof(by), reason,
				 sizeof(reason));
	add(o, "kind", wv_gated_names[kind]);
	add(o, "result", results[proof]);
	add(o, "by", by);
	if (*why)
		add(o, "reason", why);
	if (proof == WV_PROOF_PASSED)
		(void)wv_log_full(LOG_ERR, 0, "gate", "self-test of %s: %s", wv_gated_names[kind],
				  why);
	(void)g->agent->record(g->agent, "gate-selftest", o);
}

static void record_one(struct wv_gates *g, const struct wv_row *row, uint32_t kind,
		       const char *name, bool audit, int error, const char *why)
{
	struct json_object *o = json_object_new_object();
	char by[64], reason[160];

	if (error) {
		by[0] = '\0';
		snprintf(reason, sizeof(reason), "%s", why);
	} else if (kind == WV_GATED_PRIORITY) {
		(void)wv_priority_check(g->agent->host, g->agent->bpf,
					priority_by_name(g->agent->policy, name), by, sizeof(by),
					reason, sizeof(reason));
	} else {
		error = wv_gate_kind_check(g->agent->host, g->agent->bpf, kind, by, sizeof(by),
					   reason, sizeof(reason));
	}
	add(o, "gate", name);
	add(o, "kind", wv_gated_names[kind]);
	if (row) {
		add(o, "cgroup", row->path);
		json_object_object_add(o, "cgroup_key", json_object_new_uint64(row->key));
	}
	add(o, "mode", audit ? "audit" : "enforce");
	add(o, "outcome", error ? "not enforced" : "in force");
	if (by[0])
		add(o, "by", by);
	if (reason[0])
		add(o, "reason", reason);
	(void)g->agent->record(g->agent, "gate", o);
}

void wv_gate_record_outcome(struct wv_gates *g, const struct wv_row *row, uint32_t slot,
			    uint32_t kind, int error, const char *reason)
{
	const struct wv_policy *p = g->agent->policy;
	uint32_t domain = wv_domain_of(g->agent, slot);

	for (size_t i = 0; kind != WV_GATED_PRIORITY && i < p->n_gates; i++)
		if (p->gates[i].domain_index == domain && (uint32_t)p->gates[i].kind == kind)
			record_one(g, row, kind, p->gates[i].name, !p->gates[i].enforce, error,
				   reason);
	for (size_t i = 0; kind == WV_GATED_PRIORITY && i < p->n_priorities; i++)
		if (p->priorities[i].domain_index == domain)
			record_one(g, row, kind, p->priorities[i].name, false, error, reason);
}

void wv_gate_record_list(struct wv_gates *g, const char *gate, int kind, int fail,
			 const char *reason)
{
	if (fail == WV_FAIL_CLOSED)
		(void)wv_log_full(LOG_ERR, 0, "gate", "'%s' (fail: closed) is not enforced: %s",
				  gate, reason);
	else
		(void)wv_log_full(LOG_WARNING, 0, "gate", "'%s' is not enforced: %s", gate, reason);
	record_one(g, NULL, (uint32_t)kind, gate, false, -EOPNOTSUPP, reason);
}
