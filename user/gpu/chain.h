/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From events of the scheduler (waveos/wake.h) to causes: keeps what each thread did of late, and
 * splits any span of a thread's time. Pure: no clock, no I/O; memory is bounded and taken at the
 * start.
 *
 * A thread's time is a row of segments: on a CPU, ready, asleep. What a sleep was for is told by
 * who ended it, and by the system call it was in: a wake chain that comes from a process which the
 * thread's process forked is a data loader's, directly or through threads between (PyTorch: a
 * worker's feeder thread wakes the pin thread, and that one the training thread).
 */
#ifndef WV_GPU_CHAIN_H
#define WV_GPU_CHAIN_H

#include <stdbool.h>
#include <sys/types.h>

#include "user/flow/gpu.h"
#include "waveos/wake.h"

struct wv_chain;

struct wv_chain_split {
	uint64_t cause_ns[WV_GPU_CAUSE_N]; /* LAUNCH is 0; sums up to end - begin */
	uint64_t input_ns[WV_GPU_INPUT_N]; /* sums up to cause_ns[INPUT] */
};

/* segments: that are kept of all threads together (56 bytes each). NULL: no memory. */
struct wv_chain *wv_chain_new(size_t segments);
void wv_chain_free(struct wv_chain *c);
/* A process that is asked about: descendants of it are its loader workers. parent 0: none known. */
void wv_chain_process(struct wv_chain *c, uint32_t tgid, uint32_t parent, bool asked);
/* Forgets a process; its threads stay until their place is needed. */
void wv_chain_forget(struct wv_chain *c, uint32_t tgid);
/* Events of one thread MUST come in order of time, but for a wake that overtakes the sleep. */
void wv_chain_add(struct wv_chain *c, const struct wv_wake_event *ev);
/* Events of [begin, end) may have been lost: that time is UNKNOWN, whatever else is known of it. */
void wv_chain_missed(struct wv_chain *c, uint64_t begin, uint64_t end);
/*
 * Everything until `known` was added: threads that have not changed since are still what they were.
 * Time after it, and before what is kept, is UNKNOWN.
 */
void wv_chain_split(const struct wv_chain *c, uint32_t tid, uint64_t begin, uint64_t end,
		    uint64_t known, struct wv_chain_split *ret);
/* Threads that found no room. */
uint64_t wv_chain_lost(const struct wv_chain *c);

#endif
