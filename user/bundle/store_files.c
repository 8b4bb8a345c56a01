// SPDX-License-Identifier: GPL-2.0-only
/* Looking at a bundle's files: what is hashed is what the descriptor gives. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/store.h"
#include "user/core/cleanup.h"

#define CHUNK (256U << 10)
#define DEPTH_MAX 64

/* Hash of the descriptor's bytes; -EFBIG when there are more than size. */
static int hash_fd(const struct wv_io *io, int fd, uint64_t size, char ret[WV_SHA256_HEX])
{
	_cleanup_free_ char *buf = malloc(CHUNK);
	struct wv_sha256 sum;
	uint64_t off = 0;
	ssize_t n = 0;

	if (!buf)
		return -ENOMEM;
	wv_sha256_init(&sum);
	while (off <= size) {
		n = io->pread(io->ctx, fd, buf, CHUNK, (off_t)off);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			break;
		wv_sha256_add(&sum, buf, (size_t)n);
		off += (uint64_t)n;
	}
	wv_sha256_end(&sum, ret);
	if (n < 0)
		return (int)n;
	return off > size ? -EFBIG : 0;
}

int wv_store_check_file(const struct wv_io *io, int dir, const char *path,
			const struct wv_bundle_file *file, int *ret_fd)
{
	/* O_NONBLOCK: a FIFO that somebody put there must not make the agent wait */
	int fd = io->open(io->ctx, dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0), r;
	char hex[WV_SHA256_HEX];
	uint64_t size = 0;

	if (fd < 0)
		return fd == -ELOOP || fd == -ENOTDIR ? -EBADMSG : fd;
	r = io->size(io->ctx, fd, &size);
	if (r == 0 && size != file->size)
		r = -EBADMSG;
	r = r ?: hash_fd(io, fd, file->size, hex);
	if (r == 0 && strcmp(hex, file->sha256) != 0)
		r = -EBADMSG;
	if (r == 0 && ret_fd) {
		*ret_fd = fd;
		return 0;
	}
	(void)io->close(io->ctx, fd);
	return r == -EFBIG || r == -EISDIR || r == -ESPIPE ? -EBADMSG : r;
}

int wv_store_manifest(const struct wv_store *s, const char *id, struct wv_manifest *ret)
{
	char path[WV_SHA256_HEX + 32];
	_cleanup_free_ char *text = NULL;
	struct wv_manifest_error error;
	struct wv_manifest m;
	size_t len;
	int r;

	snprintf(path, sizeof(path), "%s/" WV_BUNDLE_MANIFEST, id);
	r = wv_io_read_file(s->io, s->dir, path, WV_MANIFEST_MAX, &text, &len);
	if (r < 0)
		return r == -EFBIG ? -EBADMSG : r;
	r = wv_manifest_parse(text, len, &m, &error);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	if (strcmp(m.id, id) != 0) {
		wv_manifest_done(&m);
		return -EBADMSG;
	}
	*ret = m;
	return 0;
}

int wv_store_open_file(const struct wv_store *s, const struct wv_manifest *m,
		       const struct wv_bundle_file *file, int *ret_fd)
{
	char path[WV_SHA256_HEX + WV_BUNDLE_PATH_SIZE + 16];

	snprintf(path, sizeof(path), "%s/" WV_BUNDLE_FILES "/%s", m->id, file->path);
	return wv_store_check_file(s->io, s->dir, path, file, ret_fd);
}

/* What is there that the manifest does not name ---------------------------------------------- */

struct walk {
	const struct wv_io *io;
	const struct wv_manifest *m;
	int dir;			  /* the one whose names are listed */
	char at[WV_BUNDLE_PATH_SIZE + 1]; /* its path, "" or ending in "/" */
	char (*below)[NAME_MAX + 1];	  /* folders in it */
	unsigned n_below;
	char *bad;
};

static int one_name(void *userdata, const char *name)
{
	struct walk *w = userdata;
	char path[2 * WV_BUNDLE_PATH_SIZE + 2];
	size_t len = (size_t)snprintf(path, sizeof(path), "%s%s", w->at, name);
	char(*more)[NAME_MAX + 1];

	for (unsigned i = 0; i < w->m->n_files; i++) {
		const char *known = w->m->files[i].path;

		if (strncmp(known, path, len) != 0 || (known[len] && known[len] != '/'))
			continue;
		if (!known[len])
			return 0;
		more = realloc(w->below, (w->n_below + 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		w->below = more;
		snprintf(w->below[w->n_below++], sizeof(*w->below), "%s", name);
		return 0;
	}
	if (w->bad)
		snprintf(w->bad, WV_BUNDLE_PATH_SIZE, "%.*s", WV_BUNDLE_PATH_SIZE - 1, path);
	return -EBADMSG;
}

static int no_strangers(struct walk *above, int dir, const char *at, unsigned depth)
{
	struct walk w = {.io = above->io, .m = above->m, .dir = dir, .bad = above->bad};
	int r;

	snprintf(w.at, sizeof(w.at), "%s", at);
	r = w.io->list(w.io->ctx, dir, one_name, &w);
	for (unsigned i = 0; r == 0 && i < w.n_below; i++) {
		char next[WV_BUNDLE_PATH_SIZE + 1];
		int fd;

		if (depth == DEPTH_MAX ||
		    snprintf(next, sizeof(next), "%.*s%s/", WV_BUNDLE_PATH_SIZE, at, w.below[i]) >=
			    (int)sizeof(next)) {
			r = -EBADMSG;
			break;
		}
		fd = w.io->open(w.io->ctx, dir, w.below[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		r = fd < 0 ? fd : no_strangers(&w, fd, next, depth + 1);
		if (fd >= 0)
			(void)w.io->close(w.io->ctx, fd);
	}
	free(w.below);
	return r;
}

int wv_store_verify(const struct wv_store *s, const struct wv_manifest *m,
		    char bad[WV_BUNDLE_PATH_SIZE])
{
	struct walk w = {.io = s->io, .m = m, .bad = bad};
	char path[WV_SHA256_HEX + 16];
	int dir, r = 0;

	snprintf(path, sizeof(path), "%s/" WV_BUNDLE_FILES, m->id);
	dir = s->io->open(s->io->ctx, s->dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (dir < 0)
		return dir == -ENOENT ? -EBADMSG : dir;
	for (unsigned i = 0; r == 0 && i < m->n_files; i++) {
		r = wv_store_check_file(s->io, dir, m->files[i].path, &m->files[i], NULL);
		if ((r == -EBADMSG || r == -ENOENT) && bad)
			snprintf(bad, WV_BUNDLE_PATH_SIZE, "%s", m->files[i].path);
	}
	r = r ?: no_strangers(&w, dir, "", 0);
	(void)s->io->close(s->io->ctx, dir);
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP ? -EBADMSG : r;
}
