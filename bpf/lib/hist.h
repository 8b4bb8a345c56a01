/* SPDX-License-Identifier: GPL-2.0-only */
/* The histogram's arithmetic; no kernel types, so that user-space tests run the same code. */
#ifndef WAVEOS_HIST_H
#define WAVEOS_HIST_H

#include "waveos/wire.h"

/* Bucket of a duration (see WV_HIST_BUCKETS). Branches only: no loop, the same on every kernel. */
static inline __attribute__((always_inline)) __u32 wv_hist_bucket(__u64 ns)
{
	__u64 us = ns / 1000;
	__u32 bucket = 0, v;

	if (us >> 32)
		return WV_HIST_BUCKETS - 1;
	v = us;
	if (v >> 16) {
		v >>= 16;
		bucket += 16;
	}
	if (v >> 8) {
		v >>= 8;
		bucket += 8;
	}
	if (v >> 4) {
		v >>= 4;
		bucket += 4;
	}
	if (v >> 2) {
		v >>= 2;
		bucket += 2;
	}
	if (v >> 1)
		bucket += 2;
	else if (v)
		bucket += 1;
	return bucket < WV_HIST_BUCKETS ? bucket : WV_HIST_BUCKETS - 1;
}

#endif
