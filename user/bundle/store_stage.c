// SPDX-License-Identifier: GPL-2.0-only
/*
 * Staging. Order: each file under a name of no meaning, hashed as it is written, synced, renamed;
 * then manifest and signatures, then every folder synced, then the one rename that makes it a
 * bundle. What is found from an earlier try is hashed before it counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/store.h"
#include "user/core/cleanup.h"

#define CHUNK (256U << 10)
#define PART ".part"

struct staging {
	const struct wv_io *io;
	const struct wv_store_source *from;
	const struct wv_manifest *m;
	int dir;	 /* of the bundle that is written */
	int files;	 /* its files/ */
	bool *have;	 /* by file: whole and hashed */
	unsigned n_have; /* of them */
	struct wv_store_staged got;
};

static int make_dir(const struct wv_io *io, int dir, const char *path)
{
	int r = io->mkdir(io->ctx, dir, path, 0755);

	return r == -EEXIST ? 0 : r;
}

static int open_dir(const struct wv_io *io, int dir, const char *path)
{
	return io->open(io->ctx, dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

/* The folders that a file's path goes through. */
static int make_folders(const struct staging *g, const char *path)
{
	char part[WV_BUNDLE_PATH_SIZE];
	int r = 0;

	for (const char *slash = strchr(path, '/'); r == 0 && slash;
	     slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		r = make_dir(g->io, g->files, part);
	}
	return r;
}

static int find_kept(struct staging *g)
{
	for (unsigned i = 0; i < g->m->n_files; i++) {
		const struct wv_bundle_file *f = &g->m->files[i];
		int r = wv_store_check_file(g->io, g->files, f->path, f, NULL);

		if (r < 0 && r != -ENOENT && r != -EBADMSG)
			return r;
		g->have[i] = r == 0;
		g->n_have += r == 0;
		g->got.kept_bytes += r == 0 ? f->size : 0;
	}
	return 0;
}

/* What is missing has to fit beside the reserve. */
static int check_space(const struct wv_store *s, const struct staging *g)
{
	uint64_t need = wv_bundle_bytes(g->m), there;
	int r = s->io->free_bytes(s->io->ctx, s->dir, &there);

	if (r < 0)
		return r;
	need -= g->got.kept_bytes < need ? g->got.kept_bytes : need;
	return there < s->reserve_bytes || there - s->reserve_bytes < need ? -ENOSPC : 0;
}

/* Where a file's bytes come from: the stream, or an equal file that is here. */
struct bytes {
	struct staging *g;
	int fd; /* -1: the stream */
	off_t off;
};

static ssize_t next_bytes(struct bytes *b, void *buf, size_t size)
{
	ssize_t n;

	if (b->fd < 0)
		return b->g->from->read(b->g->from->ctx, buf, size);
	do
		n = b->g->io->pread(b->g->io->ctx, b->fd, buf, size, b->off);
	while (n == -EINTR);
	b->off += n > 0 ? n : 0;
	return n;
}

/* Writes to PART what comes, at most f->size bytes; 0 when they have its hash. */
static int write_part(struct staging *g, struct bytes *from, const struct wv_bundle_file *f)
{
	const struct wv_io *io = g->io;
	_cleanup_free_ char *buf = malloc(CHUNK);
	char hex[WV_SHA256_HEX];
	struct wv_sha256 sum;
	uint64_t done = 0;
	ssize_t n = 0;
	int fd, r, closed;

	if (!buf)
		return -ENOMEM;
	r = io->unlink(io->ctx, g->dir, PART);
	if (r < 0 && r != -ENOENT)
		return r;
	/* nobody is to write to it later, not even its owner by mistake */
	fd = io->open(io->ctx, g->dir, PART, O_WRONLY | O_CREAT | O_EXCL, f->mode & 0555);
	if (fd < 0)
		return fd;
	wv_sha256_init(&sum);
	r = 0;
	while (r == 0 && (n = next_bytes(from, buf, CHUNK)) > 0) {
		done += (uint64_t)n;
		wv_sha256_add(&sum, buf, (size_t)n);
		r = done > f->size ? -EBADMSG : wv_io_write_all(io, fd, buf, (size_t)n);
	}
	wv_sha256_end(&sum, hex);
	if (r == 0 && n < 0)
		r = (int)n;
	if (r == 0 && (done != f->size || strcmp(hex, f->sha256) != 0))
		r = -EBADMSG;
	r = r ?: io->fsync(io->ctx, fd);
	closed = io->close(io->ctx, fd);
	r = r ?: closed;
	if (r < 0)
		(void)io->unlink(io->ctx, g->dir, PART);
	else
		g->got.written_bytes += done;
	return r;
}

static int write_file(struct staging *g, struct bytes *from, unsigned i)
{
	const struct wv_bundle_file *f = &g->m->files[i];
	char path[WV_BUNDLE_PATH_SIZE + 16];
	int r = make_folders(g, f->path);

	snprintf(path, sizeof(path), WV_BUNDLE_FILES "/%s", f->path);
	r = r ?: write_part(g, from, f);
	r = r ?: g->io->rename(g->io->ctx, g->dir, PART, path);
	if (r == 0) {
		g->have[i] = true;
		g->n_have++;
	}
	return r;
}

/* Reads a content that nobody needs: the reader still checks it. */
static int skip_content(struct staging *g)
{
	_cleanup_free_ char *buf = malloc(CHUNK);
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	while ((n = g->from->read(g->from->ctx, buf, CHUNK)) > 0)
		;
	return (int)n;
}

/* Every file with this content: the first from the stream, the others from the first. */
static int take_content(struct staging *g, const char *sha256)
{
	unsigned source = g->m->n_files;
	bool used = false;
	int r = 0;

	for (unsigned i = 0; i < g->m->n_files && source == g->m->n_files; i++)
		if (g->have[i] && strcmp(g->m->files[i].sha256, sha256) == 0)
			source = i;
	for (unsigned i = 0; r == 0 && i < g->m->n_files; i++) {
		struct bytes b = {.g = g, .fd = -1};

		if (g->have[i] || strcmp(g->m->files[i].sha256, sha256) != 0)
			continue;
		if (source < g->m->n_files)
			r = wv_store_check_file(g->io, g->files, g->m->files[source].path,
						&g->m->files[source], &b.fd);
		else
			used = true;
		r = r ?: write_file(g, &b, i);
		if (b.fd >= 0)
			(void)g->io->close(g->io->ctx, b.fd);
		source = source < g->m->n_files ? source : i;
	}
	return r == 0 && !used ? skip_content(g) : r;
}

static int take_contents(struct staging *g)
{
	const struct wv_bundle_file *file;
	int r = 1;

	while (g->n_have < g->m->n_files && (r = g->from->next(g->from->ctx, &file)) > 0) {
		r = take_content(g, file->sha256);
		if (r < 0)
			break;
	}
	return r < 0 ? r : g->n_have == g->m->n_files ? 0 : -EBADMSG;
}

static int sync_one(const struct staging *g, const char *path)
{
	int fd = open_dir(g->io, g->files, path), r;

	if (fd < 0)
		return fd;
	r = g->io->fsync(g->io->ctx, fd);
	(void)g->io->close(g->io->ctx, fd);
	return r;
}

/* All folders of files/; those of the file before are done. */
static int sync_folders(const struct staging *g)
{
	const char *before = "";
	int r = 0;

	for (unsigned i = 0; r == 0 && i < g->m->n_files; i++) {
		const char *path = g->m->files[i].path, *slash = strchr(path, '/');
		char part[WV_BUNDLE_PATH_SIZE];

		for (; r == 0 && slash; slash = strchr(slash + 1, '/')) {
			size_t len = (size_t)(slash - path);

			if (strncmp(before, path, len + 1) == 0)
				continue;
			snprintf(part, sizeof(part), "%.*s", (int)len, path);
			r = sync_one(g, part);
		}
		before = path;
	}
	return r ?: sync_one(g, ".");
}

static int write_texts(const struct staging *g)
{
	int r = wv_io_replace(g->io, g->dir, WV_BUNDLE_SIGNATURES, g->from->signatures ?: "",
			      g->from->signatures_len, 0444);

	/* both end with a sync of the folder itself */
	return r
		       ?: wv_io_replace(g->io, g->dir, WV_BUNDLE_MANIFEST, g->m->text,
					g->m->text_len, 0444);
}

static int fill(struct wv_store *s, struct staging *g)
{
	int r = make_dir(g->io, g->dir, WV_BUNDLE_FILES);

	g->files = r < 0 ? r : open_dir(g->io, g->dir, WV_BUNDLE_FILES);
	if (g->files < 0)
		return g->files;
	r = find_kept(g);
	r = r ?: check_space(s, g);
	r = r ?: take_contents(g);
	r = r ?: sync_folders(g);
	r = r ?: write_texts(g);
	(void)g->io->close(g->io->ctx, g->files);
	return r;
}

static int name_it(struct wv_store *s, const char *staged, const char *id)
{
	int staging, r = s->io->rename(s->io->ctx, s->dir, staged, id);

	r = r ?: wv_io_sync_dir(s->io, s->dir);
	if (r < 0)
		return r;
	staging = open_dir(s->io, s->dir, "staging");
	r = staging < 0 ? staging : s->io->fsync(s->io->ctx, staging);
	if (staging >= 0)
		(void)s->io->close(s->io->ctx, staging);
	return r;
}

/* A whole bundle has its manifest and every file. */
static int is_whole(struct wv_store *s, const char *id)
{
	struct wv_manifest m;
	int r = wv_store_manifest(s, id, &m);

	if (r == 0) {
		r = wv_store_verify(s, &m, NULL);
		wv_manifest_done(&m);
	}
	return r;
}

int wv_store_stage(struct wv_store *s, const struct wv_store_source *from,
		   struct wv_store_staged *ret)
{
	const char *id = from->manifest->id;
	struct staging g = {.io = s->io, .from = from, .m = from->manifest};
	char staged[WV_SHA256_HEX + 16];
	int r = is_whole(s, id), mend = 0;

	if (r == 0) {
		/* the sync after an earlier rename may be what failed */
		r = wv_io_sync_dir(s->io, s->dir);
		if (r == 0)
			*ret = (struct wv_store_staged){.was_there = true,
							.kept_bytes = wv_bundle_bytes(g.m)};
		return r;
	}
	if (r != -ENOENT && r != -EBADMSG)
		return r;
	g.dir = open_dir(s->io, s->dir, id);
	mend = g.dir >= 0;
	snprintf(staged, sizeof(staged), "staging/%s", id);
	if (!mend) {
		r = make_dir(s->io, s->dir, "staging");
		r = r ?: make_dir(s->io, s->dir, staged);
		g.dir = r < 0 ? r : open_dir(s->io, s->dir, staged);
	}
	g.have = g.dir < 0 ? NULL : calloc(g.m->n_files + 1, sizeof(*g.have));
	r = g.dir < 0 ? g.dir : g.have ? fill(s, &g) : -ENOMEM;
	free(g.have);
	if (g.dir >= 0)
		(void)s->io->close(s->io->ctx, g.dir);
	if (r == 0 && !mend)
		r = name_it(s, staged, id);
	if (r == -ENOSPC && !mend)
		(void)wv_store_clean(s, true); /* whoever else needs the space gets it back */
	if (r < 0)
		return r;
	*ret = g.got;
	return 0;
}

int wv_store_keep_ballast(struct wv_store *s)
{
	const struct wv_io *io = s->io;
	_cleanup_free_ char *buf = NULL;
	uint64_t size = 0;
	int fd = io->open(io->ctx, s->dir, WV_STORE_BALLAST, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	int r, closed;

	if (fd < 0)
		return fd;
	r = io->size(io->ctx, fd, &size);
	if (r == 0 && size < WV_STORE_BALLAST_BYTES) {
		/* written, for a hole would take no space */
		buf = malloc(WV_STORE_BALLAST_BYTES);
		if (buf)
			memset(buf, 0x5a, WV_STORE_BALLAST_BYTES);
		r = buf ? wv_io_write_all(io, fd, buf, WV_STORE_BALLAST_BYTES) : -ENOMEM;
		r = r ?: io->fsync(io->ctx, fd);
	}
	closed = io->close(io->ctx, fd);
	return r ?: closed;
}

int wv_store_drop_ballast(struct wv_store *s)
{
	int r = s->io->unlink(s->io->ctx, s->dir, WV_STORE_BALLAST);

	r = r ?: wv_io_sync_dir(s->io, s->dir);
	return r == -ENOENT ? 0 : r;
}
