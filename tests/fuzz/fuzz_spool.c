// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: a segment of any bytes. An even first byte: they follow a right header. Odd:
 * they are cut into frames with right sums, whose content may be anything. The reader must come to
 * the end, in order, and its numbers must add up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/spool/encode.h"
#include "user/spool/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static uint8_t *file;
static size_t file_len;

static int m_open(void *ctx, int d, const char *path, int flags, mode_t mode)
{
	(void)ctx, (void)d, (void)flags, (void)mode;
	return strcmp(path, "seg-0000000000000001") == 0 ? 100 : -ENOENT;
}

static ssize_t m_pread(void *ctx, int fd, void *buf, size_t n, off_t off)
{
	size_t left = (size_t)off < file_len ? file_len - (size_t)off : 0;

	(void)ctx, (void)fd;
	n = n < left ? n : left;
	memcpy(buf, file + (left ? off : 0), n);
	return (ssize_t)n;
}

static int m_size(void *ctx, int fd, uint64_t *ret)
{
	(void)ctx, (void)fd;
	*ret = file_len;
	return 0;
}

static int m_close(void *ctx, int fd)
{
	(void)ctx, (void)fd;
	return 0;
}

static const struct wv_io io = {.open = m_open, .pread = m_pread, .size = m_size, .close = m_close};

static void make(const uint8_t *bytes, size_t len)
{
	const struct wv_spool_segment_header h = {.id = 1, .first_seq = 1, .seed = 42};
	uint64_t seq = 1;

	file = calloc(1, WV_SPOOL_SEGMENT_HEADER + 16 * len + 64);
	if (!file)
		__builtin_trap();
	wv_spool_segment_header_put(&h, file);
	file_len = WV_SPOOL_SEGMENT_HEADER;
	if (len && bytes[0] % 2 == 0) {
		memcpy(file + file_len, bytes, len);
		file_len += len;
		return;
	}
	while (len > 4) {
		size_t n = bytes[1] < len - 4 ? bytes[1] : len - 4;
		struct wv_frame f = {.type = bytes[2] % 4,
				     .format = bytes[2] / 4 % 2,
				     .name_len = bytes[2] / 8,
				     .count = bytes[3],
				     .seq = seq + (bytes[0] > 250),
				     .len = (uint32_t)n};

		memcpy(file + file_len + WV_FRAME_HEADER, bytes + 4, n);
		wv_frame_seal(file + file_len, &f, 42);
		file_len += WV_FRAME_HEADER + n;
		seq += f.count;
		bytes += 4 + n;
		len -= 4 + n;
	}
}

static void encode(const struct wv_frame *f)
{
	struct wv_encoder e = {.format = WV_FORMAT_JSON};
	struct wv_text t = {.max = 1 << 24};
	size_t pos = 0, len;
	const char *text;

	wv_encode_frame(&e, f);
	while (wv_frame_next(f, &pos, &text, &len))
		wv_encode_record(&e, &t, 1, text, len);
	if (t.error || pos > f->len)
		__builtin_trap();
	wv_text_done(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct wv_pos from = {1, WV_SPOOL_SEGMENT_HEADER, 1};
	struct wv_pos limit, at;
	struct wv_reader r;
	struct wv_frame f;
	uint64_t got = 0;

	make(bytes, len);
	limit = (struct wv_pos){1, file_len, 0};
	if (wv_reader_init(&r, &io, -1, from) < 0)
		__builtin_trap();
	while (wv_reader_next(&r, &limit, 1, &f, &at) == 1) {
		if (at.seq < f.seq || at.offset + WV_FRAME_HEADER + f.len != r.pos.offset)
			__builtin_trap();
		got += f.seq + f.count - at.seq;
		encode(&f);
	}
	if (got + r.lost_damaged + 1 != r.pos.seq || r.pos.offset > file_len)
		__builtin_trap();
	wv_reader_done(&r);
	free(file);
	return 0;
}
