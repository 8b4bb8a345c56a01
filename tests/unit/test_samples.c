// SPDX-License-Identifier: GPL-2.0-only
/* samples.wvs: what is written is read back bit for bit; a torn end loses whole frames only. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/evidence/samples.h"
#include "user/evidence/samples_format.h"

#define ROWS 24
#define TICKS 60

static char folder[] = "/tmp/waveos-samples.XXXXXX";
static int dir;

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	dir = open(folder, O_RDONLY | O_DIRECTORY);
	return dir < 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	close(dir);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static void empty_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -f %s/* %s/.samples*", folder, folder);
	assert_int_equal(system(command), 0);
}

static uint64_t seed = 1;
static uint64_t draw(uint64_t n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (seed >> 33) % n;
}

/* One tick: rows come, go and change, with figures of dead children in some. */
static void evolve(struct wv_sample *s)
{
	s->seq++;
	s->mono_ns += 1000000000 + draw(1000);
	s->wall_ns += 999999999 + draw(5000); /* may be set back, too */
	if (!draw(10))
		s->wall_ns -= 7000000000ULL;
	for (uint32_t slot = 1; slot < ROWS; slot++) {
		struct wv_row *row = &s->rows[slot];

		if (!(row->flags & WV_ROW_LIVE) && !draw(4)) {
			*row = (struct wv_row){.key = 1000 + draw(1000000),
					       .flags = WV_ROW_LIVE,
					       .parent_slot = (uint32_t)draw(slot),
					       .level = 2,
					       .created_mono_ns = s->mono_ns};
			snprintf(row->path, sizeof(row->path), "/test/%u", slot);
			memset(&s->base[slot], 0, sizeof(s->base[slot]));
		} else if ((row->flags & WV_ROW_LIVE) && !draw(20)) {
			row->flags = 0;
		}
		if (!(row->flags & WV_ROW_LIVE))
			continue;
		for (int i = 0; i < WV_SIG_N; i++)
			if (!draw(3))
				row->f.v[i] += draw(2) ? draw(1000) : draw(UINT64_MAX);
		row->f.hist[draw(WV_HIST_N)].bucket[draw(WV_HIST_BUCKETS)] += draw(100);
		row->f.hist[draw(WV_HIST_N)].sum_ns += draw(100000);
		if (!draw(8)) {
			row->flags |= WV_ROW_BASE;
			s->base[slot].v[draw(WV_SIG_N)] += draw(50);
		}
	}
	s->used_rows = ROWS;
}

/* What rules see is what was read back. */
static void same(const struct wv_sample *a, const struct wv_sample *b)
{
	uint64_t x[WV_SAMPLES_FIELDS], y[WV_SAMPLES_FIELDS];

	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->mono_ns, b->mono_ns);
	assert_int_equal(a->wall_ns, b->wall_ns);
	for (uint32_t slot = 1; slot < ROWS; slot++) {
		bool live = a->rows[slot].flags & WV_ROW_LIVE;

		assert_int_equal(live, slot < b->used_rows && (b->rows[slot].flags & WV_ROW_LIVE));
		if (!live)
			continue;
		assert_int_equal(a->rows[slot].key, b->rows[slot].key);
		assert_int_equal(a->rows[slot].parent_slot, b->rows[slot].parent_slot);
		assert_int_equal(a->rows[slot].created_mono_ns, b->rows[slot].created_mono_ns);
		assert_string_equal(a->rows[slot].path, b->rows[slot].path);
		wv_samples_fields(a, slot, x);
		wv_samples_fields(b, slot, y);
		assert_memory_equal(x, y, sizeof(x));
	}
}

static void samples_read_back_are_those_written(void **state)
{
	struct wv_samples_writer *w;
	struct wv_samples_reader *r;
	const struct wv_sample *got;
	struct wv_sample s, again;
	const char *text;

	(void)state;
	empty_folder();
	assert_int_equal(wv_sample_init(&s, ROWS), 0);
	assert_int_equal(wv_sample_init(&again, ROWS), 0);
	seed = 42;
	assert_int_equal(wv_samples_open(&w, &wv_io_system, dir, ROWS, 10), 0);
	assert_int_equal(wv_samples_mark(w, WV_SAMPLES_POLICY, "abc"), 0);
	for (int i = 0; i < TICKS; i++) {
		evolve(&s);
		assert_int_equal(wv_samples_tick(w, &s), 0);
		if (i % 25 == 24)
			assert_int_equal(wv_samples_rotate(w, false), 0);
	}
	/* the core dies here: nothing is completed */
	wv_samples_close(w);

	assert_int_equal(wv_samples_read_open(&r, dir, 1024), 0);
	assert_int_equal(wv_samples_read(r, &got, &text), WV_SAMPLES_POLICY);
	assert_string_equal(text, "abc");
	seed = 42;
	for (int i = 0; i < TICKS; i++) {
		evolve(&again);
		assert_int_equal(wv_samples_read(r, &got, &text), 'T');
		same(&again, got);
	}
	assert_int_equal(wv_samples_read(r, &got, &text), 0);
	wv_samples_read_close(r);
	wv_sample_done(&s);
	wv_sample_done(&again);
}

static int count(void)
{
	struct wv_samples_reader *r;
	const struct wv_sample *got;
	const char *text;
	int n = 0, e;

	e = wv_samples_read_open(&r, dir, 1024);
	if (e == -ENOENT)
		return 0;
	assert_int_equal(e, 0);
	while ((e = wv_samples_read(r, &got, &text)) == 'T')
		assert_int_equal(got->seq, ++n);
	wv_samples_read_close(r);
	return e < 0 ? e : n;
}

static void samples_torn_file_gives_whole_frames(void **state)
{
	struct wv_samples_writer *w;
	struct wv_sample s;
	char path[64];
	int last = -1, n;
	off_t len;

	(void)state;
	empty_folder();
	assert_int_equal(wv_sample_init(&s, ROWS), 0);
	assert_int_equal(wv_samples_open(&w, &wv_io_system, dir, ROWS, 10), 0);
	for (int i = 0; i < 12; i++) {
		evolve(&s);
		assert_int_equal(wv_samples_tick(w, &s), 0);
	}
	wv_samples_close(w);
	assert_int_equal(count(), 12);
	snprintf(path, sizeof(path), "%s/" WV_SAMPLES_TEMPORARY, folder);
	len = (off_t)lseek(open(path, O_RDONLY), 0, SEEK_END);
	for (; len > 1400; len -= 7) {
		assert_int_equal(truncate(path, len), 0);
		n = count();
		if (n == -EBADMSG)
			break; /* the header itself is cut */
		assert_true(n <= 12 && (last < 0 || n <= last) && n >= 0);
		last = n;
	}
	assert_true(last >= 0 && last < 12);
	wv_sample_done(&s);
}

static void samples_old_segments_give_way(void **state)
{
	struct wv_samples_writer *w;
	struct wv_sample s;

	(void)state;
	empty_folder();
	assert_int_equal(wv_sample_init(&s, ROWS), 0);
	assert_int_equal(wv_samples_open(&w, &wv_io_system, dir, ROWS, 2), 0);
	for (int i = 0; i < 6; i++) {
		evolve(&s);
		assert_int_equal(wv_samples_tick(w, &s), 0);
		assert_int_equal(wv_samples_rotate(w, i == 5), 0);
	}
	wv_samples_close(w);
	assert_int_equal(faccessat(dir, "samples.wvs", F_OK, 0), 0);
	assert_int_equal(faccessat(dir, "samples.2.wvs", F_OK, 0), 0);
	assert_int_not_equal(faccessat(dir, "samples.3.wvs", F_OK, 0), 0);
	assert_int_not_equal(faccessat(dir, WV_SAMPLES_TEMPORARY, F_OK, 0), 0);
	wv_sample_done(&s);
}

static void samples_header_of_another_version_is_mapped_by_name(void **state)
{
	struct wv_samples_map m;
	static const char text[] = WV_SAMPLES_MAGIC
		"buckets 24\nsignals no_such_signal mem_usage_bytes\nhistograms io_latency\n\nrest";

	(void)state;
	assert_int_equal(wv_samples_header_parse(text, sizeof(text) - 1, &m), sizeof(text) - 1 - 4);
	assert_int_equal(m.n, 2 + WV_HIST_BUCKETS + 1);
	assert_int_equal(m.field[0], UINT32_MAX);
	assert_int_equal(m.field[1], WV_SIG_MEM_USAGE);
	assert_int_equal(m.field[2], WV_SIG_N + WV_HIST_IO_LATENCY * (WV_HIST_BUCKETS + 1));
	free(m.field);
	assert_int_equal(wv_samples_header_parse("other\n\n", 7, &m), -EBADMSG);
}

static void varint_round_trips_at_every_length(void **state)
{
	unsigned char buf[10];
	uint64_t v;

	(void)state;
	for (int shift = 0; shift < 64; shift++)
		for (int delta = -1; delta <= 1; delta++) {
			uint64_t value = (1ULL << shift) + (uint64_t)delta;
			size_t n = wv_varint_put(buf, value);

			assert_int_equal(wv_varint_get(buf, n, &v), n);
			assert_true(v == value);
			assert_int_equal(wv_varint_get(buf, n - 1, &v), 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_read_back_are_those_written),
		cmocka_unit_test(samples_torn_file_gives_whole_frames),
		cmocka_unit_test(samples_old_segments_give_way),
		cmocka_unit_test(samples_header_of_another_version_is_mapped_by_name),
		cmocka_unit_test(varint_round_trips_at_every_length),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
