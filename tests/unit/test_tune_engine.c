// SPDX-License-Identifier: GPL-2.0-only
/* The engine's rules, one by one, on simulated trainings; and that no answer breaks them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <cmocka.h>

#include "tune_surface.h"
#include "user/core/cleanup.h"

static struct wv_tune_outcome o;

static struct wv_tune *tuner(const struct surface *s)
{
	struct wv_tune_limits limits = wv_tune_limits_default();
	struct wv_tune *t = wv_tune_new(&s->space, &limits);

	assert_non_null(t);
	return t;
}

/* Runs it to the end; spoil (may be NULL) changes what came of a trial. */
static struct wv_tune_result finish(struct wv_tune *t, struct surface *s,
				    void (*spoil)(const struct wv_tune_trial *))
{
	struct wv_tune_result r;
	struct wv_tune_trial trial;

	while (wv_tune_next(t, &trial) > 0) {
		surface_run(s, &trial, &o);
		if (spoil)
			spoil(&trial);
		assert_int_equal(wv_tune_told(t, &o), 0);
	}
	wv_tune_result(t, &r);
	assert_string_not_equal(r.why, "");
	return r;
}

static void limits_that_make_no_sense_are_refused(void **state)
{
	struct wv_tune_limits good = wv_tune_limits_default(), bad[9];
	struct surface s;

	(void)state;
	surface_init(&s, SURFACE_INPUT, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[0].trials = 0;
	bad[1].runs = good.trials - 1;
	bad[2].runs = WV_TUNE_RUNS + 1;
	bad[3].rung_steps[1] = WV_TUNE_STEPS;
	bad[4].rung_steps[2] = good.rung_steps[1] - 1;
	bad[5].pairs_min = 2;
	bad[6].pairs_max = WV_TUNE_PAIRS + 1;
	bad[7].memory_permille = 1001;
	bad[8].warmup_steps = UINT32_MAX;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		errno = 0;
		assert_null(wv_tune_new(&s.space, &bad[i]));
		assert_int_equal(errno, EINVAL);
	}
	wv_tune_free(NULL);
}

static void trial_is_the_same_until_it_was_told_of(void **state)
{
	struct wv_tune_trial a, b;
	struct surface s;
	struct wv_tune *t;

	(void)state;
	surface_init(&s, SURFACE_INPUT, 1);
	t = tuner(&s);
	assert_int_equal(wv_tune_told(t, &o), -EINVAL); /* none is out */
	assert_int_equal(wv_tune_next(t, &a), 1);
	assert_int_equal(wv_tune_next(t, &b), 1);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(a.purpose, WV_TUNE_BASELINE);
	assert_true(wv_tune_point_equal(&a.point, &s.space.start));
	surface_run(&s, &a, &o);
	o.n_steps = WV_TUNE_STEPS + 1;
	assert_int_equal(wv_tune_told(t, &o), -EINVAL);
	o.n_steps = a.steps;
	o.step_ns[7] = 0;
	assert_int_equal(wv_tune_told(t, &o), -EINVAL);
	surface_run(&s, &a, &o);
	assert_int_equal(wv_tune_told(t, &o), 0);
	assert_int_equal(wv_tune_told(t, &o), -EINVAL);
	assert_int_equal(wv_tune_next(t, &b), 1);
	assert_int_equal(b.id, 1);
	wv_tune_free(t);
}

static void start_fails(const struct wv_tune_trial *t)
{
	if (t->purpose == WV_TUNE_BASELINE)
		o.status = WV_TUNE_OOM;
}

static void start_that_does_not_run_ends_it(void **state)
{
	struct wv_tune_result r;
	struct surface s;
	struct wv_tune *t;

	(void)state;
	surface_init(&s, SURFACE_INPUT, 1);
	t = tuner(&s);
	r = finish(t, &s, start_fails);
	assert_int_equal(r.end, WV_TUNE_NO_BASELINE);
	assert_int_equal(r.runs, 1);
	assert_true(wv_tune_point_equal(&r.point, &s.space.start));
	assert_non_null(strstr(r.why, "oom"));
	wv_tune_free(t);
}

static void input_bound_start_is_answered_by_the_loader(void **state)
{
	struct wv_tune_trial trial;
	struct surface s;
	struct wv_tune *t;

	(void)state;
	surface_init(&s, SURFACE_INPUT, 3);
	ALLOW(&s, WV_TUNE_PRECISION, WV_TUNE_COMPILE, WV_TUNE_CHECKPOINTING);
	assert_null(wv_tune_space_close(&s.space));
	t = tuner(&s);
	wv_tune_next(t, &trial);
	surface_run(&s, &trial, &o);
	assert_int_equal(wv_tune_bound(&o.shares), WV_GPU_BOUND_INPUT);
	wv_tune_told(t, &o);
	wv_tune_next(t, &trial);
	assert_int_equal(trial.purpose, WV_TUNE_PROBE);
	assert_true(trial.point.value[WV_TUNE_WORKERS] > s.space.start.value[WV_TUNE_WORKERS] ||
		    trial.point.value[WV_TUNE_CACHE] != WV_TUNE_CACHE_OFF);
	for (unsigned k = WV_TUNE_MICRO; k < WV_TUNE_KNOB_N; k++)
		assert_int_equal(trial.point.value[k], s.space.start.value[k]);
	assert_non_null(strstr(trial.reason, "input takes"));
	wv_tune_free(t);
}

static void without_losses_nothing_that_changes_numbers_is_tried(void **state)
{
	(void)state;
	for (unsigned guard = 0; guard < 2; guard++) {
		struct wv_tune_limits limits = wv_tune_limits_default();
		struct wv_tune_trial trial;
		struct wv_tune_result r;
		struct surface s;
		struct wv_tune *t;
		bool changed = false;

		surface_init(&s, SURFACE_MIXED, 5);
		s.losses = false;
		s.diverges = WV_TUNE_UNSET;
		limits.guard = guard != 0;
		t = wv_tune_new(&s.space, &limits);
		while (wv_tune_next(t, &trial) > 0) {
			changed = changed || wv_tune_point_numbers(&s.space.start, &trial.point) ==
						     WV_TUNE_CHANGES;
			surface_run(&s, &trial, &o);
			wv_tune_told(t, &o);
		}
		wv_tune_result(t, &r);
		assert_int_equal(changed, !guard);
		assert_int_equal(r.guard, guard ? WV_TUNE_GUARD_UNKNOWN : WV_TUNE_GUARD_OFF);
		assert_int_equal(r.end, WV_TUNE_IMPROVED);
		wv_tune_free(t);
	}
}

/* Within what a single trial may be off by, but not the same training. */
static void bf16_learns_less(const struct wv_tune_trial *t)
{
	for (uint32_t i = 0; i < o.n_steps; i++)
		if (t->point.value[WV_TUNE_PRECISION] == WV_TUNE_BF16)
			o.loss[i] *= 1.2F;
}

static void candidate_that_learns_less_is_replaced_by_one_that_does_not(void **state)
{
	unsigned improved = 0;

	(void)state;
	for (unsigned seed = 0; seed < 20; seed++) {
		struct wv_tune_result r;
		struct surface s;
		struct wv_tune *t;

		surface_init(&s, SURFACE_COMPUTE, seed);
		s.diverges = WV_TUNE_UNSET;
		s.precision[WV_TUNE_BF16] = 0.4; /* the faster one */
		s.precision[WV_TUNE_FP16] = 0.6;
		t = tuner(&s);
		r = finish(t, &s, bf16_learns_less);
		assert_int_not_equal(r.point.value[WV_TUNE_PRECISION], WV_TUNE_BF16);
		improved += r.end == WV_TUNE_IMPROVED;
		assert_true(r.end != WV_TUNE_IMPROVED || r.guard == WV_TUNE_GUARD_EQUIVALENT ||
			    r.guard == WV_TUNE_GUARD_EXACT);
		wv_tune_free(t);
	}
	assert_true(improved >= 15);
}

static void confirmation_takes_turns_with_one_seed_a_pair(void **state)
{
	uint64_t seed[WV_TUNE_RUNS], search = 0;
	struct wv_tune_trial trial;
	struct surface s;
	struct wv_tune *t;
	char order[WV_TUNE_RUNS + 1];
	size_t n = 0;

	(void)state;
	surface_init(&s, SURFACE_FLAT, 1);
	s.compile[1] = s.compile[2] = 0.975; /* a gain that takes several pairs */
	s.drift = 0.008;
	t = tuner(&s);
	while (wv_tune_next(t, &trial) > 0) {
		if (trial.purpose >= WV_TUNE_CONFIRM_A) {
			order[n] = trial.purpose == WV_TUNE_CONFIRM_A ? 'A' : 'B';
			assert_true((trial.purpose == WV_TUNE_CONFIRM_A) ==
				    wv_tune_point_equal(&trial.point, &s.space.start));
			assert_int_equal(trial.pair, n / 2);
			seed[n++] = trial.seed;
		} else {
			assert_true(search == 0 || search == trial.seed);
			search = trial.seed;
		}
		surface_run(&s, &trial, &o);
		wv_tune_told(t, &o);
	}
	order[n] = '\0';
	assert_true(n >= 6 && n % 2 == 0);
	assert_memory_equal(order, "ABBAAB", 6);
	for (size_t i = 0; i < n; i += 2) {
		assert_true(seed[i] == seed[i + 1]);
		assert_true(seed[i] != search);
		assert_true(i == 0 || seed[i] != seed[i - 1]);
	}
	wv_tune_free(t);
}

static void start_fails_in_confirmation(const struct wv_tune_trial *t)
{
	if (t->purpose == WV_TUNE_CONFIRM_A)
		o.status = WV_TUNE_FAILED;
}

static void start_that_fails_in_confirmation_is_kept(void **state)
{
	struct wv_tune_result r;
	struct surface s;
	struct wv_tune *t;

	(void)state;
	surface_init(&s, SURFACE_LAUNCH, 1);
	t = tuner(&s);
	r = finish(t, &s, start_fails_in_confirmation);
	assert_int_equal(r.end, WV_TUNE_KEPT);
	assert_int_equal(r.pairs, 0);
	assert_true(r.gain == 0 && r.gain_high == 0);
	wv_tune_free(t);
}

static void budget_of_time_leaves_room_for_a_confirmation(void **state)
{
	unsigned improved = 0;

	(void)state;
	for (unsigned share = 1; share <= 20; share++) {
		struct wv_tune_limits limits = wv_tune_limits_default();
		struct wv_tune_result r;
		struct surface s;
		struct wv_tune *t;

		surface_init(&s, SURFACE_INPUT, share);
		/* a trial of the start takes about so long: the budget is that of 1 .. 20 of them
		 */
		limits.budget_ns =
			(uint64_t)(share * (5 + 65 * surface_step(&s, &s.space.start, NULL)) * 1e9);
		t = wv_tune_new(&s.space, &limits);
		r = finish(t, &s, NULL);
		improved += r.end == WV_TUNE_IMPROVED;
		/* a trial may turn out to be slower than was thought, by what is left of the budget
		 */
		assert_true(share <= 1 ||
			    r.elapsed_ns <= limits.budget_ns + limits.budget_ns / share);
		assert_true(share > 4 || r.end == WV_TUNE_KEPT);
		wv_tune_free(t);
	}
	assert_true(improved >= 10);
}

static void cache_in_memory_fails(const struct wv_tune_trial *t)
{
	if (t->point.value[WV_TUNE_CACHE] == WV_TUNE_CACHE_RAM) {
		o.status = WV_TUNE_OOM;
		o.n_steps = 0;
	}
}

static void host_out_of_memory_teaches_nothing_of_the_device(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 20; seed++) {
		struct wv_tune_result r;
		struct surface s;
		struct wv_tune *t;

		surface_init(&s, SURFACE_MIXED, seed);
		t = tuner(&s);
		r = finish(t, &s, cache_in_memory_fails);
		assert_int_equal(r.end, WV_TUNE_IMPROVED);
		assert_int_not_equal(r.point.value[WV_TUNE_CACHE], WV_TUNE_CACHE_RAM);
		assert_true(r.point.value[WV_TUNE_MICRO] > s.space.start.value[WV_TUNE_MICRO]);
		wv_tune_free(t);
	}
}

static void compiling_is_ignored(const struct wv_tune_trial *t)
{
	o.ignored =
		t->point.value[WV_TUNE_COMPILE] != WV_TUNE_COMPILE_OFF ? 1U << WV_TUNE_COMPILE : 0;
	for (uint32_t i = 0; i < o.n_steps; i++)
		o.step_ns[i] *= t->point.value[WV_TUNE_COMPILE] == WV_TUNE_COMPILE_OFF ? 1 : 2;
}

static void knob_that_is_ignored_is_tried_once(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 20; seed++) {
		struct wv_tune_trial trial;
		struct wv_tune_result r;
		struct surface s;
		unsigned tried = 0;
		struct wv_tune *t;

		surface_init(&s, seed % SURFACE_N, seed);
		t = tuner(&s);
		while (wv_tune_next(t, &trial) > 0) {
			tried += trial.point.value[WV_TUNE_COMPILE] != WV_TUNE_COMPILE_OFF;
			surface_run(&s, &trial, &o);
			compiling_is_ignored(&trial);
			assert_int_equal(wv_tune_told(t, &o), 0);
		}
		o.ignored = 0;
		wv_tune_result(t, &r);
		assert_true(tried <= 1);
		assert_int_equal(r.point.value[WV_TUNE_COMPILE], WV_TUNE_COMPILE_OFF);
		wv_tune_free(t);
	}
}

/* The loader is exactly as slow as the device: to make either faster gains nothing by itself. */
static void losses_that_hide_each_other_are_both_found(void **state)
{
	unsigned near = 0;

	(void)state;
	for (unsigned seed = 0; seed < 20; seed++) {
		struct wv_tune_result r;
		struct surface s;
		struct wv_tune *t;
		double device, input;

		surface_init(&s, SURFACE_MIXED, seed);
		s.fetch = s.prep = 1e-9;
		device = surface_step(&s, &s.space.start, NULL);
		s.prep = 1;
		input = surface_step(&s, &s.space.start, NULL);
		s.prep = device / input;
		assert_true(surface_step(&s, &s.space.start, NULL) < 1.01 * device);
		t = tuner(&s);
		r = finish(t, &s, NULL);
		near += surface_step(&s, &r.point, NULL) < 1.1 * surface_best(&s);
		wv_tune_free(t);
	}
	assert_true(near >= 18);
}

static void shares_name_the_largest_loss(void **state)
{
	struct wv_tune_shares s = {0};

	(void)state;
	assert_int_equal(wv_tune_bound(&s), WV_GPU_BOUND_NONE);
	assert_int_equal(wv_tune_share_ppm(&s, WV_GPU_BOUND_INPUT), 0);
	s = (struct wv_tune_shares){.device = true, .window = 1000, .kernel = 700, .exposed = 100};
	s.cause_ns[WV_GPU_CAUSE_INPUT] = 60;
	s.cause_ns[WV_GPU_CAUSE_HOST] = 90;
	s.cause_ns[WV_GPU_CAUSE_LAUNCH] = 50;
	/* host and launch are one loss: 140, more than what is exposed */
	assert_int_equal(wv_tune_bound(&s), WV_GPU_BOUND_LAUNCH);
	assert_int_equal(wv_tune_share_ppm(&s, WV_GPU_BOUND_LAUNCH), 140000);
	assert_int_equal(wv_tune_share_ppm(&s, WV_GPU_BOUND_COMPUTE), 700000);
	s.exposed = 30;
	s.cause_ns[WV_GPU_CAUSE_HOST] = s.cause_ns[WV_GPU_CAUSE_LAUNCH] = 0;
	s.cause_ns[WV_GPU_CAUSE_INPUT] = 49;
	assert_int_equal(wv_tune_bound(&s), WV_GPU_BOUND_COMPUTE);
	/* without a device, the thread's own work is the computation */
	s = (struct wv_tune_shares){.window = 1000};
	s.cause_ns[WV_GPU_CAUSE_HOST] = 900;
	s.cause_ns[WV_GPU_CAUSE_INPUT] = 100;
	assert_int_equal(wv_tune_bound(&s), WV_GPU_BOUND_INPUT);
	assert_int_equal(wv_tune_share_ppm(&s, WV_GPU_BOUND_COMPUTE), 900000);
}

static void random_outcome(struct surface *s, const struct wv_tune_trial *t)
{
	unsigned dice = (unsigned)(wv_tune_random(&s->random) % 10);

	surface_run(s, t, &o);
	if (dice < 3 && t->id)
		o.status = 1 + (unsigned)(wv_tune_random(&s->random) % (WV_TUNE_STATUS_N - 1));
	if (dice == 4)
		o.n_steps = (uint32_t)(wv_tune_random(&s->random) % (o.n_steps + 1));
	if (dice == 5)
		memset(&o.shares, 0xff, sizeof(o.shares.cause_ns));
	if (dice == 6)
		o.peak_bytes = wv_tune_random(&s->random);
	if (dice == 7)
		o.loss[0] = INFINITY;
	for (uint32_t i = 0; dice == 8 && i < o.n_steps; i++)
		o.step_ns[i] = 1 + wv_tune_random(&s->random) % 1000000000000ULL;
	if (dice == 9)
		o.elapsed_ns = 0;
}

static void answers_of_any_kind_break_no_rule(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 400; seed++) {
		struct wv_tune_limits limits = wv_tune_limits_default();
		struct wv_tune_point seen[WV_TUNE_RUNS];
		struct wv_tune_trial trial;
		struct wv_tune_result r;
		struct surface s;
		struct wv_tune *t;
		uint32_t n = 0, probes = 0;

		surface_init(&s, seed % SURFACE_N, seed);
		limits.seed = seed;
		limits.trials = 1 + seed % 30;
		limits.runs = limits.trials + seed % 30;
		t = wv_tune_new(&s.space, &limits);
		assert_non_null(t);
		while (wv_tune_next(t, &trial) > 0) {
			assert_int_equal(trial.id, n++);
			assert_true(n <= limits.runs);
			assert_true(trial.steps <= WV_TUNE_STEPS && trial.timeout_ns > 0);
			assert_true(wv_tune_space_settle(&s.space, &trial.point));
			for (uint32_t i = 0; trial.purpose == WV_TUNE_PROBE && i < probes; i++)
				assert_false(wv_tune_point_equal(&seen[i], &trial.point));
			if (trial.purpose == WV_TUNE_PROBE)
				seen[probes++] = trial.point;
			random_outcome(&s, &trial);
			assert_int_equal(wv_tune_told(t, &o), 0);
		}
		wv_tune_result(t, &r);
		assert_true(r.end != WV_TUNE_RUNNING && r.trials <= limits.trials);
		assert_true(r.end != WV_TUNE_IMPROVED || r.gain_low * 1e6 > limits.gain_ppm);
		assert_true(r.end == WV_TUNE_IMPROVED ||
			    wv_tune_point_equal(&r.point, &s.space.start));
		wv_tune_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_that_make_no_sense_are_refused),
		cmocka_unit_test(trial_is_the_same_until_it_was_told_of),
		cmocka_unit_test(start_that_does_not_run_ends_it),
		cmocka_unit_test(input_bound_start_is_answered_by_the_loader),
		cmocka_unit_test(without_losses_nothing_that_changes_numbers_is_tried),
		cmocka_unit_test(candidate_that_learns_less_is_replaced_by_one_that_does_not),
		cmocka_unit_test(confirmation_takes_turns_with_one_seed_a_pair),
		cmocka_unit_test(start_that_fails_in_confirmation_is_kept),
		cmocka_unit_test(budget_of_time_leaves_room_for_a_confirmation),
		cmocka_unit_test(host_out_of_memory_teaches_nothing_of_the_device),
		cmocka_unit_test(knob_that_is_ignored_is_tried_once),
		cmocka_unit_test(losses_that_hide_each_other_are_both_found),
		cmocka_unit_test(shares_name_the_largest_loss),
		cmocka_unit_test(answers_of_any_kind_break_no_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
