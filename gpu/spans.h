/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unions of time spans: what the profiler keeps of a device's activity. A set holds disjoint spans
 * in order, [begin, end) in nanoseconds of CLOCK_MONOTONIC. Memory is bounded: where a set is full,
 * the smallest gaps between spans are closed, and `closed_ns` counts what that added.
 *
 * Records come nearly in order, so that adding one is a comparison with the last span; one that is
 * late costs a search and a move. No allocation after init, no clock, no I/O: it runs in somebody
 * else's process.
 */
#ifndef WV_GPU_SPANS_H
#define WV_GPU_SPANS_H

#include <stddef.h>
#include <stdint.h>

struct wv_span {
	uint64_t begin, end;
};

struct wv_spans {
	struct wv_span *at; /* the caller's memory */
	size_t n, room;
	uint64_t closed_ns; /* of gaps that were closed for want of room */
};

/* room >= 2 spans of memory, owned by the caller. */
void wv_spans_init(struct wv_spans *s, struct wv_span *memory, size_t room);
/* Adds [begin, end) to the union; an empty one adds nothing. */
void wv_spans_add(struct wv_spans *s, uint64_t begin, uint64_t end);
/* Forgets what lies before `until`; a span across it is cut. */
void wv_spans_forget(struct wv_spans *s, uint64_t until);
/* Length of the union within [begin, end). */
uint64_t wv_spans_length(const struct wv_spans *s, uint64_t begin, uint64_t end);

/*
 * What a device did in a window W, in nanoseconds. With K, C, M the unions of kernels that are not
 * communication, of communication kernels, and of copies and sets:
 *   kernel = |K|, comms = |C|, exposed = |C - K|, overlapped = |C & K|, memory = |M - (K | C)|,
 *   idle = |W - (K | C | M)|
 * and always kernel + exposed + memory + idle = |W|.
 */
struct wv_gpu_shares {
	uint64_t window, kernel, comms, exposed, overlapped, memory, idle;
};

/*
 * One pass over the three sets. idle(ctx, begin, end) is called for every idle gap within the
 * window, in order; MAY be NULL.
 */
void wv_gpu_account(const struct wv_spans *kernels, const struct wv_spans *comms,
		    const struct wv_spans *memory, uint64_t begin, uint64_t end,
		    struct wv_gpu_shares *ret,
		    void (*idle)(void *ctx, uint64_t begin, uint64_t end), void *ctx);

#endif
