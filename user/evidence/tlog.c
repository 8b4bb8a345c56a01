// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log's writer. Invariants, with the lock held and after wv_tlog_lock(): `tree` has all records
 * of the files, `len` is the length of the open segment, which ends with a newline.
 *
 * Order of what is made durable: lines (commit), then leaf hashes, then a checkpoint over them. An
 * acknowledgement needs the lines only; the hashes are completed from them.
 */
#include "user/evidence/tlog.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/paths.h"
#include "user/evidence/tlog_internal.h"

/* A lock is held for one write and its sync; who holds it longer is stopped, and must not stop
 * others. */
#define LOCK_TRIES 4000
#define LOCK_PAUSE_US 500
/* a transaction is written in pieces of at most this */
#define BATCH_MAX (4U << 20)

static int acquire(struct wv_tlog *l)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		int r = l->io->lock(l->io->ctx, l->lockfd, false);

		if (r != -EWOULDBLOCK && r != -EINTR)
			return r;
		usleep(LOCK_PAUSE_US);
	}
	return -EBUSY;
}

/* On disk before anything is appended: else a power cut could leave sectors of new lines and, after
 * them, what was to be cut off. */
int wv_tlog_cut(struct wv_tlog *l, uint64_t len)
{
	int r = l->io->ftruncate(l->io->ctx, l->fd, (off_t)len);

	if (r == 0) {
		r = l->io->fsync(l->io->ctx, l->fd);
		l->doubt |= r < 0;
	}
	return r;
}

/* What a failed write left behind is cut off before anything else happens. */
static int cut_torn(struct wv_tlog *l)
{
	int r = wv_tlog_cut(l, l->begin_len);

	if (r == 0)
		l->torn = false;
	return r;
}

/* Takes in what other processes did since. */
static int refresh(struct wv_tlog *l)
{
	uint64_t epoch, size;
	int r = l->torn ? cut_torn(l) : 0;

	if (r == 0)
		r = l->io->size(l->io->ctx, l->lockfd, &epoch);
	if (r < 0)
		return r;
	if (epoch != l->epoch || l->fd < 0 || l->hashfd < 0)
		return wv_tlog_load(l, NULL);
	r = l->io->size(l->io->ctx, l->fd, &size);
	if (r == 0 && size < l->len)
		return wv_tlog_load(l, NULL);
	if (r == 0 && size > l->len)
		r = wv_tlog_catch_up(l, size);
	if (r < 0)
		return r;
	(void)wv_tlog_hashes_fit(l);
	return 0;
}

int wv_tlog_lock(struct wv_tlog *l)
{
	int r = 0;

	if (l->locked) {
		l->locked++;
		return 0;
	}
	if (!l->flocked)
		r = acquire(l);
	if (r < 0)
		return r;
	l->flocked = true;
	l->locked = 1;
	r = refresh(l);
	if (r < 0)
		wv_tlog_unlock(l);
	return r;
}

void wv_tlog_unlock(struct wv_tlog *l)
{
	if (--l->locked || l->torn) /* while torn nobody may append */
		return;
	(void)l->io->unlock(l->io->ctx, l->lockfd);
	l->flocked = false;
}

int wv_tlog_bump(struct wv_tlog *l)
{
	int r = l->io->ftruncate(l->io->ctx, l->lockfd, (off_t)(l->epoch + 1));

	if (r == 0)
		l->epoch++;
	return r;
}

int wv_tlog_begin(struct wv_tlog *l)
{
	int r;

	if (l->open)
		return -EBUSY;
	r = wv_tlog_lock(l);
	if (r == 0 && l->dir_dirty) {
		r = wv_tlog_open_segment(l);
		if (r < 0)
			wv_tlog_unlock(l);
	}
	if (r < 0)
		return r;
	l->open = true;
	l->begin_len = l->len;
	l->begin_ns = l->begun_ns;
	l->begin_tree = l->tree;
	l->used = l->n_leaves = 0;
	return 0;
}

/* The files are as at the beginning, or `torn` keeps everybody out until they are. */
static void roll_back(struct wv_tlog *l)
{
	uint64_t size = 0;

	l->tree = l->begin_tree;
	l->len = l->begin_len;
	l->begun_ns = l->begin_ns;
	l->used = l->n_leaves = 0;
	if (l->fd < 0)
		return;
	if (l->io->size(l->io->ctx, l->fd, &size) == 0 && size == l->begin_len)
		return;
	l->torn = true;
	(void)cut_torn(l);
}

static int write_out(struct wv_tlog *l)
{
	int r;

	if (!l->used)
		return 0;
	l->dirty = true;
	r = wv_io_write_all(l->io, l->fd, l->buf, l->used);
	if (r < 0)
		return r;
	l->len += l->used;
	/* what fails here is completed from the lines */
	(void)wv_tlog_hashes_append(l, l->leaves, l->n_leaves);
	l->used = l->n_leaves = 0;
	return 0;
}

static int make_room(struct wv_tlog *l)
{
	size_t room = l->room ? l->room * 2 : WV_RECORD_MAX;
	struct wv_hash *leaves;
	char *buf;

	if (l->n_leaves == l->leaves_room) {
		leaves = realloc(l->leaves, (l->leaves_room + 64) * 2 * sizeof(*leaves));
		if (!leaves)
			return -ENOMEM;
		l->leaves = leaves;
		l->leaves_room = (l->leaves_room + 64) * 2;
	}
	if (l->room - l->used >= WV_RECORD_MAX)
		return 0;
	if (room > BATCH_MAX)
		return write_out(l);
	buf = realloc(l->buf, room);
	if (!buf)
		return -ENOMEM;
	l->buf = buf;
	l->room = room;
	return 0;
}

static int gather(struct wv_tlog *l, wv_tlog_compose_fn compose, void *ctx, uint64_t *ret_seq)
{
	uint64_t seq = l->tree.size + 1;
	ssize_t n;
	int r = make_room(l);

	if (r < 0)
		return r;
	n = compose(ctx, seq, l->buf + l->used, WV_RECORD_MAX - 1);
	if (n < 0)
		return (int)n;
	if (n == 0 || n > (ssize_t)WV_RECORD_MAX - 1 || memchr(l->buf + l->used, '\n', (size_t)n))
		return -EINVAL;
	wv_merkle_leaf(l->buf + l->used, (size_t)n, &l->leaves[l->n_leaves]);
	wv_merkle_add(&l->tree, &l->leaves[l->n_leaves++]);
	l->used += (size_t)n;
	l->buf[l->used++] = '\n';
	if (!l->begun_ns)
		l->begun_ns = l->io->wall_ns(l->io->ctx);
	if (ret_seq)
		*ret_seq = seq;
	return 0;
}

void wv_tlog_abort(struct wv_tlog *l)
{
	if (!l->open)
		return;
	l->open = false;
	roll_back(l);
	wv_tlog_unlock(l);
}

int wv_tlog_end(struct wv_tlog *l, bool durable)
{
	int r = write_out(l);

	if (r == 0 && durable)
		r = wv_tlog_sync(l);
	if (r < 0) {
		wv_tlog_abort(l);
		return r;
	}
	l->open = false;
	wv_tlog_unlock(l);
	return 0;
}

int wv_tlog_append(struct wv_tlog *l, wv_tlog_compose_fn compose, void *ctx, uint64_t *ret_seq)
{
	uint64_t seq;
	int r;

	if (l->open)
		return gather(l, compose, ctx, ret_seq);
	r = wv_tlog_begin(l);
	if (r < 0)
		return r;
	r = gather(l, compose, ctx, &seq);
	if (r < 0) {
		wv_tlog_abort(l);
		return r;
	}
	r = wv_tlog_end(l, false);
	if (r == 0 && ret_seq)
		*ret_seq = seq;
	return r;
}

/*
 * After a failed fsync the kernel may have marked pages clean that never reached the disk, and the
 * next fsync would say 0: the lines are written again, into a new file, before anything of them is
 * acknowledged.
 */
int wv_tlog_sync(struct wv_tlog *l)
{
	int r = 0;

	if (l->dir_dirty)
		r = wv_tlog_open_segment(l);
	if (r == 0 && l->dirty && !l->doubt) {
		r = wv_io_sync_data(l->io, l->fd);
		l->doubt = r < 0;
	}
	if (l->doubt)
		r = wv_tlog_heal(l);
	if (r == 0)
		l->dirty = false;
	return r;
}

static bool segment_due(const struct wv_tlog *l)
{
	uint64_t now;

	if (!l->len)
		return false;
	if (l->o.segment_bytes && l->len >= l->o.segment_bytes)
		return true;
	if (!l->o.segment_ns || !l->begun_ns)
		return false;
	now = l->io->wall_ns(l->io->ctx);
	return now > l->begun_ns && now - l->begun_ns >= l->o.segment_ns;
}

static bool checkpoint_due(const struct wv_tlog *l)
{
	uint64_t more = l->tree.size - l->checkpoint_size;

	if (!l->o.key || !more)
		return false;
	if (l->o.checkpoint_records && more >= l->o.checkpoint_records)
		return true;
	return l->o.checkpoint_ns &&
	       l->io->mono_ns(l->io->ctx) - l->checkpoint_ns >= l->o.checkpoint_ns;
}

/* Said once for each reason: it is tried again at every commit. */
static void tell(struct wv_tlog *l, int error, const char *what)
{
	if (error < 0 && error != l->told)
		(void)wv_log_warn(error, "log", "%s of %s/%s: it is tried again", what, l->state,
				  WV_TLOG_FOLDER);
	l->told = error;
}

int wv_tlog_commit(struct wv_tlog *l)
{
	bool rotated = false;
	int r, f = 0;

	if (l->open)
		return -EBUSY;
	r = wv_tlog_lock(l);
	if (r < 0)
		return r;
	r = wv_tlog_sync(l);
	if (r == 0 && segment_due(l)) {
		f = wv_tlog_rotate_locked(l);
		rotated = f == 0;
		tell(l, f, "closing a segment");
	}
	if (r == 0 && f == 0 && checkpoint_due(l))
		tell(l, wv_tlog_checkpoint_make(l), "a checkpoint");
	wv_tlog_unlock(l);
	if (rotated && l->o.compress_level && !l->o.defer_compress)
		tell(l, wv_tlog_compress(l), "compression");
	return r;
}

int wv_tlog_checkpoint(struct wv_tlog *l)
{
	int r;

	if (!l->o.key)
		return -ENOKEY;
	r = wv_tlog_lock(l);
	if (r < 0)
		return r;
	r = wv_tlog_sync(l);
	if (r == 0 && l->tree.size != l->checkpoint_size)
		r = wv_tlog_checkpoint_make(l);
	wv_tlog_unlock(l);
	return r;
}

int wv_tlog_rotate(struct wv_tlog *l)
{
	int r;

	if (l->open)
		return -EBUSY;
	r = wv_tlog_lock(l);
	if (r < 0)
		return r;
	r = wv_tlog_sync(l);
	if (r == 0 && l->len)
		r = wv_tlog_rotate_locked(l);
	wv_tlog_unlock(l);
	if (r == 0 && l->o.compress_level && !l->o.defer_compress)
		tell(l, wv_tlog_compress(l), "compression");
	return r;
}

uint64_t wv_tlog_size(const struct wv_tlog *l)
{
	return l->tree.size;
}

uint64_t wv_tlog_checkpointed(const struct wv_tlog *l)
{
	return l->checkpoint_size;
}

int wv_tlog_head(struct wv_tlog *l, uint64_t *ret_size, struct wv_hash *ret_root)
{
	int r = wv_tlog_lock(l);

	if (r < 0)
		return r;
	*ret_size = l->tree.size;
	wv_merkle_root(&l->tree, ret_root);
	wv_tlog_unlock(l);
	return 0;
}

static int open_folder(struct wv_tlog *l)
{
	const struct wv_io *io = l->io;
	char path[WV_PATH_SIZE + 16];
	int r;

	if (snprintf(path, sizeof(path), "%s/" WV_TLOG_FOLDER, l->state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	r = wv_io_mkdirs(io, path, 0750);
	if (r < 0)
		return r;
	r = io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (r < 0)
		return r;
	l->dirfd = r;
	r = io->open(io->ctx, l->dirfd, WV_TLOG_LOCK_NAME, O_RDWR | O_CREAT, WV_TLOG_MODE);
	if (r < 0)
		return r;
	l->lockfd = r;
	return 0;
}

/* The folder's own name is durable before anything in it is acknowledged. */
static int sync_parent(struct wv_tlog *l)
{
	const struct wv_io *io = l->io;
	int fd = io->open(io->ctx, AT_FDCWD, l->state, O_RDONLY | O_DIRECTORY, 0), r;

	if (fd < 0)
		return fd;
	r = io->fsync(io->ctx, fd);
	(void)io->close(io->ctx, fd);
	return r;
}

int wv_tlog_open(struct wv_tlog **ret, const struct wv_io *io, const char *state,
		 const struct wv_tlog_options *options, uint64_t *ret_cut)
{
	struct wv_tlog *l = calloc(1, sizeof(*l));
	uint64_t cut = 0;
	int r;

	if (!l)
		return -ENOMEM;
	l->io = io;
	l->dirfd = l->lockfd = l->fd = l->hashfd = -1;
	if (options)
		l->o = *options;
	if (l->o.name)
		snprintf(l->name, sizeof(l->name), "%s", l->o.name);
	l->o.name = l->name;
	l->state = strdup(state);
	r = l->state ? open_folder(l) : -ENOMEM;
	if (r == 0)
		r = acquire(l);
	if (r == 0) {
		l->flocked = true;
		l->locked = 1;
		r = wv_tlog_load(l, &cut);
		if (r == 0)
			r = sync_parent(l);
		wv_tlog_unlock(l);
	}
	if (r < 0) {
		wv_tlog_close(l);
		return r;
	}
	l->checkpoint_ns = io->mono_ns(io->ctx);
	if (ret_cut)
		*ret_cut = cut;
	*ret = l;
	return 0;
}

void wv_tlog_close(struct wv_tlog *l)
{
	if (!l)
		return;
	if (l->open)
		wv_tlog_abort(l);
	wv_tlog_close_files(l);
	if (l->lockfd >= 0)
		(void)l->io->close(l->io->ctx, l->lockfd);
	if (l->dirfd >= 0)
		(void)l->io->close(l->io->ctx, l->dirfd);
	free(l->buf);
	free(l->leaves);
	free(l->state);
	free(l);
}
