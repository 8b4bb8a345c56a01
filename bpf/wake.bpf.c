// SPDX-License-Identifier: GPL-2.0-only
/*
 * What threads of watched processes wait for: every switch of theirs, what they sleep in, and who
 * wakes them (user/gpu/chain.c makes causes of it). Loaded by who has a hub of GPUs and attached
 * while a process is watched; threads of others cost a byte to look at.
 *
 * Hooks: sched_switch, sched_waking, sched_process_fork, sched_process_exit. It uses none of the
 * agent's shared maps: it lives and ends with the process that loaded it.
 */
#include "lib/tp.bpf.h"
#include "waveos/wake.h"

/* by process id */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WV_WAKE_PROCESSES);
	__type(key, __u32);
	__type(value, struct wv_wake_process);
} wake_processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20); /* 26,000 events: a second of a busy job */
} wake_events SEC(".maps");

struct wv_wake_shared wake_shared;

struct pt_regs___arm64 {
	s32 syscallno;
} __attribute__((preserve_access_index));

/*
 * The system call that the current task is in. Its registers are those at its last entry into the
 * kernel; after an interrupt in user mode the number is negative.
 */
static __always_inline int current_syscall(void)
{
	struct pt_regs *regs;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return WV_WAKE_SYSCALL_UNKNOWN; /* before 5.15 */
	regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
#if defined(__TARGET_ARCH_x86)
	return (int)BPF_CORE_READ(regs, orig_ax) < 0 ? WV_WAKE_NO_SYSCALL
						     : (int)BPF_CORE_READ(regs, orig_ax);
#elif defined(__TARGET_ARCH_arm64)
	return BPF_CORE_READ((struct pt_regs___arm64 *)regs, syscallno);
#else
	return WV_WAKE_SYSCALL_UNKNOWN;
#endif
}

static __always_inline bool watched(__u32 tgid)
{
	/* one byte for nearly all tasks of the machine, which are nobody's business here */
	return wake_shared.maybe[tgid & (WV_WAKE_FILTER - 1)] &&
	       bpf_map_lookup_elem(&wake_processes, &tgid);
}

static __always_inline struct wv_wake_event *reserve(enum wv_wake_kind kind,
						     struct task_struct *task)
{
	struct wv_wake_event *ev = bpf_ringbuf_reserve(&wake_events, sizeof(*ev), 0);

	if (!ev) {
		__sync_fetch_and_add(&wake_shared.dropped, 1);
		return NULL;
	}
	*ev = (struct wv_wake_event){
		.at = bpf_ktime_get_ns(),
		.tid = WV_READ(task, pid),
		.tgid = WV_READ(task, tgid),
		.syscall = WV_WAKE_NO_SYSCALL,
		.kind = kind,
	};
	return ev;
}

/* Nobody is woken for each event: the reader comes ten times a second by itself. */
static __always_inline void submit(struct wv_wake_event *ev)
{
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
}

WV_TP("sched_switch")
int BPF_PROG(wake_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct wv_wake_event *ev;

	if (watched(WV_READ(prev, tgid))) {
		ev = reserve(WV_WAKE_OUT, prev);
		if (ev) {
			long state = preempt ? 0 : wv_task_state(prev);

			ev->state = state & 2 ? 2 : state & 1 ? 1 : 0;
			ev->iowait = BPF_CORE_READ_BITFIELD_PROBED(prev, in_iowait);
			if (state)
				ev->syscall = (__s16)current_syscall();
			submit(ev);
		}
	}
	if (watched(WV_READ(next, tgid))) {
		ev = reserve(WV_WAKE_IN, next);
		if (ev)
			submit(ev);
	}
	return 0;
}

WV_TP("sched_waking")
int BPF_PROG(wake_waking, struct task_struct *task)
{
	struct wv_wake_event *ev;
	__u64 who;

	if (!watched(WV_READ(task, tgid)))
		return 0;
	ev = reserve(WV_WAKE_WAKE, task);
	if (!ev)
		return 0;
	/* an interrupt runs in any task's name: only one that is in a system call meant it */
	if (current_syscall() != WV_WAKE_NO_SYSCALL) {
		who = bpf_get_current_pid_tgid();
		ev->other_tid = (__u32)who;
		ev->other_tgid = who >> 32;
	}
	submit(ev);
	return 0;
}

WV_TP("sched_process_fork")
int BPF_PROG(wake_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = WV_READ(parent, tgid), to = WV_READ(child, tgid);
	struct wv_wake_process *p = bpf_map_lookup_elem(&wake_processes, &from);
	struct wv_wake_process copy;
	struct wv_wake_event *ev;

	if (!p || from == to) /* a thread is watched by its process */
		return 0;
	copy = *p;
	wake_shared.maybe[to & (WV_WAKE_FILTER - 1)] = 1;
	if (bpf_map_update_elem(&wake_processes, &to, &copy, BPF_ANY)) {
		__sync_fetch_and_add(&wake_shared.unwatched, 1);
		return 0;
	}
	ev = reserve(WV_WAKE_FORK, parent);
	if (!ev)
		return 0;
	ev->other_tid = ev->other_tgid = to;
	submit(ev);
	return 0;
}

WV_TP("sched_process_exit")
int BPF_PROG(wake_exit, struct task_struct *task)
{
	__u32 tgid = WV_READ(task, tgid);
	struct wv_wake_event *ev;

	if (!watched(tgid))
		return 0;
	ev = reserve(WV_WAKE_EXIT, task);
	if (ev)
		submit(ev);
	/* the leader may end before its threads: they are few, and hardly what is waited for */
	if (WV_READ(task, pid) == (int)tgid)
		bpf_map_delete_elem(&wake_processes, &tgid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
