// SPDX-License-Identifier: GPL-2.0-only
/* The supervisor's workers: real processes, short silences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/agent/beat.h"
#include "user/agent/core.h"
#include "user/agent/workers.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"

/* More than this no worker of the test ever takes, bound or not. */
#define LEAK_MAX (512U << 20)

enum how { DIES, HANGS, BEATS, LISTENS, LEAKS };

static struct wv_workers set;
static struct wv_snapshot head;
static enum how how;
static unsigned ready;
static uint64_t *leaked; /* bytes that a worker got; shared with it */

/* Takes memory and never gives any back, until there is none for it: the status of one that gives
 * up. */
static int leak(void)
{
	const size_t piece = 1 << 20;
	uint64_t got = 0;
	char *p;

	while ((p = mmap(NULL, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0)) != MAP_FAILED &&
	       got < LEAK_MAX) {
		p[0] = 1;
		got += piece;
	}
	*leaked = got;
	return 4;
}

static int run(void *userdata _unused_, enum wv_worker_id id _unused_, int control)
{
	char word = WV_CONTROL_READY;

	(void)send(control, &word, 1, 0);
	if (how == DIES)
		return 3;
	if (how == LEAKS)
		return leak();
	word = WV_CONTROL_ALIVE;
	while (how == BEATS && usleep(20000) == 0)
		(void)send(control, &word, 1, MSG_NOSIGNAL);
	while (how == LISTENS && recv(control, &word, 1, 0) == 1)
		if (word == WV_CONTROL_STOP)
			return 0;
	for (;;)
		pause();
}

static void on_ready(void *userdata _unused_, enum wv_worker_id id _unused_)
{
	ready++;
}

static int begin(void **state _unused_)
{
	sigset_t mask;

	set = (struct wv_workers){.head = &head, .run = run, .ready = on_ready};
	head = (struct wv_snapshot){0};
	ready = 0;
	wv_workers_init(&set, 60000000000ULL, 0);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	return sigprocmask(SIG_BLOCK, &mask, NULL) < 0 || sd_event_new(&set.loop) < 0;
}

static int end(void **state _unused_)
{
	static const char none[WV_WORKER_N];

	if (wv_workers_stop(&set, none, 1) >= 0)
		(void)sd_event_loop(set.loop);
	sd_event_unref(set.loop);
	return 0;
}

static uint32_t restarts(void)
{
	return atomic_load(&head.workers[WV_WORKER_CORE].restarts);
}

/* Runs the loop until *n reaches want, or for so long. */
static bool reaches(uint32_t (*figure)(void), uint32_t want, unsigned ms)
{
	uint64_t until = wv_io_system.mono_ns(NULL) + ms * 1000000ULL;

	while (figure() < want && wv_io_system.mono_ns(NULL) < until)
		if (sd_event_run(set.loop, 10000) < 0)
			return false;
	return figure() >= want;
}

static void worker_that_dies_is_replaced_with_growing_pauses(void **state _unused_)
{
	uint64_t start = wv_io_system.mono_ns(NULL);

	how = DIES;
	assert_int_equal(wv_worker_start(&set, WV_WORKER_CORE), 0);
	assert_true(reaches(restarts, 5, 5000));
	assert_true(reaches(restarts, 8, 10000));
	/* 50, 100 and 200 ms by then, at least */
	assert_true(wv_io_system.mono_ns(NULL) - start > 150000000ULL);
	assert_true(ready >= 5);
}

static void worker_that_hangs_is_killed_and_replaced(void **state _unused_)
{
	pid_t first;

	how = HANGS;
	set.silence_ns[WV_WORKER_CORE] = 100000000;
	assert_int_equal(wv_worker_start(&set, WV_WORKER_CORE), 0);
	first = set.all[WV_WORKER_CORE].pid;
	assert_true(reaches(restarts, 1, 10000));
	assert_int_not_equal(set.all[WV_WORKER_CORE].pid, first);
	assert_int_equal(kill(first, 0), -1);
}

static void worker_that_beats_is_left_alone(void **state _unused_)
{
	how = BEATS;
	set.silence_ns[WV_WORKER_CORE] = 2000000000;
	assert_int_equal(wv_worker_start(&set, WV_WORKER_CORE), 0);
	assert_false(reaches(restarts, 1, 4000));
}

static void worker_that_leaks_dies_at_its_bound_and_is_replaced(void **state _unused_)
{
	const uint64_t bound = 64U << 20;
	struct rlimit before, after;

	how = LEAKS;
	leaked = mmap(NULL, sizeof(*leaked), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_ptr_not_equal(leaked, MAP_FAILED);
	*leaked = UINT64_MAX;
	assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
	set.memory_bytes[WV_WORKER_CORE] = bound;
	assert_int_equal(wv_worker_start(&set, WV_WORKER_CORE), 0);
	assert_true(reaches(restarts, 2, 10000));
	assert_true(*leaked < bound);
	/* the bound is the worker's alone */
	assert_int_equal(getrlimit(RLIMIT_DATA, &after), 0);
	assert_true(after.rlim_cur == before.rlim_cur && after.rlim_max == before.rlim_max);
	(void)munmap(leaked, sizeof(*leaked));
}

static void workers_at_the_start_have_the_bounds_of_their_rows(void **state _unused_)
{
	/* those whose loops beat, and that take what others send */
	assert_true(set.silence_ns[WV_WORKER_CORE] == 60000000000ULL);
	assert_true(set.silence_ns[WV_WORKER_SPOOL] == 60000000000ULL);
	assert_true(set.silence_ns[WV_WORKER_PROXY] == 60000000000ULL);
	assert_true(set.silence_ns[WV_WORKER_BUNDLE] == 300000000000ULL);
	assert_true(set.silence_ns[WV_WORKER_WEB] == 0);
	assert_true(set.memory_bytes[WV_WORKER_SPOOL] > 0);
	/* the table counts in silences, not in seconds */
	for (int i = 0; i < WV_WORKER_N; i++)
		assert_true(set.silence_ns[i] <= 600000000000ULL);
}

static void worker_that_is_told_to_stop_ends_the_loop(void **state _unused_)
{
	static const char none[WV_WORKER_N];

	how = LISTENS;
	assert_int_equal(wv_worker_start(&set, WV_WORKER_CORE), 0);
	assert_int_equal(wv_worker_start(&set, WV_WORKER_SERVICES), 0);
	assert_true(wv_workers_stop(&set, none, 10000000) >= 0);
	assert_int_equal(sd_event_loop(set.loop), 0);
	assert_int_equal(restarts(), 0);
	assert_int_equal(atomic_load(&head.workers[WV_WORKER_CORE].pid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(worker_that_dies_is_replaced_with_growing_pauses,
						begin, end),
		cmocka_unit_test_setup_teardown(worker_that_hangs_is_killed_and_replaced, begin,
						end),
		cmocka_unit_test_setup_teardown(worker_that_beats_is_left_alone, begin, end),
		cmocka_unit_test_setup_teardown(worker_that_leaks_dies_at_its_bound_and_is_replaced,
						begin, end),
		cmocka_unit_test_setup_teardown(workers_at_the_start_have_the_bounds_of_their_rows,
						begin, end),
		cmocka_unit_test_setup_teardown(worker_that_is_told_to_stop_ends_the_loop, begin,
						end),
	};

	wv_log_identity("test", NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
