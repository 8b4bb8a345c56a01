// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "user/collect/crashloop.h"
#include "user/collect/error.h"

#define SEC 1000000000ULL

static struct wv_crashloops *make(uint32_t exits, uint64_t window_ns)
{
	struct wv_crashloops *c = NULL;

	assert_int_equal(wv_crashloops_new(&c, exits, window_ns), 0);
	return c;
}

static void crashloop_no_exits_is_refused(void **state)
{
	struct wv_crashloops *c = (void *)1;

	(void)state;
	assert_int_equal(wv_crashloops_new(&c, 0, SEC), -EINVAL);
	assert_ptr_equal(c, (void *)1);
}

static void crashloop_exits_within_window_trip_once(void **state)
{
	struct wv_crashloops *c = make(3, 10 * SEC);
	uint64_t in = 0;

	(void)state;
	assert_false(wv_crashloops_failed(c, 1, "a", 1 * SEC, &in));
	assert_false(wv_crashloops_failed(c, 1, "a", 5 * SEC, &in));
	assert_true(wv_crashloops_failed(c, 1, "a", 11 * SEC, &in)); /* exactly the window */
	assert_int_equal(in, 10 * SEC);
	for (unsigned i = 0; i < 20; i++)
		assert_false(wv_crashloops_failed(c, 1, "a", 12 * SEC + i, &in));
	wv_crashloops_free(c);
}

static void crashloop_exits_over_window_do_not_trip(void **state)
{
	struct wv_crashloops *c = make(3, 10 * SEC);
	uint64_t in;

	(void)state;
	/* pairs are close, three never within ten seconds */
	for (uint64_t t = 0; t < 100; t++)
		assert_false(wv_crashloops_failed(c, 1, "a", t * 6 * SEC, &in));
	wv_crashloops_free(c);
}

/* A fixed window that began at the first failure would miss this one. */
static void crashloop_window_slides_over_old_exits(void **state)
{
	struct wv_crashloops *c = make(3, 10 * SEC);
	uint64_t in = 0;

	(void)state;
	assert_false(wv_crashloops_failed(c, 1, "a", 0, &in));
	assert_false(wv_crashloops_failed(c, 1, "a", 9 * SEC, &in));
	assert_false(wv_crashloops_failed(c, 1, "a", 12 * SEC, &in));
	assert_true(wv_crashloops_failed(c, 1, "a", 14 * SEC, &in));
	assert_int_equal(in, 5 * SEC);
	wv_crashloops_free(c);
}

static void crashloop_quiet_window_rearms(void **state)
{
	struct wv_crashloops *c = make(2, 10 * SEC);
	uint64_t in;

	(void)state;
	assert_false(wv_crashloops_failed(c, 1, "a", 1 * SEC, &in));
	assert_true(wv_crashloops_failed(c, 1, "a", 2 * SEC, &in));
	/* failures go on: no second loop, and the quiet time starts anew */
	assert_false(wv_crashloops_failed(c, 1, "a", 12 * SEC, &in));
	assert_false(wv_crashloops_failed(c, 1, "a", 22 * SEC, &in));
	assert_false(wv_crashloops_failed(c, 1, "a", 32 * SEC + 1, &in));
	assert_true(wv_crashloops_failed(c, 1, "a", 33 * SEC, &in));
	wv_crashloops_free(c);
}

static void crashloop_programs_and_slots_are_apart(void **state)
{
	struct wv_crashloops *c = make(2, 10 * SEC);
	uint64_t in;

	(void)state;
	assert_false(wv_crashloops_failed(c, 1, "a", 1, &in));
	assert_false(wv_crashloops_failed(c, 2, "a", 2, &in));
	assert_false(wv_crashloops_failed(c, 1, "b", 3, &in));
	/* sixteen bytes count, with or without an end */
	assert_false(wv_crashloops_failed(c, 1, "0123456789abcdefX", 4, &in));
	assert_true(wv_crashloops_failed(c, 1, "0123456789abcdefY", 5, &in));
	assert_true(wv_crashloops_failed(c, 1, "a", 6, &in));
	wv_crashloops_free(c);
}

static void crashloop_slot_gone_forgets_its_programs(void **state)
{
	struct wv_crashloops *c = make(2, 10 * SEC);
	uint64_t in;

	(void)state;
	wv_crashloops_failed(c, 1, "a", 1, &in);
	wv_crashloops_failed(c, 1, "b", 1, &in);
	wv_crashloops_failed(c, 2, "a", 1, &in);
	wv_crashloops_slot_gone(c, 1);
	assert_false(wv_crashloops_failed(c, 1, "a", 2, &in));
	assert_false(wv_crashloops_failed(c, 1, "b", 2, &in));
	assert_true(wv_crashloops_failed(c, 2, "a", 2, &in));
	wv_crashloops_free(c);
}

static void crashloop_full_table_evicts_the_quietest(void **state)
{
	struct wv_crashloops *c = make(2, 1000 * SEC);
	char name[16];
	uint64_t in;

	(void)state;
	for (uint32_t i = 0; i < WV_CRASHLOOP_MAX; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		assert_false(wv_crashloops_failed(c, 1, name, (i + 1) * SEC, &in));
	}
	assert_int_equal(wv_crashloops_evicted(c), 0);
	assert_false(wv_crashloops_failed(c, 1, "new", 900 * SEC, &in)); /* p0 goes */
	assert_int_equal(wv_crashloops_evicted(c), 1);
	assert_true(wv_crashloops_failed(c, 1, "p1", 901 * SEC, &in));
	assert_true(wv_crashloops_failed(c, 1, "new", 902 * SEC, &in));
	assert_false(wv_crashloops_failed(c, 1, "p0", 903 * SEC, &in));
	/* many more: it stays bounded and sound */
	for (uint32_t i = 0; i < 20 * WV_CRASHLOOP_MAX; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		assert_false(wv_crashloops_failed(c, i % 7, name, (1000 + i) * SEC, &in));
	}
	wv_crashloops_free(c);
}

static void crashloop_time_going_back_is_the_latest_seen(void **state)
{
	struct wv_crashloops *c = make(3, 10 * SEC);
	uint64_t in = 1;

	(void)state;
	wv_crashloops_failed(c, 1, "a", 100 * SEC, &in);
	wv_crashloops_failed(c, 1, "a", 99 * SEC, &in);
	assert_true(wv_crashloops_failed(c, 1, "a", 98 * SEC, &in));
	assert_int_equal(in, 0);
	wv_crashloops_free(c);
}

static void record_limit_over_burst_suppresses_and_counts(void **state)
{
	struct wv_record_limit l = {.burst = 3, .every_ns = SEC};
	uint64_t suppressed = 9;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_true(wv_record_limit_take(&l, 100 * SEC, &suppressed));
		assert_int_equal(suppressed, 0);
	}
	for (unsigned i = 0; i < 5; i++)
		assert_false(wv_record_limit_take(&l, 100 * SEC + i, &suppressed));
	assert_true(wv_record_limit_take(&l, 101 * SEC, &suppressed));
	assert_int_equal(suppressed, 5);
	assert_false(wv_record_limit_take(&l, 101 * SEC + SEC / 2, &suppressed));
	/* fractions of a token are not lost */
	assert_true(wv_record_limit_take(&l, 102 * SEC, &suppressed));
	assert_int_equal(suppressed, 1);
	/* and never more than the burst comes back */
	for (unsigned i = 0; i < 3; i++)
		assert_true(wv_record_limit_take(&l, 1000 * SEC, &suppressed));
	assert_false(wv_record_limit_take(&l, 1000 * SEC, &suppressed));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crashloop_no_exits_is_refused),
		cmocka_unit_test(crashloop_exits_within_window_trip_once),
		cmocka_unit_test(crashloop_exits_over_window_do_not_trip),
		cmocka_unit_test(crashloop_window_slides_over_old_exits),
		cmocka_unit_test(crashloop_quiet_window_rearms),
		cmocka_unit_test(crashloop_programs_and_slots_are_apart),
		cmocka_unit_test(crashloop_slot_gone_forgets_its_programs),
		cmocka_unit_test(crashloop_full_table_evicts_the_quietest),
		cmocka_unit_test(crashloop_time_going_back_is_the_latest_seen),
		cmocka_unit_test(record_limit_over_burst_suppresses_and_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
