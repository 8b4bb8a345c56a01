// SPDX-License-Identifier: GPL-2.0-only
#include "user/update/download.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"

/* What a power cut may cost at most of a slow download. */
#define SYNC_BYTES (8U << 20)
#define NAME_SIZE (WV_SHA256_HEX + 8)

struct part {
	struct wv_download *d;
	int fd;
	uint64_t at, unsynced; /* bytes of the file; of them not on disk yet */
};

static void name_of(const char *sha256, const char *suffix, char ret[NAME_SIZE])
{
	snprintf(ret, NAME_SIZE, "%.64s%s", sha256, suffix);
}

static int drop(const struct wv_io *io, int dir, const char *sha256, const char *suffix)
{
	char name[NAME_SIZE];
	int r;

	name_of(sha256, suffix, name);
	r = io->unlink(io->ctx, dir, name);
	return r == -ENOENT ? 0 : r;
}

int wv_download_drop(const struct wv_io *io, int dir, const char *sha256)
{
	int r = drop(io, dir, sha256, ".part");

	return r < 0 ? r : drop(io, dir, sha256, ".etag");
}

/* Appending: the file is open so. From the beginning: what there was is of another one. */
static int take(void *ctx, uint64_t from, const void *bytes, size_t len)
{
	struct part *p = ctx;
	const struct wv_io *io = p->d->io;
	int r = 0;

	if (from != p->at && from == 0) {
		r = io->ftruncate(io->ctx, p->fd, 0);
		p->at = 0;
		p->d->resumed_bytes = 0;
	}
	if (r < 0 || from != p->at)
		return r < 0 ? r : -EREMOTEIO;
	r = wv_io_write_all(io, p->fd, bytes, len);
	if (r < 0)
		return r;
	p->at += len;
	p->unsynced += len;
	p->d->got_bytes += len;
	if (p->unsynced < SYNC_BYTES)
		return 0;
	p->unsynced = 0;
	return io->fsync(io->ctx, p->fd);
}

static int check_space(const struct wv_download *d, uint64_t have)
{
	uint64_t available;
	int r = d->io->free_bytes(d->io->ctx, d->dir, &available);

	if (r < 0)
		return r;
	return available < d->size - have + WV_DOWNLOAD_RESERVE_BYTES ? -ENOSPC : 0;
}

static int check_hash(const struct wv_download *d, int fd)
{
	struct wv_sha256 sum;
	char buf[16384], hex[WV_SHA256_HEX];
	uint64_t off = 0;
	ssize_t n;

	wv_sha256_init(&sum);
	while ((n = d->io->pread(d->io->ctx, fd, buf, sizeof(buf), (off_t)off)) > 0) {
		wv_sha256_add(&sum, buf, (size_t)n);
		off += (uint64_t)n;
	}
	wv_sha256_end(&sum, hex);
	if (n < 0)
		return (int)n;
	return off == d->size && strcmp(hex, d->sha256) == 0 ? 0 : -EBADMSG;
}

/* A strong ETag of what the part is of, or "". */
static void load_etag(const struct wv_download *d, char ret[WV_ETAG_SIZE])
{
	_cleanup_free_ char *text = NULL;
	char name[NAME_SIZE];

	ret[0] = '\0';
	name_of(d->sha256, ".etag", name);
	if (wv_io_read_file(d->io, d->dir, name, WV_ETAG_SIZE - 1, &text, NULL) == 0 &&
	    text[0] == '"')
		snprintf(ret, WV_ETAG_SIZE, "%s", text);
}

/* Only strong ones tell that bytes are the same (RFC 9110, section 13.1.5). */
static int save_etag(const struct wv_download *d, const char *etag)
{
	char name[NAME_SIZE];

	if (etag[0] != '"')
		return drop(d->io, d->dir, d->sha256, ".etag");
	name_of(d->sha256, ".etag", name);
	return wv_io_replace(d->io, d->dir, name, etag, strlen(etag), 0644);
}

static int fetch(struct wv_download *d, struct wv_http *http, struct wv_http_answer *ret_answer,
		 struct part *p)
{
	char etag[WV_ETAG_SIZE];
	struct wv_http_request q = {
		.url = d->url, .from = p->at, .max = d->size, .take = take, .ctx = p};
	int r, saved;

	load_etag(d, etag);
	if (etag[0])
		q.if_range = etag;
	d->resumed_bytes = p->at;
	r = wv_http_get(http, &q, ret_answer);
	saved = ret_answer->etag[0] && strcmp(ret_answer->etag, etag) != 0 && d->got_bytes
			? save_etag(d, ret_answer->etag)
			: 0;
	if (r == -ERANGE || r == -EFBIG) /* there is less, or more, of it than was told */
		(void)wv_download_drop(d->io, d->dir, d->sha256);
	return r < 0 ? r : saved;
}

static int run(struct wv_download *d, struct wv_http *http, struct wv_http_answer *ret_answer,
	       struct part *p)
{
	const struct wv_io *io = d->io;
	int r = io->size(io->ctx, p->fd, &p->at);

	if (r == 0 && p->at > d->size) {
		r = io->ftruncate(io->ctx, p->fd, 0);
		p->at = 0;
	}
	if (r == 0 && p->at < d->size)
		r = check_space(d, p->at);
	if (r == 0 && p->at < d->size)
		r = fetch(d, http, ret_answer, p);
	if (p->unsynced || p->at == d->size) {
		int synced = io->fsync(io->ctx, p->fd);

		r = r < 0 ? r : synced;
	}
	if (r == 0)
		r = p->at < d->size ? -EHOSTUNREACH : check_hash(d, p->fd);
	if (r == -EBADMSG)
		(void)wv_download_drop(io, d->dir, d->sha256);
	return r;
}

int wv_download(struct wv_download *d, struct wv_http *http, struct wv_http_answer *ret_answer,
		int *ret_fd)
{
	struct part p = {.d = d};
	char name[NAME_SIZE];
	int r;

	d->got_bytes = d->resumed_bytes = 0;
	*ret_answer = (struct wv_http_answer){.status = 0};
	name_of(d->sha256, ".part", name);
	p.fd = d->io->open(d->io->ctx, d->dir, name, O_RDWR | O_CREAT | O_APPEND, 0644);
	if (p.fd < 0)
		return p.fd;
	r = wv_io_sync_dir(d->io, d->dir);
	if (r == 0)
		r = run(d, http, ret_answer, &p);
	(void)d->io->close(d->io->ctx, p.fd);
	if (r < 0)
		return r;
	r = d->io->open(d->io->ctx, d->dir, name, O_RDONLY, 0);
	if (r < 0)
		return r;
	*ret_fd = r;
	return 0;
}
