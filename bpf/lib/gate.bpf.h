/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Gates: the maps, the verdict of one gate, and the place that holds for a task. Shared by
 * gate.bpf.c (cgroup hooks), gate_lsm.bpf.c and gate_exec.bpf.c, whose programs read the same
 * places and lists.
 *
 * These programs do not look at wv_live(): a gate holds as long as it is attached.
 */
#ifndef WAVEOS_GATE_BPF_H
#define WAVEOS_GATE_BPF_H

#include "waveos.bpf.h"
#include "waveos/gate.h"

#define GATE_WINDOW_NS 1000000000ULL

/* all sizes but the last two are set by user space (user/enforce/gate_objects.c) */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct wv_gate_place_key);
	__type(value, struct wv_gate_place);
} gate_places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct wv_gate_caps);
} gate_caps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct wv_gate_list);
} gate_lists SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct wv_gate_address_key);
	__type(value, __u32);
} gate_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct wv_gate_text_key);
	__type(value, __u32);
} gate_texts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct wv_gate_device_key);
	__type(value, __u32);
} gate_devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct wv_gate_inode_key);
	__type(value, __u32);
} gate_inodes SEC(".maps");

/* per kind: bit L is set if some cgroup of level L has a place */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WV_GATED_N);
	__type(key, __u32);
	__type(value, __u32);
} gate_levels SEC(".maps");

/* The verdict on something that the gate's entries know by `bits` (enum wv_gate_bits). */
static __always_inline bool gate_refuses(__u32 flags, __u32 bits)
{
	if ((flags & WV_GATE_DENY_ALL) || (bits & WV_GATE_DENY))
		return true;
	return (flags & WV_GATE_HAS_ALLOW) && !(flags & WV_GATE_ALLOW_ALL) &&
	       !(bits & WV_GATE_ALLOW);
}

/* Whether any entry can matter. */
static __always_inline bool gate_has_entries(__u32 flags)
{
	return !(flags & WV_GATE_DENY_ALL) && (flags & (WV_GATE_HAS_ALLOW | WV_GATE_HAS_DENY));
}

/* Counts a refusal; whether it is to be told now. Two CPUs at once may tell one more. */
static __always_inline bool gate_count(const struct wv_gate_ref *ref)
{
	__u32 list = ref->list;
	struct wv_gate_list *l = bpf_map_lookup_elem(&gate_lists, &list);
	__u64 now = bpf_ktime_get_ns();

	if (!l)
		return false;
	if (ref->flags & WV_GATE_ENFORCE)
		wv_add(l->denied, 1);
	else
		wv_add(l->audited, 1);
	if (now - l->window_ns >= GATE_WINDOW_NS) {
		l->window_ns = now;
		l->in_window = 0;
	}
	if (l->in_window >= WV_GATE_EVENTS_PER_SECOND) {
		wv_add(l->suppressed, 1);
		return false;
	}
	wv_add(l->in_window, 1);
	wv_add(l->told, 1);
	return true;
}

/*
 * Functions that are global, not inlined: the verifier looks at each once, with any arguments, and
 * not again in every round of every loop. Before 5.12 they take nothing but numbers.
 */
#define GATE_GLOBAL __attribute__((noinline))

/* An address as the number that it is: the verifier lets no typed pointer through to the above. */
static __always_inline __u64 gate_address(const void *p)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &p);
	return number;
}

/* What a refusal is about, as one argument. */
static __always_inline __u64 gate_subject(const struct wv_gate_ref *ref, __u32 kind, __u32 op)
{
	return (__u64)ref->list << 32 | (__u64)(ref->flags & 0xff) << 16 | kind << 8 | op;
}

/* Begins the event of a refusal; the caller adds the object and submits. NULL: not to be told. */
static __always_inline struct wv_event_gate *gate_event(__u64 subject, __u64 cgroup)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	const struct wv_gate_ref ref = {.list = subject >> 32, .flags = subject >> 16 & 0xff};
	struct wv_event_gate *ev;

	if (!gate_count(&ref))
		return NULL;
	ev = wv_event_reserve(WV_EV_GATE, sizeof(*ev));
	if (!ev)
		return NULL;
	ev->h.key = cgroup;
	ev->h.slot = wv_key_slot(cgroup);
	ev->h.pid = BPF_CORE_READ(task, tgid);
	ev->h.tid = BPF_CORE_READ(task, pid);
	BPF_CORE_READ_STR_INTO(&ev->h.comm, task, comm);
	ev->list = ref.list;
	ev->kind = subject >> 8 & 0xff;
	ev->enforced = !!(ref.flags & WV_GATE_ENFORCE);
	ev->op = subject & 0xff;
	__builtin_memset(ev->v, 0, sizeof(ev->v));
	__builtin_memset(ev->address, 0, sizeof(ev->address));
	ev->dev = ev->ino = 0;
	ev->text[0] = '\0';
	ev->pad = 0;
	return ev;
}

/* Counts and tells a refusal whose object is numbers. */
GATE_GLOBAL int gate_tell_numbers(__u64 subject, __u64 cgroup, __u64 v01, __u64 v23)
{
	struct wv_event_gate *ev = gate_event(subject, cgroup);

	if (!ev)
		return 0;
	ev->v[0] = v01 >> 32;
	ev->v[1] = v01;
	ev->v[2] = v23 >> 32;
	ev->v[3] = v23;
	wv_event_submit(ev);
	return 0;
}

/* The same of one with a text; where that is in the kernel is a number too (0: none). */
GATE_GLOBAL int gate_tell_text(__u64 subject, __u64 cgroup, __u64 text, __u64 v0)
{
	struct wv_event_gate *ev = gate_event(subject, cgroup);

	if (!ev)
		return 0;
	ev->v[0] = v0;
	if (text)
		bpf_probe_read_kernel_str(ev->text, sizeof(ev->text), (const void *)text);
	wv_event_submit(ev);
	return 0;
}

/* Before 6.1 a cgroup kept the ids of its ancestors; since then their addresses. */
struct cgroup___ids {
	__u64 ancestor_ids[1];
} __attribute__((preserve_access_index));

/* Id of the ancestor of this level, itself included; 0: it is not that deep. */
static __always_inline __u64 gate_ancestor_id(struct cgroup *cgrp, __u32 level)
{
	const struct cgroup___ids *old = (const void *)cgrp;
	struct cgroup *up = NULL;
	__u64 id = 0;

	if (bpf_core_field_exists(cgrp->ancestors)) {
		const void *at = (const void *)cgrp +
				 bpf_core_field_offset(struct cgroup, ancestors) +
				 level * sizeof(up);

		bpf_probe_read_kernel(&up, sizeof(up), at);
		return BPF_CORE_READ(up, kn, id);
	}
	if (bpf_core_field_exists(old->ancestor_ids)) {
		const void *at = (const void *)cgrp +
				 bpf_core_field_offset(struct cgroup___ids, ancestor_ids) +
				 level * sizeof(id);

		bpf_probe_read_kernel(&id, sizeof(id), at);
	}
	return id;
}

/* The cgroup that a task is attributed to, as in wv_task_key_read(); *ret_v1: the key's bit. */
static __always_inline struct cgroup *gate_task_cgroup(struct task_struct *task, __u64 *ret_v1)
{
	struct cgroup *cgrp = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	struct cgroup_subsys_state *css = NULL, **subsys;
	struct css_set *set;

	*ret_v1 = 0;
	if (wv_settings.v1_ssid < 0 || BPF_CORE_READ(cgrp, level))
		return cgrp;
	set = BPF_CORE_READ(task, cgroups);
	subsys = (void *)set + bpf_core_field_offset(set->subsys);
	bpf_probe_read_kernel(&css, sizeof(css), &subsys[wv_settings.v1_ssid & 15]);
	*ret_v1 = WV_KEY_V1;
	return BPF_CORE_READ(css, cgroup);
}

/*
 * Key of the deepest cgroup with a place of this kind that the task is in; 0: none. From the top,
 * so that cgroups which the task makes below do not lead away from it.
 */
static __always_inline __u64 gate_find(struct task_struct *task, __u32 kind)
{
	__u32 *levels = bpf_map_lookup_elem(&gate_levels, &kind);
	struct wv_gate_place_key key = {.kind = kind};
	__u64 v1, id, found = 0;
	struct cgroup *cgrp;
	__u32 mask, depth;

	if (!levels || !*levels)
		return 0;
	mask = *levels;
	cgrp = gate_task_cgroup(task, &v1);
	depth = BPF_CORE_READ(cgrp, level);
	for (__u32 level = 0; level < WV_GATE_LEVELS; level++) {
		if (level > depth)
			break;
		if (!(mask & 1u << level))
			continue;
		id = gate_ancestor_id(cgrp, level);
		key.cgroup = id | v1;
		if (kind == WV_GATED_PRIORITY ? !!bpf_map_lookup_elem(&gate_caps, &key.cgroup)
					      : !!bpf_map_lookup_elem(&gate_places, &key))
			found = key.cgroup;
	}
	return found;
}

#endif
