// SPDX-License-Identifier: GPL-2.0-only
/*
 * The run's records under failing, torn and interrupted I/O: a scenario is run once for every call
 * that it makes through the I/O seam, with that call failing, tearing its bytes, or being the last
 * one ever.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/artifacts.h"
#include "user/evidence/record.h"

enum mode { NONE, FAIL, TORN, CRASH };

/* The faulty seam: the real calls, but for those numbered at .. at + span - 1. */
static struct fault {
	enum mode mode;
	int error;
	unsigned at, span;
	unsigned calls, syncs;
	bool dead; /* after a CRASH nothing happens any more */
	uint64_t now;
} fault;

static bool strikes(void)
{
	unsigned n = fault.calls++;

	return fault.mode != NONE && n >= fault.at && n - fault.at < fault.span;
}

/* 0: go on; else what the call returns */
static int step(void)
{
	bool now = strikes();

	if (fault.dead)
		return -EIO;
	if (now && fault.mode == CRASH)
		fault.dead = true;
	return now ? (fault.mode == CRASH ? -EIO : -fault.error) : 0;
}

static int f_open(void *ctx _unused_, int dirfd, const char *path, int flags, mode_t mode)
{
	int r = step();

	return r ?: wv_io_system.open(NULL, dirfd, path, flags, mode);
}

static ssize_t f_write(void *ctx _unused_, int fd, const void *buf, size_t len)
{
	bool was_dead = fault.dead;
	int r = step();

	if (r == 0)
		return wv_io_system.write(NULL, fd, buf, len);
	if (!was_dead && fault.mode != FAIL)
		(void)wv_io_system.write(NULL, fd, buf, len / 2);
	return r;
}

static ssize_t f_pread(void *ctx _unused_, int fd, void *buf, size_t len, off_t off)
{
	int r = step();

	return r ?: wv_io_system.pread(NULL, fd, buf, len, off);
}

static int f_fsync(void *ctx _unused_, int fd _unused_)
{
	fault.syncs++;
	return step();
}

static int f_ftruncate(void *ctx _unused_, int fd, off_t len)
{
	int r = step();

	return r ?: wv_io_system.ftruncate(NULL, fd, len);
}

static int f_close(void *ctx _unused_, int fd)
{
	return wv_io_system.close(NULL, fd);
}

static int f_rename(void *ctx _unused_, int dirfd, const char *from, const char *to)
{
	int r = step();

	return r ?: wv_io_system.rename(NULL, dirfd, from, to);
}

static int f_unlink(void *ctx _unused_, int dirfd, const char *path)
{
	int r = step();

	return r ?: wv_io_system.unlink(NULL, dirfd, path);
}

static int f_mkdir(void *ctx _unused_, int dirfd, const char *path, mode_t mode)
{
	int r = step();

	return r ?: wv_io_system.mkdir(NULL, dirfd, path, mode);
}

static uint64_t f_clock(void *ctx _unused_)
{
	return ++fault.now;
}

static const struct wv_io faulty = {
	.open = f_open,
	.write = f_write,
	.pread = f_pread,
	.fsync = f_fsync,
	.ftruncate = f_ftruncate,
	.close = f_close,
	.rename = f_rename,
	.unlink = f_unlink,
	.mkdir = f_mkdir,
	.mono_ns = f_clock,
	.wall_ns = f_clock,
};

#define SECOND 1000000000ULL
#define RUN "run-1"
#define TICKS 14
#define ROWS 3

static struct wv_config config;
static struct wv_paths paths;
static struct wv_sample sample;
static char base[64];

/* What the scenario was told: by number of the record, and by number of the tick. */
static bool acknowledged[TICKS + 1], refused[TICKS + 1];

static void make_base(void)
{
	strcpy(base, "/tmp/wv-record-XXXXXX");
	assert_non_null(mkdtemp(base));
	snprintf(paths.state, sizeof(paths.state), "%s/state", base);
}

static int remove_one(const char *path, const struct stat *st _unused_, int type _unused_,
		      struct FTW *f _unused_)
{
	return remove(path);
}

static void remove_base(void)
{
	assert_int_equal(nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static int setup(void **state _unused_)
{
	assert_int_equal(wv_config_init(&config), 0);
	config.record_interval = 2 * SECOND;
	config.record_artifacts_every = 5 * SECOND;
	config.record_keep_segments = 20;
	config.record_keep_runs = 3;
	assert_int_equal(wv_sample_init(&sample, 8), 0);
	sample.used_rows = 5;
	for (uint32_t slot = 0; slot < 5; slot += 2) {
		sample.rows[slot].flags = WV_ROW_LIVE;
		sample.rows[slot].key = 100 + slot;
		snprintf(sample.rows[slot].path, WV_ROW_PATH_MAX, "/c%u", slot);
		sample.rows[slot].f.v[WV_SIG_CPU_USAGE] = UINT64_MAX - slot;
		sample.rows[slot].f.hist[WV_HIST_RUNQ_LATENCY].bucket[3] = 10;
	}
	wv_log_init(WV_LOG_TEXT, LOG_EMERG);
	fault = (struct fault){0};
	memset(acknowledged, 0, sizeof(acknowledged));
	memset(refused, 0, sizeof(refused));
	make_base();
	return 0;
}

static int teardown(void **state _unused_)
{
	wv_sample_done(&sample);
	wv_config_done(&config);
	remove_base();
	return 0;
}

static char *slurp(const char *name)
{
	char path[WV_PATH_SIZE + 300], *text = NULL;

	snprintf(path, sizeof(path), "%s/runs/%s", paths.state, name);
	if (wv_io_read_file(&wv_io_system, AT_FDCWD, path, 64 << 20, &text, NULL) < 0)
		return NULL;
	return text;
}

static void spit(const char *name, const char *text)
{
	char path[WV_PATH_SIZE + 300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/runs/%s", paths.state, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static bool present(const char *name)
{
	char path[WV_PATH_SIZE + 300];

	snprintf(path, sizeof(path), "%s/runs/%s", paths.state, name);
	return access(path, F_OK) == 0;
}

static uint64_t number(struct json_object *o, const char *group, const char *key)
{
	struct json_object *v = o;

	if (group)
		assert_true(json_object_object_get_ex(o, group, &v));
	assert_true(json_object_object_get_ex(v, key, &v));
	return json_object_get_uint64(v);
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	assert_true(json_object_object_get_ex(o, key, &v));
	return json_object_get_string(v);
}

static struct json_object *parse(const char *text)
{
	struct json_tokener *t = json_tokener_new();
	struct json_object *o;

	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(t, text, (int)strlen(text) + 1);
	if (!o)
		fail_msg("no JSON: %s", text);
	json_tokener_free(t);
	return o;
}

static int open_records(struct wv_records **ret)
{
	return wv_records_open(ret, &faulty, &paths, &config, NULL, RUN);
}

static struct json_object *numbered(unsigned n)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "n", json_object_new_int64(n));
	return o;
}

/* One tick: a record (a durable decision every third time) and the sample. */
static void tick(struct wv_records *r, unsigned n)
{
	bool decision = n % 3 == 0;
	int e;

	if (decision)
		(void)wv_record_explain(r, numbered(n));
	e = wv_record(r, decision ? "decision" : "test", numbered(n), decision);
	acknowledged[n] = e == 0;
	refused[n] = e < 0 && !fault.dead;
	sample.seq = n;
	sample.mono_ns = n * SECOND;
	sample.wall_ns = 1700000000ULL * SECOND + sample.mono_ns;
	(void)wv_records_tick(r, &sample);
}

/* The lines of the log: whole, numbered without a gap; what was acknowledged is there, once, in
 * order. */
static uint64_t check_log(uint64_t *ret_lost)
{
	_cleanup_free_ char *text = slurp(RUN "/" WV_EVENTS_NAME);
	uint64_t seq = 0, last_n = 0;
	bool seen[TICKS + 1] = {false};

	*ret_lost = 0;
	assert_non_null(text);
	for (char *line = text, *end; *line; line = end + 1) {
		struct json_object *o;

		end = strchr(line, '\n');
		assert_non_null(end);
		*end = '\0';
		o = parse(line);
		assert_int_equal(number(o, NULL, "schema_version"), 1);
		assert_int_equal(number(o, NULL, "seq"), ++seq);
		assert_string_equal(text_of(o, "run_id"), RUN);
		assert_int_equal(strlen(text_of(o, "boot_id")), 36);
		if (strcmp(text_of(o, "type"), "records-lost") == 0)
			*ret_lost += number(o, NULL, "count");
		if (json_object_object_get_ex(o, "n", NULL)) {
			uint64_t n = number(o, NULL, "n");

			assert_true(n > last_n && n <= TICKS);
			last_n = n;
			seen[n] = true;
		}
		json_object_put(o);
	}
	for (unsigned n = 1; n <= TICKS; n++) {
		assert_true(!acknowledged[n] || seen[n]);
		assert_false(refused[n] && seen[n]);
	}
	return seq;
}

/* A segment: header, then whole rows; rows_of counts rows a sample. */
static void check_csv(char *text, unsigned rows_of[TICKS + 1])
{
	_cleanup_free_ char *header = wv_csv_header();
	size_t columns = 0, rows = 0;

	assert_int_equal(strncmp(text, header, strlen(header)), 0);
	for (const char *p = header; *p; p++)
		columns += *p == ',';
	for (char *line = text + strlen(header), *end; *line; line = end + 1, rows++) {
		size_t commas = 0;
		unsigned seq;

		end = strchr(line, '\n');
		assert_non_null(end);
		for (const char *p = line; p < end; p++)
			commas += *p == ',';
		assert_int_equal(commas, columns);
		assert_int_equal(sscanf(line, "1,%u,", &seq), 1);
		assert_in_range(seq, 1, TICKS);
		rows_of[seq]++;
	}
	assert_true(rows > 0);
}

/* Every artifact that is there under its name is whole. */
static void check_artifacts(unsigned rows_of[TICKS + 1])
{
	static const char *const names[] = {WV_META_NAME, WV_EXPLAIN_NAME};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char name[64];
		_cleanup_free_ char *text = NULL;
		struct json_object *o;

		snprintf(name, sizeof(name), RUN "/%s", names[i]);
		text = slurp(name);
		if (!text)
			continue;
		o = parse(text);
		assert_int_equal(number(o, NULL, "schema_version"), 1);
		assert_string_equal(text_of(o, "waveos_version"), WV_VERSION);
		assert_int_equal(strlen(text_of(o, "bundle_id")), 64);
		assert_int_equal(strncmp(text_of(o, "policy_version"), "config@", 7), 0);
		json_object_put(o);
	}
	memset(rows_of, 0, sizeof(unsigned) * (TICKS + 1));
	for (unsigned i = 0; i <= config.record_keep_segments; i++) {
		char name[64], buf[32];
		_cleanup_free_ char *text = NULL;

		snprintf(name, sizeof(name), RUN "/%s", wv_csv_segment_name(i, buf));
		text = slurp(name);
		if (text)
			check_csv(text, rows_of);
	}
}

static unsigned count_hidden(void)
{
	char path[WV_PATH_SIZE + 300];
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *e;
	unsigned n = 0;

	snprintf(path, sizeof(path), "%s/runs/" RUN, paths.state);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		n += e->d_name[0] == '.' && strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	return n;
}

/* Ticks from..TICKS and an orderly end, then the checks that hold for any end. */
static void finish_and_check(struct wv_records *r, unsigned from)
{
	uint64_t written, failed, lost, lines;
	unsigned rows_of[TICKS + 1];
	int e;

	for (unsigned n = from; n <= TICKS; n++)
		tick(r, n);
	e = wv_records_flush(r, true);
	if (e < 0 && fault.mode != NONE && !fault.dead) {
		fault.mode = NONE; /* there is room again */
		e = wv_records_flush(r, true);
	}
	assert_int_equal(e, 0);
	wv_records_counts(r, &written, &failed);
	wv_records_close(r);
	lines = check_log(&lost);
	assert_int_equal(lines, written);
	assert_int_equal(lost, failed);
	check_artifacts(rows_of);
	/* a sample is there with all its rows or not at all */
	for (unsigned n = 1; n <= TICKS; n++)
		assert_true(rows_of[n] == 0 || rows_of[n] == ROWS);
	assert_int_equal(count_hidden(), 0);
}

/* Number of calls that the scenario makes when nothing fails. */
static unsigned count_calls(void)
{
	struct wv_records *r;

	fault = (struct fault){0};
	assert_int_equal(open_records(&r), 0);
	finish_and_check(r, 1);
	remove_base();
	make_base();
	return fault.calls;
}

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

static void record_torn_tail_is_cut_and_noted(void **state _unused_)
{
	struct wv_records *r;
	_cleanup_free_ char *before = NULL, *after = NULL, *torn = NULL;
	uint64_t lost, written, failed;

	assert_int_equal(open_records(&r), 0);
	tick(r, 1);
	wv_records_close(r);
	before = slurp(RUN "/" WV_EVENTS_NAME);
	assert_true(asprintf(&torn, "%s{\"schema_version\":1,\"seq\":3,\"bo", before) > 0);
	spit(RUN "/" WV_EVENTS_NAME, torn);
	assert_int_equal(open_records(&r), 0);
	wv_records_counts(r, &written, &failed);
	assert_int_equal(written, 3);
	tick(r, 2);
	wv_records_close(r);
	assert_int_equal(check_log(&lost), 4);
	after = slurp(RUN "/" WV_EVENTS_NAME);
	assert_int_equal(strncmp(after, before, strlen(before)), 0);
	assert_non_null(strstr(after, "\"resumed\":true,\"cut_bytes\":31}"));
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
		assert_int_equal(wv_records_open(&r, &faulty, &paths, &config, NULL, id), 0);
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
	unsigned lines = 0, before;

	wv_sample_done(&sample);
	assert_int_equal(wv_sample_init(&sample, 2000), 0);
	sample.used_rows = 2000;
	for (uint32_t slot = 0; slot < 2000; slot++) {
		sample.rows[slot].flags = WV_ROW_LIVE;
		snprintf(sample.rows[slot].path, WV_ROW_PATH_MAX, "/c%u", slot);
	}
	assert_int_equal(open_records(&r), 0);
	tick(r, 1);
	before = fault.calls;
	tick(r, 3);
	/* the record, then at least three chunks */
	assert_true(fault.calls - before > 4);
	fault = (struct fault){.mode = TORN, .error = ENOSPC, .at = 3, .span = 1};
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
		assert_int_equal(wv_records_open(&r, &faulty, &paths, &config, NULL, ids[i]),
				 -EINVAL);
}

static void record_read_only_state_is_refused_without_a_trace(void **state _unused_)
{
	struct wv_records *r;

	fault = (struct fault){.mode = FAIL, .error = EROFS, .at = 0, .span = UINT32_MAX};
	assert_int_equal(open_records(&r), -EROFS);
	assert_int_not_equal(access(paths.state, F_OK), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(record_run_writes_all_artifacts),
		T(record_csv_has_figures_under_their_names),
		T(record_any_call_failing_loses_only_what_was_refused),
		T(record_full_disk_recovers_when_space_returns),
		T(record_crash_at_any_call_then_restart_continues),
		T(record_torn_tail_is_cut_and_noted),
		T(record_resumed_run_keeps_start_counts_and_metrics),
		T(record_segments_over_the_limit_go),
		T(record_old_runs_go_and_a_dead_one_is_completed),
		T(record_hostile_fields_stay_one_line_of_utf8),
		T(record_that_cannot_be_told_is_counted),
		T(record_durable_is_synced_before_it_returns),
		T(record_sample_of_many_writes_is_whole_or_absent),
		T(record_explanations_are_bounded),
		T(record_run_id_that_is_no_name_is_refused),
		T(record_read_only_state_is_refused_without_a_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
