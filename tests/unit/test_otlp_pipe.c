// SPDX-License-Identifier: GPL-2.0-only
/* From the log behind a cursor to a receiver that is slow, gone, or refuses: nothing is lost. */
#include "tests/unit/tlog_fixture.h"

#include "user/core/cleanup.h"
#include "user/evidence/event.h"
#include "user/otlp/pipe.h"

static struct wv_otlp_pipe pipe_;
static struct wv_otlp_resource resource;
static struct wv_tlog *log_;

/* A receiver: which seqs it took, as JSON of logs has them. */
#define SEQS 256
static unsigned taken[SEQS];
static uint64_t poison; /* it refuses requests with this one */

static struct wv_otlp_pipe_options pipe_options(bool logs)
{
	return (struct wv_otlp_pipe_options){.io = &faulty,
					     .state = paths.state,
					     .run_id = "run-1",
					     .logs = logs,
					     .encoding = WV_OTLP_JSON,
					     .batch = 8,
					     .resource = &resource,
					     .first = 1};
}

static void open_pipe(bool logs)
{
	struct wv_otlp_pipe_options o = pipe_options(logs);

	assert_int_equal(wv_otlp_pipe_open(&pipe_, &o), 0);
}

static int begin(void **state)
{
	int r = setup(state);

	memset(taken, 0, sizeof(taken));
	poison = 0;
	resource.attributes = json_object_new_object();
	log_ = open_log();
	open_pipe(true);
	return r;
}

static int end(void **state)
{
	wv_otlp_pipe_close(&pipe_);
	wv_tlog_close(log_);
	json_object_put(resource.attributes);
	return teardown(state);
}

static void add_records(unsigned from, unsigned to)
{
	for (unsigned n = from; n <= to; n++)
		assert_int_equal(add(log_, n), 0);
	assert_int_equal(wv_tlog_commit(log_), 0);
}

/* As a receiver would; false: it is one that it refuses. */
static bool receive(void)
{
	struct json_object *o, *list, *attributes, *v;
	uint64_t seqs[SEQS];
	size_t n = 0;

	assert_int_equal(wv_text_end(&pipe_.body), 0);
	o = json_tokener_parse(pipe_.body.data);
	assert_non_null(o);
	assert_int_equal(json_pointer_get(o, "/resourceLogs/0/scopeLogs/0/logRecords", &list), 0);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *r = json_object_array_get_idx(list, i);

		json_object_object_get_ex(r, "attributes", &attributes);
		for (size_t k = 0; k < json_object_array_length(attributes); k++) {
			struct json_object *a = json_object_array_get_idx(attributes, k);

			assert_int_equal(json_pointer_get(a, "/key", &v), 0);
			if (strcmp(json_object_get_string(v), "waveos.seq") != 0)
				continue;
			assert_int_equal(json_pointer_get(a, "/value/intValue", &v), 0);
			seqs[n++] = strtoull(json_object_get_string(v), NULL, 10);
		}
	}
	json_object_put(o);
	assert_int_equal(n, pipe_.items);
	for (size_t i = 0; i < n; i++)
		if (seqs[i] == poison)
			return false;
	for (size_t i = 0; i < n; i++)
		taken[seqs[i]]++;
	return true;
}

static void answer(long status)
{
	wv_otlp_answered(&pipe_, &(struct wv_otlp_answer){.status = status});
}

/* Delivers all that there is. */
static void deliver(void)
{
	for (int i = 0; i < 1000; i++) {
		int r = wv_otlp_fill(&pipe_);

		assert_true(r >= 0);
		if (r == 0)
			return;
		answer(receive() ? 200 : 400);
	}
	fail_msg("it never ends");
}

static void expect_taken(unsigned from, unsigned to, unsigned times)
{
	for (unsigned i = from; i <= to; i++)
		assert_int_equal(taken[i], times);
}

static void restart(void)
{
	wv_otlp_pipe_close(&pipe_);
	open_pipe(true);
}

static void pipe_each_record_is_delivered_once(void **state _unused_)
{
	add_records(1, 20);
	deliver();
	expect_taken(1, 20, 1);
	assert_int_equal(pipe_.counts.requests, 3);
	assert_int_equal(pipe_.counts.sent, 20);
	restart();
	add_records(21, 25);
	deliver();
	expect_taken(1, 25, 1);
}

static void pipe_request_is_kept_until_it_is_taken(void **state _unused_)
{
	static const long statuses[] = {503, 429, 401, 404, 500, 502, 504};
	uint64_t before = 0;

	add_records(1, 5);
	assert_int_equal(wv_otlp_fill(&pipe_), 1);
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		answer(statuses[i]);
		assert_int_equal(wv_otlp_fill(&pipe_), 1);
		assert_true(pipe_.retry_ns > faulty.mono_ns(NULL));
		if (before)
			assert_true(pipe_.failed == i + 1);
		before = pipe_.retry_ns;
	}
	wv_otlp_answered(&pipe_, &(struct wv_otlp_answer){.error = -EHOSTUNREACH, .text = "gone"});
	assert_string_equal(pipe_.error, "gone");
	assert_int_equal(pipe_.counts.failures, ARRAY_SIZE(statuses) + 1);
	assert_true(receive());
	answer(200);
	assert_string_equal(pipe_.error, "");
	assert_int_equal(pipe_.retry_ns, 0);
	expect_taken(1, 5, 1);
	assert_int_equal(wv_otlp_fill(&pipe_), 0);
}

static void pipe_restart_before_the_answer_sends_again(void **state _unused_)
{
	add_records(1, 5);
	assert_int_equal(wv_otlp_fill(&pipe_), 1);
	assert_true(receive()); /* the answer never came */
	restart();
	deliver();
	expect_taken(1, 5, 2);
}

static void pipe_backoff_doubles_up_to_a_minute_and_heeds_retry_after(void **state _unused_)
{
	const uint64_t s = 1000000000;

	add_records(1, 1);
	assert_int_equal(wv_otlp_fill(&pipe_), 1);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t most = i < 6 ? s << i : 60 * s, now = faulty.mono_ns(NULL), wait;

		answer(503);
		wait = pipe_.retry_ns - now;
		assert_true(wait >= most / 2 && wait < most * 3 / 2 + s);
	}
	wv_otlp_answered(&pipe_, &(struct wv_otlp_answer){.status = 429, .retry_after_s = 300});
	assert_true(pipe_.retry_ns - faulty.mono_ns(NULL) > 299 * s);
	wv_otlp_answered(&pipe_,
			 &(struct wv_otlp_answer){.status = 429, .retry_after_s = UINT64_MAX});
	assert_true(pipe_.retry_ns - faulty.mono_ns(NULL) < 3602 * s);
}

static void pipe_refused_record_is_found_and_left_out(void **state _unused_)
{
	add_records(1, 30);
	poison = 13;
	deliver();
	expect_taken(1, 12, 1);
	expect_taken(13, 13, 0);
	expect_taken(14, 30, 1);
	assert_int_equal(pipe_.counts.refused, 1);
	assert_int_equal(pipe_.counts.sent, 29);
	/* requests are as large as before in the end */
	add_records(31, 60);
	deliver();
	assert_int_equal(pipe_.limit, 8);
}

static void pipe_partial_success_is_counted_and_not_sent_again(void **state _unused_)
{
	add_records(1, 5);
	assert_int_equal(wv_otlp_fill(&pipe_), 1);
	wv_otlp_answered(&pipe_,
			 &(struct wv_otlp_answer){.status = 200, .rejected = 2, .text = "old"});
	assert_int_equal(pipe_.counts.rejected, 2);
	assert_int_equal(pipe_.counts.sent, 3);
	assert_int_equal(wv_otlp_fill(&pipe_), 0);
}

static void pipe_large_records_are_split_over_requests(void **state _unused_)
{
	struct record r = {.pad = 60000};

	wv_otlp_pipe_close(&pipe_);
	open_pipe(true);
	pipe_.options.batch = pipe_.limit = 1000;
	for (r.n = 1; r.n <= 40; r.n++)
		assert_int_equal(wv_tlog_append(log_, compose, &r, NULL), 0);
	assert_int_equal(wv_tlog_commit(log_), 0);
	for (int i = 0; i < 100 && wv_otlp_fill(&pipe_) == 1; i++) {
		assert_true(pipe_.body.len < WV_OTLP_BODY_BYTES + (128 << 10));
		assert_true(receive());
		answer(200);
	}
	expect_taken(1, 40, 1);
}

static void pipe_cursor_that_cannot_be_kept_sends_again(void **state _unused_)
{
	add_records(1, 5);
	assert_int_equal(wv_otlp_fill(&pipe_), 1);
	assert_true(receive());
	fault = (struct fault){.mode = FAIL, .error = ENOSPC, .span = 100};
	answer(200);
	fault = (struct fault){0};
	restart();
	deliver();
	expect_taken(1, 5, 2);
}

static void pipe_first_is_the_beginning_of_this_run(void **state _unused_)
{
	static const char *const runs[] = {"old", "old", "run-1", "other", "run-1"};
	uint64_t at;

	assert_int_equal(wv_otlp_first(&faulty, paths.state, "run-1"), 1);
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		struct json_object *o = json_object_new_object();

		assert_int_equal(wv_event(log_, &faulty, runs[i], "boot", o, true, NULL), 0);
	}
	at = wv_otlp_first(&faulty, paths.state, "run-1");
	assert_int_equal(at, 3);
	assert_int_equal(wv_otlp_first(&faulty, paths.state, "none"), ARRAY_SIZE(runs) + 1);
}

/* Traces --------------------------------------------------------------------------------------- */

static void event(const char *type, const char *members)
{
	struct json_object *o = json_tokener_parse(members);

	assert_non_null(o);
	assert_int_equal(wv_event(log_, &faulty, "run-1", type, o, true, NULL), 0);
}

static bool body_has(const char *text)
{
	assert_int_equal(wv_text_end(&pipe_.body), 0);
	return strstr(pipe_.body.data, text);
}

static void pipe_trace_over_a_restart_of_the_sink_is_whole(void **state _unused_)
{
	struct wv_trace_ids ids;
	char hex[33];

	wv_otlp_pipe_close(&pipe_);
	open_pipe(false);
	event("recovery", "{\"cgroup\":\"/a\",\"chain\":\"c\",\"event\":\"started\"}");
	event("policy", "{\"name\":\"p\"}");
	event("action", "{\"cgroup\":\"/a\",\"chain\":\"c\",\"act\":\"kill\",\"id\":\"1\"}");
	assert_int_equal(wv_otlp_fill(&pipe_), 1);
	assert_true(body_has("policy apply"));
	assert_false(body_has("recovery c"));
	answer(200);
	assert_int_equal(wv_follow_kept(pipe_.follow), 3);
	assert_int_equal(wv_follow_kept(pipe_.open), 0);
	wv_otlp_pipe_close(&pipe_);
	open_pipe(false);
	assert_int_equal(wv_otlp_tracker_open(pipe_.tracker), 1);
	event("action-outcome", "{\"id\":\"1\",\"outcome\":\"done\"}");
	event("recovery", "{\"cgroup\":\"/a\",\"chain\":\"c\",\"event\":\"ended\"}");
	assert_int_equal(wv_otlp_fill(&pipe_), 1);
	wv_trace_ids("chain", "run-1", 1, &ids);
	wv_otlp_hex(ids.trace, 16, hex);
	assert_true(body_has("recovery c") && body_has("step kill") && body_has(hex));
	assert_false(body_has("unfinished"));
	assert_false(body_has("policy apply"));
	answer(200);
	assert_int_equal(wv_follow_kept(pipe_.open), 5);
}

static void pipe_turns_of_a_refused_request_are_counted(void **state _unused_)
{
	struct wv_otlp_turn_list turns = {.one_in = 1, .slow_ns = UINT64_MAX};
	struct wv_turn turn = {.tick = 1, .start_mono_ns = 1};
	struct wv_otlp_pipe_options o = pipe_options(false);

	wv_otlp_pipe_close(&pipe_);
	o.turns = &turns;
	assert_int_equal(wv_otlp_pipe_open(&pipe_, &o), 0);
	assert_int_equal(wv_otlp_turns_add(&turns, &turn), 0);
	assert_int_equal(wv_otlp_fill(&pipe_), 1);
	answer(400);
	assert_int_equal(pipe_.counts.turns_dropped, 1);
	assert_int_equal(wv_otlp_fill(&pipe_), 0);
	turn.start_mono_ns = 2;
	assert_int_equal(wv_otlp_turns_add(&turns, &turn), 0);
	assert_int_equal(wv_otlp_fill(&pipe_), 1);
	answer(200);
	assert_int_equal(pipe_.counts.turns, 1);
	wv_otlp_turns_done(&turns);
}

#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(pipe_each_record_is_delivered_once),
		T(pipe_request_is_kept_until_it_is_taken),
		T(pipe_restart_before_the_answer_sends_again),
		T(pipe_backoff_doubles_up_to_a_minute_and_heeds_retry_after),
		T(pipe_refused_record_is_found_and_left_out),
		T(pipe_partial_success_is_counted_and_not_sent_again),
		T(pipe_large_records_are_split_over_requests),
		T(pipe_cursor_that_cannot_be_kept_sends_again),
		T(pipe_first_is_the_beginning_of_this_run),
		T(pipe_trace_over_a_restart_of_the_sink_is_whole),
		T(pipe_turns_of_a_refused_request_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
