// SPDX-License-Identifier: GPL-2.0-only
/* Parts of the command line that are pure: times that were, lines of progress, what verbs take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "user/cmd/progress.h"
#include "user/cmd/reference.h"
#include "user/cmd/top_at.h"

#define SECOND 1000000000ULL

static void at_span_lies_back_with_and_without_sign(void **state)
{
	uint64_t at = 7;

	(void)state;
	assert_int_equal(wv_top_parse_at("-3m", 1000 * SECOND, &at), 0);
	assert_int_equal(at, 820 * SECOND);
	assert_int_equal(wv_top_parse_at("250ms", 1000 * SECOND, &at), 0);
	assert_int_equal(at, 1000 * SECOND - 250000000);
}

static void at_absolute_time_is_utc(void **state)
{
	uint64_t at = 7;

	(void)state;
	assert_int_equal(wv_top_parse_at("2026-01-31T12:00:00Z", 0, &at), 0);
	assert_int_equal(at, 1769860800 * SECOND);
	assert_int_equal(wv_top_parse_at("2026-01-31T12:00:00", 0, &at), 0);
	assert_int_equal(at, 1769860800 * SECOND);
}

static void at_nonsense_is_refused_and_leaves_the_output(void **state)
{
	static const char *const bad[] = {
		"", "-", "yesterday", "3", "-3 m", "--3m", "2026-01-31T12:00:00+01:00", "2h"};
	uint64_t at = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(wv_top_parse_at(bad[i], 3600 * SECOND, &at) < 0);
	assert_int_equal(at, 7);
}

static void progress_with_a_total_tells_what_is_left(void **state)
{
	char line[WV_PROGRESS_LINE];

	(void)state;
	assert_string_equal(wv_progress_line(line, "x", 50 << 20, 150 << 20, 5 * SECOND),
			    "x: 50.0 MiB of 150 MiB read, 10.0 MiB/s, about 10.0 s left");
}

static void progress_past_its_total_or_without_one_foretells_nothing(void **state)
{
	char line[WV_PROGRESS_LINE];

	(void)state;
	assert_null(strstr(wv_progress_line(line, "x", 200, 100, SECOND), "left"));
	assert_null(strstr(wv_progress_line(line, "x", 200, 0, SECOND), "left"));
	assert_null(strstr(wv_progress_line(line, "x", 200, 100, SECOND), " of "));
	assert_null(strstr(wv_progress_line(line, "x", 0, 100, 0), "left"));
}

static void walk_finds_every_verb_with_usage_and_example(void **state)
{
	struct wv_abouts all = {0};
	size_t verbs = 0;

	(void)state;
	assert_int_equal(wv_abouts_read(&all), 0);
	for (size_t i = 0; i < all.n; i++) {
		const struct wv_about *a = &all.list[i];

		if (!strchr(a->name, ' '))
			assert_string_equal(a->name, wv_verbs[verbs++].name);
		assert_non_null(a->summary);
		assert_non_null(strstr(a->examples, "waveos-bpf "));
		if (a->usage)
			assert_int_equal(strncmp(a->usage, a->name, strlen(a->name)), 0);
	}
	assert_int_equal(verbs, wv_verbs_count);
	wv_abouts_done(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_span_lies_back_with_and_without_sign),
		cmocka_unit_test(at_absolute_time_is_utc),
		cmocka_unit_test(at_nonsense_is_refused_and_leaves_the_output),
		cmocka_unit_test(progress_with_a_total_tells_what_is_left),
		cmocka_unit_test(progress_past_its_total_or_without_one_foretells_nothing),
		cmocka_unit_test(walk_finds_every_verb_with_usage_and_example),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
