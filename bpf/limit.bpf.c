// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network limits of a cgroup subtree: bits, packets and connects a second.
 *
 * Hooks: cgroup_skb/egress, cgroup_skb/ingress, cgroup/connect4, cgroup/connect6,
 * cgroup/sock_create; user space attaches them at the budgeted cgroup. The cgroup's storage belongs
 * to the place of attachment, not to the socket's own cgroup, so all descendants draw from one set
 * of buckets.
 *
 * Egress packets over the limit are dropped, or, where the device's root queue honours departure
 * times (fq), delayed by stamping them. A device is named by namespace and index; a packet does not
 * tell its namespace on every kernel, so sockets are tagged with it when they are created or
 * connect. A socket without a tag is never paced, only policed: an unlimited device can not be
 * mistaken for a pacing one.
 *
 * These programs do not look at wv_live(): they limit as long as they are attached, agent or no
 * agent.
 */
/* Only stable (UAPI) types are used here: without relocations the load need not parse kernel BTF.
 */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "lib/waveos.bpf.h"
#include <bpf/bpf_endian.h>
#include "waveos/limit.h"

#define TRIP_INTERVAL_NS 1000000000ULL
#define STREAM_SOCKET 1	     /* SOCK_STREAM */
#define IPV6_PROTOCOL 0x86DD /* ETH_P_IPV6 */

/* verdicts of an egress program: bit 0 lets pass, bit 1 tells the sender of congestion */
#define EGRESS_PASS 1
#define EGRESS_DROP 2 /* looks like loss below, not like -EPERM from send() */
#define INGRESS_PASS 1
#define INGRESS_DROP 0
#define CONNECT_PASS 1
#define CONNECT_DENY 0 /* connect() returns EPERM */

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64); /* cgroup id: shared by all hooks */
	__type(value, struct wv_limit_state);
} limit_state SEC(".maps");

/* sized by user space to collect.max_cgroups */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct wv_limit_rates);
} limit_rates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct wv_limit_device);
	__type(value, __u8);
} limit_pacers SEC(".maps");

/* network namespace of a socket, as in struct wv_limit_device; accepted sockets inherit the tag */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u64);
} limit_sockets SEC(".maps");

/* What one packet or connect asks for, and what came of it. */
struct ask {
	__u64 units[2]; /* of buckets `first` and `first + 1` */
	__u64 now;
	__u64 max_wait_ns; /* 0: police */
	__u64 wait_ns;
	__u32 first;
	__u32 refused_by; /* enum wv_limit, if !admitted */
	__u64 per_second;
	bool admitted, trip;
};

static __always_inline void trip_emit(const struct wv_limit_state *st, const struct ask *ask,
				      __u64 refused)
{
	struct wv_event_limit *ev = wv_event_reserve(WV_EV_LIMIT_TRIP, sizeof(*ev));

	if (!ev)
		return;
	ev->h.key = st->cgroup;
	ev->h.slot = wv_key_slot(st->cgroup);
	ev->limit = ask->refused_by;
	ev->pad = 0;
	ev->per_second = ask->per_second;
	ev->refused = refused;
	wv_event_submit(ev);
}

/* Under the lock. Depth of bucket i of the ask: smaller where a queue smooths. */
static __always_inline struct wv_bucket_rate ask_rate(const struct wv_limit_rates *rates,
						      const struct ask *ask, __u32 i)
{
	struct wv_bucket_rate rate = rates->rate[ask->first + i];

	if (ask->max_wait_ns)
		rate.burst_ns = rates->paced_burst_ns[i];
	return rate;
}

/* Under the lock: how long bucket i of the ask makes it wait. */
static __always_inline void ask_wait(const struct wv_limit_state *st,
				     const struct wv_limit_rates *rates, struct ask *ask, __u32 i)
{
	struct wv_bucket_rate rate = ask_rate(rates, ask, i);
	__u64 wait = wv_bucket_wait(&st->bucket[ask->first + i], &rate, ask->units[i], ask->now);

	if (wait > ask->wait_ns)
		ask->wait_ns = wait;
	if (wait > ask->max_wait_ns && ask->admitted) {
		ask->admitted = false;
		ask->refused_by = ask->first + i;
		ask->per_second = rate.per_second;
	}
}

/* Under the lock: both buckets admit (one bucket for a connect), or none is charged. */
static __always_inline void ask_decide(struct wv_limit_state *st,
				       const struct wv_limit_rates *rates, struct ask *ask,
				       bool two)
{
	ask->admitted = true;
	if (st->epoch != rates->epoch) {
#pragma unroll
		for (int i = 0; i < WV_LIMIT_N; i++)
			wv_bucket_rerate(&st->bucket[i], &rates->rate[i], ask->now);
		st->epoch = rates->epoch;
	}
	ask_wait(st, rates, ask, 0);
	if (two)
		ask_wait(st, rates, ask, 1);
	if (ask->admitted) {
		wv_bucket_take(&st->bucket[ask->first], &rates->rate[ask->first], ask->units[0],
			       ask->now);
		if (two)
			wv_bucket_take(&st->bucket[ask->first + 1], &rates->rate[ask->first + 1],
				       ask->units[1], ask->now);
		return;
	}
	if (ask->now - st->trip_ns >= TRIP_INTERVAL_NS) {
		st->trip_ns = ask->now;
		st->trips++;
		ask->trip = true;
	}
}

/* Rates of the cgroup that the running program is attached at; NULL: not set up yet. */
static __always_inline struct wv_limit_rates *state_rates(const struct wv_limit_state *st)
{
	__u64 cgroup = st->cgroup;

	return cgroup ? bpf_map_lookup_elem(&limit_rates, &cgroup) : NULL;
}

/*
 * Bytes of IP packets that this buffer becomes on the wire. A buffer that is segmented later
 * carries its headers once; the others are added by protocol, TCP with its time stamps (what Linux
 * sends).
 */
static __always_inline __u32 wire_bytes(struct __sk_buff *skb, __u32 segments)
{
	struct bpf_sock *sk = skb->sk;
	__u32 header;

	if (segments <= 1)
		return skb->len;
	header = skb->protocol == bpf_htons(IPV6_PROTOCOL) ? 40 : 20;
	if (sk)
		sk = bpf_sk_fullsock(sk);
	header += sk && sk->protocol == IPPROTO_UDP ? 8 : 32;
	return skb->len + (segments - 1) * header;
}

/* Whether the packet's device honours departure times. */
static __always_inline bool device_paces(struct __sk_buff *skb)
{
	struct wv_limit_device device = {.ifindex = skb->ifindex};
	struct bpf_sock *sk = skb->sk;
	__u64 *netns;

	if (!sk)
		return false;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return false;
	netns = bpf_sk_storage_get(&limit_sockets, sk, NULL, 0);
	if (!netns)
		return false;
	device.netns = *netns;
	return bpf_map_lookup_elem(&limit_pacers, &device);
}

static __always_inline void direction_count(struct wv_limit_direction *d, const struct ask *ask)
{
	if (ask->admitted) {
		d->packets += ask->units[1];
		d->bytes += ask->units[0] / 8;
	} else {
		d->drop_packets += ask->units[1];
		d->drop_bytes += ask->units[0] / 8;
	}
}

SEC("cgroup_skb/egress")
int limit_egress(struct __sk_buff *skb)
{
	struct wv_limit_state *st = bpf_get_local_storage(&limit_state, 0);
	struct wv_limit_rates *rates = state_rates(st);
	__u32 segments = skb->gso_segs ?: 1;
	struct ask ask = {.first = WV_LIMIT_EGRESS_BITS};
	__u64 refused, departure;

	if (!rates)
		return EGRESS_PASS;
	ask.units[0] = (__u64)wire_bytes(skb, segments) * 8;
	ask.units[1] = segments;
	if (rates->pace && device_paces(skb))
		ask.max_wait_ns = rates->horizon_ns;
	ask.now = bpf_ktime_get_ns();

	bpf_spin_lock(&st->lock);
	ask_decide(st, rates, &ask, true);
	direction_count(&st->egress, &ask);
	if (ask.admitted && ask.wait_ns) {
		st->paced_packets += segments;
		st->paced_ns += ask.wait_ns;
	}
	refused = st->egress.drop_packets;
	bpf_spin_unlock(&st->lock);

	if (!ask.admitted) {
		if (ask.trip)
			trip_emit(st, &ask, refused);
		return EGRESS_DROP;
	}
	departure = ask.now + ask.wait_ns;
	/* the sender may have asked for a later departure itself (TCP's own pacing) */
	if (ask.wait_ns && (__s64)(departure - skb->tstamp) > 0)
		skb->tstamp = departure;
	return EGRESS_PASS;
}

SEC("cgroup_skb/ingress")
int limit_ingress(struct __sk_buff *skb)
{
	struct wv_limit_state *st = bpf_get_local_storage(&limit_state, 0);
	struct wv_limit_rates *rates = state_rates(st);
	__u32 segments = skb->gso_segs ?: 1;
	struct ask ask = {.first = WV_LIMIT_INGRESS_BITS};
	__u64 refused;

	if (!rates)
		return INGRESS_PASS;
	ask.units[0] = (__u64)wire_bytes(skb, segments) * 8;
	ask.units[1] = segments;
	ask.now = bpf_ktime_get_ns();

	bpf_spin_lock(&st->lock);
	ask_decide(st, rates, &ask, true);
	direction_count(&st->ingress, &ask);
	refused = st->ingress.drop_packets;
	bpf_spin_unlock(&st->lock);

	if (ask.admitted)
		return INGRESS_PASS;
	if (ask.trip)
		trip_emit(st, &ask, refused);
	return INGRESS_DROP;
}

/* The tag of a socket: 0 for the initial network namespace, else the namespace's cookie. */
static __always_inline __u64 netns_tag(__u64 cookie, __u64 initial)
{
	return cookie == initial ? 0 : cookie;
}

static __always_inline int connect_limit(struct bpf_sock_addr *ctx)
{
	struct wv_limit_state *st = bpf_get_local_storage(&limit_state, 0);
	struct wv_limit_rates *rates = state_rates(st);
	struct ask ask = {.first = WV_LIMIT_CONNECTS, .units = {1}};
	__u64 refused;

	/* connect() of a datagram socket only notes an address: nothing is sent, nothing is counted
	 */
	if (!rates || ctx->type != STREAM_SOCKET)
		return CONNECT_PASS;
	ask.now = bpf_ktime_get_ns();

	bpf_spin_lock(&st->lock);
	ask_decide(st, rates, &ask, false);
	if (ask.admitted)
		st->connects++;
	else
		st->denied++;
	refused = st->denied;
	bpf_spin_unlock(&st->lock);

	if (ask.admitted)
		return CONNECT_PASS;
	if (ask.trip)
		trip_emit(st, &ask, refused);
	return CONNECT_DENY;
}

SEC("cgroup/connect4")
int limit_connect4(struct bpf_sock_addr *ctx)
{
	return connect_limit(ctx);
}

SEC("cgroup/connect6")
int limit_connect6(struct bpf_sock_addr *ctx)
{
	return connect_limit(ctx);
}

/* Tags a new socket with its network namespace. Never refuses. */
SEC("cgroup/sock_create")
int limit_socket(struct bpf_sock *sk)
{
	__u64 tag = netns_tag(bpf_get_netns_cookie(sk), bpf_get_netns_cookie(NULL));

	if (!bpf_sk_storage_get(&limit_sockets, sk, &tag, BPF_SK_STORAGE_GET_F_CREATE))
		wv_count_place(WV_PLACE_SK_STORAGE, 0);
	return 1;
}
