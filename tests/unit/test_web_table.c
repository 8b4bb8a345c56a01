// SPDX-License-Identifier: GPL-2.0-only
/* The page's table of cgroups: rates, order, paging, and JSON that stays JSON whatever a cgroup is
 * called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/export/web_table.h"

#define SECOND 1000000000ULL
#define ROWS 8

struct made {
	struct wv_snapshot_map map;
	char dir[64];
	struct wv_sample s;
};

static void make(struct made *m)
{
	bool adopted;
	int dirfd;

	memset(m, 0, sizeof(*m));
	snprintf(m->dir, sizeof(m->dir), "/tmp/wv-table-XXXXXX");
	assert_non_null(mkdtemp(m->dir));
	dirfd = open(m->dir, O_DIRECTORY | O_RDONLY);
	assert_true(dirfd >= 0);
	assert_int_equal(wv_snapshot_create(&m->map, dirfd, 64, "boot", &adopted), 0);
	close(dirfd);
	assert_int_equal(wv_sample_init(&m->s, 64), 0);
	m->s.used_rows = ROWS;
}

static void row(struct made *m, uint32_t slot, uint64_t key, const char *path)
{
	m->s.rows[slot] =
		(struct wv_row){.key = key, .flags = WV_ROW_LIVE, .created_mono_ns = SECOND};
	memcpy(m->s.rows[slot].path, path, strlen(path) + 1);
}

static void publish(struct made *m, uint64_t tick)
{
	m->s.seq = tick;
	m->s.mono_ns = (tick + 10) * SECOND;
	wv_snapshot_begin(&m->map);
	wv_snapshot_rows(&m->map, &m->s);
	m->map.head->started_mono_ns = SECOND;
	m->map.head->tick_interval_ns = SECOND;
	wv_snapshot_end(&m->map);
}

static void unmake(struct made *m)
{
	char file[96];

	wv_sample_done(&m->s);
	wv_snapshot_close(&m->map);
	snprintf(file, sizeof(file), "%s/snapshot", m->dir);
	unlink(file);
	rmdir(m->dir);
}

static struct json_object *parse(const struct wv_web_table *t, const struct wv_web_query *q)
{
	struct json_tokener *tok = json_tokener_new();
	struct wv_text text = {.max = 1 << 20};
	struct json_object *o;

	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	wv_web_table_json(t, q, &text);
	assert_int_equal(wv_text_end(&text), 0);
	o = json_tokener_parse_ex(tok, text.data, (int)text.len + 1);
	if (!o)
		fail_msg("%s in %s", json_tokener_error_desc(json_tokener_get_error(tok)),
			 text.data);
	wv_text_done(&text);
	json_tokener_free(tok);
	return o;
}

static struct json_object *overview(const struct wv_web_table *t)
{
	const struct wv_web_host host = {.name = "test", .cpus = 2};
	struct wv_text text = {.max = 1 << 20};
	struct json_object *o;

	wv_web_overview_json(t, &host, t->head.mono_ns, &text);
	wv_text_str(&text, "}");
	assert_int_equal(wv_text_end(&text), 0);
	o = json_tokener_parse(text.data);
	assert_non_null(o);
	wv_text_done(&text);
	return o;
}

static struct json_object *rows_of(struct json_object *o)
{
	return json_object_object_get(o, "rows");
}

/* A cell by the name of its column, which must be there. */
static struct json_object *cell(struct json_object *o, size_t i, const char *column)
{
	struct json_object *columns = json_object_object_get(o, "columns");

	for (size_t c = 0; c < json_object_array_length(columns); c++)
		if (strcmp(json_object_get_string(json_object_array_get_idx(columns, c)), column) ==
		    0)
			return json_object_array_get_idx(json_object_array_get_idx(rows_of(o), i),
							 c);
	fail_msg("no column %s", column);
	return NULL;
}

static const struct wv_web_query all = {.sort = WV_WEB_SORT_NONE, .limit = UINT32_MAX};

static void table_rates_are_of_the_interval_between_two_ticks(void **state)
{
	struct wv_web_table t = {0};
	struct json_object *o;
	struct made m;

	(void)state;
	make(&m);
	row(&m, 1, 4, "/a");
	m.s.rows[1].f.v[WV_SIG_CPU_USAGE] = 10 * SECOND;
	m.s.rows[1].f.v[WV_SIG_PSI_CPU_SOME] = 70 * 1000000;
	publish(&m, 1);
	assert_int_equal(wv_web_table_update(&t, &m.map), 0);
	assert_int_equal(t.interval_ns, 0);
	/* 10 s of CPU in the 10 s since it was first seen; pressure is older than that */
	assert_int_equal(t.rows[0].v[WV_WEB_CPU], 1000000);
	assert_int_equal(t.rows[0].v[WV_WEB_PSI_CPU], 0);

	m.s.rows[1].f.v[WV_SIG_CPU_USAGE] += SECOND;
	m.s.rows[1].f.v[WV_SIG_PSI_CPU_SOME] += 500000;
	m.s.rows[1].f.v[WV_SIG_IO_READ_BYTES] += 8192;
	m.s.rows[1].f.v[WV_SIG_MEM_RSS] = 4096;
	m.s.rows[1].f.hist[WV_HIST_RUNQ_LATENCY].bucket[10] = 100;
	publish(&m, 3);
	assert_int_equal(wv_web_table_update(&t, &m.map), 0);
	assert_int_equal(t.interval_ns, 2 * SECOND);
	o = parse(&t, &all);
	assert_int_equal(json_object_get_int64(cell(o, 0, "cpu_ppm")), 500000);
	assert_int_equal(json_object_get_int64(cell(o, 0, "psi_cpu_ppm")), 250000);
	assert_int_equal(json_object_get_int64(cell(o, 0, "io_read_bytes_per_second")), 4096);
	assert_int_equal(json_object_get_int64(cell(o, 0, "mem_rss_bytes")), 4096);
	assert_int_equal(json_object_get_int64(cell(o, 0, "runq_p99_ns")), wv_hist_bound_ns(10));
	assert_string_equal(json_object_get_string(cell(o, 0, "id")), "v2/4");
	json_object_put(o);

	/* nothing happened since: no rate, and the histogram of the past is no news */
	publish(&m, 4);
	assert_int_equal(wv_web_table_update(&t, &m.map), 0);
	assert_int_equal(t.rows[0].v[WV_WEB_CPU], 0);
	assert_int_equal(t.rows[0].v[WV_WEB_RUNQ], 0);
	wv_web_table_done(&t);
	unmake(&m);
}

static void table_ranks_who_hurts_whom_between_samples(void **state)
{
	struct wv_web_table t = {.cpus = 2};
	struct json_object *o, *harms, *h;
	struct made m;

	(void)state;
	make(&m);
	row(&m, 1, 4, "/loud");
	row(&m, 2, 5, "/meek");
	publish(&m, 1);
	assert_int_equal(wv_web_table_update(&t, &m.map), 0);
	assert_int_equal(t.n_harms, 0);
	m.s.rows[1].f.v[WV_SIG_CPU_USAGE] += 19 * SECOND / 10;
	m.s.rows[2].f.v[WV_SIG_CPU_USAGE] += SECOND / 10;
	m.s.rows[2].f.v[WV_SIG_CPU_RUN_DELAY] += SECOND;
	publish(&m, 2);
	assert_int_equal(wv_web_table_update(&t, &m.map), 0);
	assert_int_equal(t.n_harms, 1);
	assert_string_equal(t.harms[0].culprit->path, "/loud");
	assert_string_equal(t.harms[0].victim->path, "/meek");
	o = overview(&t);
	assert_true(json_object_object_get_ex(o, "harms", &harms));
	h = json_object_array_get_idx(harms, 0);
	assert_string_equal(json_object_get_string(json_object_object_get(h, "kind")), "cpu");
	assert_string_equal(json_object_get_string(json_object_object_get(h, "culprit_id")),
			    "v2/4");
	assert_string_equal(json_object_get_string(json_object_object_get(h, "victim_id")), "v2/5");
	json_object_put(o);
	/* nothing more happens: after the span nobody is hurt */
	publish(&m, 8);
	assert_int_equal(wv_web_table_update(&t, &m.map), 0);
	publish(&m, 9);
	assert_int_equal(wv_web_table_update(&t, &m.map), 0);
	assert_int_equal(t.n_harms, 0);
	wv_web_table_done(&t);
	unmake(&m);
}

static void table_slot_of_another_cgroup_has_no_past(void **state)
{
	struct wv_web_table t = {0};
	struct made m;

	(void)state;
	make(&m);
	row(&m, 1, 4, "/a");
	m.s.rows[1].f.v[WV_SIG_CPU_USAGE] = 100 * SECOND;
	publish(&m, 1);
	assert_int_equal(wv_web_table_update(&t, &m.map), 0);
	row(&m, 1, 5, "/b");
	m.s.rows[1].created_mono_ns = 11 * SECOND;
	m.s.rows[1].f.v[WV_SIG_CPU_USAGE] = SECOND / 4;
	publish(&m, 2);
	assert_int_equal(wv_web_table_update(&t, &m.map), 0);
	assert_string_equal(t.rows[0].path, "/b");
	assert_int_equal(t.rows[0].v[WV_WEB_CPU], 250000);
	wv_web_table_done(&t);
	unmake(&m);
}

static void table_json_of_hostile_names_is_json_and_keeps_them_text(void **state)
{
	static const char *const names[] = {
		"/</script><script>alert(1)</script>",
		"/\"},{\"x\":\"",
		"/back\\slash\\u0041",
		"/line\nfeed\ttab\x01\x7f",
		"/\xff\xfe\xc0\xaf\xed\xa0\x80",
		"/snow\xe2\x98\x83\xf0\x9f\x92\xa5",
	};
	struct wv_web_table t = {0};
	struct json_object *o;
	struct made m;

	(void)state;
	make(&m);
	for (uint32_t i = 0; i < ARRAY_SIZE(names); i++)
		row(&m, i + 1, i + 10, names[i]);
	publish(&m, 1);
	assert_int_equal(wv_web_table_update(&t, &m.map), 0);
	o = parse(&t, &all);
	assert_int_equal(json_object_array_length(rows_of(o)), ARRAY_SIZE(names));
	for (uint32_t i = 0; i < 3; i++)
		assert_string_equal(json_object_get_string(cell(o, i, "cgroup")), names[i]);
	assert_string_equal(json_object_get_string(cell(o, 3, "cgroup")), "/line\nfeed\ttab??");
	assert_string_equal(json_object_get_string(cell(o, 4, "cgroup")), "/???????");
	assert_string_equal(json_object_get_string(cell(o, 5, "cgroup")), names[5]);
	json_object_put(o);
	wv_web_table_done(&t);
	unmake(&m);
}

static void table_query_sorts_filters_and_pages(void **state)
{
	const struct wv_web_query by_cpu = {.sort = WV_WEB_CPU, .limit = 2, .offset = 1};
	const struct wv_web_query filtered = {.sort = WV_WEB_SORT_PATH, .limit = 9, .filter = "x"};
	const struct wv_web_query beyond = {.sort = WV_WEB_CPU, .limit = 2, .offset = 9};
	struct wv_web_table t = {0};
	struct json_object *o;
	struct made m;

	(void)state;
	make(&m);
	row(&m, 1, 1, "/bx");
	row(&m, 2, 2, "/c");
	row(&m, 3, 3 | WV_KEY_V1, "/ax");
	for (uint32_t i = 1; i <= 3; i++)
		m.s.rows[i].f.v[WV_SIG_CPU_USAGE] = i * SECOND;
	publish(&m, 1);
	assert_int_equal(wv_web_table_update(&t, &m.map), 0);

	o = parse(&t, &by_cpu);
	assert_int_equal(json_object_array_length(rows_of(o)), 2);
	assert_string_equal(json_object_get_string(cell(o, 0, "cgroup")), "/c");
	assert_string_equal(json_object_get_string(cell(o, 1, "cgroup")), "/bx");
	assert_int_equal(json_object_get_int(json_object_object_get(o, "matched")), 3);
	json_object_put(o);

	o = parse(&t, &filtered);
	assert_int_equal(json_object_array_length(rows_of(o)), 2);
	assert_string_equal(json_object_get_string(cell(o, 0, "cgroup")), "/ax");
	assert_string_equal(json_object_get_string(cell(o, 0, "id")), "v1/3");
	assert_int_equal(json_object_get_int(json_object_object_get(o, "matched")), 2);
	assert_int_equal(json_object_get_int(json_object_object_get(o, "total")), 3);
	json_object_put(o);

	o = parse(&t, &beyond);
	assert_int_equal(json_object_array_length(rows_of(o)), 0);
	json_object_put(o);
	assert_int_equal(wv_web_column_by_name("cpu_ppm"), WV_WEB_CPU);
	assert_int_equal(wv_web_column_by_name("cgroup"), WV_WEB_SORT_PATH);
	assert_int_equal(wv_web_column_by_name("cpu"), -EINVAL);
	wv_web_table_done(&t);
	unmake(&m);
}

static void table_that_nobody_asks_for_gives_its_memory_back(void **state)
{
	struct wv_web_table t = {0};
	struct made m;

	(void)state;
	make(&m);
	row(&m, 1, 1, "/a");
	publish(&m, 1);
	assert_int_equal(wv_web_table_update(&t, &m.map), 0);
	t.asked_mono_ns = SECOND;
	wv_web_table_age(&t, SECOND + WV_WEB_TABLE_KEEP_NS - 1);
	assert_non_null(t.rows);
	wv_web_table_age(&t, SECOND + WV_WEB_TABLE_KEEP_NS);
	assert_null(t.rows);
	assert_null(t.marks);
	unmake(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_rates_are_of_the_interval_between_two_ticks),
		cmocka_unit_test(table_ranks_who_hurts_whom_between_samples),
		cmocka_unit_test(table_slot_of_another_cgroup_has_no_past),
		cmocka_unit_test(table_json_of_hostile_names_is_json_and_keeps_them_text),
		cmocka_unit_test(table_query_sorts_filters_and_pages),
		cmocka_unit_test(table_that_nobody_asks_for_gives_its_memory_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
