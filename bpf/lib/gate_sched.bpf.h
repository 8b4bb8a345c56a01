/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a task asks of the scheduler. The security hook task_setscheduler is called for policies,
 * priorities and affinities alike and sees none of them, so they are read off the system call that
 * runs. sched_setattr() has them in memory, which another thread may have changed since the kernel
 * copied it: user/enforce/priority.c looks at what came of it every tick.
 */
#ifndef WAVEOS_GATE_SCHED_BPF_H
#define WAVEOS_GATE_SCHED_BPF_H

#include "waveos.bpf.h"

#define GATE_NICE_0 120 /* static_prio of nice 0 */
#define GATE_POLICY_FIFO 1
#define GATE_POLICY_RR 2
#define GATE_POLICY_DEADLINE 6
#define GATE_POLICY_BITS 0xffff /* without SCHED_RESET_ON_FORK */
#define GATE_KEEP_POLICY 0x08	/* SCHED_FLAG_KEEP_POLICY */
#define GATE_KEEP_PARAMS 0x10
#define GATE_ABOVE_ALL 100 /* as priority of SCHED_DEADLINE: above every real-time priority */

struct gate_sched {
	bool realtime, has_nice;
	__u32 priority;
	__s32 nice;
};

/* sched_attr as far as it matters; the kernel never changes its beginning */
struct gate_sched_attr {
	__u32 size, policy;
	__u64 flags;
	__s32 nice;
	__u32 priority;
};

enum gate_call { GATE_CALL_OTHER, GATE_CALL_PARAM, GATE_CALL_SCHEDULER, GATE_CALL_ATTR };

struct gate_call_args {
	enum gate_call call;
	__u64 second, third;
};

#ifdef __TARGET_ARCH_x86
#define GATE_STATUS_COMPAT 2 /* TS_COMPAT */

static __always_inline void gate_call_read(const struct pt_regs *regs, struct task_struct *current,
					   struct gate_call_args *ret)
{
	bool compat = BPF_CORE_READ(current, thread_info.status) & GATE_STATUS_COMPAT;
	long nr = BPF_CORE_READ(regs, orig_ax);

	if (nr == (compat ? 154 : 142))
		ret->call = GATE_CALL_PARAM;
	else if (nr == (compat ? 156 : 144))
		ret->call = GATE_CALL_SCHEDULER;
	else if (nr == (compat ? 351 : 314))
		ret->call = GATE_CALL_ATTR;
	if (compat) {
		ret->second = (__u32)BPF_CORE_READ(regs, cx);
		ret->third = (__u32)BPF_CORE_READ(regs, dx);
	} else {
		ret->second = BPF_CORE_READ(regs, si);
		ret->third = BPF_CORE_READ(regs, dx);
	}
}
#elif defined(__TARGET_ARCH_arm64)
static __always_inline void gate_call_read(const struct pt_regs *regs, struct task_struct *current,
					   struct gate_call_args *ret)
{
	int nr = BPF_CORE_READ(regs, syscallno);

	if (nr == 118)
		ret->call = GATE_CALL_PARAM;
	else if (nr == 119)
		ret->call = GATE_CALL_SCHEDULER;
	else if (nr == 274)
		ret->call = GATE_CALL_ATTR;
	ret->second = BPF_CORE_READ(regs, user_regs.regs[1]);
	ret->third = BPF_CORE_READ(regs, user_regs.regs[2]);
}
#endif

static __always_inline bool gate_policy_realtime(__u32 policy)
{
	return policy == GATE_POLICY_FIFO || policy == GATE_POLICY_RR ||
	       policy == GATE_POLICY_DEADLINE;
}

/* The priority at `user`; what cannot be read counts as the highest. */
static __always_inline __u32 gate_user_priority(__u64 user)
{
	__u32 priority = 0;

	return bpf_probe_read_user(&priority, sizeof(priority), (const void *)user) ? GATE_ABOVE_ALL
										    : priority;
}

static __always_inline void gate_sched_policy(struct gate_sched *ret, __u32 policy, __u32 priority)
{
	ret->realtime = gate_policy_realtime(policy);
	ret->priority = policy == GATE_POLICY_DEADLINE ? GATE_ABOVE_ALL : priority;
}

/* Fills in what is asked for; false: nothing that has a cap, or it cannot be known here. */
static __always_inline bool gate_sched_asked(struct task_struct *p, struct gate_sched *ret)
{
	struct gate_call_args args = {.call = GATE_CALL_OTHER};
	struct gate_sched_attr attr = {0};
	struct task_struct *current;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return false;
	current = bpf_get_current_task_btf();
	gate_call_read((const void *)bpf_task_pt_regs(current), current, &args);
	switch (args.call) {
	case GATE_CALL_PARAM:
		gate_sched_policy(ret, BPF_CORE_READ(p, policy), gate_user_priority(args.second));
		return true;
	case GATE_CALL_SCHEDULER:
		gate_sched_policy(ret, args.second & GATE_POLICY_BITS,
				  gate_user_priority(args.third));
		return true;
	case GATE_CALL_ATTR:
		if (bpf_probe_read_user(&attr, sizeof(attr), (const void *)args.second)) {
			gate_sched_policy(ret, GATE_POLICY_FIFO, GATE_ABOVE_ALL);
			return true;
		}
		if (attr.flags & GATE_KEEP_PARAMS)
			return false;
		if (attr.flags & GATE_KEEP_POLICY)
			attr.policy = BPF_CORE_READ(p, policy);
		gate_sched_policy(ret, attr.policy & GATE_POLICY_BITS, attr.priority);
		ret->has_nice = !ret->realtime;
		ret->nice = attr.nice;
		return true;
	default:
		return false;
	}
}

#endif
