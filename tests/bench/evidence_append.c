// SPDX-License-Identifier: GPL-2.0-only
/*
 * Throughput and delay of the tamper-evident log: threads submit events of 256 bytes (newline
 * included) for some seconds. An event counts when its canonical line with its seq is composed,
 * leaf-hashed, added to the tree, written, synced and acknowledged. At the end the log is opened
 * anew, which recomputes the tree from the lines.
 *
 *   evidence_append FOLDER [SECONDS [THREADS [RATE]]]
 *
 * RATE: events/s that are offered, evenly; 0: as many as are taken, which keeps every queue full
 * and so tells the throughput, but not the delay that anybody below it has.
 *
 * Prints: events/s, median and 99th percentile of the delay from the call to the acknowledgement
 * (of each 16th event) in ms, CPU time used per second of the run, events.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "user/evidence/group.h"

#define EVENT_BYTES 256
#define THREADS_MAX 16
#define SAMPLE_EVERY 16
#define RING (1U << 20) /* over what can be in flight */

static struct wv_group *group;
static atomic_bool stop;
static double rate;		/* of a thread */
static uint64_t asked_ns[RING]; /* by seq / SAMPLE_EVERY */
static uint32_t *delays_us;
static size_t n_delays, delays_room;
static uint64_t acknowledged, failures;

static uint64_t now_ns(void)
{
	return wv_io_system.mono_ns(NULL);
}

static char *put_text(char *p, const char *text)
{
	size_t n = strlen(text);

	memcpy(p, text, n);
	return p + n;
}

static char *put_number(char *p, uint64_t v)
{
	char digits[20];
	unsigned n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		*p++ = digits[--n];
	return p;
}

static ssize_t compose(void *ctx, uint64_t seq, char *buf, size_t room)
{
	uint64_t began = *(const uint64_t *)ctx;
	char *p = buf;

	(void)room;
	p = put_text(p, "{\"boot_id\":\"5b1de5c6-7d0a-4c57-9a65-2d9a2a1b0c3d\",\"mono_ns\":");
	p = put_number(p, began);
	p = put_text(p, ",\"run_id\":\"\",\"schema_version\":2,\"seq\":");
	p = put_number(p, seq);
	p = put_text(p, ",\"type\":\"bench\",\"wall_ns\":");
	p = put_number(p, wv_io_system.wall_ns(NULL));
	p = put_text(p, ",\"x\":\"");
	memset(p, 'x', (size_t)(buf + EVENT_BYTES - 3 - p));
	memcpy(buf + EVENT_BYTES - 3, "\"}", 2);
	if (seq % SAMPLE_EVERY == 0)
		asked_ns[seq / SAMPLE_EVERY % RING] = began;
	return EVENT_BYTES - 1;
}

static void *submit_loop(void *ctx)
{
	static const struct timespec pause = {.tv_nsec = 100000};
	uint64_t started = now_ns(), n = 0;

	(void)ctx;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t began = now_ns();

		if (rate > 0 && (double)n++ > (double)(began - started) * rate / 1e9) {
			n--;
			nanosleep(&pause, NULL);
			continue;
		}

		if (wv_group_submit(group, compose, &began, NULL, NULL) < 0)
			break;
	}
	return NULL;
}

static void on_acknowledged(void *ctx, uint64_t first, uint64_t n, int error)
{
	uint64_t now = now_ns(), seq = first + SAMPLE_EVERY - 1;

	(void)ctx;
	if (error) {
		failures += n;
		return;
	}
	acknowledged += n;
	for (seq -= seq % SAMPLE_EVERY; seq < first + n && n_delays < delays_room;
	     seq += SAMPLE_EVERY)
		delays_us[n_delays++] =
			(uint32_t)((now - asked_ns[seq / SAMPLE_EVERY % RING]) / 1000);
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double percentile(unsigned per_mille)
{
	return n_delays ? delays_us[n_delays * per_mille / 1000] / 1000.0 : 0;
}

static int run(struct wv_tlog *l, unsigned seconds, unsigned n_threads)
{
	struct wv_group_options options = {.acknowledged = on_acknowledged};
	pthread_t threads[THREADS_MAX];
	struct timespec nap = {.tv_sec = (time_t)seconds};
	struct rusage before, after;
	uint64_t began;
	double took, cpu;
	int r = wv_group_open(&group, l, &options);

	if (r < 0)
		return r;
	getrusage(RUSAGE_SELF, &before);
	began = now_ns();
	for (unsigned i = 0; i < n_threads; i++)
		if (pthread_create(&threads[i], NULL, submit_loop, NULL) != 0)
			return -EAGAIN;
	nanosleep(&nap, NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	wv_group_close(group);
	took = (double)(now_ns() - began) / 1e9;
	getrusage(RUSAGE_SELF, &after);
	cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
	      (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
	      (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
		       before.ru_stime.tv_usec) /
		      1e6;
	qsort(delays_us, n_delays, sizeof(*delays_us), ascending);
	printf("%.0f %.2f %.2f %.2f %" PRIu64 "\n", (double)acknowledged / took, percentile(500),
	       percentile(990), cpu / took, acknowledged);
	return failures ? -EIO : 0;
}

int main(int argc, char **argv)
{
	unsigned seconds = argc > 2 ? (unsigned)atoi(argv[2]) : 5;
	unsigned n_threads = argc > 3 ? (unsigned)atoi(argv[3]) : 2;
	struct wv_secret_key key = {.seed = {1}};
	struct wv_tlog_options options = {.key = &key,
					  .name = "bench",
					  .segment_bytes = 1ULL << 30,
					  .checkpoint_ns = 1000000000};
	struct wv_hash before, after;
	uint64_t size, again;
	struct wv_tlog *l;
	int r;

	rate = argc > 4 ? atof(argv[4]) / n_threads : 0;
	if (argc < 2 || !seconds || !n_threads || n_threads > THREADS_MAX) {
		fprintf(stderr, "usage: %s FOLDER [SECONDS [THREADS [RATE]]]\n", argv[0]);
		return 2;
	}
	delays_room = (size_t)seconds * 4000000 / SAMPLE_EVERY;
	delays_us = calloc(delays_room, sizeof(*delays_us));
	r = delays_us ? wv_key_derive(&key) : -ENOMEM;
	if (r == 0)
		r = wv_tlog_open(&l, &wv_io_system, argv[1], &options, NULL);
	if (r == 0) {
		r = run(l, seconds, n_threads);
		if (r == 0)
			r = wv_tlog_head(l, &size, &before);
		wv_tlog_close(l);
	}
	if (r == 0)
		r = wv_tlog_open(&l, &wv_io_system, argv[1], &options, NULL);
	if (r == 0) {
		r = wv_tlog_head(l, &again, &after);
		if (r == 0 && (again != size || memcmp(&before, &after, sizeof(after)) != 0 ||
			       size < acknowledged))
			r = -EBADMSG;
		wv_tlog_close(l);
	}
	free(delays_us);
	if (r < 0)
		fprintf(stderr, "evidence_append: %s\n", strerror(-r));
	return r < 0;
}
