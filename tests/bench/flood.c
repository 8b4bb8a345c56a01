// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emits events through an agent's pinned maps, from every CPU at once.
 *
 *   flood FLOOD.bpf.o PINS/maps EVENTS RATE
 * EVENTS in total; RATE events a second in total, 0: as fast as it goes. Prints: events seconds
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL
#define BATCH 100000LL
/* A paced thread emits what is due this often: 10 ms is long beside a test run, short beside a ring
 */
#define PACE_NS 2000000LL
#define MAX_CPUS 256

struct flooder {
	pthread_t thread;
	int cpu, fd, error;
	long long events, rate, done;
};

static long long mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

static int emit(struct flooder *f, long long n)
{
	unsigned char packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet),
		    .repeat = (int)n);

	if (bpf_prog_test_run_opts(f->fd, &opts) < 0)
		return -errno;
	f->done += n;
	return 0;
}

static void pause_until(long long when)
{
	struct timespec ts = {.tv_sec = when / NS, .tv_nsec = when % NS};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static void *run(void *arg)
{
	struct flooder *f = arg;
	long long start = mono_ns(), n;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(f->cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
	while (f->done < f->events && !f->error) {
		n = BATCH;
		if (f->rate) {
			pause_until(mono_ns() + PACE_NS);
			n = (long long)((double)(mono_ns() - start) / NS * (double)f->rate) -
			    f->done;
		}
		if (n > f->events - f->done)
			n = f->events - f->done;
		if (n > 0)
			f->error = emit(f, n);
	}
	return NULL;
}

/* The object with the agent's maps in place of its own; its program's descriptor, or -1. */
static int load(const char *path, const char *pins)
{
	struct bpf_object *obj = bpf_object__open_file(path, NULL);
	struct bpf_map *map;
	char pin[512];
	int fd, reused = 0;

	if (!obj)
		return -1;
	bpf_object__for_each_map(map, obj)
	{
		snprintf(pin, sizeof(pin), "%s/%s", pins, bpf_map__name(map));
		fd = bpf_map__is_internal(map) ? -1 : bpf_obj_get(pin);
		if (fd < 0)
			continue;
		if (bpf_map__reuse_fd(map, fd) < 0)
			return -1;
		close(fd);
		reused += strcmp(bpf_map__name(map), "wv_events") == 0 ||
			  strcmp(bpf_map__name(map), "wv_event_counts") == 0;
	}
	if (reused != 2) {
		fprintf(stderr, "flood: no agent's maps in %s\n", pins);
		return -1;
	}
	if (bpf_object__load(obj) < 0)
		return -1;
	return bpf_program__fd(bpf_object__next_program(obj, NULL));
}

int main(int argc, char **argv)
{
	static struct flooder flooders[MAX_CPUS];
	int n = (int)sysconf(_SC_NPROCESSORS_ONLN), fd, failed = 0;
	long long begin, done = 0;

	if (argc != 5)
		return 2;
	fd = load(argv[1], argv[2]);
	if (fd < 0)
		return 1;
	if (n > MAX_CPUS)
		n = MAX_CPUS;
	begin = mono_ns();
	for (int i = 0; i < n; i++) {
		flooders[i] = (struct flooder){.cpu = i,
					       .fd = fd,
					       .events = atoll(argv[3]) / n,
					       .rate = atoll(argv[4]) / n};
		if (pthread_create(&flooders[i].thread, NULL, run, &flooders[i]) != 0)
			return 1;
	}
	for (int i = 0; i < n; i++) {
		pthread_join(flooders[i].thread, NULL);
		done += flooders[i].done;
		if (flooders[i].error)
			failed = flooders[i].error;
	}
	if (failed)
		fprintf(stderr, "flood: %s\n", strerror(-failed));
	printf("%lld %.3f\n", done, (double)(mono_ns() - begin) / NS);
	return failed != 0;
}
