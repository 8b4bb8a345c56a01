/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a gate really holds: a child process in a cgroup of its own, with a gate that denies
 * everything, tries for real. A program that attaches without an error and never fires is found out
 * here.
 */
#ifndef WV_ENFORCE_GATE_SELFTEST_H
#define WV_ENFORCE_GATE_SELFTEST_H

#include "user/enforce/gate_hooks.h"
#include "user/enforce/gate_store.h"

#define WV_GATE_SELFTEST_CGROUP "waveos-selftest-"

enum wv_gate_proof {
	WV_PROOF_NONE,	 /* not tried yet */
	WV_PROOF_DENIED, /* it was refused: the gate holds */
	WV_PROOF_PASSED, /* it was not */
	WV_PROOF_UNABLE, /* it could not be tried, see reason */
};

/*
 * Tries a kind whose hooks for all tasks are attached (those at cgroups it attaches itself, at its
 * own cgroup). Keeps the result for wv_gate_proof().
 */
enum wv_gate_proof wv_gate_selftest(struct wv_gate_store *s, const struct wv_gate_hooks *h,
				    uint32_t kind);
/* The last result in this process; *ret_reason says more, "" if there is nothing to say. */
enum wv_gate_proof wv_gate_proof(uint32_t kind, const char **ret_reason);
/* Forgets it: it is to be tried again. */
void wv_gate_proof_forget(uint32_t kind);
/* Removes cgroups of self-tests whose process died in them. */
void wv_gate_selftest_clean(const struct wv_host *host);

#endif
