// SPDX-License-Identifier: GPL-2.0-only
/* Steps found in what repeats: planted lengths, noise, jitter, and series that have none. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gpu/period.h"

#define N 4096

static float series[N];
static uint64_t random_state;

/* 0 to 1 */
static double chance(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (double)(random_state >> 11) / (double)(1ULL << 53);
}

/* Busy for 60 % of a step, in three kernels; steps differ by up to `jitter` of their length. */
static void plant(double length, double jitter, double noise)
{
	double begin = 0, this = length;

	random_state = 88172645463325252ULL;
	for (unsigned i = 0; i < N; i++) {
		double in;

		while (i >= begin + this) {
			begin += this;
			this = length * (1 + jitter * (2 * chance() - 1));
		}
		in = (i - begin) / this;
		series[i] =
			(float)((in < 0.3 || (in > 0.4 && in < 0.55) || (in > 0.7 && in < 0.85)) +
				noise * (chance() - 0.5));
	}
}

static void period_clean_steps_length_is_exact(void **state)
{
	(void)state;
	for (double length = 17; length < 900; length *= 1.618) {
		struct wv_period p;

		plant(length, 0, 0);
		p = wv_period_of_samples(series, N);
		assert_true(fabs(p.length - length) / length < 0.01);
		assert_true(p.confidence > 0.7);
	}
}

static void period_noise_length_stays_confidence_falls(void **state)
{
	struct wv_period clean, noisy;

	(void)state;
	plant(120.4, 0, 0);
	clean = wv_period_of_samples(series, N);
	plant(120.4, 0, 1.5);
	noisy = wv_period_of_samples(series, N);
	assert_true(fabs(noisy.length - 120.4) < 2);
	assert_true(noisy.confidence > 0.2 && noisy.confidence < clean.confidence - 0.1);
}

static void period_steps_differ_confidence_falls(void **state)
{
	struct wv_period clean, jitter;

	(void)state;
	plant(200, 0, 0);
	clean = wv_period_of_samples(series, N);
	plant(200, 0.03, 0);
	jitter = wv_period_of_samples(series, N);
	assert_true(fabs(jitter.length - 200) < 10);
	assert_true(jitter.confidence > 0.2 && jitter.confidence < clean.confidence);
}

static void period_none_there_none_found(void **state)
{
	double walk = 0;

	(void)state;
	random_state = 99;
	for (unsigned i = 0; i < N; i++)
		series[i] = (float)chance();
	assert_true(wv_period_of_samples(series, N).confidence < 0.05);
	for (unsigned i = 0; i < N; i++)
		series[i] = 0.7F;
	assert_true(wv_period_of_samples(series, N).confidence <= 0);
	for (unsigned i = 0; i < N; i++)
		series[i] = (float)i;
	assert_true(wv_period_of_samples(series, N).confidence < 0.05);
	for (unsigned i = 0; i < N; i++)
		series[i] = (float)(walk = 0.9 * walk + chance() - 0.5);
	assert_true(wv_period_of_samples(series, N).confidence < 0.3);
	assert_true(wv_period_of_samples(series, 5).confidence <= 0);
	assert_true(wv_period_of_samples(series, 0).confidence <= 0);
}

static void period_names_repeat_number_of_names_is_found(void **state)
{
	static uint32_t names[1000];
	struct wv_period p, noisy;

	(void)state;
	random_state = 7;
	/* a step of 37 kernels: 12 layers of three, and the optimizer's */
	for (unsigned i = 0; i < 1000; i++)
		names[i] = i % 37 == 36 ? 1000 : 10 + i % 37 % 3;
	p = wv_period_of_names(names, 1000);
	assert_true(fabs(p.length - 37) < 0.01 && p.confidence > 0.5);
	for (unsigned i = 0; i < 1000; i++)
		if (chance() < 0.1)
			names[i] = (uint32_t)(chance() * 1e6);
	noisy = wv_period_of_names(names, 1000);
	assert_true(noisy.confidence < p.confidence);
	for (unsigned i = 0; i < 1000; i++)
		names[i] = (uint32_t)(chance() * 20);
	assert_true(wv_period_of_names(names, 1000).confidence < 0.05);
	for (unsigned i = 0; i < 1000; i++)
		names[i] = 5;
	assert_true(wv_period_of_names(names, 1000).confidence <= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(period_clean_steps_length_is_exact),
		cmocka_unit_test(period_noise_length_stays_confidence_falls),
		cmocka_unit_test(period_steps_differ_confidence_falls),
		cmocka_unit_test(period_none_there_none_found),
		cmocka_unit_test(period_names_repeat_number_of_names_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
