/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the cgroup module: an index from cgroup key to slot, and the module's state. */
#ifndef WV_CORE_CGROUP_INDEX_H
#define WV_CORE_CGROUP_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Open addressing with linear probing; deletion moves entries back, so there are no tombstones. */
struct wv_index {
	uint64_t *keys; /* 0: empty */
	uint32_t *slots;
	size_t mask;
	size_t used, max;
};

/* Room for max entries. */
int wv_index_init(struct wv_index *ix, size_t max);
void wv_index_done(struct wv_index *ix);
/* Slot, or -1. */
int wv_index_find(const struct wv_index *ix, uint64_t key);
/* Adds or replaces; -ENOSPC when max entries are in, -EINVAL for key 0. */
int wv_index_put(struct wv_index *ix, uint64_t key, uint32_t slot);
void wv_index_remove(struct wv_index *ix, uint64_t key);

struct wv_cgroups {
	struct wv_index index;
	uint64_t *gone_ns;   /* per slot: when the kernel removed it; 0 with WV_ROW_GONE: before we
				looked */
	uint32_t *reap_list; /* scratch */
	uint32_t live;	     /* rows in use, `other` not counted */
	uint32_t gone_pending;
	uint64_t over_ceiling; /* cgroups that got no row */
	uint64_t dropped;      /* cgroup events that were lost before the tree was last looked at */
	uint64_t looked_ns, look_cost_ns;
	bool look_again; /* rows and tree may differ */
};

/* Directories deeper than this are not walked (the kernel's own default limit is far above). */
#define WV_CGROUPS_MAX_DEPTH 64

struct wv_agent;
struct wv_host;
/* Makes sure that a cgroup has a row, if there is room; a known one gets its path refreshed (it may
 * have been renamed). */
int wv_cgroups_know(struct wv_agent *agent, uint64_t key, uint64_t parent_key, unsigned level,
		    const char *path);
/* A walk came by this cgroup: it is not gone. */
void wv_cgroups_found(struct wv_agent *agent, uint64_t key);
/* Tells wv_cgroups_found() and wv_cgroups_know() of all cgroups. */
int wv_cgroups_walk(struct wv_agent *agent);
/* How many cgroups a walk will about find: room for them is made at once. */
uint32_t wv_cgroups_estimate(const struct wv_host *host);
/* Takes back the slots of cgroups that were removed before sensed_ns (the start of this tick's
 * sense). */
void wv_cgroups_reap(struct wv_agent *agent, uint64_t sensed_ns);

#endif
