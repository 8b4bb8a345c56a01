/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A run of records over an I/O seam that fails, tears and dies on demand: scenario and checks that
 * the record tests share.
 */
#ifndef WV_TESTS_RECORD_FIXTURE_H
#define WV_TESTS_RECORD_FIXTURE_H

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
#include "user/evidence/canonical.h"
#include "user/evidence/record.h"
#include "user/evidence/tlog.h"
#include "tests/unit/faulty_io.h"

#define SECOND 1000000000ULL
#define RUN "run-1"
#define TICKS 14
#define ROWS 3

static struct wv_config config;
static struct wv_sample sample;

/* What the scenario was told: by number of the record, and by number of the tick. */
static bool acknowledged[TICKS + 1], refused[TICKS + 1];

static inline int setup(void **state _unused_)
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

static inline int teardown(void **state _unused_)
{
	wv_sample_done(&sample);
	wv_config_done(&config);
	remove_base();
	return 0;
}

static inline char *slurp(const char *name)
{
	char path[WV_PATH_SIZE + 300], *text = NULL;

	snprintf(path, sizeof(path), "%s/runs/%s", paths.state, name);
	if (wv_io_read_file(&wv_io_system, AT_FDCWD, path, 64 << 20, &text, NULL) < 0)
		return NULL;
	return text;
}

static inline void spit(const char *name, const char *text)
{
	char path[WV_PATH_SIZE + 300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/runs/%s", paths.state, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static inline bool present(const char *name)
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

static inline const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	assert_true(json_object_object_get_ex(o, key, &v));
	return json_object_get_string(v);
}

static inline struct json_object *parse(const char *text)
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

static inline int open_records(struct wv_records **ret)
{
	return wv_records_open(ret, &faulty, &paths, &config, NULL, NULL, RUN);
}

static inline struct json_object *numbered(unsigned n)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "n", json_object_new_int64(n));
	return o;
}

/* One tick: a record (a durable decision every third time) and the sample. */
static inline void tick(struct wv_records *r, unsigned n)
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

/* Every record of the run from seq `first` on stands in the device's log as in these lines. */
static void check_in_log(const char *text, uint64_t first)
{
	struct wv_tlog_reader *r;
	const char *line, *id;
	size_t len, id_len;
	uint64_t seq;

	assert_int_equal(wv_tlog_read_open(&r, &wv_io_system, paths.state, first), 0);
	while (wv_tlog_read(r, &seq, &line, &len) == 1) {
		assert_int_equal(wv_record_member(line, len, "run_id", &id, &id_len), 0);
		if (strncmp(id, "\"" RUN "\"", id_len) != 0)
			continue;
		assert_int_equal(strncmp(text, line, len), 0);
		assert_int_equal(text[len], '\n');
		text += len + 1;
	}
	wv_tlog_read_close(r);
	assert_string_equal(text, "");
}

/* The lines of the run's part of the log: whole, canonical, numbered without a gap (nobody else
 * writes here), those of the log itself; what was acknowledged is there, once, in order. */
static uint64_t check_log(uint64_t *ret_lost)
{
	_cleanup_free_ char *text = slurp(RUN "/" WV_EVENTS_NAME);
	uint64_t seq = 0, lines = 0, last_n = 0;
	bool seen[TICKS + 1] = {false};

	*ret_lost = 0;
	assert_non_null(text);
	assert_int_equal(wv_record_number(text, strcspn(text, "\n"), "seq", &seq), 0);
	check_in_log(text, seq--);
	for (char *line = text, *end; *line; line = end + 1) {
		struct json_object *o;

		end = strchr(line, '\n');
		assert_non_null(end);
		*end = '\0';
		lines++;
		assert_int_equal(wv_canonical_check(line, (size_t)(end - line)), 0);
		o = parse(line);
		assert_int_equal(number(o, NULL, "schema_version"), 2);
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
	return lines;
}

/* A segment: header, then whole rows; rows_of counts rows a sample. */
static inline void check_csv(char *text, unsigned rows_of[TICKS + 1])
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
static inline void check_artifacts(unsigned rows_of[TICKS + 1])
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

static inline unsigned count_hidden(void)
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
static inline void finish_and_check(struct wv_records *r, unsigned from)
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
static inline unsigned count_calls(void)
{
	struct wv_records *r;

	fault = (struct fault){0};
	assert_int_equal(open_records(&r), 0);
	finish_and_check(r, 1);
	remove_base();
	make_base();
	return fault.calls;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
