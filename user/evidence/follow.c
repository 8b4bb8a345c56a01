// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/paths.h"
#include "user/evidence/tlog.h"

#define CURSOR_MAX 32
#define NAME_MAX_BYTES 32

struct wv_follow {
	const struct wv_io *io;
	const char *state;
	char name[NAME_MAX_BYTES];
	int dirfd;
	struct wv_tlog_reader *reader; /* NULL: to be opened at next */
	uint64_t next, kept, missed;
};

static int read_cursor(struct wv_follow *f, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	char *end;
	size_t len;
	int r = wv_io_read_file(f->io, f->dirfd, f->name, CURSOR_MAX, &text, &len);

	if (r < 0)
		return r;
	*ret = strtoull(text, &end, 10);
	return end == text || *end != '\n' ? -EBADMSG : 0;
}

static int keep(struct wv_follow *f, uint64_t seq)
{
	char text[CURSOR_MAX];
	int len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)seq);

	return wv_io_replace(f->io, f->dirfd, f->name, text, (size_t)len, 0640);
}

int wv_follow_open(struct wv_follow **ret, const struct wv_io *io, const char *state,
		   const char *name, uint64_t first)
{
	struct wv_follow *f = calloc(1, sizeof(*f));
	char path[WV_PATH_SIZE + 16];
	int r;

	if (!f)
		return -ENOMEM;
	f->io = io;
	f->state = state;
	f->dirfd = -1;
	r = snprintf(f->name, sizeof(f->name), "%s", name) < (int)sizeof(f->name) ? 0
										  : -ENAMETOOLONG;
	if (snprintf(path, sizeof(path), "%s/" WV_FOLLOW_FOLDER, state) >= (int)sizeof(path))
		r = -ENAMETOOLONG;
	if (r == 0)
		r = wv_io_mkdirs(io, path, 0750);
	if (r == 0) {
		f->dirfd = io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
		r = f->dirfd < 0 ? f->dirfd : read_cursor(f, &f->kept);
	}
	/* a cursor that cannot be read must not keep a sink quiet for ever */
	if (r == -ENOENT || r == -EBADMSG || r == -EFBIG) {
		f->kept = first ? first - 1 : 0;
		/* where it begins is remembered, also if nothing can be delivered for a while */
		r = keep(f, f->kept);
	}
	if (r < 0) {
		wv_follow_close(f);
		return r;
	}
	f->next = f->kept + 1;
	*ret = f;
	return 0;
}

int wv_follow_next(struct wv_follow *f, uint64_t *ret_seq, const char **ret_line, size_t *ret_len)
{
	uint64_t seq;
	int r = f->reader ? 0 : wv_tlog_read_open(&f->reader, f->io, f->state, f->next);

	if (r == 0)
		r = wv_tlog_read(f->reader, &seq, ret_line, ret_len);
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		wv_tlog_read_close(TAKE_PTR(f->reader));
		return r;
	}
	if (r == 0)
		return 0;
	f->missed += seq - f->next;
	f->next = seq + 1;
	*ret_seq = seq;
	return 1;
}

uint64_t wv_follow_missed(const struct wv_follow *f)
{
	return f->missed;
}

uint64_t wv_follow_kept(const struct wv_follow *f)
{
	return f->kept;
}

int wv_follow_done(struct wv_follow *f, uint64_t seq)
{
	int r = seq <= f->kept ? 0 : keep(f, seq);

	if (r == 0 && seq > f->kept)
		f->kept = seq;
	return r;
}

void wv_follow_rewind(struct wv_follow *f)
{
	wv_tlog_read_close(TAKE_PTR(f->reader));
	f->next = f->kept + 1;
}

void wv_follow_close(struct wv_follow *f)
{
	if (!f)
		return;
	wv_tlog_read_close(f->reader);
	if (f->dirfd >= 0)
		(void)f->io->close(f->io->ctx, f->dirfd);
	free(f);
}
