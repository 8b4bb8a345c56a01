// SPDX-License-Identifier: GPL-2.0-only
#include "user/spool/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

#define MODE 0600
#define SEGMENTS_MAX 1000000

static int add_segment(struct wv_spool_store *s, uint64_t id, uint64_t bytes)
{
	if (s->n_segments == s->cap_segments) {
		size_t cap = s->cap_segments ? 2 * s->cap_segments : 16;
		struct wv_spool_segment *more =
			cap > SEGMENTS_MAX ? NULL : realloc(s->segments, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->segments = more;
		s->cap_segments = cap;
	}
	s->segments[s->n_segments++] = (struct wv_spool_segment){id, bytes};
	s->used += bytes;
	return 0;
}

static struct wv_spool_segment *last(const struct wv_spool_store *s)
{
	return s->n_segments ? &s->segments[s->n_segments - 1] : NULL;
}

/* Opening --------------------------------------------------------------------------------------
 */

static int on_name(void *userdata, const char *name)
{
	struct wv_spool_store *s = userdata;
	char again[WV_SPOOL_SEGMENT_NAME_SIZE];
	uint64_t id;
	char *end;

	if (strncmp(name, "seg-", 4) != 0)
		return 0;
	id = strtoull(name + 4, &end, 16);
	wv_spool_segment_name(id, again);
	if (*end || strcmp(again, name) != 0)
		return 0;
	return add_segment(s, id, 0);
}

static int by_id(const void *a, const void *b)
{
	const struct wv_spool_segment *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int remove_file(const struct wv_spool_store *s, uint64_t id)
{
	char name[WV_SPOOL_SEGMENT_NAME_SIZE];

	wv_spool_segment_name(id, name);
	return s->io->unlink(s->io->ctx, s->dirfd, name);
}

/* Header of a segment. -ENODATA: it has none, as the crash came before it was whole. */
static int look_at(struct wv_spool_store *s, struct wv_spool_segment *g,
		   struct wv_spool_segment_header *ret)
{
	uint8_t head[WV_SPOOL_SEGMENT_HEADER];
	char name[WV_SPOOL_SEGMENT_NAME_SIZE];
	ssize_t n;
	int fd, r;

	wv_spool_segment_name(g->id, name);
	fd = s->io->open(s->io->ctx, s->dirfd, name, O_RDONLY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	r = s->io->size(s->io->ctx, fd, &g->bytes);
	n = r < 0 ? r : wv_io_pread_all(s->io, fd, head, sizeof(head), 0);
	(void)s->io->close(s->io->ctx, fd);
	if (n < 0)
		return (int)n;
	r = n < WV_SPOOL_SEGMENT_HEADER ? -ENODATA : wv_spool_segment_header_get(head, ret);
	if (r == 0 && ret->id != g->id)
		r = -EBADMSG;
	/* the header is on disk before the first frame is acknowledged: nothing else is lost */
	if (r == -EBADMSG && g->bytes <= WV_SPOOL_SEGMENT_HEADER)
		r = -ENODATA;
	return r;
}

/* Finds the end of the last whole frame of the last segment and cuts what is behind it. */
static int recover(struct wv_spool_store *s, struct wv_spool_segment *g,
		   const struct wv_spool_segment_header *h)
{
	struct wv_pos limit = {g->id, g->bytes, 0}, at;
	struct wv_reader reader;
	struct wv_frame f;
	uint64_t whole = WV_SPOOL_SEGMENT_HEADER, damaged = 0, seq = h->first_seq;
	char name[WV_SPOOL_SEGMENT_NAME_SIZE];
	int r = wv_reader_init(&reader, s->io, s->dirfd,
			       (struct wv_pos){g->id, WV_SPOOL_SEGMENT_HEADER, h->first_seq});

	if (r < 0)
		return r;
	while ((r = wv_reader_next(&reader, &limit, 0, &f, &at)) == 1) {
		whole = reader.pos.offset;
		damaged = reader.damaged_bytes;
		seq = f.seq + f.count;
		s->lost_records = reader.lost_damaged;
	}
	wv_reader_done(&reader);
	if (r < 0)
		return r;
	s->damaged_bytes += damaged;
	wv_spool_segment_name(g->id, name);
	s->fd = s->io->open(s->io->ctx, s->dirfd, name, O_RDWR | O_APPEND | O_NOFOLLOW, 0);
	if (s->fd < 0)
		return s->fd;
	if (whole < g->bytes) {
		s->cut_bytes = g->bytes - whole;
		r = s->io->ftruncate(s->io->ctx, s->fd, (off_t)whole);
		if (r < 0)
			return r;
		g->bytes = whole;
	}
	s->seed = h->seed;
	s->next_seq = seq;
	/* after a kill it is in memory only */
	return s->io->fsync(s->io->ctx, s->fd);
}

/*
 * A last segment without a frame may be one that could not be made (its name was not durable, or
 * its removal was not): the one before it was written to after that.
 */
static int look_before(struct wv_spool_store *s)
{
	const struct wv_spool_segment *g = &s->segments[s->n_segments - 2];
	struct wv_pos limit = {g->id + 1, 0, 0};
	struct wv_reader reader;
	struct wv_frame f;
	int r = wv_reader_init(&reader, s->io, s->dirfd,
			       (struct wv_pos){g->id, WV_SPOOL_SEGMENT_HEADER, 0});

	if (r < 0)
		return r;
	while ((r = wv_reader_next(&reader, &limit, 0, &f, NULL)) == 1)
		if (f.seq + f.count > s->next_seq)
			s->next_seq = f.seq + f.count;
	wv_reader_done(&reader);
	return r;
}

/* Both copies of its header are damaged, and there may be records in it: it stays until readers
 * have passed it, as lost. A record has a byte at least. */
static void give_up(struct wv_spool_store *s, const struct wv_spool_segment *g, uint64_t before)
{
	s->damaged_bytes += g->bytes;
	s->next_seq = before + g->bytes;
	s->lost_records += g->bytes;
}

static int recover_last(struct wv_spool_store *s)
{
	struct wv_spool_segment_header h = {0};
	struct wv_spool_segment *g = last(s);
	uint64_t before = 1;
	int r;

	if (!g)
		return 0;
	r = look_at(s, g, &h);
	if (r == -ENODATA) {
		s->cut_bytes += g->bytes;
		r = remove_file(s, g->id);
		if (r < 0)
			return r;
		s->n_segments--;
		/* the one before was synced as a whole before this one was made */
		return recover_last(s);
	}
	if (r == 0) {
		r = recover(s, g, &h);
		return r == 0 && g->bytes == WV_SPOOL_SEGMENT_HEADER && s->n_segments > 1
			       ? look_before(s)
			       : r;
	}
	if (r != -EBADMSG)
		return r;
	for (size_t i = s->n_segments - 1; i-- > 0;) {
		if (look_at(s, &s->segments[i], &h) < 0)
			continue;
		before = h.first_seq + s->segments[i].bytes;
		break;
	}
	give_up(s, g, before);
	return 0;
}

int wv_spool_store_open(struct wv_spool_store *s, const struct wv_io *io, int dirfd,
			uint64_t segment_bytes)
{
	struct wv_spool_segment_header h;
	int r;

	*s = (struct wv_spool_store){
		.io = io, .dirfd = dirfd, .segment_bytes = segment_bytes, .fd = -1, .next_seq = 1};
	r = io->list(io->ctx, dirfd, on_name, s);
	if (r == 0 && s->n_segments)
		qsort(s->segments, s->n_segments, sizeof(*s->segments), by_id);
	for (size_t i = 0; r == 0 && i + 1 < s->n_segments; i++) {
		r = look_at(s, &s->segments[i], &h);
		/* readers count what is damaged in it */
		if (r == -EBADMSG || r == -ENODATA)
			r = 0;
	}
	if (r == 0)
		r = recover_last(s);
	if (r < 0) {
		wv_spool_store_close(s);
		return r;
	}
	s->used = 0;
	for (size_t i = 0; i < s->n_segments; i++)
		s->used += s->segments[i].bytes;
	if (s->n_segments)
		s->durable = (struct wv_pos){last(s)->id, last(s)->bytes, s->next_seq};
	else
		s->durable = (struct wv_pos){0, 0, s->next_seq};
	return 0;
}

void wv_spool_store_close(struct wv_spool_store *s)
{
	if (s->fd >= 0)
		(void)s->io->close(s->io->ctx, s->fd);
	s->fd = -1;
	free(s->segments);
	s->segments = NULL;
	s->n_segments = s->cap_segments = 0;
}

/* Writing --------------------------------------------------------------------------------------
 */

static int new_segment(struct wv_spool_store *s)
{
	struct wv_spool_segment_header h = {.id = s->n_segments ? last(s)->id + 1
								: s->durable.segment + 1,
					    .first_seq = s->next_seq,
					    .wall_ns = s->io->wall_ns(s->io->ctx)};
	uint8_t head[WV_SPOOL_SEGMENT_HEADER];
	char name[WV_SPOOL_SEGMENT_NAME_SIZE];
	int fd, r = s->io->random(s->io->ctx, &h.seed, sizeof(h.seed));

	if (r < 0)
		return r;
	wv_spool_segment_header_put(&h, head);
	wv_spool_segment_name(h.id, name);
	fd = s->io->open(s->io->ctx, s->dirfd, name,
			 O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW, MODE);
	if (fd < 0)
		return fd;
	r = wv_io_write_all(s->io, fd, head, sizeof(head));
	if (r == 0)
		r = s->io->fsync(s->io->ctx, fd);
	if (r == 0)
		r = wv_io_sync_dir(s->io, s->dirfd);
	if (r == 0)
		r = add_segment(s, h.id, sizeof(head));
	if (r < 0) {
		(void)s->io->close(s->io->ctx, fd);
		(void)remove_file(s, h.id);
		return r;
	}
	if (s->fd >= 0)
		(void)s->io->close(s->io->ctx, s->fd);
	s->fd = fd;
	s->seed = h.seed;
	s->torn = false;
	s->durable = (struct wv_pos){h.id, sizeof(head), s->next_seq};
	return 0;
}

/* Cuts the active segment to a length that was reached before. */
static void cut_back(struct wv_spool_store *s, uint64_t len)
{
	struct wv_spool_segment *g = last(s);

	if (s->io->ftruncate(s->io->ctx, s->fd, (off_t)len) < 0)
		s->torn = true; /* its end is noise, which readers step over */
	s->used -= g->bytes - len;
	g->bytes = len;
}

int wv_spool_store_append(struct wv_spool_store *s, struct wv_frame *f, uint8_t *buf)
{
	size_t len = WV_FRAME_HEADER + f->len;
	int r = 0;

	if (s->fd >= 0 && last(s)->bytes > WV_SPOOL_SEGMENT_HEADER &&
	    (s->torn || last(s)->bytes + len > s->segment_bytes)) {
		r = wv_spool_store_sync(s);
		if (r < 0)
			return r;
		r = new_segment(s);
	} else if (s->fd < 0 || s->torn) {
		r = new_segment(s);
	}
	if (r < 0)
		return r;
	f->seq = s->next_seq;
	wv_frame_seal(buf, f, s->seed);
	r = wv_io_write_all(s->io, s->fd, buf, len);
	if (r < 0) {
		cut_back(s, last(s)->bytes);
		return r;
	}
	last(s)->bytes += len;
	s->used += len;
	s->next_seq += f->count;
	return 0;
}

int wv_spool_store_sync(struct wv_spool_store *s)
{
	int r;

	if (s->fd < 0 || last(s)->bytes == s->durable.offset)
		return 0;
	r = s->io->fsync(s->io->ctx, s->fd);
	if (r < 0) {
		cut_back(s, s->durable.offset);
		/* numbers are given anew only if the cut is on disk: else a power cut may bring the
		 * frames back, and readers would take their second copy for one that they had */
		if (!s->torn && s->io->fsync(s->io->ctx, s->fd) == 0)
			s->next_seq = s->durable.seq;
		s->torn = true; /* in any case: its pages are not to be trusted */
		return r;
	}
	s->durable = (struct wv_pos){last(s)->id, last(s)->bytes, s->next_seq};
	return 0;
}

uint64_t wv_spool_store_oldest(const struct wv_spool_store *s)
{
	return s->n_segments ? s->segments[0].id : s->durable.segment + 1;
}

int wv_spool_store_drop_oldest(struct wv_spool_store *s)
{
	int r;

	if (s->n_segments < 1 + (size_t)(s->fd >= 0))
		return -ENOENT;
	r = remove_file(s, s->segments[0].id);
	if (r < 0 && r != -ENOENT)
		return r;
	s->used -= s->segments[0].bytes;
	s->n_segments--;
	memmove(s->segments, s->segments + 1, s->n_segments * sizeof(*s->segments));
	return 0;
}

int wv_spool_store_trim(struct wv_spool_store *s, uint64_t before)
{
	int n = 0, r = 0;

	while (s->n_segments > 1 && s->segments[0].id < before) {
		r = wv_spool_store_drop_oldest(s);
		if (r < 0)
			break;
		n++;
	}
	return r < 0 && r != -ENOENT ? r : n;
}

void wv_spool_store_not_before(struct wv_spool_store *s, uint64_t seq)
{
	if (s->next_seq >= seq)
		return;
	s->next_seq = seq;
	s->durable.seq = seq;
	if (s->fd >= 0)
		s->torn = true; /* a new segment says where numbers go on */
}
