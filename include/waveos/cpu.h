/* SPDX-License-Identifier: GPL-2.0-only */
/* CPU and run queue: the row that the switch hook keeps per cgroup and CPU. All fields are u64
 * counters. */
#ifndef WAVEOS_CPU_H
#define WAVEOS_CPU_H

#include "waveos/wire.h"

struct wv_cpu_row {
	__u64 usage_ns;
	__u64 run_delay_ns; /* also the sum of the histogram */
	__u64 switch_voluntary;
	__u64 switch_involuntary;
	__u64 migrations;
	__u64 minor_faults;
	__u64 major_faults;
	__u64 reserved;
	__u64 runq_latency[WV_HIST_BUCKETS];
};
_Static_assert(sizeof(struct wv_cpu_row) == 256, "wire layout");

/* What the kernel keeps about a task and the switch hook reads. */
struct wv_task_counters {
	__u64 sum_exec_ns;  /* se.sum_exec_runtime */
	__u64 run_delay_ns; /* sched_info.run_delay */
	__u64 minor_faults;
	__u64 major_faults;
};

/*
 * The stint of the task that runs on a CPU now, and the slots of the cgroups that ran there last:
 * an index lookup at every switch would cost more than all the rest. Entry of map cpu_states for
 * that CPU.
 *
 * A cached slot cannot go stale: a key is never used again, and the slot of a cgroup that is gone
 * can be asked for by nobody.
 */
#define WV_CPU_CACHE 32 /* a power of two */

struct wv_cpu_cached {
	__u64 key;
	__u64 slot;
};

struct wv_cpu_state {
	__u64 task;		    /* address: which task the stint belongs to; 0 for idle */
	struct wv_task_counters at; /* its counters when it was switched in, or at the last flush */
	__u32 slot;
	__u32 delay_counted; /* the wait before this stint is in the histogram already (flushed) */
	__u64 pad[2];
	struct wv_cpu_cached cache[WV_CPU_CACHE];
};
_Static_assert(sizeof(struct wv_cpu_state) == 64 + 16 * WV_CPU_CACHE, "whole cache lines a CPU");

#endif
