// SPDX-License-Identifier: GPL-2.0-only
/* A sink's cursor in the log: over restarts, over failures, over retired records. */
#include "tests/unit/tlog_fixture.h"

#include "user/evidence/follow.h"

static struct wv_follow *follow(uint64_t first)
{
	struct wv_follow *f;

	assert_int_equal(wv_follow_open(&f, &faulty, paths.state, "test", first), 0);
	return f;
}

/* Reads to the end: how many records, all in order from `from`. */
static uint64_t drain(struct wv_follow *f, uint64_t from)
{
	uint64_t seq, n = 0;
	const char *line;
	size_t len;
	int r;

	while ((r = wv_follow_next(f, &seq, &line, &len)) == 1) {
		char member[32];

		assert_int_equal(seq, from + n);
		snprintf(member, sizeof(member), "\"seq\":%" PRIu64 ",", seq);
		assert_non_null(strstr(line, member));
		assert_int_equal(strlen(line), len);
		n++;
	}
	assert_int_equal(r, 0);
	return n;
}

static void add_all(struct wv_tlog *l, unsigned from, unsigned to)
{
	for (unsigned n = from; n <= to; n++)
		assert_int_equal(add(l, n), 0);
	assert_int_equal(wv_tlog_commit(l), 0);
}

static void follow_restart_goes_on_after_the_cursor(void **state _unused_)
{
	struct wv_follow *f = follow(1); /* before there is a log */
	struct wv_tlog *l;

	assert_int_equal(drain(f, 1), 0);
	l = open_log();
	add_all(l, 1, 5);
	assert_int_equal(drain(f, 1), 5);
	assert_int_equal(wv_follow_done(f, 3), 0);
	wv_follow_close(f);
	f = follow(1);
	assert_int_equal(drain(f, 4), 2);
	assert_int_equal(wv_tlog_rotate(l), 0);
	add_all(l, 6, 8);
	assert_int_equal(drain(f, 6), 3);
	wv_follow_rewind(f);
	assert_int_equal(drain(f, 4), 5);
	assert_int_equal(wv_follow_missed(f), 0);
	wv_follow_close(f);
	wv_tlog_close(l);
}

static void follow_without_cursor_begins_at_first(void **state _unused_)
{
	struct wv_tlog *l = open_log();
	struct wv_follow *f;

	add_all(l, 1, 5);
	f = follow(4);
	assert_int_equal(drain(f, 4), 2);
	wv_follow_close(f);
	wv_tlog_close(l);
}

static void follow_damaged_cursor_begins_at_first(void **state _unused_)
{
	struct wv_tlog *l = open_log();
	struct wv_follow *f;
	char path[600];
	int fd;

	add_all(l, 1, 3);
	f = follow(1);
	assert_int_equal(wv_follow_done(f, 2), 0);
	wv_follow_close(f);
	snprintf(path, sizeof(path), "%s/" WV_FOLLOW_FOLDER "/test", paths.state);
	fd = open(path, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "rubbish", 7), 7);
	close(fd);
	f = follow(2);
	assert_int_equal(drain(f, 2), 2);
	wv_follow_close(f);
	wv_tlog_close(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(follow_restart_goes_on_after_the_cursor, setup,
						teardown),
		cmocka_unit_test_setup_teardown(follow_without_cursor_begins_at_first, setup,
						teardown),
		cmocka_unit_test_setup_teardown(follow_damaged_cursor_begins_at_first, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
