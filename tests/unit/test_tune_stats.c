// SPDX-License-Identifier: GPL-2.0-only
/* Statistics of step durations: against brute force, and by how often an interval is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gpu/tune/stats.h"
#include "user/core/cleanup.h"

static uint64_t random_state = 42;

static double uniform(void)
{
	return (double)(wv_tune_random(&random_state) >> 11) * 0x1p-53;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform() + 1e-300)) * cos(6.283185307179586 * uniform());
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void fill(uint64_t *x, size_t n, double mean, double noise)
{
	for (size_t i = 0; i < n; i++)
		x[i] = (uint64_t)(mean * (1 + noise * normal()));
}

static void median_of_any_series_is_that_of_sorting(void **state)
{
	uint64_t x[64] = {0}, sorted[64];

	(void)state;
	assert_int_equal(wv_tune_median(x, 0), 0);
	for (unsigned round = 0; round < 5000; round++) {
		size_t n = 1 + wv_tune_random(&random_state) % 64;
		uint64_t low, high;

		/* few values: many are equal */
		for (size_t i = 0; i < n; i++)
			x[i] = wv_tune_random(&random_state) % (1 + round % 50);
		memcpy(sorted, x, n * sizeof(x[0]));
		qsort(sorted, n, sizeof(sorted[0]), by_value);
		low = sorted[(n - 1) / 2];
		high = sorted[n / 2];
		assert_int_equal(wv_tune_median(x, n), low + (high - low) / 2);
	}
}

static void spread_of_normal_noise_is_its_deviation(void **state)
{
	uint64_t x[512];
	double sum = 0;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		fill(x, 512, 1e9, 0.03);
		sum += wv_tune_spread(x, 512) / 50;
	}
	assert_true(fabs(sum - 0.03e9) < 0.002e9);
}

static void warmup_of_slow_steps_is_cut_and_noise_is_not(void **state)
{
	uint64_t x[100];
	unsigned early = 0;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		size_t cut;

		fill(x, 100, 1e8, 0.03);
		for (size_t k = 0; k < 12; k++)
			x[k] = x[k] * (k == 0 ? 200 : 2);
		cut = wv_tune_warmup(x, 100, 3);
		assert_true(cut >= 12 && cut <= 16);
		fill(x, 100, 1e8, 0.03);
		early += wv_tune_warmup(x, 100, 3) != 3;
	}
	assert_true(early <= 10); /* of 200: noise taken for a change */
	assert_int_equal(wv_tune_warmup(x, 2, 3), 2);
	/* steps that get slower are no warm-up */
	for (size_t k = 50; k < 100; k++)
		x[k] *= 2;
	assert_true(wv_tune_warmup(x, 100, 3) <= 10);
}

/* A loader's queue: three steps of four wait for nothing, and the fourth for all of them. */
static void gain_of_bursts_is_of_throughput(void **state)
{
	static const uint64_t few[] = {1000, 2000, 6000};
	struct wv_tune_interval i;
	uint64_t a[40], b[40];

	(void)state;
	assert_true(wv_tune_mean(few, 3) == 3000);
	assert_true(wv_tune_mean(few, 0) == 0);
	for (unsigned k = 0; k < 40; k++) {
		a[k] = 100000;
		b[k] = k % 4 == 3 ? 97000 : 1000;
	}
	wv_tune_compare(a, 40, b, 40, 900, 1, &i);
	assert_true(fabs(i.mid - 3) < 1e-9);
	assert_true(i.low > 2 && i.high < 5);
}

static void compare_covers_the_true_gain_as_often_as_it_says(void **state)
{
	unsigned covered = 0, rounds = 400;
	struct wv_tune_interval i;
	uint64_t a[40], b[40];

	(void)state;
	for (unsigned r = 0; r < rounds; r++) {
		fill(a, 40, 1.1e8, 0.03);
		fill(b, 40, 1e8, 0.03);
		wv_tune_compare(a, 40, b, 40, 900, r, &i);
		assert_true(i.low <= i.mid && i.mid <= i.high);
		covered += i.low <= 0.1 && 0.1 <= i.high;
	}
	printf("simulated: 90 %% intervals cover %.3f\n", (double)covered / rounds);
	assert_true(covered >= rounds * 85 / 100 && covered <= rounds * 97 / 100);
	wv_tune_compare(a, 0, b, 40, 900, 1, &i);
	assert_true(i.low <= -1 && isinf(i.high));
}

/* Looks after 3, 4, ... 8 pairs, as the engine does; the true gain is exactly the margin. */
static double accepted(double gain, double margin, double drift, unsigned rounds)
{
	uint64_t a[8][40], b[8][40];
	unsigned yes = 0;

	for (unsigned r = 0; r < rounds; r++) {
		struct wv_tune_segment x[8], y[8];

		for (size_t p = 0; p < 8; p++) {
			struct wv_tune_interval i;

			fill(a[p], 40, 1e8 * (1 + gain) * (1 + drift * normal()), 0.03);
			fill(b[p], 40, 1e8 * (1 + drift * normal()), 0.03);
			x[p] = (struct wv_tune_segment){a[p], 40};
			y[p] = (struct wv_tune_segment){b[p], 40};
			if (p < 2)
				continue;
			wv_tune_pairs(x, y, p + 1, r, &i);
			if (wv_tune_low_of_looks(&i) > margin) {
				yes++;
				break;
			}
			if (i.high < margin)
				break;
		}
	}
	return (double)yes / rounds;
}

static void pairs_that_gain_no_more_than_the_margin_are_seldom_accepted(void **state)
{
	double at_margin = accepted(0.01, 0.01, 0.005, 300), none = accepted(0, 0.01, 0.005, 200);
	double plain = accepted(0.05, 0.01, 0.005, 50), drifting;

	(void)state;
	print_message(
		"simulated: accepted at the margin %.3f, without any gain %.3f, at 5 %% %.3f\n",
		at_margin, none, plain);
	/* trials that differ among themselves: what is within them does not tell of it */
	drifting = accepted(0.01, 0.01, 0.02, 300);
	print_message("simulated: accepted at the margin, 2 %% of drift a trial %.3f\n", drifting);
	assert_true(drifting <= 0.05);
	assert_true(at_margin <= 0.05);
	assert_true(none <= 0.01);
	assert_true(plain >= 0.95);
}

static void pairs_are_the_same_with_the_same_seed(void **state)
{
	uint64_t a[3][20], b[3][20];
	struct wv_tune_segment x[3], y[3];
	struct wv_tune_interval one, two;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		fill(a[i], 20, 1e8, 0.03);
		fill(b[i], 20, 1e8, 0.03);
		x[i] = (struct wv_tune_segment){a[i], 20};
		y[i] = (struct wv_tune_segment){b[i], 20};
	}
	wv_tune_pairs(x, y, 3, 5, &one);
	wv_tune_pairs(x, y, 3, 5, &two);
	assert_memory_equal(&one, &two, sizeof(one));
	wv_tune_pairs(x, y, 1, 5, &one);
	assert_true(one.low <= -1); /* one pair says nothing */
	assert_true(wv_tune_student(1) > 12.7 && wv_tune_student(100) > 1.96);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(median_of_any_series_is_that_of_sorting),
		cmocka_unit_test(spread_of_normal_noise_is_its_deviation),
		cmocka_unit_test(warmup_of_slow_steps_is_cut_and_noise_is_not),
		cmocka_unit_test(gain_of_bursts_is_of_throughput),
		cmocka_unit_test(compare_covers_the_true_gain_as_often_as_it_says),
		cmocka_unit_test(pairs_that_gain_no_more_than_the_margin_are_seldom_accepted),
		cmocka_unit_test(pairs_are_the_same_with_the_same_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
