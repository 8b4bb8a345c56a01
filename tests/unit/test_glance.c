// SPDX-License-Identifier: GPL-2.0-only
/* Two looks at a made-up /proc and cgroup tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/collect/glance.h"
#include "user/core/cleanup.h"

#define MS 1000000ULL

static char root[64];
static uint64_t clock_ns;

static uint64_t fake_mono_ns(void *ctx _unused_)
{
	return clock_ns;
}

static void write_file(const char *name, const char *text)
{
	char path[256], *slash;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		(void)mkdir(path, 0755);
		*slash = '/';
	}
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* One single-threaded process; ms and faults so far. */
static void process(unsigned pid, unsigned start, const char *cgroup, unsigned long ran_ms,
		    unsigned long waited_ms, unsigned long faults)
{
	char name[64], text[256];

	snprintf(name, sizeof(name), "proc/%u/stat", pid);
	snprintf(text, sizeof(text),
		 "%u (a (b) c) S 1 1 1 0 -1 4194560 %lu 7 3 0 0 0 0 0 20 0 1 0 %u 0 0\n", pid,
		 faults, start);
	write_file(name, text);
	snprintf(name, sizeof(name), "proc/%u/schedstat", pid);
	snprintf(text, sizeof(text), "%llu %llu 99\n", ran_ms * MS, waited_ms * MS);
	write_file(name, text);
	snprintf(name, sizeof(name), "proc/%u/cgroup", pid);
	snprintf(text, sizeof(text), "0::%s\n", cgroup);
	write_file(name, text);
	snprintf(name, sizeof(name), "proc/%u/statm", pid);
	write_file(name, "100 10 5 1 0 20 0\n");
	snprintf(name, sizeof(name), "proc/%u/io", pid);
	snprintf(text, sizeof(text), "rchar: 1\nwchar: 2\nread_bytes: %lu\nwrite_bytes: 8192\n",
		 4096 * faults);
	write_file(name, text);
}

static int set_up(void **state _unused_)
{
	snprintf(root, sizeof(root), "/tmp/wv-glance-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state _unused_)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static const struct wv_row *row_of(const struct wv_sample *s, const char *path)
{
	for (uint32_t i = 0; i < s->used_rows; i++)
		if ((s->rows[i].flags & WV_ROW_LIVE) && strcmp(s->rows[i].path, path) == 0)
			return &s->rows[i];
	return NULL;
}

static void begin(struct wv_glance *g, struct wv_io *io, struct wv_host *host, char proc[96])
{
	*io = wv_io_system;
	io->mono_ns = fake_mono_ns;
	*host = (struct wv_host){.v1_ssid = -1};
	snprintf(host->cgroup2, sizeof(host->cgroup2), "%s/cgroup", root);
	snprintf(proc, 96, "%s/proc", root);
	clock_ns = 5000 * MS;
	assert_int_equal(wv_glance_begin(g, io, host, proc), 0);
	clock_ns = 6000 * MS;
}

static void glance_counts_what_tasks_did_between_the_looks(void **state _unused_)
{
	const struct wv_row *a, *b, *before;
	struct wv_host host;
	struct wv_glance g;
	struct wv_io io;
	char proc[96];

	process(10, 500, "/pod/a", 70000, 900, 1000);
	process(11, 500, "/pod/a", 10, 1, 5);
	process(12, 500, "/b", 33, 2, 0);
	write_file("cgroup/pod/memory.max", "1048576\n");
	write_file("cgroup/pod/memory.current", "1040000\n");
	write_file("cgroup/pod/a/memory.pressure",
		   "some avg10=0.00 avg60=0.00 avg300=0.00 total=5000\n"
		   "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
	write_file("cgroup/pod/a/memory.max", "max\n");
	begin(&g, &io, &host, proc);
	process(10, 500, "/pod/a", 70400, 1500, 1300);
	/* it ended, and another has its number */
	process(11, 777, "/b", 20, 3, 6);
	process(13, 800, "/b", 100, 0, 0);
	write_file("cgroup/pod/a/memory.pressure",
		   "some avg10=0.00 avg60=0.00 avg300=0.00 total=9000\n"
		   "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
	assert_int_equal(wv_glance_end(&g), 0);

	a = row_of(&g.now, "/pod/a");
	b = row_of(&g.now, "/b");
	before = row_of(&g.before, "/pod/a");
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(before);
	assert_int_equal(a - g.now.rows, before - g.before.rows);
	assert_int_equal(a->f.v[WV_SIG_CPU_USAGE], 400 * MS);
	assert_int_equal(a->f.v[WV_SIG_CPU_RUN_DELAY], 600 * MS);
	assert_int_equal(a->f.v[WV_SIG_MEM_MINOR_FAULTS], 300);
	assert_int_equal(a->f.v[WV_SIG_IO_READ_BYTES], 300 * 4096);
	assert_int_equal(a->f.v[WV_SIG_MEM_RSS], 10 * (uint64_t)getpagesize());
	assert_int_equal(b->f.v[WV_SIG_CPU_USAGE], (20 + 100) * MS);
	assert_int_equal(b->f.v[WV_SIG_TASK_THREADS], 3);
	/* files are as they are, in both looks */
	assert_int_equal(before->f.v[WV_SIG_PSI_MEM_SOME], 5000);
	assert_int_equal(a->f.v[WV_SIG_PSI_MEM_SOME], 9000);
	assert_int_equal(a->f.v[WV_SIG_MEM_LIMIT], 0);
	/* the row above has no task and is there all the same */
	assert_string_equal(g.now.rows[a->parent_slot].path, "/pod");
	assert_int_equal(g.now.rows[a->parent_slot].key, a->parent_key);
	assert_int_equal(g.now.rows[a->parent_slot].f.v[WV_SIG_MEM_LIMIT], 1048576);
	assert_int_equal(g.now.mono_ns - g.before.mono_ns, 1000 * MS);
	wv_glance_done(&g);
}

static void glance_reads_threads_once_and_faults_of_the_process(void **state _unused_)
{
	const struct wv_row *r;
	struct wv_host host;
	struct wv_glance g;
	struct wv_io io;
	char proc[96];

	process(1, 1, "/", 1, 0, 0);
	begin(&g, &io, &host, proc);
	process(20, 500, "/t", 10, 0, 50);
	write_file("proc/20/stat",
		   "20 (x) S 1 1 1 0 -1 4194560 50 7 3 0 0 0 0 0 20 0 2 0 500 0 0\n");
	write_file("proc/20/task/20/stat",
		   "20 (x) S 1 1 1 0 -1 4194560 50 7 3 0 0 0 0 0 20 0 2 0 500 0 0\n");
	write_file("proc/20/task/20/schedstat", "10000000 0 1\n");
	write_file("proc/20/task/21/stat",
		   "21 (y) R 1 1 1 0 -1 4194560 20 7 3 0 0 0 0 0 20 0 2 0 501 0 0\n");
	write_file("proc/20/task/21/schedstat", "30000000 5000000 1\n");
	/* a zombie ran, and is no task any more */
	write_file("proc/22/stat",
		   "22 (z) Z 1 1 1 0 -1 4194560 9 7 3 0 0 0 0 0 20 0 1 0 502 0 0\n");
	write_file("proc/22/schedstat", "90000000 90000000 1\n");
	write_file("proc/22/cgroup", "0::/t\n");
	assert_int_equal(wv_glance_end(&g), 0);
	r = row_of(&g.now, "/t");
	assert_non_null(r);
	assert_int_equal(r->f.v[WV_SIG_CPU_USAGE], 40 * MS);
	assert_int_equal(r->f.v[WV_SIG_CPU_RUN_DELAY], 5 * MS);
	assert_int_equal(r->f.v[WV_SIG_MEM_MINOR_FAULTS], 50);
	assert_int_equal(r->f.v[WV_SIG_TASK_THREADS], 2);
	wv_glance_done(&g);
}

static void glance_without_proc_is_an_error(void **state _unused_)
{
	struct wv_host host = {.v1_ssid = -1};
	struct wv_glance g;

	assert_true(wv_glance_begin(&g, &wv_io_system, &host, "/nonexistent") < 0);
	wv_glance_done(&g);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(glance_counts_what_tasks_did_between_the_looks),
		T(glance_reads_threads_once_and_faults_of_the_process),
		T(glance_without_proc_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
