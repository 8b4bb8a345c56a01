// SPDX-License-Identifier: GPL-2.0-only
#include "user/spool/reader.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/spool/crc32c.h"

#define BUFFER_BYTES (2 * WV_FRAME_MAX)

static const char magic[8] = "WVSPOOL";

void wv_spool_segment_name(uint64_t id, char ret[WV_SPOOL_SEGMENT_NAME_SIZE])
{
	snprintf(ret, WV_SPOOL_SEGMENT_NAME_SIZE, "seg-%016" PRIx64, id);
}

void wv_spool_segment_header_put(const struct wv_spool_segment_header *h,
				 uint8_t ret[WV_SPOOL_SEGMENT_HEADER])
{
	uint32_t version = htole32(WV_SPOOL_SEGMENT_VERSION), seed = htole32(h->seed), crc;
	uint64_t words[3] = {htole64(h->id), htole64(h->first_seq), htole64(h->wall_ns)};

	memset(ret, 0, WV_SPOOL_SEGMENT_HEADER);
	memcpy(ret, magic, 8);
	memcpy(ret + 8, &version, 4);
	memcpy(ret + 12, &seed, 4);
	memcpy(ret + 16, words, sizeof(words));
	crc = htole32(wv_crc32c(0, ret, 60));
	memcpy(ret + 60, &crc, 4);
	memcpy(ret + 64, ret, 64);
}

static int header_get(const uint8_t *p, struct wv_spool_segment_header *ret)
{
	uint32_t version, seed, crc;
	uint64_t words[3];

	memcpy(&crc, p + 60, 4);
	if (memcmp(p, magic, 8) != 0 || le32toh(crc) != wv_crc32c(0, p, 60))
		return -EBADMSG;
	memcpy(&version, p + 8, 4);
	if (le32toh(version) != WV_SPOOL_SEGMENT_VERSION)
		return -EPROTONOSUPPORT;
	memcpy(&seed, p + 12, 4);
	memcpy(words, p + 16, sizeof(words));
	*ret = (struct wv_spool_segment_header){.id = le64toh(words[0]),
						.first_seq = le64toh(words[1]),
						.wall_ns = le64toh(words[2]),
						.seed = le32toh(seed)};
	return 0;
}

int wv_spool_segment_header_get(const uint8_t buf[WV_SPOOL_SEGMENT_HEADER],
				struct wv_spool_segment_header *ret)
{
	int r = header_get(buf, ret);

	return r == -EBADMSG ? header_get(buf + 64, ret) : r;
}

int wv_reader_init(struct wv_reader *r, const struct wv_io *io, int dirfd, struct wv_pos from)
{
	*r = (struct wv_reader){.io = io, .dirfd = dirfd, .pos = from, .fd = -1};
	r->buf = malloc(BUFFER_BYTES);
	return r->buf ? 0 : -ENOMEM;
}

static void close_segment(struct wv_reader *r)
{
	if (r->fd >= 0)
		(void)r->io->close(r->io->ctx, r->fd);
	r->fd = -1;
	r->buf_len = 0;
}

void wv_reader_done(struct wv_reader *r)
{
	if (r->buf)
		close_segment(r);
	free(r->buf);
	r->buf = NULL;
}

void wv_reader_seek(struct wv_reader *r, struct wv_pos to)
{
	if (to.segment != r->pos.segment)
		close_segment(r);
	r->pos = to;
}

/* Records up to `seq` are not there. */
static void missing(struct wv_reader *r, uint64_t seq)
{
	if (seq <= r->pos.seq)
		return;
	*(r->jumped ? &r->lost_removed : &r->lost_damaged) += seq - r->pos.seq;
	r->pos.seq = seq;
}

static void next_segment(struct wv_reader *r, uint64_t id)
{
	close_segment(r);
	r->pos.segment = id;
	r->pos.offset = WV_SPOOL_SEGMENT_HEADER;
}

static int open_segment(struct wv_reader *r)
{
	uint8_t head[WV_SPOOL_SEGMENT_HEADER];
	char name[WV_SPOOL_SEGMENT_NAME_SIZE];
	struct wv_spool_segment_header h;
	ssize_t n;
	int e;

	if (r->fd >= 0)
		return 0;
	wv_spool_segment_name(r->pos.segment, name);
	e = r->io->open(r->io->ctx, r->dirfd, name, O_RDONLY | O_NOFOLLOW, 0);
	if (e < 0)
		return e;
	r->fd = e;
	r->buf_len = 0;
	r->sealed = false;
	n = wv_io_pread_all(r->io, r->fd, head, sizeof(head), 0);
	if (n < 0) {
		close_segment(r);
		return (int)n;
	}
	r->headless = n != sizeof(head) || wv_spool_segment_header_get(head, &h) < 0 ||
		      h.id != r->pos.segment;
	if (r->headless)
		return 0;
	r->seed = h.seed;
	if (r->pos.offset < WV_SPOOL_SEGMENT_HEADER)
		r->pos.offset = WV_SPOOL_SEGMENT_HEADER;
	missing(r, h.first_seq);
	r->jumped = false;
	return 0;
}

/* Up to where frames of this segment may be read. */
static int find_end(struct wv_reader *r, const struct wv_pos *limit, uint64_t *ret)
{
	int e = 0;

	if (r->pos.segment == limit->segment) {
		*ret = limit->offset;
		return 0;
	}
	/* it grows no more */
	if (!r->sealed)
		e = r->io->size(r->io->ctx, r->fd, &r->size);
	if (e < 0)
		return e;
	r->sealed = true;
	*ret = r->size;
	return 0;
}

/* At least `want` bytes at pos.offset in the buffer, fewer only where `end` is before. Returns how
 * many there are, or -errno. */
static ssize_t fill(struct wv_reader *r, size_t want, uint64_t end)
{
	uint64_t at = r->pos.offset;
	size_t have = 0;
	ssize_t n;

	if (at >= end)
		return 0;
	if (want > end - at)
		want = (size_t)(end - at);
	if (r->buf_len && at >= r->buf_off && at < r->buf_off + r->buf_len)
		have = (size_t)(r->buf_off + r->buf_len - at);
	if (have >= want)
		return (ssize_t)(have < end - at ? have : end - at);
	if (have)
		memmove(r->buf, r->buf + (at - r->buf_off), have);
	r->buf_off = at;
	r->buf_len = have;
	n = wv_io_pread_all(r->io, r->fd, r->buf + have,
			    end - at - have < BUFFER_BYTES - have ? (size_t)(end - at - have)
								  : BUFFER_BYTES - have,
			    at + have);
	if (n < 0) {
		r->buf_len = 0;
		return n;
	}
	r->buf_len += (size_t)n;
	return (ssize_t)r->buf_len;
}

static const uint8_t *here(const struct wv_reader *r)
{
	return r->buf + (r->pos.offset - r->buf_off);
}

/* A whole frame at pos: 0; -ENODATA at the end; -EBADMSG: no frame; -EUCLEAN: a frame whose records
 * are damaged, *ret says which; or -errno of a read. */
static int frame_here(struct wv_reader *r, uint64_t end, struct wv_frame *ret)
{
	ssize_t n = fill(r, WV_FRAME_HEADER, end);
	int e;

	if (n <= 0)
		return n < 0 ? (int)n : -ENODATA;
	if (n < WV_FRAME_HEADER)
		return -EBADMSG;
	e = wv_frame_peek(here(r), r->seed, ret);
	if (e < 0)
		return e;
	n = fill(r, WV_FRAME_HEADER + ret->len, end);
	if (n < 0)
		return (int)n;
	if ((size_t)n < WV_FRAME_HEADER + ret->len)
		return -EBADMSG;
	if (!wv_frame_payload_ok(here(r), ret, r->seed))
		return -EUCLEAN;
	ret->payload = here(r) + WV_FRAME_HEADER;
	return 0;
}

/* After damage: moves to the next thing that could be a frame, or to `end`. */
static int resync(struct wv_reader *r, uint64_t end)
{
	static const uint8_t start[4] = {'W', 'V', 'F', 'R'};
	uint64_t from = r->pos.offset++;

	for (;;) {
		ssize_t n = fill(r, WV_FRAME_HEADER, end);
		const uint8_t *p;

		if (n < 0)
			return (int)n;
		if (n < WV_FRAME_HEADER) {
			r->pos.offset = end;
			break;
		}
		p = memmem(here(r), (size_t)n, start, sizeof(start));
		if (p) {
			r->pos.offset += (uint64_t)(p - here(r));
			break;
		}
		r->pos.offset += (uint64_t)n - 3;
	}
	r->damaged_bytes += r->pos.offset - from;
	return 0;
}

/* Moves on where there is no frame to return; 1: look again, 0: that was all, or -errno. */
static int move_on(struct wv_reader *r, int why, uint64_t end, const struct wv_frame *f,
		   const struct wv_pos *limit)
{
	int e;

	switch (why) {
	case -EUCLEAN:
		/* what is missing the next frame tells: a second copy of this one may come */
		r->pos.offset += WV_FRAME_HEADER + f->len;
		r->damaged_bytes += WV_FRAME_HEADER + f->len;
		return 1;
	case -EBADMSG:
		e = resync(r, end);
		return e < 0 ? e : 1;
	case -ENODATA:
		if (r->pos.segment >= limit->segment)
			return 0;
		next_segment(r, r->pos.segment + 1);
		return 1;
	default:
		return why;
	}
}

int wv_reader_next(struct wv_reader *r, const struct wv_pos *limit, uint64_t oldest,
		   struct wv_frame *ret, struct wv_pos *ret_at)
{
	for (;;) {
		struct wv_frame f;
		uint64_t end;
		int e;

		if (r->pos.segment < oldest) {
			r->jumped = true;
			next_segment(r, oldest);
		}
		if (r->pos.segment > limit->segment ||
		    (r->pos.segment == limit->segment && r->pos.offset >= limit->offset)) {
			/* damage up to the very end */
			missing(r, limit->seq);
			return 0;
		}
		e = open_segment(r);
		if (e == -ENOENT && r->pos.segment < limit->segment) {
			next_segment(r, r->pos.segment + 1);
			continue;
		}
		if (e < 0)
			return e;
		e = find_end(r, limit, &end);
		if (e < 0)
			return e;
		if (r->headless) {
			r->damaged_bytes += end > r->pos.offset ? end - r->pos.offset : 0;
			r->pos.offset = end;
			e = -ENODATA;
		} else {
			e = frame_here(r, end, &f);
		}
		if (e == 0) {
			missing(r, f.seq);
			if (ret_at)
				*ret_at = r->pos;
			r->pos.offset += WV_FRAME_HEADER + f.len;
			if (f.seq + f.count <= r->pos.seq)
				continue;
			r->pos.seq = f.seq + f.count;
			*ret = f;
			return 1;
		}
		e = move_on(r, e, end, &f, limit);
		if (e < 0)
			return e;
		if (e == 0) {
			missing(r, limit->seq);
			return 0;
		}
	}
}
