// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of cgroups: a slot is given in the tracepoint of mkdir, before any task can enter the
 * cgroup, so no start is unattributed. User space gives slots to what existed before (initial walk)
 * and takes them back after rmdir, when it has folded the last figures into the parent.
 *
 * Hooks: cgroup_mkdir, cgroup_rmdir.
 */
#include "lib/waveos.bpf.h"

/* slots that are free and whose chunks exist; sized by user space to collect.max_cgroups */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1024);
	__type(value, __u32);
} wv_free_slots SEC(".maps");

/* Whether tasks can be attributed to this cgroup's hierarchy; sets its key. */
static __always_inline bool attributed(struct cgroup *cgrp, __u64 *ret_key)
{
	__u32 hierarchy = WV_READ2(cgrp, root, hierarchy_id);
	__u64 id = WV_READ2(cgrp, kn, id);

	if (!hierarchy) {
		*ret_key = id;
		return true;
	}
	if (wv_settings.v1_ssid >= 0 && hierarchy == wv_settings.v1_root_hierarchy) {
		*ret_key = id | WV_KEY_V1;
		return true;
	}
	return false;
}

static __always_inline void emit(enum wv_event_type type, struct cgroup *cgrp, const char *path,
				 __u64 key, __u32 slot)
{
	struct cgroup_subsys_state *parent = WV_READ(cgrp, self.parent);
	struct wv_event_cgroup *ev = wv_event_reserve(type, sizeof(*ev));
	struct cgroup *up;
	long len;

	if (!ev)
		return;
	ev->h.key = key;
	ev->h.slot = slot;
	ev->level = WV_READ(cgrp, level);
	ev->parent_key = 0;
	if (parent) {
		up = container_of(parent, struct cgroup, self);
		ev->parent_key = BPF_CORE_READ(up, kn, id) | (key & WV_KEY_V1);
	}
	len = bpf_probe_read_kernel_str(ev->path, sizeof(ev->path), path);
	if (len < 0)
		wv_count_place(WV_PLACE_PATH_READ, len);
	ev->path_len = len > 0 && len < (long)sizeof(ev->path) ? len - 1 : 0;
	wv_event_submit(ev);
}

WV_TP("cgroup_mkdir")
int BPF_PROG(cgroup_new, struct cgroup *cgrp, const char *path)
{
	__u32 slot = WV_SLOT_OTHER;
	__u64 key;
	long err;

	if (!wv_lifecycle_live() || !attributed(cgrp, &key))
		return 0;
	err = bpf_map_pop_elem(&wv_free_slots, &slot);
	if (err) {
		wv_count_place(WV_PLACE_SLOT_EXHAUSTED, err);
		slot = WV_SLOT_OTHER;
	} else {
		err = bpf_map_update_elem(&wv_slots, &key, &slot, BPF_ANY);
		if (err) {
			wv_count_place(WV_PLACE_SLOT_INSERT, err);
			bpf_map_push_elem(&wv_free_slots, &slot, 0);
			slot = WV_SLOT_OTHER;
		}
	}
	emit(WV_EV_CGROUP_NEW, cgrp, path, key, slot);
	return 0;
}

WV_TP("cgroup_rmdir")
int BPF_PROG(cgroup_gone, struct cgroup *cgrp, const char *path)
{
	__u32 *slot;
	__u64 key;

	if (!wv_lifecycle_live() || !attributed(cgrp, &key))
		return 0;
	slot = bpf_map_lookup_elem(&wv_slots, &key);
	emit(WV_EV_CGROUP_GONE, cgrp, path, key, slot ? *slot : WV_SLOT_OTHER);
	return 0;
}
