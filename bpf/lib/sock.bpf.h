/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whose a socket is. Most of what happens to a socket happens in softirq, where the current task is
 * not the owner. A socket knows the v2 cgroup that made it (accepted ones inherit the listener's).
 * Where tasks live in a v1 hierarchy that is the root for all of them, so there the owner's key is
 * kept in the socket's storage: bpf/net.bpf.c puts it there when the socket is made.
 */
#ifndef WAVEOS_SOCK_BPF_H
#define WAVEOS_SOCK_BPF_H

#include "waveos.bpf.h"

/* Set by user space before load: key of the v2 root, which has the sockets that nothing else
 * claims. */
const volatile __u64 wv_root_key = 1;

/* socket -> key of its owner (v1 machines); a listener's passes to what it accepts */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u64);
} wv_owners SEC(".maps");

/* Before 5.15 the pointer shares a word with net_cls/net_prio figures, which the low bits tell
 * apart. */
struct sock_cgroup_data___old {
	__u64 val;
} __attribute__((preserve_access_index));

struct sock___old {
	struct sock_cgroup_data___old sk_cgrp_data;
} __attribute__((preserve_access_index));

/* A time-wait or request socket is a smaller struct than struct sock: it has no owner. */
static __always_inline bool wv_sock_full(const struct sock *sk)
{
	__u8 state = WV_READ(sk, __sk_common.skc_state);

	return state && state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV;
}

static __always_inline __u64 wv_sock_cgroup_key(const struct sock *sk)
{
	struct cgroup *cgrp;
	__u64 key, val;

	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup)) {
		key = WV_READ3(sk, sk_cgrp_data.cgroup, kn, id);
	} else {
		val = BPF_CORE_READ((const struct sock___old *)sk, sk_cgrp_data.val);
		cgrp = (struct cgroup *)val;
		key = val & 3 ? 0 : BPF_CORE_READ(cgrp, kn, id);
	}
	return key ?: wv_root_key;
}

/* Whether the socket's own cgroup says nothing and its storage has to be asked. */
static __always_inline bool wv_sock_unclaimed(__u64 key)
{
	return wv_settings.v1_ssid >= 0 && key == wv_root_key;
}

/*
 * Whether BTF tracepoints and iterators can reach socket storage. That came with 5.11, as did this
 * helper; unlike it, it left no name in BTF that could be asked for.
 */
#define WV_SOCK_STORAGE_IN_TRACING                                                                 \
	bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_sock_from_file)

/* For tracepoints. Raw ones cannot reach the storage. */
static __always_inline __u64 wv_sock_key(struct sock *sk)
{
	__u64 key = wv_sock_cgroup_key(sk);

#ifndef WV_RAW_TP
	if (wv_sock_unclaimed(key) && WV_SOCK_STORAGE_IN_TRACING) {
		__u64 *owner = bpf_sk_storage_get(&wv_owners, sk, NULL, 0);

		if (owner)
			return *owner;
	}
#endif
	return key;
}

#endif
