// SPDX-License-Identifier: GPL-2.0-only
/*
 * Run counts and run times of BPF programs over an interval, from the kernel's BPF statistics,
 * beside an empty program on sched_switch in the same interval. The statistics add two clock reads
 * to every program alike; the empty program measures those, so the difference is a program's own
 * cost.
 *
 *   hook_cost [-q] EMPTY.bpf.o SECONDS PROGRAM...
 * PROGRAM is a pin's path or NAME=ID. SIGTERM ends the interval early. Unless -q, two processes on
 * one CPU wake each other meanwhile: nothing but context switches. Prints, the empty program first:
 * name runs nanoseconds
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROGS 96

struct counted {
	char name[64];
	int fd;
	unsigned long long runs, ns;
};

static void read_stats(struct counted *c)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(c->fd, &info, &len) == 0) {
		c->runs = info.run_cnt;
		c->ns = info.run_time_ns;
	}
}

/* One of two processes on one CPU that wake each other. */
static pid_t ping_pong(int in, int out)
{
	pid_t pid = fork();
	cpu_set_t set;
	char byte = 0;

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
	for (;;)
		if (write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1)
			_exit(0);
}

static int attach_empty(const char *path, struct counted *ret)
{
	struct bpf_object *obj = bpf_object__open_file(path, NULL);
	struct bpf_program *prog;

	if (!obj || bpf_object__load(obj) < 0)
		return -1;
	prog = bpf_object__next_program(obj, NULL);
	if (!prog || !bpf_program__attach(prog))
		return -1;
	*ret = (struct counted){.name = "empty", .fd = bpf_program__fd(prog)};
	return 0;
}

/* Returns 0, or -1 where there is no such program. */
static int open_program(const char *what, struct counted *ret)
{
	const char *id = strchr(what, '='), *base = strrchr(what, '/');

	*ret = (struct counted){0};
	if (id) {
		snprintf(ret->name, sizeof(ret->name), "%.*s", (int)(id - what), what);
		ret->fd = bpf_prog_get_fd_by_id((__u32)strtoul(id + 1, NULL, 10));
	} else {
		snprintf(ret->name, sizeof(ret->name), "%s", base ? base + 1 : what);
		ret->fd = bpf_obj_get(what);
	}
	if (ret->fd < 0)
		fprintf(stderr, "hook_cost: %s: %s\n", what, strerror(errno));
	return ret->fd < 0 ? -1 : 0;
}

static void measure(struct counted *counted, int n, unsigned seconds)
{
	struct timespec at_most = {.tv_sec = seconds};
	struct counted start[MAX_PROGS];
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &stop, NULL);
	for (int i = 0; i < n; i++)
		read_stats(&counted[i]);
	memcpy(start, counted, sizeof(start));
	fprintf(stderr, "measuring\n");
	(void)sigtimedwait(&stop, NULL, &at_most);
	for (int i = 0; i < n; i++)
		read_stats(&counted[i]);
	for (int i = 0; i < n; i++)
		printf("%s %llu %llu\n", counted[i].name, counted[i].runs - start[i].runs,
		       counted[i].ns - start[i].ns);
}

int main(int argc, char **argv)
{
	struct counted counted[MAX_PROGS] = {0};
	int n = 0, a[2], b[2], first = 1;
	pid_t left = 0, right = 0;

	if (argc > 1 && strcmp(argv[1], "-q") == 0)
		first = 2;
	if (argc - first < 3 || argc - first >= MAX_PROGS)
		return 2;
	if (attach_empty(argv[first], &counted[n++]) < 0)
		return 1;
	for (int i = first + 2; i < argc; i++)
		if (open_program(argv[i], &counted[n++]) < 0)
			return 1;
	if (pipe(a) < 0 || pipe(b) < 0)
		return 1;
	if (first == 1) {
		left = ping_pong(a[0], b[1]);
		right = ping_pong(b[0], a[1]);
	}
	if (left < 0 || right < 0 || bpf_enable_stats(BPF_STATS_RUN_TIME) < 0)
		return 1;
	measure(counted, n, (unsigned)atoi(argv[first + 1]));
	if (left)
		kill(left, SIGKILL);
	if (right)
		kill(right, SIGKILL);
	while (wait(NULL) > 0)
		;
	return 0;
}
