/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where gates are attached: links pinned as <pins>/gates/<cgroup id, 16 hex digits>-<hook>, and for
 * hooks that are called for all tasks <pins>/gates/all-<hook>. The pins are the record, as for
 * network limits: a link of an older set goes when the new one is in force.
 */
#ifndef WV_ENFORCE_GATE_HOOKS_H
#define WV_ENFORCE_GATE_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/core/bpf.h"
#include "waveos/gate.h"

/* The one program that may be missing without its kind being lost: correction does its part. */
#define WV_GATE_SETSCHEDULER "gate_lsm_setscheduler"
/* Bits of kinds */
#define WV_GATE_CGROUP_KINDS                                                                       \
	(1u << WV_GATED_CONNECT | 1u << WV_GATED_BIND | 1u << WV_GATED_DEVICE |                    \
	 1u << WV_GATED_SYSCTL)

struct wv_gate_hooks {
	const struct wv_host *host;
	const struct wv_paths *paths;
	const struct wv_bpf *bpf;
	bool exec_by_kill; /* gates on programs: tracepoint and SIGKILL, not LSM */
};

/* Whether programs of this kind are attached at cgroups (else they are called for all tasks). */
static inline bool wv_gate_at_cgroup(uint32_t kind)
{
	return WV_GATE_CGROUP_KINDS & 1u << kind;
}

/*
 * Attaches all hooks of a kind at a cgroup of the v2 hierarchy; key 0 path NULL for those of all
 * tasks. 1 if anything changed, 0, or -errno with *reason filled.
 */
int wv_gate_hooks_attach(const struct wv_gate_hooks *h, uint32_t kind, uint64_t key,
			 const char *path, char *reason, size_t size);
/* Removes them. 1, 0 or -errno. */
int wv_gate_hooks_detach(const struct wv_paths *paths, uint32_t kind, uint64_t key);
/* Attaches at an open cgroup without pinning: until *fds are closed. For the self-test. */
int wv_gate_hooks_try(const struct wv_gate_hooks *h, uint32_t kind, int cgroup, uint64_t key,
		      int fds[4]);
/* Calls fn for every pin at a cgroup; fn may detach it. */
int wv_gate_hooks_each(const struct wv_paths *paths,
		       void (*fn)(void *ctx, uint64_t key, uint32_t kind), void *ctx);

#endif
