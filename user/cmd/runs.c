// SPDX-License-Identifier: GPL-2.0-only
/* Recorded runs by name. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/cmd.h"
#include "user/core/cleanup.h"

/* Names begin with the time of the start, so the last one is the newest. */
static int latest(const char *runs, char *ret, size_t size)
{
	_cleanup_closedir_ DIR *d = opendir(runs);
	char best[256] = "";
	struct dirent *e;

	if (!d)
		return -errno;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && strcmp(e->d_name, best) > 0)
			snprintf(best, sizeof(best), "%s", e->d_name);
	if (!best[0] || (size_t)snprintf(ret, size, "%s/%s", runs, best) >= size)
		return -ENOENT;
	return 0;
}

int wv_find_run(const struct wv_paths *paths, const char *run, char *ret, size_t size)
{
	char runs[WV_PATH_SIZE + 8];

	snprintf(runs, sizeof(runs), "%s/runs", paths->state);
	if (strcmp(run, "latest") == 0)
		return latest(runs, ret, size);
	if (strchr(run, '/') || strcmp(run, ".") == 0)
		return (size_t)snprintf(ret, size, "%s", run) < size ? 0 : -ENAMETOOLONG;
	return (size_t)snprintf(ret, size, "%s/%s", runs, run) < size ? 0 : -ENAMETOOLONG;
}
