// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kill: cgroup.kill where the kernel has it, then whoever is still there one by one, until nobody
 * is left who was there when it was asked for. cgroup.kill alone is not enough: a process whose
 * first thread had ended was seen to survive it, and v1 has no such file.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "user/recover/act.h"
#include "waveos/wire.h"

struct pass {
	uint64_t until_ns; /* CLOCK_BOOTTIME: who started later is not meant */
	uint32_t found;
	uint32_t signalled;
	int error;
};

static int put(const char *folder, const char *file, const char *text)
{
	char path[WV_ACT_PATH + 32];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* The descriptor is taken before the process is looked at, so that the number cannot be reused. */
static int kill_one(void *ctx, pid_t pid)
{
	struct pass *p = ctx;
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	uint64_t start = wv_process_start_ns(pid);

	if (fd < 0 || !start || start > p->until_ns)
		return 0;
	p->found++;
	if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0)
		p->signalled++;
	else if (errno != ESRCH)
		p->error = -errno;
	return 0;
}

/* A frozen v1 task dies only when it runs again. */
static void thaw_v1(const struct wv_act_request *q)
{
	char path[WV_ACT_PATH];

	if (!(q->key & WV_KEY_V1) || !q->host->v1[WV_CTRL_FREEZER][0])
		return;
	snprintf(path, sizeof(path), "%s%s", q->host->v1[WV_CTRL_FREEZER], q->path);
	(void)put(path, "freezer.state", "THAWED");
}

int wv_act_kill(const struct wv_act_request *q, struct wv_act_result *ret)
{
	uint64_t end = wv_boot_ns() + q->timeout_ns;
	struct timespec pause = {.tv_nsec = 1000000};
	struct pass p = {.until_ns = q->intent_boot_ns};
	char folder[WV_ACT_PATH];
	bool whole = false;
	int r = wv_act_folder(q, folder, sizeof(folder));

	if (r == -ENOENT && q->resumed) {
		snprintf(ret->how, sizeof(ret->how), "the cgroup is gone");
		return 0;
	}
	if (r < 0)
		return wv_act_fail(ret, r, "the cgroup: %s", strerror(-r));
	r = wv_act_refuse_own(q, folder, ret);
	if (r < 0)
		return r;
	/* what has started since a former intent must live; and what the agent itself starts is
	 * cloned into its cgroup, which 6.18 does not survive after a cgroup.kill (service_start.c)
	 */
	if (!q->resumed && !q->service[0])
		whole = put(folder, "cgroup.kill", "1") == 0;
	snprintf(ret->how, sizeof(ret->how), "%s",
		 whole ? "cgroup.kill" : "a signal to each process");
	for (;;) {
		p.found = 0;
		p.error = 0;
		r = wv_act_processes(folder, kill_one, &p);
		ret->count = p.signalled;
		if (r < 0)
			return wv_act_fail(ret, r, "read its processes: %s", strerror(-r));
		if (!p.found)
			return 0;
		thaw_v1(q);
		if (wv_boot_ns() > end)
			return wv_act_fail(ret, -ETIMEDOUT, "%u processes do not die%s%s", p.found,
					   p.error ? ": " : "", p.error ? strerror(-p.error) : "");
		if (!q->resumed && !whole) /* children that were made meanwhile are meant, too */
			p.until_ns = wv_boot_ns();
		(void)nanosleep(&pause, NULL);
		if (pause.tv_nsec < 20000000)
			pause.tv_nsec *= 2;
	}
}
