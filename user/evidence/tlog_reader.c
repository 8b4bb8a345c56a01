// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads records without the lock, beside those who append, close, compress and retire segments: a
 * file that went away between listing and opening is looked for again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "user/core/cleanup.h"
#include "user/core/paths.h"
#include "user/evidence/tlog_internal.h"

#define IN_SIZE (64U << 10)
#define OUT_SIZE (2 * WV_RECORD_MAX)
#define TRIES 5

struct wv_tlog_reader {
	const struct wv_io *io;
	int dirfd, fd;
	uint64_t from;	      /* records before are skipped */
	uint64_t next;	      /* seq of the line that comes */
	uint64_t first, last; /* of the file; last 0: the open segment */
	struct wv_scan scan;  /* plain */
	ZSTD_DStream *zstd;   /* compressed: bytes at in_off.. of the file, lines in out */
	char *in, *out;
	ZSTD_inBuffer in_buf;
	uint64_t in_off;
	size_t used, pos;
};

static void close_segment(struct wv_tlog_reader *r)
{
	wv_scan_done(&r->scan);
	ZSTD_freeDStream(r->zstd);
	r->zstd = NULL;
	free(r->in);
	free(r->out);
	r->in = r->out = NULL;
	if (r->fd >= 0)
		(void)r->io->close(r->io->ctx, r->fd);
	r->fd = -1;
}

static int start(struct wv_tlog_reader *r, bool zst)
{
	r->in_off = r->used = r->pos = 0;
	if (!zst)
		return wv_scan_init(&r->scan, r->io, r->fd, 0);
	r->zstd = ZSTD_createDStream();
	r->in = malloc(IN_SIZE);
	r->out = malloc(OUT_SIZE);
	r->in_buf = (ZSTD_inBuffer){r->in, 0, 0};
	return r->zstd && r->in && r->out ? 0 : -ENOMEM;
}

/* The open segment's first seq: after the closed ones, or what its first line says. */
static int start_open(struct wv_tlog_reader *r, uint64_t after)
{
	const char *line;
	uint64_t said;
	size_t len;
	int e = r->io->open(r->io->ctx, r->dirfd, WV_TLOG_OPEN_NAME, O_RDONLY, 0);

	if (e < 0)
		return e;
	r->fd = e;
	r->first = after;
	r->last = 0;
	e = start(r, false);
	if (e == 0)
		e = wv_scan_next(&r->scan, &line, &len);
	if (e == 1 && wv_record_number(line, len, "seq", &said) == 0 && said > after)
		r->first = said;
	wv_scan_done(&r->scan);
	return e < 0 ? e : start(r, false);
}

/* Opens the first segment with records at or after `next`. 0, -ENOENT: it went away. */
static int open_segment(struct wv_tlog_reader *r)
{
	_cleanup_free_ struct wv_segment *s = NULL;
	char name[WV_SEGMENT_NAME_SIZE];
	struct wv_segment *again = NULL;
	size_t n, i, k;
	int e = wv_segments_list(r->io, r->dirfd, &s, &n);

	if (e < 0)
		return e;
	for (i = 0; i < n && s[i].last < r->next; i++)
		;
	if (i < n) {
		e = r->io->open(r->io->ctx, r->dirfd, wv_segment_name(&s[i], !s[i].plain, name),
				O_RDONLY, 0);
		if (e < 0)
			return e;
		r->fd = e;
		r->first = s[i].first;
		r->last = s[i].last;
		e = start(r, !s[i].plain);
	} else {
		e = start_open(r, n ? s[n - 1].last + 1 : 1);
		if (e < 0)
			return e;
		/* was it closed, and this is the next one? */
		e = wv_segments_list(r->io, r->dirfd, &again, &k);
		if (e == 0 && (k ? again[k - 1].last : 0) != (n ? s[n - 1].last : 0))
			e = -ENOENT;
		free(again);
	}
	if (e == 0)
		r->next = r->first;
	return e;
}

static int advance(struct wv_tlog_reader *r)
{
	int e = 0;

	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t next = r->next;

		close_segment(r);
		e = open_segment(r);
		if (e == 0)
			return 0;
		close_segment(r);
		r->next = next;
		if (e != -ENOENT)
			return e;
	}
	return e;
}

static int next_packed(struct wv_tlog_reader *r, const char **ret_line, size_t *ret_len)
{
	size_t seen = 0;

	for (;;) {
		char *line = r->out + r->pos;
		char *newline = memchr(line + seen, '\n', r->used - r->pos - seen);
		ZSTD_outBuffer out;
		ssize_t n;

		if (newline) {
			*newline = '\0';
			*ret_line = line;
			*ret_len = (size_t)(newline - line);
			r->pos += *ret_len + 1;
			return *ret_len < WV_RECORD_MAX ? 1 : -EFBIG;
		}
		seen = r->used - r->pos;
		if (seen >= WV_RECORD_MAX)
			return -EFBIG;
		memmove(r->out, line, seen);
		r->used = seen;
		r->pos = 0;
		if (r->in_buf.pos == r->in_buf.size) {
			do
				n = r->io->pread(r->io->ctx, r->fd, r->in, IN_SIZE,
						 (off_t)r->in_off);
			while (n == -EINTR);
			if (n <= 0)
				return n < 0 ? (int)n : seen ? -EBADMSG : 0;
			r->in_off += (uint64_t)n;
			r->in_buf = (ZSTD_inBuffer){r->in, (size_t)n, 0};
		}
		out = (ZSTD_outBuffer){r->out, OUT_SIZE, r->used};
		if (ZSTD_isError(ZSTD_decompressStream(r->zstd, &out, &r->in_buf)))
			return -EBADMSG;
		r->used = out.pos;
	}
}

/* At the end of the open segment: 1 if it was closed since, and what it is called now is known. */
static int is_closed_now(struct wv_tlog_reader *r)
{
	_cleanup_free_ struct wv_segment *s = NULL;
	size_t n;
	int e = wv_segments_list(r->io, r->dirfd, &s, &n);

	if (e < 0)
		return e;
	for (size_t i = 0; i < n; i++)
		if (s[i].first == r->first) {
			r->last = s[i].last;
			return 1;
		}
	/* closed, and retired already; or nothing of it was there when it was opened */
	if (n && s[n - 1].last >= r->first) {
		r->last = r->next > r->first ? r->next - 1 : r->first - 1;
		return 1;
	}
	return 0;
}

/* Another inode may stand under the open segment's name: it was written again after an error. */
static int reopen_open(struct wv_tlog_reader *r)
{
	uint64_t mine, size;
	int fd = r->io->open(r->io->ctx, r->dirfd, WV_TLOG_OPEN_NAME, O_RDONLY, 0), e;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	e = r->io->size(r->io->ctx, fd, &size);
	if (e == 0)
		e = r->io->size(r->io->ctx, r->fd, &mine);
	if (e < 0 || size <= r->scan.off || mine > r->scan.off) {
		(void)r->io->close(r->io->ctx, fd);
		return e;
	}
	(void)r->io->close(r->io->ctx, r->fd);
	r->fd = r->scan.fd = fd;
	return 1;
}

int wv_tlog_read(struct wv_tlog_reader *r, uint64_t *ret_seq, const char **ret_line,
		 size_t *ret_len)
{
	int e;

	for (;;) {
		if (r->fd < 0) {
			e = advance(r);
			if (e < 0)
				return e == -ENOENT ? 0 : e;
		}
		e = r->zstd ? next_packed(r, ret_line, ret_len)
			    : wv_scan_next(&r->scan, ret_line, ret_len);
		if (e < 0)
			return e;
		if (e == 1 && r->next++ >= r->from) {
			*ret_seq = r->next - 1;
			return 1;
		}
		if (e == 1)
			continue;
		if (!r->last) {
			e = is_closed_now(r);
			if (e == 0)
				e = reopen_open(r);
			if (e <= 0)
				return e;
			continue; /* what was added before it was closed */
		}
		if (r->next <= r->last) /* it has fewer lines than its name says */
			r->next = r->last + 1;
		close_segment(r);
	}
}

int wv_tlog_read_open(struct wv_tlog_reader **ret, const struct wv_io *io, const char *state,
		      uint64_t from)
{
	char path[WV_PATH_SIZE + 16];

	if (snprintf(path, sizeof(path), "%s/" WV_TLOG_FOLDER, state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return wv_tlog_read_open_folder(ret, io, path, from);
}

int wv_tlog_read_open_folder(struct wv_tlog_reader **ret, const struct wv_io *io,
			     const char *folder, uint64_t from)
{
	struct wv_tlog_reader *r;

	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->io = io;
	r->fd = -1;
	r->from = r->next = from ?: 1;
	r->dirfd = io->open(io->ctx, AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0);
	if (r->dirfd < 0) {
		int e = r->dirfd;

		free(r);
		return e;
	}
	*ret = r;
	return 0;
}

void wv_tlog_read_close(struct wv_tlog_reader *r)
{
	if (!r)
		return;
	close_segment(r);
	(void)r->io->close(r->io->ctx, r->dirfd);
	free(r);
}
