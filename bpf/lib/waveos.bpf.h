/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every BPF object of the agent includes: the kernel's types, the shared maps, and the few
 * helpers that a hook needs to find the row of a cgroup, count a loss and emit an event.
 *
 * Each subsystem is compiled twice from one source: as BTF tracepoints (kernel pointers are
 * dereferenced) and, with WV_RAW_TP, as raw tracepoints for kernels that refuse the former (fields
 * are probe-read).
 */
#ifndef WAVEOS_BPF_H
#define WAVEOS_BPF_H

#include "lib/tp.bpf.h"
#include "waveos/wire.h"

/* Filled by user space before load, constant afterwards: the verifier removes what they switch off.
 */
const volatile struct wv_settings wv_settings = {};

#include "maps.bpf.h"
#include "hist.h"

/* Counts a drop or a failed helper. err: negative errno, or 0. */
static __always_inline void wv_count_place(enum wv_place place, long err)
{
	__u32 key = place;
	struct wv_place_count *c = bpf_map_lookup_elem(&wv_places, &key);

	if (c) {
		c->count++;
		c->last_errno = err;
	}
}

/*
 * Whether this set of programs is the live one. An upgrade loads a second set beside the first and
 * makes it live with one store, so nothing is counted twice and nothing is missed; 0 stops all
 * observers.
 */
static __always_inline bool wv_live(void)
{
	__u32 zero = 0;
	struct wv_ctl *ctl = bpf_map_lookup_elem(&wv_ctl, &zero);

	return ctl && ctl->generation == wv_settings.generation;
}

/* The same for the hooks that give slots: they start before those that look for them. */
static __always_inline bool wv_lifecycle_live(void)
{
	__u32 zero = 0;
	struct wv_ctl *ctl = bpf_map_lookup_elem(&wv_ctl, &zero);

	return ctl && ctl->lifecycle == wv_settings.generation;
}

/*
 * The key of the cgroup that a task is charged to: its v2 cgroup; where that is the root and the
 * machine keeps its tasks in a v1 hierarchy, the cgroup there. This form is for programs that have
 * the task as a number only (bpf_get_current_task()); typed pointers go to wv_task_key().
 */
static __always_inline __u64 wv_task_key_read(struct task_struct *task)
{
	struct cgroup *cgrp = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	struct cgroup_subsys_state *css = NULL, **subsys;
	struct css_set *set;

	if (wv_settings.v1_ssid < 0 || BPF_CORE_READ(cgrp, level))
		return BPF_CORE_READ(cgrp, kn, id);
	set = BPF_CORE_READ(task, cgroups);
	/* an index that the compiler does not know cannot be relocated: take the array, then index
	 */
	subsys = (void *)set + bpf_core_field_offset(set->subsys);
	bpf_probe_read_kernel(&css, sizeof(css), &subsys[wv_settings.v1_ssid & 15]);
	return BPF_CORE_READ(css, cgroup, kn, id) | WV_KEY_V1;
}

static __always_inline __u64 wv_task_key(struct task_struct *task)
{
#ifdef WV_RAW_TP
	return wv_task_key_read(task);
#else
	struct css_set *set = task->cgroups;
	struct cgroup *cgrp = set->dfl_cgrp;

	if (wv_settings.v1_ssid < 0 || cgrp->level)
		return cgrp->kn->id;
	return set->subsys[wv_settings.v1_ssid & 15]->cgroup->kn->id | WV_KEY_V1;
#endif
}

/* The slot of a key; `other` when the cgroup has none. */
static __always_inline __u32 wv_key_slot(__u64 key)
{
	__u32 *slot = bpf_map_lookup_elem(&wv_slots, &key);

	if (slot)
		return *slot;
	wv_count_place(WV_PLACE_SLOT_UNKNOWN, 0);
	return WV_SLOT_OTHER;
}

static __always_inline __u32 wv_task_slot(struct task_struct *task)
{
	return wv_key_slot(wv_task_key(task));
}

/* Row of a slot in a table with one row per slot. Shared by all CPUs: add with wv_add(). */
#define wv_row(table, slot) wv_chunk_row(&(table), (slot), (slot) % WV_CHUNK_SLOTS)
/* Row of a slot in a table with one row per slot and CPU: only that CPU writes it. */
#define wv_cpu_row(table, slot) wv_row_of_cpu(table, slot, bpf_get_smp_processor_id())
#define wv_row_of_cpu(table, slot, cpu)                                                            \
	wv_chunk_row(&(table), (slot), ((slot) % WV_CHUNK_SLOTS) * wv_settings.ncpu + (cpu))

static __always_inline void *wv_chunk_row(void *table, __u32 slot, __u32 index)
{
	__u32 chunk = slot / WV_CHUNK_SLOTS;
	void *rows = bpf_map_lookup_elem(table, &chunk);

	if (!rows) {
		wv_count_place(WV_PLACE_CHUNK_MISSING, 0);
		return NULL;
	}
	return bpf_map_lookup_elem(rows, &index);
}

#define wv_add(counter, n) __sync_fetch_and_add(&(counter), (n))

/*
 * Reserves an event of the given type, header filled except key and slot (subject:
 * wv_event_subject()). NULL when the ring is full: the drop is counted per type. Finish with
 * wv_event_submit().
 */
static __always_inline void *wv_event_reserve(enum wv_event_type type, __u64 size)
{
	__u32 index = type;
	struct wv_event_count *count = bpf_map_lookup_elem(&wv_event_counts, &index);
	struct wv_event *ev;

	if (!count)
		return NULL;
	__sync_fetch_and_add(&count->produced, 1);
	ev = bpf_ringbuf_reserve(&wv_events, size, 0);
	if (!ev) {
		__sync_fetch_and_add(&count->dropped, 1);
		return NULL;
	}
	ev->type = type;
	ev->size = size;
	ev->mono_ns = bpf_ktime_get_ns();
	ev->key = 0;
	ev->slot = WV_SLOT_OTHER;
	ev->pid = 0;
	ev->tid = 0;
	ev->pad = 0;
	__builtin_memset(ev->comm, 0, sizeof(ev->comm));
	return ev;
}

/* Says whom the event is about. */
static __always_inline void wv_event_subject(struct wv_event *ev, struct task_struct *task)
{
	ev->key = wv_task_key(task);
	ev->slot = wv_key_slot(ev->key);
	ev->pid = BPF_CORE_READ(task, tgid);
	ev->tid = BPF_CORE_READ(task, pid);
	BPF_CORE_READ_STR_INTO(&ev->comm, task, comm);
}

#define wv_event_submit(ev) bpf_ringbuf_submit(ev, 0)
#define wv_event_discard(ev) bpf_ringbuf_discard(ev, 0)

char LICENSE[] SEC("license") = "GPL";

#endif
