// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/samples.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "user/core/cleanup.h"
#include "user/evidence/artifacts.h"
#include "user/evidence/samples_format.h"

/* A window of 8 KiB holds the last frame of a few hundred busy cgroups; memory stays below 50 KiB.
 */
#define WINDOW_BITS 13
#define MEM_LEVEL 5
#define OUT_SIZE 16384

struct wv_samples_writer {
	const struct wv_io *io;
	int dirfd, fd; /* fd -1: broken until the next rotation */
	unsigned keep;
	bool empty; /* no tick in this segment yet */
	z_stream z;
	struct wv_samples_state last; /* as the last frame left it */
	struct wv_frame frame;
};

static int put_out(struct wv_samples_writer *w, const void *buf, size_t len, int flush)
{
	unsigned char out[OUT_SIZE];
	int r = 0;

	w->z.next_in = (unsigned char *)(uintptr_t)buf;
	w->z.avail_in = (unsigned)len;
	do {
		w->z.next_out = out;
		w->z.avail_out = sizeof(out);
		if (deflate(&w->z, flush) == Z_STREAM_ERROR)
			return -EIO;
		r = wv_io_write_all(w->io, w->fd, out, sizeof(out) - w->z.avail_out);
	} while (r == 0 && w->z.avail_out == 0);
	return r;
}

/* One frame, flushed: what was acknowledged can be read back. */
static int put_frame(struct wv_samples_writer *w)
{
	unsigned char head[10];
	size_t n = 0;
	int r;

	if (w->fd < 0)
		return -EBADF;
	if (w->frame.failed)
		r = -ENOMEM;
	else {
		n = wv_varint_put(head, w->frame.len);
		r = put_out(w, head, n, Z_NO_FLUSH);
		if (r == 0)
			r = put_out(w, w->frame.bytes, w->frame.len, Z_SYNC_FLUSH);
	}
	if (r < 0) {
		(void)w->io->close(w->io->ctx, w->fd);
		w->fd = -1;
	}
	return r;
}

static int start_segment(struct wv_samples_writer *w)
{
	_cleanup_free_ char *header = wv_samples_header();
	int r;

	w->fd = w->io->open(w->io->ctx, w->dirfd, WV_SAMPLES_TEMPORARY,
			    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, WV_ARTIFACT_MODE);
	if (w->fd < 0)
		return w->fd;
	(void)deflateReset(&w->z);
	wv_samples_state_clear(&w->last);
	w->empty = true;
	r = header ? wv_io_write_all(w->io, w->fd, header, strlen(header)) : -ENOMEM;
	if (r < 0) {
		(void)w->io->close(w->io->ctx, w->fd);
		w->fd = -1;
	}
	return r;
}

/* The temporary gets the name of the newest segment; what is older moves on. */
static int complete(struct wv_samples_writer *w)
{
	char from[32], to[32];
	int r;

	for (unsigned i = w->keep; i-- > 0;) {
		r = w->io->rename(w->io->ctx, w->dirfd, wv_samples_segment_name(i, from),
				  wv_samples_segment_name(i + 1, to));
		if (r < 0 && r != -ENOENT)
			return r;
	}
	r = w->io->rename(w->io->ctx, w->dirfd, WV_SAMPLES_TEMPORARY, WV_SAMPLES_NAME);
	(void)wv_io_sync_dir(w->io, w->dirfd);
	return r == -ENOENT ? 0 : r;
}

int wv_samples_open(struct wv_samples_writer **ret, const struct wv_io *io, int dirfd,
		    uint32_t max_rows, unsigned keep)
{
	struct wv_samples_writer *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->io = io;
	w->dirfd = dirfd;
	w->keep = keep;
	w->fd = -1;
	if (deflateInit2(&w->z, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		free(w);
		return -ENOMEM;
	}
	r = wv_samples_state_init(&w->last, max_rows);
	if (r == 0)
		r = complete(w);
	if (r == 0)
		r = start_segment(w);
	if (r < 0) {
		wv_samples_close(w);
		return r;
	}
	*ret = w;
	return 0;
}

int wv_samples_tick(struct wv_samples_writer *w, const struct wv_sample *s)
{
	w->empty = false;
	wv_samples_encode(&w->last, s, &w->frame);
	return put_frame(w);
}

int wv_samples_mark(struct wv_samples_writer *w, enum wv_samples_mark mark, const char *text)
{
	wv_frame_start(&w->frame, (unsigned char)mark);
	wv_frame_bytes(&w->frame, text, strlen(text));
	return put_frame(w);
}

int wv_samples_rotate(struct wv_samples_writer *w, bool final)
{
	int r = 0;

	if (w->fd >= 0) {
		r = put_out(w, NULL, 0, Z_FINISH);
		if (r == 0)
			r = w->io->fsync(w->io->ctx, w->fd);
		(void)w->io->close(w->io->ctx, w->fd);
		w->fd = -1;
	}
	if (w->empty)
		(void)w->io->unlink(w->io->ctx, w->dirfd, WV_SAMPLES_TEMPORARY);
	else if (r == 0)
		r = complete(w);
	if (!final) {
		int s = start_segment(w);

		r = r ?: s;
	}
	return r;
}

void wv_samples_close(struct wv_samples_writer *w)
{
	if (!w)
		return;
	(void)deflateEnd(&w->z);
	if (w->fd >= 0)
		(void)w->io->close(w->io->ctx, w->fd);
	wv_samples_state_done(&w->last);
	free(w->frame.bytes);
	free(w);
}
