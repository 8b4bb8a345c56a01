// SPDX-License-Identifier: GPL-2.0-only
/*
 * Breakers: state machines that count forks, execs, connects, packets and OOM kills of a cgroup
 * subtree and refuse them while they are open (bpf/lib/breaker_machine.h).
 *
 * Hooks: cgroup/connect4, cgroup/connect6, cgroup_skb/egress and /ingress at the cgroups where a
 * breaker of that kind is placed; sched_process_fork, sched_process_exec and mark_victim (or
 * sched_process_exit, see bpf/mem.bpf.c) of the machine.
 *
 * A tracepoint cannot deny. Where no gate program does (bpf/breaker_lsm.bpf.c), a start that is
 * refused is killed: the task that executed; the one that forked, and its child where the kernel
 * lets us signal another task.
 *
 * The network programs run as long as they are attached; an upgrade replaces them in their links.
 * The others belong to the set whose lifecycle hooks are live, so of two loaded sets one counts.
 */
#include "lib/breaker.bpf.h"

#define SIGKILL 9
#define STREAM_SOCKET 1 /* SOCK_STREAM */

#define NET_PASS 1
#define NET_REFUSE 0 /* connect() and send() return EPERM; an arriving packet is dropped */

/* States of places at connects and packets. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WV_BREAKER_PLACES);
	__type(key, __u32);
	__type(value, struct wv_breaker_state);
} breaker_net_states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64); /* cgroup id: shared by all hooks */
	__type(value, struct wv_breaker_bind);
} breaker_binds SEC(".maps");

/* place -> what is recorded already; for user space */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WV_BREAKER_PLACES);
	__type(key, __u32);
	__type(value, struct wv_breaker_machine);
} breaker_seen SEC(".maps");

/* victims already counted: the kernel marks every thread of one that is found dying */
struct breaker_victim {
	__u64 start_ns;
	__u64 tgid;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, struct breaker_victim);
	__type(value, __u32);
} breaker_victims SEC(".maps");

const volatile bool breaker_signals_child = false; /* the kernel has bpf_send_signal_task() */

/* The network ------------------------------------------------------------------------------------
 */

/* Global: verified once a program. A verdict. */
__noinline int breaker_net_charge(__u32 place, __u32 units)
{
	struct wv_breaker_config *config = bpf_map_lookup_elem(&breaker_configs, &place);
	struct wv_breaker_state *st = bpf_map_lookup_elem(&breaker_net_states, &place);
	struct wv_breaker_machine after;
	__u64 now = bpf_ktime_get_ns(), trips;
	int admitted;

	if (!config || !st) {
		wv_count_place(WV_PLACE_BREAKER_STATE, 0);
		return 0;
	}
	bpf_spin_lock(&st->lock);
	trips = st->m.trips;
	admitted = wv_breaker_ask(&st->m, &config->rate, now, units);
	trips = st->m.trips - trips;
	if (trips)
		after = st->m;
	bpf_spin_unlock(&st->lock);
	if (trips)
		breaker_emit(place, config, &after, false);
	return breaker_verdict(config, admitted);
}

static __always_inline int net_charge(__u32 hook, __u32 units)
{
	struct wv_breaker_bind *bind = bpf_get_local_storage(&breaker_binds, 0);
	__u64 cgroup = bind->cgroup;
	struct wv_breaker_head *head;

	if (!cgroup) /* attached, and not told yet whose it is */
		return NET_PASS;
	head = bpf_map_lookup_elem(&breaker_heads, &cgroup);
	if (!head)
		return NET_PASS;
	for (int i = 0; i < WV_BREAKERS_A_HOOK; i++) {
		__u32 place = head->place[hook][i];

		if (!place)
			break;
		if (breaker_net_charge(place, units))
			return NET_REFUSE;
	}
	return NET_PASS;
}

/* connect() of a datagram socket only notes an address: nothing is sent, nothing is counted. */
static __always_inline int connect_charge(struct bpf_sock_addr *ctx)
{
	return ctx->type == STREAM_SOCKET ? net_charge(WV_BREAKER_AT_CONNECT, 1) : NET_PASS;
}

SEC("cgroup/connect4")
int breaker_connect4(struct bpf_sock_addr *ctx)
{
	return connect_charge(ctx);
}

SEC("cgroup/connect6")
int breaker_connect6(struct bpf_sock_addr *ctx)
{
	return connect_charge(ctx);
}

/* A large buffer counts as the packets that it becomes. */
SEC("cgroup_skb/egress")
int breaker_egress(struct __sk_buff *skb)
{
	return net_charge(WV_BREAKER_AT_EGRESS, skb->gso_segs ?: 1);
}

SEC("cgroup_skb/ingress")
int breaker_ingress(struct __sk_buff *skb)
{
	return net_charge(WV_BREAKER_AT_INGRESS, skb->gso_segs ?: 1);
}

/* Starts of tasks, where no gate program denies them
 * -----------------------------------------------
 */

#ifndef WV_RAW_TP
/* 6.13; not declared in the pinned types */
extern int bpf_send_signal_task(struct task_struct *task, int sig, enum pid_type type,
				__u64 value) __ksym __weak;
#endif

static __always_inline bool counts_here(__u32 hook, struct task_struct *task)
{
	struct wv_breaker_ctl *ctl;

	if (!wv_lifecycle_live())
		return false;
	ctl = breaker_control();
	return ctl && !(ctl->gates & 1u << hook) && breaker_wanted(ctl, hook, task);
}

static __always_inline void kill_current(void)
{
	long err = bpf_send_signal(SIGKILL);

	if (err)
		wv_count_place(WV_PLACE_BREAKER_SIGNAL, err);
}

/* The child exists, in its cgroup, and has not run yet. */
WV_TP("sched_process_fork")
int BPF_PROG(breaker_fork, struct task_struct *parent, struct task_struct *child)
{
	if (!counts_here(WV_BREAKER_AT_FORK, parent))
		return 0;
	if (!breaker_charge(parent, WV_BREAKER_AT_FORK, true))
		return 0;
	kill_current();
#ifndef WV_RAW_TP
	if (breaker_signals_child) {
		long err = bpf_send_signal_task(child, SIGKILL, PIDTYPE_TGID, 0);

		if (err)
			wv_count_place(WV_PLACE_BREAKER_SIGNAL, err);
	}
#endif
	return 0;
}

/* The new program has not run its first instruction. */
WV_TP("sched_process_exec")
int BPF_PROG(breaker_exec, struct task_struct *task)
{
	if (counts_here(WV_BREAKER_AT_EXEC, task) && breaker_charge(task, WV_BREAKER_AT_EXEC, true))
		kill_current();
	return 0;
}

/* OOM kills: counted; while open, starts in the domain are refused
 * ----------------------------------
 */

static __always_inline bool counts_victims(void)
{
	struct wv_breaker_ctl *ctl;

	if (!wv_lifecycle_live())
		return false;
	ctl = breaker_control();
	return ctl && ctl->places[WV_BREAKER_AT_OOM];
}

WV_TP("mark_victim")
int BPF_PROG(breaker_oom_mark, struct task_struct *task)
{
	struct breaker_victim victim = {
		.start_ns = BPF_CORE_READ(task, group_leader, start_time),
		.tgid = BPF_CORE_READ(task, tgid),
	};
	__u32 one = 1;

	if (!counts_victims() || bpf_map_lookup_elem(&breaker_victims, &victim))
		return 0;
	bpf_map_update_elem(&breaker_victims, &victim, &one, BPF_ANY);
	breaker_charge(task, WV_BREAKER_AT_OOM, false);
	return 0;
}

/* Where mark_victim gives a number instead of a task: when the victim's last thread ends. */
WV_TP("sched_process_exit")
int BPF_PROG(breaker_oom_exit, struct task_struct *task)
{
	if (!counts_victims())
		return 0;
	if (WV_READ2(task, signal, oom_mm) && !BPF_CORE_READ(task, signal, live.counter))
		breaker_charge(task, WV_BREAKER_AT_OOM, false);
	return 0;
}
