// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cgroups of a job: one of v2, by which the agent knows it and its rest is found, and where
 * cpuset is a v1 hierarchy one there, too. Where neither cpuset can be had, CPUs are an affinity,
 * which the job may change.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/enforce/cgroupfs.h"
#include "user/jobs/jobs.h"
#include "user/recover/act.h"

#define PARENT "waveos-jobs"

int wv_cpus_parse(const char *text, cpu_set_t *ret)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	while (*text && *text != '\n') {
		char *end;
		unsigned long a = strtoul(text, &end, 10), b = a;

		if (end == text || text[0] == '-' || text[0] == '+')
			return -EINVAL;
		if (*end == '-') {
			text = end + 1;
			b = strtoul(text, &end, 10);
			if (end == text || text[0] == '-' || text[0] == '+')
				return -EINVAL;
		}
		if (b < a || b >= CPU_SETSIZE || (*end && *end != ',' && *end != '\n'))
			return -EINVAL;
		for (unsigned long i = a; i <= b; i++)
			CPU_SET(i, &set);
		text = *end == ',' ? end + 1 : end;
	}
	*ret = set;
	return 0;
}

int wv_cpus_print(const cpu_set_t *set, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < CPU_SETSIZE; i++) {
		unsigned first = i;
		int n;

		if (!CPU_ISSET(i, set))
			continue;
		while (i + 1 < CPU_SETSIZE && CPU_ISSET(i + 1, set))
			i++;
		n = snprintf(buf + len, size - len, i > first ? "%s%u-%u" : "%s%u", len ? "," : "",
			     first, i);
		if (n < 0 || (size_t)n >= size - len)
			return -ENOBUFS;
		len += (size_t)n;
	}
	return 0;
}

static int put(const char *folder, const char *file, const char *value)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	return wv_cgfile_write(&wv_io_system, path, value);
}

static int get(const char *folder, const char *file, char buf[256])
{
	char path[512];
	_cleanup_close_ int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, 255);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

/* <mount>/waveos-jobs/<name>; the parent's path is in `parent`. */
static int make(const char *mount, const char *name, char parent[384], char ret[384])
{
	if (snprintf(parent, 384, "%s/" PARENT, mount) >= 384 ||
	    snprintf(ret, 384, "%s/" PARENT "/%s", mount, name) >= 384)
		return -ENAMETOOLONG;
	if (mkdir(parent, 0755) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static int set_cpus(const char *folder, const char *above, const char *cpus, bool v1)
{
	char mems[256];
	int r = v1 ? get(above, "cpuset.mems", mems) : 0;

	/* of v1 a new one has neither, and takes no process */
	if (r == 0 && v1)
		r = put(folder, "cpuset.mems", mems);
	return r ?: put(folder, "cpuset.cpus", cpus);
}

static bool make_v1(const char *mount, const char *name, const char *cpus, struct wv_pin *p)
{
	char parent[384], all[256];

	if (!mount[0] || make(mount, name, parent, p->cpuset) < 0 ||
	    get(mount, "cpuset.cpus", all) < 0 || set_cpus(parent, mount, all, true) < 0 ||
	    (mkdir(p->cpuset, 0755) < 0 && errno != EEXIST) ||
	    set_cpus(p->cpuset, parent, cpus, true) < 0) {
		if (p->cpuset[0])
			(void)rmdir(p->cpuset);
		p->cpuset[0] = '\0';
		return false;
	}
	return true;
}

static bool make_v2(const char *mount, const char *name, const char *cpus, struct wv_pin *p)
{
	char parent[384];

	if (!mount[0] || make(mount, name, parent, p->cgroup) < 0) {
		p->cgroup[0] = '\0';
		return false;
	}
	/* refused where the machine's own root does not hand it on: that is left as it is */
	if (cpus[0])
		(void)put(parent, "cgroup.subtree_control", "+cpuset");
	if (mkdir(p->cgroup, 0755) < 0 && errno != EEXIST) {
		p->cgroup[0] = '\0';
		return false;
	}
	return cpus[0] && set_cpus(p->cgroup, parent, cpus, false) == 0;
}

/* Of these CPUs those that this machine has for us. */
static void usable(const char *cpus, char ret[128])
{
	cpu_set_t want, have;

	ret[0] = '\0';
	if (wv_cpus_parse(cpus, &want) < 0 || sched_getaffinity(0, sizeof(have), &have) < 0)
		return;
	CPU_AND(&want, &want, &have);
	if (wv_cpus_print(&want, ret, 128) < 0)
		ret[0] = '\0';
}

void wv_pin_make(const struct wv_host *host, const char *name, const char *cpus, struct wv_pin *ret)
{
	bool pinned;

	*ret = (struct wv_pin){.how = "none"};
	usable(cpus, ret->cpus);
	pinned = make_v2(host->cgroup2, name, ret->cpus, ret);
	if (!pinned && ret->cpus[0])
		pinned = make_v1(host->v1[WV_CTRL_CPUSET], name, ret->cpus, ret);
	if (ret->cpus[0])
		ret->how = pinned ? "cpuset" : "affinity";
}

void wv_pin_enter(struct wv_pin *pin, pid_t pid)
{
	char number[16];
	cpu_set_t set;
	bool in = true;

	snprintf(number, sizeof(number), "%d", pid);
	if (pin->cgroup[0])
		in = put(pin->cgroup, "cgroup.procs", number) == 0;
	if (pin->cpuset[0])
		in = put(pin->cpuset, "cgroup.procs", number) == 0;
	if (!pin->cpus[0] || (in && strcmp(pin->how, "cpuset") == 0))
		return;
	pin->how = "none";
	if (wv_cpus_parse(pin->cpus, &set) == 0 && sched_setaffinity(pid, sizeof(set), &set) == 0)
		pin->how = "affinity";
}

static int kill_one(void *ctx _unused_, pid_t pid)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd >= 0)
		(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	else if (errno == ENOSYS)
		(void)kill(pid, SIGKILL);
	return 0;
}

void wv_pin_kill(const char *cgroup, const char *cpuset)
{
	if (cgroup[0])
		(void)wv_act_processes(cgroup, kill_one, NULL);
	if (cpuset[0])
		(void)wv_act_processes(cpuset, kill_one, NULL);
}

static void remove_one(const char *folder)
{
	char parent[384];

	if (!folder[0] || rmdir(folder) < 0)
		return;
	snprintf(parent, sizeof(parent), "%s", folder);
	*strrchr(parent, '/') = '\0';
	(void)rmdir(parent); /* others may be in it: then it stays */
}

void wv_pin_remove(const char *cgroup, const char *cpuset)
{
	remove_one(cgroup);
	remove_one(cpuset);
}
