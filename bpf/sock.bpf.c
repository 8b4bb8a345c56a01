// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCP socket queues and accept queues per cgroup.
 *
 * sock_tcp      iterator, run by user space: every TCP socket of one network namespace
 * sock_listen   run by user space (test run): every known listener, of whatever namespace
 * sock_state    hook inet_sock_set_state: a socket starts or stops to listen
 *
 * A listener is known from its listen() on, in process context, so its cgroup is the caller's;
 * those that were there before are found by the iterator. What its queue dropped (sk_drops) is
 * counted as the growth since the last visit, and once more when it closes: the counter of the
 * cgroup never goes back.
 */
#include "lib/sock.bpf.h"
#include "waveos/queue.h"

/* Set by user space before load: the iterator does what sock_listen cannot here. */
const volatile bool sock_visit_listeners = false;

WV_TABLE(sock_rows, struct wv_sock_row);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wv_sock_passes);
} sock_passes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WV_LISTENERS);
	__type(key, __u64);
	__type(value, struct wv_listener);
} sock_listeners SEC(".maps");

static __always_inline struct wv_sock_passes *passes(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sock_passes, &zero);
}

/* Number of a socket's inode, 0 if it has none: never accepted, or orphaned. */
static __always_inline __u64 sock_inode(struct sock *sk)
{
	struct socket *socket = BPF_CORE_READ(sk, sk_socket);
	struct socket_alloc *alloc;

	if (!socket)
		return 0;
	alloc = container_of(socket, struct socket_alloc, socket);
	return BPF_CORE_READ(alloc, vfs_inode.i_ino);
}

/* Listeners ------------------------------------------------------------------------------------ */

/* What the socket's queue dropped since it was last asked. */
static __always_inline __u32 drops_since(struct wv_listener *l, struct sock *sk)
{
	__u32 now = BPF_CORE_READ(sk, sk_drops.counter), since = now - l->drops;

	l->drops = now;
	return since;
}

static __always_inline void listener_count(struct wv_listener *l, struct sock *sk,
					   struct wv_sock_passes *p)
{
	struct wv_sock_row *row = wv_row(sock_rows, wv_key_slot(l->key));
	__u32 drops = drops_since(l, sk);

	if (!row)
		return;
	if (row->listen_pass != p->listen_pass) {
		row->listen_pass = p->listen_pass;
		row->listeners = 0;
		row->accept_depth = 0;
		row->accept_max = 0;
	}
	row->listeners++;
	row->accept_depth += BPF_CORE_READ(sk, sk_ack_backlog);
	row->accept_max += BPF_CORE_READ(sk, sk_max_ack_backlog);
	if (drops)
		wv_add(row->overflows, drops);
	p->listeners++;
}

static __always_inline struct wv_listener *listener_add(struct sock *sk, __u64 key)
{
	struct wv_listener l = {.key = key, .inode = sock_inode(sk)};
	__u64 address = (__u64)sk;
	long err;

	/* what it dropped before it was known is before the agent's time */
	l.drops = BPF_CORE_READ(sk, sk_drops.counter);
	err = bpf_map_update_elem(&sock_listeners, &address, &l, BPF_ANY);
	if (err)
		wv_count_place(WV_PLACE_SK_STORAGE, err);
	return bpf_map_lookup_elem(&sock_listeners, &address);
}

/* Whether the socket at an address is still the one that is known. */
static __always_inline bool listener_is(struct wv_listener *l, struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN && sock_inode(sk) == l->inode;
}

WV_TP("inet_sock_set_state")
int BPF_PROG(sock_state, struct sock *sk, int from, int to)
{
	__u64 address = (__u64)sk, key;
	struct wv_sock_row *row;
	struct wv_listener *l;
	__u32 drops;

	if (from != TCP_LISTEN && to != TCP_LISTEN)
		return 0;
	if (!wv_live() || WV_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (to == TCP_LISTEN) {
		key = wv_sock_key(sk);
		if (wv_sock_unclaimed(key))
			key = wv_task_key_read((void *)bpf_get_current_task());
		listener_add(sk, key);
		return 0;
	}
	l = bpf_map_lookup_elem(&sock_listeners, &address);
	if (!l)
		return 0;
	drops = drops_since(l, sk);
	row = drops ? wv_row(sock_rows, wv_key_slot(l->key)) : NULL;
	if (row)
		wv_add(row->overflows, drops);
	bpf_map_delete_elem(&sock_listeners, &address);
	return 0;
}

static long visit_listener(struct bpf_map *map, __u64 *address, struct wv_listener *l, void *ctx)
{
	struct wv_sock_passes *p = passes();
	struct sock *sk = (void *)*address;
	__u64 key = *address;

	if (!p)
		return 0;
	if (listener_is(l, sk))
		listener_count(l, sk, p);
	else
		bpf_map_delete_elem(map, &key); /* closed while the observers stood still */
	return 0;
}

/* Not loaded where the kernel (before 5.13) cannot walk a map. */
SEC("raw_tp")
int sock_listen(void *ctx)
{
	if (wv_live())
		bpf_for_each_map_elem(&sock_listeners, visit_listener, NULL, 0);
	return 0;
}

/* Sockets -------------------------------------------------------------------------------------- */

static __always_inline void socket_count(struct wv_sock_row *row, struct tcp_sock *tp,
					 struct wv_sock_passes *p)
{
	struct sock *sk = (struct sock *)tp;
	__s32 rx = tp->rcv_nxt - tp->copied_seq, tx = tp->write_seq - tp->snd_una,
	      backlog = sk->sk_backlog.len;

	if (row->queue_pass != p->queue_pass) {
		row->queue_pass = p->queue_pass;
		row->rx_bytes = 0;
		row->tx_bytes = 0;
		row->backlog_bytes = 0;
		row->sockets = 0;
	}
	row->sockets++;
	p->sockets++;
	if (rx > 0)
		row->rx_bytes += rx;
	if (tx > 0)
		row->tx_bytes += tx;
	if (backlog > 0)
		row->backlog_bytes += backlog;
}

/* Writes a byte a socket, so that who reads it decides how many are visited at a time. */
SEC("iter/tcp")
int sock_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct wv_sock_passes *p = passes();
	struct wv_sock_row *row;
	struct wv_listener *l;
	struct tcp_sock *tp;
	__u64 address;
	char tally = 0;

	if (!common || !p)
		return 0;
	bpf_seq_write(ctx->meta->seq, &tally, sizeof(tally));
	tp = bpf_skc_to_tcp_sock(common); /* NULL for time-wait and request sockets */
	if (!tp)
		return 0;
	if (common->skc_state != TCP_LISTEN) {
		row = wv_row(sock_rows, wv_key_slot(wv_sock_key((struct sock *)tp)));
		if (row)
			socket_count(row, tp, p);
		return 0;
	}
	address = (__u64)tp;
	l = bpf_map_lookup_elem(&sock_listeners, &address);
	if (!l || !listener_is(l, (struct sock *)tp))
		l = listener_add((struct sock *)tp, wv_sock_key((struct sock *)tp));
	if (l && sock_visit_listeners)
		listener_count(l, (struct sock *)tp, p);
	return 0;
}
