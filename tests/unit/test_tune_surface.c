// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tuner on simulated trainings: how often it comes within 3 % of the best point of the whole
 * grid, in at most 12 trials, with 3 % of noise a step and 0.4 % a trial. Nothing here is a figure
 * of a device. SURFACE_SEEDS=n: so many trainings of each kind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <cmocka.h>

#include "tune_surface.h"

#define SEEDS 60
#define FIRST 20000 /* seeds that the engine's constants were not chosen by */

static struct wv_tune_outcome outcome[WV_TUNE_RUNS];
static struct wv_tune_trial trial[WV_TUNE_RUNS];

static unsigned seeds(void)
{
	const char *s = getenv("SURFACE_SEEDS");

	return s && atoi(s) > 0 ? (unsigned)atoi(s) : SEEDS;
}

static struct wv_tune *tuner(const struct surface *s, uint64_t seed)
{
	struct wv_tune_limits limits = wv_tune_limits_default();
	struct wv_tune *t;

	limits.seed = seed;
	t = wv_tune_new(&s->space, &limits);
	assert_non_null(t);
	return t;
}

/* Runs a tuning to its end; the log is in trial and outcome. Number of runs. */
static uint32_t tune(struct surface *s, uint64_t seed, struct wv_tune_result *ret)
{
	struct wv_tune *t = tuner(s, seed);
	uint32_t n = 0;

	while (wv_tune_next(t, &trial[n]) > 0) {
		assert_true(n < WV_TUNE_RUNS);
		assert_int_equal(trial[n].id, n);
		surface_run(s, &trial[n], &outcome[n]);
		assert_int_equal(wv_tune_told(t, &outcome[n]), 0);
		n++;
	}
	wv_tune_result(t, ret);
	assert_int_equal(ret->runs, n);
	wv_tune_free(t);
	return n;
}

struct tally {
	unsigned near, improved, oom, n;
	double trials, runs, start, worst;
};

static struct tally tally(enum surface_kind kind, bool shares)
{
	struct tally sum = {.worst = 1};

	for (unsigned i = 0; i < seeds(); i++) {
		struct wv_tune_result r;
		struct surface s;
		double best, off;
		uint32_t n;

		surface_init(&s, kind, FIRST + i);
		s.shares = shares;
		best = surface_best(&s);
		n = tune(&s, i + 1, &r);
		off = surface_step(&s, &r.point, NULL) / best;
		assert_true(r.trials <= 12);
		/* what is recommended is always one that fits and learns */
		assert_true(surface_peak(&s, &r.point) <= (double)s.space.memory_limit_bytes);
		assert_true(s.diverges == WV_TUNE_UNSET ||
			    r.point.value[WV_TUNE_PRECISION] != s.diverges);
		for (uint32_t k = 0; k < n; k++)
			sum.oom += outcome[k].status == WV_TUNE_OOM;
		sum.near += off <= 1.03;
		sum.improved += r.end == WV_TUNE_IMPROVED;
		sum.trials += r.trials;
		sum.runs += r.runs;
		sum.start += surface_step(&s, &s.space.start, NULL) / best;
		sum.worst = off > sum.worst ? off : sum.worst;
		sum.n++;
	}
	print_message(
		"simulated %-8s%s: %u of %u within 3 %%, worst %.3f, start %.2f; %.1f trials, "
		"%.1f runs, %.1f out of memory, %u improved\n",
		surface_names[kind], shares ? "" : " undiagnosed", sum.near, sum.n, sum.worst,
		sum.start / sum.n, sum.trials / sum.n, sum.runs / sum.n, (double)sum.oom / sum.n,
		sum.improved);
	return sum;
}

static void surfaces_of_all_kinds_are_near_the_optimum(void **state)
{
	unsigned near = 0, n = 0;

	(void)state;
	for (unsigned kind = 0; kind < SURFACE_N; kind++) {
		struct tally sum = tally(kind, true);

		assert_true(sum.near * 100 >= sum.n * 95);
		near += sum.near;
		n += sum.n;
	}
	print_message("simulated, all: %u of %u within 3 %%\n", near, n);
	assert_true(near * 100 >= n * 97);
}

/* Without shares all knobs are candidates: it takes more trials, and finds less. */
static void surfaces_without_a_diagnosis_are_improved_nevertheless(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < SURFACE_N; kind++) {
		struct tally sum;

		if (kind == SURFACE_FLAT)
			continue;
		sum = tally(kind, false);
		assert_true(sum.improved * 100 >= sum.n * 90);
	}
}

static void surface_flat_is_kept(void **state)
{
	unsigned wrong = 0, confirmed = 0, n = 4 * seeds();

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		struct wv_tune_result r;
		struct surface s;

		surface_init(&s, SURFACE_FLAT, FIRST + i);
		tune(&s, i, &r);
		wrong += r.end == WV_TUNE_IMPROVED;
		confirmed += r.runs > r.trials;
		assert_int_equal(r.is, r.was);
	}
	print_message("simulated flat: %u of %u called better; %u were confirmed at all\n", wrong,
		      n, confirmed);
	assert_true(wrong * 100 <= n * 2);
	assert_true(confirmed > 0); /* or the search alone would have been tested */
}

static void log_of_any_prefix_asks_the_same(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < SURFACE_N; kind++) {
		struct wv_tune_result r;
		struct surface s;
		uint32_t n;

		surface_init(&s, kind, FIRST);
		n = tune(&s, 1, &r);
		for (uint32_t cut = 0; cut <= n; cut++) {
			struct wv_tune *t = tuner(&s, 1);
			struct wv_tune_trial next;

			assert_int_equal(wv_tune_replay(t, trial, outcome, cut, NULL), 0);
			assert_int_equal(wv_tune_next(t, &next), cut < n);
			if (cut < n) {
				assert_true(wv_tune_point_equal(&next.point, &trial[cut].point));
				assert_int_equal(next.purpose, trial[cut].purpose);
				assert_int_equal(next.seed, trial[cut].seed);
				assert_int_equal(next.steps, trial[cut].steps);
				assert_int_equal(next.timeout_ns, trial[cut].timeout_ns);
				assert_string_equal(next.reason, trial[cut].reason);
			}
			wv_tune_free(t);
		}
	}
}

static void log_of_another_space_is_refused(void **state)
{
	struct wv_tune_result r;
	struct surface s, other;
	struct wv_tune *t;
	size_t at = 99;
	uint32_t n;

	(void)state;
	surface_init(&other, SURFACE_LAUNCH, FIRST);
	surface_init(&s, SURFACE_INPUT, FIRST);
	n = tune(&s, 1, &r);
	t = tuner(&other, 1);
	assert_int_equal(wv_tune_replay(t, trial, outcome, n, &at), -ESTALE);
	assert_int_equal(at, 0);
	wv_tune_free(t);
	t = tuner(&s, 1);
	trial[3].seed++;
	assert_int_equal(wv_tune_replay(t, trial, outcome, n, &at), -ESTALE);
	assert_int_equal(at, 3);
	wv_tune_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(surfaces_of_all_kinds_are_near_the_optimum),
		cmocka_unit_test(surfaces_without_a_diagnosis_are_improved_nevertheless),
		cmocka_unit_test(surface_flat_is_kept),
		cmocka_unit_test(log_of_any_prefix_asks_the_same),
		cmocka_unit_test(log_of_another_space_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
