// SPDX-License-Identifier: GPL-2.0-only
/* A file that grows by whole lines and is rotated by size. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/evidence/lines.h"
#include "user/spool/sink.h"

#define LOOK_NS 1000000000ULL

struct file {
	int dir;
	char name[200];
	struct wv_lines lines;
	uint64_t looked_ns;
};

static int open_file(struct wv_sink *k)
{
	struct file *f = k->state;

	return wv_lines_open(&f->lines, k->io, f->dir, f->name, 0640, NULL);
}

static int open_folder(struct wv_sink *k)
{
	struct file *f = k->state;
	const char *slash = strrchr(k->config->path, '/');
	char dir[256];

	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - k->config->path + 1), k->config->path);
	f->dir = k->io->open(k->io->ctx, AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	return f->dir < 0 ? f->dir : 0;
}

static int file_open(struct wv_sink *k)
{
	const char *slash = strrchr(k->config->path, '/');
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	k->state = f;
	f->lines.fd = f->dir = -1;
	if (!slash || !slash[1] || strlen(slash + 1) >= sizeof(f->name))
		return -EINVAL;
	memcpy(f->name, slash + 1, strlen(slash + 1) + 1);
	/* one that is not there yet is an output that fails until it is */
	if (open_folder(k) == 0)
		(void)open_file(k);
	return 0;
}

/* Somebody else moved or removed it: what is written now would go with it. */
static void look(struct wv_sink *k)
{
	struct file *f = k->state;
	uint64_t now = k->io->mono_ns(k->io->ctx);
	struct stat a, b;

	if (f->lines.fd < 0 || now - f->looked_ns < LOOK_NS)
		return;
	f->looked_ns = now;
	if (fstat(f->lines.fd, &a) == 0 &&
	    (fstatat(f->dir, f->name, &b, AT_SYMLINK_NOFOLLOW) < 0 ? errno == ENOENT
								   : a.st_ino != b.st_ino)) {
		(void)wv_lines_sync(&f->lines);
		wv_lines_close(&f->lines);
	}
}

/* name.1 is the newest of the old ones. */
static int rotate(struct wv_sink *k)
{
	struct file *f = k->state;
	char from[224], to[224];
	int r = wv_lines_sync(&f->lines);

	if (r < 0)
		return r;
	wv_lines_close(&f->lines);
	for (uint64_t i = k->config->keep; i > 0 && r == 0; i--) {
		snprintf(to, sizeof(to), "%s.%llu", f->name, (unsigned long long)i);
		if (i > 1)
			snprintf(from, sizeof(from), "%s.%llu", f->name, (unsigned long long)i - 1);
		else
			snprintf(from, sizeof(from), "%s", f->name);
		r = k->io->rename(k->io->ctx, f->dir, from, to);
		if (r == -ENOENT)
			r = 0;
	}
	if (r == 0)
		r = wv_io_sync_dir(k->io, f->dir);
	return r < 0 ? r : open_file(k);
}

static enum wv_send file_send(struct wv_sink *k, const char *body, size_t len)
{
	struct file *f = k->state;
	int r = f->dir < 0 ? open_folder(k) : 0;

	look(k);
	if (r == 0 && f->lines.fd < 0)
		r = open_file(k);
	if (r == 0 && f->lines.len && f->lines.len + len > k->config->rotate_bytes)
		r = rotate(k);
	if (r == 0)
		r = wv_lines_append(&f->lines, body, len, false);
	return r < 0 ? wv_sink_failed(k, "%s: %s", k->config->path, strerror(-r)) : WV_SEND_OK;
}

static int file_flush(struct wv_sink *k)
{
	struct file *f = k->state;

	return f->lines.fd < 0 ? 0 : wv_lines_sync(&f->lines);
}

static void file_close(struct wv_sink *k)
{
	struct file *f = k->state;

	if (!f)
		return;
	wv_lines_close(&f->lines);
	if (f->dir >= 0)
		(void)k->io->close(k->io->ctx, f->dir);
	free(f);
	k->state = NULL;
}

const struct wv_sink_ops wv_sink_file = {
	.open = file_open, .send = file_send, .flush = file_flush, .close = file_close};
