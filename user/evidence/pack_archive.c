// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/pack_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "user/core/dl.h"
#include "user/core/log.h"

#define FUNCTIONS(X)                                                                               \
	X(archive_write_new)                                                                       \
	X(archive_write_set_format_ustar)                                                          \
	X(archive_write_add_filter_zstd)                                                           \
	X(archive_write_set_bytes_in_last_block)                                                   \
	X(archive_write_open)                                                                      \
	X(archive_write_header)                                                                    \
	X(archive_write_data)                                                                      \
	X(archive_write_close)                                                                     \
	X(archive_write_free)                                                                      \
	X(archive_read_new)                                                                        \
	X(archive_read_support_format_tar)                                                         \
	X(archive_read_support_filter_zstd)                                                        \
	X(archive_read_open_fd)                                                                    \
	X(archive_read_next_header)                                                                \
	X(archive_read_data)                                                                       \
	X(archive_read_free)                                                                       \
	X(archive_entry_new)                                                                       \
	X(archive_entry_free)                                                                      \
	X(archive_entry_set_pathname)                                                              \
	X(archive_entry_set_size)                                                                  \
	X(archive_entry_set_filetype)                                                              \
	X(archive_entry_set_perm)                                                                  \
	X(archive_entry_set_mtime)                                                                 \
	X(archive_entry_pathname)                                                                  \
	X(archive_entry_filetype)                                                                  \
	X(archive_error_string)

static struct {
#define X(name) __typeof__(name) *name;
	FUNCTIONS(X)
#undef X
} lib;

struct wv_tar {
	const struct wv_io *io;
	int fd, error;
	struct archive *a;
	struct archive_entry *entry;
};

static int load(void)
{
	static bool loaded;
	static const struct wv_dl_symbol symbols[] = {
#define X(name) {#name, &lib.name},
		FUNCTIONS(X)
#undef X
			{0}};
	int r = loaded ? 0 : wv_dl_load("libarchive.so.13", "libarchive13", symbols);

	loaded = r == 0;
	return r;
}

static la_ssize_t write_bytes(struct archive *a, void *ctx, const void *buf, size_t len)
{
	struct wv_tar *t = ctx;

	(void)a;
	t->error = wv_io_write_all(t->io, t->fd, buf, len);
	return t->error < 0 ? -1 : (la_ssize_t)len;
}

/* libarchive's own codes say little: what the write said, if it was that. */
static int failed(struct wv_tar *t)
{
	if (t->error < 0)
		return t->error;
	(void)wv_log_full(LOG_DEBUG, 0, "pack", "archive: %s",
			  lib.archive_error_string(t->a) ?: "");
	return -EIO;
}

int wv_tar_write_open(struct wv_tar **ret, const struct wv_io *io, int fd)
{
	struct wv_tar *t;
	int r = load();

	if (r < 0)
		return r;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->io = io;
	t->fd = fd;
	t->a = lib.archive_write_new();
	t->entry = lib.archive_entry_new();
	if (!t->a || !t->entry) {
		(void)wv_tar_write_close(t);
		return -ENOMEM;
	}
	if (lib.archive_write_set_format_ustar(t->a) != ARCHIVE_OK ||
	    lib.archive_write_add_filter_zstd(t->a) != ARCHIVE_OK ||
	    lib.archive_write_set_bytes_in_last_block(t->a, 1) != ARCHIVE_OK ||
	    lib.archive_write_open(t->a, t, NULL, write_bytes, NULL) != ARCHIVE_OK) {
		r = failed(t);
		(void)wv_tar_write_close(t);
		return r;
	}
	*ret = t;
	return 0;
}

int wv_tar_write(struct wv_tar *t, const char *name, const void *data, size_t len)
{
	const char *p = data;

	lib.archive_entry_set_pathname(t->entry, name);
	lib.archive_entry_set_size(t->entry, (la_int64_t)len);
	lib.archive_entry_set_filetype(t->entry, AE_IFREG);
	lib.archive_entry_set_perm(t->entry, 0644);
	lib.archive_entry_set_mtime(t->entry, 0, 0);
	if (lib.archive_write_header(t->a, t->entry) != ARCHIVE_OK)
		return failed(t);
	while (len) {
		la_ssize_t n = lib.archive_write_data(t->a, p, len);

		if (n <= 0)
			return failed(t);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int wv_tar_write_close(struct wv_tar *t)
{
	int r = 0;

	if (t->a) {
		if (lib.archive_write_close(t->a) != ARCHIVE_OK)
			r = failed(t);
		(void)lib.archive_write_free(t->a);
	}
	if (t->entry)
		lib.archive_entry_free(t->entry);
	free(t);
	return r;
}

int wv_tar_read_open(struct wv_tar **ret, int fd)
{
	struct wv_tar *t;
	int r = load();

	if (r < 0)
		return r;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->a = lib.archive_read_new();
	if (!t->a) {
		free(t);
		return -ENOMEM;
	}
	if (lib.archive_read_support_format_tar(t->a) != ARCHIVE_OK ||
	    lib.archive_read_support_filter_zstd(t->a) != ARCHIVE_OK ||
	    lib.archive_read_open_fd(t->a, fd, 64U << 10) != ARCHIVE_OK) {
		wv_tar_read_close(t);
		return -EBADMSG;
	}
	*ret = t;
	return 0;
}

int wv_tar_read_next(struct wv_tar *t, const char **ret_name)
{
	struct archive_entry *e;
	int r = lib.archive_read_next_header(t->a, &e);

	*ret_name = "";
	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK)
		return -EBADMSG;
	*ret_name = lib.archive_entry_pathname(e) ?: "";
	return lib.archive_entry_filetype(e) == AE_IFREG ? 1 : -EBADMSG;
}

ssize_t wv_tar_read(struct wv_tar *t, void *buf, size_t size)
{
	la_ssize_t n = lib.archive_read_data(t->a, buf, size);

	return n < 0 ? -EBADMSG : n;
}

void wv_tar_read_close(struct wv_tar *t)
{
	if (!t)
		return;
	(void)lib.archive_read_free(t->a);
	free(t);
}
