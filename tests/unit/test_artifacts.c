// SPDX-License-Identifier: GPL-2.0-only
/* What stands in the files of a run, and which of them are kept. */
#include "tests/unit/record_fixture.h"

static void record_run_writes_all_artifacts(void **state _unused_)
{
	struct wv_records *r;
	_cleanup_free_ char *meta = NULL, *explain = NULL;
	struct json_object *o, *list;
	unsigned rows_of[TICKS + 1];
	uint64_t lost;

	assert_int_equal(open_records(&r), 0);
	assert_true(present(RUN "/" WV_META_NAME));
	assert_non_null(strstr(wv_records_dir(r), "/state/runs/" RUN));
	finish_and_check(r, 1);
	/* opened + one a tick + closed */
	assert_int_equal(check_log(&lost), TICKS + 2);
	assert_int_equal(lost, 0);
	check_artifacts(rows_of);
	for (unsigned n = 1; n <= TICKS; n++)
		assert_int_equal(rows_of[n], n % 2 ? ROWS : 0);
	assert_true(present(RUN "/metrics.csv"));
	assert_true(present(RUN "/metrics.1.csv"));
	assert_true(present(RUN "/metrics.2.csv"));
	assert_false(present(RUN "/metrics.3.csv"));
	meta = slurp(RUN "/" WV_META_NAME);
	o = parse(meta);
	assert_int_equal(number(o, "counts", "records"), TICKS + 2);
	assert_int_equal(number(o, "counts", "samples"), TICKS / 2);
	assert_int_equal(number(o, "counts", "rows"), ROWS * TICKS / 2);
	assert_int_equal(number(o, "counts", "decisions"), TICKS / 3);
	assert_int_equal(number(o, "losses", "records"), 0);
	assert_int_equal(number(o, NULL, "segments_completed"), 3);
	assert_true(number(o, NULL, "ended_wall_ns") > number(o, NULL, "started_wall_ns"));
	json_object_put(o);
	explain = slurp(RUN "/" WV_EXPLAIN_NAME);
	o = parse(explain);
	assert_true(json_object_object_get_ex(o, "decisions", &list));
	assert_int_equal(json_object_array_length(list), TICKS / 3);
	assert_int_equal(number(json_object_array_get_idx(list, 1), NULL, "n"), 6);
	json_object_put(o);
}

static void record_csv_has_figures_under_their_names(void **state _unused_)
{
	struct wv_records *r;
	_cleanup_free_ char *text = NULL;
	char *row, *column, *value, *save_c, *save_v;
	unsigned checked = 0;

	sample.rows[0].f.v[WV_SIG_TASK_ZOMBIES] = 7;
	sample.rows[0].f.hist[WV_HIST_RUNQ_LATENCY].sum_ns = 123;
	sample.rows[0].f.hist[WV_HIST_RUNQ_LATENCY].bucket[WV_HIST_BUCKETS - 1] = 1;
	snprintf(sample.rows[0].path, WV_ROW_PATH_MAX, "/a,\"b\"\n\xff");
	assert_int_equal(open_records(&r), 0);
	tick(r, 1);
	assert_int_equal(wv_records_flush(r, true), 0);
	wv_records_close(r);
	text = slurp(RUN "/metrics.csv");
	row = strchr(text, '\n');
	*row++ = '\0';
	*strchr(row, '\n') = '\0';
	/* the quoted path, then without it */
	value = strstr(row, ",\"/a,\"\"b\"\"??\",100,");
	assert_non_null(value);
	memmove(value + 1, value + strlen(",\"/a,\"\"b\"\"??\","),
		strlen(value + strlen(",\"/a,\"\"b\"\"??\",")) + 1);
	column = strstr(text, ",cgroup,");
	memmove(column + 1, column + strlen(",cgroup,"), strlen(column + strlen(",cgroup,")) + 1);
	value = strtok_r(row, ",", &save_v);
	for (column = strtok_r(text, ",", &save_c); column;
	     column = strtok_r(NULL, ",", &save_c), value = strtok_r(NULL, ",", &save_v)) {
		static const struct {
			const char *name, *value;
		} expected[] = {
			{"schema_version", "1"},
			{"seq", "1"},
			{"mono_ns", "1000000000"},
			{"wall_ns", "1700000001000000000"},
			{"key", "100"},
			{"cpu_usage_ns", "18446744073709551615"},
			{"task_zombies", "7"},
			{"runq_latency_count", "11"},
			{"runq_latency_sum_ns", "123"},
			{"runq_latency_p50_ns", "8000"},
			{"runq_latency_p99_ns", "4194304000"},
			{"tcp_rtt_p99_ns", "0"},
		};

		assert_non_null(value);
		for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
			if (strcmp(column, expected[i].name) != 0)
				continue;
			assert_string_equal(value, expected[i].value);
			checked++;
		}
	}
	assert_null(value);
	assert_int_equal(checked, 12);
}

static void record_resumed_run_keeps_start_counts_and_metrics(void **state _unused_)
{
	struct wv_records *r;
	_cleanup_free_ char *meta = NULL, *explain = NULL;
	struct json_object *o, *list;
	uint64_t started;

	assert_int_equal(open_records(&r), 0);
	for (unsigned n = 1; n <= 9; n++)
		tick(r, n);
	wv_records_close(r); /* as if killed */
	meta = slurp(RUN "/" WV_META_NAME);
	o = parse(meta);
	started = number(o, NULL, "started_mono_ns");
	assert_true(json_object_object_get_ex(o, "ended_wall_ns", &list));
	assert_null(list);
	json_object_put(o);
	free(TAKE_PTR(meta));
	assert_int_equal(open_records(&r), 0);
	finish_and_check(r, 10);
	meta = slurp(RUN "/" WV_META_NAME);
	o = parse(meta);
	assert_int_equal(number(o, NULL, "started_mono_ns"), started);
	assert_int_equal(number(o, NULL, "resumes"), 1);
	assert_int_equal(number(o, "counts", "records"), TICKS + 3);
	json_object_put(o);
	explain = slurp(RUN "/" WV_EXPLAIN_NAME);
	o = parse(explain);
	assert_true(json_object_object_get_ex(o, "decisions", &list));
	assert_int_equal(json_object_array_length(list), TICKS / 3);
	json_object_put(o);
}

static void record_segments_over_the_limit_go(void **state _unused_)
{
	struct wv_records *r;
	char name[64];

	config.record_keep_segments = 2;
	assert_int_equal(open_records(&r), 0);
	for (unsigned round = 1; round <= 6; round++) {
		sample.seq = round;
		sample.mono_ns = round * 2 * SECOND;
		assert_int_equal(wv_records_tick(r, &sample), 0);
		assert_int_equal(wv_records_flush(r, false), 0);
	}
	wv_records_close(r);
	/* newest first: 6, 5, 4 */
	for (unsigned i = 0; i <= 2; i++) {
		_cleanup_free_ char *text = NULL;
		char buf[32], row[32];

		snprintf(name, sizeof(name), RUN "/%s", wv_csv_segment_name(i, buf));
		text = slurp(name);
		assert_non_null(text);
		snprintf(row, sizeof(row), "\n1,%u,", 6 - i);
		assert_non_null(strstr(text, row));
	}
	assert_false(present(RUN "/metrics.3.csv"));
}

static void record_old_runs_go_and_a_dead_one_is_completed(void **state _unused_)
{
	struct wv_records *r;
	char path[WV_PATH_SIZE + 300];

	for (unsigned i = 1; i <= 5; i++) {
		struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
		char id[16], file[32];

		snprintf(id, sizeof(id), "old-%u", i);
		assert_int_equal(wv_records_open(&r, &faulty, &paths, &config, NULL, NULL, id), 0);
		sample.seq = 1;
		sample.mono_ns = SECOND;
		assert_int_equal(wv_records_tick(r, &sample), 0);
		wv_records_close(r); /* killed: the segment is still a temporary */
		snprintf(file, sizeof(file), "%s/" WV_META_NAME, id);
		snprintf(path, sizeof(path), "%s/runs/%s", paths.state, file);
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
		config.record_keep_runs = i < 5 ? 10 : 3;
	}
	snprintf(path, sizeof(path), "%s/runs/mine", paths.state);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(open_records(&r), 0);
	wv_records_close(r);
	assert_true(present(RUN));
	assert_true(present("old-5"));
	assert_true(present("old-4"));
	assert_false(present("old-3"));
	assert_false(present("old-1"));
	assert_true(present("mine")); /* no run's folder */
	assert_true(present("old-5/metrics.csv"));
	assert_false(present("old-5/" WV_CSV_TEMPORARY));
}

static void record_hostile_fields_stay_one_line_of_utf8(void **state _unused_)
{
	struct wv_records *r;
	struct json_object *o = json_object_new_object();
	uint64_t lost;

	json_object_object_add(o, "comm", json_object_new_string("a\nb\x1b[0m\"\\\xff\xc3"));
	assert_int_equal(open_records(&r), 0);
	assert_int_equal(wv_record(r, "test", o, false), 0);
	assert_int_equal(wv_record(r, "empty", NULL, false), 0);
	wv_records_close(r);
	memset(acknowledged, 0, sizeof(acknowledged));
	assert_int_equal(check_log(&lost), 3);
}

static void record_that_cannot_be_told_is_counted(void **state _unused_)
{
	struct wv_records *r;
	struct json_object *o = json_object_new_object();
	uint64_t written, failed, lost;
	char *big = malloc(100000);

	assert_non_null(big);
	memset(big, 'x', 99999);
	big[99999] = '\0';
	json_object_object_add(o, "seq", json_object_new_int(7));
	assert_int_equal(open_records(&r), 0);
	assert_int_equal(wv_record(r, "test", o, false), -EINVAL);
	o = json_object_new_object();
	json_object_object_add(o, "big", json_object_new_string(big));
	assert_int_equal(wv_record(r, "test", o, false), -EINVAL);
	assert_int_equal(wv_record(r, "test", NULL, false), 0);
	wv_records_counts(r, &written, &failed);
	wv_records_close(r);
	memset(acknowledged, 0, sizeof(acknowledged));
	assert_int_equal(failed, 2);
	assert_int_equal(check_log(&lost), written);
	assert_int_equal(lost, 2);
	free(big);
}

static void record_explanations_are_bounded(void **state _unused_)
{
	struct wv_records *r;
	_cleanup_free_ char *text = NULL;
	struct json_object *o, *list;

	assert_int_equal(open_records(&r), 0);
	for (unsigned i = 1; i <= WV_EXPLAIN_MAX + 50; i++)
		assert_int_equal(wv_record_explain(r, numbered(i)), 0);
	assert_int_equal(wv_records_flush(r, true), 0);
	wv_records_close(r);
	text = slurp(RUN "/" WV_EXPLAIN_NAME);
	o = parse(text);
	assert_true(json_object_object_get_ex(o, "decisions", &list));
	assert_int_equal(json_object_array_length(list), WV_EXPLAIN_MAX);
	assert_int_equal(number(json_object_array_get_idx(list, 0), NULL, "n"), 51);
	assert_int_equal(number(o, NULL, "omitted"), 50);
	json_object_put(o);
}

static void record_run_id_that_is_no_name_is_refused(void **state _unused_)
{
	char longer[65];
	const char *const ids[] = {"", ".", "..", "a/b", ".hidden", longer};
	struct wv_records *r;

	memset(longer, 'r', 64);
	longer[64] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		assert_int_equal(wv_records_open(&r, &faulty, &paths, &config, NULL, NULL, ids[i]),
				 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(record_run_writes_all_artifacts),
		T(record_csv_has_figures_under_their_names),
		T(record_resumed_run_keeps_start_counts_and_metrics),
		T(record_segments_over_the_limit_go),
		T(record_old_runs_go_and_a_dead_one_is_completed),
		T(record_hostile_fields_stay_one_line_of_utf8),
		T(record_that_cannot_be_told_is_counted),
		T(record_explanations_are_bounded),
		T(record_run_id_that_is_no_name_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
