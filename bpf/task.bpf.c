// SPDX-License-Identifier: GPL-2.0-only
/*
 * Starts, programs executed and ends of tasks, and the figures of a walk over all tasks.
 *
 * Hooks: sched_process_fork, sched_process_exec, sched_process_exit; an iterator over tasks that
 * user space runs. Nothing is attached to a system call.
 */
#include "lib/waveos.bpf.h"
#include "waveos/task.h"

WV_TABLE(task_rows, struct wv_task_row);

/* The child has its cgroup by now, also with CLONE_INTO_CGROUP: this fires after
 * cgroup_post_fork(). */
WV_TP("sched_process_fork")
int BPF_PROG(task_fork, struct task_struct *parent, struct task_struct *child)
{
	struct wv_task_row *row;

	if (!wv_live())
		return 0;
	row = wv_row(task_rows, wv_task_slot(child));
	if (row)
		wv_add(row->forks, 1);
	return 0;
}

WV_TP("sched_process_exec")
int BPF_PROG(task_exec, struct task_struct *task)
{
	struct wv_task_row *row;

	if (!wv_live())
		return 0;
	row = wv_row(task_rows, wv_task_slot(task));
	if (row)
		wv_add(row->execs, 1);
	return 0;
}

/* Every thread counts, as in fork. A dying task keeps its css_set until it is freed. */
WV_TP("sched_process_exit")
int BPF_PROG(task_exit, struct task_struct *task)
{
	struct wv_task_row *row;

	if (!wv_live())
		return 0;
	row = wv_row(task_rows, wv_task_slot(task));
	if (row)
		wv_add(row->exits, 1);
	return 0;
}

/* The walk --------------------------------------------------------------------------------------
 */

#define TASK_UNINTERRUPTIBLE 0x2
#define TASK_NOLOAD 0x400 /* an idle kernel thread sleeps this way */
#define EXIT_ZOMBIE 0x20
/* Before 6.1 the freezer parks a task in D. Later kcompactd has this bit: one kernel thread less.
 */
#define PF_FROZEN 0x00010000

static __always_inline bool in_dstate(struct task_struct *task, __u64 state)
{
	return (state & TASK_UNINTERRUPTIBLE) && !(state & TASK_NOLOAD) &&
	       !(task->flags & PF_FROZEN);
}

/*
 * Row that the task is counted in, its figures begun anew for this walk. As wv_task_slot(), but a
 * cgroup without a slot is not counted as a loss again on every walk.
 */
static __always_inline struct wv_task_row *walk_row(__u32 slot, __u64 walk)
{
	struct wv_task_row *row = wv_row(task_rows, slot);

	if (row && row->walk != walk) {
		row->processes = 0;
		row->threads = 0;
		row->runnable = 0;
		row->zombies = 0;
		row->dstate = 0;
		row->walk = walk;
	}
	return row;
}

static __always_inline __u32 quiet_slot(struct task_struct *task)
{
	__u64 key = wv_task_key(task);
	__u32 *slot = bpf_map_lookup_elem(&wv_slots, &key);

	return slot ? *slot : WV_SLOT_OTHER;
}

static __always_inline long write_dstate(struct seq_file *seq, struct task_struct *task, __u32 slot)
{
	struct wv_task_record rec = {
		.start_ns = task->start_time,
		.switches = task->nvcsw + task->nivcsw,
		.pid = task->pid,
		.tgid = task->tgid,
		.slot = slot,
	};

	BPF_CORE_READ_STR_INTO(&rec.comm, task, comm);
	return bpf_seq_write(seq, &rec, sizeof(rec));
}

/* A leader that ended before its threads is still the process; one without threads waits for
 * wait(2). */
static __always_inline void count_ended(struct task_struct *task, struct wv_task_row *row)
{
	if (task->pid != task->tgid)
		return;
	if (BPF_CORE_READ(task, signal, live.counter) > 0)
		row->processes++;
	else if (task->exit_state & EXIT_ZOMBIE)
		row->zombies++;
}

SEC("iter/task")
int task_walk(struct bpf_iter__task *ctx)
{
	__u64 walk = ctx->meta->session_id, state;
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct wv_task_row *row;
	__u32 slot;

	if (!wv_live())
		return 0;
	if (!task) {
		struct wv_task_record end = {.start_ns = walk, .switches = ctx->meta->seq_num};

		bpf_seq_write(seq, &end, sizeof(end));
		return 0;
	}
	slot = quiet_slot(task);
	row = walk_row(slot, walk);
	if (!row)
		return 0;
	if (task->exit_state) {
		count_ended(task, row);
		return 0;
	}
	state = wv_task_state(task);
	if (in_dstate(task, state)) {
		/* the buffer is full: user space reads it and this task comes again */
		if (write_dstate(seq, task, slot))
			return 0;
		row->dstate++;
	}
	row->threads++;
	if (task->pid == task->tgid)
		row->processes++;
	if (!state)
		row->runnable++;
	return 0;
}
