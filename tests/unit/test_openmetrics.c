// SPDX-License-Identifier: GPL-2.0-only
/* The scrape's text: every line is parsed by a strict checker of its own, then looked up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "user/export/openmetrics.h"
#include "user/export/web_answer.h"

#define MAX_SERIES 20000

struct fixture {
	struct wv_sample s;
	struct wv_snapshot head;
	struct wv_metrics *m;
	struct wv_text out;
};

static void fixture_begin(struct fixture *f, uint32_t rows, uint32_t max_series)
{
	memset(f, 0, sizeof(*f));
	assert_int_equal(wv_sample_init(&f->s, rows), 0);
	assert_int_equal(wv_metrics_new(&f->m, rows, max_series), 0);
	snprintf(f->head.version, sizeof(f->head.version), "0.1.0");
	snprintf(f->head.run_id, sizeof(f->head.run_id), "run-\"quoted\"");
	f->head.mono_ns = 1000000000;
	f->head.tick = 1;
}

static void fixture_end(struct fixture *f)
{
	wv_text_done(&f->out);
	wv_metrics_free(f->m);
	wv_sample_done(&f->s);
}

static struct wv_row *add_row(struct fixture *f, uint32_t slot, uint64_t key, const char *path)
{
	struct wv_row *row = &f->s.rows[slot];

	*row = (struct wv_row){.key = key, .created_mono_ns = key, .flags = WV_ROW_LIVE};
	row->path_len = (uint16_t)snprintf(row->path, sizeof(row->path), "%s", path);
	if (f->s.used_rows <= slot)
		f->s.used_rows = slot + 1;
	return row;
}

static const char *render(struct fixture *f, enum wv_metrics_format format)
{
	struct wv_metrics_process p = {.now_mono_ns = 1500000000, .open_fds = 9};

	wv_text_done(&f->out);
	f->out = (struct wv_text){.max = 64U << 20};
	assert_int_equal(wv_metrics_render(f->m, &f->head, &f->s, &p, format, &f->out), 0);
	assert_int_equal(wv_text_end(&f->out), 0);
	return f->out.data;
}

/* The value text of a series, or NULL; series must stand at the start of a line. */
static const char *find(const char *text, const char *series)
{
	size_t n = strlen(series);

	for (const char *at = text; (at = strstr(at, series)); at++)
		if ((at == text || at[-1] == '\n') && at[n] == ' ')
			return at + n + 1;
	return NULL;
}

static void assert_value(const char *text, const char *series, const char *want)
{
	const char *at = find(text, series);
	size_t n = strlen(want);

	if (!at)
		fail_msg("no series %s", series);
	if (strncmp(at, want, n) != 0 || at[n] != '\n')
		fail_msg("%s is %.*s, not %s", series, (int)strcspn(at, "\n"), at, want);
}

/* {name="value",...}: returns the end, or NULL if it is malformed */
static const char *check_labels(const char *p)
{
	while (*p != '}') {
		if (!isalpha((unsigned char)*p) && *p != '_')
			return NULL;
		while (isalnum((unsigned char)*p) || *p == '_')
			p++;
		if (*p++ != '=' || *p++ != '"')
			return NULL;
		for (; *p != '"'; p++)
			if (*p == '\n' || (*p == '\\' && !strchr("\\\"n", *++p)))
				return NULL;
		p++;
		if (*p == ',')
			p++;
		else if (*p != '}')
			return NULL;
	}
	return p + 1;
}

struct strict {
	char family[128];
	char seen[1024][128]; /* families that are over */
	unsigned n_seen;
	uint64_t series;
};

static void check_header(struct strict *c, const char *line)
{
	char name[128];

	assert_int_equal(sscanf(line + 7, "%127s", name), 1);
	if (strncmp(line, "# HELP ", 7) == 0) {
		for (unsigned i = 0; i < c->n_seen; i++)
			assert_string_not_equal(c->seen[i], name);
		assert_in_range(c->n_seen, 0, 1023);
		snprintf(c->seen[c->n_seen++], sizeof(c->seen[0]), "%s", name);
		snprintf(c->family, sizeof(c->family), "%s", name);
	}
	/* TYPE and UNIT belong to the HELP before them */
	assert_string_equal(c->family, name);
}

static void check_sample(struct strict *c, const char *line)
{
	size_t n = strcspn(line, "{ ");
	const char *p = line + n;
	char *end;

	/* families are contiguous: a sample belongs to the last header */
	assert_memory_equal(line, c->family, strlen(c->family));
	if (*p == '{')
		p = check_labels(p + 1);
	if (!p || *p != ' ')
		fail_msg("malformed: %.*s", (int)strcspn(line, "\n"), line);
	assert_true(isdigit((unsigned char)p[1]));
	(void)strtod(p + 1, &end);
	assert_int_equal(*end, '\n');
	c->series++;
}

static uint64_t check_strictly(const char *text, enum wv_metrics_format format)
{
	struct strict *c = calloc(1, sizeof(*c));
	uint64_t n;

	assert_non_null(c);
	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		assert_non_null(strchr(line, '\n'));
		if (strncmp(line, "# EOF\n", 6) == 0) {
			assert_int_equal(format, WV_METRICS_OPENMETRICS);
			assert_string_equal(line, "# EOF\n");
			break;
		}
		if (line[0] == '#')
			check_header(c, line);
		else
			check_sample(c, line);
	}
	n = c->series;
	free(c);
	return n;
}

static void metrics_of_a_row_are_exact_and_escaped(void **state)
{
	struct fixture f;
	struct wv_row *row;
	const char *text;

	(void)state;
	fixture_begin(&f, 16, MAX_SERIES);
	add_row(&f, 0, 0, "other");
	row = add_row(&f, 1, 77, "/a\"b\\c\nd\xff");
	row->f.v[WV_SIG_CPU_USAGE] = 9007199254740993123ULL; /* a double would round it */
	row->f.v[WV_SIG_PSI_CPU_SOME] = 1500000;
	row->f.v[WV_SIG_NET_RX_BYTES] = UINT64_MAX;
	text = render(&f, WV_METRICS_TEXT);
	assert_value(text, "waveos_cgroup_cpu_seconds_total{cgroup=\"/a\\\"b\\\\c\\nd?\"}",
		     "9007199254.740993123");
	assert_value(text,
		     "waveos_pressure_stalled_seconds_total{cgroup=\"/a\\\"b\\\\c\\nd?\","
		     "resource=\"cpu\",kind=\"some\"}",
		     "1.5");
	assert_value(
		text,
		"waveos_network_bytes_total{cgroup=\"/a\\\"b\\\\c\\nd?\",direction=\"receive\"}",
		"18446744073709551615");
	assert_value(text, "waveos_run_info{run_id=\"run-\\\"quoted\\\"\"}", "1");
	assert_value(text, "waveos_sample_age_seconds", "0.5");
	assert_int_equal(check_strictly(text, WV_METRICS_TEXT), wv_metrics_series(f.m));
	fixture_end(&f);
}

static void metrics_in_openmetrics_name_families_without_total(void **state)
{
	struct fixture f;
	const char *text;

	(void)state;
	fixture_begin(&f, 16, MAX_SERIES);
	add_row(&f, 1, 5, "/")->f.v[WV_SIG_CPU_USAGE] = 1;
	text = render(&f, WV_METRICS_OPENMETRICS);
	check_strictly(text, WV_METRICS_OPENMETRICS);
	assert_non_null(strstr(text,
			       "# TYPE waveos_cgroup_cpu_seconds counter\n"
			       "# UNIT waveos_cgroup_cpu_seconds seconds\n"
			       "waveos_cgroup_cpu_seconds_total{cgroup=\"/\"} 0.000000001\n"));
	assert_non_null(
		strstr(text, "# TYPE waveos_build info\nwaveos_build_info{version=\"0.1.0\""));
	assert_string_equal(text + strlen(text) - 6, "# EOF\n");
	fixture_end(&f);
}

static void metrics_histogram_buckets_are_cumulative_and_merged(void **state)
{
	struct fixture f;
	struct wv_row *row;
	const char *text;

	(void)state;
	fixture_begin(&f, 16, MAX_SERIES);
	row = add_row(&f, 1, 5, "/h");
	for (unsigned b = 0; b < WV_HIST_BUCKETS; b++)
		row->f.hist[WV_HIST_RUNQ_LATENCY].bucket[b] = b + 1;
	row->f.hist[WV_HIST_RUNQ_LATENCY].sum_ns = 1234567890123ULL;
	text = render(&f, WV_METRICS_TEXT);
	/* bucket 0: < 1 us; bound 4 us takes in buckets 0 to 2: 1 + 2 + 3 */
	assert_value(text, "waveos_runq_latency_seconds_bucket{cgroup=\"/h\",le=\"0.000001\"}",
		     "1");
	assert_value(text, "waveos_runq_latency_seconds_bucket{cgroup=\"/h\",le=\"0.000004\"}",
		     "6");
	assert_value(text, "waveos_runq_latency_seconds_bucket{cgroup=\"/h\",le=\"1.048576\"}",
		     "231");
	assert_value(text, "waveos_runq_latency_seconds_bucket{cgroup=\"/h\",le=\"+Inf\"}", "300");
	assert_value(text, "waveos_runq_latency_seconds_count{cgroup=\"/h\"}", "300");
	assert_value(text, "waveos_runq_latency_seconds_sum{cgroup=\"/h\"}", "1234.567890123");
	check_strictly(text, WV_METRICS_TEXT);
	fixture_end(&f);
}

static void metrics_gauge_seen_once_stays_at_zero(void **state)
{
	struct fixture f;
	struct wv_row *row;
	const char *text;

	(void)state;
	fixture_begin(&f, 16, MAX_SERIES);
	row = add_row(&f, 1, 5, "/g");
	text = render(&f, WV_METRICS_TEXT);
	assert_null(find(text, "waveos_tasks_zombie{cgroup=\"/g\"}"));
	/* without a first 0, increase() would not see the first kill */
	assert_value(text, "waveos_oom_kills_total{cgroup=\"/g\"}", "0");
	row->f.v[WV_SIG_TASK_ZOMBIES] = 3;
	assert_value(render(&f, WV_METRICS_TEXT), "waveos_tasks_zombie{cgroup=\"/g\"}", "3");
	row->f.v[WV_SIG_TASK_ZOMBIES] = 0;
	assert_value(render(&f, WV_METRICS_TEXT), "waveos_tasks_zombie{cgroup=\"/g\"}", "0");
	/* the slot of another cgroup does not inherit it */
	add_row(&f, 1, 6, "/new");
	assert_null(find(render(&f, WV_METRICS_TEXT), "waveos_tasks_zombie{cgroup=\"/new\"}"));
	fixture_end(&f);
}

static void metrics_of_a_removed_child_do_not_jump_into_the_parent(void **state)
{
	struct fixture f;
	const char *text;

	(void)state;
	fixture_begin(&f, 16, MAX_SERIES);
	add_row(&f, 1, 5, "/p");
	add_row(&f, 2, 6, "/p/c");
	wv_sample_set(&f.s, 1, WV_SIG_CPU_USAGE, 1000000000);
	wv_sample_set(&f.s, 2, WV_SIG_CPU_USAGE, 5000000000);
	wv_sample_fold(&f.s, 2, 1);
	f.s.rows[2].flags = 0;
	wv_sample_set(&f.s, 1, WV_SIG_CPU_USAGE, 2000000000);
	text = render(&f, WV_METRICS_TEXT);
	assert_value(text, "waveos_cgroup_cpu_seconds_total{cgroup=\"/p\"}", "2");
	assert_value(text, "waveos_gone_cgroup_cpu_seconds_total", "5");
	assert_null(find(text, "waveos_cgroup_cpu_seconds_total{cgroup=\"/p/c\"}"));
	fixture_end(&f);
}

static void metrics_of_two_hierarchies_are_told_apart(void **state)
{
	struct fixture f;
	const char *text;

	(void)state;
	fixture_begin(&f, 16, MAX_SERIES);
	add_row(&f, 1, 1, "/")->f.v[WV_SIG_CPU_USAGE] = 1000000000;
	add_row(&f, 2, 1 | WV_KEY_V1, "/")->f.v[WV_SIG_CPU_USAGE] = 2000000000;
	/* a twin of the same hierarchy (an old one that is not known to be gone) goes to the rest
	 */
	add_row(&f, 3, 9, "/")->f.v[WV_SIG_CPU_USAGE] = 3;
	text = render(&f, WV_METRICS_TEXT);
	assert_value(text, "waveos_cgroup_cpu_seconds_total{cgroup=\"/\"}", "1");
	assert_value(text, "waveos_cgroup_cpu_seconds_total{cgroup=\"/\",hierarchy=\"v1\"}", "2");
	assert_value(text, "waveos_cgroup_cpu_seconds_total{cgroup=\"__other__\"}", "0.000000003");
	fixture_end(&f);
}

/* n rows that use everything that a busy cgroup uses, under long container paths */
static void fill_busy(struct fixture *f, uint32_t n)
{
	char path[WV_ROW_PATH_MAX];

	add_row(f, 0, 0, "other");
	add_row(f, 1, 1, "/")->f.v[WV_SIG_CPU_USAGE] = 1;
	for (uint32_t i = 2; i < n + 2; i++) {
		struct wv_row *row;

		snprintf(path, sizeof(path),
			 "/kubepods.slice/kubepods-burstable.slice/"
			 "kubepods-burstable-pod%08x_1111_2222_3333_444444444444.slice/"
			 "cri-containerd-%064x.scope",
			 i, i);
		row = add_row(f, i, i, path);
		for (unsigned k = 0; k < WV_SIG_N; k++)
			row->f.v[k] = (uint64_t)(n - i + 2) * 1000003ULL * (k + 1);
		for (unsigned h = 0; h < WV_HIST_N; h++)
			for (unsigned b = 0; b < WV_HIST_BUCKETS; b++)
				row->f.hist[h].bucket[b] = i;
	}
}

static double family_sum(const char *text, const char *series_start)
{
	double sum = 0;

	for (const char *line = text; *line; line = strchr(line, '\n') + 1)
		if (strncmp(line, series_start, strlen(series_start)) == 0)
			sum += strtod(strchr(line, '}') + 1, NULL);
	return sum;
}

static void metrics_of_a_thousand_busy_cgroups_stay_below_the_ceiling(void **state)
{
	struct fixture f;
	const char *text;
	uint64_t total = 1, dropped;

	(void)state;
	fixture_begin(&f, 1024, MAX_SERIES);
	fill_busy(&f, 1000);
	text = render(&f, WV_METRICS_TEXT);
	assert_int_equal(check_strictly(text, WV_METRICS_TEXT), wv_metrics_series(f.m));
	assert_in_range(wv_metrics_series(f.m), MAX_SERIES * 9 / 10, MAX_SERIES);
	/* every cgroup has its core signals; nothing is lost in families of the rest */
	assert_value(text, "waveos_cgroups{detail=\"none\"}", "1");
	for (uint32_t i = 2; i < 1002; i++)
		total += f.s.rows[i].f.v[WV_SIG_TASK_FORKS];
	assert_float_equal(family_sum(text, "waveos_task_starts_total{"), (double)total - 1, 1);
	assert_non_null(strstr(text, "waveos_task_starts_total{cgroup=\"__other__\"}"));
	dropped = strtoull(find(text, "waveos_metrics_series_dropped"), NULL, 10);
	assert_true(dropped > 10000);
	/* a tree's figure must not be added up */
	assert_null(find(text, "waveos_cgroup_memory_usage_bytes{cgroup=\"__other__\"}"));
	fixture_end(&f);
}

static void metrics_of_the_rest_never_go_back(void **state)
{
	static const char rest[] = "waveos_fatal_signals_total{cgroup=\"__other__\"}";
	struct fixture f;
	uint64_t before, after;

	(void)state;
	fixture_begin(&f, 1024, 3000);
	fill_busy(&f, 1000);
	before = strtoull(find(render(&f, WV_METRICS_TEXT), rest), NULL, 10);
	/* the last row becomes the first: it leaves the rest, another one joins it */
	f.s.rows[1001].f.v[WV_SIG_CPU_USAGE] *= 1000000;
	f.s.rows[500].f.v[WV_SIG_ERR_FATAL_SIGNALS] += 7;
	after = strtoull(find(render(&f, WV_METRICS_TEXT), rest), NULL, 10);
	assert_int_equal(after, before + 7);
	/* removed rows take their figures away: the sum stands still */
	for (uint32_t i = 600; i < 1000; i++)
		f.s.rows[i].flags = 0;
	assert_int_equal(strtoull(find(render(&f, WV_METRICS_TEXT), rest), NULL, 10), after);
	f.s.rows[500].f.v[WV_SIG_ERR_FATAL_SIGNALS] += 5;
	assert_int_equal(strtoull(find(render(&f, WV_METRICS_TEXT), rest), NULL, 10), after + 5);
	fixture_end(&f);
}

static void metrics_rank_keeps_a_row_until_another_has_twice_as_much(void **state)
{
	struct fixture f;
	char first[400];

	(void)state;
	fixture_begin(&f, 1024, 1500);
	fill_busy(&f, 1000);
	snprintf(first, sizeof(first), "waveos_cgroup_cpu_seconds_total{cgroup=\"%s\"",
		 f.s.rows[1001].path);
	assert_null(strstr(render(&f, WV_METRICS_TEXT), first));
	/* a little more than the row at the limit is not enough */
	f.s.rows[1001].f.v[WV_SIG_CPU_USAGE] = f.s.rows[3].f.v[WV_SIG_CPU_USAGE] + 1;
	assert_null(strstr(render(&f, WV_METRICS_TEXT), first));
	f.s.rows[1001].f.v[WV_SIG_CPU_USAGE] = f.s.rows[3].f.v[WV_SIG_CPU_USAGE] * 3;
	assert_non_null(strstr(render(&f, WV_METRICS_TEXT), first));
	assert_in_range(wv_metrics_series(f.m), 1, 1500);
	fixture_end(&f);
}

static void metrics_facets_carry_their_label_and_sum_up(void **state)
{
	struct fixture f;
	struct wv_facet_row *facet;
	const char *text;

	(void)state;
	fixture_begin(&f, 16, MAX_SERIES);
	add_row(&f, 0, 0, "other");
	add_row(&f, 1, 5, "/io");
	facet = wv_sample_add_facet(&f.s, WV_FACET_BLKDEV, 1, "vda");
	facet->v[0] = 4096;
	facet = wv_sample_add_facet(&f.s, WV_FACET_BLKDEV, 0, "vda");
	facet->v[0] = 512;
	facet = wv_sample_add_facet(&f.s, WV_FACET_SOFTIRQ, 0, "net_rx");
	facet->v[0] = 2500000000;
	text = render(&f, WV_METRICS_TEXT);
	assert_value(text, "waveos_device_bytes_total{cgroup=\"/io\",op=\"read\",device=\"vda\"}",
		     "4096");
	assert_value(text,
		     "waveos_device_bytes_total{cgroup=\"__other__\",op=\"read\",device=\"vda\"}",
		     "512");
	assert_value(text, "waveos_softirq_seconds_total{vector=\"net_rx\"}", "2.5");
	assert_int_equal(check_strictly(text, WV_METRICS_TEXT), wv_metrics_series(f.m));
	fixture_end(&f);
}

static void metrics_text_over_its_maximum_is_refused(void **state)
{
	struct wv_metrics_process p = {0};
	struct fixture f;

	(void)state;
	fixture_begin(&f, 1024, MAX_SERIES);
	fill_busy(&f, 1000);
	f.out.max = 100000;
	assert_int_equal(wv_metrics_render(f.m, &f.head, &f.s, &p, WV_METRICS_TEXT, &f.out),
			 -EFBIG);
	assert_in_range(f.out.cap, 1, 100000);
	fixture_end(&f);
}

static void metrics_doc_is_what_the_registries_say(void **state)
{
	static const char path[] = "docs/metrics.md";
	size_t len = 0, n;
	char *want = NULL, *got;
	FILE *f = open_memstream(&want, &len);

	(void)state;
	assert_non_null(f);
	wv_metrics_print_doc(f);
	fclose(f);
	if (getenv("WV_UPDATE_DOCS")) {
		f = fopen(path, "we");
		assert_non_null(f);
		assert_int_equal(fwrite(want, 1, len, f), len);
		fclose(f);
	}
	f = fopen(path, "re");
	assert_non_null(f); /* tests run in the root of the repository */
	got = calloc(1, len + 2);
	assert_non_null(got);
	n = fread(got, 1, len + 1, f);
	fclose(f);
	if (n != len || memcmp(got, want, len) != 0)
		fail_msg("%s is not what the registries say: run WV_UPDATE_DOCS=1 on this test",
			 path);
	free(got);
	free(want);
}

static void accept_header_chooses_by_weight(void **state)
{
	(void)state;
	assert_int_equal(wv_web_negotiate(NULL), WV_METRICS_TEXT);
	assert_int_equal(wv_web_negotiate("*/*"), WV_METRICS_TEXT);
	assert_int_equal(wv_web_negotiate("application/openmetrics-text;version=1.0.0,"
					  "application/openmetrics-text;version=0.0.1;q=0.75,"
					  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
			 WV_METRICS_OPENMETRICS);
	assert_int_equal(wv_web_negotiate("text/plain, application/openmetrics-text; q=0.5"),
			 WV_METRICS_TEXT);
	assert_int_equal(wv_web_negotiate("application/openmetrics-text; q=0"), WV_METRICS_TEXT);
	assert_int_equal(wv_web_negotiate("application/openmetrics-text; q=0.5, */*; q=0.8"),
			 WV_METRICS_TEXT);
	/* what Prometheus sends with and without native histograms */
	assert_int_equal(
		wv_web_negotiate("application/vnd.google.protobuf;"
				 "proto=io.prometheus.client.MetricFamily;encoding=delimited,"
				 "application/openmetrics-text;version=1.0.0;q=0.8,"
				 "application/openmetrics-text;version=0.0.1;q=0.75,"
				 "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
		WV_METRICS_PROTOBUF);
	assert_int_equal(
		wv_web_negotiate("application/vnd.google.protobuf; q=0.3; encoding=delimited;"
				 " proto=io.prometheus.client.MetricFamily, text/plain"),
		WV_METRICS_TEXT);
	/* other encodings of it are not served */
	assert_int_equal(wv_web_negotiate("application/vnd.google.protobuf;"
					  "proto=io.prometheus.client.MetricFamily;encoding=text"),
			 WV_METRICS_TEXT);
	assert_int_equal(wv_web_negotiate("application/vnd.google.protobuf"), WV_METRICS_TEXT);
	assert_true(wv_web_accepts_gzip("deflate, gzip"));
	assert_false(wv_web_accepts_gzip("gzip;q=0"));
	assert_false(wv_web_accepts_gzip("identity"));
	assert_false(wv_web_accepts_gzip(NULL));
	assert_false(wv_web_accepts_gzip(",,;;,"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metrics_of_a_row_are_exact_and_escaped),
		cmocka_unit_test(metrics_in_openmetrics_name_families_without_total),
		cmocka_unit_test(metrics_histogram_buckets_are_cumulative_and_merged),
		cmocka_unit_test(metrics_gauge_seen_once_stays_at_zero),
		cmocka_unit_test(metrics_of_a_removed_child_do_not_jump_into_the_parent),
		cmocka_unit_test(metrics_of_two_hierarchies_are_told_apart),
		cmocka_unit_test(metrics_of_a_thousand_busy_cgroups_stay_below_the_ceiling),
		cmocka_unit_test(metrics_of_the_rest_never_go_back),
		cmocka_unit_test(metrics_rank_keeps_a_row_until_another_has_twice_as_much),
		cmocka_unit_test(metrics_facets_carry_their_label_and_sum_up),
		cmocka_unit_test(metrics_text_over_its_maximum_is_refused),
		cmocka_unit_test(metrics_doc_is_what_the_registries_say),
		cmocka_unit_test(accept_header_chooses_by_weight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
