// SPDX-License-Identifier: GPL-2.0-only
/*
 * bpf/lib/bucket.h against an exact model: a level of tokens in 1e-9 units, which flows in at
 * `rate` of them a nanosecond; all in 128-bit integers, so every single answer must be equal, not
 * just close.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "bpf/lib/bucket.h"

typedef __int128 wide;

#define IDLE 10000000000ULL /* longest idle time, ns */

struct model {
	wide level, depth; /* 1e-9 units */
	uint64_t rate, last;
};

static uint64_t rng_state;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

static uint64_t rng_below(uint64_t n)
{
	return rng() % n;
}

static void model_init(struct model *m, const struct wv_bucket_rate *rate, uint64_t now)
{
	m->rate = rate->per_second;
	m->depth = (wide)rate->per_second * rate->burst_ns;
	m->level = m->depth;
	m->last = now;
}

static void model_advance(struct model *m, uint64_t now)
{
	m->level += (wide)m->rate * (now - m->last);
	if (m->level > m->depth)
		m->level = m->depth;
	m->last = now;
}

static uint64_t model_wait(const struct model *m, uint64_t units)
{
	wide cost = (wide)units * 1000000000, need = cost < m->depth ? cost : m->depth;

	if (m->level >= need)
		return 0;
	return (uint64_t)((need - m->level + m->rate - 1) / m->rate);
}

static void model_take(struct model *m, uint64_t units)
{
	m->level -= (wide)units * 1000000000;
}

/*
 * One run of `steps` packets, time from `start` on. max_wait > 0 paces; max_idle > 0 adds rare
 * gaps of up to that. Returns what was admitted.
 */
static uint64_t run(const struct wv_bucket_rate *rate, uint64_t start, unsigned steps,
		    uint64_t mean_gap, uint64_t max_units, uint64_t max_wait, uint64_t max_idle,
		    uint64_t *ret_elapsed)
{
	struct wv_bucket b = {.tat_ns = start};
	struct model m;
	uint64_t now = start, elapsed = 0, admitted = 0;

	model_init(&m, rate, now);
	for (unsigned i = 0; i < steps; i++) {
		uint64_t gap = rng_below(2 * mean_gap + 1), units = 1 + rng_below(max_units), wait;

		if (max_idle && rng_below(10000) == 0)
			gap += rng_below(max_idle);
		now += gap;
		elapsed += gap;
		model_advance(&m, now);
		wait = wv_bucket_wait(&b, rate, units, now);
		assert_int_equal(wait, model_wait(&m, units));
		if (wait > max_wait)
			continue;
		wv_bucket_take(&b, rate, units, now);
		model_take(&m, units);
		admitted += units;
		assert_true(b.rem < rate->per_second);
	}
	*ret_elapsed = elapsed;
	return admitted;
}

static void bucket_random_packets_equals_exact_model(void **state)
{
	uint64_t simulated = 0, elapsed;

	(void)state;
	rng_state = 0x9e3779b97f4a7c15ULL;
	for (unsigned i = 0; i < 400; i++) {
		uint64_t per_second = 1 + (rng() >> (22 + rng_below(40)));
		struct wv_bucket_rate rate = {.per_second = per_second,
					      .burst_ns = rng_below(1000000000)};
		uint64_t max_units = 1 + rng_below(1ULL << rng_below(24));
		/* demand between a tenth and ten times the rate */
		uint64_t gap = (uint64_t)((wide)max_units * 500000000 / per_second);

		gap = gap / 10 + rng_below(gap + 1) * 2 + 1;
		if (gap > 1000000000000ULL)
			gap = 1000000000000ULL;
		run(&rate, rng() >> 1, 5000, gap, max_units, i % 2 ? 2000000000 : 0, IDLE,
		    &elapsed);
		simulated += elapsed;
	}
	assert_true(simulated >= 1000000000000ULL);
}

static void bucket_clock_wraps_equals_exact_model(void **state)
{
	uint64_t elapsed;

	(void)state;
	rng_state = 42;
	for (unsigned i = 0; i < 50; i++) {
		struct wv_bucket_rate rate = {.per_second = 1000003 + rng_below(1000000000),
					      .burst_ns = 20000000};
		uint64_t start = UINT64_MAX - rng_below(1000000000);

		run(&rate, start, 20000, 100000, 12000, 0, IDLE, &elapsed);
		assert_true(start + elapsed < start); /* it did wrap */
	}
}

static void bucket_saturated_for_1000_s_keeps_rate_and_burst(void **state)
{
	static const uint64_t rates[] = {7, 1000, 999983, 50000000, 9999999967ULL, 99999999977ULL};

	(void)state;
	rng_state = 7;
	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		/* twice as many packets as the rate admits, the bucket 40 of the largest deep */
		uint64_t max_units = rates[i] / 100 + 1, elapsed, admitted;
		struct wv_bucket_rate rate = {
			.per_second = rates[i],
			.burst_ns = 40 * wv_bucket_burst_ns(rates[i], max_units),
		};
		wide flow, burst = (wide)rates[i] * rate.burst_ns;
		uint64_t gap = (uint64_t)((wide)max_units * 250000000 / rates[i]);
		unsigned steps = (unsigned)(1100000000000ULL / gap);

		admitted = run(&rate, 1, steps, gap, max_units, 0, 0, &elapsed);
		assert_true(elapsed >= 1000000000000ULL);
		flow = (wide)rates[i] * elapsed;
		/* never more than rate and burst allow (and one packet as large as the bucket) */
		assert_true((wide)admitted * 1000000000 <=
			    flow + burst + (wide)max_units * 1000000000);
		/* and no less than 97 %: what a policer loses when a large packet finds too few
		 * tokens */
		assert_true((wide)admitted * 1000000000 >= flow * 97 / 100 - burst);
	}
}

static void bucket_paced_backlog_departs_at_exact_rate(void **state)
{
	struct wv_bucket_rate rate = {.per_second = 99999999977ULL, .burst_ns = 0};
	struct wv_bucket b = {.tat_ns = 1000};
	uint64_t now = 1000, n = 100000000, last = 0;

	(void)state;
	/* 1e8 packets of 480 bits at about 100 Gbit/s: 4.8 ns each, so truncation would be off by
	 * 17 % */
	for (uint64_t i = 0; i < n; i++) {
		last = wv_bucket_wait(&b, &rate, 480, now);
		wv_bucket_take(&b, &rate, 480, now);
	}
	/* the last one leaves when all those before it have flowed out, rounded up to a nanosecond
	 */
	assert_int_equal(last, (uint64_t)(((wide)(n - 1) * 480 * 1000000000 + rate.per_second - 1) /
					  rate.per_second));
}

static void bucket_packet_over_burst_is_admitted_when_full(void **state)
{
	struct wv_bucket_rate rate = {.per_second = 1000, .burst_ns = 1000000};
	struct wv_bucket b = {.tat_ns = 0};

	(void)state;
	assert_int_equal(wv_bucket_wait(&b, &rate, 500, 10), 0);
	wv_bucket_take(&b, &rate, 500, 10);
	/* half a second of debt: nothing passes before it is paid */
	assert_int_equal(wv_bucket_wait(&b, &rate, 500, 10), 500000000);
	assert_int_equal(wv_bucket_wait(&b, &rate, 500, 10 + 500000000), 0);
}

static void bucket_rate_raised_forgives_backlog(void **state)
{
	struct wv_bucket_rate slow = {.per_second = 8, .burst_ns = 1000000000};
	struct wv_bucket_rate fast = {.per_second = 8000000, .burst_ns = 1000000};
	struct wv_bucket b = {.tat_ns = 0};

	(void)state;
	wv_bucket_take(&b, &slow, 80000, 10); /* 10000 s of debt */
	wv_bucket_rerate(&b, &fast, 20);
	assert_int_equal(wv_bucket_wait(&b, &fast, 8000, 20), 1000000);
	assert_int_equal(b.rem, 0);
}

static void bucket_without_rate_never_waits(void **state)
{
	struct wv_bucket_rate none = {0};
	struct wv_bucket b = {.tat_ns = 5};

	(void)state;
	assert_int_equal(wv_bucket_wait(&b, &none, 1ULL << 40, 1), 0);
	wv_bucket_take(&b, &none, 1ULL << 40, 1);
	assert_int_equal(b.tat_ns, 5);
}

static void bucket_burst_of_units_rounds_up(void **state)
{
	(void)state;
	assert_int_equal(wv_bucket_burst_ns(1000, 1), 1000000);
	assert_int_equal(wv_bucket_burst_ns(3, 1), 333333334);
	assert_int_equal(wv_bucket_burst_ns(3, 7), 2333333334ULL);
	assert_int_equal(wv_bucket_burst_ns(0, 7), 0);
	assert_int_equal(wv_bucket_burst_ns(1ULL << 40, (1ULL << 40) - 1), 1000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bucket_random_packets_equals_exact_model),
		cmocka_unit_test(bucket_clock_wraps_equals_exact_model),
		cmocka_unit_test(bucket_saturated_for_1000_s_keeps_rate_and_burst),
		cmocka_unit_test(bucket_paced_backlog_departs_at_exact_rate),
		cmocka_unit_test(bucket_packet_over_burst_is_admitted_when_full),
		cmocka_unit_test(bucket_rate_raised_forgives_backlog),
		cmocka_unit_test(bucket_without_rate_never_waits),
		cmocka_unit_test(bucket_burst_of_units_rounds_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
