// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/agent/core.h"
#include "user/core/config.h"
#include "user/core/paths.h"
#include "user/spool/config.h"
#include "user/spool/crc32c.h"
#include "user/spool/cursor.h"
#include "user/spool/spool.h"
#include "user/spool/store.h"

#define FRAMES 6
#define PER_FRAME 3 /* records */
#define TEXT "one\ntwo two\nthree\n"

static char folder[64];
static int dir;

/* The n-th write or fsync fails from then on `times` times. */
static struct {
	int writes, fsyncs, fail_write, fail_fsync, times, error;
	struct wv_io io;
} fault;

static ssize_t f_write(void *ctx, int fd, const void *buf, size_t len)
{
	if (fault.fail_write && ++fault.writes >= fault.fail_write && fault.times-- > 0) {
		/* half of it arrives, as on a full disk */
		(void)!write(fd, buf, len / 2);
		return fault.error;
	}
	return wv_io_system.write(ctx, fd, buf, len);
}

static int f_fsync(void *ctx, int fd)
{
	if (fault.fail_fsync && ++fault.fsyncs >= fault.fail_fsync && fault.times-- > 0)
		return fault.error;
	return wv_io_system.fsync(ctx, fd);
}

static int on_entry(void *userdata, const char *name)
{
	(void)userdata;
	(void)unlinkat(dir, name, 0);
	return 0;
}

static void clean(void)
{
	assert_int_equal(wv_io_system.list(NULL, dir, on_entry, NULL), 0);
}

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "%s/wv-spool-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(folder))
		return -1;
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	memset(&fault, 0, sizeof(fault));
	fault.io = wv_io_system;
	fault.io.write = f_write;
	fault.io.fsync = f_fsync;
	return dir < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	clean();
	close(dir);
	return rmdir(folder);
}

static int append_text(struct wv_spool_store *s, const char *text)
{
	uint8_t buf[WV_FRAME_HEADER + 4096];
	struct wv_frame f = {.type = WV_FRAME_LINES, .name_len = 2, .wall_ns = 5};
	size_t len = strlen(text);

	memcpy(buf + WV_FRAME_HEADER, "in", 2);
	memcpy(buf + WV_FRAME_HEADER + 2, text, len);
	f.len = (uint32_t)len + 2;
	f.count = wv_count_lines(text, len);
	return wv_spool_store_append(s, &f, buf);
}

static void fill(uint64_t segment_bytes, int frames)
{
	struct wv_spool_store s;

	clean();
	assert_int_equal(wv_spool_store_open(&s, &wv_io_system, dir, segment_bytes), 0);
	for (int i = 0; i < frames; i++)
		assert_int_equal(append_text(&s, TEXT), 0);
	assert_int_equal(wv_spool_store_sync(&s), 0);
	wv_spool_store_close(&s);
}

struct seen {
	uint64_t records, damaged, removed, first, frames, noise;
};

/* Reads all that is durable, in order, and checks each record. */
static struct seen read_all(const struct wv_spool_store *s, struct wv_pos from)
{
	struct wv_reader r;
	struct wv_frame f;
	struct wv_pos at;
	struct seen seen = {0};
	uint64_t last = 0;
	int e;

	assert_int_equal(wv_reader_init(&r, &wv_io_system, dir, from), 0);
	while ((e = wv_reader_next(&r, &s->durable, wv_spool_store_oldest(s), &f, &at)) == 1) {
		const char *text;
		size_t pos = 0, len, n = 0;

		assert_true(f.seq >= last);
		last = f.seq + f.count;
		seen.first = seen.first ? seen.first : f.seq;
		assert_true(f.name_len == 2 && memcmp(f.payload, "in", 2) == 0);
		while (wv_frame_next(&f, &pos, &text, &len))
			n++;
		assert_int_equal(n, f.count);
		seen.records += n;
		seen.frames++;
	}
	assert_int_equal(e, 0);
	seen.damaged = r.lost_damaged;
	seen.removed = r.lost_removed;
	seen.noise = r.damaged_bytes;
	wv_reader_done(&r);
	return seen;
}

static struct wv_pos start_of(uint64_t segment)
{
	return (struct wv_pos){segment, WV_SPOOL_SEGMENT_HEADER, 1};
}

static size_t slurp(uint64_t id, uint8_t *buf, size_t size)
{
	char name[WV_SPOOL_SEGMENT_NAME_SIZE];
	int fd;
	ssize_t n;

	wv_spool_segment_name(id, name);
	fd = openat(dir, name, O_RDONLY);
	assert_true(fd >= 0);
	n = read(fd, buf, size);
	close(fd);
	assert_true(n > 0 && (size_t)n < size);
	return (size_t)n;
}

static void put(uint64_t id, const uint8_t *buf, size_t len)
{
	char name[WV_SPOOL_SEGMENT_NAME_SIZE];
	int fd;

	wv_spool_segment_name(id, name);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0 && write(fd, buf, len) == (ssize_t)len);
	close(fd);
}

static void crc32c_is_that_of_the_rfc(void **state)
{
	uint8_t bytes[67];

	(void)state;
	assert_int_equal(wv_crc32c(0, "123456789", 9), 0xe3069283);
	memset(bytes, 0, 32);
	assert_int_equal(wv_crc32c(0, bytes, 32), 0x8a9136aa); /* RFC 3720 B.4 */
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37);
	for (size_t n = 0; n <= sizeof(bytes); n++)
		assert_int_equal(wv_crc32c(7, bytes, n), wv_crc32c_table(7, bytes, n));
}

static void store_cut_at_every_byte_keeps_what_was_whole(void **state)
{
	uint8_t file[4096];
	size_t len, frame;

	(void)state;
	fill(1 << 20, FRAMES);
	len = slurp(1, file, sizeof(file));
	frame = (len - WV_SPOOL_SEGMENT_HEADER) / FRAMES;
	for (size_t cut = 0; cut <= len; cut++) {
		size_t whole =
			cut < WV_SPOOL_SEGMENT_HEADER ? 0 : (cut - WV_SPOOL_SEGMENT_HEADER) / frame;
		struct wv_spool_store s;
		struct seen seen;

		clean();
		put(1, file, cut);
		assert_int_equal(wv_spool_store_open(&s, &wv_io_system, dir, 1 << 20), 0);
		assert_int_equal(s.durable.seq, 1 + whole * PER_FRAME);
		assert_int_equal(append_text(&s, TEXT), 0);
		assert_int_equal(wv_spool_store_sync(&s), 0);
		seen = read_all(&s, start_of(wv_spool_store_oldest(&s)));
		assert_int_equal(seen.records, (whole + 1) * PER_FRAME);
		assert_int_equal(seen.damaged, 0);
		wv_spool_store_close(&s);
	}
}

static void store_with_any_bit_flipped_loses_one_frame_and_counts_it(void **state)
{
	uint8_t file[4096];
	size_t len, frame;

	(void)state;
	fill(1 << 20, FRAMES);
	len = slurp(1, file, sizeof(file));
	frame = (len - WV_SPOOL_SEGMENT_HEADER) / FRAMES;
	for (size_t bit = 0; bit < 8 * len; bit++) {
		size_t at = bit / 8;
		bool header = at < WV_SPOOL_SEGMENT_HEADER;
		size_t n = header ? 0 : (at - WV_SPOOL_SEGMENT_HEADER) / frame;
		struct wv_spool_store s;
		struct seen seen;

		file[at] ^= (uint8_t)(1U << bit % 8);
		put(1, file, len);
		file[at] ^= (uint8_t)(1U << bit % 8);
		assert_int_equal(wv_spool_store_open(&s, &wv_io_system, dir, 1 << 20), 0);
		seen = read_all(&s, start_of(1));
		if (header) {
			assert_int_equal(seen.records, FRAMES * PER_FRAME);
		} else if (n == FRAMES - 1) { /* a torn end looks the same */
			assert_int_equal(seen.records, (FRAMES - 1) * PER_FRAME);
			assert_int_equal(s.cut_bytes, frame);
		} else {
			assert_int_equal(seen.records, (FRAMES - 1) * PER_FRAME);
			assert_int_equal(seen.damaged, PER_FRAME);
			assert_int_equal(s.damaged_bytes, frame);
		}
		wv_spool_store_close(&s);
	}
}

static void store_lost_segment_is_counted_exactly(void **state)
{
	uint8_t file[4096];
	struct wv_spool_store s;
	struct seen seen;
	size_t len;

	(void)state;
	fill(250, 9); /* two frames a segment */
	assert_int_equal(wv_spool_store_open(&s, &wv_io_system, dir, 250), 0);
	assert_int_equal(s.n_segments, 5);
	assert_int_equal(unlinkat(dir, "seg-0000000000000002", 0), 0);
	wv_spool_store_close(&s);
	/* the folder tells what is there; the numbers tell what is not */
	assert_int_equal(wv_spool_store_open(&s, &wv_io_system, dir, 250), 0);
	seen = read_all(&s, start_of(1));
	assert_int_equal(seen.records, 7 * PER_FRAME);
	assert_int_equal(seen.damaged, 2 * PER_FRAME);
	/* both copies of a header are gone */
	len = slurp(3, file, sizeof(file));
	file[3] ^= 1;
	file[70] ^= 1;
	put(3, file, len);
	seen = read_all(&s, start_of(1));
	assert_int_equal(seen.records, 5 * PER_FRAME);
	assert_int_equal(seen.damaged, 4 * PER_FRAME);
	wv_spool_store_close(&s);
}

static void store_newer_version_is_refused_and_left_alone(void **state)
{
	uint8_t file[4096], again[4096];
	struct wv_spool_store s;
	size_t len;
	uint32_t crc;

	(void)state;
	fill(1 << 20, 2);
	len = slurp(1, file, sizeof(file));
	file[8] = 2;
	crc = wv_crc32c(0, file, 60);
	memcpy(file + 60, &crc, 4);
	memcpy(file + 64, file, 64);
	put(1, file, len);
	assert_int_equal(wv_spool_store_open(&s, &wv_io_system, dir, 1 << 20), -EPROTONOSUPPORT);
	assert_int_equal(slurp(1, again, sizeof(again)), len);
	assert_memory_equal(file, again, len);
}

static void store_full_disk_appends_nothing_and_goes_on(void **state)
{
	(void)state;
	for (int n = 1; n < 8; n++) {
		struct wv_spool_store s;
		struct seen seen;
		int appended = 0, failed = 0;

		clean();
		fault.writes = fault.fail_fsync = 0;
		fault.fail_write = n;
		fault.times = 3;
		fault.error = -ENOSPC;
		assert_int_equal(wv_spool_store_open(&s, &fault.io, dir, 250), 0);
		for (int i = 0; i < 12; i++)
			if (append_text(&s, TEXT) == 0)
				appended++;
			else
				failed++;
		assert_int_equal(failed, 3);
		assert_int_equal(wv_spool_store_sync(&s), 0);
		seen = read_all(&s, start_of(wv_spool_store_oldest(&s)));
		assert_int_equal(seen.records, appended * PER_FRAME);
		assert_int_equal(seen.damaged, 0);
		assert_int_equal(seen.noise, 0); /* half a frame is taken back */
		wv_spool_store_close(&s);
	}
	fault.fail_write = 0;
}

static void store_failed_sync_takes_back_what_was_not_acknowledged(void **state)
{
	struct wv_spool_store s;
	struct seen seen;

	(void)state;
	clean();
	fault.fail_write = 0;
	assert_int_equal(wv_spool_store_open(&s, &fault.io, dir, 1 << 20), 0);
	assert_int_equal(append_text(&s, TEXT), 0);
	assert_int_equal(wv_spool_store_sync(&s), 0);
	assert_int_equal(append_text(&s, "lost\n"), 0);
	fault.fsyncs = 0;
	fault.fail_fsync = 1;
	fault.times = 1;
	fault.error = -EIO;
	assert_int_equal(wv_spool_store_sync(&s), -EIO);
	assert_int_equal(s.durable.seq, 1 + PER_FRAME);
	/* the same again, into another segment: pages of the failed one are not trusted */
	assert_int_equal(append_text(&s, "again\n"), 0);
	assert_int_equal(wv_spool_store_sync(&s), 0);
	assert_int_equal(s.n_segments, 2);
	seen = read_all(&s, start_of(1));
	assert_int_equal(seen.records, PER_FRAME + 1);
	assert_int_equal(seen.damaged, 0);
	wv_spool_store_close(&s);
	fault.fail_fsync = 0;
}

/* What was written after the last sync may be there in part, in any order. */
static void store_power_loss_keeps_what_was_acknowledged(void **state)
{
	uint8_t file[4096], crashed[4096];
	uint64_t acked, synced;
	struct wv_spool_store s;
	size_t len, frame;

	(void)state;
	clean();
	assert_int_equal(wv_spool_store_open(&s, &wv_io_system, dir, 1 << 20), 0);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(append_text(&s, TEXT), 0);
		if (i == 1)
			assert_int_equal(wv_spool_store_sync(&s), 0);
	}
	acked = s.durable.seq;
	synced = s.durable.offset;
	wv_spool_store_close(&s);
	len = slurp(1, file, sizeof(file));
	frame = (len - WV_SPOOL_SEGMENT_HEADER) / 6;
	for (size_t cut = synced; cut <= len; cut += 3)
		for (unsigned lost = 0; lost < 16; lost++) { /* frames whose pages did not arrive */
			struct seen seen;

			memcpy(crashed, file, len);
			for (unsigned i = 0; i < 4; i++)
				if (lost >> i & 1)
					memset(crashed + synced + i * frame, 0, frame);
			clean();
			put(1, crashed, cut);
			assert_int_equal(wv_spool_store_open(&s, &wv_io_system, dir, 1 << 20), 0);
			assert_true(s.durable.seq >= acked);
			assert_int_equal(append_text(&s, TEXT), 0);
			assert_int_equal(wv_spool_store_sync(&s), 0);
			seen = read_all(&s, start_of(1));
			assert_int_equal(seen.first, 1);
			assert_true(seen.records >= acked - 1 + PER_FRAME);
			assert_int_equal(seen.records + seen.damaged, s.durable.seq - 1);
			wv_spool_store_close(&s);
		}
}

static void store_dropping_the_oldest_is_counted_by_readers(void **state)
{
	struct wv_spool_store s;
	struct seen seen;

	(void)state;
	fill(250, 9);
	assert_int_equal(wv_spool_store_open(&s, &wv_io_system, dir, 250), 0);
	assert_int_equal(wv_spool_store_drop_oldest(&s), 0);
	assert_int_equal(wv_spool_store_drop_oldest(&s), 0);
	seen = read_all(&s, start_of(1));
	assert_int_equal(seen.removed, 4 * PER_FRAME);
	assert_int_equal(seen.damaged, 0);
	assert_int_equal(seen.records, 5 * PER_FRAME);
	/* the active one stays */
	assert_int_equal(wv_spool_store_trim(&s, 1000), 2);
	assert_int_equal(wv_spool_store_drop_oldest(&s), -ENOENT);
	assert_int_equal(s.used, s.segments[0].bytes);
	wv_spool_store_close(&s);
}

static void reader_starts_within_a_frame(void **state)
{
	struct wv_pos from = start_of(1);
	struct wv_reader r;
	struct wv_spool_store s;
	struct wv_frame f;
	struct wv_pos at;

	(void)state;
	fill(1 << 20, 2);
	assert_int_equal(wv_spool_store_open(&s, &wv_io_system, dir, 1 << 20), 0);
	from.seq = 3;
	assert_int_equal(wv_reader_init(&r, &wv_io_system, dir, from), 0);
	assert_int_equal(wv_reader_next(&r, &s.durable, 1, &f, &at), 1);
	assert_int_equal(f.seq, 1);
	assert_int_equal(at.seq, 3);
	assert_int_equal(wv_reader_next(&r, &s.durable, 1, &f, &at), 1);
	assert_int_equal(at.seq, 4);
	assert_int_equal(r.lost_damaged, 0);
	wv_reader_done(&r);
	wv_spool_store_close(&s);
}

/* Text of a sender that looks like a frame, where a damaged header makes the reader search. */
static void reader_forged_frame_in_a_record_is_not_taken(void **state)
{
	uint8_t buf[WV_FRAME_HEADER + 512], forged[WV_FRAME_HEADER + 16], file[4096];
	struct wv_frame f = {.type = WV_FRAME_COUNTED, .name_len = 2, .count = 1};
	struct wv_frame g = {.type = WV_FRAME_LINES, .name_len = 2, .count = 1000000, .len = 6};
	uint32_t len = sizeof(forged);
	struct wv_spool_store s;
	struct seen seen;
	size_t n;

	(void)state;
	clean();
	memcpy(forged + WV_FRAME_HEADER, "infak\n", 6);
	g.seq = 2;
	wv_frame_seal(forged, &g, 0);
	assert_int_equal(wv_spool_store_open(&s, &wv_io_system, dir, 1 << 20), 0);
	memcpy(buf + WV_FRAME_HEADER, "in", 2);
	memcpy(buf + WV_FRAME_HEADER + 2, &len, 4);
	memcpy(buf + WV_FRAME_HEADER + 6, forged, sizeof(forged));
	f.len = 6 + len;
	assert_int_equal(wv_spool_store_append(&s, &f, buf), 0);
	assert_int_equal(append_text(&s, TEXT), 0);
	assert_int_equal(wv_spool_store_sync(&s), 0);
	n = slurp(1, file, sizeof(file));
	file[WV_SPOOL_SEGMENT_HEADER + 5] ^= 0x40; /* the length in the header of the outer one */
	put(1, file, n);
	seen = read_all(&s, start_of(1));
	assert_int_equal(seen.frames, 1);
	assert_int_equal(seen.records, PER_FRAME);
	assert_int_equal(seen.damaged, 1);
	wv_spool_store_close(&s);
}

static void frame_content_that_lies_is_read_within_its_bounds(void **state)
{
	static const uint8_t payload[] = {'i', 'n', 0xff, 0xff, 0, 0, 'x'};
	uint8_t *copy = malloc(sizeof(payload));
	struct wv_frame f = {.type = WV_FRAME_COUNTED,
			     .name_len = 2,
			     .count = 5,
			     .len = sizeof(payload),
			     .payload = copy};
	const char *text;
	size_t pos = 0, len;

	(void)state;
	memcpy(copy, payload, sizeof(payload));
	assert_false(wv_frame_next(&f, &pos, &text, &len));
	copy[2] = 1;
	copy[3] = 0;
	assert_true(wv_frame_next(&f, &pos, &text, &len));
	assert_int_equal(len, 1);
	assert_false(wv_frame_next(&f, &pos, &text, &len));
	free(copy);
}

static void cursor_is_read_as_saved_and_damage_is_found(void **state)
{
	const struct wv_cursor c = {.pos = {7, 8, 9}, .start_seq = 1, .delivered = 5, .dropped = 3};
	struct wv_cursor back = {0};
	char *text;
	size_t len;

	(void)state;
	clean();
	assert_int_equal(wv_cursor_load(&back, &wv_io_system, dir, "cursor-x"), -ENOENT);
	assert_int_equal(wv_cursor_save(&c, &wv_io_system, dir, "cursor-x"), 0);
	assert_int_equal(wv_cursor_load(&back, &wv_io_system, dir, "cursor-x"), 0);
	assert_memory_equal(&c, &back, sizeof(c));
	assert_int_equal(wv_io_read_file(&wv_io_system, dir, "cursor-x", 4096, &text, &len), 0);
	for (size_t i = 0; i < len; i++) {
		text[i] ^= 4;
		assert_int_equal(wv_io_replace(&wv_io_system, dir, "cursor-x", text, len, 0600), 0);
		text[i] ^= 4;
		assert_int_equal(wv_cursor_load(&back, &wv_io_system, dir, "cursor-x"), -EBADMSG);
	}
	free(text);
}

static void config_spools_wrong_ones_are_refused_with_a_place(void **state)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{"spools:\n  - {name: a b}\n", "file:2:12: name: expected letters"},
		{"spools:\n  - {name: a, buffer: 8M, segment: 8M}\n",
		 "segment: expected a quarter"},
		{"spools: [{name: logs}]\nspool_inputs: [{name: x, spool: log, type: stdin}]\n",
		 "there is no spool 'log'; did you mean 'logs'?"},
		{"spools: [{name: l}]\nspool_inputs: [{name: x, spool: l, type: tcp, listen: "
		 "'0.0.0.0:514'}]\n",
		 "listen: expected a loopback address"},
		{"spools: [{name: l}]\nspool_inputs: [{name: x, spool: l, type: udp, listen: "
		 "'127.0.0.1:514', ack: true}]\n",
		 "ack: type udp cannot do it"},
		{"spools: [{name: l}]\nspool_inputs: [{name: x, spool: l, type: file}]\n",
		 "path is missing; type file needs it"},
		{"spools: [{name: l}]\nspool_outputs: [{name: x, spool: l, type: http, url: "
		 "'ftp://h'}]\n",
		 "url: expected http:// or https://"},
		{"spools: [{name: l}]\nspool_outputs: [{name: x, spool: l, type: file, path: /x, "
		 "format: otlp}]\n",
		 "format: type file cannot send it"},
		{"spools: [{name: l}]\nspool_outputs: [{name: x, spool: l, type: http, url: "
		 "'https://h', cert: /c}]\n",
		 "key is missing"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wv_config_error error = {""};
		struct wv_config c;

		assert_int_equal(wv_config_init(&c), 0);
		assert_int_equal(wv_config_load_memory(&c, "file", rows[i].text,
						       strlen(rows[i].text), &error),
				 -EINVAL);
		if (!strstr(error.text, rows[i].error))
			fail_msg("row %zu: %s", i, error.text);
		wv_config_done(&c);
	}
}

/* As the supervisor runs it: forked, with a control socket. */
static void worker_tells_that_it_is_ready_and_stops_when_told(void **state)
{
	struct wv_config_error error = {""};
	struct wv_paths paths;
	struct wv_config config;
	struct wv_worker_context ctx = {.config = &config, .paths = &paths};
	char text[600], message = 0;
	int pair[2], status = -1;
	pid_t pid;

	(void)state;
	clean();
	snprintf(text, sizeof(text),
		 "spools: [{name: w, dir: %s/w, buffer: 8M, segment: 1M}]\n"
		 "spool_inputs: [{name: i, spool: w, type: unix-dgram, path: %s/i.sock}]\n"
		 "spool_outputs: [{name: o, spool: w, type: file, path: %s/out}]\n",
		 folder, folder, folder);
	assert_int_equal(wv_config_init(&config), 0);
	assert_false(wv_spool_wanted(&config));
	assert_int_equal(wv_config_load_memory(&config, "f", text, strlen(text), &error), 0);
	assert_true(wv_spool_wanted(&config));
	assert_int_equal(wv_paths_init(&paths, folder), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		ctx.control = pair[1];
		_exit(wv_spool_run(&ctx));
	}
	close(pair[1]);
	assert_int_equal(recv(pair[0], &message, 1, 0), 1);
	assert_int_equal(message, WV_CONTROL_READY);
	message = WV_CONTROL_STOP;
	assert_int_equal(send(pair[0], &message, 1, MSG_NOSIGNAL), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(pair[0]);
	wv_config_done(&config);
	snprintf(text, sizeof(text), "%s/w/lock", folder);
	assert_int_equal(unlink(text), 0);
	snprintf(text, sizeof(text), "%s/w/status.json", folder);
	assert_int_equal(unlink(text), 0);
	snprintf(text, sizeof(text), "%s/w", folder);
	assert_int_equal(rmdir(text), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_is_that_of_the_rfc),
		cmocka_unit_test(store_cut_at_every_byte_keeps_what_was_whole),
		cmocka_unit_test(store_with_any_bit_flipped_loses_one_frame_and_counts_it),
		cmocka_unit_test(store_lost_segment_is_counted_exactly),
		cmocka_unit_test(store_newer_version_is_refused_and_left_alone),
		cmocka_unit_test(store_full_disk_appends_nothing_and_goes_on),
		cmocka_unit_test(store_failed_sync_takes_back_what_was_not_acknowledged),
		cmocka_unit_test(store_power_loss_keeps_what_was_acknowledged),
		cmocka_unit_test(store_dropping_the_oldest_is_counted_by_readers),
		cmocka_unit_test(worker_tells_that_it_is_ready_and_stops_when_told),
		cmocka_unit_test(reader_starts_within_a_frame),
		cmocka_unit_test(reader_forged_frame_in_a_record_is_not_taken),
		cmocka_unit_test(frame_content_that_lies_is_read_within_its_bounds),
		cmocka_unit_test(cursor_is_read_as_saved_and_damage_is_found),
		cmocka_unit_test(config_spools_wrong_ones_are_refused_with_a_place),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
