// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module `gate`: allow and deny lists of the policy on the cgroups of this machine, and its caps on
 * priority. Lists are brought into the kernel when the policy changes, places (gate_place.c) when a
 * cgroup comes or goes.
 */
#include "user/enforce/gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/domain/domain.h"
#include "user/enforce/gate_modules.h"
#include "user/enforce/gate_objects.h"
#include "user/enforce/gate_selftest.h"
#include "user/recover/switch.h"

static struct wv_gates gates;

bool wv_gate_exec_by_kill(void)
{
	return gates.hooks.exec_by_kill;
}

static char *resolve(const char *path)
{
	return realpath(path, NULL);
}

/* What a cap says, in the place of a list: it has no entries. */
static int put_cap(struct wv_gates *g, const struct wv_priority *c)
{
	struct wv_gate_entries entries = {0};

	memcpy(entries.digest, &c->nice_min, sizeof(c->nice_min));
	memcpy(entries.digest + 8, &c->realtime_max, sizeof(c->realtime_max));
	memcpy(entries.digest + 16, &c->io_class, sizeof(c->io_class));
	return wv_gate_store_put(&g->store, c->name, WV_GATED_PRIORITY, &entries);
}

static int put_gate(struct wv_gates *g, size_t i, char *reason, size_t size)
{
	const struct wv_gate *gate = &g->agent->policy->gates[i];
	struct wv_gate_entries entries;
	char by[64];
	const char *why;
	int r = wv_gate_kind_check(g->agent->host, g->agent->bpf, (uint32_t)gate->kind, by,
				   sizeof(by), reason, size);

	/* one that failed its test is not claimed, but may as well be there */
	if (r < 0 && wv_gate_proof((uint32_t)gate->kind, &why) != WV_PROOF_PASSED)
		return r;
	r = wv_gate_compile(gate, resolve, &entries, reason, size);
	if (r < 0)
		return r;
	r = wv_gate_store_put(&g->store, gate->name, (uint32_t)gate->kind, &entries);
	if (r < 0)
		snprintf(reason, size, "entries into the kernel's maps: %s", strerror(-r));
	g->flags[i] = entries.flags;
	wv_gate_entries_done(&entries);
	return r;
}

/* Brings the lists of the policy into the kernel; nothing refers to them yet. */
static void put_lists(struct wv_gates *g)
{
	const struct wv_policy *p = g->agent->policy;
	char reason[160] = "";
	int r;

	wv_gate_store_begin(&g->store);
	g->kinds = 0;
	for (size_t i = 0; i < p->n_gates; i++) {
		r = put_gate(g, i, reason, sizeof(reason));
		g->lists[i] = r < 0 ? 0 : (uint32_t)r;
		if (r < 0)
			wv_gate_record_list(g, p->gates[i].name, p->gates[i].kind, p->gates[i].fail,
					    reason);
		else
			g->kinds |= 1u << p->gates[i].kind;
	}
	for (size_t i = 0; i < p->n_priorities; i++) {
		r = put_cap(g, &p->priorities[i]);
		g->lists[p->n_gates + i] = r < 0 ? 0 : (uint32_t)r;
		if (r >= 0)
			g->kinds |= 1u << WV_GATED_PRIORITY;
	}
}

/* The policy of the agent, or none of it where its feature is off. */
static int take_policy(struct wv_gates *g)
{
	const struct wv_policy *p = g->agent->policy;
	uint32_t *lists = calloc(p->n_gates + p->n_priorities + 1, sizeof(*lists));
	uint32_t *flags = calloc(p->n_gates + 1, sizeof(*flags));

	if (!lists || !flags) {
		free(lists);
		free(flags);
		return -ENOMEM;
	}
	free(g->lists);
	free(g->flags);
	g->lists = lists;
	g->flags = flags;
	for (uint32_t slot = 0; slot < g->agent->sample.max_rows; slot++)
		g->seen[slot].told = 0;
	put_lists(g);
	if (!p->features[WV_FEATURE_GATES])
		g->kinds &= 1u << WV_GATED_PRIORITY;
	if (!p->features[WV_FEATURE_PRIORITY])
		g->kinds &= ~(1u << WV_GATED_PRIORITY);
	return 0;
}

/* Whether cgroups came, went, or belong elsewhere now. */
static bool cgroups_changed(struct wv_gates *g)
{
	struct wv_agent *agent = g->agent;
	bool changed = false;

	wv_sample_for_each (&agent->sample, slot, row) {
		struct wv_gate_seen *s = &g->seen[slot];
		uint32_t domain;
		bool root;

		if (slot == WV_SLOT_OTHER || (row->flags & WV_ROW_GONE))
			continue;
		domain = wv_domain_of(agent, slot);
		root = domain != WV_NONE && wv_domain_root(agent, slot);
		if (s->key == row->key && s->domain == domain && s->root == root)
			continue;
		/* one without a domain before and after is nobody's */
		changed |= domain != WV_NONE || (s->key == row->key && s->domain != WV_NONE);
		if (s->key != row->key)
			*s = (struct wv_gate_seen){.key = row->key};
		s->domain = domain;
		s->root = root;
		s->told = 0;
	}
	return changed;
}

/* What the policy and the cgroups ask for, unless the kill switch says to hold still. */
static int bring_about(struct wv_gates *g)
{
	g->released = wv_recover_released(g->agent);
	(void)cgroups_changed(g); /* as they are now is what reconciling looks at */
	g->dirty = true;
	return g->released || wv_recover_armed(g->agent) ? wv_gates_reconcile(g) : 0;
}

static int policy_changed(struct wv_agent *agent _unused_)
{
	struct wv_gates *g = &gates;
	int r;

	if (g->dry_run || g->error)
		return 0;
	r = take_policy(g);
	return r < 0 ? r : bring_about(g);
}

static void say_none(struct wv_gates *g)
{
	const struct wv_policy *p = g->agent->policy;
	const char *reason = wv_bpf_reason(g->agent->bpf, "gate");

	for (size_t i = 0; i < p->n_gates; i++)
		wv_gate_record_list(g, p->gates[i].name, p->gates[i].kind, p->gates[i].fail,
				    reason);
}

static int start(struct wv_agent *agent)
{
	struct wv_gates *g = &gates;
	int r;

	*g = (struct wv_gates){
		.agent = agent,
		.dry_run = agent->dry_run || !agent->config->enforce_enabled,
		.hooks = {.host = agent->host, .paths = agent->paths, .bpf = agent->bpf},
	};
	g->seen = calloc(agent->sample.max_rows, sizeof(*g->seen));
	if (!g->seen)
		return -ENOMEM;
	if (g->dry_run)
		return 0;
	g->hooks.exec_by_kill = !wv_gate_lsm_works(agent->host, agent->bpf);
	wv_gate_selftest_clean(agent->host);
	g->error = wv_gate_store_open(&g->store, agent->bpf);
	if (g->error) {
		say_none(g);
		return 0;
	}
	r = take_policy(g);
	return r < 0 ? r : bring_about(g);
}

static int decide(struct wv_agent *agent)
{
	struct wv_gates *g = &gates;
	int r = 0;

	if (g->dry_run || g->error)
		return 0;
	/* a list goes when no place refers to it any more */
	if (!g->dirty && !g->pending)
		wv_gate_store_sweep(&g->store);
	if (g->pending || g->released != wv_recover_released(agent) ||
	    (agent->policy->n_domains && cgroups_changed(g)))
		g->dirty = true;
	if (g->dirty)
		r = bring_about(g);
	(void)wv_gate_store_watch(&g->store);
	wv_gate_store_count(&g->store);
	return r;
}

/* A new cgroup is gated at once, not at the next tick. */
static void on_event(struct wv_agent *agent, const struct wv_event *event)
{
	struct wv_gates *g = &gates;
	int slot;

	if (event->type == WV_EV_GATE) {
		wv_gate_record_event(g, event);
		return;
	}
	if (!g->kinds)
		return;
	slot = wv_cgroups_slot(agent->cgroups, event->key);
	if (slot > 0 && wv_domain_root(agent, (uint32_t)slot))
		agent->want_tick = true;
}

static void slot_gone(struct wv_agent *agent _unused_, uint32_t slot)
{
	struct wv_gates *g = &gates;

	if (g->seen[slot].placed && !g->dry_run && !g->error)
		wv_gates_release(g, g->seen[slot].key);
	g->seen[slot] = (struct wv_gate_seen){0};
}

static void stop(struct wv_agent *agent _unused_)
{
	struct wv_gates *g = &gates;

	if (!g->dry_run && !g->error)
		wv_gate_store_close(&g->store);
	free(g->seen);
	free(g->lists);
	free(g->flags);
	*g = (struct wv_gates){0};
}

const struct wv_module wv_module_gate = {
	.name = "gate",
	.summary = "gates: what tasks of a domain may do, held in the kernel",
	.object = &wv_gate_object,
	.probe = wv_gate_probe,
	.start = start,
	.decide = decide,
	.event = on_event,
	.events = 1u << WV_EV_CGROUP_NEW | 1u << WV_EV_GATE,
	.policy_changed = policy_changed,
	.slot_gone = slot_gone,
	.stop = stop,
};
