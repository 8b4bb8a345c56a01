// SPDX-License-Identifier: GPL-2.0-only
/* The simulator of data-parallel steps: cases that are known by hand, and laws that hold always. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gpu/tune/parallel.h"
#include "user/core/cleanup.h"

#define MS 1000000ULL

/* 10 ms forward, 20 ms backward in which four gradients of 10 MB become ready, 10 GB/s. */
static struct wv_tune_parallel plain(void)
{
	struct wv_tune_parallel p = {
		.forward_ns = 10 * MS,
		.backward_ns = 20 * MS,
		.optimizer_ns = 2 * MS,
		.accumulate = 1,
		.n_gradients = 4,
		.bytes_per_s = 10000000000ULL,
		.devices = 4,
		.bucket_bytes = 10000000,
		.overlap = true,
	};

	for (unsigned i = 0; i < 4; i++) {
		p.gradient[i].bytes = 10000000;
		p.gradient[i].ready_ns = (i + 1) * 5 * MS;
	}
	return p;
}

static void parallel_of_one_device_is_what_was_measured(void **state)
{
	struct wv_tune_parallel p = plain();
	struct wv_tune_parallel_step s;

	(void)state;
	p.devices = 1;
	p.accumulate = 3;
	p.spread_permille = 50;
	assert_int_equal(wv_tune_parallel(&p, &s), 0);
	assert_int_equal(s.step_ns, 92 * MS);
	assert_int_equal(s.comms_ns, 0);
	assert_true(fabs(s.efficiency - 1) < 1e-9);
}

static void parallel_of_four_devices_is_as_by_hand(void **state)
{
	struct wv_tune_parallel p = plain();
	struct wv_tune_parallel_step s;

	(void)state;
	/* all-reduce of 10 MB: 2 * 3/4 * 1 ms = 1.5 ms; three of four are hidden */
	assert_int_equal(wv_tune_parallel(&p, &s), 0);
	assert_int_equal(s.buckets, 4);
	assert_int_equal(s.comms_ns, 6 * MS);
	assert_int_equal(s.exposed_ns, 3 * MS / 2);
	assert_int_equal(s.step_ns, 33 * MS + MS / 2);
	/* nothing hidden */
	p.overlap = false;
	assert_int_equal(wv_tune_parallel(&p, &s), 0);
	assert_int_equal(s.exposed_ns, 6 * MS);
	/* one bucket: ready at the end only */
	p.overlap = true;
	p.bucket_bytes = 40000000;
	assert_int_equal(wv_tune_parallel(&p, &s), 0);
	assert_int_equal(s.buckets, 1);
	assert_int_equal(s.exposed_ns, 6 * MS);
	/* state split: reduced in one round, 0.75 ms, the rest after an optimizer of a quarter */
	p = plain();
	p.zero = 1;
	assert_int_equal(wv_tune_parallel(&p, &s), 0);
	assert_int_equal(s.comms_ns, 6 * MS);
	assert_int_equal(s.exposed_ns, 3 * MS + 3 * MS / 4);
	assert_int_equal(s.compute_ns, 30 * MS + MS / 2);
}

static void parallel_with_contention_computes_longer_while_it_sends(void **state)
{
	struct wv_tune_parallel p = plain();
	struct wv_tune_parallel_step s;

	(void)state;
	p.contention_permille = 500;
	assert_int_equal(wv_tune_parallel(&p, &s), 0);
	/* three buckets of 1.5 ms at half the speed: 0.75 ms each */
	assert_int_equal(s.compute_ns, 32 * MS + 9 * MS / 4);
}

static void parallel_bucket_weighs_latency_against_hiding(void **state)
{
	static const uint32_t mb[] = {1, 5, 10, 20, 40};
	struct wv_tune_parallel p = plain();
	struct wv_tune_parallel_step s;
	uint32_t best;

	(void)state;
	/* a message of any size is cheap: small ones hide best */
	assert_int_equal(wv_tune_parallel_bucket(&p, mb, ARRAY_SIZE(mb), &best, &s), 0);
	assert_int_equal(best, 1);
	/* 2 * 3 ms of latency a message: as few as possible */
	p.latency_ns = 2 * MS;
	assert_int_equal(wv_tune_parallel_bucket(&p, mb, ARRAY_SIZE(mb), &best, &s), 0);
	assert_int_equal(best, 40);
	assert_int_equal(wv_tune_parallel_bucket(&p, mb, 0, &best, &s), -EINVAL);
}

static void parallel_waits_for_the_slowest(void **state)
{
	struct wv_tune_parallel p = plain();
	struct wv_tune_parallel_step one, s;

	(void)state;
	assert_int_equal(wv_tune_parallel(&p, &one), 0);
	p.spread_permille = 100;
	assert_int_equal(wv_tune_parallel(&p, &s), 0);
	/* 10 % of 32 ms, times 1.0294 for four */
	assert_true(fabs((double)s.wait_ns - 3.294e6) < 1e4);
	assert_int_equal(s.step_ns, one.step_ns + s.wait_ns);
}

static void parallel_of_any_input_keeps_its_sums(void **state)
{
	(void)state;
	srand(1);
	for (unsigned round = 0; round < 20000; round++) {
		struct wv_tune_parallel p = {0};
		struct wv_tune_parallel_step s, faster;
		uint64_t at = 0;

		p.forward_ns = (uint64_t)(rand() % 50) * MS + 1;
		p.n_gradients = 1 + (unsigned)rand() % 40;
		for (unsigned i = 0; i < p.n_gradients; i++) {
			at += (uint64_t)(rand() % 3) * MS;
			p.gradient[i].ready_ns = at;
			p.gradient[i].bytes = (uint64_t)(rand() % 60) * 1000000;
		}
		p.backward_ns = at + (uint64_t)(rand() % 5) * MS;
		p.optimizer_ns = (uint64_t)(rand() % 10) * MS;
		p.other_ns = (uint64_t)(rand() % 10) * MS;
		p.accumulate = 1 + (unsigned)rand() % 8;
		p.spread_permille = (unsigned)rand() % 100;
		p.latency_ns = (uint64_t)rand() % 100000;
		p.bytes_per_s = 1000000000ULL * (1 + (unsigned)rand() % 400);
		p.contention_permille = (unsigned)rand() % 400;
		p.devices = 1 + (unsigned)rand() % 64;
		p.bucket_bytes = 1000000ULL * (1 + (unsigned)rand() % 200);
		p.overlap = rand() % 2;
		p.zero = (unsigned)rand() % 3;
		assert_int_equal(wv_tune_parallel(&p, &s), 0);
		assert_int_equal(s.step_ns, s.compute_ns + s.exposed_ns + s.wait_ns);
		assert_true(s.exposed_ns <= s.comms_ns + 1);
		assert_true(p.devices > 1 || s.comms_ns == 0);
		p.bytes_per_s *= 2;
		assert_int_equal(wv_tune_parallel(&p, &faster), 0);
		assert_true(faster.step_ns <= s.step_ns + 2);
	}
}

static void parallel_input_that_makes_no_sense_is_refused(void **state)
{
	struct wv_tune_parallel p = plain();
	struct wv_tune_parallel_step s = {.step_ns = 77};

	(void)state;
	p.zero = 3;
	assert_int_equal(wv_tune_parallel(&p, &s), -EOPNOTSUPP);
	p = plain();
	p.devices = 0;
	assert_int_equal(wv_tune_parallel(&p, &s), -EINVAL);
	p = plain();
	p.gradient[2].ready_ns = 1;
	assert_int_equal(wv_tune_parallel(&p, &s), -EINVAL);
	p = plain();
	p.bytes_per_s = 0;
	assert_int_equal(wv_tune_parallel(&p, &s), -EINVAL);
	p = plain();
	p.n_gradients = WV_TUNE_GRADIENTS + 1;
	assert_int_equal(wv_tune_parallel(&p, &s), -EINVAL);
	assert_int_equal(s.step_ns, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parallel_of_one_device_is_what_was_measured),
		cmocka_unit_test(parallel_of_four_devices_is_as_by_hand),
		cmocka_unit_test(parallel_with_contention_computes_longer_while_it_sends),
		cmocka_unit_test(parallel_bucket_weighs_latency_against_hiding),
		cmocka_unit_test(parallel_waits_for_the_slowest),
		cmocka_unit_test(parallel_of_any_input_keeps_its_sums),
		cmocka_unit_test(parallel_input_that_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
