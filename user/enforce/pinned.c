// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/pinned.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/core/cleanup.h"

DIR *wv_pinned_open(const struct wv_paths *paths, const char *folder)
{
	char path[WV_PATH_SIZE + 16];

	snprintf(path, sizeof(path), "%s/%s", paths->pins, folder);
	return opendir(path);
}

int wv_pinned_remove_all(const struct wv_paths *paths, const char *folder)
{
	_cleanup_closedir_ DIR *d = wv_pinned_open(paths, folder);
	struct dirent *e;
	int n = 0, r = 0;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) < 0)
			r = -errno;
		else
			n++;
	}
	return r < 0 ? r : n;
}

int wv_cgroup_open(const struct wv_host *host, uint64_t key, const char *path)
{
	_cleanup_close_ int fd = -1;
	char full[1024];
	struct stat st;

	snprintf(full, sizeof(full), "%s%s", host->cgroup2, path);
	fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return st.st_ino == key ? TAKE_FD(fd) : -ENOENT;
}
