// SPDX-License-Identifier: GPL-2.0-only
/* Freeze and thaw: cgroup.freeze (v2), freezer.state (v1); done when the kernel says so. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/recover/act.h"

static int get(const char *path, char **ret)
{
	return wv_io_read_file(&wv_io_system, AT_FDCWD, path, 4096, ret, NULL);
}

static int put(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* 1: all of it is frozen, 0: not, or -errno. */
static int is_frozen(int hierarchy, const char *file)
{
	_cleanup_free_ char *text = NULL;
	char path[WV_ACT_PATH];
	int r;

	if (hierarchy == 1) {
		r = get(file, &text);
		return r < 0 ? r : strncmp(text, "FROZEN", 6) == 0;
	}
	/* <folder>/cgroup.freeze -> <folder>/cgroup.events */
	snprintf(path, sizeof(path), "%.*s/cgroup.events", (int)(strrchr(file, '/') - file), file);
	r = get(path, &text);
	return r < 0 ? r : strstr(text, "frozen 1") != NULL;
}

int wv_act_freeze(const struct wv_act_request *q, bool freeze, struct wv_act_result *ret)
{
	uint64_t end = wv_boot_ns() + q->timeout_ns;
	struct timespec pause = {.tv_nsec = 1000000};
	char file[WV_ACT_PATH], folder[WV_ACT_PATH];
	int hierarchy, r, frozen;

	r = wv_act_folder(q, folder, sizeof(folder));
	if (r < 0)
		return wv_act_fail(ret, r, "the cgroup: %s", strerror(-r));
	if (freeze && (r = wv_act_refuse_own(q, folder, ret)) < 0)
		return r;
	hierarchy = wv_host_cgroup_file(q->host, q->key, q->path, WV_CTRL_FREEZER, "cgroup.freeze",
					"freezer.state", file, sizeof(file));
	if (hierarchy < 0 || access(file, F_OK) < 0)
		return wv_act_fail(ret, -EOPNOTSUPP,
				   "this cgroup has no freezer (cgroup.freeze, or a folder in the "
				   "v1 freezer hierarchy)");
	snprintf(ret->how, sizeof(ret->how), "%s", strrchr(file, '/') + 1);
	for (;;) {
		frozen = is_frozen(hierarchy, file);
		if (frozen < 0)
			return wv_act_fail(ret, frozen, "%s: %s", file, strerror(-frozen));
		if (frozen == freeze)
			return 0;
		/* v1 may have to be asked again; on v2 it changes nothing */
		r = put(file,
			hierarchy == 1 ? (freeze ? "FROZEN" : "THAWED") : (freeze ? "1" : "0"));
		if (r < 0)
			return wv_act_fail(ret, r, "write %s: %s", file, strerror(-r));
		if (wv_boot_ns() > end)
			return wv_act_fail(ret, -ETIMEDOUT, "not all tasks %s in time",
					   freeze ? "froze" : "thawed");
		(void)nanosleep(&pause, NULL);
		if (pause.tv_nsec < 20000000)
			pause.tv_nsec *= 2;
	}
}
