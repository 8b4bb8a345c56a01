// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is active: `current` is a link to a generation, a folder of links that never changes once it
 * is current. So one rename switches any number of bundles, and a reader that resolved the path
 * before sees the former set as a whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/store.h"
#include "user/core/cleanup.h"

#define GENERATIONS "generations"
#define NEXT ".current.tmp"

static int newest(void *userdata, const char *name)
{
	uint64_t *max = userdata, n;
	char rest;

	if (sscanf(name, "%" SCNu64 "%c", &n, &rest) == 1 && n > *max)
		*max = n;
	return 0;
}

static int make_dir(const struct wv_io *io, int dir, const char *path)
{
	int r = io->mkdir(io->ctx, dir, path, 0755);

	return r == -EEXIST ? 0 : r;
}

static int open_dir(const struct wv_io *io, int dir, const char *path)
{
	return io->open(io->ctx, dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

static int sync_path(const struct wv_io *io, int dir, const char *path)
{
	int fd = open_dir(io, dir, path), r;

	if (fd < 0)
		return fd;
	r = io->fsync(io->ctx, fd);
	(void)io->close(io->ctx, fd);
	return r;
}

/* One kind's folder of links. */
static int make_kind(const struct wv_io *io, int generation, enum wv_bundle_kind kind,
		     const struct wv_store_link *links, unsigned n)
{
	const char *folder = wv_bundle_kinds[kind];
	bool any = false;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < n; i++) {
		char target[WV_SHA256_HEX + 32], path[WV_BUNDLE_NAME_SIZE + 16];

		if (links[i].kind != kind)
			continue;
		if (!any)
			r = make_dir(io, generation, folder);
		any = true;
		snprintf(target, sizeof(target), "../../../%s/" WV_BUNDLE_FILES, links[i].id);
		snprintf(path, sizeof(path), "%s/%s", folder, links[i].name);
		r = r ?: io->symlink(io->ctx, target, generation, path);
	}
	return r == 0 && any ? sync_path(io, generation, folder) : r;
}

static int make_generation(struct wv_store *s, const struct wv_store_link *links, unsigned n,
			   char ret_path[64])
{
	const struct wv_io *io = s->io;
	int dir, generation, r = make_dir(io, s->dir, GENERATIONS);
	uint64_t number = 0;
	char name[32];

	dir = r < 0 ? r : open_dir(io, s->dir, GENERATIONS);
	if (dir < 0)
		return dir;
	r = io->list(io->ctx, dir, newest, &number);
	snprintf(name, sizeof(name), "%" PRIu64, number + 1);
	snprintf(ret_path, 64, GENERATIONS "/%s", name);
	r = r ?: io->mkdir(io->ctx, dir, name, 0755);
	generation = r < 0 ? r : open_dir(io, dir, name);
	r = generation < 0 ? generation : 0;
	for (int kind = 0; r == 0 && kind < WV_BUNDLE_KINDS; kind++)
		r = make_kind(io, generation, (enum wv_bundle_kind)kind, links, n);
	r = r ?: io->fsync(io->ctx, generation);
	r = r ?: io->fsync(io->ctx, dir);
	if (generation >= 0)
		(void)io->close(io->ctx, generation);
	(void)io->close(io->ctx, dir);
	return r;
}

int wv_store_switch(struct wv_store *s, const struct wv_store_link *links, unsigned n)
{
	const struct wv_io *io = s->io;
	char path[64];
	int r = make_generation(s, links, n, path);

	if (r < 0)
		return r;
	r = io->unlink(io->ctx, s->dir, NEXT);
	if (r < 0 && r != -ENOENT)
		return r;
	r = io->symlink(io->ctx, path, s->dir, NEXT);
	/* the link itself is on disk before it gets the name that everything hangs on */
	r = r ?: wv_io_sync_dir(io, s->dir);
	r = r ?: io->rename(io->ctx, s->dir, NEXT, WV_BUNDLES_CURRENT);
	return r ?: wv_io_sync_dir(io, s->dir);
}

static int read_link(const struct wv_store *s, const char *path, char ret_id[WV_SHA256_HEX])
{
	static const char up[] = "../../../";
	char target[WV_SHA256_HEX + 64];
	ssize_t n = s->io->readlink(s->io->ctx, s->dir, path, target, sizeof(target) - 1);
	size_t end = sizeof(up) - 1 + WV_SHA256_HEX - 1;

	if (n < 0)
		return n == -ENOTDIR || n == -EINVAL ? -EBADMSG : (int)n;
	target[n] = '\0';
	if ((size_t)n < end || memcmp(target, up, sizeof(up) - 1) != 0 ||
	    strcmp(target + end, "/" WV_BUNDLE_FILES) != 0)
		return -EBADMSG;
	memcpy(ret_id, target + sizeof(up) - 1, WV_SHA256_HEX - 1);
	ret_id[WV_SHA256_HEX - 1] = '\0';
	return 0;
}

int wv_store_current(const struct wv_store *s, enum wv_bundle_kind kind, const char *name,
		     char ret_id[WV_SHA256_HEX])
{
	char path[WV_BUNDLE_NAME_SIZE + 64];

	snprintf(path, sizeof(path), WV_BUNDLES_CURRENT "/%s/%s", wv_bundle_kinds[kind], name);
	return read_link(s, path, ret_id);
}

static int first_name(void *userdata, const char *name)
{
	snprintf(userdata, WV_BUNDLE_NAME_SIZE, "%s", name);
	return 1;
}

int wv_store_current_of(const struct wv_store *s, enum wv_bundle_kind kind,
			char ret_name[WV_BUNDLE_NAME_SIZE], char ret_id[WV_SHA256_HEX])
{
	char path[64];
	int dir, r;

	snprintf(path, sizeof(path), WV_BUNDLES_CURRENT "/%s", wv_bundle_kinds[kind]);
	dir = s->io->open(s->io->ctx, s->dir, path, O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0)
		return dir;
	r = s->io->list(s->io->ctx, dir, first_name, ret_name);
	(void)s->io->close(s->io->ctx, dir);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	return wv_store_current(s, kind, ret_name, ret_id);
}
