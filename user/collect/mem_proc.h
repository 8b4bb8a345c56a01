/* SPDX-License-Identifier: GPL-2.0-only */
/* Sizes of processes from /proc, for kernels that refuse BPF iterators. */
#ifndef WV_COLLECT_MEM_PROC_H
#define WV_COLLECT_MEM_PROC_H

struct wv_agent;

/*
 * Walks /proc and stores MEM_RSS and MEM_HEAP_DATA of every live row, 0 where a cgroup has no
 * process. Processes that end meanwhile are left out. 0 or -errno.
 */
int wv_mem_walk_proc(struct wv_agent *agent);

#endif
