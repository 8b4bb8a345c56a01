// SPDX-License-Identifier: GPL-2.0-only
/* The cgroups that are there, from the directories of the hierarchies that tasks are attributed to.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cgroup_index.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"

struct walk {
	struct wv_agent *agent;
	uint64_t bit;	 /* WV_KEY_V1 or 0 */
	char path[4096]; /* of the cgroup being walked, "" for the root */
};

/* dirfd is taken over. */
static int walk_dir(struct walk *w, int dirfd, uint64_t parent_key, unsigned level)
{
	_cleanup_closedir_ DIR *d = fdopendir(dirfd);
	size_t len = strlen(w->path);
	struct dirent *e;
	struct stat st;
	uint64_t key;
	int r, fd;

	if (!d) {
		close(dirfd);
		return -errno;
	}
	if (fstat(dirfd, &st) < 0)
		return -errno;
	key = (uint64_t)st.st_ino | w->bit;
	wv_cgroups_found(w->agent, key);
	r = wv_cgroups_know(w->agent, key, parent_key, level, len ? w->path : "/");
	if (r < 0 || level >= WV_CGROUPS_MAX_DEPTH)
		return r;
	while ((e = readdir(d))) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		if (len + strlen(e->d_name) + 2 > sizeof(w->path))
			continue;
		fd = openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 && errno == ENOENT)
			continue; /* it is gone already */
		if (fd < 0)
			return -errno;
		snprintf(w->path + len, sizeof(w->path) - len, "/%s", e->d_name);
		r = walk_dir(w, fd, key, level + 1);
		w->path[len] = '\0';
		if (r < 0)
			return r;
	}
	return 0;
}

static int walk_mount(struct wv_agent *agent, const char *mount, uint64_t bit)
{
	struct walk w = {.agent = agent, .bit = bit};
	int fd;

	if (!mount[0])
		return 0;
	fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? wv_log_errno(-errno, "cgroup", "walk %s", mount) : walk_dir(&w, fd, 0, 0);
}

uint32_t wv_cgroups_estimate(const struct wv_host *host)
{
	_cleanup_fclose_ FILE *stat = NULL, *v1 = NULL;
	unsigned n = 0, count, total = 1;
	char path[300], line[128], name[64];

	snprintf(path, sizeof(path), "%s/cgroup.stat", host->cgroup2);
	stat = fopen(path, "re");
	while (stat && fgets(line, sizeof(line), stat))
		if (sscanf(line, "nr_descendants %u", &n) == 1)
			total += n;
	v1 = host->v1_ssid >= 0 ? fopen("/proc/cgroups", "re") : NULL;
	while (v1 && fgets(line, sizeof(line), v1))
		if (sscanf(line, "%63s %*u %u", name, &count) == 2 &&
		    strcmp(name, wv_controller_names[host->v1_attribution]) == 0)
			total += count;
	return total;
}

int wv_cgroups_walk(struct wv_agent *agent)
{
	int r = walk_mount(agent, agent->host->cgroup2, 0);

	if (r == 0 && agent->host->v1_ssid >= 0)
		r = walk_mount(agent, agent->host->v1[agent->host->v1_attribution], WV_KEY_V1);
	return r;
}
