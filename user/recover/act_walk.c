// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is in a cgroup. cgroup.procs leaves out nobody on current kernels, but a threaded cgroup
 * refuses to be read, and older kernels do not list a process whose first thread has ended: threads
 * are read as well and told by the process they belong to.
 */
#include "user/recover/act.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "waveos/wire.h"

#define MAX_DEPTH 64

int wv_act_fail(struct wv_act_result *ret, int error, const char *format, ...)
{
	va_list ap;

	ret->error = error;
	va_start(ap, format);
	(void)vsnprintf(ret->detail, sizeof(ret->detail), format, ap);
	va_end(ap);
	return error;
}

uint64_t wv_boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

int wv_act_folder(const struct wv_act_request *q, char *buf, size_t size)
{
	const char *below = strcmp(q->path, "/") == 0 ? "" : q->path;
	const char *root =
		q->key & WV_KEY_V1 ? q->host->v1[q->host->v1_attribution] : q->host->cgroup2;
	struct stat st;

	if (!root[0])
		return -ENOENT;
	snprintf(buf, size, "%s%s", root, below);
	if (stat(buf, &st) < 0)
		return -errno;
	/* the path may name a later cgroup by now */
	if (q->key && (q->key & ~WV_KEY_V1) != st.st_ino)
		return -ENOENT;
	return 0;
}

/* Thread group of a thread; 0: gone. */
static pid_t group_of(pid_t tid)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[48], line[128];
	int tgid = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %d", &tgid) == 1)
			break;
	return tgid;
}

static int each_line(int dir, const char *file, bool threads, int (*fn)(void *ctx, pid_t pid),
		     void *ctx)
{
	_cleanup_close_ int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	_cleanup_fclose_ FILE *f = NULL;
	int id, r = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	f = fdopen(fd, "r");
	if (!f)
		return -errno;
	(void)TAKE_FD(fd);
	while (r == 0 && fscanf(f, "%d", &id) == 1) {
		pid_t pid = threads ? group_of(id) : id;

		if (pid > 0)
			r = fn(ctx, pid);
	}
	return r < 0 ? r : 0;
}

static int walk(int parent, const char *name, unsigned depth, int (*fn)(void *ctx, pid_t pid),
		void *ctx)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), r;
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r == -ENOENT ? 0 : r;
	}
	r = each_line(fd, "cgroup.procs", false, fn, ctx);
	if (r == 0 || r == -EOPNOTSUPP)
		r = each_line(fd, faccessat(fd, "tasks", F_OK, 0) == 0 ? "tasks" : "cgroup.threads",
			      true, fn, ctx);
	while (r == 0 && depth < MAX_DEPTH && (e = readdir(d)))
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			r = walk(fd, e->d_name, depth + 1, fn, ctx);
	return r == -ENODEV ? 0 : r; /* removed while it was read */
}

int wv_act_processes(const char *folder, int (*fn)(void *ctx, pid_t pid), void *ctx)
{
	return walk(AT_FDCWD, folder, 0, fn, ctx);
}

uint64_t wv_process_start_ns(pid_t pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long ticks;
	char path[48], line[1024], *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return 0;
	p = strrchr(line, ')'); /* field 2; the start is field 22 (proc(5)) */
	if (!p || sscanf(p + 1,
			 " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
			 "%*d %llu",
			 &ticks) != 1)
		return 0;
	return ticks * (1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK));
}

pid_t wv_process_parent(pid_t pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[48], line[512], *p;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return 0;
	p = strrchr(line, ')'); /* a name may have any byte in it */
	return p && sscanf(p + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

unsigned wv_process_end_others(void)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64];
	unsigned left = 0;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)gettid());
	f = fopen(path, "re");
	while (f && fscanf(f, "%d", &pid) == 1) {
		if (pid <= 0 || getsid(pid) == getsid(0))
			continue;
		/* a child's number is nobody else's before it is reaped here */
		(void)kill(pid, SIGKILL);
		left += waitpid(pid, NULL, WNOHANG) == 0;
	}
	return left;
}

static int refuse(void *ctx, pid_t pid)
{
	const struct wv_act_request *q = ctx;

	if (pid == 1)
		return -EPERM;
	for (unsigned i = 0; i < WV_ACT_PROTECT_MAX; i++)
		if (q->protect[i] && q->protect[i] == pid)
			return -EPERM;
	return 0;
}

int wv_act_refuse_own(const struct wv_act_request *q, const char *folder, struct wv_act_result *ret)
{
	int r;

	if (strcmp(q->path, "/") == 0)
		return wv_act_fail(ret, -EPERM, "not on the root cgroup");
	r = wv_act_processes(folder, refuse, (void *)q);
	if (r == -EPERM)
		return wv_act_fail(ret, r, "PID 1 or the agent itself is in this cgroup");
	return r < 0 ? wv_act_fail(ret, r, "read its processes: %s", strerror(-r)) : 0;
}
