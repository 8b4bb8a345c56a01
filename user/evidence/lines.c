// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "user/core/cleanup.h"

#define BLOCK 4096

static ssize_t read_at(const struct wv_lines *l, void *buf, size_t len, uint64_t off)
{
	return wv_io_pread_all(l->io, l->fd, buf, len, off);
}

/* Offset just after the last newline before `end`, 0 if there is none. */
static int find_line_start(const struct wv_lines *l, uint64_t end, uint64_t *ret)
{
	char block[BLOCK];

	while (end > 0) {
		size_t len = end < BLOCK ? (size_t)end : BLOCK;
		ssize_t n = read_at(l, block, len, end - len);
		const char *newline;

		if (n < 0)
			return (int)n;
		if ((size_t)n != len)
			return -EIO; /* it shrank under us */
		newline = memrchr(block, '\n', len);
		if (newline) {
			*ret = end - len + (uint64_t)(newline - block) + 1;
			return 0;
		}
		end -= len;
	}
	*ret = 0;
	return 0;
}

/* Bytes before the first NUL. */
static int find_nul(const struct wv_lines *l, uint64_t size, uint64_t *ret)
{
	char block[BLOCK];

	for (uint64_t at = 0; at < size;) {
		size_t len = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
		ssize_t n = read_at(l, block, len, at);
		const char *nul;

		if (n < 0)
			return (int)n;
		if ((size_t)n != len)
			return -EIO;
		nul = memchr(block, '\0', len);
		if (nul) {
			*ret = at + (uint64_t)(nul - block);
			return 0;
		}
		at += len;
	}
	*ret = size;
	return 0;
}

/*
 * After an fsync that failed the kernel takes the pages for clean: the next one would succeed
 * without writing them. So what is not known to be on disk is written anew.
 */
static int write_again(struct wv_lines *l)
{
	size_t len = (size_t)(l->len - l->flushed);
	_cleanup_free_ char *buf = malloc(len + 1);
	ssize_t n = buf ? read_at(l, buf, len, l->flushed) : -ENOMEM;
	int r;

	if (n < 0 || (size_t)n != len)
		return n < 0 ? (int)n : -EIO;
	r = l->io->ftruncate(l->io->ctx, l->fd, (off_t)l->flushed);
	if (r == 0)
		r = wv_io_write_all(l->io, l->fd, buf, len);
	if (r < 0) {
		/* the lines that were not flushed are lost */
		l->len = l->flushed;
		l->torn = true;
	}
	return r;
}

static int flush(struct wv_lines *l, uint64_t len)
{
	int r = l->refused ? write_again(l) : 0;

	if (r == 0)
		r = l->io->fsync(l->io->ctx, l->fd);
	l->refused = r < 0;
	if (r == 0)
		l->flushed = len;
	return r;
}

int wv_lines_cut(struct wv_lines *l, uint64_t len)
{
	int r = l->io->ftruncate(l->io->ctx, l->fd, (off_t)len);

	/* what is after len is no longer wanted, even where it cannot be removed yet */
	l->len = len;
	if (l->flushed > len)
		l->flushed = len;
	/* else a power cut could leave new bytes on disk and what was cut off between them */
	if (r == 0)
		r = flush(l, len);
	l->torn = r < 0;
	return r;
}

int wv_lines_open(struct wv_lines *l, const struct wv_io *io, int dirfd, const char *name,
		  mode_t mode, uint64_t *ret_cut)
{
	uint64_t size = 0, whole = 0;
	int r;

	*l = (struct wv_lines){.io = io, .fd = -1};
	r = io->open(io->ctx, dirfd, name, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, mode);
	if (r < 0)
		return r;
	l->fd = r;
	r = io->size(io->ctx, l->fd, &size);
	/* a power cut can leave a later part of a line and zeros for an earlier one: no line has
	 * NULs, and what was flushed comes before them */
	if (r == 0)
		r = find_nul(l, size, &whole);
	if (r == 0)
		r = find_line_start(l, whole, &whole);
	l->len = l->flushed = whole;
	/* whoever reads a line now may act on it: it must not be lost by the next power cut */
	if (r == 0)
		r = whole < size ? wv_lines_cut(l, whole) : flush(l, whole);
	if (r < 0) {
		wv_lines_close(l);
		return r;
	}
	if (ret_cut)
		*ret_cut = size - whole;
	return 0;
}

int wv_lines_append(struct wv_lines *l, const void *buf, size_t len, bool durable)
{
	int r = l->torn ? wv_lines_cut(l, l->len) : l->refused ? flush(l, l->len) : 0;

	if (r < 0)
		return r;
	r = wv_io_write_all(l->io, l->fd, buf, len);
	if (r == 0 && durable)
		r = flush(l, l->len + len);
	if (r < 0) {
		(void)wv_lines_cut(l, l->len);
		return r;
	}
	l->len += len;
	return 0;
}

int wv_lines_last(const struct wv_lines *l, char *buf, size_t size)
{
	uint64_t start;
	ssize_t n;
	int r;

	if (l->len == 0)
		return -ENODATA;
	r = find_line_start(l, l->len - 1, &start);
	if (r < 0)
		return r;
	if (l->len - 1 - start >= size)
		return -EFBIG;
	n = read_at(l, buf, (size_t)(l->len - 1 - start), start);
	if (n < 0)
		return (int)n;
	buf[n] = '\0';
	return 0;
}

int wv_lines_is_single(const struct wv_lines *l)
{
	uint64_t start = 0;
	int r = l->len ? find_line_start(l, l->len - 1, &start) : 0;

	return r < 0 ? r : start == 0;
}

int wv_lines_head(const struct wv_lines *l, char *buf, size_t len)
{
	ssize_t n;

	if (l->len < len)
		return -ENODATA;
	n = read_at(l, buf, len, 0);
	return n < 0 ? (int)n : (size_t)n == len ? 0 : -ENODATA;
}

int wv_lines_sync(struct wv_lines *l)
{
	int r = l->torn ? wv_lines_cut(l, l->len) : 0;

	return r < 0 ? r : flush(l, l->len);
}

void wv_lines_close(struct wv_lines *l)
{
	if (l->fd >= 0)
		(void)l->io->close(l->io->ctx, l->fd);
	l->fd = -1;
}
