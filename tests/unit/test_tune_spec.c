// SPDX-License-Identifier: GPL-2.0-only
/* Specifications of a tuning: what is taken, and what is refused with place and advice. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpu/tune/spec.h"

static struct wv_tune_spec s;
static struct wv_config_error error;

static int parse(const char *text)
{
	return wv_tune_spec_parse(&s, "t.yaml", text, strlen(text), 2, &error);
}

static void refused(const char *text, const char *what)
{
	assert_int_equal(parse(text), -EINVAL);
	if (!strstr(error.text, what))
		fail_msg("'%s' is not in '%s'", what, error.text);
}

static void spec_whole_is_taken(void **state)
{
	(void)state;
	if (parse("job: {name: mlp, global_batch: 32, arguments: [--bs, '{batch.micro}']}\n"
		  "limits: {budget: 90s, trials: 6, gain: 5%, pairs: {min: 3, max: 4}}\n"
		  "start: {loader.workers: 0, batch.micro: 8}\n"
		  "knobs: {loader.workers: [0, 2], loader.cache: default, batch.micro: [8, 16]}\n"
		  "environment: {OMP_NUM_THREADS: 2, W: '{loader.workers}'}\n") < 0)
		fail_msg("%s", error.text);
	assert_int_equal(s.limits.budget_ns, 90000000000);
	assert_int_equal(s.limits.trials, 6);
	assert_int_equal(s.limits.gain_ppm, 50000);
	assert_int_equal(s.limits.pairs_max, 4);
	assert_int_equal(s.space.cpus, 2);
	assert_int_equal(s.space.knob[WV_TUNE_WORKERS].n, 2);
	assert_int_equal(s.space.start.value[WV_TUNE_ACCUMULATE], 4);
	assert_int_equal(s.n_environment, 2);
	wv_tune_spec_done(&s);
}

static void spec_mistake_is_told_with_place_and_advice(void **state)
{
	(void)state;
	refused("", "empty");
	refused("knob: {}\n",
		"t.yaml:1:1: unknown key 'knob' in the specification; did you mean 'knobs'?");
	refused("job: {}\n", "'knobs' is missing");
	refused("knobs:\n  loader.worker: [1]\n",
		"t.yaml:2:3: 'loader.worker' is no knob; did you mean 'loader.workers'?");
	refused("knobs: {loader.workers: [many]}\n", "expected a whole number, got 'many'");
	refused("knobs: {precision: [fp8]}\n", "fp32|bf16|fp16");
	refused("knobs: {batch.accumulate: [2]}\n", "follows from job.global_batch");
	refused("knobs: {loader.pin: default}\nlimits: {budget: fast}\n", "t.yaml:2:");
	refused("knobs: {loader.pin: default}\nlimits: {pairs: {min: 9, max: 3}}\n",
		"max is below min");
	refused("knobs: {loader.pin: default}\nenvironment: {WAVEOS_TUNE_SEED: 1}\n",
		"the tuner's own");
	refused("knobs: {loader.pin: default}\njob: {arguments: ['{batch.micro}']}\n",
		"{batch.micro} has no value at the start");
}

static void template_is_expanded_and_strange_braces_stay(void **state)
{
	struct wv_tune_trial t = {.seed = 9, .steps = 30, .point = wv_tune_point_unset()};
	const char *knob = NULL;
	char *made;

	(void)state;
	t.point.value[WV_TUNE_MICRO] = 4;
	assert_int_equal(
		wv_tune_spec_expand("a{batch.micro}{seed}{x} {\"k\":1} {steps}{", &t, &made, NULL),
		0);
	assert_string_equal(made, "a49{x} {\"k\":1} 30{");
	free(made);
	assert_int_equal(wv_tune_spec_expand("{precision}", &t, &made, &knob), -ENODATA);
	assert_string_equal(knob, "precision");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spec_whole_is_taken),
		cmocka_unit_test(spec_mistake_is_told_with_place_and_advice),
		cmocka_unit_test(template_is_expanded_and_strange_braces_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
