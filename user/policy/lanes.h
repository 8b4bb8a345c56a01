/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loops over the 64 lanes of a block, written so that a compiler makes vector code of them: a
 * constant number of steps, nothing that may alias, selects instead of branches.
 *
 * Results must be the same bits everywhere, for replay: only + - * /, comparisons and conversions
 * of IEEE doubles, in the order that is written. No contraction into fused operations
 * (-ffp-contract=off, mk/toolchain.mk), no reassociation, no function of libm.
 */
#ifndef WV_POLICY_LANES_H
#define WV_POLICY_LANES_H

#include <float.h>
#include <stdint.h>

#if defined(__FAST_MATH__) || FLT_EVAL_METHOD != 0
#error "results would depend on the machine: no -ffast-math, no x87"
#endif

#define WV_INLINE static inline __attribute__((always_inline))
#define WV_EACH_LANE(i) for (unsigned i = 0; i < 64; i++)

/* Bit of each lane in a mask. */
extern const uint64_t wv_lane_bit[64];

/* (double)v, rounded once, in two exact halves: there is no vector conversion of 64-bit integers
 * before AVX-512. */
WV_INLINE double wv_double_of(uint64_t v)
{
	union {
		uint64_t bits;
		double d;
	} high = {.bits = v >> 32 | 0x4530000000000000ULL},
	  low = {.bits = (v & 0xffffffffU) | 0x4330000000000000ULL};

	return (high.d - 0x1.00000001p84) + low.d;
}

/* 0 as the word says, all ones where the difference of two counters is negative. */
WV_INLINE uint64_t wv_went_back(uint64_t difference)
{
	return 0 - (difference >> 63);
}

#endif
