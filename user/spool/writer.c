// SPDX-License-Identifier: GPL-2.0-only
/*
 * The writer: appends the chunks that came in meanwhile, syncs once for all of them, and says what
 * is durable. While it syncs, the next group gathers: the disk sets the pace.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "user/core/log.h"
#include "user/spool/spool.h"

/* So much is written at once however soon the last sync was. */
#define GROUP_BYTES (4U << 20)
/* How often it is looked for room, and a disk that failed is tried again. */
#define LOOK_NS 1000000000ULL
#define RETRY_NS 200000000ULL
#define TELL_NS 10000000000ULL
/* Room that a record of dropped ones takes beyond the buffer's bound. */
#define GAP_ROOM 4096

struct group {
	struct wv_spool *s;
	struct wv_chunk *list;
	uint64_t bytes;
};

static bool is_durable(const struct wv_spool *s, const struct wv_chunk *c)
{
	return c->appended && c->frame.seq + c->frame.count <= s->store.durable.seq;
}

/* What was dropped stands in the log as soon as there is room for it. */
static int append_gap(struct wv_spool *s)
{
	static const char why[] = "spoolthe buffer was full";
	uint8_t buf[WV_FRAME_HEADER + sizeof(why)];
	struct wv_frame f = {.type = WV_FRAME_GAP, .name_len = 5, .len = sizeof(why) - 1};
	uint64_t gap;
	int r;

	pthread_mutex_lock(&s->mutex);
	gap = s->gap;
	pthread_mutex_unlock(&s->mutex);
	if (!gap || s->store.used + sizeof(buf) > s->config->buffer_bytes + GAP_ROOM)
		return 0;
	f.count = gap < UINT32_MAX ? (uint32_t)gap : UINT32_MAX;
	f.wall_ns = s->io->wall_ns(s->io->ctx);
	memcpy(buf + WV_FRAME_HEADER, why, sizeof(why) - 1);
	r = wv_spool_store_append(&s->store, &f, buf);
	if (r == 0)
		r = wv_spool_store_sync(&s->store);
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->mutex);
	s->gap -= f.count;
	pthread_mutex_unlock(&s->mutex);
	return 0;
}

static void drop(struct wv_spool *s, struct wv_chunk *c)
{
	c->dropped = true;
	pthread_mutex_lock(&s->mutex);
	s->in[c->input].dropped += c->frame.count;
	s->dropped_newest += c->frame.count;
	s->gap += c->frame.count;
	pthread_mutex_unlock(&s->mutex);
}

static int append(struct wv_spool *s, struct wv_chunk *c)
{
	uint64_t len = WV_FRAME_HEADER + c->frame.len;
	int r;

	while (c->when_full == WV_FULL_DROP_OLDEST && s->store.used + len > s->config->buffer_bytes)
		if (wv_spool_store_drop_oldest(&s->store) < 0)
			break;
	r = wv_spool_store_append(&s->store, &c->frame, c->buf);
	if (r == 0)
		c->appended = true;
	return r;
}

static int append_all(struct group *g, struct wv_chunk **ret_failed)
{
	int r = 0;

	*ret_failed = NULL;
	for (struct wv_chunk *c = g->list; r == 0 && c; c = c->next) {
		if (c->dropped || is_durable(g->s, c))
			continue;
		r = append(g->s, c);
		if (r < 0)
			*ret_failed = c;
	}
	return r;
}

/* A disk that is just full changes its mind with every segment that goes: not each time. */
static void tell_disk(struct wv_spool *s, int error)
{
	uint64_t now = s->io->mono_ns(s->io->ctx);

	if (error && !s->disk_told_ns) {
		s->disk_told_ns = now;
		(void)wv_log_errno(error, "spool", "%s: write to %s; trying again", s->config->name,
				   s->path);
	} else if (!error && s->disk_told_ns && now - s->disk_told_ns > TELL_NS) {
		s->disk_told_ns = 0;
		wv_log_info("spool", "%s: writing works again", s->config->name);
	}
}

static void publish(struct wv_spool *s, int disk_error)
{
	pthread_mutex_lock(&s->mutex);
	tell_disk(s, disk_error);
	s->disk_errors += disk_error != 0;
	s->disk_error = disk_error;
	s->durable = s->store.durable;
	s->oldest = wv_spool_store_oldest(&s->store);
	s->used = s->store.used;
	pthread_cond_broadcast(&s->news);
	pthread_mutex_unlock(&s->mutex);
}

/* Segments that every output has passed. Also wakes inputs that wait for room. */
static void trim(struct wv_spool *s)
{
	uint64_t below;
	int r;

	pthread_mutex_lock(&s->mutex);
	below = s->saved_below;
	pthread_mutex_unlock(&s->mutex);
	r = wv_spool_store_trim(&s->store, below);
	if (r < 0)
		(void)wv_log_errno(r, "spool", "%s: remove old segments", s->config->name);
	pthread_mutex_lock(&s->mutex);
	s->oldest = wv_spool_store_oldest(&s->store);
	s->used = s->store.used;
	if (s->waits_for_room && s->pending_bytes < WV_PENDING_MAX)
		(void)eventfd_write(s->done_fd, 1);
	pthread_mutex_unlock(&s->mutex);
}

/* The disk is full or broken: drops what the policy lets it drop, or waits. False: give up. */
static bool bear(struct wv_spool *s, struct wv_chunk *failed)
{
	bool go_on;

	trim(s);
	if (failed && failed->when_full == WV_FULL_DROP_OLDEST &&
	    wv_spool_store_drop_oldest(&s->store) == 0)
		return true;
	if (failed && failed->when_full != WV_FULL_BACKPRESSURE) {
		drop(s, failed);
		return true;
	}
	pthread_mutex_lock(&s->mutex);
	if (!s->ending)
		wv_spool_wait(&s->work, &s->mutex, RETRY_NS);
	go_on = !s->ending;
	pthread_mutex_unlock(&s->mutex);
	return go_on;
}

static void write_group(struct group *g)
{
	struct wv_spool *s = g->s;
	struct wv_chunk *failed;

	for (;;) {
		int r = append_gap(s), synced;

		if (r == 0)
			r = append_all(g, &failed);
		else
			failed = g->list;
		/* what was appended before the failure is brought to an end, too: it is durable, or
		 * appended again */
		synced = wv_spool_store_sync(&s->store);
		publish(s, r ?: synced);
		if (r == 0 && synced == 0)
			return;
		if (!bear(s, r < 0 ? failed : NULL)) {
			(void)wv_log_errno(r ?: synced, "spool",
					   "%s: records that were not acknowledged are not kept",
					   s->config->name);
			for (struct wv_chunk *c = g->list; c; c = c->next)
				c->unwritten = !c->dropped && !is_durable(s, c);
			return;
		}
	}
}

static void finish(struct group *g)
{
	struct wv_spool *s = g->s;

	pthread_mutex_lock(&s->mutex);
	s->pending_bytes -= g->bytes;
	while (g->list) {
		struct wv_chunk *c = g->list;

		g->list = c->next;
		c->next = s->done;
		s->done = c;
	}
	(void)eventfd_write(s->done_fd, 1);
	pthread_mutex_unlock(&s->mutex);
}

/* Waits for chunks; takes all there are. False: none will come. */
static bool gather(struct wv_spool *s, uint64_t last_sync_ns, struct group *ret)
{
	uint64_t now, due = last_sync_ns + s->config->sync_ns;

	*ret = (struct group){.s = s};
	pthread_mutex_lock(&s->mutex);
	if (!s->queue && !s->ending)
		wv_spool_wait(&s->work, &s->mutex, LOOK_NS);
	while (s->queue && !s->ending && s->pending_bytes < GROUP_BYTES &&
	       (now = s->io->mono_ns(s->io->ctx)) < due)
		wv_spool_wait(&s->work, &s->mutex, due - now);
	ret->list = s->queue;
	s->queue = NULL;
	s->queue_end = &s->queue;
	for (const struct wv_chunk *c = ret->list; c; c = c->next)
		ret->bytes += WV_FRAME_HEADER + c->frame.len;
	if (!ret->list && s->ending) {
		s->ended = true;
		pthread_cond_broadcast(&s->news);
	}
	pthread_mutex_unlock(&s->mutex);
	return ret->list || !s->ended;
}

void *wv_spool_writer(void *spool)
{
	struct wv_spool *s = spool;
	uint64_t last_sync_ns = 0;
	struct group g;
	bool go_on;

	do {
		bool gap;

		go_on = gather(s, last_sync_ns, &g);
		if (g.list) {
			write_group(&g);
			last_sync_ns = s->io->mono_ns(s->io->ctx);
			finish(&g);
		}
		trim(s);
		pthread_mutex_lock(&s->mutex);
		gap = s->gap > 0;
		pthread_mutex_unlock(&s->mutex);
		if (gap && !g.list)
			publish(s, append_gap(s));
	} while (go_on);
	pthread_mutex_lock(&s->mutex);
	pthread_cond_broadcast(&s->news);
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}
