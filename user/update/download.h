/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Downloads that go on where they were cut off: <dir>/<sha256>.part, and beside it the ETag of what
 * it is a part of. A file is whole when its hash is the one in its name, never by its length alone.
 */
#ifndef WV_UPDATE_DOWNLOAD_H
#define WV_UPDATE_DOWNLOAD_H

#include "user/core/io.h"
#include "user/core/sha256.h"
#include "user/update/http.h"

/* Left to the rest of the machine. */
#define WV_DOWNLOAD_RESERVE_BYTES (16U << 20)

struct wv_download {
	const struct wv_io *io;
	int dir; /* kept by the caller */
	const char *url, *sha256;
	uint64_t size;
	/* what was done */
	uint64_t got_bytes, resumed_bytes;
};

/*
 * Fetches what is missing; durable and whole when it returns 0, *ret_fd is open for reading.
 * -EBADMSG: all came, and it is another file (it is thrown away); -ENOSPC: it would not fit beside
 * the reserve; errors of wv_http_get(), after which the next call goes on.
 */
int wv_download(struct wv_download *d, struct wv_http *http, struct wv_http_answer *ret_answer,
		int *ret_fd);
/* Removes a download, whole or in part. 0 also if there is none. */
int wv_download_drop(const struct wv_io *io, int dir, const char *sha256);

#endif
