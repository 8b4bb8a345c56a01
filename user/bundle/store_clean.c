// SPDX-License-Identifier: GPL-2.0-only
/* Removing bundles and what a crash left. A name goes first, so nothing is ever half under it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/store.h"
#include "user/core/cleanup.h"

#define DEPTH_MAX 64
#define GONE ".gone-"

struct names {
	char (*list)[NAME_MAX + 1];
	unsigned n;
};

static int add_name(void *userdata, const char *name)
{
	struct names *names = userdata;
	char(*more)[NAME_MAX + 1] = realloc(names->list, (names->n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	names->list = more;
	snprintf(names->list[names->n++], sizeof(*names->list), "%s", name);
	return 0;
}

/* Names of a folder; -ENOENT: there is no such folder. */
static int names_of(const struct wv_io *io, int dir, const char *path, struct names *ret,
		    int *ret_dir)
{
	int fd = io->open(io->ctx, dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0), r;

	*ret = (struct names){0};
	if (fd < 0)
		return fd;
	r = io->list(io->ctx, fd, add_name, ret);
	if (r < 0) {
		free(ret->list);
		*ret = (struct names){0};
		(void)io->close(io->ctx, fd);
		return r;
	}
	*ret_dir = fd;
	return 0;
}

/* A file, a link, or a folder with all in it. */
static int remove_tree(const struct wv_io *io, int dir, const char *name, unsigned depth)
{
	struct names names;
	int fd, r = io->unlink(io->ctx, dir, name);

	if (r == 0 || r == -ENOENT)
		return 0;
	if (r != -EISDIR && r != -EPERM)
		return r;
	if (depth == DEPTH_MAX)
		return -ELOOP;
	r = names_of(io, dir, name, &names, &fd);
	if (r < 0)
		return r;
	for (unsigned i = 0; r == 0 && i < names.n; i++)
		r = remove_tree(io, fd, names.list[i], depth + 1);
	free(names.list);
	(void)io->close(io->ctx, fd);
	return r ?: io->rmdir(io->ctx, dir, name);
}

int wv_store_remove(struct wv_store *s, const char *id)
{
	char gone[WV_SHA256_HEX + 32];
	int r;

	snprintf(gone, sizeof(gone), "staging/" GONE "%s", id);
	r = s->io->mkdir(s->io->ctx, s->dir, "staging", 0755);
	if (r < 0 && r != -EEXIST)
		return r;
	r = remove_tree(s->io, s->dir, gone, 0);
	r = r ?: s->io->rename(s->io->ctx, s->dir, id, gone);
	if (r == -ENOENT)
		return 0;
	r = r ?: wv_io_sync_dir(s->io, s->dir);
	return r ?: remove_tree(s->io, s->dir, gone, 0);
}

struct each {
	int (*each)(void *userdata, const char *id);
	void *userdata;
};

static bool is_id(const char *name)
{
	return strlen(name) == WV_SHA256_HEX - 1 &&
	       strspn(name, "0123456789abcdef") == WV_SHA256_HEX - 1;
}

int wv_store_each(const struct wv_store *s, int (*each)(void *userdata, const char *id),
		  void *userdata)
{
	struct names names = {0};
	int r = s->io->list(s->io->ctx, s->dir, add_name, &names);

	for (unsigned i = 0; r == 0 && i < names.n; i++)
		if (is_id(names.list[i]))
			r = each(userdata, names.list[i]);
	free(names.list);
	return r;
}

static int clean_staging(struct wv_store *s, bool staged)
{
	struct names names;
	int fd, r = names_of(s->io, s->dir, "staging", &names, &fd);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (unsigned i = 0; r == 0 && i < names.n; i++) {
		char part[NAME_MAX + 16];

		if (staged || strncmp(names.list[i], GONE, sizeof(GONE) - 1) == 0) {
			r = remove_tree(s->io, fd, names.list[i], 0);
			continue;
		}
		snprintf(part, sizeof(part), "%s/.part", names.list[i]);
		r = s->io->unlink(s->io->ctx, fd, part);
		r = r == -ENOENT || r == -ENOTDIR ? 0 : r;
	}
	free(names.list);
	(void)s->io->close(s->io->ctx, fd);
	return r;
}

static int clean_generations(struct wv_store *s)
{
	char current[64] = "";
	struct names names;
	ssize_t n = s->io->readlink(s->io->ctx, s->dir, WV_BUNDLES_CURRENT, current,
				    sizeof(current) - 1);
	const char *last;
	int fd, r;

	if (n < 0 && n != -ENOENT)
		return (int)n;
	current[n > 0 ? n : 0] = '\0';
	last = strrchr(current, '/');
	last = last ? last + 1 : "";
	r = names_of(s->io, s->dir, "generations", &names, &fd);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (unsigned i = 0; r == 0 && i < names.n; i++)
		if (strcmp(names.list[i], last) != 0)
			r = remove_tree(s->io, fd, names.list[i], 0);
	free(names.list);
	(void)s->io->close(s->io->ctx, fd);
	return r;
}

int wv_store_clean(struct wv_store *s, bool staged)
{
	int r = clean_staging(s, staged);

	r = r ?: clean_generations(s);
	r = r ?: s->io->unlink(s->io->ctx, s->dir, ".current.tmp");
	return r == -ENOENT ? 0 : r;
}
