// SPDX-License-Identifier: GPL-2.0-only
/*
 * The leaf hashes of all records, and the roots over those of closed segments. Both follow from the
 * lines; hashes of retired segments are kept for ever, so that proofs go on to work.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/tlog_internal.h"

#define CHUNK 512 /* hashes read or written at once */

static int read_hashes(const struct wv_tlog *l, uint64_t first, size_t n, struct wv_hash *ret)
{
	size_t len = n * sizeof(*ret);
	ssize_t got = wv_io_pread_all(l->io, l->hashfd, ret, len, first * WV_HASH_SIZE);

	return got < 0 ? (int)got : (size_t)got == len ? 0 : -ENODATA;
}

int wv_tlog_leaves(void *ctx, uint64_t first, size_t n, struct wv_hash *ret)
{
	struct wv_tlog *l = ctx;

	return l->hashfd < 0 ? -EBADF : read_hashes(l, first, n, ret);
}

/* Adds the file's hashes to the tree until it has `to`. */
int wv_tlog_hashes_add(struct wv_tlog *l, struct wv_merkle *m, uint64_t to)
{
	struct wv_hash chunk[CHUNK];

	while (m->size < to) {
		size_t n = to - m->size < CHUNK ? (size_t)(to - m->size) : CHUNK;
		int r = read_hashes(l, m->size, n, chunk);

		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++)
			wv_merkle_add(m, &chunk[i]);
	}
	return 0;
}

int wv_tlog_hashes_append(struct wv_tlog *l, const struct wv_hash *h, size_t n)
{
	int r = l->behind ? -ENODATA : wv_io_write_all(l->io, l->hashfd, h, n * sizeof(*h));

	if (r < 0)
		l->behind = true;
	return r;
}

/* Hashes of records from `have` (leaves that the file has) to the last, from the open segment. */
static int complete(struct wv_tlog *l, uint64_t have)
{
	_cleanup_(wv_scan_donep) struct wv_scan s = {0};
	_cleanup_free_ struct wv_hash *chunk = malloc(CHUNK * sizeof(*chunk));
	uint64_t leaf = l->first - 1;
	const char *line;
	size_t len, n = 0;
	int r;

	if (!chunk)
		return -ENOMEM;
	if (have < leaf)
		return -ENODATA;
	r = wv_scan_init(&s, l->io, l->fd, 0);
	while (r == 0 && leaf < l->tree.size) {
		r = wv_scan_next(&s, &line, &len);
		if (r <= 0)
			return r ?: -ENODATA;
		r = 0;
		if (leaf++ >= have)
			wv_merkle_leaf(line, len, &chunk[n++]);
		if (n == CHUNK || (n && leaf == l->tree.size)) {
			r = wv_io_write_all(l->io, l->hashfd, chunk, n * sizeof(*chunk));
			n = 0;
		}
	}
	return r;
}

/* All hashes are on disk. After a failure the kernel may think so, too: they are written again. */
int wv_tlog_hashes_sync(struct wv_tlog *l)
{
	int r = wv_tlog_hashes_fit(l);

	if (r == 0) {
		r = wv_io_sync_data(l->io, l->hashfd);
		l->hashes_doubt |= r < 0;
	}
	return r;
}

/* Makes the file as long as the tree. */
int wv_tlog_hashes_fit(struct wv_tlog *l)
{
	uint64_t size, want = l->tree.size * WV_HASH_SIZE;
	int r = 0;

	if (l->hashes_doubt) {
		r = l->io->ftruncate(l->io->ctx, l->hashfd, (off_t)((l->first - 1) * WV_HASH_SIZE));
		l->hashes_doubt = r < 0;
	}
	if (r == 0)
		r = l->io->size(l->io->ctx, l->hashfd, &size);
	if (r == 0 && size != want) {
		if (size > want)
			size = want;
		size -= size % WV_HASH_SIZE;
		r = l->io->ftruncate(l->io->ctx, l->hashfd, (off_t)size);
		if (r == 0 && size < want)
			r = complete(l, size / WV_HASH_SIZE);
	}
	l->behind = r < 0;
	return r;
}

/* Leaves have..to-1 from closed segments. -EBADMSG if their lines are not there. */
int wv_tlog_hashes_rebuild(struct wv_tlog *l, uint64_t have, uint64_t to)
{
	struct wv_tlog_reader *reader;
	int r = l->io->ftruncate(l->io->ctx, l->hashfd, (off_t)(have * WV_HASH_SIZE));

	if (r == 0)
		r = wv_tlog_read_open(&reader, l->io, l->state, have + 1);
	if (r < 0)
		return r;
	while (have < to) {
		struct wv_hash h;
		const char *line;
		uint64_t seq;
		size_t len;

		r = wv_tlog_read(reader, &seq, &line, &len);
		if (r == 0 || (r == 1 && seq != have + 1))
			r = -EBADMSG;
		if (r < 0)
			break;
		wv_merkle_leaf(line, len, &h);
		r = wv_io_write_all(l->io, l->hashfd, &h, sizeof(h));
		if (r < 0)
			break;
		have++;
	}
	wv_tlog_read_close(reader);
	return r < 0 ? r : 0;
}

/* The file is what memory has, with a digest: another machine's or a torn one is not taken. */
struct tree_file {
	struct wv_merkle tree;
	unsigned char digest[SHA256_DIGEST_LENGTH];
};

/* The empty tree if there is none that is usable. */
void wv_tlog_tree_load(struct wv_tlog *l, uint64_t max, struct wv_merkle *ret)
{
	_cleanup_free_ char *text = NULL;
	unsigned char digest[SHA256_DIGEST_LENGTH];
	const struct tree_file *f;
	size_t len;

	*ret = (struct wv_merkle){0};
	if (wv_io_read_file(l->io, l->dirfd, WV_TLOG_TREE_NAME, sizeof(*f), &text, &len) < 0 ||
	    len != sizeof(*f))
		return;
	f = (const struct tree_file *)text;
	SHA256((const unsigned char *)&f->tree, sizeof(f->tree), digest);
	if (memcmp(digest, f->digest, sizeof(digest)) == 0 && f->tree.size <= max)
		*ret = f->tree;
}

int wv_tlog_tree_save(struct wv_tlog *l)
{
	struct tree_file f = {.tree = l->tree};

	SHA256((const unsigned char *)&f.tree, sizeof(f.tree), f.digest);
	return wv_io_replace(l->io, l->dirfd, WV_TLOG_TREE_NAME, &f, sizeof(f), WV_TLOG_MODE);
}
