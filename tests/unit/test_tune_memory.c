// SPDX-License-Identifier: GPL-2.0-only
/* The memory model: what it knows after so many trials, and that bounds hold what is true. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include "gpu/tune/memory.h"
#include "user/core/cleanup.h"

#define GB 1000000000.0

static struct wv_tune_point at(int32_t micro, int32_t checkpointing)
{
	struct wv_tune_point p = wv_tune_point_unset();

	p.value[WV_TUNE_MICRO] = micro;
	p.value[WV_TUNE_CHECKPOINTING] = checkpointing;
	return p;
}

/* 10 GB and 2 GB a sample, of which full recomputation leaves a tenth. */
static uint64_t truth(const struct wv_tune_point *p)
{
	double b = p->value[WV_TUNE_CHECKPOINTING] == WV_TUNE_CKPT_FULL ? 0.2 : 2;

	return (uint64_t)((10 + b * p->value[WV_TUNE_MICRO]) * GB);
}

static void saw(struct wv_tune_memory_model *m, struct wv_tune_point p)
{
	wv_tune_memory_saw(m, &p, truth(&p));
}

static void memory_of_two_trials_is_a_line(void **state)
{
	struct wv_tune_memory_model m;
	struct wv_tune_point p = at(32, WV_TUNE_CKPT_NONE);
	double low, high;

	(void)state;
	wv_tune_memory_init(&m, 80000000000ULL, 920);
	assert_int_equal(wv_tune_memory_predict(&m, &p, &low, &high), -ENODATA);
	assert_int_equal(wv_tune_memory_fits(&m, &p), WV_TUNE_MAY_FIT);
	saw(&m, at(2, WV_TUNE_CKPT_NONE));
	saw(&m, at(4, WV_TUNE_CKPT_NONE));
	assert_int_equal(wv_tune_memory_predict(&m, &p, &low, &high), 0);
	assert_true(low < 74 * GB && high > 74 * GB && high - low < 6 * GB);
	p = at(16, WV_TUNE_CKPT_NONE);
	assert_int_equal(wv_tune_memory_fits(&m, &p), WV_TUNE_FITS);
	p = at(64, WV_TUNE_CKPT_NONE);
	assert_int_equal(wv_tune_memory_fits(&m, &p), WV_TUNE_FITS_NOT);
}

static void memory_of_one_trial_bounds_the_others(void **state)
{
	struct wv_tune_memory_model m;

	(void)state;
	wv_tune_memory_init(&m, 80000000000ULL, 920);
	saw(&m, at(8, WV_TUNE_CKPT_NONE));
	for (int32_t micro = 1; micro <= 64; micro *= 2) {
		for (int32_t c = 0; c <= 2; c += 2) {
			struct wv_tune_point p = at(micro, c);
			double low, high;

			assert_int_equal(wv_tune_memory_predict(&m, &p, &low, &high), 0);
			assert_true(low <= (double)truth(&p) && (double)truth(&p) <= high);
		}
	}
}

static void memory_that_was_too_little_is_for_what_needs_more(void **state)
{
	struct wv_tune_memory_model m;
	struct wv_tune_point failed = at(16, WV_TUNE_CKPT_SELECTIVE), p;

	(void)state;
	wv_tune_memory_init(&m, 0, 920); /* no limit is known: only failures teach */
	wv_tune_memory_saw(&m, &failed, 0);
	p = at(32, WV_TUNE_CKPT_SELECTIVE);
	assert_int_equal(wv_tune_memory_fits(&m, &p), WV_TUNE_FITS_NOT);
	p = at(16, WV_TUNE_CKPT_NONE);
	assert_int_equal(wv_tune_memory_fits(&m, &p), WV_TUNE_FITS_NOT);
	p = at(8, WV_TUNE_CKPT_NONE);
	assert_int_equal(wv_tune_memory_fits(&m, &p), WV_TUNE_MAY_FIT);
	p = at(16, WV_TUNE_CKPT_FULL);
	assert_int_equal(wv_tune_memory_fits(&m, &p), WV_TUNE_MAY_FIT);
}

static void memory_keeps_the_newest_of_many(void **state)
{
	struct wv_tune_memory_model m;
	struct wv_tune_point p = at(64, WV_TUNE_CKPT_NONE);

	(void)state;
	wv_tune_memory_init(&m, 80000000000ULL, 920);
	for (int32_t i = 0; i < 3 * WV_TUNE_PEAKS; i++)
		saw(&m, at(1 + i % 2, WV_TUNE_CKPT_NONE));
	assert_int_equal(m.n, WV_TUNE_PEAKS);
	assert_int_equal(wv_tune_memory_fits(&m, &p), WV_TUNE_FITS_NOT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_of_two_trials_is_a_line),
		cmocka_unit_test(memory_of_one_trial_bounds_the_others),
		cmocka_unit_test(memory_that_was_too_little_is_for_what_needs_more),
		cmocka_unit_test(memory_keeps_the_newest_of_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
