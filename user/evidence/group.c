// SPDX-License-Identifier: GPL-2.0-only
/*
 * One mutex guards everything but what a stage has taken: the batch being written belongs to the
 * writer, the file position and tree `l->begin_*` (what is durable) to the syncer.
 *
 * A batch goes open -> written -> decided. A failure decides all that is not yet durable: seqs of
 * later batches build on those of earlier ones.
 */
#include "user/evidence/group.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/evidence/tlog_internal.h"

#define BATCH_BYTES (1U << 20)
#define UNSYNCED_BYTES (8U << 20)
#define KEEP_BYTES (2U << 20) /* of hashes: 65,536 records */
#define RESULTS 256	      /* decided batches that can still be asked for */
#define PAUSE_US 1500	      /* others poll the lock three times in it */

struct batch {
	char *buf;
	uint32_t *lens; /* newline not included */
	size_t used, n, room;
	uint64_t first; /* seq */
};

struct wv_group {
	struct wv_tlog *l;
	struct wv_group_options o;
	pthread_mutex_t mutex;
	pthread_cond_t submitters, writer, syncer, keeper, waiters;
	pthread_t write_thread, sync_thread, keep_thread;
	struct batch batches[2], *open, *spare;
	struct wv_hash *leaves;
	size_t leaves_room;
	uint64_t number; /* of the open batch, its ticket; from 1 */

	bool held;     /* the lock, and the next seq is known */
	bool wanted;   /* somebody waits for it */
	bool fresh;    /* ... and has not yet composed since it was had */
	bool draining; /* nothing more is composed until the lock was given up */
	bool closing;
	bool hashes_failed;
	bool keeping;	  /* the file of hashes is being synced: it must stay open */
	bool written_all; /* the writer has ended */
	uint64_t hashes_written, hashes_kept; /* bytes since it was opened */
	int failed;			      /* everything that is not durable goes */
	int lock_error;
	uint64_t held_since_ns;

	uint64_t written, decided; /* numbers of batches */
	uint64_t written_len;	   /* of the file, and below: as of the last written batch */
	uint64_t written_size;
	struct wv_merkle written_tree;
	uint64_t acknowledged_size;
	int results[RESULTS];
};

static uint64_t durable_len(const struct wv_group *g)
{
	return g->l->begin_len;
}

static bool is_idle(const struct wv_group *g)
{
	return !g->open->n && g->written == g->decided;
}

/* With the mutex: nothing is in flight. The log is in order, so what is due is done. */
static void give_up_lock(struct wv_group *g)
{
	struct wv_tlog *l = g->l;
	bool contended = g->draining;

	if (!g->held)
		return;
	g->held = false;
	l->hashes_doubt |= g->hashes_failed;
	g->hashes_failed = false;
	pthread_mutex_unlock(&g->mutex);
	l->dirty = false;
	(void)wv_tlog_end(l, false);
	(void)wv_tlog_commit(l); /* a segment and a checkpoint may be due; it says what fails */
	if (contended)
		usleep(PAUSE_US);
	pthread_mutex_lock(&g->mutex);
	g->draining = false;
	pthread_cond_broadcast(&g->submitters);
}

static void take_lock(struct wv_group *g)
{
	int r;

	pthread_mutex_unlock(&g->mutex);
	r = wv_tlog_begin(g->l);
	if (r == 0) { /* also writes anew what a failed sync left in doubt */
		r = wv_tlog_sync(g->l);
		if (r < 0)
			wv_tlog_abort(g->l);
	}
	pthread_mutex_lock(&g->mutex);
	g->wanted = false;
	g->lock_error = r;
	if (r == 0) {
		g->held = g->fresh = true;
		g->held_since_ns = g->l->io->mono_ns(g->l->io->ctx);
		g->written_len = g->l->len;
		g->written_size = g->acknowledged_size = g->l->tree.size;
		g->written_tree = g->l->tree;
		g->open->first = g->l->tree.size + 1;
	}
	pthread_cond_broadcast(&g->submitters);
}

static int hash_batch(struct wv_group *g, const struct batch *b)
{
	const char *line = b->buf;

	if (b->n > g->leaves_room) {
		struct wv_hash *more = realloc(g->leaves, b->n * 2 * sizeof(*more));

		if (!more)
			return -ENOMEM;
		g->leaves = more;
		g->leaves_room = b->n * 2;
	}
	for (size_t i = 0; i < b->n; i++) {
		wv_merkle_leaf(line, b->lens[i], &g->leaves[i]);
		wv_merkle_add(&g->l->tree, &g->leaves[i]);
		line += b->lens[i] + 1;
	}
	return 0;
}

/* Without the mutex: only the writer touches tree, len and file. */
static int write_batch(struct wv_group *g, const struct batch *b)
{
	struct wv_tlog *l = g->l;
	int r = hash_batch(g, b);

	l->dirty = true;
	if (r == 0)
		r = wv_io_write_all(l->io, l->fd, b->buf, b->used);
	if (r < 0)
		return r;
	l->len += b->used;
	(void)wv_tlog_hashes_append(l, g->leaves, b->n);
	return 0;
}

/* With the mutex; neither stage is in a call. All that is not durable is taken back. */
static void fail_all(struct wv_group *g)
{
	uint64_t n = g->open->first + g->open->n - 1 - g->acknowledged_size;
	uint64_t first = g->acknowledged_size + 1;
	int error = g->failed;

	for (uint64_t i = g->decided + 1; i <= g->number; i++)
		g->results[i % RESULTS] = error;
	g->decided = g->written = g->number++;
	g->open->n = g->open->used = 0;
	g->failed = 0;
	g->held = g->draining = false;
	pthread_mutex_unlock(&g->mutex);
	wv_tlog_abort(g->l);
	if (g->o.acknowledged && n)
		g->o.acknowledged(g->o.ctx, first, n, error);
	pthread_mutex_lock(&g->mutex);
	pthread_cond_broadcast(&g->submitters);
	pthread_cond_broadcast(&g->waiters);
}

static void next_batch(struct wv_group *g, struct batch **ret)
{
	struct batch *b = g->open;

	g->open = g->spare;
	g->spare = NULL;
	g->open->n = g->open->used = 0;
	g->open->first = b->first + b->n;
	g->number++;
	*ret = b;
	pthread_cond_broadcast(&g->submitters);
}

static bool hold_is_long(const struct wv_group *g)
{
	const struct wv_tlog *l = g->l;

	return l->io->mono_ns(l->io->ctx) - g->held_since_ns > WV_GROUP_HOLD_NS ||
	       (l->o.segment_bytes && g->written_len >= l->o.segment_bytes);
}

/* With the mutex. */
static void write_open(struct wv_group *g)
{
	struct batch *b;
	int r;

	next_batch(g, &b);
	if (!g->l->begun_ns)
		g->l->begun_ns = g->l->io->wall_ns(g->l->io->ctx);
	pthread_mutex_unlock(&g->mutex);
	r = write_batch(g, b);
	pthread_mutex_lock(&g->mutex);
	g->spare = b;
	if (r < 0) {
		g->failed = r;
	} else {
		g->written++;
		g->written_len = g->l->len;
		g->written_size = g->l->tree.size;
		g->written_tree = g->l->tree;
		g->hashes_written += b->n * WV_HASH_SIZE;
		if (g->hashes_written - g->hashes_kept >= KEEP_BYTES)
			pthread_cond_signal(&g->keeper);
		if (hold_is_long(g))
			g->draining = true;
	}
	pthread_cond_signal(&g->syncer);
}

static void *write_loop(void *ctx)
{
	struct wv_group *g = ctx;

	pthread_mutex_lock(&g->mutex);
	for (;;) {
		bool may = !g->failed; /* the syncer decides what fails */

		if (may && g->wanted && !g->held && !g->keeping)
			take_lock(g);
		else if (may && g->open->n &&
			 g->written_len - durable_len(g) <= g->o.unsynced_bytes)
			write_open(g);
		else if (may && g->held && !g->fresh && is_idle(g) && !g->keeping)
			give_up_lock(g);
		else if (may && g->closing && is_idle(g))
			break;
		else
			pthread_cond_wait(&g->writer, &g->mutex);
	}
	g->written_all = true;
	pthread_cond_signal(&g->syncer);
	pthread_cond_signal(&g->keeper);
	pthread_mutex_unlock(&g->mutex);
	return NULL;
}

/*
 * A checkpoint needs all hashes on disk; it is made while nobody can append, so that what is left
 * to sync must be little. Acknowledgements do not need them.
 */
static void *keep_loop(void *ctx)
{
	struct wv_group *g = ctx;
	struct wv_tlog *l = g->l;

	pthread_mutex_lock(&g->mutex);
	while (!g->written_all) {
		uint64_t upto = g->hashes_written;
		int r;

		if (!g->held || upto - g->hashes_kept < KEEP_BYTES) {
			pthread_cond_wait(&g->keeper, &g->mutex);
			continue;
		}
		g->keeping = true;
		pthread_mutex_unlock(&g->mutex);
		r = wv_io_sync_data(l->io, l->hashfd);
		pthread_mutex_lock(&g->mutex);
		g->keeping = false;
		g->hashes_kept = upto;
		g->hashes_failed |= r < 0;
		pthread_cond_signal(&g->writer);
	}
	pthread_mutex_unlock(&g->mutex);
	return NULL;
}

/* With the mutex: what was written when this was called is durable, or all fails. */
static void sync_written(struct wv_group *g)
{
	struct wv_tlog *l = g->l;
	uint64_t upto = g->written, len = g->written_len, size = g->written_size;
	uint64_t first = g->acknowledged_size + 1;
	struct wv_merkle tree = g->written_tree;
	int r;

	pthread_mutex_unlock(&g->mutex);
	r = l->doubt ? -EIO : wv_io_sync_data(l->io, l->fd);
	if (r == 0 && g->o.acknowledged)
		g->o.acknowledged(g->o.ctx, first, size - first + 1, 0);
	pthread_mutex_lock(&g->mutex);
	if (r < 0) {
		l->doubt = true; /* the next sync writes the file anew */
		g->failed = r;
		return;
	}
	l->begin_len = len;
	l->begin_tree = tree;
	l->begin_ns = l->begun_ns;
	g->acknowledged_size = size;
	for (uint64_t i = g->decided + 1; i <= upto; i++)
		g->results[i % RESULTS] = 0;
	g->decided = upto;
	pthread_cond_broadcast(&g->waiters);
	pthread_cond_signal(&g->writer);
}

static void *sync_loop(void *ctx)
{
	struct wv_group *g = ctx;

	pthread_mutex_lock(&g->mutex);
	for (;;) {
		if (g->failed && g->spare) { /* the writer is in no call */
			fail_all(g);
			pthread_cond_signal(&g->writer);
		} else if (g->written != g->decided && !g->failed) {
			sync_written(g);
		} else if (g->closing && is_idle(g) && !g->held) {
			break;
		} else {
			pthread_cond_wait(&g->syncer, &g->mutex);
		}
	}
	pthread_mutex_unlock(&g->mutex);
	return NULL;
}

/* With the mutex: there is room for a record, and its seq is known. */
static int wait_for_room(struct wv_group *g)
{
	for (;;) {
		struct batch *b = g->open;

		if (g->held && !g->draining && !g->failed &&
		    b->used + WV_RECORD_MAX <= g->o.batch_bytes && b->n < b->room)
			return 0;
		if (!g->held && g->lock_error) {
			int r = g->lock_error;

			g->lock_error = 0; /* the next one tries again */
			return r;
		}
		if (!g->held && !g->failed && !g->draining) {
			g->wanted = true;
			pthread_cond_signal(&g->writer);
		}
		pthread_cond_wait(&g->submitters, &g->mutex);
	}
}

int wv_group_submit(struct wv_group *g, wv_tlog_compose_fn compose, void *ctx, uint64_t *ret_seq,
		    uint64_t *ret_ticket)
{
	struct batch *b;
	uint64_t seq;
	ssize_t n;
	int r;

	pthread_mutex_lock(&g->mutex);
	r = wait_for_room(g);
	if (r < 0)
		goto out;
	b = g->open;
	seq = b->first + b->n;
	n = compose(ctx, seq, b->buf + b->used, WV_RECORD_MAX - 1);
	g->fresh = false;
	if (n <= 0 || n > (ssize_t)WV_RECORD_MAX - 1 || memchr(b->buf + b->used, '\n', (size_t)n)) {
		r = n < 0 ? (int)n : -EINVAL;
		if (!b->n)
			pthread_cond_signal(&g->writer); /* to give up the lock */
		goto out;
	}
	b->lens[b->n] = (uint32_t)n;
	b->buf[b->used + (size_t)n] = '\n';
	b->used += (size_t)n + 1;
	if (!b->n++)
		pthread_cond_signal(&g->writer);
	if (ret_seq)
		*ret_seq = seq;
	if (ret_ticket)
		*ret_ticket = g->number;
out:
	pthread_mutex_unlock(&g->mutex);
	return r;
}

int wv_group_wait(struct wv_group *g, uint64_t ticket)
{
	int r;

	pthread_mutex_lock(&g->mutex);
	while (g->decided < ticket)
		pthread_cond_wait(&g->waiters, &g->mutex);
	r = g->decided - ticket >= RESULTS ? -ESTALE : g->results[ticket % RESULTS];
	pthread_mutex_unlock(&g->mutex);
	return r;
}

int wv_group_flush(struct wv_group *g)
{
	int r;

	pthread_mutex_lock(&g->mutex);
	while (!is_idle(g))
		pthread_cond_wait(&g->waiters, &g->mutex);
	r = g->results[g->decided % RESULTS];
	pthread_mutex_unlock(&g->mutex);
	return r;
}

static void free_group(struct wv_group *g)
{
	for (size_t i = 0; i < ARRAY_SIZE(g->batches); i++) {
		free(g->batches[i].buf);
		free(g->batches[i].lens);
	}
	free(g->leaves);
	free(g);
}

static int make_batches(struct wv_group *g)
{
	for (size_t i = 0; i < ARRAY_SIZE(g->batches); i++) {
		struct batch *b = &g->batches[i];

		/* a line has at least two bytes and is rarely under 64 */
		b->room = g->o.batch_bytes / 64;
		b->buf = malloc(g->o.batch_bytes);
		b->lens = calloc(b->room, sizeof(*b->lens));
		if (!b->buf || !b->lens)
			return -ENOMEM;
	}
	g->open = &g->batches[0];
	g->spare = &g->batches[1];
	return 0;
}

/* Writer, syncer, keeper; those that run are ended again where one cannot be had. */
static int start_threads(struct wv_group *g)
{
	void *(*const loops[])(void *) = {write_loop, sync_loop, keep_loop};
	pthread_t *threads[] = {&g->write_thread, &g->sync_thread, &g->keep_thread};
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(loops); i++) {
		r = -pthread_create(threads[i], NULL, loops[i], g);
		if (r < 0)
			break;
	}
	if (r == 0)
		return 0;
	pthread_mutex_lock(&g->mutex);
	g->closing = true;
	pthread_cond_signal(&g->writer);
	pthread_cond_signal(&g->syncer);
	pthread_mutex_unlock(&g->mutex);
	while (i--)
		(void)pthread_join(*threads[i], NULL);
	return r;
}

int wv_group_open(struct wv_group **ret, struct wv_tlog *l, const struct wv_group_options *options)
{
	struct wv_group *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->l = l;
	if (options)
		g->o = *options;
	g->o.batch_bytes = g->o.batch_bytes ?: BATCH_BYTES;
	g->o.unsynced_bytes = g->o.unsynced_bytes ?: UNSYNCED_BYTES;
	g->number = 1;
	r = g->o.batch_bytes < 2 * (size_t)WV_RECORD_MAX ? -EINVAL : make_batches(g);
	if (r < 0) {
		free_group(g);
		return r;
	}
	pthread_mutex_init(&g->mutex, NULL);
	pthread_cond_init(&g->submitters, NULL);
	pthread_cond_init(&g->writer, NULL);
	pthread_cond_init(&g->syncer, NULL);
	pthread_cond_init(&g->keeper, NULL);
	pthread_cond_init(&g->waiters, NULL);
	r = start_threads(g);
	if (r < 0) {
		free_group(g);
		return r;
	}
	*ret = g;
	return 0;
}

void wv_group_close(struct wv_group *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&g->mutex);
	g->closing = true;
	pthread_cond_signal(&g->writer);
	pthread_cond_signal(&g->syncer);
	pthread_mutex_unlock(&g->mutex);
	(void)pthread_join(g->write_thread, NULL);
	(void)pthread_join(g->sync_thread, NULL);
	(void)pthread_join(g->keep_thread, NULL);
	pthread_mutex_destroy(&g->mutex);
	pthread_cond_destroy(&g->submitters);
	pthread_cond_destroy(&g->writer);
	pthread_cond_destroy(&g->syncer);
	pthread_cond_destroy(&g->keeper);
	pthread_cond_destroy(&g->waiters);
	free_group(g);
}
