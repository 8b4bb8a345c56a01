// SPDX-License-Identifier: GPL-2.0-only
/* The ring of turns: what is read is whole and in order, what was overwritten is counted. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>

#include "user/agent/turn.h"
#include "user/core/cleanup.h"

static struct wv_turns *turns;

static int setup(void **state _unused_)
{
	turns = wv_turns_create();
	return turns ? 0 : -1;
}

static int teardown(void **state _unused_)
{
	return munmap(turns, sizeof(*turns));
}

/* All parts of a turn say the same number. */
static void write_turn(uint64_t n)
{
	struct wv_turn t = {.tick = n, .start_mono_ns = n, .late_ns = n, .records = n};

	for (int i = 0; i < WV_TURN_STAGE_N; i++)
		t.stage_ns[i] = n;
	wv_turns_write(turns, &t);
}

static void check_whole(const struct wv_turn *t)
{
	assert_int_equal(t->start_mono_ns, t->tick);
	assert_int_equal(t->late_ns, t->tick);
	assert_int_equal(t->records, t->tick);
	for (int i = 0; i < WV_TURN_STAGE_N; i++)
		assert_int_equal(t->stage_ns[i], t->tick);
}

static void turns_reader_in_time_misses_none(void **state _unused_)
{
	struct wv_turns_reader r;
	struct wv_turn t;

	wv_turns_open(&r, turns);
	for (uint64_t n = 0; n < 3 * WV_TURNS; n++) {
		assert_false(wv_turns_read(&r, &t));
		write_turn(n);
		assert_true(wv_turns_read(&r, &t));
		assert_int_equal(t.tick, n);
		check_whole(&t);
	}
	assert_int_equal(r.missed, 0);
}

static void turns_reader_behind_counts_what_it_missed(void **state _unused_)
{
	struct wv_turns_reader r;
	struct wv_turn t;
	uint64_t n = 0, read = 0;

	wv_turns_open(&r, turns);
	for (; n < WV_TURNS + 100; n++)
		write_turn(n);
	while (wv_turns_read(&r, &t))
		assert_int_equal(t.tick, 100 + read++);
	assert_int_equal(read, WV_TURNS);
	assert_int_equal(r.missed, 100);
}

static void turns_new_reader_begins_with_the_oldest(void **state _unused_)
{
	struct wv_turns_reader r;
	struct wv_turn t;

	for (uint64_t n = 0; n < WV_TURNS + 7; n++)
		write_turn(n);
	wv_turns_open(&r, turns);
	assert_true(wv_turns_read(&r, &t));
	assert_int_equal(t.tick, 7);
	assert_int_equal(r.missed, 0);
}

/* A core that died while it wrote: its successor's turn is the one that is read. */
static void turns_writer_dies_in_a_turn_next_one_is_read(void **state _unused_)
{
	struct wv_turns_reader r;
	struct wv_turn t;

	write_turn(1);
	atomic_store(&turns->slots[1].seq, 3);
	turns->slots[1].turn.tick = 99;
	wv_turns_open(&r, turns);
	assert_true(wv_turns_read(&r, &t));
	assert_false(wv_turns_read(&r, &t));
	write_turn(2);
	assert_true(wv_turns_read(&r, &t));
	assert_int_equal(t.tick, 2);
	assert_false(wv_turns_read(&r, &t));
	assert_int_equal(r.missed, 0);
}

#define MANY 400000

static void *write_many(void *arg _unused_)
{
	for (uint64_t n = 0; n < MANY; n++)
		write_turn(n);
	return NULL;
}

static void turns_written_meanwhile_are_whole_or_missed(void **state _unused_)
{
	struct wv_turns_reader r;
	struct wv_turn t;
	pthread_t writer;
	uint64_t read = 0, last = 0;

	wv_turns_open(&r, turns);
	assert_int_equal(pthread_create(&writer, NULL, write_many, NULL), 0);
	while (read + r.missed < MANY) {
		if (!wv_turns_read(&r, &t))
			continue;
		check_whole(&t);
		assert_true(read == 0 || t.tick > last);
		last = t.tick;
		read++;
	}
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_int_equal(read + r.missed, MANY);
	assert_true(read > 0);
}

/* The clock ------------------------------------------------------------------------------------ */

static uint64_t clock_ns;

static uint64_t mono(void *ctx _unused_)
{
	return clock_ns;
}

static void turn_clock_times_add_up(void **state _unused_)
{
	const struct wv_io io = {.mono_ns = mono};
	struct wv_self self = {.decisions = 5, .records_written = 40};
	struct wv_agent agent = {.sample = {.seq = 9, .mono_ns = 1000, .wall_ns = 77}};
	struct wv_turn_clock c;
	struct wv_turns_reader r;
	struct wv_turn t;

	wv_turn_clock_init(&c, &io, turns, &self);
	clock_ns = 1000;
	wv_turn_begins(&c, &agent.sample, 400);
	clock_ns = 1010;
	wv_turn_stage(&c, WV_TURN_EVENTS);
	clock_ns = 1030;
	wv_turn_sensed(&c, 3);
	clock_ns = 1060;
	wv_turn_sensed(&c, 5);
	clock_ns = 1070;
	wv_turn_stage(&c, WV_TURN_SENSE);
	wv_turn_sync_begins(&c);
	clock_ns = 1100;
	wv_turn_sync_ends(&c);
	wv_turn_decided(&c, 0);
	wv_turn_stage(&c, WV_TURN_DECIDE);
	clock_ns = 1107;
	wv_turn_stage(&c, WV_TURN_RECORD);
	wv_turn_stage(&c, WV_TURN_REAP);
	clock_ns = 1108;
	wv_turn_stage(&c, WV_TURN_PUBLISH);
	self.decisions = 7;
	self.records_written = 43;
	self.events_consumed[1] = 4;
	wv_turn_ends(&c, &self, &agent);
	wv_turns_open(&r, turns);
	assert_true(wv_turns_read(&r, &t));
	assert_int_equal(t.tick, 9);
	assert_int_equal(t.late_ns, 600);
	assert_int_equal(t.start_wall_ns, 77);
	assert_int_equal(t.stage_ns[WV_TURN_EVENTS], 10);
	assert_int_equal(t.stage_ns[WV_TURN_SENSE], 60);
	assert_int_equal(t.stage_ns[WV_TURN_DECIDE], 30);
	assert_int_equal(t.stage_ns[WV_TURN_RECORD], 7);
	assert_int_equal(t.stage_ns[WV_TURN_PUBLISH], 1);
	assert_int_equal(t.sense_ns[3], 20);
	assert_int_equal(t.sense_ns[5], 30);
	assert_int_equal(t.decide_ns[0], 30);
	assert_int_equal(t.sync_ns, 30);
	assert_int_equal(t.decisions, 2);
	assert_int_equal(t.records, 3);
	assert_int_equal(t.events, 4);
}

static void turn_clock_without_reader_looks_at_no_clock(void **state _unused_)
{
	const struct wv_io io = {.mono_ns = NULL}; /* a call would be the end */
	struct wv_self self = {.decisions = 5};
	struct wv_agent agent = {.sample = {.seq = 9}};
	struct wv_turn_clock c;

	wv_turn_clock_init(&c, &io, NULL, &self);
	wv_turn_begins(&c, &agent.sample, 1);
	wv_turn_stage(&c, WV_TURN_SENSE);
	wv_turn_sensed(&c, 1);
	wv_turn_decided(&c, 1);
	wv_turn_sync_begins(&c);
	wv_turn_sync_ends(&c);
	wv_turn_ends(&c, &self, &agent);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(turns_reader_in_time_misses_none),
		T(turns_reader_behind_counts_what_it_missed),
		T(turns_new_reader_begins_with_the_oldest),
		T(turns_writer_dies_in_a_turn_next_one_is_read),
		T(turns_written_meanwhile_are_whole_or_missed),
		T(turn_clock_times_add_up),
		T(turn_clock_without_reader_looks_at_no_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
