// SPDX-License-Identifier: GPL-2.0-only
/*
 * The run's records under failing, torn and interrupted I/O: a scenario is run once for every call
 * that it makes through the I/O seam, with that call failing, tearing its bytes, or being the last
 * one ever.
 */
#include "tests/unit/record_fixture.h"

static void record_any_call_failing_loses_only_what_was_refused(void **state _unused_)
{
	static const struct {
		enum mode mode;
		int error;
	} rounds[] = {{FAIL, ENOSPC}, {TORN, ENOSPC}, {FAIL, EROFS}, {TORN, EIO}};
	unsigned calls = count_calls();

	for (unsigned round = 0; round < ARRAY_SIZE(rounds); round++) {
		for (unsigned at = 0; at < calls; at++) {
			struct wv_records *r;

			fault = (struct fault){.mode = rounds[round].mode,
					       .error = rounds[round].error,
					       .at = at,
					       .span = 1};
			if (open_records(&r) < 0) {
				assert_false(present(RUN));
				assert_int_equal(open_records(&r), 0);
			}
			finish_and_check(r, 1);
			remove_base();
			make_base();
		}
	}
}

static void record_full_disk_recovers_when_space_returns(void **state _unused_)
{
	unsigned calls = count_calls();

	for (unsigned at = 0; at < calls; at += 3) {
		struct wv_records *r;

		fault = (struct fault){.mode = TORN, .error = ENOSPC, .at = at, .span = 40};
		if (open_records(&r) < 0) {
			fault.mode = NONE;
			assert_int_equal(open_records(&r), 0);
		}
		finish_and_check(r, 1);
		remove_base();
		make_base();
	}
}

static void record_crash_at_any_call_then_restart_continues(void **state _unused_)
{
	unsigned calls = count_calls();

	for (unsigned at = 0; at < calls; at++) {
		struct wv_records *r = NULL;
		unsigned n = 0, rows_of[TICKS + 1];
		uint64_t lost;

		memset(acknowledged, 0, sizeof(acknowledged));
		memset(refused, 0, sizeof(refused));
		fault = (struct fault){.mode = CRASH, .at = at, .span = 1};
		if (open_records(&r) == 0) {
			while (n < TICKS && !fault.dead)
				tick(r, ++n);
			if (!fault.dead)
				(void)wv_records_flush(r, true);
			wv_records_close(r);
		}
		assert_true(fault.dead);
		/* what a reader finds right after the crash */
		check_artifacts(rows_of);
		fault = (struct fault){0};
		assert_int_equal(open_records(&r), 0);
		for (n = n + 1; n <= TICKS; n++)
			tick(r, n);
		assert_int_equal(wv_records_flush(r, true), 0);
		wv_records_close(r);
		(void)check_log(&lost);
		assert_int_equal(lost, 0);
		check_artifacts(rows_of);
		for (unsigned i = 1; i <= TICKS; i++)
			assert_true(rows_of[i] <= ROWS);
		assert_int_equal(count_hidden(), 0);
		remove_base();
		make_base();
	}
}

static const char *in_state(const char *name)
{
	static char path[WV_PATH_SIZE + 300];

	snprintf(path, sizeof(path), "%s/%s", paths.state, name);
	return path;
}

static void record_torn_tail_is_cut_and_noted(void **state _unused_)
{
	struct wv_records *r;
	_cleanup_free_ char *before = NULL, *after = NULL;
	uint64_t lost, written, failed;
	FILE *f;

	assert_int_equal(open_records(&r), 0);
	tick(r, 1);
	wv_records_close(r);
	before = slurp(RUN "/" WV_EVENTS_NAME);
	/* slurp() and spit() look below runs/ */
	f = fopen(in_state("log/events.jsonl"), "a");
	assert_non_null(f);
	fputs("{\"schema_version\":1,\"seq\":3,\"bo", f);
	fclose(f);
	assert_int_equal(open_records(&r), 0);
	wv_records_counts(r, &written, &failed);
	assert_int_equal(written, 3);
	tick(r, 2);
	wv_records_close(r);
	assert_int_equal(check_log(&lost), 4);
	after = slurp(RUN "/" WV_EVENTS_NAME);
	assert_int_equal(strncmp(after, before, strlen(before)), 0);
	assert_non_null(strstr(after, "\"cut_bytes\":31,"));
	assert_non_null(strstr(after, "\"resumed\":true,"));
}

/* However much of the run's own file is there, it is made whole from the log. */
static void record_part_of_the_run_is_completed_from_the_log(void **state _unused_)
{
	_cleanup_free_ char *all = NULL, *after = NULL, *cut = NULL;
	struct wv_records *r;
	uint64_t lost;

	assert_int_equal(open_records(&r), 0);
	for (unsigned n = 1; n <= 4; n++)
		tick(r, n);
	wv_records_close(r);
	all = slurp(RUN "/" WV_EVENTS_NAME);
	cut = strdup(all);
	for (size_t len = 0; len <= strlen(all); len += 7) {
		cut[len] = '\0';
		spit(RUN "/" WV_EVENTS_NAME, cut);
		cut[len] = all[len];
		assert_int_equal(open_records(&r), 0);
		wv_records_close(r);
		(void)check_log(&lost);
		after = slurp(RUN "/" WV_EVENTS_NAME);
		assert_int_equal(strncmp(after, all, strlen(all)), 0);
		free(TAKE_PTR(after));
	}
}

/* After a power cut the run's file may be ahead of the log: its numbers are given anew. */
static void record_part_ahead_of_the_log_is_cut(void **state _unused_)
{
	struct wv_records *r;
	struct stat st;
	uint64_t lost;

	assert_int_equal(open_records(&r), 0);
	for (unsigned n = 1; n <= 2; n++)
		tick(r, n);
	wv_records_close(r);
	assert_int_equal(stat(in_state("log/events.jsonl"), &st), 0);
	assert_int_equal(truncate(in_state("log/events.jsonl"), st.st_size - 1), 0);
	acknowledged[2] = false;
	assert_int_equal(open_records(&r), 0);
	tick(r, 3);
	wv_records_close(r);
	/* run-opened, 1, run-opened, 3 */
	assert_int_equal(check_log(&lost), 4);
}

static void record_run_has_a_checkpoint_of_the_log(void **state _unused_)
{
	_cleanup_free_ char *note = NULL;
	struct wv_checkpoint c;
	struct wv_records *r;

	assert_int_equal(open_records(&r), 0);
	tick(r, 1);
	assert_int_equal(wv_records_flush(r, true), 0);
	wv_records_close(r);
	note = slurp(RUN "/checkpoint");
	assert_non_null(note);
	assert_int_equal(wv_checkpoint_parse(note, (size_t)(strstr(note, "\n\n") - note) + 1, &c),
			 0);
	assert_int_equal(c.size, 3); /* opened, the tick's, closed */
}

/* No key can be made: records go on, without checkpoints. */
static void record_without_a_key_goes_on_unsigned(void **state _unused_)
{
	struct wv_records *r;
	uint64_t lost;

	assert_int_equal(mkdir(paths.state, 0700), 0);
	assert_int_equal(mkdir(in_state("runs"), 0700), 0);
	spit("../keys", "a file where the folder should be");
	assert_int_equal(open_records(&r), 0);
	tick(r, 1);
	assert_int_equal(wv_records_flush(r, true), 0);
	wv_records_close(r);
	assert_int_equal(check_log(&lost), 3);
	assert_false(present(RUN "/checkpoint"));
}

static void record_durable_is_synced_before_it_returns(void **state _unused_)
{
	struct wv_records *r;

	assert_int_equal(open_records(&r), 0);
	fault.syncs = 0;
	assert_int_equal(wv_record(r, "test", numbered(1), false), 0);
	assert_int_equal(fault.syncs, 0);
	assert_int_equal(wv_record(r, "decision", numbered(2), true), 0);
	assert_int_equal(fault.syncs, 1);
	wv_records_close(r);
}

/* A sample of many rows takes several writes: one that fails takes the earlier ones back. */
static void record_sample_of_many_writes_is_whole_or_absent(void **state _unused_)
{
	struct wv_records *r;
	_cleanup_free_ char *text = NULL;
	unsigned lines = 0, before, calls;

	wv_sample_done(&sample);
	assert_int_equal(wv_sample_init(&sample, 2000), 0);
	sample.used_rows = 2000;
	for (uint32_t slot = 0; slot < 2000; slot++) {
		sample.rows[slot].flags = WV_ROW_LIVE;
		snprintf(sample.rows[slot].path, WV_ROW_PATH_MAX, "/c%u", slot);
	}
	assert_int_equal(open_records(&r), 0);
	before = fault.calls;
	tick(r, 1);
	/* the record and its commit, and at the end at least three chunks */
	calls = fault.calls - before;
	assert_true(calls > 10);
	tick(r, 3);
	fault = (struct fault){.mode = TORN, .error = ENOSPC, .at = calls - 2, .span = 1};
	tick(r, 5);
	tick(r, 7);
	assert_int_equal(wv_records_flush(r, true), 0);
	wv_records_close(r);
	for (unsigned i = 0; i < 2; i++) {
		char name[64], buf[32];

		snprintf(name, sizeof(name), RUN "/%s", wv_csv_segment_name(i, buf));
		text = slurp(name);
		if (!text)
			continue;
		assert_null(strstr(text, "\n1,5,"));
		for (const char *p = text; (p = strchr(p, '\n')); p++)
			lines++;
		lines--;
		free(TAKE_PTR(text));
	}
	assert_int_equal(lines, 3 * 2000);
}

static void record_read_only_state_is_refused_without_a_trace(void **state _unused_)
{
	struct wv_records *r;

	fault = (struct fault){.mode = FAIL, .error = EROFS, .at = 0, .span = UINT32_MAX};
	assert_int_equal(open_records(&r), -EROFS);
	assert_int_not_equal(access(paths.state, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(record_any_call_failing_loses_only_what_was_refused),
		T(record_full_disk_recovers_when_space_returns),
		T(record_crash_at_any_call_then_restart_continues),
		T(record_torn_tail_is_cut_and_noted),
		T(record_part_of_the_run_is_completed_from_the_log),
		T(record_part_ahead_of_the_log_is_cut),
		T(record_run_has_a_checkpoint_of_the_log),
		T(record_without_a_key_goes_on_unsigned),
		T(record_durable_is_synced_before_it_returns),
		T(record_sample_of_many_writes_is_whole_or_absent),
		T(record_read_only_state_is_refused_without_a_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
