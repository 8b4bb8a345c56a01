// SPDX-License-Identifier: GPL-2.0-only
/* Group commit: everything submitted is decided once, and the log has what was acknowledged. */
#include "tests/unit/tlog_fixture.h"

#include <pthread.h>

#include "user/evidence/group.h"

#define THREADS 4
#define EACH 3000

static struct wv_group *group;
static uint64_t next_seq, acks, nacks;
static int last_error;

static void on_acknowledged(void *ctx _unused_, uint64_t first, uint64_t n, int error)
{
	if (error) {
		nacks += n;
		last_error = error;
		next_seq = 0;
		return;
	}
	if (next_seq && first != next_seq)
		last_error = -ERANGE;
	next_seq = first + n;
	acks += n;
}

static struct wv_group *open_group(struct wv_tlog *l, size_t batch_bytes)
{
	struct wv_group_options o = {.batch_bytes = batch_bytes, .acknowledged = on_acknowledged};
	struct wv_group *g;

	next_seq = acks = nacks = 0;
	last_error = 0;
	assert_int_equal(wv_group_open(&g, l, &o), 0);
	return g;
}

static void *submit_many(void *ctx)
{
	for (unsigned n = 0; n < EACH; n++) {
		struct record r = {.n = *(unsigned *)ctx + n, .pad = 100};

		if (wv_group_submit(group, compose, &r, NULL, NULL) < 0)
			return ctx;
	}
	return NULL;
}

static void submit_by_threads(void)
{
	pthread_t threads[THREADS];
	unsigned names[THREADS];
	void *failed;

	for (unsigned i = 0; i < THREADS; i++) {
		names[i] = 1 + i * EACH;
		assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &names[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
}

static void group_of_threads_acknowledges_all_in_order(void **state _unused_)
{
	struct wv_tlog *l;

	options.key = &key;
	options.segment_bytes = 500000;
	options.checkpoint_records = 1000;
	l = open_log();
	/* small batches: threads wait for room */
	group = open_group(l, 2 * WV_RECORD_MAX);
	submit_by_threads();
	assert_int_equal(wv_group_flush(group), 0);
	wv_group_close(group);
	assert_int_equal(acks, THREADS * EACH);
	assert_int_equal(nacks, 0);
	assert_int_equal(last_error, 0);
	assert_int_equal(wv_tlog_size(l), THREADS * EACH);
	/* the log is the caller's again */
	assert_int_equal(add(l, 99999), 0);
	assert_int_equal(wv_tlog_commit(l), 0);
	wv_tlog_close(l);
	assert_int_equal(check_tlog(1, NULL, 0), THREADS * EACH + 1);
}

static void group_wait_tells_what_became_of_it(void **state _unused_)
{
	struct wv_tlog *l = open_log();
	struct record r = {.n = 1, .pad = 1};
	uint64_t seq, ticket;

	group = open_group(l, 0);
	assert_int_equal(wv_group_submit(group, compose, &r, &seq, &ticket), 0);
	assert_int_equal(seq, 1);
	assert_int_equal(wv_group_wait(group, ticket), 0);
	assert_int_equal(acks, 1);
	/* nothing can be written or cut any more */
	fault = (struct fault){.mode = FAIL, .error = ENOSPC, .at = 0, .span = UINT32_MAX};
	r.n = 2;
	if (wv_group_submit(group, compose, &r, &seq, &ticket) == 0)
		assert_int_not_equal(wv_group_wait(group, ticket), 0);
	fault.mode = NONE;
	r.n = 3;
	assert_int_equal(wv_group_submit(group, compose, &r, &seq, &ticket), 0);
	assert_int_equal(seq, 2);
	assert_int_equal(wv_group_wait(group, ticket), 0);
	wv_group_close(group);
	wv_tlog_close(l);
	assert_int_equal(check_tlog(1, NULL, 0), 2);
}

/* Writes and syncs that fail now and then, wherever: what was acknowledged is there, and nothing
 * of what was refused. */
static void group_with_failing_disk_keeps_what_was_acknowledged(void **state _unused_)
{
	for (unsigned at = 0; at < 60; at++) {
		static bool seen[THREADS * EACH + 1];
		struct wv_tlog *l;
		uint64_t in_log = 0;

		remove_base();
		make_base();
		fault = (struct fault){0};
		l = open_log();
		group = open_group(l, 0);
		fault = (struct fault){.mode = TORN, .error = EIO, .at = at, .span = 1};
		for (unsigned n = 1; n <= 40; n++) {
			struct record r = {.n = n, .pad = 1};
			uint64_t ticket;

			if (wv_group_submit(group, compose, &r, NULL, &ticket) == 0 && n % 4 == 0)
				(void)wv_group_wait(group, ticket);
		}
		(void)wv_group_flush(group);
		wv_group_close(group);
		fault.mode = NONE;
		memset(seen, 0, sizeof(seen));
		wv_tlog_close(l);
		l = open_log();
		wv_tlog_close(l);
		(void)check_tlog(1, seen, ARRAY_SIZE(seen));
		for (unsigned n = 0; n < ARRAY_SIZE(seen); n++)
			in_log += seen[n];
		assert_int_equal(in_log, acks);
		assert_true(acks + nacks <= 40);
	}
}

/* Another writer gets its turn while a group has the log. */
static void group_lets_others_write(void **state _unused_)
{
	struct wv_tlog *l, *other;

	options.segment_bytes = 100000; /* given up at each, too */
	l = open_log();
	other = open_log();
	group = open_group(l, 0);
	submit_by_threads();
	assert_int_equal(add(other, 1), 0);
	assert_int_equal(wv_tlog_commit(other), 0);
	submit_by_threads();
	wv_group_close(group);
	wv_tlog_close(l);
	wv_tlog_close(other);
	assert_int_equal(acks, 2 * THREADS * EACH);
	assert_int_equal(check_tlog(1, NULL, 0), 2 * THREADS * EACH + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(group_of_threads_acknowledges_all_in_order),
		T(group_wait_tells_what_became_of_it),
		T(group_with_failing_disk_keeps_what_was_acknowledged),
		T(group_lets_others_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
