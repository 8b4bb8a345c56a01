// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/flow/snapshot.h"

static char dir[] = "/tmp/wv-snapshot-XXXXXX";
static int dirfd_;

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
	return dirfd_ < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlinkat(dirfd_, WV_SNAPSHOT_FILE, 0);
	close(dirfd_);
	return rmdir(dir);
}

static void fill(struct wv_sample *s, uint64_t value)
{
	s->seq = value;
	s->used_rows = 3;
	for (uint32_t i = 0; i < s->used_rows; i++) {
		s->rows[i].flags = WV_ROW_LIVE | WV_ROW_BASE;
		s->rows[i].key = i + 10;
		s->base[i].v[WV_SIG_CPU_USAGE] = value * 2;
		for (int v = 0; v < WV_SIG_N; v++)
			s->rows[i].f.v[v] = value;
	}
}

static void publish(struct wv_snapshot_map *m, const struct wv_sample *s)
{
	wv_snapshot_begin(m);
	assert_int_equal(wv_snapshot_rows(m, s), 0);
	wv_snapshot_end(m);
}

static void snapshot_same_boot_is_adopted_with_rows_and_bases(void **state)
{
	struct wv_snapshot_map m = {0};
	struct wv_sample s, back;
	bool adopted = true;

	(void)state;
	(void)unlinkat(dirfd_, WV_SNAPSHOT_FILE, 0);
	assert_int_equal(wv_snapshot_create(&m, dirfd_, 64, "boot-a", &adopted), 0);
	assert_false(adopted);
	assert_int_equal(wv_sample_init(&s, 64), 0);
	fill(&s, 5);
	publish(&m, &s);
	wv_snapshot_begin(&m); /* a core that dies while it writes */
	wv_snapshot_close(&m);

	assert_int_equal(wv_snapshot_create(&m, dirfd_, 64, "boot-a", &adopted), 0);
	assert_true(adopted);
	assert_int_equal(wv_sample_init(&back, 64), 0);
	wv_snapshot_restore(&m, &back);
	assert_int_equal(back.used_rows, 3);
	assert_int_equal(back.rows[2].key, 12);
	assert_int_equal(back.rows[2].f.v[WV_SIG_NET_RX_BYTES], 5);
	assert_int_equal(back.base[2].v[WV_SIG_CPU_USAGE], 10);
	publish(&m, &back); /* and readers are served again */
	assert_int_equal(m.head->seq % 2, 0);
	wv_snapshot_close(&m);

	assert_int_equal(wv_snapshot_create(&m, dirfd_, 64, "boot-b", &adopted), 0);
	assert_false(adopted);
	assert_int_equal(m.head->used_rows, 0);
	wv_snapshot_close(&m);
	assert_int_equal(wv_snapshot_create(&m, dirfd_, 128, "boot-b", &adopted), 0);
	assert_false(adopted);
	wv_snapshot_close(&m);
	wv_sample_done(&s);
	wv_sample_done(&back);
}

static void snapshot_reader_beside_a_writer_sees_whole_samples(void **state)
{
	struct wv_snapshot_map m = {0}, r = {0};
	struct wv_sample s, got;
	struct wv_snapshot head;
	bool adopted;
	pid_t writer;

	(void)state;
	assert_int_equal(wv_snapshot_create(&m, dirfd_, 64, "boot-c", &adopted), 0);
	assert_int_equal(wv_sample_init(&s, 64), 0);
	fill(&s, 1);
	publish(&m, &s);
	writer = fork();
	if (writer == 0)
		for (uint64_t value = 2;; value++) {
			fill(&s, value);
			publish(&m, &s);
			usleep(300); /* core pauses for a tick: a reader must not starve */
		}
	assert_int_equal(wv_snapshot_open(&r, dirfd_), 0);
	assert_int_equal(wv_sample_init(&got, 64), 0);
	/* the writer may get no CPU for a while: so many samples, however many reads it takes */
	for (unsigned samples = 0, spins = 0; samples < 200 && spins < 2000000; spins++) {
		uint64_t before = got.seq;

		assert_int_equal(wv_snapshot_read(&r, &got, &head), 0);
		samples += got.seq != before;
		if (got.seq == before)
			sched_yield();
		for (uint32_t row = 0; row < got.used_rows; row++)
			for (int v = 0; v < WV_SIG_N; v++)
				if (got.rows[row].f.v[v] != got.seq)
					fail_msg("tick %llu: row %u has %llu",
						 (unsigned long long)got.seq, row,
						 (unsigned long long)got.rows[row].f.v[v]);
	}
	assert_true(got.seq >= 200);
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	wv_snapshot_close(&r);
	wv_snapshot_close(&m);
	wv_sample_done(&s);
	wv_sample_done(&got);
}

/* A row that is gone must not live on in the file, nor one beyond the last. */
static void snapshot_removed_rows_are_not_read(void **state)
{
	struct wv_snapshot_map m = {0}, r = {0};
	struct wv_sample s, got;
	struct wv_snapshot head;
	bool adopted;

	(void)state;
	(void)unlinkat(dirfd_, WV_SNAPSHOT_FILE, 0);
	assert_int_equal(wv_snapshot_create(&m, dirfd_, 64, "boot-d", &adopted), 0);
	assert_int_equal(wv_sample_init(&s, 64), 0);
	assert_int_equal(wv_sample_init(&got, 64), 0);
	fill(&s, 1);
	publish(&m, &s);
	assert_int_equal(wv_snapshot_open(&r, dirfd_), 0);
	assert_int_equal(wv_snapshot_read(&r, &got, &head), 0);
	assert_non_null(wv_sample_row(&got, 1));
	s.rows[1].flags = 0;
	s.used_rows = 2;
	publish(&m, &s);
	assert_int_equal(wv_snapshot_read(&r, &got, &head), 0);
	assert_int_equal(got.used_rows, 2);
	assert_non_null(wv_sample_row(&got, 0));
	assert_null(wv_sample_row(&got, 1));
	s.used_rows = 3; /* the third slot is counted in again, but not given */
	s.rows[2].flags = 0;
	publish(&m, &s);
	assert_int_equal(wv_snapshot_read(&r, &got, &head), 0);
	assert_null(wv_sample_row(&got, 2));
	wv_snapshot_close(&r);
	wv_snapshot_close(&m);
	wv_sample_done(&s);
	wv_sample_done(&got);
}

/* Rows that the file has no room for are told, and the lock is let go. */
static void snapshot_full_disk_is_told(void **state)
{
	struct wv_snapshot_map m = {0};
	struct wv_sample s;
	bool adopted;

	(void)state;
	assert_int_equal(wv_snapshot_create(&m, dirfd_, 64, "boot-e", &adopted), 0);
	assert_int_equal(wv_sample_init(&s, 64), 0);
	fill(&s, 1);
	close(m.fd);
	m.fd = open("/dev/full", O_RDWR | O_CLOEXEC);
	assert_true(m.fd >= 0);
	wv_snapshot_begin(&m);
	assert_int_equal(wv_snapshot_rows(&m, &s), -ENOSPC);
	wv_snapshot_end(&m);
	assert_int_equal(m.head->seq % 2, 0);
	wv_snapshot_close(&m);
	wv_sample_done(&s);
}

static void snapshot_missing_or_foreign_file_is_refused(void **state)
{
	struct wv_snapshot_map m = {0};
	int fd;

	(void)state;
	(void)unlinkat(dirfd_, WV_SNAPSHOT_FILE, 0);
	assert_int_equal(wv_snapshot_open(&m, dirfd_), -ENOENT);
	fd = openat(dirfd_, WV_SNAPSHOT_FILE, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "not a snapshot", 14), 14);
	assert_int_equal(wv_snapshot_open(&m, dirfd_), -EPROTO);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	assert_int_equal(wv_snapshot_open(&m, dirfd_), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snapshot_same_boot_is_adopted_with_rows_and_bases),
		cmocka_unit_test(snapshot_reader_beside_a_writer_sees_whole_samples),
		cmocka_unit_test(snapshot_removed_rows_are_not_read),
		cmocka_unit_test(snapshot_full_disk_is_told),
		cmocka_unit_test(snapshot_missing_or_foreign_file_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
