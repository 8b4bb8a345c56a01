// SPDX-License-Identifier: GPL-2.0-only
/* Causes of waits from events of the scheduler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/gpu/chain.h"

#define MAIN 100 /* process and its main thread */
#define PIN 101	 /* another thread of it */
#define LOADER 200
#define FEEDER 201 /* a thread of the loader */
#define OTHER 300  /* a process that has nothing to do with it */

static struct wv_chain *chain;

static void add(uint64_t at, unsigned kind, uint32_t tid, uint32_t tgid, uint32_t by,
		uint32_t by_tgid, int syscall, unsigned state)
{
	const struct wv_wake_event ev = {.at = at,
					 .kind = (uint8_t)kind,
					 .tid = tid,
					 .tgid = tgid,
					 .other_tid = by,
					 .other_tgid = by_tgid,
					 .syscall = (int16_t)syscall,
					 .state = (uint8_t)state};

	wv_chain_add(chain, &ev);
}

static void runs(uint64_t at, uint32_t tid, uint32_t tgid)
{
	add(at, WV_WAKE_IN, tid, tgid, 0, 0, WV_WAKE_NO_SYSCALL, 0);
}

static void sleeps(uint64_t at, uint32_t tid, uint32_t tgid, int syscall)
{
	add(at, WV_WAKE_OUT, tid, tgid, 0, 0, syscall, 1);
}

static void on_disk(uint64_t at, uint32_t tid, uint32_t tgid, int syscall)
{
	add(at, WV_WAKE_OUT, tid, tgid, 0, 0, syscall, 2);
}

static void preempted(uint64_t at, uint32_t tid, uint32_t tgid)
{
	add(at, WV_WAKE_OUT, tid, tgid, 0, 0, WV_WAKE_NO_SYSCALL, 0);
}

static void wakes(uint64_t at, uint32_t tid, uint32_t tgid, uint32_t by, uint32_t by_tgid)
{
	add(at, WV_WAKE_WAKE, tid, tgid, by, by_tgid, WV_WAKE_NO_SYSCALL, 0);
}

static int setup(void **state _unused_)
{
	chain = wv_chain_new(4096);
	assert_non_null(chain);
	wv_chain_process(chain, MAIN, 1, true);
	add(1, WV_WAKE_FORK, MAIN, MAIN, LOADER, LOADER, WV_WAKE_NO_SYSCALL, 0);
	return 0;
}

static int teardown(void **state _unused_)
{
	wv_chain_free(chain);
	return 0;
}

static void assert_split(uint64_t begin, uint64_t end, enum wv_gpu_cause cause, uint64_t ns)
{
	struct wv_chain_split s;
	uint64_t sum = 0, inputs = 0;

	wv_chain_split(chain, MAIN, begin, end, 100000, &s);
	assert_int_equal(s.cause_ns[cause], ns);
	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++)
		sum += s.cause_ns[i];
	for (unsigned i = 0; i < WV_GPU_INPUT_N; i++)
		inputs += s.input_ns[i];
	assert_int_equal(sum, end - begin);
	assert_int_equal(inputs, s.cause_ns[WV_GPU_CAUSE_INPUT]);
}

static void chain_running_and_ready_are_told_apart(void **state _unused_)
{
	runs(100, MAIN, MAIN);
	preempted(200, MAIN, MAIN);
	runs(250, MAIN, MAIN);
	sleeps(300, MAIN, MAIN, SYS_poll);
	wakes(350, MAIN, MAIN, 0, 0);
	runs(360, MAIN, MAIN);
	assert_split(100, 400, WV_GPU_CAUSE_HOST, 100 + 50 + 40);
	assert_split(100, 400, WV_GPU_CAUSE_RUNQUEUE, 50 + 10);
	assert_split(100, 400, WV_GPU_CAUSE_UNKNOWN, 50);
}

static void chain_sleep_ended_by_a_worker_is_input(void **state _unused_)
{
	struct wv_chain_split s;

	runs(90, LOADER, LOADER);
	runs(100, MAIN, MAIN);
	sleeps(110, MAIN, MAIN, SYS_poll);
	preempted(150, LOADER, LOADER);
	runs(170, LOADER, LOADER);
	on_disk(200, LOADER, LOADER, SYS_read);
	wakes(300, LOADER, LOADER, 0, 0);
	runs(305, LOADER, LOADER);
	wakes(400, MAIN, MAIN, LOADER, LOADER);
	runs(410, MAIN, MAIN);
	assert_split(110, 400, WV_GPU_CAUSE_INPUT, 290);
	wv_chain_split(chain, MAIN, 110, 400, 1000, &s);
	assert_int_equal(s.input_ns[WV_GPU_INPUT_PREP], 40 + 30 + 95);
	assert_int_equal(s.input_ns[WV_GPU_INPUT_STARVED], 20 + 5);
	assert_int_equal(s.input_ns[WV_GPU_INPUT_FETCH], 100);
	assert_int_equal(s.input_ns[WV_GPU_INPUT_OTHER], 0);
	/* a window that ends in the middle of the sleep, asked for later */
	assert_split(50 + 60, 200, WV_GPU_CAUSE_INPUT, 90);
}

static void chain_through_feeder_and_pin_thread_is_input(void **state _unused_)
{
	runs(90, MAIN, MAIN);
	sleeps(100, MAIN, MAIN, SYS_futex);
	runs(95, PIN, MAIN);
	sleeps(105, PIN, MAIN, SYS_read);
	wakes(200, PIN, MAIN, FEEDER, LOADER);
	runs(205, PIN, MAIN);
	wakes(220, MAIN, MAIN, PIN, MAIN);
	runs(225, MAIN, MAIN);
	assert_split(100, 220, WV_GPU_CAUSE_INPUT, 120);
}

static void chain_thread_that_waited_for_no_worker_is_a_lock(void **state _unused_)
{
	/* the pin thread's last wait ended before this one began */
	runs(10, PIN, MAIN);
	sleeps(20, PIN, MAIN, SYS_read);
	wakes(30, PIN, MAIN, LOADER, LOADER);
	runs(35, PIN, MAIN);
	runs(90, MAIN, MAIN);
	sleeps(100, MAIN, MAIN, SYS_futex);
	wakes(220, MAIN, MAIN, PIN, MAIN);
	runs(225, MAIN, MAIN);
	assert_split(100, 220, WV_GPU_CAUSE_LOCK, 120);
}

static void chain_saving_is_checkpoint_and_reading_is_input(void **state _unused_)
{
	runs(90, MAIN, MAIN);
	sleeps(100, MAIN, MAIN, SYS_fsync);
	wakes(200, MAIN, MAIN, 0, 0);
	runs(200, MAIN, MAIN);
	on_disk(210, MAIN, MAIN, SYS_write);
	wakes(260, MAIN, MAIN, 0, 0);
	runs(260, MAIN, MAIN);
	on_disk(270, MAIN, MAIN, SYS_pread64);
	wakes(300, MAIN, MAIN, 0, 0);
	runs(300, MAIN, MAIN);
	assert_split(100, 300, WV_GPU_CAUSE_CHECKPOINT, 150);
	assert_split(100, 300, WV_GPU_CAUSE_INPUT, 30);
}

static void chain_driver_call_is_sync(void **state _unused_)
{
	runs(90, MAIN, MAIN);
	sleeps(100, MAIN, MAIN, SYS_ioctl);
	wakes(200, MAIN, MAIN, 0, 0);
	assert_split(100, 200, WV_GPU_CAUSE_SYNC, 100);
}

static void chain_strangers_and_ranks_are_no_workers(void **state _unused_)
{
	/* a process that is asked about itself: a rank of the same job */
	add(2, WV_WAKE_FORK, MAIN, MAIN, OTHER + 1, OTHER + 1, WV_WAKE_NO_SYSCALL, 0);
	wv_chain_process(chain, OTHER + 1, MAIN, true);
	runs(90, MAIN, MAIN);
	sleeps(100, MAIN, MAIN, SYS_futex);
	wakes(200, MAIN, MAIN, OTHER, OTHER);
	runs(200, MAIN, MAIN);
	sleeps(300, MAIN, MAIN, SYS_futex);
	wakes(400, MAIN, MAIN, OTHER + 1, OTHER + 1);
	assert_split(100, 400, WV_GPU_CAUSE_UNKNOWN, 200);
}

static void chain_wake_that_overtakes_its_sleep_counts(void **state _unused_)
{
	runs(90, MAIN, MAIN);
	wakes(101, MAIN, MAIN, LOADER, LOADER);
	sleeps(100, MAIN, MAIN, SYS_poll);
	runs(120, MAIN, MAIN);
	assert_split(100, 120, WV_GPU_CAUSE_INPUT, 1);
	assert_split(100, 120, WV_GPU_CAUSE_RUNQUEUE, 19);
}

static void chain_open_sleep_is_named_after_the_last_of_its_kind(void **state _unused_)
{
	runs(90, MAIN, MAIN);
	sleeps(100, MAIN, MAIN, SYS_poll);
	assert_split(100, 150, WV_GPU_CAUSE_UNKNOWN, 50); /* nothing is known of such ones */
	wakes(200, MAIN, MAIN, LOADER, LOADER);
	runs(200, MAIN, MAIN);
	sleeps(300, MAIN, MAIN, SYS_poll);
	assert_split(300, 5000, WV_GPU_CAUSE_INPUT, 4700);
}

static void chain_time_beyond_what_is_known_is_unknown(void **state _unused_)
{
	struct wv_chain_split s;

	runs(100, MAIN, MAIN);
	wv_chain_split(chain, MAIN, 50, 400, 300, &s);
	assert_int_equal(s.cause_ns[WV_GPU_CAUSE_HOST], 200);
	assert_int_equal(s.cause_ns[WV_GPU_CAUSE_UNKNOWN], 150);
	wv_chain_split(chain, OTHER, 50, 400, 300, &s);
	assert_int_equal(s.cause_ns[WV_GPU_CAUSE_UNKNOWN], 350);
}

static uint64_t random_state = 88172645463325252ULL;

static unsigned pick(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state % n);
}

/* Whatever comes, in whatever order, sums are exact and nothing is read beyond its memory. */
static void chain_random_events_sums_are_exact(void **state _unused_)
{
	static const int calls[] = {SYS_poll, SYS_futex, SYS_fsync, SYS_read, SYS_ioctl, -1, -2};
	uint64_t at = 1000;

	wv_chain_free(chain);
	chain = wv_chain_new(64);
	wv_chain_process(chain, MAIN, 1, true);
	for (unsigned i = 0; i < 100000; i++) {
		uint32_t tgid = MAIN + 100 * pick(3), tid = tgid + pick(3);
		uint32_t by_tgid = MAIN + 100 * pick(3), by = by_tgid + pick(3);
		struct wv_chain_split s;
		uint64_t begin, end, sum = 0, inputs = 0;

		at += pick(50);
		add(at - pick(20), pick(5), tid, tgid, by, by_tgid, calls[pick(7)], pick(3));
		if (pick(5000) == 0)
			wv_chain_missed(chain, at - pick(100), at);
		if (i % 7)
			continue;
		end = at - pick(300);
		begin = end - pick(400);
		wv_chain_split(chain, tid, begin, end, at - pick(100), &s);
		for (unsigned k = 0; k < WV_GPU_CAUSE_N; k++)
			sum += s.cause_ns[k];
		for (unsigned k = 0; k < WV_GPU_INPUT_N; k++)
			inputs += s.input_ns[k];
		assert_int_equal(sum, end - begin);
		assert_int_equal(inputs, s.cause_ns[WV_GPU_CAUSE_INPUT]);
	}
}

static void chain_more_threads_than_room_are_counted(void **state _unused_)
{
	for (uint32_t i = 0; i < 5000; i++)
		runs(1000 + i, 1000 + i, LOADER);
	assert_true(wv_chain_lost(chain) > 0);
	/* those that ended make room */
	for (uint32_t i = 0; i < 600; i++)
		add(9000 + i, WV_WAKE_EXIT, 1000 + i, LOADER, 0, 0, WV_WAKE_NO_SYSCALL, 0);
	runs(20000, MAIN, MAIN);
	assert_split(20000, 20100, WV_GPU_CAUSE_HOST, 100);
}

static void chain_thread_that_ended_is_still_told(void **state _unused_)
{
	runs(100, MAIN, MAIN);
	add(300, WV_WAKE_EXIT, MAIN, MAIN, 0, 0, WV_WAKE_NO_SYSCALL, 0);
	add(301, WV_WAKE_OUT, MAIN, MAIN, 0, 0, WV_WAKE_NO_SYSCALL, 2);
	assert_split(150, 250, WV_GPU_CAUSE_HOST, 100);
}

static void chain_time_with_lost_events_is_unknown(void **state _unused_)
{
	runs(100, MAIN, MAIN);
	wv_chain_missed(chain, 200, 260);
	wv_chain_missed(chain, 240, 300);
	assert_split(150, 400, WV_GPU_CAUSE_UNKNOWN, 100);
	assert_split(150, 400, WV_GPU_CAUSE_HOST, 150);
	assert_split(220, 230, WV_GPU_CAUSE_UNKNOWN, 10);
	assert_split(300, 400, WV_GPU_CAUSE_UNKNOWN, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(chain_running_and_ready_are_told_apart),
		T(chain_sleep_ended_by_a_worker_is_input),
		T(chain_through_feeder_and_pin_thread_is_input),
		T(chain_thread_that_waited_for_no_worker_is_a_lock),
		T(chain_saving_is_checkpoint_and_reading_is_input),
		T(chain_driver_call_is_sync),
		T(chain_strangers_and_ranks_are_no_workers),
		T(chain_wake_that_overtakes_its_sleep_counts),
		T(chain_open_sleep_is_named_after_the_last_of_its_kind),
		T(chain_time_beyond_what_is_known_is_unknown),
		T(chain_thread_that_ended_is_still_told),
		T(chain_time_with_lost_events_is_unknown),
		T(chain_random_events_sums_are_exact),
		T(chain_more_threads_than_room_are_counted),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
