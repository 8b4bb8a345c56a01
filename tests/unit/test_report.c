// SPDX-License-Identifier: GPL-2.0-only
/* Reports from a run's folder that the test writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/cmd/report_doc.h"
#include "user/core/cleanup.h"

static const char header[] =
	"schema_version,seq,mono_ns,wall_ns,cgroup,key,cpu_usage_ns,mem_rss_bytes,"
	"mem_oom_kills,net_rx_bytes,net_tx_bytes,runq_latency_count,runq_latency_p99_ns\n";

struct fixture {
	char dir[64];
	struct wv_report r;
	struct wv_doc d;
};

static void write_file(const struct fixture *f, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int fixture_begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	snprintf(f->dir, sizeof(f->dir), "/tmp/wv-report-XXXXXX");
	f->d.text.max = 16U << 20;
	*state = f;
	return mkdtemp(f->dir) ? 0 : -1;
}

static int fixture_end(void **state)
{
	static const char *const names[] = {"metrics.csv", "metrics.1.csv", ".metrics.csv.tmp",
					    "events.jsonl", "run_meta.json"};
	struct fixture *f = *state;
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
		unlink(path);
	}
	rmdir(f->dir);
	wv_report_done(&f->r);
	wv_text_done(&f->d.text);
	free(f);
	return 0;
}

static void row(char *csv, unsigned second, const char *cgroup, unsigned key, unsigned cpu_ms,
		unsigned rss)
{
	sprintf(csv + strlen(csv), "1,%u,%u000000000,%u000000000,%s,%u,%u000000,%u,0,0,0,10,%u\n",
		second, second, second, cgroup, key, cpu_ms, rss, 2048000);
}

static const struct wv_report_cgroup *find(const struct wv_report *r, const char *path)
{
	for (uint32_t i = 0; i < r->n_cgroups; i++)
		if (strcmp(r->cgroups[i].path, path) == 0)
			return &r->cgroups[i];
	fail_msg("no cgroup %s", path);
	return NULL;
}

static void csv_split_of_quotes_and_empty_fields_is_exact(void **state)
{
	char line[] = "1,\"a \"\"b\"\", c\",,\"\",5\n";
	char *f[8];

	(void)state;
	assert_int_equal(wv_report_split(line, f, 8), 5);
	assert_string_equal(f[0], "1");
	assert_string_equal(f[1], "a \"b\", c");
	assert_string_equal(f[2], "");
	assert_string_equal(f[3], "");
	assert_string_equal(f[4], "5");
}

static void report_joins_segments_oldest_first(void **state)
{
	struct fixture *f = *state;
	char csv[4096];

	strcpy(csv, header);
	row(csv, 1, "/a", 7, 100, 1);
	write_file(f, "metrics.1.csv", csv);
	strcpy(csv, header);
	row(csv, 2, "/a", 7, 600, 2);
	write_file(f, "metrics.csv", csv);
	strcpy(csv, header);
	row(csv, 3, "/a", 7, 1600, 1);
	strcat(csv, "1,4,4000000000,4,/a,7,99"); /* was being written */
	write_file(f, ".metrics.csv.tmp", csv);
	assert_int_equal(wv_report_load(&f->r, f->dir), 0);
	assert_int_equal(f->r.n_samples, 3);
	assert_int_equal(f->r.n_cgroups, 1);
	assert_int_equal(f->r.bad_lines, 1);
	assert_float_equal(wv_report_rate(&f->r, find(&f->r, "/a"), 1, WV_REPORT_CPU), 5e8, 1);
	assert_float_equal(wv_report_rate(&f->r, find(&f->r, "/a"), 2, WV_REPORT_CPU), 1e9, 1);
	assert_int_equal(wv_report_total(&f->r, find(&f->r, "/a"), WV_REPORT_CPU), 1600000000);
	assert_int_equal(wv_report_total(&f->r, find(&f->r, "/a"), WV_REPORT_RSS), 2);
}

static void report_takes_a_removed_child_off_its_parent(void **state)
{
	struct fixture *f = *state;
	char csv[4096];

	strcpy(csv, header);
	row(csv, 1, "/p", 1, 100, 0);
	row(csv, 1, "/p/c/d", 3, 5000, 0);
	row(csv, 2, "/p", 1, 200, 0);
	row(csv, 2, "/p/c/d", 3, 9000, 0);
	/* the child is gone: the parent has its own 300 ms and the child's 9 s */
	row(csv, 3, "/p", 1, 9300, 0);
	row(csv, 4, "/p", 1, 9500, 0);
	write_file(f, "metrics.csv", csv);
	assert_int_equal(wv_report_load(&f->r, f->dir), 0);
	assert_float_equal(wv_report_rate(&f->r, find(&f->r, "/p"), 2, WV_REPORT_CPU), 1e8, 1);
	assert_float_equal(wv_report_rate(&f->r, find(&f->r, "/p"), 3, WV_REPORT_CPU), 2e8, 1);
	assert_int_equal(wv_report_total(&f->r, find(&f->r, "/p"), WV_REPORT_CPU), 500000000);
	assert_int_equal(wv_report_total(&f->r, find(&f->r, "/p/c/d"), WV_REPORT_CPU), 9000000000);
}

static void report_of_an_adopted_run_counts_from_its_start(void **state)
{
	struct fixture *f = *state;
	char csv[4096];

	strcpy(csv, header);
	row(csv, 1, "/a", 7, 5000, 1);
	row(csv, 2, "/a", 7, 5600, 1);
	write_file(f, "metrics.csv", csv);
	write_file(f, "events.jsonl",
		   "{\"type\":\"core-start\",\"adopted\":true,\"core_restarts\":0}\n");
	assert_int_equal(wv_report_load(&f->r, f->dir), 0);
	assert_int_equal(wv_report_total(&f->r, find(&f->r, "/a"), WV_REPORT_CPU), 600000000);
}

static void fill_hostile_run(struct fixture *f)
{
	char csv[8192];

	strcpy(csv, header);
	for (unsigned s = 1; s < 6; s++) {
		row(csv, s, "\"/<script>alert(1)</script>|`x\"\"&\"", 7, 300 * s, 4096 * s);
		row(csv, s, "/b", 8, 100 * s, 512);
	}
	write_file(f, "metrics.csv", csv);
	write_file(f, "run_meta.json",
		   "{\"schema_version\":1,\"run_id\":\"r<1>\",\"started_mono_ns\":1000000000,"
		   "\"ended_mono_ns\":6000000000,\"host\":{\"name\":\"h&h\"}}");
	write_file(
		f, "events.jsonl",
		"{\"type\":\"oom-kill\",\"mono_ns\":2500000000,\"cgroup\":\"/"
		"b\",\"comm\":\"<b>\",\"pid\":5}\n"
		"{\"type\":\"oom-kill\",\"mono_ns\":2600000000,\"cgroup\":\"/"
		"b\",\"comm\":\"<b>\",\"pid\":6}\n"
		"this is no record\n"
		"{\"type\":\"decision\",\"mono_ns\":3000000000,\"budget\":\"batch\",\"cgroup\":\"/"
		"b\","
		"\"verdict\":\"apply\",\"dry_run\":false,\"signal\":\"cpu_usage_ns\",\"rate\":true,"
		"\"value\":1.5e9,\"threshold\":1e9,\"comparison\":\">\",\"for_ns\":5000000000,"
		"\"rule_file\":\"/etc/w.yaml\",\"rule_line\":4}\n"
		"{\"type\":\"outcome\",\"mono_ns\":3000000001,\"cgroup\":\"/"
		"b\",\"actions\":[{\"item\":"
		"\"cpu.max\",\"outcome\":\"changed\",\"before\":\"max 100000\",\"after\":\"50000 "
		"100000\"}]}\n");
}

static void report_html_escapes_what_comes_from_outside(void **state)
{
	struct fixture *f = *state;

	fill_hostile_run(f);
	assert_int_equal(wv_report_load(&f->r, f->dir), 0);
	f->d.html = true;
	wv_report_html(&f->d, &f->r);
	assert_int_equal(wv_text_end(&f->d.text), 0);
	assert_null(strstr(f->d.text.data, "<script"));
	assert_null(strstr(f->d.text.data, "<b>:"));
	assert_null(strstr(f->d.text.data, "r<1>"));
	assert_non_null(
		strstr(f->d.text.data, "/&lt;script&gt;alert(1)&lt;/script&gt;|`x&quot;&amp;"));
	assert_non_null(strstr(f->d.text.data, "<path class=\"a s0\" d=\"M"));
	assert_non_null(strstr(f->d.text.data, "h&amp;h"));
}

static void report_markdown_tells_decisions_with_their_reason(void **state)
{
	struct fixture *f = *state;

	fill_hostile_run(f);
	assert_int_equal(wv_report_load(&f->r, f->dir), 0);
	wv_report_markdown(&f->d, &f->r);
	assert_int_equal(wv_text_end(&f->d.text), 0);
	assert_non_null(
		strstr(f->d.text.data,
		       "| 2.0 s | batch | /b | apply | cpu\\_usage\\_ns a second was 1.5e+09, > "
		       "1e+09 for 5.0 s (/etc/w.yaml:4) |"));
	assert_non_null(
		strstr(f->d.text.data, "| cpu.max | changed | max 100000 -> 50000 100000 |"));
	/* two of one kind are one row */
	assert_non_null(strstr(f->d.text.data, "| 1.5 s | 2 | oom-kill | /b | &lt;b> 5 |"));
	assert_non_null(strstr(f->d.text.data, "Not readable: 1 lines"));
	assert_null(strstr(f->d.text.data, "<script"));
}

static void report_of_an_empty_folder_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(wv_report_load(&f->r, f->dir), -ENOENT);
	wv_report_done(&f->r);
	assert_int_equal(wv_report_load(&f->r, "/nonexistent"), -ENOENT);
}

static void report_of_damaged_files_says_so_and_goes_on(void **state)
{
	struct fixture *f = *state;
	char csv[4096];

	strcpy(csv, header);
	row(csv, 2, "/a", 7, 100, 1);
	row(csv, 1, "/a", 7, 200, 1); /* back in time */
	strcat(csv, "\xff\xfe,,,\n,\n\n");
	row(csv, 3, "/a", 7, 300, 1);
	write_file(f, "metrics.csv", csv);
	write_file(f, "run_meta.json", "{");
	assert_int_equal(wv_report_load(&f->r, f->dir), 0);
	assert_int_equal(f->r.n_samples, 2);
	assert_int_equal(f->r.bad_lines, 4);
	f->d.html = true;
	wv_report_html(&f->d, &f->r);
	assert_int_equal(wv_text_end(&f->d.text), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(csv_split_of_quotes_and_empty_fields_is_exact),
		TEST(report_joins_segments_oldest_first),
		TEST(report_takes_a_removed_child_off_its_parent),
		TEST(report_of_an_adopted_run_counts_from_its_start),
		TEST(report_html_escapes_what_comes_from_outside),
		TEST(report_markdown_tells_decisions_with_their_reason),
		TEST(report_of_an_empty_folder_is_refused),
		TEST(report_of_damaged_files_says_so_and_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
