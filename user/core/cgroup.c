// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module `cgroup`: which cgroups there are and which slot each owns.
 *
 * The kernel half gives a slot in the tracepoint of mkdir. This half walks what existed before,
 * resolves what the tracepoint could not, and takes slots back once a removed cgroup's last figures
 * are folded into its parent.
 */
#include "user/core/cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "skel/cgroup.btf.skel.h"
#include "skel/cgroup.raw.skel.h"
#include "user/core/cgroup_index.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"

/*
 * Free slots to keep for cgroups to come. A slot comes back some 30 ms after its cgroup went, later
 * where this process has to wait for a CPU: 256 last for 150 ms of 1,700 cgroups a second.
 */
#define SPARE_SLOTS 256
/* So many removed cgroups do not wait for the next tick. */
#define RECYCLE_AT 64
/* A removed cgroup's row is read once more after this: its last tasks may still be on their way
 * out. */
#define GONE_GRACE_NS 10000000ULL
/* The tree is walked again at most so often, and for one part in so many of the time. */
#define LOOK_PAUSE_NS 1000000000ULL
#define LOOK_SHARE 20

int wv_cgroups_slot(const struct wv_cgroups *c, uint64_t key)
{
	return wv_index_find(&c->index, key);
}

int wv_cgroups_slot_by_path(const struct wv_agent *agent, const char *path)
{
	const struct wv_sample *s = &agent->sample;
	int v1 = -1;

	for (uint32_t slot = 1; slot < s->used_rows; slot++) {
		const struct wv_row *row = &s->rows[slot];

		if (!(row->flags & WV_ROW_LIVE) || strcmp(row->path, path) != 0)
			continue;
		if (!(row->key & WV_KEY_V1))
			return (int)slot;
		v1 = (int)slot;
	}
	return v1;
}

/* Map from key to slot, or -1 where no kernel half gives slots (files only, or only limits are
 * loaded). */
static int slot_index(const struct wv_agent *agent)
{
	return wv_bpf_has(agent->bpf, "cgroup") ? wv_bpf_map_fd(agent->bpf, "wv_slots") : -1;
}

static void row_set_path(struct wv_row *row, const char *path, size_t len)
{
	row->flags &= ~(uint32_t)WV_ROW_CUT;
	if (len >= sizeof(row->path)) { /* the end tells containers apart */
		path += len - (sizeof(row->path) - 1);
		len = sizeof(row->path) - 1;
		row->flags |= WV_ROW_CUT;
	}
	memcpy(row->path, path, len);
	row->path[len] = '\0';
	row->path_len = (uint16_t)len;
}

/* Starts the row of a slot. */
static int row_add(struct wv_agent *agent, uint32_t slot, uint64_t key, uint64_t parent_key,
		   unsigned level, const char *path)
{
	struct wv_sample *s = &agent->sample;
	struct wv_row *row = &s->rows[slot];
	int parent, r;

	if (slot >= s->max_rows)
		return -ERANGE;
	r = wv_index_put(&agent->cgroups->index, key, slot);
	if (r < 0)
		return r;
	memset(row, 0, sizeof(*row));
	row->key = key;
	row->parent_key = parent_key;
	row->level = (uint16_t)level;
	row->flags = WV_ROW_LIVE | WV_ROW_ACTIVE;
	row->created_mono_ns = agent->io->mono_ns(agent->io->ctx);
	row_set_path(row, path, strlen(path));
	parent = wv_index_find(&agent->cgroups->index, parent_key);
	row->parent_slot = parent_key != key && parent >= 0 ? (uint32_t)parent : WV_SLOT_OTHER;
	if (slot >= s->used_rows)
		s->used_rows = slot + 1;
	agent->cgroups->live++;
	return 0;
}

static void row_remove(struct wv_agent *agent, uint32_t slot)
{
	struct wv_sample *s = &agent->sample;

	wv_index_remove(&agent->cgroups->index, s->rows[slot].key);
	s->rows[slot].flags = 0;
	memset(&s->base[slot], 0, sizeof(s->base[slot]));
	while (s->used_rows > 1 && !(s->rows[s->used_rows - 1].flags & WV_ROW_LIVE))
		s->used_rows--;
	agent->cgroups->live--;
}

/* Slot that BPF or this process gave the key, taking one if none did; -ENOSPC: it stays in `other`.
 */
static int slot_for(struct wv_agent *agent, uint64_t key, uint32_t *ret_slot)
{
	int index = slot_index(agent), r;
	uint32_t slot;

	if (index < 0) { /* no BPF here: rows are numbered by us alone */
		for (slot = 1; slot < agent->sample.max_rows; slot++)
			if (!(agent->sample.rows[slot].flags & WV_ROW_LIVE))
				break;
		if (slot == agent->sample.max_rows)
			return -ENOSPC;
		*ret_slot = slot;
		return 0;
	}
	if (bpf_map_lookup_elem(index, &key, ret_slot) == 0)
		return 0;
	r = wv_bpf_slot_take(agent->bpf, &slot);
	if (r < 0)
		return r;
	if (bpf_map_update_elem(index, &key, &slot, BPF_NOEXIST) == 0) {
		*ret_slot = slot;
		return 0;
	}
	r = -errno;
	(void)wv_bpf_slot_give(agent->bpf, slot);
	if (r != -EEXIST)
		return r;
	return bpf_map_lookup_elem(index, &key, ret_slot) < 0 ? -errno : 0;
}

/* The events of a cgroup that came and went before we looked tell the parent that it had. */
static void row_adopted_late(struct wv_agent *agent, struct wv_row *row, uint64_t parent_key,
			     unsigned level)
{
	int parent = wv_index_find(&agent->cgroups->index, parent_key);

	if (row->parent_key || parent_key == row->key)
		return;
	row->parent_key = parent_key;
	row->level = (uint16_t)level;
	row->parent_slot = parent >= 0 ? (uint32_t)parent : WV_SLOT_OTHER;
}

int wv_cgroups_know(struct wv_agent *agent, uint64_t key, uint64_t parent_key, unsigned level,
		    const char *path)
{
	int slot = wv_index_find(&agent->cgroups->index, key), r;
	struct wv_row *row;
	uint32_t fresh;

	if (slot >= 0) {
		row = &agent->sample.rows[slot];
		row_set_path(row, path, strlen(path));
		row_adopted_late(agent, row, parent_key, level);
		return 0;
	}
	r = slot_for(agent, key, &fresh);
	if (r == -ENOSPC) {
		agent->cgroups->over_ceiling++;
		return 0;
	}
	return r < 0 ? r : row_add(agent, fresh, key, parent_key, level, path);
}

/* Slot of the cgroup at the first len bytes of path in the hierarchy of `key`, or -1. */
static int slot_at(const struct wv_agent *agent, const char *path, size_t len, uint64_t key)
{
	const struct wv_sample *s = &agent->sample;

	for (uint32_t slot = 1; slot < s->used_rows; slot++) {
		const struct wv_row *row = &s->rows[slot];

		if ((row->flags & WV_ROW_LIVE) && row->path_len == len &&
		    !((row->key ^ key) & WV_KEY_V1) && memcmp(row->path, path, len) == 0 &&
		    wv_index_find(&agent->cgroups->index, row->key) == (int)slot)
			return (int)slot;
	}
	return -1;
}

/* Who gets the figures of a removed cgroup: the nearest ancestor that is known, else `other`. */
static uint32_t heir(const struct wv_agent *agent, const struct wv_row *row)
{
	int slot = wv_index_find(&agent->cgroups->index, row->parent_key);
	size_t len = row->path_len;

	if (slot >= 0)
		return (uint32_t)slot;
	if (row->path[0] != '/' || (row->flags & WV_ROW_CUT) || len == 1)
		return WV_SLOT_OTHER;
	while (slot < 0 && len > 1) {
		while (len && row->path[len - 1] != '/')
			len--;
		len -= len > 1; /* the root's path is its slash */
		slot = slot_at(agent, row->path, len, row->key);
	}
	return slot < 0 ? WV_SLOT_OTHER : (uint32_t)slot;
}

/*
 * Takes over rows that a former core published. A row whose slot is no longer its own was folded by
 * a core that died before it could publish that: it is folded again. Where no row fits, the maps
 * are new and all figures start anew.
 */
static int adopt_rows(struct wv_agent *agent)
{
	struct wv_sample *s = &agent->sample;
	int index = slot_index(agent), r;
	uint32_t slot;

	for (uint32_t i = 1; i < s->used_rows; i++) {
		struct wv_row *row = &s->rows[i];

		if (!(row->flags & WV_ROW_LIVE) ||
		    (index >= 0 && (bpf_map_lookup_elem(index, &row->key, &slot) < 0 || slot != i)))
			continue;
		r = wv_index_put(&agent->cgroups->index, row->key, i);
		if (r < 0)
			return r;
		agent->cgroups->live++;
	}
	for (uint32_t i = 1; i < s->used_rows; i++) {
		struct wv_row *row = &s->rows[i];

		if (!(row->flags & WV_ROW_LIVE) ||
		    wv_index_find(&agent->cgroups->index, row->key) == (int)i)
			continue;
		if (agent->cgroups->live)
			wv_sample_fold(s, i, heir(agent, row));
		row->flags = 0;
		memset(&s->base[i], 0, sizeof(s->base[i]));
	}
	if (!agent->cgroups->live) {
		memset(&s->base[WV_SLOT_OTHER], 0, sizeof(s->base[WV_SLOT_OTHER]));
		s->rows[WV_SLOT_OTHER].flags &= ~(uint32_t)WV_ROW_BASE;
	}
	return 0;
}

/* Whether a walk would find this cgroup. */
static bool walkable(const struct wv_agent *agent, uint64_t key, unsigned level)
{
	return level <= WV_CGROUPS_MAX_DEPTH &&
	       (key & WV_KEY_V1 ? agent->host->v1_ssid >= 0 : agent->host->cgroup2[0] != 0);
}

/* Keys that have a slot and no row: of cgroups whose event is still to come, or never will. */
static int rowless_keys(struct wv_agent *agent, uint64_t **ret, size_t *ret_n)
{
	_cleanup_free_ uint64_t *keys = calloc(agent->sample.max_rows, sizeof(*keys));
	uint64_t key, *prev = NULL;
	int index = slot_index(agent);
	size_t n = 0;

	if (!keys)
		return -ENOMEM;
	for (; index >= 0 && n < agent->sample.max_rows &&
	       bpf_map_get_next_key(index, prev, &key) == 0;
	     prev = &key)
		if (wv_index_find(&agent->cgroups->index, key) < 0 && walkable(agent, key, 0))
			keys[n++] = key;
	*ret = TAKE_PTR(keys);
	*ret_n = n;
	return 0;
}

/*
 * Slots of cgroups that came and went while no agent looked. Each gets a row, so that its figures
 * are read once more and folded: into its parent if its events are still in the ring, else into
 * `other`.
 */
static void reclaim_orphans(struct wv_agent *agent, const uint64_t *keys, size_t n, uint64_t now)
{
	int index = slot_index(agent);
	uint32_t slot;

	for (size_t i = 0; i < n; i++) {
		if (wv_index_find(&agent->cgroups->index, keys[i]) >= 0 ||
		    bpf_map_lookup_elem(index, &keys[i], &slot) < 0)
			continue;
		if (row_add(agent, slot, keys[i], 0, 0, "(unknown)") < 0)
			continue;
		agent->sample.rows[slot].flags |= WV_ROW_GONE;
		agent->cgroups->gone_ns[slot] = now;
	}
}

/* Cgroup events for which the ring had no room. */
static uint64_t dropped_events(const struct wv_agent *agent)
{
	static const __u32 types[] = {WV_EV_CGROUP_NEW, WV_EV_CGROUP_GONE};
	int fd = wv_bpf_map_fd(agent->bpf, "wv_event_counts"), ncpu = libbpf_num_possible_cpus();
	_cleanup_free_ struct wv_event_count *counts = NULL;
	uint64_t dropped = 0;

	if (slot_index(agent) < 0 || fd < 0 || ncpu < 1)
		return 0;
	counts = calloc((size_t)ncpu, sizeof(*counts));
	for (size_t i = 0; counts && i < ARRAY_SIZE(types); i++)
		if (bpf_map_lookup_elem(fd, &types[i], counts) == 0)
			for (int cpu = 0; cpu < ncpu; cpu++)
				dropped += counts[cpu].dropped;
	return dropped;
}

/* What is marked and not found by the walk is gone. Without hooks nothing is waited for. */
static void mark_all(struct wv_agent *agent, uint64_t now)
{
	struct wv_row *rows = agent->sample.rows;

	for (uint32_t slot = 1; slot < agent->sample.used_rows; slot++) {
		if (!(rows[slot].flags & WV_ROW_LIVE) || (rows[slot].flags & WV_ROW_GONE) ||
		    !walkable(agent, rows[slot].key, rows[slot].level))
			continue;
		rows[slot].flags |= WV_ROW_GONE;
		agent->cgroups->gone_ns[slot] = now;
	}
}

void wv_cgroups_found(struct wv_agent *agent, uint64_t key)
{
	int slot = wv_index_find(&agent->cgroups->index, key);

	if (slot < 0)
		return;
	agent->sample.rows[slot].flags &= ~(uint32_t)WV_ROW_GONE;
	agent->cgroups->gone_ns[slot] = 0;
}

static uint64_t mono_ns(const struct wv_agent *agent)
{
	return agent->io->mono_ns(agent->io->ctx);
}

/* Makes rows agree with the tree: what is in it and what is not. */
static int look(struct wv_agent *agent)
{
	struct wv_cgroups *c = agent->cgroups;
	uint64_t begin = mono_ns(agent), mark = slot_index(agent) < 0 ? 0 : begin;
	_cleanup_free_ uint64_t *keys = NULL;
	size_t n = 0;
	int r;

	/* both before the walk: what comes meanwhile has events of its own */
	c->dropped = dropped_events(agent);
	r = rowless_keys(agent, &keys, &n);
	if (r == 0 && slot_index(agent) >= 0)
		r = wv_bpf_slots_reserve(agent->bpf, wv_cgroups_estimate(agent->host) + 1,
					 SPARE_SLOTS);
	if (r < 0)
		return r;
	c->over_ceiling = 0;
	c->look_again = false;
	mark_all(agent, mark);
	r = wv_cgroups_walk(agent);
	c->looked_ns = begin;
	c->look_cost_ns = mono_ns(agent) - begin;
	if (r == 0) {
		reclaim_orphans(agent, keys, n, begin);
		return 0;
	}
	c->look_again = true;
	for (uint32_t slot = 1; slot < agent->sample.used_rows; slot++)
		if (c->gone_ns[slot] == mark)
			agent->sample.rows[slot].flags &= ~(uint32_t)WV_ROW_GONE;
	return r;
}

/* Without hooks nobody tells of new and removed cgroups; with them some events may be lost. */
static int sense(struct wv_agent *agent)
{
	struct wv_cgroups *c = agent->cgroups;
	uint64_t pause = c->look_cost_ns * LOOK_SHARE;

	if (slot_index(agent) < 0)
		return look(agent);
	if (dropped_events(agent) != c->dropped)
		c->look_again = true;
	if (pause < LOOK_PAUSE_NS)
		pause = LOOK_PAUSE_NS;
	return c->look_again && mono_ns(agent) - c->looked_ns >= pause ? look(agent) : 0;
}

static void other_row(struct wv_sample *s)
{
	struct wv_row *other = &s->rows[WV_SLOT_OTHER];

	other->flags |= WV_ROW_LIVE;
	row_set_path(other, "other", strlen("other"));
	if (!s->used_rows)
		s->used_rows = 1;
}

static int start(struct wv_agent *agent)
{
	int r = 0;

	agent->cgroups = calloc(1, sizeof(*agent->cgroups));
	if (!agent->cgroups)
		return -ENOMEM;
	agent->cgroups->gone_ns = calloc(agent->sample.max_rows, sizeof(uint64_t));
	agent->cgroups->reap_list = calloc(agent->sample.max_rows, sizeof(uint32_t));
	if (!agent->cgroups->gone_ns || !agent->cgroups->reap_list)
		return -ENOMEM;
	r = wv_index_init(&agent->cgroups->index, agent->sample.max_rows);
	if (r == 0 && wv_bpf_has(agent->bpf, "cgroup"))
		r = wv_bpf_slots_recover(agent->bpf);
	other_row(&agent->sample);
	if (r == 0)
		r = adopt_rows(agent);
	if (r == 0)
		r = look(agent);
	if (r < 0)
		return r;
	if (!wv_bpf_has(agent->bpf, "cgroup"))
		return 0;
	r = wv_bpf_set_live(agent->bpf, true); /* every cgroup has its slot: now hooks may count */
	return r < 0 ? r : wv_bpf_slots_reserve(agent->bpf, agent->cgroups->live + 1, SPARE_SLOTS);
}

/*
 * A burst of new cgroups is not left to the next tick. Adding chunks takes some 15 ms, so the
 * longer the burst, the more at once.
 */
static void reserve_ahead(struct wv_agent *agent)
{
	uint32_t live = agent->cgroups->live,
		 spare = live / 2 > SPARE_SLOTS ? live / 2 : SPARE_SLOTS;
	int r;

	if (slot_index(agent) < 0 ||
	    live + 1 + SPARE_SLOTS / 2 <= wv_bpf_slots_capacity(agent->bpf))
		return;
	r = wv_bpf_slots_reserve(agent->bpf, live + 1, spare);
	if (r < 0)
		(void)wv_log_warn(r, "cgroup", "reserve slots");
}

static void on_event(struct wv_agent *agent, const struct wv_event *event)
{
	const struct wv_event_cgroup *ev = (const void *)event;
	int slot, r;

	if (event->size < sizeof(*ev))
		return;
	if (event->type == WV_EV_CGROUP_NEW) {
		reserve_ahead(agent);
		r = wv_cgroups_know(agent, event->key, ev->parent_key, ev->level,
				    ev->path_len ? ev->path : "(unknown)");
		if (r < 0)
			(void)wv_log_errno(r, "cgroup", "add %s", ev->path);
		return;
	}
	slot = wv_index_find(&agent->cgroups->index, event->key);
	if (slot < 0)
		return;
	agent->sample.rows[slot].flags |= WV_ROW_GONE;
	agent->cgroups->gone_ns[slot] = event->mono_ns;
	agent->cgroups->gone_pending++;
	/* a burst of removals holds slots that a burst of creations needs */
	if (agent->cgroups->gone_pending > RECYCLE_AT)
		agent->want_tick = true;
}

/* Folds a removed cgroup's last figures into its parent and gives its slot back. */
static void reap(struct wv_agent *agent, uint32_t slot)
{
	struct wv_row *row = &agent->sample.rows[slot];
	int index = slot_index(agent), r;

	wv_sample_fold(&agent->sample, slot, heir(agent, row));
	for (size_t i = 0; i < wv_modules_count; i++)
		if (wv_modules[i]->slot_gone)
			wv_modules[i]->slot_gone(agent, slot);
	if (index >= 0) {
		(void)bpf_map_delete_elem(index, &row->key);
		r = wv_bpf_slot_give(agent->bpf, slot);
		if (r < 0)
			(void)wv_log_warn(r, "cgroup", "give back slot %u", slot);
	}
	agent->cgroups->gone_ns[slot] = 0;
	row_remove(agent, slot);
}

/* Children before parents, so that what they leave is passed on. */
static int by_level_descending(const void *a, const void *b, void *rows)
{
	const struct wv_row *r = rows;

	return (int)r[*(const uint32_t *)b].level - (int)r[*(const uint32_t *)a].level;
}

void wv_cgroups_reap(struct wv_agent *agent, uint64_t sensed_ns)
{
	struct wv_sample *s = &agent->sample;
	struct wv_cgroups *c = agent->cgroups;
	uint32_t n = 0;
	int r;

	for (uint32_t slot = 1; slot < s->used_rows; slot++)
		if ((s->rows[slot].flags & WV_ROW_LIVE) && (s->rows[slot].flags & WV_ROW_GONE) &&
		    c->gone_ns[slot] + GONE_GRACE_NS <= sensed_ns)
			c->reap_list[n++] = slot;
	qsort_r(c->reap_list, n, sizeof(*c->reap_list), by_level_descending, s->rows);
	for (uint32_t i = 0; i < n; i++)
		reap(agent, c->reap_list[i]);
	c->gone_pending -= c->gone_pending < n ? c->gone_pending : n;
	if (n && c->over_ceiling) /* there is room again for who got none */
		c->look_again = true;
	r = wv_bpf_has(agent->bpf, "cgroup")
		    ? wv_bpf_slots_reserve(agent->bpf, c->live + 1, SPARE_SLOTS)
		    : 0;
	if (r < 0)
		(void)wv_log_warn(r, "cgroup", "reserve slots");
}

static int probe(const struct wv_host *host, const struct wv_bpf *bpf, struct wv_capabilities *caps)
{
	char uses[64], reason[160];
	bool v2 = host->cgroup2[0], v1 = host->v1_ssid >= 0;
	int r;

	snprintf(uses, sizeof(uses), "%s%s%s", v2 ? "cgroup v2" : "", v2 && v1 ? ", then v1 " : "",
		 v1 ? wv_controller_names[host->v1_attribution] : "");
	r = wv_capability_add(caps, "cgroup", "attribution", v2 ? WV_CAP_OK : WV_CAP_MISSING, uses,
			      v2 ? "" : "no cgroup2 file system is mounted");
	if (r < 0)
		return r;
	if (host->flavour == WV_FLAVOUR_NONE || (bpf && !wv_bpf_has(bpf, "cgroup"))) {
		snprintf(reason, sizeof(reason), "%.150s",
			 bpf ? wv_bpf_reason(bpf, "cgroup")
			     : "no kind of tracepoint program works here");
		return wv_capability_add(caps, "cgroup", "lifecycle", WV_CAP_FALLBACK,
					 "walk of the tree every tick", reason);
	}
	return wv_capability_add(caps, "cgroup", "lifecycle", WV_CAP_OK,
				 host->flavour == WV_FLAVOUR_BTF ? "tp_btf/cgroup_mkdir"
								 : "raw_tp/cgroup_mkdir",
				 "");
}

static void stop(struct wv_agent *agent)
{
	if (!agent->cgroups)
		return;
	wv_index_done(&agent->cgroups->index);
	free(agent->cgroups->gone_ns);
	free(agent->cgroups->reap_list);
	free(agent->cgroups);
	agent->cgroups = NULL;
}

static const void *elf_btf(size_t *size)
{
	return cgroup_btf__elf_bytes(size);
}

static const void *elf_raw(size_t *size)
{
	return cgroup_raw__elf_bytes(size);
}

static const struct wv_object object = {
	.name = "cgroup",
	.elf_btf = elf_btf,
	.elf_raw = elf_raw,
};

const struct wv_module wv_module_cgroup = {
	.name = "cgroup",
	.early = true,
	.summary = "life and identity of cgroups",
	.object = &object,
	.probe = probe,
	.start = start,
	.sense = sense,
	.event = on_event,
	.events = 1u << WV_EV_CGROUP_NEW | 1u << WV_EV_CGROUP_GONE,
	.stop = stop,
};
