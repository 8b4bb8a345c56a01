// SPDX-License-Identifier: GPL-2.0-only
/* From the policy and the tree of cgroups to places, links and records. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/core/host.h"
#include "user/core/log.h"
#include "user/domain/domain.h"
#include "user/enforce/gate_modules.h"
#include "user/enforce/gate_selftest.h"

#define ALL_LEVELS ((1u << WV_GATE_LEVELS) - 1)
#define ROOT_INODE 1 /* of the cgroup at the top of a hierarchy */

/* The gates of a kind that a domain has, after those that are there. -E2BIG if they do not fit. */
static int add_refs(const struct wv_gates *g, uint32_t domain, uint32_t kind,
		    struct wv_gate_place *place)
{
	const struct wv_policy *p = g->agent->policy;

	for (size_t i = 0; i < p->n_gates; i++) {
		if (p->gates[i].domain_index != domain || (uint32_t)p->gates[i].kind != kind ||
		    !g->lists[i])
			continue;
		if (place->n == WV_GATES_AT)
			return -E2BIG;
		place->ref[place->n++] =
			(struct wv_gate_ref){.list = g->lists[i], .flags = g->flags[i]};
	}
	return 0;
}

static bool domain_has(const struct wv_gates *g, uint32_t domain, uint32_t kind)
{
	const struct wv_policy *p = g->agent->policy;

	if (kind == WV_GATED_PRIORITY) {
		for (size_t i = 0; i < p->n_priorities; i++)
			if (p->priorities[i].domain_index == domain)
				return true;
		return false;
	}
	for (size_t i = 0; i < p->n_gates; i++)
		if (p->gates[i].domain_index == domain && (uint32_t)p->gates[i].kind == kind &&
		    g->lists[i])
			return true;
	return false;
}

/* Of a kind whose programs the kernel runs for all tasks: with the gates of all ancestors. */
static int make_place(const struct wv_gates *g, uint32_t slot, uint32_t kind,
		      struct wv_gate_place *ret)
{
	struct wv_agent *agent = g->agent;
	const struct wv_row *row;
	int r = 0;

	*ret = (struct wv_gate_place){0};
	for (unsigned depth = 0; r == 0 && depth < 64; depth++) {
		row = slot != WV_SLOT_OTHER ? wv_sample_row(&agent->sample, slot) : NULL;
		if (!row)
			break;
		if (wv_domain_root(agent, slot))
			r = add_refs(g, wv_domain_of(agent, slot), kind, ret);
		if (wv_gate_at_cgroup(kind) || row->parent_slot == slot)
			break;
		slot = row->parent_slot;
	}
	return r;
}

static struct wv_gate_ref cap_ref(const struct wv_gates *g, uint32_t index)
{
	return (struct wv_gate_ref){
		.list = index == WV_NONE ? 0 : g->lists[g->agent->policy->n_gates + index],
		.flags = WV_GATE_ENFORCE,
	};
}

static int place_caps(struct wv_gates *g, uint32_t slot, uint64_t key)
{
	struct wv_priority_caps c;
	struct wv_gate_caps caps;

	if (!wv_priority_caps(g->agent, slot, &c))
		return wv_gate_store_caps(&g->store, key, NULL);
	caps = (struct wv_gate_caps){
		.nice_min = c.nice_min,
		.realtime_max = c.realtime_max,
		.io_class = c.io_class,
		.nice = cap_ref(g, c.nice_by),
		.realtime = cap_ref(g, c.realtime_by),
		.io = cap_ref(g, c.io_by),
	};
	return wv_gate_store_caps(&g->store, key, &caps);
}

/* Sets the place and, where the kind is attached at cgroups, attaches. */
static int place_one(struct wv_gates *g, uint32_t slot, const struct wv_row *row, uint32_t kind,
		     char *reason, size_t size)
{
	struct wv_gate_place place;
	int r;

	if (!wv_gate_at_cgroup(kind) && row->level >= WV_GATE_LEVELS) {
		snprintf(reason, size, "the cgroup is deeper than %d levels", WV_GATE_LEVELS - 1);
		return -EOPNOTSUPP;
	}
	if (kind == WV_GATED_PRIORITY) {
		r = place_caps(g, slot, row->key);
	} else {
		r = make_place(g, slot, kind, &place);
		if (r == -E2BIG)
			snprintf(reason, size, "more than %d gates of this kind meet here",
				 WV_GATES_AT);
		else
			r = wv_gate_store_place(&g->store, row->key, kind, &place);
	}
	if (r >= 0 && wv_gate_at_cgroup(kind)) {
		int a = wv_gate_hooks_attach(&g->hooks, kind, row->key, row->path, reason, size);

		if (a < 0) /* nobody asks it: not claimed, and not there */
			(void)wv_gate_store_place(&g->store, row->key, kind, NULL);
		r = a < 0 ? a : r | a;
	}
	if (r < 0 && !*reason)
		snprintf(reason, size, "%s", strerror(-r));
	return r;
}

static void place_slot(struct wv_gates *g, uint32_t slot, const struct wv_row *row)
{
	struct wv_gate_seen *s = &g->seen[slot];
	uint32_t domain = wv_domain_of(g->agent, slot);
	uint32_t before = s->placed;
	char reason[160];
	int r;

	s->placed = 0;
	if (g->released || domain == WV_NONE || !wv_domain_root(g->agent, slot))
		return;
	for (uint32_t kind = 0; kind < WV_GATED_N; kind++) {
		uint16_t bit = (uint16_t)(1u << kind);

		if (!(g->kinds & bit) || !domain_has(g, domain, kind))
			continue;
		reason[0] = '\0';
		r = place_one(g, slot, row, kind, reason, sizeof(reason));
		if (r >= 0) {
			s->placed |= bit;
			if (r > 0)
				s->told &= (uint16_t)~bit;
			continue;
		}
		if (before & bit && r != -ENOENT) { /* what held before still holds */
			s->placed |= bit;
			g->pending = true;
		}
		if (!(s->told & bit))
			wv_gate_record_outcome(g, row, slot, kind, r, reason);
		s->told |= bit;
	}
}

/* Levels of the places to be. A mount whose top is not the top of the hierarchy hides some. */
static uint32_t levels_of(const struct wv_gates *g, uint32_t kind, bool top_seen)
{
	struct wv_agent *agent = g->agent;
	uint32_t mask = 0;

	wv_sample_for_each (&agent->sample, slot, row) {
		if (slot == WV_SLOT_OTHER || (row->flags & WV_ROW_GONE) ||
		    row->level >= WV_GATE_LEVELS || !wv_domain_root(agent, slot) ||
		    !domain_has(g, wv_domain_of(agent, slot), kind))
			continue;
		mask |= top_seen && !(row->key & WV_KEY_V1) ? 1u << row->level : ALL_LEVELS;
	}
	return mask;
}

static bool sees_top(const struct wv_host *host)
{
	struct stat st;

	return stat(host->cgroup2, &st) == 0 && st.st_ino == ROOT_INODE;
}

static bool is_placed(const struct wv_gates *g, uint64_t key, uint32_t kind)
{
	int slot = wv_cgroups_slot(g->agent->cgroups, key);

	return slot > 0 && g->seen[slot].key == key && (g->seen[slot].placed & 1u << kind);
}

static void drop_place(struct wv_gates *g, uint64_t key, uint32_t kind)
{
	if (wv_gate_at_cgroup(kind))
		(void)wv_gate_hooks_detach(g->hooks.paths, kind, key);
	if (kind == WV_GATED_PRIORITY)
		(void)wv_gate_store_caps(&g->store, key, NULL);
	else
		(void)wv_gate_store_place(&g->store, key, kind, NULL);
}

static void drop_unplaced(void *ctx, uint64_t key, uint32_t kind)
{
	struct wv_gates *g = ctx;

	if (kind < WV_GATED_N && !is_placed(g, key, kind))
		drop_place(g, key, kind);
}

void wv_gates_release(struct wv_gates *g, uint64_t key)
{
	for (uint32_t kind = 0; kind < WV_GATED_N; kind++)
		drop_place(g, key, kind);
}

static uint32_t placed_kinds(const struct wv_gates *g)
{
	uint32_t kinds = 0;

	for (uint32_t slot = 1; slot < g->agent->sample.used_rows; slot++)
		kinds |= g->seen[slot].placed;
	return kinds;
}

/* Hooks that are called for all tasks are attached while any cgroup has such a place. */
static void attach_global(struct wv_gates *g, uint32_t kind, bool wanted)
{
	char reason[160] = "";
	int r;

	if (wv_gate_at_cgroup(kind))
		return;
	if (!wanted) {
		(void)wv_gate_hooks_detach(g->hooks.paths, kind, 0);
		return;
	}
	if (kind != WV_GATED_EXEC && !wv_gate_lsm_works(g->agent->host, g->agent->bpf))
		return; /* priorities are corrected then */
	r = wv_gate_hooks_attach(&g->hooks, kind, 0, NULL, reason, sizeof(reason));
	g->failed[kind] = r < 0 ? r : 0;
	if (r < 0)
		(void)wv_log_errno(r, "gate", "%s: %s", wv_gated_names[kind], reason);
}

/* Every kind that is in use is tried once; a program that refuses nothing is replaced if it can be.
 */
static void prove(struct wv_gates *g, uint32_t kind)
{
	if (wv_gate_proof(kind, NULL) != WV_PROOF_NONE ||
	    (kind == WV_GATED_PRIORITY && !wv_gate_lsm_works(g->agent->host, g->agent->bpf)))
		return;
	(void)wv_gate_selftest(&g->store, &g->hooks, kind);
	wv_gate_record_selftest(g, kind);
	if (kind != WV_GATED_EXEC || g->hooks.exec_by_kill ||
	    wv_gate_proof(kind, NULL) != WV_PROOF_PASSED)
		return;
	g->hooks.exec_by_kill = true;
	wv_gate_proof_forget(kind);
	attach_global(g, kind, true);
	(void)wv_gate_selftest(&g->store, &g->hooks, kind);
	wv_gate_record_selftest(g, kind);
}

static void record_outcomes(struct wv_gates *g)
{
	wv_sample_for_each (&g->agent->sample, slot, row) {
		struct wv_gate_seen *s = &g->seen[slot];

		for (uint32_t kind = 0; kind < WV_GATED_N; kind++) {
			uint16_t bit = (uint16_t)(1u << kind);

			if (!(s->placed & bit) || (s->told & bit) || s->key != row->key)
				continue;
			wv_gate_record_outcome(g, row, slot, kind, g->failed[kind],
					       strerror(-g->failed[kind]));
			s->told |= bit;
		}
	}
}

int wv_gates_reconcile(struct wv_gates *g)
{
	struct wv_agent *agent = g->agent;
	bool top = sees_top(agent->host);
	uint32_t levels[WV_GATED_N] = {0}, kinds;

	g->dirty = g->pending = false;
	for (uint32_t kind = 0; kind < WV_GATED_N; kind++) {
		if (wv_gate_at_cgroup(kind) || !(g->kinds & 1u << kind))
			continue;
		levels[kind] = levels_of(g, kind, top);
		(void)wv_gate_store_levels(&g->store, kind, g->store.levels[kind] | levels[kind]);
	}
	wv_sample_for_each (&agent->sample, slot, row) {
		if (slot == WV_SLOT_OTHER || (row->flags & WV_ROW_GONE))
			continue;
		if (g->seen[slot].key != row->key)
			g->seen[slot] = (struct wv_gate_seen){.key = row->key, .domain = WV_NONE};
		place_slot(g, slot, row);
	}
	kinds = placed_kinds(g);
	for (uint32_t kind = 0; kind < WV_GATED_N; kind++)
		attach_global(g, kind, kinds & 1u << kind);
	(void)wv_gate_store_each(&g->store, drop_unplaced, g);
	(void)wv_gate_hooks_each(agent->paths, drop_unplaced, g);
	for (uint32_t kind = 0; kind < WV_GATED_N; kind++) {
		if (!wv_gate_at_cgroup(kind))
			(void)wv_gate_store_levels(&g->store, kind, levels[kind]);
		if (kinds & 1u << kind)
			prove(g, kind);
	}
	record_outcomes(g);
	return 0;
}
