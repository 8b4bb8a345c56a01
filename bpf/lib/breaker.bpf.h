/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the breaker objects share: maps, and from a task to the breakers of its ancestors.
 *
 * Nothing here looks at the kill switch: a breaker acts as long as it is placed, agent or no agent.
 */
#ifndef WAVEOS_BREAKER_BPF_H
#define WAVEOS_BREAKER_BPF_H

#include "waveos.bpf.h"
#include "waveos/breaker.h"

/* bits of a verdict */
#define BREAKER_DENY 1
#define BREAKER_KILL 2

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wv_breaker_ctl);
} breaker_ctl SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WV_BREAKER_PLACES);
	__type(key, __u64);
	__type(value, struct wv_breaker_head);
} breaker_heads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WV_BREAKER_PLACES);
	__type(key, __u32);
	__type(value, struct wv_breaker_config);
} breaker_configs SEC(".maps");

/*
 * States of places at forks, execs and OOM kills. Raw tracepoints may not use a map with a spin
 * lock in it, nor BTF tracepoints before 5.18 or so (then the loader takes the raw build); there an
 * insertion into breaker_locks that succeeds once is the lock. No hook of these interrupts another,
 * so it is only another CPU that can hold it, for a moment.
 */
#ifdef WV_RAW_TP
#define BREAKER_TASK_STATES breaker_raw_states
#define BREAKER_TASK_STATE struct wv_breaker_raw_state
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WV_BREAKER_PLACES);
	__type(key, __u32);
	__type(value, __u32);
} breaker_locks SEC(".maps");
#define LOCK_TRIES 256
#else
#define BREAKER_TASK_STATES breaker_task_states
#define BREAKER_TASK_STATE struct wv_breaker_state
#endif
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WV_BREAKER_PLACES);
	__type(key, __u32);
	__type(value, BREAKER_TASK_STATE);
} BREAKER_TASK_STATES SEC(".maps");

static __always_inline struct wv_breaker_ctl *breaker_control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&breaker_ctl, &zero);
}

static __always_inline bool breaker_lock(__u32 place, BREAKER_TASK_STATE *st)
{
#ifdef WV_RAW_TP
	__u32 one = 1;

	for (int i = 0; i < LOCK_TRIES; i++)
		if (bpf_map_update_elem(&breaker_locks, &place, &one, BPF_NOEXIST) == 0)
			return true;
	wv_count_place(WV_PLACE_BREAKER_LOCK, 0);
	return false; /* goes on without: a lost count is better than a hole */
#else
	bpf_spin_lock(&st->lock);
	return true;
#endif
}

static __always_inline void breaker_unlock(__u32 place, BREAKER_TASK_STATE *st, bool locked)
{
#ifdef WV_RAW_TP
	if (locked)
		bpf_map_delete_elem(&breaker_locks, &place);
#else
	bpf_spin_unlock(&st->lock);
#endif
}

static __always_inline void breaker_emit(__u32 place, const struct wv_breaker_config *config,
					 const struct wv_breaker_machine *m, bool current_asked)
{
	struct wv_event_breaker *ev = wv_event_reserve(WV_EV_BREAKER_TRIP, sizeof(*ev));
	__u64 id;

	if (!ev)
		return;
	ev->h.key = config->cgroup;
	ev->h.slot = wv_key_slot(config->cgroup);
	if (current_asked) {
		id = bpf_get_current_pid_tgid();
		ev->h.pid = id >> 32;
		ev->h.tid = (__u32)id;
		bpf_get_current_comm(ev->h.comm, sizeof(ev->h.comm));
	}
	ev->place = place;
	ev->hook = config->hook;
	ev->m = *m;
	wv_event_submit(ev);
}

static __always_inline int breaker_verdict(const struct wv_breaker_config *config, int admitted)
{
	if (admitted)
		return 0;
	return config->kill ? BREAKER_DENY | BREAKER_KILL : BREAKER_DENY;
}

/* units 0: only whether it is open. Global: verified once, whoever calls it, however often. */
__noinline int breaker_task_charge(__u32 place, __u32 units)
{
	struct wv_breaker_config *config = bpf_map_lookup_elem(&breaker_configs, &place);
	BREAKER_TASK_STATE *st = bpf_map_lookup_elem(&BREAKER_TASK_STATES, &place);
	struct wv_breaker_machine after;
	__u64 now = bpf_ktime_get_ns(), trips;
	int admitted;
	bool locked;

	if (!config || !st) {
		wv_count_place(WV_PLACE_BREAKER_STATE, 0);
		return 0;
	}
	locked = breaker_lock(place, st);
	trips = st->m.trips;
	admitted = units ? wv_breaker_ask(&st->m, &config->rate, now, units)
			 : wv_breaker_pass(&st->m, &config->rate, now);
	trips = st->m.trips - trips;
	if (trips)
		after = st->m;
	breaker_unlock(place, st, locked);
	if (trips)
		breaker_emit(place, config, &after, true);
	return breaker_verdict(config, admitted);
}

/* Charges the places of one cgroup, up to the first that refuses. */
static __always_inline int breaker_head_charge(const struct wv_breaker_head *head, __u32 hook,
					       __u32 units)
{
	int verdict = 0;

	for (int i = 0; i < WV_BREAKERS_A_HOOK && !verdict; i++) {
		__u32 place = head->place[hook][i];

		if (!place)
			break;
		verdict = breaker_task_charge(place, units);
	}
	return verdict;
}

/* From a cgroup up: its own breakers and those of its ancestors. bit: WV_KEY_V1 or 0. */
static __always_inline int breaker_walk(struct cgroup *cgrp, __u64 bit, __u32 hook, bool starts)
{
	struct cgroup_subsys_state *up;
	struct wv_breaker_head *head;
	int verdict = 0;
	__u64 key;

	for (int i = 0; i < WV_BREAKER_LEVELS; i++) {
		key = WV_READ2(cgrp, kn, id) | bit;
		head = bpf_map_lookup_elem(&breaker_heads, &key);
		if (head) {
			verdict = breaker_head_charge(head, hook, 1);
			/* while an OOM spiral's breaker is open nothing starts in its domain */
			if (!verdict && starts)
				verdict = breaker_head_charge(head, WV_BREAKER_AT_OOM, 0);
			if (verdict)
				return verdict;
		}
		up = WV_READ(cgrp, self.parent);
		if (!up)
			return 0;
		cgrp = WV_READ(up, cgroup);
		if (!cgrp)
			return 0;
	}
	return 0;
}

/*
 * Charges every breaker that a task is under: those of its v2 cgroup and its ancestors; where that
 * is the root and a v1 hierarchy keeps the tasks, also those there. Returns a verdict.
 */
static __always_inline int breaker_charge(struct task_struct *task, __u32 hook, bool starts)
{
	struct css_set *set = WV_READ(task, cgroups);
	struct cgroup *cgrp = WV_READ(set, dfl_cgrp);
	int verdict = breaker_walk(cgrp, 0, hook, starts);

	if (verdict || wv_settings.v1_ssid < 0 || WV_READ(cgrp, level))
		return verdict;
#ifdef WV_RAW_TP
	{
		struct cgroup_subsys_state *css = NULL, **subsys;

		subsys = (void *)set + bpf_core_field_offset(set->subsys);
		bpf_probe_read_kernel(&css, sizeof(css), &subsys[wv_settings.v1_ssid & 15]);
		cgrp = BPF_CORE_READ(css, cgroup);
	}
#else
	cgrp = set->subsys[wv_settings.v1_ssid & 15]->cgroup;
#endif
	return breaker_walk(cgrp, WV_KEY_V1, hook, starts);
}

#define PF_KTHREAD 0x00200000

/* Whether a start by this task is anyone's at all: kernel threads are not held. */
static __always_inline bool breaker_wanted(const struct wv_breaker_ctl *ctl, __u32 hook,
					   struct task_struct *task)
{
	return (ctl->places[hook] || ctl->places[WV_BREAKER_AT_OOM]) &&
	       !(WV_READ(task, flags) & PF_KTHREAD);
}

#endif
