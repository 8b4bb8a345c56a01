// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dead letters: what a destination refused for good, in segments of their own beside the spool, for
 * `spool status`. Bounded: the oldest make room, and are counted.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/log.h"
#include "user/spool/output.h"

static int open_store(struct wv_output *o)
{
	struct wv_spool *s = o->spool;
	char name[WV_SPOOL_NAME + 8];
	int r;

	if (o->dead_dir >= 0)
		return 0;
	snprintf(name, sizeof(name), "dead-%s", o->config->name);
	r = s->io->mkdir(s->io->ctx, s->dir, name, 0750);
	if (r < 0 && r != -EEXIST)
		return r;
	r = s->io->open(s->io->ctx, s->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (r < 0)
		return r;
	o->dead_dir = r;
	r = wv_spool_store_open(&o->dead, s->io, o->dead_dir, o->config->dead_letter_bytes / 4);
	if (r < 0) {
		(void)s->io->close(s->io->ctx, o->dead_dir);
		o->dead_dir = -1;
	}
	return r;
}

void wv_output_dead_close(struct wv_output *o)
{
	if (o->dead_dir < 0)
		return;
	wv_spool_store_close(&o->dead);
	(void)o->spool->io->close(o->spool->io->ctx, o->dead_dir);
	o->dead_dir = -1;
}

static int add(struct wv_output *o, struct wv_frame *g, uint8_t *buf)
{
	int r;

	while (o->dead.used + g->len > o->config->dead_letter_bytes && o->dead.n_segments > 1) {
		uint64_t before = o->dead.used;

		if (wv_spool_store_drop_oldest(&o->dead) < 0)
			break;
		pthread_mutex_lock(&o->spool->mutex);
		o->dead_dropped += before - o->dead.used;
		pthread_mutex_unlock(&o->spool->mutex);
	}
	r = g->count ? wv_spool_store_append(&o->dead, g, buf) : 0;
	g->len = g->name_len;
	g->count = 0;
	return r;
}

/* Records [from, to) of a frame, as counted ones. */
static int bury_frame(struct wv_output *o, const struct wv_frame *f, uint64_t from, uint64_t to,
		      uint8_t *buf)
{
	struct wv_frame g = *f;
	uint64_t seq = f->seq;
	size_t pos = 0, len;
	const char *text;
	int r = 0;

	memcpy(buf + WV_FRAME_HEADER, f->payload, f->name_len);
	g.type = WV_FRAME_COUNTED;
	g.len = f->name_len;
	g.count = 0;
	while (r == 0 && seq < to && wv_frame_next(f, &pos, &text, &len)) {
		uint32_t le = htole32((uint32_t)len);

		if (seq++ < from)
			continue;
		if (g.len + 4 + len > WV_FRAME_MAX)
			r = add(o, &g, buf);
		memcpy(buf + WV_FRAME_HEADER + g.len, &le, 4);
		memcpy(buf + WV_FRAME_HEADER + g.len + 4, text, len);
		g.len += 4 + (uint32_t)len;
		g.count++;
	}
	return r < 0 ? r : add(o, &g, buf);
}

int wv_output_bury(struct wv_output *o, struct wv_pos from, struct wv_pos to)
{
	struct wv_spool *s = o->spool;
	struct wv_reader reader = {0};
	uint8_t *buf = malloc(WV_FRAME_HEADER + WV_FRAME_MAX);
	struct wv_frame f;
	struct wv_pos at;
	int r = buf ? open_store(o) : -ENOMEM;

	if (r == 0)
		r = wv_reader_init(&reader, s->io, s->dir, from);
	if (r < 0) {
		free(buf);
		return r;
	}
	/* to may lie within a frame */
	for (uint64_t seq = from.seq; r == 0 && seq < to.seq;) {
		struct wv_pos limit;

		pthread_mutex_lock(&s->mutex);
		limit = s->durable;
		pthread_mutex_unlock(&s->mutex);
		r = wv_reader_next(&reader, &limit, 0, &f, &at);
		if (r != 1)
			break;
		r = f.type == WV_FRAME_GAP ? 0 : bury_frame(o, &f, at.seq, to.seq, buf);
		seq = reader.pos.seq;
	}
	if (r >= 0)
		r = wv_spool_store_sync(&o->dead);
	wv_reader_done(&reader);
	free(buf);
	return r;
}
