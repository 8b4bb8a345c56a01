/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Breakers of a cgroup subtree: the contract between bpf/breaker*.bpf.c and user/enforce/breaker*.
 *
 * A place is one breaker at one cgroup, named by a number from 1. States are in arrays, for a
 * look-up there costs a tenth of one in a hash; configs are in a hash, for there an update is
 * atomic. A number is given again as late as possible. User space owns `breaker_heads` (cgroup ->
 * places), `breaker_configs` (place -> what was declared) and `breaker_seen` (place -> what is
 * recorded already); the kernel owns the states, which a change of config leaves alone. All of them
 * are kept over an upgrade of the programs: after a change of layout give the map another name.
 */
#ifndef WAVEOS_BREAKER_H
#define WAVEOS_BREAKER_H

#ifndef __VMLINUX_H__
#include <linux/bpf.h>
#endif
#include "waveos/wire.h"
#include "../../bpf/lib/breaker_machine.h"

/* Where it counts, in the order of enum wv_breaker_kind (user/flow/policy.h). Row: (id, text) */
#define WV_BREAKER_HOOKS(X)                                                                        \
	X(FORK, "fork")                                                                            \
	X(EXEC, "exec")                                                                            \
	X(CONNECT, "connect")                                                                      \
	X(EGRESS, "egress")                                                                        \
	X(INGRESS, "ingress")                                                                      \
	X(OOM, "oom")
enum wv_breaker_hook {
#define X(id, text) WV_BREAKER_AT_##id,
	WV_BREAKER_HOOKS(X)
#undef X
		WV_BREAKER_HOOK_N
};

#define WV_BREAKER_PLACES 2048 /* at most, on the machine; 0 is none */
#define WV_BREAKERS_A_HOOK 4   /* at most, of one kind at one cgroup */
#define WV_BREAKER_LEVELS 16   /* ancestors that are looked at: deeper tasks escape those above */
#define WV_BREAKER_NAME 64

/* Value of map breaker_heads; key: cgroup (wire.h). Places by hook, 0: no more. */
struct wv_breaker_head {
	__u32 place[WV_BREAKER_HOOK_N][WV_BREAKERS_A_HOOK];
};
_Static_assert(sizeof(struct wv_breaker_head) == 96, "wire layout");

/* Value of map breaker_configs; key: place. */
struct wv_breaker_config {
	struct wv_breaker_rate rate;
	__u64 cgroup; /* key */
	__u32 hook;   /* enum wv_breaker_hook */
	__u32 kill;   /* what is refused is killed, not only denied */
	char name[WV_BREAKER_NAME];
};
_Static_assert(sizeof(struct wv_breaker_config) == 160, "wire layout");

/* Element of breaker_net_states and breaker_task_states, by place. Read and written under the lock.
 */
struct wv_breaker_state {
	struct bpf_spin_lock lock;
	__u32 pad;
	struct wv_breaker_machine m;
};
_Static_assert(sizeof(struct wv_breaker_state) == 136, "wire layout");

/* The same in breaker_raw_states, where the hooks may not use a spin lock (breaker_locks is it). */
struct wv_breaker_raw_state {
	__u64 pad;
	struct wv_breaker_machine m;
};
_Static_assert(sizeof(struct wv_breaker_raw_state) == sizeof(struct wv_breaker_state),
	       "wire layout");

/* Value of map breaker_binds (storage of the cgroup where the network programs are attached). */
struct wv_breaker_bind {
	__u64 cgroup; /* key into breaker_heads; 0: not set up yet, everything passes */
};

/* Single entry of map breaker_ctl. */
struct wv_breaker_ctl {
	__u32 places[WV_BREAKER_HOOK_N]; /* how many places each hook has: 0 is the fast way out */
	/* bit 1 << hook: gate programs (LSM, fmod_ret) deny there; else tracepoints count and kill.
	 * Exactly one of the two acts. */
	__u32 gates;
	__u32 gate_prog;  /* id of the gate program that was tried out last */
	__u32 last_place; /* the number that was given last */
	__u32 pad;
	__u64 run; /* hash of the run that placed last, for user space */
};
_Static_assert(sizeof(struct wv_breaker_ctl) == 48, "wire layout");

/* BREAKER_TRIP. h.key: the cgroup of the place; h.pid, h.comm: who asked, where that is known */
struct wv_event_breaker {
	struct wv_event h;
	__u32 place;
	__u32 hook;
	struct wv_breaker_machine m; /* right after the trip */
};
_Static_assert(sizeof(struct wv_event_breaker) == 192, "wire layout");

#endif
