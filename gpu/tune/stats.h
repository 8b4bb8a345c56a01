/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Statistics of step durations. Deterministic: what is drawn comes from a seed. No memory is taken;
 * a series has at most WV_TUNE_SERIES values.
 */
#ifndef WV_TUNE_STATS_H
#define WV_TUNE_STATS_H

#include <stddef.h>
#include <stdint.h>

#define WV_TUNE_SERIES 512
#define WV_TUNE_PAIRS 16

/* splitmix64 (Steele, Lea, Flood 2014): the next of a state that may start at any number. */
uint64_t wv_tune_random(uint64_t *state);
/* Another state from a seed and a name for its use. */
uint64_t wv_tune_seed(uint64_t seed, uint64_t use);

/* 0 of an empty series; of an even one the mean of the middle two, rounded down. */
uint64_t wv_tune_median(const uint64_t *x, size_t n);
/* 0 of an empty series. */
double wv_tune_mean(const uint64_t *x, size_t n);
/* Median distance from the median, times 1.4826: the standard deviation of normal noise. */
double wv_tune_spread(const uint64_t *x, size_t n);

/*
 * How many values at the front are warm-up, at least `least`: the front is cut at change-points
 * after which steps are faster, as long as half of the series stays. Sum of squares of two levels
 * against one, outliers clipped, with a penalty against cutting noise (as BIC).
 */
size_t wv_tune_warmup(const uint64_t *x, size_t n, size_t least);

struct wv_tune_interval {
	double mid, low, high;
};

/*
 * Gain of b over a: mean(a) / mean(b) - 1, the gain of throughput. Not of medians: with a queue
 * before it most steps are fast and each n-th waits, so that a median tells of a loader that is
 * not there. With a two-sided bootstrap interval of `permille`.
 * Blocks of steps are drawn, since neighbours resemble each other. Both have values above 0.
 */
void wv_tune_compare(const uint64_t *a, size_t na, const uint64_t *b, size_t nb, uint32_t permille,
		     uint64_t seed, struct wv_tune_interval *ret);

/* 97.5 % quantile of Student's t for df >= 1 degrees of freedom; above 15 that of 15. */
double wv_tune_student(size_t df);

struct wv_tune_segment {
	const uint64_t *x;
	size_t n;
};

/*
 * Gain of arm b over arm a by n pairs of segments (2 <= n <= WV_TUNE_PAIRS), 95 % interval: the
 * wider of a bootstrap of pairs and of blocks of steps in them, and Student's t of the pairs' log
 * ratios. The bootstrap alone is too narrow with few pairs; t alone knows nothing of the noise in a
 * segment.
 */
void wv_tune_pairs(const struct wv_tune_segment *a, const struct wv_tune_segment *b, size_t n,
		   uint64_t seed, struct wv_tune_interval *ret);
/*
 * The lower bound for who looks after each pair and stops at the first that suffices: a bound that
 * is wrong in 2.5 of 100 cases at each look is wrong more often at any of them.
 */
double wv_tune_low_of_looks(const struct wv_tune_interval *i);

#endif
