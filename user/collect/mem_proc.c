// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/mem_proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/collect/files.h"
#include "user/core/cleanup.h"
#include "user/core/module.h"

struct size {
	uint64_t rss, data;
};

/* Reads <proc>/<pid>/<name>; a process that ended gives -ENOENT or -ESRCH. */
static ssize_t read_of(int proc_fd, const char *pid, const char *name, char *buf, size_t size)
{
	_cleanup_close_ int fd = -1;
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", pid, name);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size);
	return n < 0 ? -errno : n;
}

static int slot_of_path(const struct wv_sample *s, const char *path, uint64_t hierarchy_bit)
{
	for (uint32_t slot = 1; slot < s->used_rows; slot++) {
		const struct wv_row *row = &s->rows[slot];

		if ((row->flags & WV_ROW_LIVE) && (row->key & WV_KEY_V1) == hierarchy_bit &&
		    strcmp(row->path, path) == 0)
			return (int)slot;
	}
	return -ENOENT;
}

/* The row that a process belongs to, by the same rule as wv_task_key() in bpf/lib: v2, else v1. */
static uint32_t slot_of(const struct wv_agent *agent, const char *text, size_t len)
{
	char path[WV_ROW_PATH_MAX];
	int slot = -ENOENT, r;

	r = wv_files_parse_proc_cgroup(text, len, 0, path, sizeof(path));
	if (agent->host->v1_ssid >= 0 && (r < 0 || strcmp(path, "/") == 0)) {
		r = wv_files_parse_proc_cgroup(text, len, agent->host->v1_hierarchy, path,
					       sizeof(path));
		if (r == 0)
			slot = slot_of_path(&agent->sample, path, WV_KEY_V1);
	} else if (r == 0) {
		slot = slot_of_path(&agent->sample, path, 0);
	}
	return slot < 0 ? WV_SLOT_OTHER : (uint32_t)slot;
}

static void add_process(const struct wv_agent *agent, int proc_fd, const char *pid,
			struct size *sizes)
{
	static const char *const keys[] = {"VmRSS", "VmData"};
	uint64_t v[ARRAY_SIZE(keys)];
	char text[8192];
	uint32_t slot;
	ssize_t n;

	n = read_of(proc_fd, pid, "status", text, sizeof(text));
	if (n < 0 || wv_files_parse_keyed(text, (size_t)n, keys, ARRAY_SIZE(keys), v) != 3)
		return; /* it ended, or it is a kernel thread */
	n = read_of(proc_fd, pid, "cgroup", text, sizeof(text));
	if (n < 0)
		return;
	slot = slot_of(agent, text, (size_t)n);
	sizes[slot].rss += v[0];
	sizes[slot].data += v[1];
}

int wv_mem_walk_proc(struct wv_agent *agent)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	_cleanup_free_ struct size *sizes = NULL;
	struct dirent *entry;

	if (!proc)
		return -errno;
	sizes = calloc(agent->sample.max_rows, sizeof(*sizes));
	if (!sizes)
		return -ENOMEM;
	while ((entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    strlen(entry->d_name) <= 10)
			add_process(agent, dirfd(proc), entry->d_name, sizes);
	for (uint32_t slot = 0; slot < agent->sample.used_rows; slot++) {
		wv_sample_set(&agent->sample, slot, WV_SIG_MEM_RSS, sizes[slot].rss);
		wv_sample_set(&agent->sample, slot, WV_SIG_MEM_HEAP_DATA, sizes[slot].data);
	}
	return 0;
}
