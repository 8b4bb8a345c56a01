/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory: the row that hooks and the task walk keep per cgroup, and the event of an OOM kill. */
#ifndef WAVEOS_MEM_H
#define WAVEOS_MEM_H

#include "waveos/wire.h"

/* One row a slot, shared by the CPUs. The sizes belong to one walk over all processes; see below.
 */
struct wv_mem_row {
	__u64 reclaims;
	__u64 reclaim_ns; /* also the sum of the histogram */
	__u64 oom_kills;
	__u64 growth_bytes; /* cumulative growth of private writable mappings, brk included */
	__u64 reclaim_latency[WV_HIST_BUCKETS];
	/*
	 * Number of the walk that the sizes are of: the first process of a walk that lands here
	 * starts them anew, so nothing has to be cleared and a row left out by the last walk is
	 * known as empty.
	 */
	__u64 walk;
	__u64 rss_bytes;
	__u64 brk_bytes;
	__u64 data_bytes;
};
_Static_assert(sizeof(struct wv_mem_row) == 256, "wire layout");

/* Single entry of map mem_walk. Walks are serialised by their one reader. */
struct wv_mem_walk {
	__u64 session; /* of the kernel's iterator: another one starts the next walk */
	__u64 walk;    /* number of the current walk, from 1 */
	__u64 done;    /* number of the last walk that saw every process */
	__u64 tasks;   /* seen by the current walk, threads included */
	__u64 processes;
};
_Static_assert(sizeof(struct wv_mem_walk) == 40, "wire layout");

/* Map mem_seen, by process id: what the last walk saw, to tell growth from a first sight. */
struct wv_mem_seen {
	__u64 start_ns; /* with mm: which program it was, process ids come again */
	__u64 mm;
	__u64 data_pages;
	__u64 walk;
};
_Static_assert(sizeof(struct wv_mem_seen) == 32, "wire layout");

enum wv_reclaim_kind { WV_RECLAIM_GLOBAL, WV_RECLAIM_MEMCG };

/* Map reclaim_starts, by thread id. */
struct wv_reclaim_start {
	__u64 mono_ns;
	__u64 kind;
};
_Static_assert(sizeof(struct wv_reclaim_start) == 16, "wire layout");

enum wv_oom_flags {
	/* seen as the victim ended (kernels whose tracepoint names no task): rss_bytes is its peak
	 */
	WV_OOM_AT_EXIT = 1 << 0,
};

/* OOM_KILL: the header's subject is the victim. */
struct wv_event_oom {
	struct wv_event h;
	__u64 rss_bytes;
	__u64 total_vm_bytes;
	__u64 trigger_key; /* cgroup of the task whose allocation ran into the limit; 0 if unknown
			    */
	__u32 trigger_pid; /* its process; 0 if unknown */
	__s32 oom_score_adj;
	__u32 flags; /* enum wv_oom_flags */
	__u32 pad;
};
_Static_assert(sizeof(struct wv_event_oom) == 96, "wire layout");

#endif
