// SPDX-License-Identifier: GPL-2.0-only
/* The ring between the profiler library and the agent: order, loss, and a producer that lies. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gpu/ring.h"
#include "user/core/cleanup.h"

static struct wv_gpu_ring *ring;
static struct wv_gpu_reader reader;
static uint64_t random_state;

static unsigned pick(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state % n);
}

static int setup(void **state _unused_)
{
	random_state = 88172645463325252ULL;
	ring = calloc(1, WV_GPU_RING_SIZE);
	assert_non_null(ring);
	wv_gpu_ring_init(ring);
	return wv_gpu_reader_init(&reader, ring, WV_GPU_RING_SIZE);
}

static int teardown(void **state _unused_)
{
	free(ring);
	return 0;
}

static bool push_step(uint64_t number)
{
	struct wv_gpu_step s = {
		.frame = {.bytes = sizeof(s), .type = WV_GPU_STEP},
		.number = number,
	};

	return wv_gpu_ring_push(ring, &s.frame);
}

static void ring_wraps_in_order(void **state _unused_)
{
	_Alignas(8) unsigned char buf[sizeof(struct wv_gpu_window)];
	struct wv_gpu_window w = {.frame = {.bytes = sizeof(w), .type = WV_GPU_WINDOW}};
	uint64_t told = 0, read = 0;

	for (unsigned round = 0; round < 3000; round++) {
		for (unsigned i = pick(20); i > 0; i--) {
			if (pick(4)) {
				assert_true(push_step(told++));
			} else {
				w.records = told++;
				assert_true(wv_gpu_ring_push(ring, &w.frame));
			}
		}
		while (wv_gpu_reader_next(&reader, buf, sizeof(buf)) == 1) {
			const struct wv_gpu_step *s = (const void *)buf;
			const struct wv_gpu_window *got = (const void *)buf;

			assert_int_equal(s->frame.type == WV_GPU_STEP ? s->number : got->records,
					 read);
			read++;
		}
		assert_int_equal(read, told);
	}
	assert_true(atomic_load(&ring->head) > 4 * (uint64_t)WV_GPU_RING_BYTES);
}

static void ring_full_drops_and_counts(void **state _unused_)
{
	_Alignas(8) unsigned char buf[sizeof(struct wv_gpu_window)];
	uint64_t fit = 0, read = 0;

	while (push_step(fit))
		fit++;
	assert_false(push_step(0));
	assert_int_equal(wv_gpu_reader_dropped(&reader), 2);
	while (wv_gpu_reader_next(&reader, buf, sizeof(buf)) == 1) {
		assert_int_equal(((const struct wv_gpu_step *)(const void *)buf)->number, read);
		read++;
	}
	assert_int_equal(read, fit);
	assert_true(push_step(0));
}

static void ring_with_an_impossible_tail_is_full(void **state _unused_)
{
	atomic_store(&ring->tail, 1ULL << 60); /* of a hostile consumer */
	assert_false(push_step(1));
}

static void reader_refuses_what_is_no_ring(void **state _unused_)
{
	struct wv_gpu_reader r;

	assert_int_equal(wv_gpu_reader_init(&r, ring, WV_GPU_RING_SIZE - 1), -EPROTO);
	ring->bytes *= 2;
	assert_int_equal(wv_gpu_reader_init(&r, ring, WV_GPU_RING_SIZE), -EPROTO);
	ring->bytes /= 2;
	ring->version++;
	assert_int_equal(wv_gpu_reader_init(&r, ring, WV_GPU_RING_SIZE), -EPROTO);
	ring->version--;
	ring->magic ^= 1;
	assert_int_equal(wv_gpu_reader_init(&r, ring, WV_GPU_RING_SIZE), -EPROTO);
}

static void reader_of_a_lying_head_lets_go(void **state _unused_)
{
	_Alignas(8) unsigned char buf[sizeof(struct wv_gpu_window)];
	static const uint64_t lies[] = {1, 7, WV_GPU_RING_BYTES + 8, UINT64_MAX, 1ULL << 63};

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		atomic_store(&ring->head, lies[i]);
		assert_int_equal(wv_gpu_reader_next(&reader, buf, sizeof(buf)), -EPROTO);
	}
}

/* Whatever stands there: frames have the length of their type, or it is -EPROTO. */
static void reader_of_random_bytes_stays_within_bounds(void **state _unused_)
{
	/* as long as the largest frame: ASan sees what is written beyond */
	unsigned char *buf = malloc(sizeof(struct wv_gpu_window));
	uint64_t *words = (uint64_t *)(void *)ring->data;
	unsigned good = 0, bad = 0;

	for (unsigned round = 0; round < 20000; round++) {
		uint64_t from = (uint64_t)pick(WV_GPU_RING_BYTES / 8) * 8;
		struct wv_gpu_frame f = {.bytes = pick(3) ? pick(20000) : 48,
					 .type = (uint16_t)pick(8)};
		int r;

		if (pick(2))
			f.bytes = f.type == WV_GPU_BYE ? 8 : sizeof(struct wv_gpu_step);
		memcpy(&words[from / 8], &f, sizeof(f));
		reader.tail = from;
		atomic_store(&ring->head, from + 8 * (uint64_t)pick(4000));
		r = wv_gpu_reader_next(&reader, buf, sizeof(struct wv_gpu_window));
		good += r == 1;
		bad += r == -EPROTO;
		if (r == 1) {
			const struct wv_gpu_frame *got = (const void *)buf;

			assert_int_equal(reader.tail, from + got->bytes);
			assert_true(got->type >= WV_GPU_HELLO && got->type <= WV_GPU_BYE);
		}
	}
	assert_true(good > 100 && bad > 100);
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ring_wraps_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(ring_full_drops_and_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(ring_with_an_impossible_tail_is_full, setup,
						teardown),
		cmocka_unit_test_setup_teardown(reader_refuses_what_is_no_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(reader_of_a_lying_head_lets_go, setup, teardown),
		cmocka_unit_test_setup_teardown(reader_of_random_bytes_stays_within_bounds, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
