// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signed checkpoints of the log. The leaf hashes that one covers are on disk before it is: recovery
 * trusts them for that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/tlog_internal.h"

#define TAIL (2 * WV_NOTE_MAX)
#define SIGNATURE "\xe2\x80\x94 " /* how a note's signature lines start */

/* The newest checkpoint's claim; its size is 0 if there is none or it is no note. */
int wv_tlog_checkpoint_read(struct wv_tlog *l, struct wv_checkpoint *ret)
{
	_cleanup_free_ char *text = NULL;
	const char *end;
	size_t len;
	int r = wv_io_read_file(l->io, l->dirfd, WV_TLOG_CHECKPOINT_NAME, WV_NOTE_MAX, &text, &len);

	*ret = (struct wv_checkpoint){0};
	if (r == -ENOENT || r == -EFBIG)
		return 0;
	if (r < 0)
		return r;
	end = strstr(text, "\n\n" SIGNATURE);
	if (!end || wv_checkpoint_parse(text, (size_t)(end - text) + 1, ret) < 0)
		*ret = (struct wv_checkpoint){0};
	return 0;
}

/* End of the last whole note in the bytes: signature lines and an empty one. */
static size_t whole_notes(const char *text, size_t len)
{
	for (size_t end = len; end >= 2; end--) {
		size_t start;

		if (text[end - 1] != '\n' || text[end - 2] != '\n')
			continue;
		for (start = end - 2; start && text[start - 1] != '\n';)
			start--;
		if (strncmp(text + start, SIGNATURE, strlen(SIGNATURE)) == 0)
			return end;
	}
	return 0;
}

static int read_tail(struct wv_tlog *l, int fd, uint64_t from, char *buf, size_t len)
{
	ssize_t got = wv_io_pread_all(l->io, fd, buf, len, from);

	if (got < 0 || (size_t)got != len)
		return got < 0 ? (int)got : -EIO;
	buf[len] = '\0';
	return 0;
}

/* Cuts off a note that was not written to its end. */
static int cut_torn_note(struct wv_tlog *l, int fd)
{
	_cleanup_free_ char *buf = NULL;
	uint64_t size, from;
	size_t len, whole;
	int r = l->io->size(l->io->ctx, fd, &size);

	if (r < 0 || !size)
		return r;
	from = size > TAIL ? size - TAIL : 0;
	len = (size_t)(size - from);
	buf = malloc(len + 1);
	r = buf ? read_tail(l, fd, from, buf, len) : -ENOMEM;
	if (r < 0)
		return r;
	whole = whole_notes(buf, len);
	/* no note in so many bytes: these are no checkpoints of ours to cut */
	if (whole == len || (!whole && from))
		return 0;
	return l->io->ftruncate(l->io->ctx, fd, (off_t)(from + whole));
}

int wv_tlog_checkpoints_repair(struct wv_tlog *l)
{
	int fd = l->io->open(l->io->ctx, l->dirfd, WV_TLOG_CHECKPOINTS_NAME, O_RDWR, 0), r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = cut_torn_note(l, fd);
	(void)l->io->close(l->io->ctx, fd);
	return r;
}

/* Adds the note to `checkpoints`, or leaves that as it was. */
static int append_note(struct wv_tlog *l, const char *note)
{
	_cleanup_free_ char *text = NULL;
	const struct wv_io *io = l->io;
	uint64_t size = 0;
	int fd, r;

	if (asprintf(&text, "%s\n", note) < 0)
		return -ENOMEM;
	fd = io->open(io->ctx, l->dirfd, WV_TLOG_CHECKPOINTS_NAME, O_RDWR | O_APPEND | O_CREAT,
		      WV_TLOG_MODE);
	if (fd < 0)
		return fd;
	r = cut_torn_note(l, fd);
	if (r == 0)
		r = io->size(io->ctx, fd, &size);
	if (r == 0) {
		r = wv_io_write_all(io, fd, text, strlen(text));
		if (r == 0)
			r = io->fsync(io->ctx, fd);
		if (r < 0)
			(void)io->ftruncate(io->ctx, fd, (off_t)size);
	}
	(void)io->close(io->ctx, fd);
	return r;
}

/* With the lock, and everything synced. */
int wv_tlog_checkpoint_make(struct wv_tlog *l)
{
	_cleanup_free_ char *text = NULL, *note = NULL;
	struct wv_checkpoint c = {.size = l->tree.size};
	int r = wv_tlog_hashes_sync(l);

	if (r < 0)
		return r;
	snprintf(c.origin, sizeof(c.origin), "%s", l->name);
	wv_merkle_root(&l->tree, &c.root);
	r = wv_checkpoint_text(&c, &text);
	if (r == 0)
		r = wv_note_sign(text, l->name, l->o.key, &note);
	if (r == 0)
		r = append_note(l, note);
	if (r == 0)
		r = wv_io_replace(l->io, l->dirfd, WV_TLOG_CHECKPOINT_NAME, note, strlen(note),
				  WV_TLOG_MODE);
	if (r < 0)
		return r;
	l->checkpoint_size = c.size;
	l->checkpoint_ns = l->io->mono_ns(l->io->ctx);
	return 0;
}
