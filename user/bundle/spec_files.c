// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/spec_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"

#define DEPTH_MAX 16

static int hash_fd(int fd, struct wv_bundle_file *file)
{
	struct wv_sha256 sum;
	char buf[16384];

	wv_sha256_init(&sum);
	file->size = 0;
	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int r = n < 0 ? -errno : 0;

			wv_sha256_end(&sum, file->sha256);
			return r < 0 ? r : file->sha256[0] ? 0 : -ENOMEM;
		}
		wv_sha256_add(&sum, buf, (size_t)n);
		file->size += (uint64_t)n;
	}
}

static int grow(struct wv_spec_files *f)
{
	unsigned size = f->size ? 2 * f->size : 64;
	void *p;

	if (f->n < f->size)
		return 0;
	if (f->n >= WV_BUNDLE_FILES_MAX)
		return -E2BIG;
	p = realloc(f->files, size * sizeof(*f->files));
	if (!p)
		return -ENOMEM;
	f->files = p;
	p = realloc(f->sources, (size + 1) * sizeof(*f->sources));
	if (!p)
		return -ENOMEM;
	f->sources = p;
	f->size = size;
	return 0;
}

int wv_spec_files_add(struct wv_spec_files *f, const char *folder, const char *from,
		      const char *path, uint32_t mode)
{
	struct wv_bundle_file file = {.size = 0};
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (snprintf(f->at, sizeof(f->at), "%s%s", from[0] == '/' ? "" : folder, from) >=
		    (int)sizeof(f->at) ||
	    strlen(path) >= sizeof(file.path))
		return -ENAMETOOLONG;
	fd = open(f->at, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	strcpy(file.path, path);
	file.mode = mode ?: st.st_mode & 0100 ? 0755 : 0644;
	r = grow(f);
	if (r == 0)
		r = hash_fd(fd, &file);
	if (r < 0)
		return r;
	f->sources[f->n] = strdup(f->at);
	if (!f->sources[f->n])
		return -ENOMEM;
	f->files[f->n++] = file;
	return 0;
}

/* prefix: path below the folder that is walked, with its slash. */
static int walk(struct wv_spec_files *f, const char *dir, const char *prefix, int depth)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct dirent *e;
	int r = 0;

	if (!d || depth > DEPTH_MAX)
		return d ? -ELOOP : -errno;
	while (r == 0 && (errno = 0, e = readdir(d))) {
		char from[WV_PATH_SIZE], path[WV_BUNDLE_PATH_SIZE];
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (snprintf(from, sizeof(from), "%s/%s", dir, e->d_name) >= (int)sizeof(from) ||
		    snprintf(path, sizeof(path), "%s%s", prefix, e->d_name) >=
			    (int)sizeof(path) - 1)
			return -ENAMETOOLONG;
		memcpy(f->at, from, sizeof(from));
		if (lstat(from, &st) < 0)
			return -errno;
		if (S_ISDIR(st.st_mode)) {
			strcat(path, "/");
			r = walk(f, from, path, depth + 1);
		} else {
			r = wv_spec_files_add(f, "", from, path, 0);
		}
	}
	return r ? r : -errno;
}

int wv_spec_files_walk(struct wv_spec_files *f, const char *folder, const char *dir)
{
	char path[WV_PATH_SIZE];

	if (snprintf(path, sizeof(path), "%s%s", dir[0] == '/' ? "" : folder, dir) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	memcpy(f->at, path, sizeof(path));
	return walk(f, path, "", 0);
}

struct pair {
	struct wv_bundle_file file;
	char *source;
};

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct pair *)a)->file.path, ((const struct pair *)b)->file.path);
}

int wv_spec_files_sort(struct wv_spec_files *f)
{
	_cleanup_free_ struct pair *pairs = calloc(f->n ?: 1, sizeof(*pairs));

	if (!pairs)
		return -ENOMEM;
	for (unsigned i = 0; i < f->n; i++)
		pairs[i] = (struct pair){f->files[i], f->sources[i]};
	qsort(pairs, f->n, sizeof(*pairs), by_path);
	for (unsigned i = 0; i < f->n; i++) {
		f->files[i] = pairs[i].file;
		f->sources[i] = pairs[i].source;
	}
	return 0;
}

char **wv_spec_files_take(struct wv_spec_files *f)
{
	char **sources = f->sources;

	if (sources)
		sources[f->n] = NULL;
	f->sources = NULL;
	f->n = 0;
	return sources;
}

void wv_spec_files_done(struct wv_spec_files *f)
{
	for (unsigned i = 0; f->sources && i < f->n; i++)
		free(f->sources[i]);
	free(f->sources);
	free(f->files);
	*f = (struct wv_spec_files){.n = 0};
}
