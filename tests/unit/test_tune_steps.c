// SPDX-License-Identifier: GPL-2.0-only
/* What a training process tells of its steps, right and wrong. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpu/tune/steps.h"

static struct wv_tune_steps s;

static int parse(const char *text)
{
	return wv_tune_steps_parse(text, strlen(text), &s);
}

static void steps_well_formed_are_taken(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"hello\":1,\"tid\":7,\"torch\":\"1.13\",\"ignored\":{\"zero."
			       "stage\":\"one process\"}}\n"
			       "{\"step\":1,\"begin_ns\":100,\"end_ns\":200,\"samples\":8,\"loss\":"
			       "1.5,\"wait_ns\":40}\n"
			       "{\"step\":2,\"begin_ns\":250,\"end_ns\":400,\"peak_bytes\":9,"
			       "\"loss\":null}\n"),
			 0);
	assert_true(s.hello && s.waits && s.losses && !s.oom);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.tid, 7);
	assert_string_equal(s.torch, "1.13");
	assert_string_equal(s.ignored, "zero.stage: one process");
	assert_int_equal(s.step_ns[0], 100);
	assert_int_equal(s.step_ns[1], 200); /* what lies between two steps counts */
	assert_int_equal(s.wait_ns[0], 40);
	assert_true(s.samples[0] == 8 && isnan(s.samples[1]));
	assert_true(s.loss[0] == 1.5f && isnan(s.loss[1]));
	assert_int_equal(s.peak_bytes, 9);
}

static void steps_torn_line_is_left_out(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"step\":1,\"begin_ns\":1,\"end_ns\":2}\n{\"step\":2,\"beg"), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(parse(""), 0);
	assert_int_equal(s.n, 0);
}

static void steps_hostile_line_is_refused_with_its_number(void **state)
{
	static const char *const bad[] = {
		"[]\n",
		"x\n",
		"{\"step\":2,\"begin_ns\":5}\n",
		"{\"step\":2,\"begin_ns\":-5,\"end_ns\":9}\n",
		"{\"step\":2,\"begin_ns\":5.5,\"end_ns\":9}\n",
		"{\"step\":1,\"begin_ns\":20,\"end_ns\":30}\n", /* does not grow */
		"{\"step\":2,\"begin_ns\":15,\"end_ns\":30}\n", /* into the step before */
		"{\"step\":2,\"begin_ns\":30,\"end_ns\":30}\n",
		"{\"step\":2,\"begin_ns\":30,\"end_ns\":4000000000000}\n",
		"{\"step\":2,\"begin_ns\":30,\"end_ns\":40,\"loss\":\"small\"}\n",
		"{\"step\":2,\"begin_ns\":30,\"end_ns\":40,\"samples\":-1}\n",
		"{\"step\":{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":1}}}}}}}\n",
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "{\"step\":1,\"begin_ns\":10,\"end_ns\":20}\n%s",
			 bad[i]);
		if (parse(text) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(s.n, 1);
		assert_int_equal(strncmp(s.why, "line 2: ", 8), 0);
	}
	assert_int_equal(wv_tune_steps_parse("{}\0\n", 4, &s), -EBADMSG);
}

static void steps_long_line_is_refused(void **state)
{
	char *text = malloc(10001);

	(void)state;
	memset(text, ' ', 10000);
	text[9999] = '\n';
	text[10000] = '\0';
	assert_int_equal(parse(text), -EBADMSG);
	free(text);
}

static void steps_beyond_the_room_are_counted(void **state)
{
	char *text = malloc(64 * 600);
	size_t n = 0;

	(void)state;
	for (int i = 1; i <= 520; i++)
		n += (size_t)sprintf(text + n, "{\"step\":%d,\"begin_ns\":%d,\"end_ns\":%d}\n", i,
				     i * 10, i * 10 + 5);
	assert_int_equal(wv_tune_steps_parse(text, n, &s), 0);
	assert_int_equal(s.n, WV_TUNE_STEPS);
	assert_int_equal(s.more, 520 - WV_TUNE_STEPS);
	free(text);
}

static void steps_loss_that_is_not_finite_is_no_missing_one(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"step\":1,\"begin_ns\":1,\"end_ns\":2,\"loss\":NaN}\n"
			       "{\"oom\":true}\n"),
			 0);
	assert_true(s.losses && isinf(s.loss[0]));
	assert_true(s.oom);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_well_formed_are_taken),
		cmocka_unit_test(steps_torn_line_is_left_out),
		cmocka_unit_test(steps_hostile_line_is_refused_with_its_number),
		cmocka_unit_test(steps_long_line_is_refused),
		cmocka_unit_test(steps_beyond_the_room_are_counted),
		cmocka_unit_test(steps_loss_that_is_not_finite_is_no_missing_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
