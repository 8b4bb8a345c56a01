// SPDX-License-Identifier: GPL-2.0-only
/* Traces made of records: span trees of chains, breakers, bundles; torn ones; and turns. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/otlp/turn_spans.h"

#define SPANS 512

/* What came out; links and events only as counts and names. */
static struct out {
	char name[112], result[64], unfinished[64], error_type[32], message[160];
	uint8_t trace[16], id[8], parent[8];
	bool is_child;
	uint64_t start_ns, end_ns;
	enum wv_otlp_result status;
	unsigned n_marks, n_links;
	char marks[256], links[64];
} out[SPANS];
static unsigned n_out;
static struct wv_otlp_tracker *tracker;
static uint64_t seq, mono_ns, wall_ns;
static const char *boot, *run;
static struct wv_otlp_where where;

static void copy_attribute(const struct wv_otlp_span *s, const char *key, char *to, size_t size)
{
	struct json_object *v;

	snprintf(to, size, "%s",
		 json_object_object_get_ex(s->attributes, key, &v) ? json_object_get_string(v)
								   : "");
}

static void add_word(char *to, size_t size, const char *word)
{
	size_t len = strlen(to);

	snprintf(to + len, size - len, "%s ", word);
}

static void emit(void *ctx _unused_, const struct wv_otlp_span *s)
{
	struct out *o = &out[n_out++];

	assert_true(n_out < SPANS);
	*o = (struct out){.is_child = s->is_child,
			  .start_ns = s->start_ns,
			  .end_ns = s->end_ns,
			  .status = s->status,
			  .n_marks = s->n_marks,
			  .n_links = s->n_links};
	snprintf(o->name, sizeof(o->name), "%s", s->name);
	snprintf(o->message, sizeof(o->message), "%s", s->message);
	memcpy(o->trace, s->trace, 16);
	memcpy(o->id, s->id, 8);
	memcpy(o->parent, s->parent, 8);
	copy_attribute(s, "waveos.result", o->result, sizeof(o->result));
	copy_attribute(s, "waveos.unfinished", o->unfinished, sizeof(o->unfinished));
	copy_attribute(s, "error.type", o->error_type, sizeof(o->error_type));
	for (unsigned i = 0; i < s->n_marks; i++)
		add_word(o->marks, sizeof(o->marks), s->marks[i].name);
	for (unsigned i = 0; i < s->n_links; i++)
		add_word(o->links, sizeof(o->links), s->links[i].why);
}

static int setup(void **state _unused_)
{
	tracker = wv_otlp_tracker_new();
	n_out = 0;
	seq = 0;
	mono_ns = 1000;
	wall_ns = 1000000;
	boot = "boot-1";
	run = "run-1";
	return tracker ? 0 : -1;
}

static int teardown(void **state _unused_)
{
	wv_otlp_tracker_free(tracker);
	return 0;
}

/* The next record, 100 ns later; fields: `,"name":value` ... */
static void tell_quietly(const char *type, const char *fields, bool quiet)
{
	struct wv_otlp_record r;
	char line[2048];

	mono_ns += 100;
	wall_ns += 100;
	snprintf(line, sizeof(line),
		 "{\"type\":\"%s\",\"boot_id\":\"%s\",\"run_id\":\"%s\",\"seq\":%" PRIu64
		 ",\"mono_ns\":%" PRIu64 ",\"wall_ns\":%" PRIu64 "%s}",
		 type, boot, run, ++seq, mono_ns, wall_ns, fields);
	assert_int_equal(wv_otlp_record_parse(&r, seq, line, strlen(line)), 0);
	wv_otlp_track(tracker, &r, quiet ? NULL : emit, NULL, &where);
	json_object_put(r.o);
}

static void tell(const char *type, const char *fields)
{
	tell_quietly(type, fields, false);
}

#define CHAIN ",\"cgroup\":\"/a\",\"cgroup_key\":7,\"domain\":\"web\",\"chain\":\"harder\""

static void recovery(const char *event)
{
	char fields[256];

	snprintf(fields, sizeof(fields), CHAIN ",\"event\":\"%s\"", event);
	tell("recovery", fields);
}

static void action(const char *type, const char *id, const char *more)
{
	char fields[512];

	snprintf(fields, sizeof(fields), CHAIN ",\"act\":\"freeze\",\"step\":0,\"id\":\"%s\"%s", id,
		 more);
	tell(type, fields);
}

static const struct out *find(const char *name)
{
	for (unsigned i = 0; i < n_out; i++)
		if (strcmp(out[i].name, name) == 0)
			return &out[i];
	fail_msg("no span %s", name);
	return NULL;
}

static void expect_child(const char *name, const struct out *root)
{
	const struct out *o = find(name);

	assert_true(o->is_child);
	assert_memory_equal(o->trace, root->trace, 16);
	assert_memory_equal(o->parent, root->id, 8);
	assert_true(o->start_ns >= root->start_ns && o->end_ns <= root->end_ns);
}

/* Chains --------------------------------------------------------------------------------------- */

static void chain_to_its_end_is_one_trace(void **state _unused_)
{
	struct wv_trace_ids ids;
	const struct out *root;

	recovery("started"); /* seq 1, at 1000100 */
	assert_true(where.known && where.began);
	recovery("next-step");
	action("action", "x-1", "");
	action("action-outcome", "x-1", ",\"outcome\":\"done\"");
	assert_memory_equal(where.ids.span, find("step freeze")->id, 8);
	recovery("recovered");
	assert_int_equal(wv_otlp_tracker_open(tracker), 1);
	recovery("ended");
	assert_int_equal(wv_otlp_tracker_open(tracker), 0);
	root = find("recovery harder");
	wv_trace_ids("chain", "run-1", 1, &ids);
	assert_memory_equal(root->trace, ids.trace, 16);
	assert_memory_equal(root->id, ids.span, 8);
	assert_false(root->is_child);
	assert_int_equal(root->start_ns, 1000100);
	assert_int_equal(root->end_ns, 1000600);
	assert_int_equal(root->status, WV_OTLP_OK);
	assert_string_equal(root->result, "recovered");
	assert_string_equal(root->unfinished, "");
	assert_string_equal(root->marks, "next-step recovered ");
	expect_child("step freeze", root);
	expect_child("verify", root);
	expect_child("cool-down", root);
	assert_int_equal(find("step freeze")->start_ns, 1000300);
	assert_int_equal(find("step freeze")->end_ns, 1000400);
	assert_string_equal(find("verify")->result, "recovered");
	assert_int_equal(n_out, 4);
	recovery("released");
	assert_int_equal(n_out, 5);
	assert_memory_equal(find("release")->trace, root->trace, 16);
	assert_true(where.known);
	/* the next one on that cgroup is another trace */
	recovery("started");
	assert_memory_not_equal(where.ids.trace, root->trace, 16);
}

static void chain_failed_action_is_an_error_with_its_type(void **state _unused_)
{
	recovery("started");
	action("action", "x-1", "");
	action("action-outcome", "x-1",
	       ",\"outcome\":\"failed\",\"errno\":95,\"detail\":\"no one here\"");
	assert_int_equal(find("step freeze")->status, WV_OTLP_ERROR);
	assert_string_equal(find("step freeze")->error_type, "EOPNOTSUPP");
	assert_string_equal(find("step freeze")->message, "no one here");
	recovery("given-up");
	recovery("ended");
	assert_int_equal(find("recovery harder")->status, WV_OTLP_ERROR);
	assert_string_equal(find("recovery harder")->result, "given-up");
}

static void chain_over_a_restart_is_one_trace(void **state _unused_)
{
	uint8_t trace[16];

	recovery("started");
	memcpy(trace, where.ids.trace, 16);
	action("action", "x-1", "");
	run = "run-2";
	tell("core-start", "");
	action("action", "x-1", ",\"resumed\":true");
	action("action-outcome", "x-1", ",\"outcome\":\"done\"");
	recovery("recovered");
	recovery("ended");
	for (unsigned i = 0; i < n_out; i++)
		assert_memory_equal(out[i].trace, trace, 16);
	assert_string_equal(find("recovery harder")->marks, "resumed recovered ");
	assert_string_equal(find("step freeze")->unfinished, "");
}

/* The sink was restarted in the middle: the fold of what it had sent gives the same ids. */
static void chain_after_restart_of_the_sink_goes_on(void **state _unused_)
{
	struct out first;
	uint64_t oldest;

	tell("policy", "");
	recovery("started");
	action("action", "x-1", "");
	recovery("recovered");
	recovery("ended");
	first = *find("recovery harder");
	wv_otlp_tracker_free(tracker);
	setup(NULL);
	tell_quietly("policy", "", true);
	recovery("started");
	action("action", "x-1", "");
	oldest = wv_otlp_tracker_oldest(tracker, 99);
	assert_int_equal(oldest, 2);
	wv_otlp_tracker_free(tracker);
	tracker = wv_otlp_tracker_new();
	seq = oldest - 1;
	mono_ns = 1100;
	wall_ns = 1000100;
	n_out = 0;
	tell_quietly("recovery", CHAIN ",\"event\":\"started\"", true);
	tell_quietly("action", CHAIN ",\"act\":\"freeze\",\"id\":\"x-1\"", true);
	assert_int_equal(n_out, 0);
	recovery("recovered");
	recovery("ended");
	assert_memory_equal(find("recovery harder")->trace, first.trace, 16);
	assert_memory_equal(find("recovery harder")->id, first.id, 8);
	assert_int_equal(find("recovery harder")->start_ns, first.start_ns);
	assert_int_equal(wv_otlp_tracker_oldest(tracker, 99), 99);
}

static void chain_without_its_beginning_says_so(void **state _unused_)
{
	recovery("next-step"); /* nothing to hang it on */
	assert_false(where.known);
	action("action", "x-1", "");
	assert_true(where.known);
	action("action-outcome", "x-1", ",\"outcome\":\"done\"");
	recovery("recovered");
	recovery("ended");
	assert_string_equal(find("recovery harder")->unfinished, "its beginning was not told");
}

static void chain_without_its_end_is_ended_by_the_next_one(void **state _unused_)
{
	recovery("started");
	action("action", "x-1", "");
	recovery("started");
	assert_string_equal(find("recovery harder")->unfinished, "another one began");
	assert_string_equal(find("recovery harder")->result, "unfinished");
	assert_int_equal(wv_otlp_tracker_open(tracker), 1);
	expect_child("step freeze", find("recovery harder"));
}

static void step_without_an_outcome_is_unfinished(void **state _unused_)
{
	recovery("started");
	action("action", "x-1", "");
	action("action", "x-2", "");
	assert_string_equal(find("step freeze")->unfinished, "its end was not told");
	action("action-outcome", "x-1", ",\"outcome\":\"done\""); /* too late */
	assert_false(where.known);
	assert_int_equal(n_out, 1);
}

static void chain_of_another_boot_is_ended(void **state _unused_)
{
	recovery("started");
	boot = "boot-2";
	mono_ns = 5;
	tell("core-start", "");
	assert_string_equal(find("recovery harder")->unfinished, "the machine was started anew");
	assert_int_equal(wv_otlp_tracker_open(tracker), 0);
}

/* Its outcome is told by the next boot, without the chain's name, before anything else of it. */
static void reboot_is_told_as_done_by_the_next_boot(void **state _unused_)
{
	recovery("started");
	tell("action", CHAIN ",\"act\":\"reboot\",\"id\":\"r-1\"");
	boot = "boot-2";
	run = "run-2";
	mono_ns = 5;
	tell("action-outcome", ",\"act\":\"reboot\",\"id\":\"r-1\",\"outcome\":\"done\"");
	assert_int_equal(find("step reboot")->status, WV_OTLP_OK);
	assert_true(find("step reboot")->end_ns > find("step reboot")->start_ns);
	tell("core-start", "");
	expect_child("step reboot", find("recovery harder"));
}

static void chain_wall_clock_that_jumps_does_not_bend_its_spans(void **state _unused_)
{
	recovery("started");
	wall_ns += 3600000000000ULL;
	action("action", "x-1", "");
	wall_ns -= 7200000000000ULL;
	action("action-outcome", "x-1", ",\"outcome\":\"done\"");
	recovery("recovered");
	recovery("ended");
	assert_int_equal(find("step freeze")->start_ns, 1000200);
	assert_int_equal(find("step freeze")->end_ns, 1000300);
	assert_int_equal(find("recovery harder")->end_ns, 1000500);
}

static void chain_that_lasts_longer_than_a_day_is_ended(void **state _unused_)
{
	recovery("started");
	wall_ns += 86400000000000ULL;
	mono_ns += 86400000000000ULL;
	for (int i = 0; i < 300; i++)
		tell("boot", "");
	assert_string_equal(find("recovery harder")->unfinished, "it lasted longer than a day");
	assert_int_equal(wv_otlp_tracker_oldest(tracker, 1000), 1000);
}

static void traces_over_their_maximum_end_the_quietest(void **state _unused_)
{
	char fields[128];

	for (int i = 0; i < WV_OTLP_OPEN + 3; i++) {
		if (i == WV_OTLP_OPEN) { /* the first one is heard of again */
			tell("recovery",
			     ",\"cgroup\":\"/0\",\"chain\":\"c\",\"event\":\"skipped\"");
			assert_true(where.known);
		}
		snprintf(fields, sizeof(fields),
			 ",\"cgroup\":\"/%d\",\"chain\":\"c\",\"event\":\"started\"", i);
		tell("recovery", fields);
	}
	assert_int_equal(wv_otlp_tracker_open(tracker), WV_OTLP_OPEN);
	assert_int_equal(n_out, 3);
	assert_string_equal(out[0].unfinished, "too many are open");
	assert_int_equal(wv_otlp_tracker_oldest(tracker, 9999), 1);
}

static void events_of_a_span_over_their_maximum_are_counted(void **state _unused_)
{
	recovery("started");
	for (int i = 0; i < WV_OTLP_MARKS + 10; i++)
		recovery("skipped");
	recovery("ended");
	assert_int_equal(find("recovery harder")->n_marks, WV_OTLP_MARKS);
}

/* Rules, breakers, bundles, policies ------------------------------------------------------------
 */

#define RULE ",\"rule\":\"hot\",\"cgroup\":\"/a\",\"cgroup_key\":7,\"sample_mono_ns\":1234"

static void rule_and_the_chain_that_it_starts_are_linked(void **state _unused_)
{
	struct wv_trace_ids turn;

	tell("decision", RULE ",\"verdict\":\"open\",\"from\":\"closed\"");
	assert_true(where.began);
	tell("recovery",
	     CHAIN ",\"event\":\"started\",\"cause\":{\"rule\":\"hot\",\"cgroup_key\":7,"
		   "\"sample_mono_ns\":1234}");
	tell("decision", RULE ",\"verdict\":\"closed\",\"from\":\"open\"");
	recovery("recovered");
	recovery("ended");
	assert_string_equal(find("recovery harder")->links, "turn rule ");
	assert_string_equal(find("rule hot")->result, "closed");
	assert_int_equal(find("rule hot")->status, WV_OTLP_OK);
	expect_child("open", find("rule hot"));
	wv_trace_ids("turn", "run-1", 1234, &turn);
	assert_memory_not_equal(find("rule hot")->trace, turn.trace, 16);
}

static void decision_of_a_budget_belongs_to_its_turn(void **state _unused_)
{
	struct wv_trace_ids turn;

	tell("decision", ",\"budget\":\"b\",\"cgroup\":\"/a\",\"sample_mono_ns\":55");
	wv_trace_ids("turn", "run-1", 55, &turn);
	assert_true(where.known);
	assert_memory_equal(&where.ids, &turn, sizeof(turn));
}

#define BREAKER ",\"breaker\":\"forks\",\"cgroup\":\"/a\",\"cgroup_key\":7"

static void breaker_from_trip_to_close_is_one_trace(void **state _unused_)
{
	const struct out *root;
	char fields[128];

	snprintf(fields, sizeof(fields), BREAKER ",\"event_mono_ns\":%" PRIu64, mono_ns + 60);
	tell("breaker-trip", fields); /* told 40 ns after it happened */
	tell("breaker-half-open", BREAKER);
	tell("breaker-trip", BREAKER);
	tell("breaker-half-open", BREAKER);
	tell("breaker-close", BREAKER);
	root = find("breaker forks");
	assert_int_equal(root->start_ns, 1000060);
	assert_int_equal(root->end_ns, 1000500);
	assert_string_equal(root->marks, "open half-open open half-open closed ");
	assert_int_equal(n_out, 5);
	expect_child("open", root);
	expect_child("half-open", root);
	tell("breaker-close", BREAKER); /* of nothing */
	assert_false(where.known);
}

static void proxy_breaker_is_a_trace_per_server(void **state _unused_)
{
	tell("proxy-breaker", ",\"proxy\":\"p\",\"server\":\"a\",\"to\":\"open\"");
	tell("proxy-breaker", ",\"proxy\":\"p\",\"server\":\"b\",\"to\":\"open\"");
	tell("proxy-breaker", ",\"proxy\":\"p\",\"server\":\"a\",\"to\":\"closed\"");
	assert_int_equal(wv_otlp_tracker_open(tracker), 1);
	assert_string_equal(find("proxy-breaker p")->result, "closed");
}

#define BUNDLE ",\"kind\":\"policy\",\"name\":\"n\",\"bundle\":\"abc\""

static void deed(const char *what, const char *outcome)
{
	char fields[256];

	snprintf(fields, sizeof(fields), BUNDLE ",\"deed\":\"%s\"", what);
	tell("bundle-intent", fields);
	snprintf(fields, sizeof(fields), BUNDLE ",\"deed\":\"%s\",\"outcome\":\"%s\"", what,
		 outcome);
	tell("bundle-outcome", fields);
}

static void bundle_installed_tried_and_confirmed_is_one_trace(void **state _unused_)
{
	const struct out *root;

	deed("stage", "done");
	deed("activate", "done");
	tell("bundle-outcome", BUNDLE ",\"deed\":\"boot\",\"outcome\":\"done\"");
	tell("bundle-outcome", BUNDLE ",\"deed\":\"confirm\",\"outcome\":\"done\"");
	root = find("bundle policy");
	assert_string_equal(root->result, "confirmed");
	assert_int_equal(root->status, WV_OTLP_OK);
	assert_string_equal(root->marks, "boot confirm ");
	assert_string_equal(find("trial")->result, "confirm");
	expect_child("deed stage", root);
	expect_child("deed activate", root);
	expect_child("trial", root);
	assert_int_equal(wv_otlp_tracker_open(tracker), 0);
}

static void bundle_rolled_back_is_an_error(void **state _unused_)
{
	deed("stage", "done");
	deed("activate", "done");
	tell("bundle-outcome", BUNDLE ",\"deed\":\"fail\",\"outcome\":\"done\"");
	tell("bundle-intent", BUNDLE ",\"deed\":\"rollback\"");
	tell("bundle-outcome",
	     BUNDLE ",\"deed\":\"rollback\",\"outcome\":\"done\",\"cause\":\"unhealthy\"");
	assert_int_equal(find("bundle policy")->status, WV_OTLP_ERROR);
	assert_string_equal(find("bundle policy")->message, "unhealthy");
	assert_string_equal(find("trial")->result, "fail");
}

static void bundle_that_cannot_be_staged_is_an_error(void **state _unused_)
{
	tell("bundle-intent", BUNDLE ",\"deed\":\"stage\"");
	tell("bundle-outcome",
	     BUNDLE ",\"deed\":\"stage\",\"outcome\":\"failed\",\"error\":\"ENOSPC\"");
	assert_string_equal(find("deed stage")->error_type, "ENOSPC");
	assert_string_equal(find("bundle policy")->result, "refused");
	assert_int_equal(wv_otlp_tracker_open(tracker), 0);
}

static void policy_in_force_is_a_span(void **state _unused_)
{
	tell("policy", ",\"name\":\"p\",\"sha256\":\"ab\"");
	assert_int_equal(n_out, 1);
	assert_string_equal(out[0].name, "policy apply");
	assert_memory_equal(where.ids.span, out[0].id, 8);
}

/* Turns ---------------------------------------------------------------------------------------- */

static struct wv_turn turn_of(uint64_t tick, uint64_t start_ns)
{
	struct wv_turn t = {.tick = tick, .start_mono_ns = start_ns, .start_wall_ns = 7000000};

	t.stage_ns[WV_TURN_SENSE] = 400;
	t.stage_ns[WV_TURN_DECIDE] = 600;
	return t;
}

static void turn_kept_is_one_in_n_the_slow_and_those_that_decided(void **state _unused_)
{
	const struct wv_otlp_turn_list l = {.one_in = 10, .slow_ns = 5000};
	struct wv_turn t = turn_of(20, 1);

	assert_string_equal(wv_otlp_turn_worth(&l, &t), "sample");
	t.tick = 21;
	assert_null(wv_otlp_turn_worth(&l, &t));
	t.late_ns = 5000;
	assert_string_equal(wv_otlp_turn_worth(&l, &t), "slow");
	t.late_ns = 0;
	t.stage_ns[WV_TURN_RECORD] = 4000;
	assert_string_equal(wv_otlp_turn_worth(&l, &t), "slow");
	t.decisions = 1;
	assert_string_equal(wv_otlp_turn_worth(&l, &t), "decided");
}

static void turn_is_a_tree_of_stages_and_slow_modules(void **state _unused_)
{
	struct wv_otlp_turn_list l = {.one_in = 1, .slow_ns = UINT64_MAX};
	struct wv_turn t = turn_of(3, 500);
	struct wv_trace_ids ids;

	t.stage_ns[WV_TURN_SENSE] = 10000000;
	t.sense_ns[0] = 1000000;
	t.sense_ns[2] = 8000000;
	assert_int_equal(wv_otlp_turns_add(&l, &t), 0);
	assert_int_equal(wv_otlp_turns_emit(&l, 501, "run-1", emit, NULL), 0); /* it is not over */
	assert_int_equal(wv_otlp_turns_emit(&l, UINT64_MAX, "run-1", emit, NULL), 1);
	wv_trace_ids("turn", "run-1", 500, &ids);
	assert_memory_equal(find("turn")->trace, ids.trace, 16);
	assert_int_equal(find("turn")->end_ns - find("turn")->start_ns, 10000600);
	expect_child("sense", find("turn"));
	expect_child("decide", find("turn"));
	assert_int_equal(find("decide")->start_ns, 7000000 + 10000000);
	/* 8 of 10 ms, behind the module before it; the first one took too small a part */
	assert_int_equal(n_out, 1 + WV_TURN_STAGE_N + 1);
	expect_child(out[3].name, find("sense"));
	assert_int_equal(out[3].start_ns, 7000000 + 1000000);
	wv_otlp_turns_done(&l);
}

static void note(struct wv_otlp_turn_list *l, const char *type, uint64_t sample_ns, bool began)
{
	struct wv_otlp_record r;
	char line[256];

	snprintf(line, sizeof(line), "{\"type\":\"%s\",\"mono_ns\":%" PRIu64 ",\"rule\":\"hot\"}",
		 type, sample_ns + 10);
	assert_int_equal(wv_otlp_record_parse(&r, 1, line, strlen(line)), 0);
	wv_otlp_turns_note(l, sample_ns, &r,
			   &(struct wv_otlp_where){.known = true, .began = began});
	json_object_put(r.o);
}

static void turn_gets_its_decisions_before_and_after_it_is_known(void **state _unused_)
{
	struct wv_otlp_turn_list l = {.one_in = 0, .slow_ns = UINT64_MAX};
	struct wv_turn first = turn_of(1, 500), second = turn_of(2, 9000);

	first.decisions = second.decisions = 1;
	note(&l, "decision", 9000, true); /* read before the turn is over */
	assert_int_equal(wv_otlp_turns_add(&l, &first), 0);
	note(&l, "decision", 500, true);
	note(&l, "recovery", 500, true);
	note(&l, "decision", 400, true); /* of a turn that is gone */
	assert_int_equal(wv_otlp_turns_add(&l, &second), 0);
	assert_int_equal(wv_otlp_turns_emit(&l, UINT64_MAX, "run-1", emit, NULL), 2);
	assert_string_equal(out[0].marks, "decision recovery ");
	assert_string_equal(out[0].links, "rule chain ");
	assert_string_equal(out[1 + WV_TURN_STAGE_N].marks, "decision ");
	assert_int_equal(l.n_notes, 0);
	wv_otlp_turns_done(&l);
}

static void turns_over_their_maximum_drop_the_oldest(void **state _unused_)
{
	struct wv_otlp_turn_list l = {.one_in = 1, .slow_ns = UINT64_MAX};

	for (uint64_t i = 1; i <= WV_OTLP_TURNS_KEPT + 5; i++) {
		struct wv_turn t = turn_of(i, i);

		assert_int_equal(wv_otlp_turns_add(&l, &t), 0);
	}
	assert_int_equal(l.n, WV_OTLP_TURNS_KEPT);
	assert_int_equal(l.dropped, 5);
	assert_int_equal(l.list[0]->turn.tick, 6);
	wv_otlp_turns_done(&l);
	for (int i = 0; i < 40; i++)
		note(&l, "decision", 100000 + (uint64_t)i, false);
	assert_int_equal(l.n_notes, WV_OTLP_TURN_MARKS);
	wv_otlp_turns_done(&l);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(chain_to_its_end_is_one_trace),
		T(chain_failed_action_is_an_error_with_its_type),
		T(chain_over_a_restart_is_one_trace),
		T(chain_after_restart_of_the_sink_goes_on),
		T(chain_without_its_beginning_says_so),
		T(chain_without_its_end_is_ended_by_the_next_one),
		T(step_without_an_outcome_is_unfinished),
		T(chain_of_another_boot_is_ended),
		T(reboot_is_told_as_done_by_the_next_boot),
		T(chain_wall_clock_that_jumps_does_not_bend_its_spans),
		T(chain_that_lasts_longer_than_a_day_is_ended),
		T(traces_over_their_maximum_end_the_quietest),
		T(events_of_a_span_over_their_maximum_are_counted),
		T(rule_and_the_chain_that_it_starts_are_linked),
		T(decision_of_a_budget_belongs_to_its_turn),
		T(breaker_from_trip_to_close_is_one_trace),
		T(proxy_breaker_is_a_trace_per_server),
		T(bundle_installed_tried_and_confirmed_is_one_trace),
		T(bundle_rolled_back_is_an_error),
		T(bundle_that_cannot_be_staged_is_an_error),
		T(policy_in_force_is_a_span),
		T(turn_kept_is_one_in_n_the_slow_and_those_that_decided),
		T(turn_is_a_tree_of_stages_and_slow_modules),
		T(turn_gets_its_decisions_before_and_after_it_is_known),
		T(turns_over_their_maximum_drop_the_oldest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
