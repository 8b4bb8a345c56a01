// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>

#include <cmocka.h>

#include "user/collect/heartbeat.h"

#define SEC 1000000000ULL
#define EVERY (10 * SEC)

static struct wv_beat beat_at(int64_t mtime_s)
{
	return (struct wv_beat){.exists = true, .inode = 7, .mtime_s = mtime_s};
}

static void heartbeat_regular_beats_miss_nothing(void **state)
{
	struct wv_heartbeat_watch w = {0};

	(void)state;
	/* looks every second, a beat every ten, each seen up to a second late */
	for (uint64_t t = 0; t < 600; t++) {
		struct wv_heartbeat_result r = wv_heartbeat_observe(
			&w, beat_at((int64_t)(t / 10)), EVERY, t * SEC + t % 3 * SEC / 4);

		assert_int_equal(r.missed, 0);
		assert_int_equal(r.news, WV_HEARTBEAT_NONE);
	}
}

static void heartbeat_silence_counts_once_per_period(void **state)
{
	struct wv_heartbeat_watch w = {0};
	uint64_t missed = 0, news = 0;

	(void)state;
	for (uint64_t t = 0; t <= 35; t++) {
		struct wv_heartbeat_result r = wv_heartbeat_observe(&w, beat_at(1), EVERY, t * SEC);

		missed += r.missed;
		news += r.news == WV_HEARTBEAT_MISSED;
		if (t <= 10)
			assert_int_equal(missed, 0);
	}
	assert_int_equal(missed, 3);
	assert_int_equal(news, 1);
}

static void heartbeat_long_gap_between_looks_counts_every_period(void **state)
{
	struct wv_heartbeat_watch w = {0};
	struct wv_heartbeat_result r;

	(void)state;
	wv_heartbeat_observe(&w, beat_at(1), EVERY, 0);
	r = wv_heartbeat_observe(&w, beat_at(1), EVERY, 100 * SEC + 1);
	assert_int_equal(r.missed, 10);
	assert_int_equal(r.news, WV_HEARTBEAT_MISSED);
}

static void heartbeat_beat_after_misses_tells_back(void **state)
{
	struct wv_heartbeat_watch w = {0};
	struct wv_heartbeat_result r;

	(void)state;
	wv_heartbeat_observe(&w, beat_at(1), EVERY, 0);
	wv_heartbeat_observe(&w, beat_at(1), EVERY, 25 * SEC);
	r = wv_heartbeat_observe(&w, beat_at(2), EVERY, 26 * SEC);
	assert_int_equal(r.news, WV_HEARTBEAT_BACK);
	assert_int_equal(r.missed, 0);
	assert_int_equal(r.missed_in_a_row, 2);
	assert_int_equal(r.silent_ns, 26 * SEC);
	r = wv_heartbeat_observe(&w, beat_at(2), EVERY, 36 * SEC);
	assert_int_equal(r.missed, 0);
	r = wv_heartbeat_observe(&w, beat_at(2), EVERY, 36 * SEC + 1);
	assert_int_equal(r.news, WV_HEARTBEAT_MISSED);
}

/* Only the fact of a change counts: what the file's clock says does not matter. */
static void heartbeat_wall_clock_jumps_do_no_harm(void **state)
{
	struct wv_heartbeat_watch w = {0};
	const int64_t wall[] = {1000000, 5, 2000000000, 4, 3, 3};
	struct wv_heartbeat_result r = {0};

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		r = wv_heartbeat_observe(&w, beat_at(wall[i]), EVERY, i * 9 * SEC);
		assert_int_equal(r.missed, 0);
	}
	r = wv_heartbeat_observe(&w, beat_at(3), EVERY, 4 * 9 * SEC + 11 * SEC);
	assert_int_equal(r.missed, 1);
}

static void heartbeat_missing_file_is_no_beat_and_its_return_is_one(void **state)
{
	struct wv_heartbeat_watch w = {0};
	struct wv_beat none = {0};
	struct wv_heartbeat_result r;

	(void)state;
	wv_heartbeat_observe(&w, beat_at(1), EVERY, 0);
	r = wv_heartbeat_observe(&w, none, EVERY, 5 * SEC);
	assert_int_equal(r.missed, 0);
	r = wv_heartbeat_observe(&w, none, EVERY, 11 * SEC);
	assert_int_equal(r.missed, 1);
	/* the same file again is no beat; a new one is */
	r = wv_heartbeat_observe(&w, beat_at(1), EVERY, 12 * SEC);
	assert_int_equal(r.news, WV_HEARTBEAT_NONE);
	r = wv_heartbeat_observe(&w, beat_at(9), EVERY, 13 * SEC);
	assert_int_equal(r.news, WV_HEARTBEAT_BACK);
}

static void heartbeat_first_look_starts_a_whole_period(void **state)
{
	struct wv_heartbeat_watch w = {0};
	struct wv_beat none = {0};

	(void)state;
	/* the agent starts late in the clock's life; nothing was watched before */
	assert_int_equal(wv_heartbeat_observe(&w, none, EVERY, 5000 * SEC).missed, 0);
	assert_int_equal(wv_heartbeat_observe(&w, none, EVERY, 5009 * SEC).missed, 0);
	assert_int_equal(wv_heartbeat_observe(&w, none, EVERY, 5011 * SEC).missed, 1);
}

static void heartbeat_look_sees_touch_and_replacement(void **state)
{
	char name[] = "/tmp/test_heartbeat.XXXXXX", other[64];
	const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 12345, .tv_nsec = 678}};
	int fd = mkstemp(name);
	struct wv_beat a, b;

	(void)state;
	assert_true(fd >= 0);
	a = wv_heartbeat_look(name);
	assert_true(a.exists);
	assert_int_equal(futimens(fd, times), 0);
	b = wv_heartbeat_look(name);
	assert_int_equal(b.mtime_s, 12345);
	assert_int_equal(b.mtime_ns, 678);
	snprintf(other, sizeof(other), "%s.new", name);
	close(fd);
	fd = open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
	assert_int_equal(rename(other, name), 0);
	a = wv_heartbeat_look(name);
	assert_int_equal(a.mtime_s, b.mtime_s);
	assert_int_not_equal(a.inode, b.inode);
	unlink(name);
	assert_false(wv_heartbeat_look(name).exists);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heartbeat_regular_beats_miss_nothing),
		cmocka_unit_test(heartbeat_silence_counts_once_per_period),
		cmocka_unit_test(heartbeat_long_gap_between_looks_counts_every_period),
		cmocka_unit_test(heartbeat_beat_after_misses_tells_back),
		cmocka_unit_test(heartbeat_wall_clock_jumps_do_no_harm),
		cmocka_unit_test(heartbeat_missing_file_is_no_beat_and_its_return_is_one),
		cmocka_unit_test(heartbeat_first_look_starts_a_whole_period),
		cmocka_unit_test(heartbeat_look_sees_touch_and_replacement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
