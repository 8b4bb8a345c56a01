/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Why a thread waited: bpf/wake.bpf.c tells every switch of the threads of watched processes and of
 * their descendants, and who woke whom; this keeps the newest of it, in bounded
 * memory (chain.h), and splits any span of a thread's time by cause. Activity records of a device
 * are late by seconds, so that spans of the past are asked for.
 */
#ifndef WV_GPU_WAKE_H
#define WV_GPU_WAKE_H

#include <sys/types.h>

#include "user/gpu/chain.h"

struct wv_wake;

/* Loads and attaches; nothing is watched yet. -EOPNOTSUPP, -EPERM, ...: it cannot be here. */
int wv_wake_open(struct wv_wake **ret);
void wv_wake_close(struct wv_wake *w);
/*
 * Takes events in: call at least ten times a second while something is watched, for nobody is woken
 * for an event. How many, or -errno.
 */
int wv_wake_drain(struct wv_wake *w);

/*
 * Watches the process `pid` (of the agent's PID namespace): its threads, those that come, and the
 * processes that it forks, which count as its loader workers unless they are watched themselves.
 * 0; -ENOSPC: as many as there may be are watched; -ESRCH.
 */
int wv_wake_watch(struct wv_wake *w, pid_t pid);
void wv_wake_forget(struct wv_wake *w, pid_t pid);

/* Splits [begin, end) of thread tid. Time that is not known any more, or not yet, is UNKNOWN. */
void wv_wake_split(const struct wv_wake *w, pid_t tid, uint64_t begin, uint64_t end,
		   struct wv_chain_split *ret);
/* Events up to which everything was taken in: spans that end before it can be asked for. */
uint64_t wv_wake_known(const struct wv_wake *w);
/* Events that found no room in the ring or in memory. */
uint64_t wv_wake_dropped(const struct wv_wake *w);

#endif
