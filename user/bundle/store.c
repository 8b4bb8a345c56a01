// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"

int wv_bundle_kind_by_name(const char *name)
{
	for (int i = 0; i < WV_BUNDLE_KINDS; i++)
		if (strcmp(wv_bundle_kinds[i], name) == 0)
			return i;
	return -1;
}

static int make(const struct wv_io *io, const char *state, const char *path)
{
	int dir, r = io->mkdir(io->ctx, AT_FDCWD, path, 0755);

	if (r == -EEXIST)
		return 0;
	if (r == -ENOENT) {
		r = wv_io_mkdirs(io, state, 0750);
		r = r ?: io->mkdir(io->ctx, AT_FDCWD, path, 0755);
	}
	if (r < 0)
		return r == -EEXIST ? 0 : r;
	dir = io->open(io->ctx, AT_FDCWD, state, O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0)
		return dir;
	r = wv_io_sync_dir(io, dir);
	(void)io->close(io->ctx, dir);
	return r;
}

static int take_lock(struct wv_store *s)
{
	int r;

	s->lock = s->io->open(s->io->ctx, s->dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (s->lock < 0)
		return s->lock;
	do
		r = s->io->lock(s->io->ctx, s->lock, true);
	while (r == -EINTR);
	return r;
}

int wv_store_open(struct wv_store *ret, const struct wv_io *io, const char *state, bool change)
{
	struct wv_store s = {
		.io = io, .dir = -1, .lock = -1, .reserve_bytes = WV_STORE_RESERVE_BYTES};
	char path[WV_PATH_SIZE + 16];
	int r;

	if (snprintf(path, sizeof(path), "%s/" WV_BUNDLES_DIR, state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	r = change ? make(io, state, path) : 0;
	if (r < 0)
		return r;
	s.dir = io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (s.dir < 0)
		return s.dir;
	r = change ? take_lock(&s) : 0;
	if (r < 0) {
		wv_store_close(&s);
		return r;
	}
	*ret = s;
	return 0;
}

void wv_store_close(struct wv_store *s)
{
	if (!s->io)
		return;
	if (s->lock >= 0)
		(void)s->io->close(s->io->ctx, s->lock);
	if (s->dir >= 0)
		(void)s->io->close(s->io->ctx, s->dir);
	s->lock = s->dir = -1;
}

uint64_t wv_bundle_bytes(const struct wv_manifest *m)
{
	/* a file takes whole blocks, and an inode and a name beside them */
	const uint64_t block = 4096;
	uint64_t sum = m->text_len + 4 * block;

	for (unsigned i = 0; i < m->n_files; i++)
		sum += (m->files[i].size + 2 * block - 1) / block * block;
	return sum;
}
