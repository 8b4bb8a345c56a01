/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Gates and caps on priority: the contract between bpf/gate*.bpf.c and user/enforce/.
 *
 * A gate's allow and deny lists are entries of a few maps, all with the number of the list in their
 * key. A cgroup's place says which lists hold there. A list is never changed: another one is
 * written under a new number, then the place is replaced in one step, then the old list goes.
 */
#ifndef WAVEOS_GATE_H
#define WAVEOS_GATE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif
#include "waveos/wire.h"

/* As enum wv_gate_kind of user/flow/policy.h, and caps on priority. Row: (id, text) */
#define WV_GATED(X)                                                                                \
	X(EXEC, "exec")                                                                            \
	X(CONNECT, "connect")                                                                      \
	X(BIND, "bind")                                                                            \
	X(DEVICE, "device")                                                                        \
	X(SYSCTL, "sysctl")                                                                        \
	X(MODULE, "module")                                                                        \
	X(PTRACE, "ptrace")                                                                        \
	X(MOUNT, "mount")                                                                          \
	X(PRIORITY, "priority")
enum wv_gated {
#define X(id, text) WV_GATED_##id,
	WV_GATED(X)
#undef X
		WV_GATED_N
};

/* Gates of one kind that meet on one cgroup. */
#define WV_GATES_AT 16
/* Places are looked for on cgroups of levels below this; user space puts none deeper. */
#define WV_GATE_LEVELS 16
/* Denials of one gate that are told one by one in a second; the others are counted. */
#define WV_GATE_EVENTS_PER_SECOND 10
/* Longest path prefix or name that is compared, its NUL included. */
#define WV_GATE_TEXT 252

enum wv_gate_flags {
	WV_GATE_ENFORCE = 1 << 0,   /* else only counted and told */
	WV_GATE_HAS_ALLOW = 1 << 1, /* what no entry allows is denied */
	WV_GATE_HAS_DENY = 1 << 2,
	WV_GATE_ALLOW_ALL = 1 << 3, /* "*" is on the list */
	WV_GATE_DENY_ALL = 1 << 4,
	WV_GATE_HAS_PORTS = 1 << 5, /* some entry is about one port */
};

/* Value of an entry; of a more specific one with what the less specific ones say added. */
enum wv_gate_bits { WV_GATE_ALLOW = 1, WV_GATE_DENY = 2 };

/* Key of map gate_places. One kind at one cgroup. */
struct wv_gate_place_key {
	__u64 cgroup; /* with WV_KEY_V1 where it is of a v1 hierarchy */
	__u32 kind;   /* enum wv_gated */
	__u32 pad;
};
_Static_assert(sizeof(struct wv_gate_place_key) == 16, "wire layout");

struct wv_gate_ref {
	__u32 list;
	__u32 flags; /* enum wv_gate_flags */
};

/*
 * Value. Where the kernel itself runs the programs of all ancestors (cgroup hooks): the gates of
 * this cgroup. Else the nearest place is asked alone, and has those of its ancestors too.
 */
struct wv_gate_place {
	__u32 n;
	__u32 pad;
	struct wv_gate_ref ref[WV_GATES_AT];
};
_Static_assert(sizeof(struct wv_gate_place) == 8 + 8 * WV_GATES_AT, "wire layout");

/* Map gate_caps; key: the cgroup as above. The strictest of this cgroup and its ancestors. */
struct wv_gate_caps {
	__s32 nice_min;
	__u32 realtime_max;
	__u32 io_class; /* best class: 1 (real time) to 3 (idle) */
	__u32 pad;
	struct wv_gate_ref nice, realtime, io; /* whose cap that is */
};
_Static_assert(sizeof(struct wv_gate_caps) == 40, "wire layout");

/* Map gate_lists; key: number of the list. Written after its entries: where it is, they are. */
struct wv_gate_list {
	char name[64]; /* of the gate */
	__u8 digest[32];
	__u32 kind;
	__u32 in_window;
	__u64 window_ns; /* start of the second that in_window counts */
	__u64 denied, audited;
	__u64 told, suppressed; /* sum: denied + audited */
};
_Static_assert(sizeof(struct wv_gate_list) == 144, "wire layout");

/* Key of LPM trie gate_texts. An entry that is meant exactly has its NUL in the prefix. */
struct wv_gate_text_key {
	__u32 prefix_bits; /* of what follows */
	__u32 list;
	char text[WV_GATE_TEXT];
};
_Static_assert(sizeof(struct wv_gate_text_key) == 260, "wire layout");

/* Key of LPM trie gate_addresses. */
struct wv_gate_address_key {
	__u32 prefix_bits;
	__u32 list;
	__u16 port;	  /* host order; 0: any */
	__u16 family;	  /* 4 or 6; an IPv4 address that IPv6 maps is one of IPv4 */
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
};
_Static_assert(sizeof(struct wv_gate_address_key) == 28, "wire layout");
#define WV_GATE_ADDRESS_BITS 64 /* before the address */

#define WV_GATE_ANY 0xffffffffU
/* Key of map gate_devices; value: accesses allowed, and accesses denied << 8. */
struct wv_gate_device_key {
	__u32 list;
	__u32 type;	    /* 1 block, 2 character (BPF_DEVCG_DEV_*) */
	__u32 major, minor; /* WV_GATE_ANY */
};
_Static_assert(sizeof(struct wv_gate_device_key) == 16, "wire layout");

/* Key of map gate_inodes: a listed program, as user space last saw it. */
struct wv_gate_inode_key {
	__u32 list;
	__u32 dev; /* kernel's own encoding: major << 20 | minor, of the super block */
	__u64 ino;
};
_Static_assert(sizeof(struct wv_gate_inode_key) == 16, "wire layout");

/* Value of the cgroup storage of the cgroup hooks. */
struct wv_gate_here {
	__u64 cgroup; /* where the program is attached; 0: not set up yet */
};

enum wv_gate_op {
	WV_GATE_OP_NONE,
	WV_GATE_OP_SEND,	   /* connect: a datagram without connect() */
	WV_GATE_OP_SCRIPT,	   /* exec: interpreter of a script */
	WV_GATE_OP_MODULE_REQUEST, /* module: the kernel would look for one */
	WV_GATE_OP_NICE,
	WV_GATE_OP_REALTIME,
	WV_GATE_OP_IO,
};

/* GATE: something was refused, or would be. h.key: the cgroup whose place refused it. */
struct wv_event_gate {
	struct wv_event h;
	__u32 list;
	__u32 kind;
	__u32 enforced;
	__u32 op; /* enum wv_gate_op */
	/*
	 * connect, bind: v = family, protocol, port. device: type, major, minor, access.
	 * ptrace: v[0] pid, text comm. mount: text type or target. priority: v[0] asked, v[1] cap.
	 */
	__u32 v[4];
	__u8 address[16];
	__u64 dev, ino; /* exec */
	char text[WV_GATE_TEXT];
	__u32 pad;
};
_Static_assert(sizeof(struct wv_event_gate) == 56 + 16 + 16 + 16 + 16 + 256, "wire layout");

#endif
