// SPDX-License-Identifier: GPL-2.0-only
/* The walk over /proc, for kernels that refuse the task iterator: same figures, several times the
 * price. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/collect/task.h"
#include "user/core/cleanup.h"
#include "user/core/module.h"

int wv_task_stat_parse(const char *text, struct wv_task_stat *ret)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	unsigned long long start;
	struct wv_task_stat s = {0};
	size_t len;

	if (!open || !close || close < open || sscanf(text, "%u", &s.pid) != 1)
		return -EINVAL;
	/* fields 4 to 19 stand between the state and the number of threads */
	if (sscanf(close + 1,
		   " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %u %*s "
		   "%llu",
		   &s.state, &s.threads, &start) != 3)
		return -EINVAL;
	s.start_ticks = start;
	len = (size_t)(close - open - 1);
	memcpy(s.comm, open + 1, len < sizeof(s.comm) ? len : sizeof(s.comm));
	*ret = s;
	return 0;
}

/* Whether a comma-separated list has the word. */
static bool list_has(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, word, len) == 0 && (!p[len] || p[len] == ','))
			return true;
	}
	return false;
}

int wv_task_cgroup_parse(char *text, const char *controller, const char **ret_path)
{
	const char *v2 = NULL, *v1 = NULL;
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		list++;
		if (!*list)
			v2 = path;
		else if (controller && list_has(list, controller))
			v1 = path;
	}
	if (v2 && (!controller || strcmp(v2, "/") != 0 || !v1)) {
		*ret_path = v2;
		return 2;
	}
	if (!v1)
		return -ENOENT;
	*ret_path = v1;
	return 1;
}

static int read_text(int dirfd, const char *name, char *buf, size_t size)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

struct walk {
	struct wv_agent *agent;
	struct wv_task_gauges *gauges;
	uint32_t n, slot; /* slot: of last_path */
	char last_path[4200];
	bool (*dstate)(struct wv_agent *agent, const struct wv_dtask *t);
};

/* Slot of the process whose folder this is. Neighbours in /proc often share a cgroup. */
static uint32_t process_slot(struct walk *w, int process)
{
	const struct wv_host *host = w->agent->host;
	const char *controller =
		host->v1_ssid >= 0 ? wv_controller_names[host->v1_attribution] : NULL;
	char text[8192], full[4608];
	const char *path;
	struct stat st;
	int version, slot;

	if (read_text(process, "cgroup", text, sizeof(text)) < 0)
		return WV_SLOT_OTHER;
	version = wv_task_cgroup_parse(text, controller, &path);
	if (version < 0)
		return WV_SLOT_OTHER;
	snprintf(full, sizeof(full), "%s%s",
		 version == 2 ? host->cgroup2 : host->v1[host->v1_attribution], path);
	if (strcmp(full, w->last_path) == 0)
		return w->slot;
	if (stat(full, &st) < 0)
		return WV_SLOT_OTHER;
	slot = wv_cgroups_slot(w->agent->cgroups, st.st_ino | (version == 1 ? WV_KEY_V1 : 0));
	w->slot = slot < 0 || (uint32_t)slot >= w->n ? WV_SLOT_OTHER : (uint32_t)slot;
	snprintf(w->last_path, sizeof(w->last_path), "%.*s", (int)sizeof(w->last_path) - 1, full);
	return w->slot;
}

/* Context switches of a task from its `status`. */
static uint64_t switches(int task)
{
	unsigned long long voluntary = 0, involuntary = 0;
	char text[4096];
	const char *p;

	if (read_text(task, "status", text, sizeof(text)) < 0)
		return 0;
	p = strstr(text, "\nvoluntary_ctxt_switches:");
	if (p)
		sscanf(p, "\nvoluntary_ctxt_switches: %llu nonvoluntary_ctxt_switches: %llu",
		       &voluntary, &involuntary);
	return voluntary + involuntary;
}

static void count_task(struct walk *w, struct wv_task_gauges *g, const struct wv_task_stat *s,
		       int task, uint32_t tgid, uint32_t slot)
{
	if (s->state == 'Z' || s->state == 'X')
		return;
	g->threads++;
	if (s->state == 'R')
		g->runnable++;
	if (s->state == 'D') {
		struct wv_dtask t = {.pid = s->pid,
				     .tgid = tgid,
				     .slot = slot,
				     .start = s->start_ticks,
				     .switches = switches(task)};

		memcpy(t.comm, s->comm, sizeof(t.comm));
		g->dstate++;
		g->dstate_long += w->dstate(w->agent, &t);
	}
}

static void count_threads(struct walk *w, struct wv_task_gauges *g, int process, uint32_t tgid,
			  uint32_t slot)
{
	int fd = openat(process, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct wv_task_stat s;
	struct dirent *e;
	char text[1024];

	if (fd >= 0 && !d)
		close(fd);
	while (d && (e = readdir(d))) {
		_cleanup_close_ int task = -1;

		if (e->d_name[0] < '0' || e->d_name[0] > '9' || (uint32_t)atol(e->d_name) == tgid)
			continue;
		task = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (task >= 0 && read_text(task, "stat", text, sizeof(text)) == 0 &&
		    wv_task_stat_parse(text, &s) == 0)
			count_task(w, g, &s, task, tgid, slot);
	}
}

static void count_process(struct walk *w, int proc, const char *name)
{
	_cleanup_close_ int process = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct wv_task_gauges *g;
	struct wv_task_stat s;
	char text[1024];
	uint32_t slot;

	if (process < 0 || read_text(process, "stat", text, sizeof(text)) < 0 ||
	    wv_task_stat_parse(text, &s) < 0)
		return; /* it ended meanwhile */
	slot = process_slot(w, process);
	g = &w->gauges[slot];
	/* a leader that ended before its threads is still the process */
	if (s.state == 'Z' && s.threads <= 1) {
		g->zombies++;
		return;
	}
	g->processes++;
	count_task(w, g, &s, process, s.pid, slot);
	if (s.threads > 1)
		count_threads(w, g, process, s.pid, slot);
}

int wv_task_walk_proc(struct wv_agent *agent, struct wv_task_gauges *gauges, uint32_t n,
		      bool (*dstate)(struct wv_agent *agent, const struct wv_dtask *t))
{
	_cleanup_closedir_ DIR *d = opendir("/proc");
	struct walk w = {.agent = agent, .gauges = gauges, .n = n, .dstate = dstate};
	struct dirent *e;

	if (!d)
		return -errno;
	while ((e = readdir(d)))
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9')
			count_process(&w, dirfd(d), e->d_name);
	return 0;
}
