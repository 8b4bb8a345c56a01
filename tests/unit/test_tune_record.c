// SPDX-License-Identifier: GPL-2.0-only
/* What follows from what was kept of a trial. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "user/tune/record.h"

static struct wv_tune_steps steps;
static struct wv_tune_outcome outcome;
static char why[WV_TUNE_TEXT];

static struct wv_tune_trial trial(void)
{
	struct wv_tune_trial t = {.id = 7,
				  .purpose = WV_TUNE_RUNG,
				  .pair = 3,
				  .steps = 6,
				  .warmup = 2,
				  .seed = UINT64_C(0x7fffffffffffffff),
				  .timeout_ns = 5000000000,
				  .point = wv_tune_point_unset(),
				  .reason = "because \"x\""};

	t.point.value[WV_TUNE_WORKERS] = 4;
	t.point.value[WV_TUNE_PIN] = 0;
	t.point.value[WV_TUNE_PRECISION] = WV_TUNE_BF16;
	return t;
}

static struct wv_tune_exit ended(int code)
{
	return (struct wv_tune_exit){.started = true, .exit_code = code, .elapsed_ns = 3000000000};
}

/* n steps of 100 ns, of which 60 waited. */
static void make_steps(uint32_t n)
{
	memset(&steps, 0, sizeof(steps));
	steps.waits = true;
	for (steps.n = 0; steps.n < n; steps.n++) {
		steps.step_ns[steps.n] = 100;
		steps.wait_ns[steps.n] = 60;
		steps.samples[steps.n] = 8;
		steps.tokens[steps.n] = steps.n == 3 ? (double)NAN : 1;
	}
}

static void told(const struct wv_tune_exit *e, uint32_t templated)
{
	struct wv_tune_trial t = trial();

	wv_tune_outcome_of(&t, e, &steps, NULL, 0, templated, &outcome, why);
}

static void trial_written_and_read_is_the_same(void **state)
{
	struct wv_tune_trial t = trial(), back;
	struct json_object *o = wv_tune_trial_json(&t);

	(void)state;
	assert_int_equal(wv_tune_trial_read(o, &back), 0);
	assert_memory_equal(&t.point, &back.point, sizeof(t.point));
	assert_int_equal(back.id, 7);
	assert_int_equal(back.purpose, WV_TUNE_RUNG);
	assert_true(back.seed == t.seed && back.timeout_ns == t.timeout_ns && back.pair == 3);
	assert_string_equal(back.reason, t.reason);
	json_object_put(o);
}

static void exit_written_and_read_is_the_same(void **state)
{
	struct wv_tune_exit e = {.started = true,
				 .error = -2,
				 .exit_code = 66,
				 .signal = 9,
				 .timed_out = true,
				 .held = true,
				 .oom_kills = 2,
				 .host_peak_bytes = 1,
				 .elapsed_ns = 3,
				 .power_mw = 9},
			    back;
	struct json_object *o = wv_tune_exit_json(&e);

	(void)state;
	memset(&back, 0, sizeof(back));
	assert_int_equal(wv_tune_exit_read(o, &back), 0);
	assert_true(back.started && back.timed_out && back.held && back.error == -2);
	assert_true(back.exit_code == 66 && back.signal == 9 && back.oom_kills == 2);
	assert_int_equal(back.power_mw, 9);
	json_object_put(o);
}

static void trial_of_rubbish_is_refused(void **state)
{
	static const char *const rubbish[] = {
		"{}",
		"[]",
		"{\"id\":-1,\"purpose\":\"rung\",\"pair\":0,\"steps\":6,\"warmup\":2,\"seed\":1,"
		"\"timeout_ns\":1,\"knobs\":{},\"reason\":\"\"}",
		"{\"id\":1,\"purpose\":\"rung\",\"pair\":0,\"steps\":6,\"warmup\":7,\"seed\":1,"
		"\"timeout_ns\":1,\"knobs\":{},\"reason\":\"\"}",
		"{\"id\":1,\"purpose\":\"fun\",\"pair\":0,\"steps\":6,\"warmup\":2,\"seed\":1,"
		"\"timeout_ns\":1,\"knobs\":{},\"reason\":\"\"}",
		"{\"id\":1,\"purpose\":\"rung\",\"pair\":0,\"steps\":6,\"warmup\":2,\"seed\":1,"
		"\"timeout_ns\":1,\"knobs\":{\"loader.workers\":\"many\"},\"reason\":\"\"}",
	};
	struct wv_tune_trial t;

	(void)state;
	for (size_t i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
		struct json_object *o = json_tokener_parse(rubbish[i]);

		assert_int_equal(wv_tune_trial_read(o, &t), -EBADMSG);
		json_object_put(o);
	}
}

static void outcome_of_a_good_run_has_its_shares(void **state)
{
	struct wv_tune_exit e = ended(0);

	(void)state;
	make_steps(6);
	told(&e, 0);
	assert_int_equal(outcome.status, WV_TUNE_OK);
	assert_string_equal(why, "");
	/* the four after the warm-up */
	assert_int_equal(outcome.shares.window, 400);
	assert_int_equal(outcome.shares.cause_ns[WV_GPU_CAUSE_INPUT], 240);
	assert_int_equal(outcome.shares.cause_ns[WV_GPU_CAUSE_HOST], 160);
	assert_false(outcome.shares.device);
}

static void outcome_of_waits_that_are_not_told_has_no_shares(void **state)
{
	struct wv_tune_exit e = ended(0);

	(void)state;
	make_steps(6);
	steps.waits = false;
	told(&e, 0);
	assert_int_equal(outcome.shares.window, 0);
}

static void outcome_names_how_it_ended(void **state)
{
	struct wv_tune_exit e;

	(void)state;
	make_steps(6);
	e = ended(66);
	told(&e, 0);
	assert_int_equal(outcome.status, WV_TUNE_OOM);
	e = ended(0);
	e.signal = SIGKILL;
	e.oom_kills = 1;
	told(&e, 0);
	assert_int_equal(outcome.status, WV_TUNE_OOM);
	e.oom_kills = 0;
	told(&e, 0);
	assert_int_equal(outcome.status, WV_TUNE_FAILED);
	e.timed_out = true;
	told(&e, 0);
	assert_int_equal(outcome.status, WV_TUNE_TIMEOUT);
	e = (struct wv_tune_exit){.error = -13};
	told(&e, 0);
	assert_int_equal(outcome.status, WV_TUNE_FAILED);
	e = ended(0);
	make_steps(2); /* the warm-up alone */
	told(&e, 0);
	assert_int_equal(outcome.status, WV_TUNE_FAILED);
	make_steps(6);
	snprintf(steps.why, sizeof(steps.why), "line 3: no JSON object");
	told(&e, 0);
	assert_int_equal(outcome.status, WV_TUNE_FAILED);
}

static void outcome_of_another_global_batch_is_a_failure(void **state)
{
	const uint32_t micro = 1U << WV_TUNE_MICRO, accumulate = 1U << WV_TUNE_ACCUMULATE;
	struct wv_tune_exit e = ended(0);
	struct wv_tune_trial t = trial();

	(void)state;
	make_steps(6);
	t.point.value[WV_TUNE_MICRO] = 4;
	t.point.value[WV_TUNE_ACCUMULATE] = 2;
	steps.ignored_knobs = accumulate;
	wv_tune_outcome_of(&t, &e, &steps, NULL, 0, 0, &outcome, why);
	assert_int_equal(outcome.status, WV_TUNE_FAILED);
	/* both ignored: what the program does anyway */
	steps.ignored_knobs = accumulate | micro;
	wv_tune_outcome_of(&t, &e, &steps, NULL, 0, 0, &outcome, why);
	assert_int_equal(outcome.status, WV_TUNE_OK);
	assert_int_equal(outcome.ignored, accumulate | micro);
	/* both given by the command */
	wv_tune_outcome_of(&t, &e, &steps, NULL, 0, accumulate | micro, &outcome, why);
	assert_int_equal(outcome.status, WV_TUNE_OK);
	assert_int_equal(outcome.ignored, 0);
}

static void throughput_counts_measured_steps_only(void **state)
{
	struct wv_tune_trial t = trial();

	(void)state;
	make_steps(6);
	steps.step_ns[0] = 1000000;
	assert_true(wv_tune_throughput(&t, &steps, false) == 8 * 4 * 1e9 / 400);
	/* one step did not tell */
	assert_true(wv_tune_throughput(&t, &steps, true) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trial_written_and_read_is_the_same),
		cmocka_unit_test(exit_written_and_read_is_the_same),
		cmocka_unit_test(trial_of_rubbish_is_refused),
		cmocka_unit_test(outcome_of_a_good_run_has_its_shares),
		cmocka_unit_test(outcome_of_waits_that_are_not_told_has_no_shares),
		cmocka_unit_test(outcome_names_how_it_ended),
		cmocka_unit_test(outcome_of_another_global_batch_is_a_failure),
		cmocka_unit_test(throughput_counts_measured_steps_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
