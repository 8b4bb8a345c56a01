// SPDX-License-Identifier: GPL-2.0-only
/* Windows out of activity: the invariant over random records, lateness, silence, blindness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gpu/reduce.h"
#include "user/core/cleanup.h"

#define W WV_GPU_WINDOW_NS
#define START (1000 * W)
#define SLACK (5 * W)

static struct wv_gpu_reducer *r;
static uint64_t random_state;

static uint64_t pick(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

static int setup(void **state _unused_)
{
	random_state = 88172645463325252ULL;
	r = malloc(sizeof(*r));
	assert_non_null(r);
	wv_gpu_reduce_init(r, 3, SLACK);
	return 0;
}

static int teardown(void **state _unused_)
{
	free(r);
	return 0;
}

static void add(enum wv_gpu_class class, uint64_t begin, uint64_t end)
{
	struct wv_gpu_activity a = {
		.class = class,
		.begin = begin,
		.end = end,
		.name = class == WV_GPU_MEMORY ? NULL : "k",
	};

	wv_gpu_reduce_add(r, &a);
}

static void assert_sums(const struct wv_gpu_window *w)
{
	uint64_t gaps = 0;

	assert_int_equal(w->end - w->begin, W);
	assert_int_equal(w->kernel_ns + w->exposed_ns + w->memory_ns + w->idle_ns, W);
	assert_int_equal(w->comms_ns, w->exposed_ns + w->overlapped_ns);
	assert_true(w->gaps <= WV_GPU_GAPS);
	for (unsigned i = 0; i < w->gaps; i++) {
		assert_true(w->gap[i].begin < w->gap[i].end);
		assert_true(w->gap[i].begin >= (i ? w->gap[i - 1].end : w->begin));
		assert_true(w->gap[i].end <= w->end);
		gaps += w->gap[i].end - w->gap[i].begin;
	}
	assert_true(gaps <= w->idle_ns);
	if (w->gaps < WV_GPU_GAPS)
		assert_int_equal(gaps, w->idle_ns);
}

static void reduce_random_records_keep_the_invariant(void **state _unused_)
{
	const struct wv_gpu_window *w;
	uint64_t now = START, at = START, expect = 0, late = 0, windows = 0;

	for (unsigned i = 0; i < 200000; i++) {
		uint64_t len = pick(20) ? pick(20000) : pick(3 * W);

		at += pick(100000);
		now = at + pick(W);
		if (pick(50) == 0) /* out of order, now and then by more than the slack */
			add((enum wv_gpu_class)pick(3), at - pick(2 * SLACK), at - pick(SLACK));
		else
			add((enum wv_gpu_class)pick(3), at, at + (pick(8) ? pick(2000) : len));
		while (wv_gpu_reduce_tell(r, now, &w)) {
			assert_sums(w);
			assert_true(!expect || w->begin == expect);
			expect = w->end;
			late += w->late_ns;
			windows++;
		}
	}
	assert_true(windows > 50 && late > 0);
}

static void reduce_of_more_than_memory_says_what_it_closed(void **state _unused_)
{
	const struct wv_gpu_window *w;

	/* each 2 ns busy, 2 idle: more spans than there is room for */
	for (uint64_t i = 0; i < 3 * WV_GPU_SPANS; i++)
		add(WV_GPU_KERNEL, START + 4 * i, START + 4 * i + 2);
	assert_true(wv_gpu_reduce_tell(r, START + W + SLACK, &w));
	assert_sums(w);
	assert_true(w->kernel_ns >= 6ULL * WV_GPU_SPANS);
	assert_int_equal(w->kernel_ns - w->closed_ns, 6ULL * WV_GPU_SPANS);
}

static void reduce_in_silence_tells_idle_windows(void **state _unused_)
{
	const struct wv_gpu_window *w;

	add(WV_GPU_KERNEL, START + 10, START + 110);
	assert_false(wv_gpu_reduce_tell(r, START + W + SLACK - 1, &w));
	for (unsigned i = 0; i < 10; i++) {
		assert_true(wv_gpu_reduce_tell(r, START + 10 * W + SLACK, &w));
		assert_int_equal(w->begin, START + i * W);
		assert_int_equal(w->idle_ns, i ? W : W - 100);
		assert_int_equal(w->device, 3);
	}
	assert_false(wv_gpu_reduce_tell(r, START + 10 * W + SLACK, &w));
}

static void reduce_late_record_is_counted_and_makes_it_wait_longer(void **state _unused_)
{
	const struct wv_gpu_window *w;

	add(WV_GPU_KERNEL, START + 10, START + 110);
	assert_true(wv_gpu_reduce_tell(r, START + W + SLACK, &w));
	add(WV_GPU_KERNEL, START + W / 2, START + W + 7);
	assert_false(wv_gpu_reduce_tell(r, START + 2 * W + SLACK, &w));
	assert_true(wv_gpu_reduce_tell(r, START + 3 * W + SLACK + W / 2, &w));
	assert_int_equal(w->late_ns, W / 2);
	assert_int_equal(w->kernel_ns, 7);
}

static void reduce_first_buffers_in_any_order_are_not_late(void **state _unused_)
{
	const struct wv_gpu_window *w;

	add(WV_GPU_KERNEL, START + 2 * W, START + 2 * W + 5);
	add(WV_GPU_KERNEL, START + 10, START + 110);
	assert_true(wv_gpu_reduce_tell(r, START + W + SLACK, &w));
	assert_int_equal(w->begin, START);
	assert_int_equal(w->kernel_ns, 100);
	assert_int_equal(w->late_ns, 0);
}

static void reduce_blind_windows_are_not_told(void **state _unused_)
{
	const struct wv_gpu_window *w;
	uint64_t now = START + 20 * W + SLACK;

	add(WV_GPU_KERNEL, START + 10, START + 110);
	wv_gpu_reduce_blind(r, START + 2 * W + W / 2, UINT64_MAX);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(wv_gpu_reduce_tell(r, now, &w));
		assert_int_equal(w->begin, START + i * W);
	}
	assert_false(wv_gpu_reduce_tell(r, now, &w));
	now += 10 * W;
	wv_gpu_reduce_blind(r, 0, START + 22 * W);
	assert_true(wv_gpu_reduce_tell(r, now, &w));
	assert_true(w->begin >= START + 20 * W);
	assert_int_equal(w->idle_ns, W);
}

static void reduce_gap_is_ended_by_the_last_launch_before_it(void **state _unused_)
{
	struct wv_gpu_launch first = {.at = START + 50, .end = START + 60, .tid = 7};
	struct wv_gpu_launch second = {.at = START + 5000, .end = START + 5010, .tid = 8};
	struct wv_gpu_launch wait = {.at = START + 200, .end = START + 900, .sync = true};
	const struct wv_gpu_window *w;

	wv_gpu_reduce_launch(r, &first);
	wv_gpu_reduce_launch(r, &wait);
	wv_gpu_reduce_launch(r, &second);
	add(WV_GPU_KERNEL, START + 100, START + 800);
	add(WV_GPU_KERNEL, START + 5100, START + 6000);
	assert_true(wv_gpu_reduce_tell(r, START + W + SLACK, &w));
	assert_int_equal(w->gaps, 3);
	assert_int_equal(w->gap[0].launch, START + 50);
	assert_int_equal(w->gap[0].sync, 0);
	assert_int_equal(w->gap[1].launch, START + 5000);
	assert_int_equal(w->gap[1].launch_tid, 8);
	assert_int_equal(w->gap[1].sync, 1);
	assert_int_equal(w->gap[2].sync, 0);
}

static void reduce_untimed_record_counts_as_dropped(void **state _unused_)
{
	const struct wv_gpu_window *w;

	add(WV_GPU_KERNEL, START + 10, START + 110);
	add(WV_GPU_KERNEL, 0, 0);
	add(WV_GPU_KERNEL, START + 50, START + 40);
	assert_true(wv_gpu_reduce_tell(r, START + W + SLACK, &w));
	assert_int_equal(w->dropped, 2);
	assert_int_equal(w->kernel_ns, 100);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reduce_random_records_keep_the_invariant),
		T(reduce_of_more_than_memory_says_what_it_closed),
		T(reduce_in_silence_tells_idle_windows),
		T(reduce_late_record_is_counted_and_makes_it_wait_longer),
		T(reduce_first_buffers_in_any_order_are_not_late),
		T(reduce_blind_windows_are_not_told),
		T(reduce_gap_is_ended_by_the_last_launch_before_it),
		T(reduce_untimed_record_counts_as_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
