/* SPDX-License-Identifier: GPL-2.0-only */
/* Task health: what starts and ends, and what a walk over all tasks finds. */
#ifndef WAVEOS_TASK_H
#define WAVEOS_TASK_H

#include "waveos/wire.h"

/*
 * Row per cgroup of table task_rows, shared by all CPUs. What follows `walk` is of the walk with
 * that number (session id of the iterator) and void in any other: nothing needs to be cleared
 * between walks. 64 rows and the map's header fit one page.
 */
struct wv_task_row {
	__u64 forks;
	__u64 execs;
	__u64 exits;
	__u64 walk;
	__u32 processes;
	__u32 threads;
	__u32 runnable;
	__u32 zombies;
	__u32 dstate;
	__u32 pad;
};
_Static_assert(sizeof(struct wv_task_row) == 56, "wire layout");

/*
 * What the iterator writes: a record for each task in uninterruptible sleep, then one with pid 0
 * that closes a complete walk.
 */
struct wv_task_record {
	__u64 start_ns; /* identity with pid; last record: number of the walk */
	__u64 switches; /* context switches so far: unchanged means that it did not run; last: tasks
			   seen */
	__u32 pid;
	__u32 tgid;
	__u32 slot;
	__u32 pad;
	char comm[16];
	__u64 pad2[2]; /* 64 bytes: a record never straddles two reads */
};
_Static_assert(sizeof(struct wv_task_record) == 64, "wire layout");

#endif
