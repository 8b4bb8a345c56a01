/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Token bucket in its virtual scheduling form, shared by the BPF limits and by the user-space
 * tests.
 *
 * State is one point in time, tat: when the bucket will be full again. A bucket of depth `burst_ns`
 * (the tokens expressed as the time in which they flow in) admits a packet of cost c at `now` if
 * the backlog after it, tat + c - now, is at most burst_ns. Nothing has to be refilled, an idle
 * bucket costs nothing.
 *
 * Exactness: a cost is units * 1e9 / rate nanoseconds; the part below one nanosecond is carried in
 * `rem` (in 1/rate ns), so no rounding accumulates at any rate. A packet that is larger than the
 * whole bucket is admitted when the bucket is full, and leaves it in debt: long-run rate is kept,
 * no packet starves.
 *
 * Times are compared by signed difference, so the 64-bit clock may wrap; a bucket must be used or
 * be idle for less than 2^63 ns (292 years).
 */
#ifndef WAVEOS_BUCKET_H
#define WAVEOS_BUCKET_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define WV_BUCKET_NS 1000000000ULL
/* Largest number of units at a time: units * 1e9 must fit 64 bits. */
#define WV_BUCKET_MAX_UNITS (1ULL << 34)

struct wv_bucket {
	__u64 tat_ns;
	__u64 rem; /* of tat_ns, in 1/rate ns; below rate */
};

struct wv_bucket_rate {
	__u64 per_second; /* units a second; 0: no limit */
	__u64 burst_ns;	  /* depth: the time in which the burst flows in */
};

/* Time that `units` take at the rate: *ret_rem is the part below a nanosecond, in 1/rate ns. */
static inline __attribute__((always_inline)) __u64 wv_bucket_cost(const struct wv_bucket_rate *rate,
								  __u64 units, __u64 *ret_rem)
{
	__u64 scaled, ns;

	if (units > WV_BUCKET_MAX_UNITS)
		units = WV_BUCKET_MAX_UNITS;
	scaled = units * WV_BUCKET_NS;
	ns = scaled / rate->per_second;
	*ret_rem = scaled - ns * rate->per_second;
	return ns;
}

/* Nanoseconds until the bucket admits `units` (rounded up); 0: it does now. Changes nothing. */
static inline __attribute__((always_inline)) __u64 wv_bucket_wait(const struct wv_bucket *b,
								  const struct wv_bucket_rate *rate,
								  __u64 units, __u64 now)
{
	__u64 ahead = b->tat_ns - now, rem = b->rem, cost, cost_rem, total;

	if (!rate->per_second)
		return 0;
	if ((__s64)ahead < 0) {
		ahead = 0;
		rem = 0;
	}
	cost = wv_bucket_cost(rate, units, &cost_rem);
	if (cost + !!cost_rem >= rate->burst_ns)
		return ahead + !!rem; /* as large as the bucket: when it is full */
	/* rem + cost_rem < 2 * rate: the sum is below 1 ns, exactly 1 ns, or between 1 and 2 ns */
	total = ahead + cost;
	if (rem + cost_rem > rate->per_second)
		total += 2;
	else if (rem + cost_rem)
		total += 1;
	return total > rate->burst_ns ? total - rate->burst_ns : 0;
}

/* Takes `units`, admitted or not: whoever paces takes first and sends when wv_bucket_wait() said.
 */
static inline __attribute__((always_inline)) void wv_bucket_take(struct wv_bucket *b,
								 const struct wv_bucket_rate *rate,
								 __u64 units, __u64 now)
{
	__u64 cost, cost_rem;

	if (!rate->per_second)
		return;
	if ((__s64)(b->tat_ns - now) < 0) {
		b->tat_ns = now;
		b->rem = 0;
	}
	cost = wv_bucket_cost(rate, units, &cost_rem);
	cost_rem += b->rem;
	if (cost_rem >= rate->per_second) {
		cost_rem -= rate->per_second;
		cost++;
	}
	b->tat_ns += cost;
	b->rem = cost_rem;
}

/* After a change of rate: a backlog that was made at the old one counts as an empty bucket at most.
 */
static inline __attribute__((always_inline)) void wv_bucket_rerate(
	struct wv_bucket *b, const struct wv_bucket_rate *rate, __u64 now)
{
	__s64 ahead = b->tat_ns - now;

	b->rem = 0;
	if (ahead > 0 && (__u64)ahead > rate->burst_ns)
		b->tat_ns = now + rate->burst_ns;
}

/* Depth in time of a burst given in units, rounded up. For user space. */
static inline __u64 wv_bucket_burst_ns(__u64 per_second, __u64 burst_units)
{
	__u64 seconds = per_second ? burst_units / per_second : 0;
	__u64 rest = per_second ? burst_units % per_second : 0;

	/* rest < per_second: below one second; exact as long as the product fits, which 128 bits
	 * ensure */
#ifdef __SIZEOF_INT128__
	rest = per_second ? (__u64)(((unsigned __int128)rest * WV_BUCKET_NS + per_second - 1) /
				    per_second)
			  : 0;
#else
	rest = per_second ? rest * WV_BUCKET_NS / per_second : 0;
#endif
	return seconds * WV_BUCKET_NS + rest;
}

#endif
