// SPDX-License-Identifier: GPL-2.0-only
/*
 * What watching waits of GPU processes costs a context switch (bpf/wake.bpf.c): two processes on
 * one CPU wake each other through pipes. Three arms take turns in short blocks, so that drift of
 * the machine meets all alike: nothing is watched (no hook is attached), another process is
 * watched, these two are. wake_cost [ROUNDS] Prints, for each arm, the median of its blocks in
 * nanoseconds a switch, and the median of what it is over the block without hooks beside it. A
 * switch has one wakeup, so that a watched one is three events.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/gpu/wake.h"

#define TRIPS 4000
#define MAX_ROUNDS 400

enum arm { ARM_OFF, ARM_OTHER, ARM_WATCHED, ARM_N };
static const char *const arm_names[ARM_N] = {"no hook", "another process is watched", "watched"};

static int to_echo[2], from_echo[2];

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static pid_t start(bool echo)
{
	pid_t pid = fork();
	char byte;

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	one_cpu();
	while (echo)
		if (read(to_echo[0], &byte, 1) != 1 || write(from_echo[1], &byte, 1) != 1)
			_exit(0);
	for (;;)
		pause();
}

/* Nanoseconds a switch; a trip is two. */
static double block(void)
{
	uint64_t begin = now();
	char byte = 0;

	for (unsigned i = 0; i < TRIPS; i++)
		if (write(to_echo[1], &byte, 1) != 1 || read(from_echo[0], &byte, 1) != 1)
			return 0;
	return (double)(now() - begin) / (2 * TRIPS);
}

static double measure(struct wv_wake *w, enum arm arm, pid_t echo, pid_t other)
{
	double ns;

	if (arm == ARM_OTHER)
		(void)wv_wake_watch(w, other);
	if (arm == ARM_WATCHED && (wv_wake_watch(w, getpid()) < 0 || wv_wake_watch(w, echo) < 0))
		return 0;
	ns = block();
	(void)wv_wake_drain(w);
	if (arm == ARM_OTHER)
		wv_wake_forget(w, other);
	if (arm == ARM_WATCHED) {
		wv_wake_forget(w, echo);
		wv_wake_forget(w, getpid());
	}
	return ns;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_size);
	return v[n / 2];
}

int main(int argc, char **argv)
{
	static double took[ARM_N][MAX_ROUNDS], over[ARM_N][MAX_ROUNDS];
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
	struct wv_wake *w = NULL;
	pid_t echo, other;
	int r;

	if (rounds == 0 || rounds > MAX_ROUNDS || pipe(to_echo) < 0 || pipe(from_echo) < 0)
		return 2;
	echo = start(true);
	other = start(false);
	one_cpu();
	r = wv_wake_open(&w);
	if (r < 0) {
		fprintf(stderr, "wake_cost: %s\n", strerror(-r));
		return 77;
	}
	for (unsigned i = 0; i < rounds; i++)
		for (unsigned arm = 0; arm < ARM_N; arm++) {
			took[arm][i] = measure(w, arm, echo, other);
			over[arm][i] = took[arm][i] - took[ARM_OFF][i];
		}
	for (unsigned arm = 0; arm < ARM_N; arm++)
		printf("%-28s %7.0f ns a switch, %+6.0f\n", arm_names[arm],
		       median(took[arm], rounds), median(over[arm], rounds));
	printf("dropped %" PRIu64 "\n", wv_wake_dropped(w));
	wv_wake_close(w);
	kill(echo, SIGKILL);
	kill(other, SIGKILL);
	return 0;
}
