// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the files say: at every open, and again when another process changed more than the end.
 *
 * Lines are the truth, with one exception: up to `trusted`, the size of the newest checkpoint or
 * of the closed segments, the leaf hashes are. They were synced before the checkpoint was signed,
 * so a line that does not fit them is an altered one and no torn one; the log goes on from the
 * hashes and `evidence verify` names the line. Beyond `trusted` the first line that is none ends
 * the log: what follows it was never acknowledged, for a sync covers all that is before.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/tlog_internal.h"

#define HEAL_NAME ".events.jsonl.tmp"
#define COPY_CHUNK (64U << 10)

void wv_tlog_close_files(struct wv_tlog *l)
{
	if (l->fd >= 0)
		(void)l->io->close(l->io->ctx, l->fd);
	if (l->hashfd >= 0)
		(void)l->io->close(l->io->ctx, l->hashfd);
	l->fd = l->hashfd = -1;
}

/* Whether bytes can be the line of record seq: blocks that a power cut lost are zeros. */
static bool can_be(const char *line, size_t len, uint64_t seq)
{
	uint64_t said;

	if (len < 2 || line[0] != '{' || line[len - 1] != '}')
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ')
			return false;
	return wv_record_number(line, len, "seq", &said) < 0 || said == seq;
}

static int open_made(struct wv_tlog *l, const char *name)
{
	int fd = l->io->open(l->io->ctx, l->dirfd, name, O_RDWR | O_APPEND, 0);

	if (fd != -ENOENT)
		return fd;
	/* the name may have gone by a rename that is not on disk yet, whose file it would replace
	 */
	fd = wv_io_sync_dir(l->io, l->dirfd);
	if (fd < 0)
		return fd;
	fd = l->io->open(l->io->ctx, l->dirfd, name, O_RDWR | O_APPEND | O_CREAT, WV_TLOG_MODE);
	if (fd >= 0)
		l->dir_dirty = true;
	return fd;
}

/* Also what is left of a failed try: called until the names are durable. */
int wv_tlog_open_segment(struct wv_tlog *l)
{
	int r;

	if (l->fd < 0) {
		r = open_made(l, WV_TLOG_OPEN_NAME);
		if (r < 0)
			return r;
		l->fd = r;
	}
	r = l->dir_dirty ? wv_io_sync_dir(l->io, l->dirfd) : 0;
	if (r == 0)
		l->dir_dirty = false;
	return r;
}

/* What the first line says of itself. */
struct head {
	uint64_t seq, wall_ns; /* 0: it does not say */
	bool strange;	       /* it is no line of a log, nor lost to a power cut */
};

static int read_head(const struct wv_tlog *l, struct head *ret)
{
	_cleanup_(wv_scan_donep) struct wv_scan s = {0};
	const char *line;
	uint64_t seq;
	size_t len;
	int r = wv_scan_init(&s, l->io, l->fd, 0);

	*ret = (struct head){0};
	if (r == 0)
		r = wv_scan_next(&s, &line, &len);
	if (r == -EFBIG) {
		ret->strange = s.buf[0] != '{' && s.buf[0] != '\0';
		return 0;
	}
	if (r <= 0)
		return r;
	ret->strange = line[0] != '{' && line[0] != '\0';
	(void)wv_record_number(line, len, "wall_ns", &ret->wall_ns);
	if (wv_record_number(line, len, "seq", &seq) == 0 && can_be(line, len, seq))
		ret->seq = seq;
	return 0;
}

/* Seq of the first record of the open segment, told by the closed ones and by itself. */
static int find_first(struct wv_tlog *l)
{
	_cleanup_free_ struct wv_segment *segments = NULL;
	struct head head;
	size_t n;
	int r = wv_segments_list(l->io, l->dirfd, &segments, &n);

	if (r == 0)
		r = read_head(l, &head);
	if (r < 0)
		return r;
	l->first = n ? segments[n - 1].last + 1 : 1;
	l->begun_ns = head.wall_ns;
	if (head.strange || (head.seq && head.seq < l->first))
		return -EBADMSG;
	if (head.seq > l->first)
		l->first = head.seq;
	return 0;
}

/* Keeps what is cut off where it held whole lines: it may not be a power cut's work. */
static void keep_torn(struct wv_tlog *l, uint64_t from, uint64_t to)
{
	_cleanup_free_ char *buf = malloc(COPY_CHUNK);
	const struct wv_io *io = l->io;
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "torn-%020" PRIu64, l->tree.size + 1);
	fd = buf ? io->open(io->ctx, l->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, WV_TLOG_MODE)
		 : -ENOMEM;
	if (fd < 0)
		return;
	while (from < to) {
		size_t want = to - from < COPY_CHUNK ? (size_t)(to - from) : COPY_CHUNK;
		ssize_t n = io->pread(io->ctx, l->fd, buf, want, (off_t)from);

		if (n <= 0 || wv_io_write_all(io, fd, buf, (size_t)n) < 0)
			break;
		from += (uint64_t)n;
	}
	(void)io->fsync(io->ctx, fd);
	(void)io->close(io->ctx, fd);
}

/* Reads the open segment's lines; those up to `trusted` are counted only. *ret_lines: how many. */
static int read_lines(struct wv_tlog *l, uint64_t trusted, uint64_t *ret_lines, bool *ret_bad)
{
	_cleanup_(wv_scan_donep) struct wv_scan s = {0};
	const char *line;
	uint64_t n = 0;
	size_t len;
	int r = wv_scan_init(&s, l->io, l->fd, 0);

	l->len = 0;
	*ret_bad = false;
	while (r >= 0) {
		uint64_t seq = l->first + n;
		struct wv_hash leaf;

		r = wv_scan_next(&s, &line, &len);
		if (r == 0)
			break;
		if (r == -EFBIG || (r == 1 && seq > trusted && !can_be(line, len, seq))) {
			*ret_bad = true;
			break;
		}
		if (r < 0)
			return r;
		if (seq > trusted) {
			wv_merkle_leaf(line, len, &leaf);
			wv_merkle_add(&l->tree, &leaf);
		}
		l->len = s.off;
		n++;
	}
	*ret_lines = n;
	return r < 0 && r != -EFBIG ? r : 0;
}

static int cut_tail(struct wv_tlog *l, bool bad, uint64_t *ret_cut)
{
	uint64_t size;
	int r = l->io->size(l->io->ctx, l->fd, &size);

	if (r < 0 || size <= l->len)
		return r;
	if (bad)
		keep_torn(l, l->len, size);
	r = wv_tlog_cut(l, l->len);
	if (r == 0 && ret_cut)
		*ret_cut = size - l->len;
	return r;
}

/* The file's hashes beyond `trusted` are those of the lines, or made so. */
static int check_hashes(struct wv_tlog *l, const struct wv_merkle *trusted)
{
	struct wv_merkle m = *trusted;
	struct wv_hash a, b;
	uint64_t size;
	int r = l->io->size(l->io->ctx, l->hashfd, &size);

	if (r < 0)
		return r;
	size /= WV_HASH_SIZE;
	if (size > l->tree.size)
		size = l->tree.size;
	if (size < l->tree.size) /* the missing ones are added either way */
		size = trusted->size;
	else
		r = wv_tlog_hashes_add(l, &m, size);
	if (r < 0)
		return r;
	wv_merkle_root(&m, &a);
	wv_merkle_root(&l->tree, &b);
	if (size == l->tree.size && memcmp(&a, &b, sizeof(a)) != 0)
		size = trusted->size;
	if (size < l->tree.size)
		r = l->io->ftruncate(l->io->ctx, l->hashfd, (off_t)(size * WV_HASH_SIZE));
	/* a full disk must not keep the log from opening: they are completed later */
	if (r == 0)
		(void)wv_tlog_hashes_fit(l);
	return r;
}

/* Lines that a checkpoint covers are gone. Their hashes are not: the log goes on after them. */
static int leave_gap(struct wv_tlog *l, uint64_t lines)
{
	int r;

	if (!l->gap)
		(void)wv_log_warn(0, "log",
				  "%s/" WV_TLOG_FOLDER ": records %" PRIu64 " to %" PRIu64
				  ", which a checkpoint covers, are gone",
				  l->state, l->first + lines, l->tree.size);
	l->gap = true;
	if (lines) {
		struct wv_segment s = {.first = l->first, .last = l->first + lines - 1};
		char name[WV_SEGMENT_NAME_SIZE];

		r = l->io->fsync(l->io->ctx, l->fd);
		if (r == 0)
			r = wv_tlog_bump(l);
		if (r == 0)
			r = l->io->rename(l->io->ctx, l->dirfd, WV_TLOG_OPEN_NAME,
					  wv_segment_name(&s, false, name));
		if (r < 0)
			return r;
		(void)l->io->close(l->io->ctx, l->fd);
		l->fd = -1;
		l->dir_dirty = true;
		r = wv_io_sync_dir(l->io, l->dirfd);
		if (r == 0)
			r = wv_tlog_open_segment(l);
		if (r < 0)
			return r;
	}
	l->first = l->tree.size + 1;
	l->len = l->begun_ns = 0;
	return 0;
}

/* The tree of what the hashes are trusted for: closed segments, and what the checkpoint covers. */
static int trusted_tree(struct wv_tlog *l, const struct wv_checkpoint *c, struct wv_merkle *ret,
			bool *ret_fits)
{
	uint64_t have;
	struct wv_hash root;
	int r = l->io->size(l->io->ctx, l->hashfd, &have);

	if (r < 0)
		return r;
	have /= WV_HASH_SIZE;
	if (have < l->first - 1) {
		r = wv_tlog_hashes_rebuild(l, have, l->first - 1);
		if (r < 0)
			return r;
		have = l->first - 1;
	}
	wv_tlog_tree_load(l, l->first - 1, ret);
	r = wv_tlog_hashes_add(l, ret, l->first - 1);
	if (r < 0 || c->size <= ret->size || c->size > have)
		return r;
	l->begin_tree = *ret;
	r = wv_tlog_hashes_add(l, &l->begin_tree, c->size);
	if (r < 0)
		return r;
	wv_merkle_root(&l->begin_tree, &root);
	*ret_fits = memcmp(&root, &c->root, sizeof(root)) == 0;
	if (*ret_fits)
		*ret = l->begin_tree;
	return 0;
}

/* Hashes were lost or altered, but the lines may still be those that the checkpoint is of. */
static bool is_of_log(struct wv_tlog *l, const struct wv_merkle *trusted,
		      const struct wv_checkpoint *c)
{
	struct wv_hash root;

	l->begin_tree = *trusted;
	if (wv_tlog_hashes_add(l, &l->begin_tree, c->size) < 0)
		return false;
	wv_merkle_root(&l->begin_tree, &root);
	return memcmp(&root, &c->root, sizeof(root)) == 0;
}

static int load_lines(struct wv_tlog *l, uint64_t *ret_cut)
{
	_cleanup_free_ struct wv_merkle *trusted = malloc(sizeof(*trusted));
	struct wv_checkpoint c = {0};
	bool fits = false, bad;
	uint64_t lines;
	int r = trusted ? find_first(l) : -ENOMEM;

	if (r == 0)
		r = wv_tlog_checkpoint_read(l, &c);
	if (r == 0)
		r = trusted_tree(l, &c, trusted, &fits);
	if (r < 0)
		return r;
	l->tree = *trusted;
	r = read_lines(l, trusted->size, &lines, &bad);
	if (r == 0)
		r = cut_tail(l, bad, ret_cut);
	if (r == 0)
		r = check_hashes(l, trusted);
	if (r < 0)
		return r;
	if (c.size > l->tree.size || (c.size > trusted->size && !is_of_log(l, trusted, &c)))
		(void)wv_log_warn(0, "log",
				  "%s/" WV_TLOG_FOLDER ": the newest checkpoint is not of this log "
				  "(`waveos-bpf evidence verify` tells more)",
				  l->state);
	if (l->first + lines - 1 < l->tree.size)
		r = leave_gap(l, lines);
	l->checkpoint_size = c.size <= l->tree.size ? c.size : 0;
	return r;
}

int wv_tlog_load(struct wv_tlog *l, uint64_t *ret_cut)
{
	int r;

	wv_tlog_close_files(l);
	l->doubt = l->torn = l->behind = false;
	l->dirty = true; /* of those who wrote it, nobody may have synced it */
	r = l->io->size(l->io->ctx, l->lockfd, &l->epoch);
	if (r < 0)
		return r;
	(void)l->io->unlink(l->io->ctx, l->dirfd, HEAL_NAME);
	r = open_made(l, WV_TLOG_HASHES_NAME);
	if (r < 0)
		return r;
	l->hashfd = r;
	r = open_made(l, WV_TLOG_OPEN_NAME);
	if (r >= 0) {
		l->fd = r;
		r = load_lines(l, ret_cut);
	}
	if (r == 0)
		r = wv_tlog_checkpoints_repair(l);
	if (r == 0) /* names may be older than the crash that kept them from the disk */
		r = wv_io_sync_dir(l->io, l->dirfd);
	if (r < 0)
		wv_tlog_close_files(l);
	else
		l->dir_dirty = false;
	return r;
}

/* Another process added lines, or died over one. */
int wv_tlog_catch_up(struct wv_tlog *l, uint64_t size)
{
	_cleanup_(wv_scan_donep) struct wv_scan s = {0};
	const char *line;
	size_t len;
	int r = wv_scan_init(&s, l->io, l->fd, l->len);

	l->dirty = true;
	while (r >= 0) {
		struct wv_hash leaf;

		r = wv_scan_next(&s, &line, &len);
		if (r <= 0)
			break;
		if (!l->len)
			(void)wv_record_number(line, len, "wall_ns", &l->begun_ns);
		wv_merkle_leaf(line, len, &leaf);
		wv_merkle_add(&l->tree, &leaf);
		l->len = s.off;
	}
	if (r == 0 && l->len < size)
		r = wv_tlog_cut(l, l->len);
	return r;
}

static int copy_lines(struct wv_tlog *l, int to, struct wv_merkle *m)
{
	_cleanup_(wv_scan_donep) struct wv_scan s = {0};
	const char *line;
	size_t len;
	int r = wv_scan_init(&s, l->io, l->fd, 0);

	while (r >= 0 && s.off < l->len) {
		struct wv_hash leaf;

		r = wv_scan_next(&s, &line, &len);
		if (r <= 0)
			return r ?: -EIO;
		wv_merkle_leaf(line, len, &leaf);
		wv_merkle_add(m, &leaf);
		s.buf[s.pos - 1] = '\n';
		r = wv_io_write_all(l->io, to, line, len + 1);
	}
	return r < 0 ? r : l->io->fsync(l->io->ctx, to);
}

/* The open segment is written again from what can be read of it, if that is what was written. */
int wv_tlog_heal(struct wv_tlog *l)
{
	_cleanup_free_ struct wv_merkle *m = malloc(sizeof(*m));
	const struct wv_io *io = l->io;
	struct wv_hash a, b;
	int fd, r;

	if (!m)
		return -ENOMEM;
	wv_tlog_tree_load(l, l->first - 1, m);
	r = wv_tlog_hashes_add(l, m, l->first - 1);
	if (r < 0)
		return r;
	fd = io->open(io->ctx, l->dirfd, HEAL_NAME, O_RDWR | O_APPEND | O_CREAT | O_TRUNC,
		      WV_TLOG_MODE);
	if (fd < 0)
		return fd;
	r = copy_lines(l, fd, m);
	if (r == 0) {
		wv_merkle_root(m, &a);
		wv_merkle_root(&l->tree, &b);
		r = memcmp(&a, &b, sizeof(a)) == 0 ? wv_tlog_bump(l) : -EIO;
	}
	if (r == 0)
		r = io->rename(io->ctx, l->dirfd, HEAL_NAME, WV_TLOG_OPEN_NAME);
	if (r < 0) {
		(void)io->close(io->ctx, fd);
		(void)io->unlink(io->ctx, l->dirfd, HEAL_NAME);
		return r;
	}
	(void)io->close(io->ctx, l->fd);
	l->fd = fd;
	l->dir_dirty = true;
	r = wv_tlog_open_segment(l);
	if (r == 0)
		l->doubt = false;
	return r;
}
