// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network traffic, TCP and drops per cgroup.
 *
 * Hooks: cgroup_skb at the v2 root (every packet of a socket: the hot path), sockops there,
 * tracepoints inet_sock_set_state, tcp_retransmit_skb, tcp_send_reset, tcp_receive_reset,
 * kfree_skb; on v1 machines also cgroup/sock_create and an iterator that is run once at start.
 *
 * Programs of the cgroup types return 1: they observe, they never deny. Process context and softirq
 * of one CPU may both be in these hooks, one interrupting the other, so even per-CPU rows are added
 * to atomically.
 */
#include "lib/waveos.bpf.h"
#include "lib/sock.bpf.h"
#include <bpf/bpf_endian.h>
#include "waveos/net.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define AF_INET 2
#define AF_INET6 10
#define ALLOW 1

/* Set by user space before load: how many arguments the tracepoints have on this kernel. */
const volatile __u32 net_drop_args = 0;
const volatile __u32 net_retransmit_args = 0;

WV_TABLE(net_rows, struct wv_net_row);
WV_TABLE(tcp_rows, struct wv_tcp_row);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, WV_DROP_KEYS);
	__type(key, struct wv_drop_key);
	__type(value, __u64);
} net_drops SEC(".maps");

/* What removed cgroups left to their parents. Only user space writes and reads it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WV_DROP_KEYS);
	__type(key, struct wv_drop_key);
	__type(value, __u64);
} net_drops_base SEC(".maps");

/* address of a socket in SYN_SENT -> since when, and for whom */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WV_TCP_STARTS);
	__type(key, __u64);
	__type(value, struct wv_tcp_start);
} tcp_starts SEC(".maps");

static __always_inline __u64 current_key(void)
{
	return wv_task_key_read((struct task_struct *)bpf_get_current_task());
}

static __always_inline struct wv_tcp_row *tcp_row(__u64 key)
{
	return wv_row(tcp_rows, wv_key_slot(key));
}

/* v1 machines: the task that makes a socket owns it. */
SEC("cgroup/sock_create")
int net_own(struct bpf_sock *sk)
{
	__u64 key;

	if (!wv_live())
		return ALLOW;
	key = current_key();
	if (!(key & WV_KEY_V1))
		return ALLOW;
	if (!bpf_sk_storage_get(&wv_owners, sk, &key, BPF_SK_STORAGE_GET_F_CREATE))
		wv_count_place(WV_PLACE_SK_STORAGE, 0);
	return ALLOW;
}

/* v1 machines, run once: sockets that were there before belong to a task that has them open. */
SEC("iter/task_file")
int net_adopt(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *sock;
	struct sock *sk;
	__u16 family;
	__u64 key;

	if (!wv_live() || !task || !file || !WV_SOCK_STORAGE_IN_TRACING)
		return 0;
	sock = bpf_sock_from_file(file);
	if (!sock)
		return 0;
	sk = sock->sk;
	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	key = wv_task_key_read(task);
	if ((family != AF_INET && family != AF_INET6) || !(key & WV_KEY_V1))
		return 0;
	if (!bpf_sk_storage_get(&wv_owners, sk, &key, BPF_SK_STORAGE_GET_F_CREATE))
		wv_count_place(WV_PLACE_SK_STORAGE, 0);
	return 0;
}

/* Packets ---------------------------------------------------------------------------------------
 */

static __always_inline __u64 packet_key(struct __sk_buff *skb)
{
	__u64 key = bpf_skb_cgroup_id(skb), *owner;
	struct bpf_sock *sk;

	if (!wv_sock_unclaimed(key))
		return key;
	sk = skb->sk;
	if (!sk)
		return key;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return key;
	owner = bpf_sk_storage_get(&wv_owners, sk, NULL, 0);
	return owner ? *owner : key;
}

SEC("cgroup_skb/ingress")
int net_ingress(struct __sk_buff *skb)
{
	struct wv_net_row *row;

	if (!wv_live())
		return ALLOW;
	row = wv_cpu_row(net_rows, wv_key_slot(packet_key(skb)));
	if (row) {
		wv_add(row->rx_bytes, skb->len);
		wv_add(row->rx_packets, skb->gso_segs ?: 1);
	}
	return ALLOW;
}

SEC("cgroup_skb/egress")
int net_egress(struct __sk_buff *skb)
{
	struct wv_net_row *row;

	if (!wv_live())
		return ALLOW;
	row = wv_cpu_row(net_rows, wv_key_slot(packet_key(skb)));
	if (row) {
		wv_add(row->tx_bytes, skb->len);
		wv_add(row->tx_packets, skb->gso_segs ?: 1);
	}
	return ALLOW;
}

/* Drops -----------------------------------------------------------------------------------------
 */

/* The numbers differ between kernels, and not every kernel has every name. */
#define IS_REASON(reason, name)                                                                    \
	(bpf_core_enum_value_exists(enum skb_drop_reason, name) &&                                 \
	 (reason) == bpf_core_enum_value(enum skb_drop_reason, name))

/* Freed without a loss: delivered packets, and what a socket that closes still has queued (its
 * FIN). */
static __always_inline bool is_drop(__u32 reason)
{
	return !IS_REASON(reason, SKB_NOT_DROPPED_YET) && !IS_REASON(reason, SKB_CONSUMED) &&
	       !IS_REASON(reason, SKB_DROP_REASON_QUEUE_PURGE);
}

static __always_inline void count_drop(__u32 slot, __u32 reason)
{
	struct wv_drop_key key = {.slot = slot, .reason = reason};
	__u64 *count = bpf_map_lookup_elem(&net_drops, &key), zero = 0;
	long err;

	if (!count) {
		err = bpf_map_update_elem(&net_drops, &key, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&net_drops, &key);
		if (!count) {
			wv_count_place(WV_PLACE_FACET_FULL, err);
			key.slot = WV_SLOT_OTHER;
			key.reason = WV_DROP_OTHER; /* user space put it there at start */
			count = bpf_map_lookup_elem(&net_drops, &key);
		}
	}
	if (count)
		wv_add(*count, 1);
}

/*
 * kfree_skb(skb, location[, reason[, rx_sk]]). IP packets only: netlink and the like are freed here
 * too. skb->sk is the sender's socket, or the receiver's once it is known; without one the root's
 * row counts it.
 */
WV_TP("kfree_skb")
int net_drop(__u64 *ctx)
{
	__u32 reason = WV_DROP_UNSPECIFIED, slot;
	struct sk_buff *skb = (void *)ctx[0];
	__u64 key = wv_root_key;
	struct sock *sk = NULL;
	struct wv_net_row *row;
	__u16 protocol;

	if (!wv_live())
		return 0;
	if (net_drop_args >= 3) {
		reason = (__u32)ctx[2];
		if (!is_drop(reason))
			return 0;
	}
	protocol = WV_READ(skb, protocol);
	if (protocol != bpf_htons(ETH_P_IP) && protocol != bpf_htons(ETH_P_IPV6))
		return 0;
	if (net_drop_args >= 4)
		sk = (void *)ctx[3];
	if (!sk)
		sk = WV_READ(skb, sk);
	if (sk && wv_sock_full(sk))
		key = wv_sock_key(sk);
	slot = wv_key_slot(key);
	row = wv_cpu_row(net_rows, slot);
	if (row)
		wv_add(row->drops, 1);
	count_drop(slot, reason);
	return 0;
}

/* TCP -------------------------------------------------------------------------------------------
 */

static __always_inline void connect_start(struct sock *sk)
{
	struct wv_tcp_start start = {.start_ns = bpf_ktime_get_ns()};
	__u64 id = (__u64)sk;
	long err;

	start.key = wv_sock_key(sk);
	if (wv_sock_unclaimed(start.key))
		start.key = current_key(); /* connect(2): here the task is the socket's */
	err = bpf_map_update_elem(&tcp_starts, &id, &start, BPF_ANY);
	if (err)
		wv_count_place(WV_PLACE_START_INSERT, err);
}

static __always_inline void connect_end(struct sock *sk, bool connected)
{
	__u64 id = (__u64)sk, key, ns = 0;
	struct wv_tcp_start *start = bpf_map_lookup_elem(&tcp_starts, &id);
	struct wv_tcp_row *row;

	if (start) {
		key = start->key;
		ns = bpf_ktime_get_ns() - start->start_ns;
		bpf_map_delete_elem(&tcp_starts, &id);
	} else {
		key = wv_sock_key(sk);
	}
	row = tcp_row(key);
	if (!row)
		return;
	if (!connected) {
		wv_add(row->failures, 1);
		return;
	}
	wv_add(row->connects, 1);
	if (!start)
		return; /* it was under way when we came, or its start did not fit */
	wv_add(row->connect_sum_ns, ns);
	wv_add(row->connect_latency[wv_hist_bucket(ns)], 1);
}

/*
 * An active open leaves SYN_SENT: to CLOSE it failed, else it came about (to SYN_RECV in a
 * simultaneous open, which is then counted as accepted too). A passive one becomes ESTABLISHED from
 * SYN_RECV.
 */
WV_TP("inet_sock_set_state")
int BPF_PROG(tcp_state, struct sock *sk, int from, int to)
{
	struct wv_tcp_row *row;

	if (!wv_live() || WV_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (to == TCP_SYN_SENT) {
		connect_start(sk);
	} else if (from == TCP_SYN_SENT) {
		connect_end(sk, to != TCP_CLOSE);
	} else if (from == TCP_SYN_RECV && to == TCP_ESTABLISHED) {
		row = tcp_row(wv_sock_key(sk));
		if (row)
			wv_add(row->accepts, 1);
	}
	return 0;
}

/*
 * tcp_retransmit_skb(sk, skb[, err]). Before 6.15 it fires for what was sent, since then for every
 * try. Positive: dropped in a queue of this machine, RetransSegs has it too; negative: no try.
 */
WV_TP("tcp_retransmit_skb")
int tcp_retransmit(__u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[1];
	struct sock *sk = (void *)ctx[0];
	struct tcp_skb_cb *cb;
	struct wv_tcp_row *row;

	if (!wv_live() || (net_retransmit_args >= 3 && (int)ctx[2] < 0))
		return 0;
	row = tcp_row(wv_sock_key(sk));
	if (!row)
		return 0;
	cb = (void *)skb->cb;
	wv_add(row->retransmits, BPF_CORE_READ(cb, tcp_gso_segs) ?: 1);
	return 0;
}

/* tcp_send_reset(sk, skb[, reason]): without a socket nobody's port was asked for */
WV_TP("tcp_send_reset")
int tcp_reset_sent(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	__u64 key = wv_root_key;
	struct wv_tcp_row *row;

	if (!wv_live())
		return 0;
	if (sk && wv_sock_full(sk))
		key = wv_sock_key(sk);
	row = tcp_row(key);
	if (row)
		wv_add(row->resets_sent, 1);
	return 0;
}

WV_TP("tcp_receive_reset")
int BPF_PROG(tcp_reset_received, struct sock *sk)
{
	struct wv_tcp_row *row;

	if (!wv_live())
		return 0;
	row = tcp_row(wv_sock_key(sk));
	if (row)
		wv_add(row->resets_received, 1);
	return 0;
}

/* Round-trip times ------------------------------------------------------------------------------
 */

static __always_inline void rtt_sample(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct wv_tcp_row *row;
	struct tcp_sock *tp;
	__u64 key, *owner, ns;

	if (!sk)
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	key = wv_sock_cgroup_key((struct sock *)tp);
	if (wv_sock_unclaimed(key)) {
		owner = bpf_sk_storage_get(&wv_owners, sk, NULL, 0);
		if (owner)
			key = *owner;
	}
	row = tcp_row(key);
	if (!row)
		return;
	ns = (__u64)(ops->srtt_us >> 3) * 1000; /* the kernel keeps eight times the microseconds */
	wv_add(row->rtt_sum_ns, ns);
	wv_add(row->rtt[wv_hist_bucket(ns)], 1);
}

SEC("sockops")
int tcp_rtt(struct bpf_sock_ops *ops)
{
	if (!wv_live())
		return ALLOW;
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		/* other programs' flags stay */
		bpf_sock_ops_cb_flags_set(ops,
					  ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		rtt_sample(ops);
		break;
	}
	return ALLOW;
}
