// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mean run time of BPF programs while a load runs, from the kernel's BPF statistics, beside an
 * empty program on the same hook in the same interval. The statistics add two clock reads to every
 * program alike; the empty program measures those, so the difference is the program's own cost.
 *
 *   hook_cost EMPTY.bpf.o SECONDS PIN...
 * prints: name runs ns_per_run net_ns_per_run
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROGS 32

struct counted {
	const char *name;
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

/* Two processes on one CPU that wake each other: nothing but context switches. */
static void ping_pong(const int in, const int out)
{
	cpu_set_t set;
	char byte = 0;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
	for (;;)
		if (write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1)
			_exit(0);
}

int main(int argc, char **argv)
{
	struct counted counted[MAX_PROGS] = {0}, before;
	int n = 0, a[2], b[2], stats;
	struct bpf_program *prog;
	struct bpf_object *obj;
	double empty_ns = 0;
	pid_t left, right;

	if (argc < 4 || argc - 3 >= MAX_PROGS)
		return 2;
	obj = bpf_object__open_file(argv[1], NULL);
	if (!obj || bpf_object__load(obj) < 0)
		return 1;
	prog = bpf_object__next_program(obj, NULL);
	if (!bpf_program__attach(prog))
		return 1;
	counted[n++] = (struct counted){.name = "empty", .fd = bpf_program__fd(prog)};
	for (int i = 3; i < argc; i++) {
		int fd = bpf_obj_get(argv[i]);

		if (fd < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
			return 1;
		}
		counted[n++] = (struct counted){.name = strrchr(argv[i], '/') + 1, .fd = fd};
	}
	if (pipe(a) < 0 || pipe(b) < 0)
		return 1;
	left = fork();
	if (left == 0)
		ping_pong(a[0], b[1]);
	right = fork();
	if (right == 0)
		ping_pong(b[0], a[1]);
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (stats < 0)
		return 1;
	for (int i = 0; i < n; i++)
		read_stats(&counted[i]);
	struct counted start[MAX_PROGS];

	memcpy(start, counted, sizeof(start));
	sleep((unsigned)atoi(argv[2]));
	for (int i = 0; i < n; i++) {
		read_stats(&counted[i]);
		before = start[i];
		double runs = (double)(counted[i].runs - before.runs);
		double mean = runs > 0 ? (double)(counted[i].ns - before.ns) / runs : 0;

		if (i == 0)
			empty_ns = mean;
		printf("%s %.0f %.1f %.1f\n", counted[i].name, runs, mean, mean - empty_ns);
	}
	kill(left, SIGKILL);
	kill(right, SIGKILL);
	close(stats);
	while (wait(NULL) > 0)
		;
	return 0;
}
