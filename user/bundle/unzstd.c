// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/unzstd.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#define IN_SIZE (64U << 10)

int wv_unzstd_init(struct wv_unzstd *z, int fd, unsigned window_log_max)
{
	*z = (struct wv_unzstd){.fd = fd, .ctx = ZSTD_createDCtx()};
	z->in = malloc(IN_SIZE);
	z->out = malloc(WV_UNZSTD_OUT);
	if (!z->ctx || !z->in || !z->out ||
	    ZSTD_isError(
		    ZSTD_DCtx_setParameter(z->ctx, ZSTD_d_windowLogMax, (int)window_log_max))) {
		wv_unzstd_done(z);
		return -ENOMEM;
	}
	return 0;
}

/* Bytes that are there to be decompressed; 0 at the end of the file. */
static ssize_t fill(struct wv_unzstd *z)
{
	ssize_t n;

	if (z->in_pos < z->in_len)
		return (ssize_t)(z->in_len - z->in_pos);
	do
		n = read(z->fd, z->in, IN_SIZE);
	while (n < 0 && errno == EINTR);
	z->in_pos = 0;
	z->in_len = n > 0 ? (size_t)n : 0;
	return n < 0 ? -errno : n;
}

/* The frame is over: so must be the file. */
static int end(struct wv_unzstd *z)
{
	ssize_t n = fill(z);

	z->ended = n == 0;
	return n > 0 ? -EBADMSG : (int)n;
}

ssize_t wv_unzstd_read(struct wv_unzstd *z)
{
	ZSTD_outBuffer out = {z->out, WV_UNZSTD_OUT, 0};

	z->out_len = 0;
	if (z->ended)
		return 0;
	while (!out.pos) {
		ssize_t n = fill(z);
		ZSTD_inBuffer in = {z->in, z->in_len, z->in_pos};
		size_t left;

		if (n < 0)
			return n;
		/* also with no input: what is left in the context may still come out */
		left = ZSTD_decompressStream(z->ctx, &out, &in);
		if (ZSTD_isError(left))
			return -EBADMSG;
		z->in_pos = in.pos;
		if (left == 0) {
			int r = end(z);

			if (r < 0)
				return r;
			break;
		}
		if (n == 0 && !out.pos)
			return -EBADMSG;
	}
	z->out_len = out.pos;
	z->produced += out.pos;
	return z->produced > z->allowed ? -EFBIG : (ssize_t)out.pos;
}

void wv_unzstd_done(struct wv_unzstd *z)
{
	ZSTD_freeDCtx(z->ctx);
	free(z->in);
	free(z->out);
	*z = (struct wv_unzstd){.fd = -1};
}
