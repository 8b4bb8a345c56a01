// SPDX-License-Identifier: GPL-2.0-only
/*
 * A loop that waits as a training does, without PyTorch: waits CAUSE SPANS. CAUSE: prep (a forked
 * worker computes and writes to a pipe), pinned (a thread reads that pipe and hands on), host, lock
 * (another thread has it). Appends "tid begin end CAUSE" for each of ten steps (CLOCK_MONOTONIC,
 * ns).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define STEPS 10
#define WORK_NS 60000000ULL

static int ask[2], answer[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int wanted, given;

static unsigned long long clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (unsigned long long)t.tv_sec * 1000000000ULL + (unsigned long long)t.tv_nsec;
}

static void compute(void)
{
	unsigned long long end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + WORK_NS;

	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		;
}

static void work_in_child(void)
{
	char byte;

	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(ask[0], &byte, 1) == 1) {
		compute();
		if (write(answer[1], &byte, 1) != 1)
			break;
	}
	_exit(0);
}

static void *serve(void *pinned)
{
	char byte = 0;

	for (;;) {
		pthread_mutex_lock(&lock);
		while (!wanted)
			pthread_cond_wait(&changed, &lock);
		wanted = 0;
		pthread_mutex_unlock(&lock);
		if (!pinned)
			usleep(WORK_NS / 1000);
		else if (write(ask[1], &byte, 1) != 1 || read(answer[0], &byte, 1) != 1)
			return NULL;
		pthread_mutex_lock(&lock);
		given = 1;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
	}
}

static void wait_for_thread(void)
{
	pthread_mutex_lock(&lock);
	wanted = 1;
	pthread_cond_broadcast(&changed);
	while (!given)
		pthread_cond_wait(&changed, &lock);
	given = 0;
	pthread_mutex_unlock(&lock);
}

int main(int argc, char **argv)
{
	const char *cause = argc == 3 ? argv[1] : "";
	int pinned = !strcmp(cause, "pinned");
	FILE *out = argc == 3 ? fopen(argv[2], "a") : NULL;
	pthread_t thread;
	char byte = 0;

	if (!out || pipe(ask) || pipe(answer))
		return 2;
	work_in_child();
	if ((pinned || !strcmp(cause, "lock")) &&
	    pthread_create(&thread, NULL, serve, pinned ? &thread : NULL))
		return 1;
	for (int i = 0; i < STEPS; i++) {
		unsigned long long begin = clock_ns(CLOCK_MONOTONIC);

		if (!strcmp(cause, "host"))
			compute();
		else if (strcmp(cause, "prep"))
			wait_for_thread();
		else if (write(ask[1], &byte, 1) != 1 || read(answer[0], &byte, 1) != 1)
			return 1;
		fprintf(out, "%d %llu %llu %s\n", gettid(), begin, clock_ns(CLOCK_MONOTONIC),
			cause);
		fflush(out);
	}
	return 0;
}
