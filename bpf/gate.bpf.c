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

/* Address and port of a system call; an IPv4 address that IPv6 maps is one of IPv4. */
struct endpoint {
	__u64 high, low; /* as in memory */
	__u32 port, family;
};

/* family_port: family << 16 | port; list_flags: of the gate. */
GATE_GLOBAL int gate_address_bits(__u64 list_flags, __u64 high, __u64 low, __u32 family_port)
{
	struct wv_gate_address_key key = {
		.prefix_bits = WV_GATE_ADDRESS_BITS + 128,
		.list = list_flags >> 32,
		.family = family_port >> 16,
	};
	__u32 *value, bits = 0, port = family_port & 0xffff;

	__builtin_memcpy(&key.address[0], &high, 8);
	__builtin_memcpy(&key.address[8], &low, 8);
	if (port && (list_flags & WV_GATE_HAS_PORTS)) {
		key.port = port;
		value = bpf_map_lookup_elem(&gate_addresses, &key);
		bits = value ? *value : 0;
		key.port = 0;
	}
	value = bpf_map_lookup_elem(&gate_addresses, &key);
	return bits | (value ? *value : 0);
}

GATE_GLOBAL int gate_tell_address(__u64 subject, __u64 cgroup, __u64 high, __u64 low,
				  __u64 family_protocol_port)
{
	struct wv_event_gate *ev = gate_event(subject, cgroup);

	if (!ev)
		return 0;
	ev->v[0] = family_protocol_port >> 32;
	ev->v[1] = family_protocol_port >> 16 & 0xffff;
	ev->v[2] = family_protocol_port & 0xffff;
	__builtin_memcpy(&ev->address[0], &high, 8);
	__builtin_memcpy(&ev->address[8], &low, 8);
	wv_event_submit(ev);
	return 0;
}

static __always_inline int address_verdict(struct bpf_sock_addr *ctx, const struct endpoint *e,
					   __u32 kind, __u32 op)
{
	__u64 cgroup, tell = (__u64)e->family << 32 | (ctx->protocol & 0xffff) << 16 | e->port;
	__u32 family_port = e->family << 16 | e->port;
	struct wv_gate_place *place;
	int verdict = PASS;

	place = place_here(kind, &cgroup);
	if (!place)
		return PASS;
	for (__u32 i = 0; i < WV_GATES_AT; i++) {
		struct wv_gate_ref ref;
		__u32 bits = 0;

		if (i >= place->n)
			break;
		ref = place->ref[i];
		if (gate_has_entries(ref.flags))
			bits = gate_address_bits((__u64)ref.list << 32 | ref.flags, e->high, e->low,
						 family_port);
		if (!gate_refuses(ref.flags, bits))
			continue;
		if (ref.flags & WV_GATE_ENFORCE)
			verdict = REFUSE;
		gate_tell_address(gate_subject(&ref, kind, op), cgroup, e->high, e->low, tell);
	}
	return verdict;
}

/* A connect to the wildcard address is one to loopback. */
static __always_inline __u64 mapped_low(__u32 ip, __u32 kind)
{
	if (!ip && kind == WV_GATED_CONNECT)
		ip = bpf_htonl(0x7f000001);
	return (__u64)ip << 32 | bpf_htonl(0xffff);
}

static __always_inline int verdict4(struct bpf_sock_addr *ctx, __u32 kind, __u32 op)
{
	const struct endpoint e = {
		.low = mapped_low(ctx->user_ip4, kind),
		.port = bpf_ntohs(ctx->user_port),
		.family = 4,
	};

	return address_verdict(ctx, &e, kind, op);
}

static __always_inline int verdict6(struct bpf_sock_addr *ctx, __u32 kind, __u32 op)
{
	__u32 w0 = ctx->user_ip6[0], w1 = ctx->user_ip6[1], w2 = ctx->user_ip6[2],
	      w3 = ctx->user_ip6[3];
	struct endpoint e = {
		.high = (__u64)w1 << 32 | w0,
		.low = (__u64)w3 << 32 | w2,
		.port = bpf_ntohs(ctx->user_port),
		.family = 6,
	};

	if (!e.high && w2 == bpf_htonl(0xffff)) {
		e.family = 4;
		e.low = mapped_low(w3, kind);
	} else if (!e.high && !e.low && kind == WV_GATED_CONNECT) {
		e.low = (__u64)bpf_htonl(1) << 32;
	}
	return address_verdict(ctx, &e, kind, op);
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
GATE_GLOBAL int gate_device_bits(__u32 list, __u32 access_type, __u32 major, __u32 minor)
{
	struct wv_gate_device_key key = {.list = list, .type = access_type & 0xffff};
	__u32 access = access_type >> 16, masks, bits = 0;

	masks = device_masks(&key, major, minor);
	masks |= device_masks(&key, major, WV_GATE_ANY);
	masks |= device_masks(&key, WV_GATE_ANY, minor);
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
	__u32 access_type = ctx->access_type, major = ctx->major, minor = ctx->minor;
	struct wv_gate_place *place;
	int verdict = PASS;
	__u64 cgroup;

	place = place_here(WV_GATED_DEVICE, &cgroup);
	if (!place)
		return PASS;
	for (__u32 i = 0; i < WV_GATES_AT; i++) {
		struct wv_gate_ref ref;
		__u32 bits = 0;

		if (i >= place->n)
			break;
		ref = place->ref[i];
		if (gate_has_entries(ref.flags))
			bits = gate_device_bits(ref.list, access_type, major, minor);
		if (!gate_refuses(ref.flags, bits))
			continue;
		if (ref.flags & WV_GATE_ENFORCE)
			verdict = REFUSE;
		gate_tell_numbers(gate_subject(&ref, WV_GATED_DEVICE, WV_GATE_OP_NONE), cgroup,
				  (__u64)(access_type & 0xffff) << 32 | major,
				  (__u64)minor << 32 | access_type >> 16);
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
		ev = gate_event(gate_subject(&ref, WV_GATED_SYSCTL, WV_GATE_OP_NONE), cgroup);
		if (!ev)
			continue;
		__builtin_memcpy(ev->text, key.text, sizeof(ev->text));
		wv_event_submit(ev);
	}
	return verdict;
}
