// SPDX-License-Identifier: GPL-2.0-only
/* The guard: the same training passes, another one does not; how often it is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "gpu/tune/guard.h"
#include "gpu/tune/stats.h"
#include "user/core/cleanup.h"

#define STEPS 40
#define PAIRS 3

static uint64_t random_state = 7;

static double normal(void)
{
	double u = (double)(wv_tune_random(&random_state) >> 11) * 0x1p-53 + 1e-300;
	double v = (double)(wv_tune_random(&random_state) >> 11) * 0x1p-53;

	return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* A loss that falls; seeds differ by 2 %, steps by 2 %; slower: learns less. */
static void train(float *out, double seed, double worse)
{
	for (size_t i = 0; i < STEPS; i++)
		out[i] = (float)(4 * pow((double)i + 2, -0.2) * worse * (1 + 0.02 * seed) *
				 (1 + 0.02 * normal()));
}

static struct wv_tune_band compare(double worse)
{
	static float a[PAIRS][STEPS], b[PAIRS][STEPS];
	struct wv_tune_losses x[PAIRS], y[PAIRS];
	struct wv_tune_band band;

	for (size_t p = 0; p < PAIRS; p++) {
		double seed = normal();

		train(a[p], seed, 1);
		train(b[p], seed, worse);
		x[p] = (struct wv_tune_losses){a[p], STEPS};
		y[p] = (struct wv_tune_losses){b[p], STEPS};
	}
	wv_tune_guard_compare(x, y, PAIRS, &band);
	return band;
}

static void guard_of_the_same_training_seldom_refuses_and_of_another_does(void **state)
{
	unsigned refused = 0, caught = 0;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		refused += !compare(1).same;
		caught += !compare(1.15).same;
	}
	print_message("simulated: same training refused %u of 500, 15 %% worse caught %u\n",
		      refused, caught);
	assert_true(refused <= 10);
	assert_true(caught >= 475);
}

static void guard_of_losses_that_are_no_numbers_refuses(void **state)
{
	float good[STEPS], bad[STEPS];
	struct wv_tune_losses a[PAIRS], b[PAIRS];
	struct wv_tune_band band;

	(void)state;
	train(good, 0, 1);
	train(bad, 0, 1);
	for (size_t i = 20; i < STEPS; i++)
		bad[i] = NAN;
	for (size_t p = 0; p < PAIRS; p++)
		a[p] = b[p] = (struct wv_tune_losses){good, STEPS};
	wv_tune_guard_compare(a, b, PAIRS, &band);
	assert_true(band.known && band.same);
	b[1].loss = bad;
	wv_tune_guard_compare(a, b, PAIRS, &band);
	assert_true(band.known && !band.same);
	assert_false(wv_tune_guard_plausible(&a[0], &b[1]));
	bad[20] = INFINITY;
	assert_false(wv_tune_guard_plausible(&a[0], &b[1]));
}

static void guard_without_losses_knows_nothing(void **state)
{
	struct wv_tune_losses a[PAIRS] = {0}, b[PAIRS] = {0};
	struct wv_tune_band band;

	(void)state;
	wv_tune_guard_compare(a, b, PAIRS, &band);
	assert_false(band.known);
	assert_false(band.same);
	assert_true(wv_tune_guard_plausible(&a[0], &b[0]));
}

static void guard_of_one_trial_passes_noise_and_stops_what_is_wrong(void **state)
{
	float start[STEPS], other[STEPS];
	struct wv_tune_losses a = {start, STEPS}, b = {other, STEPS};

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		train(start, normal(), 1);
		train(other, normal(), 1);
		assert_true(wv_tune_guard_plausible(&a, &b));
		train(other, normal(), 3);
		assert_false(wv_tune_guard_plausible(&a, &b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guard_of_the_same_training_seldom_refuses_and_of_another_does),
		cmocka_unit_test(guard_of_losses_that_are_no_numbers_refuses),
		cmocka_unit_test(guard_without_losses_knows_nothing),
		cmocka_unit_test(guard_of_one_trial_passes_noise_and_stops_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
