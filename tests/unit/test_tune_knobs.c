// SPDX-License-Identifier: GPL-2.0-only
/* Knobs, points and the space of the tuner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>

#include "gpu/tune/knobs.h"
#include "user/core/cleanup.h"
#include "user/flow/gpu.h"

static void values_of_every_knob_are_parsed_back(void **state)
{
	char text[32];
	int32_t value;

	(void)state;
	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++) {
		enum wv_tune_knob found;

		assert_int_equal(wv_tune_knob_find(wv_tune_knobs[k].name, &found), 0);
		assert_int_equal(found, k);
		for (uint32_t i = 0; i < wv_tune_knobs[k].n_values; i++) {
			wv_tune_value_text(k, wv_tune_knobs[k].value[i], text, sizeof(text));
			assert_int_equal(wv_tune_value_parse(k, text, &value), 0);
			assert_int_equal(value, wv_tune_knobs[k].value[i]);
			assert_true(i == 0 || wv_tune_knobs[k].value[i - 1] < value);
		}
	}
	assert_int_equal(wv_tune_knobs[WV_TUNE_ACCUMULATE].n_values, 0);
	assert_int_equal(wv_tune_knobs[WV_TUNE_PIN].n_values, 2);
	assert_true(wv_tune_knobs[WV_TUNE_WORKERS].helps & (1U << WV_GPU_BOUND_INPUT));
}

static void values_that_make_no_sense_are_refused(void **state)
{
	static const struct {
		enum wv_tune_knob knob;
		const char *text;
	} bad[] = {
		{WV_TUNE_WORKERS, "-1"},    {WV_TUNE_WORKERS, ""},
		{WV_TUNE_WORKERS, " 1"},    {WV_TUNE_WORKERS, "4x"},
		{WV_TUNE_MICRO, "0"},	    {WV_TUNE_MICRO, "99999999999"},
		{WV_TUNE_PRECISION, "fp8"}, {WV_TUNE_PRECISION, "bf"},
		{WV_TUNE_PIN, "1"},	    {WV_TUNE_ZERO, "4"},
		{WV_TUNE_CACHE, ""},
	};
	enum wv_tune_knob knob;
	int32_t value = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(wv_tune_value_parse(bad[i].knob, bad[i].text, &value), -EINVAL);
	assert_int_equal(value, 77);
	assert_int_equal(wv_tune_knob_find("loader", &knob), -ENOENT);
}

static void change_names_what_differs_and_never_overflows(void **state)
{
	struct wv_tune_point a = wv_tune_point_unset(), b = a;
	char buf[64], small[8];

	(void)state;
	assert_string_equal(wv_tune_point_change(&a, &b, buf, sizeof(buf)), "no change");
	a.value[WV_TUNE_WORKERS] = 2;
	b.value[WV_TUNE_WORKERS] = 8;
	b.value[WV_TUNE_PRECISION] = WV_TUNE_BF16;
	assert_string_equal(wv_tune_point_change(&a, &b, buf, sizeof(buf)),
			    "loader.workers 2->8, precision unset->bf16");
	wv_tune_point_change(&a, &b, small, sizeof(small));
	assert_int_equal(strlen(small), sizeof(small) - 1);
	assert_int_equal(wv_tune_point_numbers(&a, &b), WV_TUNE_CHANGES);
	b.value[WV_TUNE_PRECISION] = WV_TUNE_UNSET;
	assert_int_equal(wv_tune_point_numbers(&a, &b), WV_TUNE_ROUNDING);
	assert_int_equal(wv_tune_point_numbers(&a, &a), WV_TUNE_EXACT);
	assert_true(wv_tune_point_hash(&a) != wv_tune_point_hash(&b));
}

static void space_keeps_the_global_batch(void **state)
{
	struct wv_tune_space s;
	struct wv_tune_point p;

	(void)state;
	wv_tune_space_init(&s);
	s.world = 4;
	s.global_batch = 96;
	s.start.value[WV_TUNE_MICRO] = 4;
	wv_tune_space_allow(&s, WV_TUNE_MICRO);
	assert_null(wv_tune_space_close(&s));
	/* 96 / 4 devices: 24 samples each; 16, 32 and 64 do not divide it */
	assert_int_equal(s.knob[WV_TUNE_MICRO].n, 4);
	assert_int_equal(s.start.value[WV_TUNE_ACCUMULATE], 6);
	p = s.start;
	p.value[WV_TUNE_MICRO] = 8;
	assert_true(wv_tune_space_settle(&s, &p));
	assert_int_equal(p.value[WV_TUNE_ACCUMULATE], 3);
	p.value[WV_TUNE_MICRO] = 16;
	assert_false(wv_tune_space_settle(&s, &p));
	p = s.start;
	p.value[WV_TUNE_PIN] = 1; /* no values: left as it is */
	assert_false(wv_tune_space_settle(&s, &p));
}

static void space_that_makes_no_sense_says_why(void **state)
{
	struct wv_tune_space s;

	(void)state;
	wv_tune_space_init(&s);
	wv_tune_space_allow(&s, WV_TUNE_MICRO);
	assert_non_null(wv_tune_space_close(&s));
	s.global_batch = 32;
	assert_non_null(wv_tune_space_close(&s)); /* the start does not tell its own */
	s.start.value[WV_TUNE_MICRO] = 5;
	assert_non_null(wv_tune_space_close(&s)); /* 32 / 5 */
	s.start.value[WV_TUNE_MICRO] = 8;
	s.world = 0;
	assert_non_null(wv_tune_space_close(&s));
	s.world = 1;
	assert_null(wv_tune_space_close(&s));
}

static void space_values_are_sorted_single_and_bounded(void **state)
{
	struct wv_tune_space s;

	(void)state;
	wv_tune_space_init(&s);
	s.cpus = 3;
	wv_tune_space_allow(&s, WV_TUNE_WORKERS);
	/* up to twice the CPUs */
	assert_int_equal(s.knob[WV_TUNE_WORKERS].value[s.knob[WV_TUNE_WORKERS].n - 1], 6);
	assert_int_equal(wv_tune_space_add(&s, WV_TUNE_ACCUMULATE, 2), -EINVAL);
	for (int32_t i = WV_TUNE_VALUES; i > 0; i--) {
		assert_int_equal(wv_tune_space_add(&s, WV_TUNE_BUCKET, i), 0);
		assert_int_equal(wv_tune_space_add(&s, WV_TUNE_BUCKET, i), 0);
	}
	assert_int_equal(s.knob[WV_TUNE_BUCKET].n, WV_TUNE_VALUES);
	for (int32_t i = 0; i < WV_TUNE_VALUES; i++)
		assert_int_equal(s.knob[WV_TUNE_BUCKET].value[i], i + 1);
	assert_int_equal(wv_tune_space_add(&s, WV_TUNE_BUCKET, 100), -ENOSPC);
	s.start.value[WV_TUNE_BUCKET] = 99;
	assert_non_null(wv_tune_space_close(&s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_every_knob_are_parsed_back),
		cmocka_unit_test(values_that_make_no_sense_are_refused),
		cmocka_unit_test(change_names_what_differs_and_never_overflows),
		cmocka_unit_test(space_keeps_the_global_batch),
		cmocka_unit_test(space_that_makes_no_sense_says_why),
		cmocka_unit_test(space_values_are_sorted_single_and_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
