/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a device did in a window, from what each of its processes tells, and why it was idle. Pure.
 *
 * One process: its sums are exact and are taken as they are. Several: spans are joined, for a
 * device that two processes keep busy at the same time is busy once.
 *
 * A gap ends with a launch: up to the call the host had not asked for work, and what its thread did
 * then is the cause; from the call on it is launch latency.
 */
#ifndef WV_GPU_JOIN_H
#define WV_GPU_JOIN_H

#include "user/gpu/chain.h"

/* Why a thread waited: wake.h has it, tests plant it. */
struct wv_gpu_waits {
	void *ctx;
	void (*split)(void *ctx, uint32_t tid, uint64_t begin, uint64_t end,
		      struct wv_chain_split *ret);
};

struct wv_gpu_part {
	const struct wv_gpu_window *window;
	uint32_t tid; /* the process's training thread, where a gap does not say who launched */
};

/* Whether a window from another process can be believed as far as its own sums go. */
bool wv_gpu_window_valid(const struct wv_gpu_window *w, uint32_t devices, uint64_t now);
/* n >= 1 parts of one window; waits NULL: what would be asked of it is UNKNOWN. */
void wv_gpu_join(const struct wv_gpu_part *parts, unsigned n, uint32_t device,
		 const struct wv_gpu_waits *waits, struct wv_gpu_told *ret);
/* Adds what is in b to a. */
void wv_gpu_sums_add(struct wv_gpu_sums *a, const struct wv_gpu_sums *b);

#endif
