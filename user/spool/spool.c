// SPDX-License-Identifier: GPL-2.0-only
#include "user/spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/paths.h"
#include "user/spool/output.h"

int wv_spool_folder(const struct wv_spool_config *c, const struct wv_paths *paths, char *ret,
		    size_t size)
{
	int n = *c->dir ? snprintf(ret, size, "%s", c->dir)
			: snprintf(ret, size, "%s/spool/%s", paths->state, c->name);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

void wv_spool_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t ns)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	ns += (uint64_t)at.tv_nsec;
	at.tv_sec += (time_t)(ns / 1000000000);
	at.tv_nsec = (long)(ns % 1000000000);
	(void)pthread_cond_timedwait(cond, mutex, &at);
}

static int init_locks(struct wv_spool *s)
{
	pthread_condattr_t attr;
	int r = pthread_mutex_init(&s->mutex, NULL);

	if (r == 0)
		r = pthread_condattr_init(&attr);
	if (r)
		return -r;
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = pthread_cond_init(&s->work, &attr);
	if (r == 0)
		r = pthread_cond_init(&s->news, &attr);
	(void)pthread_condattr_destroy(&attr);
	return -r;
}

/* One process a spool. */
static int take_lock(struct wv_spool *s)
{
	int r;

	s->lock_fd = s->io->open(s->io->ctx, s->dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return wv_log_errno(s->lock_fd, "spool", "open %s/lock", s->path);
	r = s->io->lock(s->io->ctx, s->lock_fd, false);
	if (r == -EWOULDBLOCK)
		return wv_log_errno(-EBUSY, "spool",
				    "%s is in use by another process; `waveos-bpf spool status` "
				    "tells about it",
				    s->path);
	return r;
}

static void choose(struct wv_spool *s, const struct wv_config *config)
{
	for (size_t i = 0; i < config->n_spool_inputs; i++)
		if (strcmp(config->spool_inputs[i].spool, s->config->name) == 0 &&
		    s->n_inputs < WV_SPOOL_INPUTS_MAX)
			s->inputs[s->n_inputs++] = &config->spool_inputs[i];
	for (size_t i = 0; i < config->n_spool_outputs; i++)
		if (strcmp(config->spool_outputs[i].spool, s->config->name) == 0 &&
		    s->n_outputs < WV_SPOOL_OUTPUTS_MAX)
			s->output_configs[s->n_outputs++] = &config->spool_outputs[i];
}

int wv_spool_open(struct wv_spool *s, const struct wv_config *config,
		  const struct wv_spool_config *c, const struct wv_paths *paths,
		  const struct wv_io *io)
{
	int r;

	*s = (struct wv_spool){.config = c, .io = io, .dir = -1, .lock_fd = -1, .done_fd = -1};
	s->store.fd = -1;
	s->queue_end = &s->queue;
	choose(s, config);
	r = init_locks(s);
	if (r == 0)
		r = wv_spool_folder(c, paths, s->path, sizeof(s->path));
	if (r == 0)
		r = wv_io_mkdirs(io, s->path, 0750);
	if (r < 0)
		return wv_log_errno(r, "spool", "make %s", s->path);
	s->dir = io->open(io->ctx, AT_FDCWD, s->path, O_RDONLY | O_DIRECTORY, 0);
	if (s->dir < 0)
		return wv_log_errno(s->dir, "spool", "open %s", s->path);
	r = take_lock(s);
	if (r < 0)
		return r;
	s->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->done_fd < 0)
		return -errno;
	r = wv_spool_store_open(&s->store, io, s->dir, c->segment_bytes);
	if (r < 0)
		return wv_log_errno(r, "spool", "open the segments of %s", s->path);
	if (s->store.cut_bytes || s->store.damaged_bytes)
		(void)wv_log_full(
			LOG_WARNING, 0, "spool",
			"%s: cut %llu bytes of a torn end, stepped over %llu damaged bytes "
			"in the last segment",
			c->name, (unsigned long long)s->store.cut_bytes,
			(unsigned long long)s->store.damaged_bytes);
	for (size_t i = 0; r == 0 && i < s->n_outputs; i++)
		r = wv_output_new(&s->outputs[i], s, s->output_configs[i]);
	for (size_t i = 0; r == 0 && i < s->n_outputs; i++)
		wv_spool_store_not_before(&s->store, wv_output_seq(s->outputs[i]));
	s->durable = s->store.durable;
	s->oldest = wv_spool_store_oldest(&s->store);
	s->used = s->store.used;
	return r;
}

int wv_spool_start(struct wv_spool *s, uint64_t drain_for_ns)
{
	int r;

	if (drain_for_ns)
		s->drain_until_ns = s->io->mono_ns(s->io->ctx) + drain_for_ns;
	r = -pthread_create(&s->writer, NULL, wv_spool_writer, s);
	s->writer_runs = r == 0;
	for (size_t i = 0; r == 0 && i < s->n_outputs; i++)
		r = wv_output_start(s->outputs[i]);
	return r;
}

bool wv_spool_drain(struct wv_spool *s)
{
	bool over = true;

	pthread_mutex_lock(&s->mutex);
	if (!s->drain) {
		s->drain = s->ending = true;
		pthread_cond_signal(&s->work);
		pthread_cond_broadcast(&s->news);
	}
	for (size_t i = 0; i < s->n_outputs; i++)
		over &= s->outputs[i]->cursor.pos.seq >= s->durable.seq;
	over &= s->ended;
	if (s->drain_until_ns && s->io->mono_ns(s->io->ctx) >= s->drain_until_ns)
		over = true;
	pthread_mutex_unlock(&s->mutex);
	return over;
}

static void free_list(struct wv_chunk *c)
{
	while (c) {
		struct wv_chunk *next = c->next;

		free(c);
		c = next;
	}
}

void wv_spool_end_writer(struct wv_spool *s)
{
	pthread_mutex_lock(&s->mutex);
	s->ending = true;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->mutex);
	if (s->writer_runs)
		pthread_join(s->writer, NULL);
	s->was_run |= s->writer_runs;
	s->writer_runs = false;
}

uint64_t wv_spool_close(struct wv_spool *s)
{
	uint64_t left = 0;

	wv_spool_end_writer(s);
	pthread_mutex_lock(&s->mutex);
	s->stop = true;
	pthread_cond_broadcast(&s->news);
	pthread_mutex_unlock(&s->mutex);
	for (size_t i = 0; i < s->n_outputs; i++)
		if (s->outputs[i])
			wv_output_join(s->outputs[i]);
	for (size_t i = 0; i < s->n_outputs; i++)
		if (s->outputs[i])
			left += s->durable.seq - wv_output_seq(s->outputs[i]);
	if (s->was_run)
		(void)wv_spool_write_status(s);
	for (size_t i = 0; i < s->n_outputs; i++)
		wv_output_free(s->outputs[i]);
	free_list(s->queue);
	free_list(s->done);
	free_list(s->pool);
	wv_spool_store_close(&s->store);
	if (s->lock_fd >= 0)
		(void)s->io->close(s->io->ctx, s->lock_fd);
	if (s->dir >= 0)
		(void)s->io->close(s->io->ctx, s->dir);
	wv_closep(&s->done_fd);
	(void)pthread_mutex_destroy(&s->mutex);
	(void)pthread_cond_destroy(&s->work);
	(void)pthread_cond_destroy(&s->news);
	return left;
}

/* Chunks --------------------------------------------------------------------------------------- */

struct wv_chunk *wv_chunk_new(struct wv_spool *s, unsigned input)
{
	const struct wv_spool_input_config *in = s->inputs[input];
	size_t name = strlen(in->name);
	struct wv_chunk *c = s->pool;

	if (c)
		s->pool = c->next;
	else
		c = malloc(sizeof(*c) + WV_FRAME_HEADER + WV_SPOOL_NAME + WV_CHUNK_BYTES + 4);
	if (!c)
		return NULL;
	*c = (struct wv_chunk){
		.input = input,
		.when_full = (enum wv_spool_full)(in->when_full ? in->when_full - 1
								: s->config->when_full),
		.frame = {.type = WV_FRAME_LINES,
			  .format = (uint8_t)in->format,
			  .name_len = (uint8_t)name},
	};
	memcpy(c->buf + WV_FRAME_HEADER, in->name, name);
	c->records = c->buf + WV_FRAME_HEADER + name;
	return c;
}

void wv_chunk_recycle(struct wv_spool *s, struct wv_chunk *c)
{
	if (!c)
		return;
	c->next = s->pool;
	s->pool = c;
}

void wv_spool_shrink(struct wv_spool *s)
{
	free_list(s->pool);
	s->pool = NULL;
}

bool wv_spool_is_busy(struct wv_spool *s)
{
	bool busy;

	pthread_mutex_lock(&s->mutex);
	busy = s->pending_bytes >= WV_PENDING_MAX;
	s->waits_for_room |= busy;
	pthread_mutex_unlock(&s->mutex);
	return busy;
}

bool wv_chunk_submit(struct wv_spool *s, struct wv_chunk *c)
{
	struct wv_input_count *count = &s->in[c->input];
	uint64_t len;
	bool full;

	c->frame.len = (uint32_t)(c->frame.name_len + c->used);
	c->frame.wall_ns = s->io->wall_ns(s->io->ctx);
	len = WV_FRAME_HEADER + c->frame.len;
	pthread_mutex_lock(&s->mutex);
	full = s->used + s->pending_bytes + len > s->config->buffer_bytes;
	if (!s->closing && (s->pending_bytes >= WV_PENDING_MAX ||
			    (full && c->when_full == WV_FULL_BACKPRESSURE))) {
		s->waits_for_room = true;
		pthread_mutex_unlock(&s->mutex);
		return false;
	}
	count->records += c->frame.count;
	count->bytes += c->used;
	if (full && c->when_full == WV_FULL_DROP_NEWEST) {
		count->dropped += c->frame.count;
		s->dropped_newest += c->frame.count;
		s->gap += c->frame.count;
		c->dropped = true;
		c->next = s->done;
		s->done = c;
		(void)eventfd_write(s->done_fd, 1);
	} else {
		c->next = NULL;
		*s->queue_end = c;
		s->queue_end = &c->next;
		s->pending_bytes += len;
		pthread_cond_signal(&s->work);
	}
	pthread_mutex_unlock(&s->mutex);
	return true;
}

struct wv_chunk *wv_spool_take_done(struct wv_spool *s)
{
	struct wv_chunk *list, *in_order = NULL;
	eventfd_t ignored;

	(void)eventfd_read(s->done_fd, &ignored);
	pthread_mutex_lock(&s->mutex);
	list = s->done;
	s->done = NULL;
	s->waits_for_room = false;
	pthread_mutex_unlock(&s->mutex);
	/* newest first, as they were put there */
	while (list) {
		struct wv_chunk *next = list->next;

		list->next = in_order;
		in_order = list;
		list = next;
	}
	return in_order;
}
