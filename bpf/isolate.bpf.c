// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cuts a cgroup subtree off the network: every IP packet that leaves or arrives is dropped, but for
 * those over the loopback device, so that local health checks still get an answer. User space
 * attaches both programs at the isolated cgroup and pins the links; they do not look at wv_live():
 * isolation holds with the agent dead.
 */
/* Only stable (UAPI) types are used here: without relocations the load need not parse kernel BTF.
 */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "lib/waveos.bpf.h"
#include "waveos/isolate.h"

#define LOOPBACK 1 /* interface index in every network namespace */
#define PASS 1
#define DROP 0 /* send() returns EPERM */

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64); /* cgroup id: shared by both hooks */
	__type(value, struct wv_isolate_state);
} isolate_state SEC(".maps");

SEC("cgroup_skb/egress")
int isolate_egress(struct __sk_buff *skb)
{
	struct wv_isolate_state *st = bpf_get_local_storage(&isolate_state, 0);

	if (skb->ifindex == LOOPBACK)
		return PASS;
	__sync_fetch_and_add(&st->egress_drops, 1);
	return DROP;
}

SEC("cgroup_skb/ingress")
int isolate_ingress(struct __sk_buff *skb)
{
	struct wv_isolate_state *st = bpf_get_local_storage(&isolate_state, 0);

	if (skb->ifindex == LOOPBACK)
		return PASS;
	__sync_fetch_and_add(&st->ingress_drops, 1);
	return DROP;
}
