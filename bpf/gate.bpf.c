// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gates on connects, datagrams, binds, devices and sysctls of a cgroup subtree.
 *
 * Hooks: cgroup/connect4, connect6, sendmsg4, sendmsg6, bind4, bind6, cgroup/dev, cgroup/sysctl;
 * user space attaches them at the root of a domain. The kernel runs those of all ancestors and all
 * must allow, so each program asks only the place where it is attached. That is in the cgroup's
 * storage.
 */
#include "lib/gate.bpf.h"
#include <bpf/bpf_endian.h>

#define PASS 1
#define REFUSE 0 /* the system call returns EPERM */

#define FAMILY_IPV4 2  /* AF_INET */
#define FAMILY_IPV6 10 /* AF_INET6 */

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64); /* cgroup id: shared by all hooks */
	__type(value, struct wv_gate_here);
} gate_here SEC(".maps");

/* The place of the running program; sets its cgroup. */
static __always_inline struct wv_gate_place *place_here(__u32 kind, __u64 *ret_cgroup)
{
	struct wv_gate_here *here = bpf_get_local_storage(&gate_here, 0);
	struct wv_gate_place_key key = {.cgroup = here->cgroup, .kind = kind};

	*ret_cgroup = key.cgroup;
	return key.cgroup ? bpf_map_lookup_elem(&gate_places, &key) : NULL;
}

/* Addresses ------------------------------------------------------------------------------------ */

struct ask {
	struct wv_gate_address_key key;
	__u32 family, protocol, port, kind, op;
};

static __always_inline __u32 address_bits(struct ask *ask, const struct wv_gate_ref *ref)
{
	__u32 *value, bits = 0;

	if (!gate_has_entries(ref->flags))
		return 0;
	ask->key.list = ref->list;
	if (ref->flags & WV_GATE_HAS_PORTS) {
		ask->key.port = ask->port;
		value = bpf_map_lookup_elem(&gate_addresses, &ask->key);
		bits = value ? *value : 0;
		ask->key.port = 0;
		if (!ask->port)
			return bits;
	}
	value = bpf_map_lookup_elem(&gate_addresses, &ask->key);
	return bits | (value ? *value : 0);
}

static __always_inline void address_tell(const struct ask *ask, const struct wv_gate_ref *ref,
					 __u64 cgroup)
{
	struct wv_event_gate *ev = gate_event(ref, ask->kind, cgroup);

	if (!ev)
		return;
	ev->op = ask->op;
	ev->v[0] = ask->family;
	ev->v[1] = ask->protocol;
	ev->v[2] = ask->port;
	__builtin_memcpy(ev->address, ask->key.address, sizeof(ev->address));
	wv_event_submit(ev);
}

static __always_inline int address_verdict(struct ask *ask)
{
	struct wv_gate_place *place;
	int verdict = PASS;
	__u64 cgroup;

	place = place_here(ask->kind, &cgroup);
	if (!place)
		return PASS;
	for (__u32 i = 0; i < WV_GATES_AT; i++) {
		struct wv_gate_ref ref;

		if (i >= place->n)
			break;
		ref = place->ref[i];
		if (!gate_refuses(ref.flags, address_bits(ask, &ref)))
			continue;
		address_tell(ask, &ref, cgroup);
		if (ref.flags & WV_GATE_ENFORCE)
			verdict = REFUSE;
	}
	return verdict;
}

/* Puts an IPv4 address where IPv6 maps it. A connect to the wildcard address is one to loopback. */
static __always_inline void put_ipv4(struct ask *ask, __u32 ip)
{
	ask->key.family = 4;
	ask->key.address[10] = ask->key.address[11] = 0xff;
	if (!ip && ask->kind == WV_GATED_CONNECT)
		ip = bpf_htonl(0x7f000001);
	__builtin_memcpy(&ask->key.address[12], &ip, 4);
}

static __always_inline int verdict4(struct bpf_sock_addr *ctx, __u32 kind, __u32 op)
{
	struct ask ask = {
		.key.prefix_bits = WV_GATE_ADDRESS_BITS + 128,
		.family = FAMILY_IPV4,
		.protocol = ctx->protocol,
		.port = bpf_ntohs(ctx->user_port),
		.kind = kind,
		.op = op,
	};

	put_ipv4(&ask, ctx->user_ip4);
	return address_verdict(&ask);
}

static __always_inline int verdict6(struct bpf_sock_addr *ctx, __u32 kind, __u32 op)
{
	struct ask ask = {
		.key.prefix_bits = WV_GATE_ADDRESS_BITS + 128,
		.family = FAMILY_IPV6,
		.protocol = ctx->protocol,
		.port = bpf_ntohs(ctx->user_port),
		.kind = kind,
		.op = op,
	};
	__u32 w0 = ctx->user_ip6[0], w1 = ctx->user_ip6[1], w2 = ctx->user_ip6[2],
	      w3 = ctx->user_ip6[3];

	if (!w0 && !w1 && w2 == bpf_htonl(0xffff)) {
		put_ipv4(&ask, w3);
		return address_verdict(&ask);
	}
	if (!w0 && !w1 && !w2 && !w3 && kind == WV_GATED_CONNECT)
		w3 = bpf_htonl(1);
	ask.key.family = 6;
	__builtin_memcpy(&ask.key.address[0], &w0, 4);
	__builtin_memcpy(&ask.key.address[4], &w1, 4);
	__builtin_memcpy(&ask.key.address[8], &w2, 4);
	__builtin_memcpy(&ask.key.address[12], &w3, 4);
	return address_verdict(&ask);
}

SEC("cgroup/connect4")
int gate_connect4(struct bpf_sock_addr *ctx)
{
	return verdict4(ctx, WV_GATED_CONNECT, WV_GATE_OP_NONE);
}

SEC("cgroup/connect6")
int gate_connect6(struct bpf_sock_addr *ctx)
{
	return verdict6(ctx, WV_GATED_CONNECT, WV_GATE_OP_NONE);
}

SEC("cgroup/sendmsg4")
int gate_sendmsg4(struct bpf_sock_addr *ctx)
{
	return verdict4(ctx, WV_GATED_CONNECT, WV_GATE_OP_SEND);
}

SEC("cgroup/sendmsg6")
int gate_sendmsg6(struct bpf_sock_addr *ctx)
{
	return verdict6(ctx, WV_GATED_CONNECT, WV_GATE_OP_SEND);
}

SEC("cgroup/bind4")
int gate_bind4(struct bpf_sock_addr *ctx)
{
	return verdict4(ctx, WV_GATED_BIND, WV_GATE_OP_NONE);
}

SEC("cgroup/bind6")
int gate_bind6(struct bpf_sock_addr *ctx)
{
	return verdict6(ctx, WV_GATED_BIND, WV_GATE_OP_NONE);
}

/* Devices -------------------------------------------------------------------------------------- */

static __always_inline __u32 device_masks(struct wv_gate_device_key *key, __u32 major, __u32 minor)
{
	__u32 *value;

	key->major = major;
	key->minor = minor;
	value = bpf_map_lookup_elem(&gate_devices, key);
	return value ? *value : 0;
}

/* Allowed if every access that is asked for is allowed by some entry; denied if any is denied. */
static __always_inline __u32 device_bits(const struct bpf_cgroup_dev_ctx *ctx,
					 const struct wv_gate_ref *ref)
{
	struct wv_gate_device_key key = {.list = ref->list, .type = ctx->access_type & 0xffff};
	__u32 access = ctx->access_type >> 16, masks, bits = 0;

	if (!gate_has_entries(ref->flags))
		return 0;
	masks = device_masks(&key, ctx->major, ctx->minor);
	masks |= device_masks(&key, ctx->major, WV_GATE_ANY);
	masks |= device_masks(&key, WV_GATE_ANY, ctx->minor);
	masks |= device_masks(&key, WV_GATE_ANY, WV_GATE_ANY);
	if (masks >> 8 & access)
		bits |= WV_GATE_DENY;
	if ((masks & access) == access)
		bits |= WV_GATE_ALLOW;
	return bits;
}

SEC("cgroup/dev")
int gate_device(struct bpf_cgroup_dev_ctx *ctx)
{
	struct wv_gate_place *place;
	int verdict = PASS;
	__u64 cgroup;

	place = place_here(WV_GATED_DEVICE, &cgroup);
	if (!place)
		return PASS;
	for (__u32 i = 0; i < WV_GATES_AT; i++) {
		struct wv_event_gate *ev;
		struct wv_gate_ref ref;

		if (i >= place->n)
			break;
		ref = place->ref[i];
		if (!gate_refuses(ref.flags, device_bits(ctx, &ref)))
			continue;
		if (ref.flags & WV_GATE_ENFORCE)
			verdict = REFUSE;
		ev = gate_event(&ref, WV_GATED_DEVICE, cgroup);
		if (!ev)
			continue;
		ev->v[0] = ctx->access_type & 0xffff;
		ev->v[1] = ctx->major;
		ev->v[2] = ctx->minor;
		ev->v[3] = ctx->access_type >> 16;
		wv_event_submit(ev);
	}
	return verdict;
}

/* Sysctls -------------------------------------------------------------------------------------- */

/* Writes only: a read changes nothing, and much of a C library reads some. */
SEC("cgroup/sysctl")
int gate_sysctl(struct bpf_sysctl *ctx)
{
	struct wv_gate_text_key key = {.prefix_bits = 8 * (4 + WV_GATE_TEXT)};
	struct wv_gate_place *place;
	int verdict = PASS;
	__u64 cgroup;
	long len;

	if (!ctx->write)
		return PASS;
	place = place_here(WV_GATED_SYSCTL, &cgroup);
	if (!place)
		return PASS;
	len = bpf_sysctl_get_name(ctx, key.text, sizeof(key.text), 0);
	if (len < 0)
		wv_count_place(WV_PLACE_STRING_READ, len);
	for (__u32 i = 0; i < WV_GATES_AT; i++) {
		struct wv_event_gate *ev;
		struct wv_gate_ref ref;
		__u32 *value;

		if (i >= place->n)
			break;
		ref = place->ref[i];
		key.list = ref.list;
		value = gate_has_entries(ref.flags) ? bpf_map_lookup_elem(&gate_texts, &key) : NULL;
		if (!gate_refuses(ref.flags, value ? *value : 0))
			continue;
		if (ref.flags & WV_GATE_ENFORCE)
			verdict = REFUSE;
		ev = gate_event(&ref, WV_GATED_SYSCTL, cgroup);
		if (!ev)
			continue;
		__builtin_memcpy(ev->text, key.text, sizeof(ev->text));
		wv_event_submit(ev);
	}
	return verdict;
}
