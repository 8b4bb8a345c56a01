// SPDX-License-Identifier: GPL-2.0-only
/* States of bundles: the table in whole, and random walks of events against the invariants. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/bundle/state.h"
#include "user/core/cleanup.h"

static struct wv_bundle_states states;
static uint64_t seq;

static int setup(void **state _unused_)
{
	states = (struct wv_bundle_states){0};
	seq = 0;
	return 0;
}

static int teardown(void **state _unused_)
{
	wv_bundle_states_done(&states);
	return 0;
}

static const char *id_of(unsigned n)
{
	static char id[16][WV_SHA256_HEX];

	snprintf(id[n % 16], sizeof(id[0]), "%064x", n);
	return id[n % 16];
}

static struct wv_bundle_record record(enum wv_bundle_deed_id deed, unsigned n)
{
	struct wv_bundle_record r = {.deed = deed,
				     .phase = WV_PHASE_DONE,
				     .kind = WV_BUNDLE_APP,
				     .counter = n,
				     .seq = seq + 1,
				     .wall_ns = (seq + 1) * 10};

	seq++;

	snprintf(r.name, sizeof(r.name), "shop");
	snprintf(r.id, sizeof(r.id), "%.64s", id_of(n));
	snprintf(r.version, sizeof(r.version), "1.0.%u", n);
	return r;
}

static int apply(enum wv_bundle_deed_id deed, unsigned n)
{
	struct wv_bundle_record r = record(deed, n);

	return wv_bundle_apply(&states, &r);
}

static struct wv_bundle_slot *slot(void)
{
	return wv_bundle_slot(&states, WV_BUNDLE_APP, "shop");
}

static enum wv_bundle_state state_of(unsigned n)
{
	const struct wv_bundle_entry *e = wv_bundle_entry(slot(), id_of(n));

	return e ? e->state : WV_BUNDLE_ABSENT;
}

/* Every cell, written down a second time by hand: '.' is a refusal. */
static void table_every_cell_is_as_declared(void **state _unused_)
{
	/* columns: STAGED ACTIVATED BOOTED CONFIRMED FAILED ROLLED_BACK RESTORED SUPERSEDED
	 * DAMAGED COLLECTED; letters: A S T C F R U(perseded) */
	static const char *const want[WV_BUNDLE_STATE_N] = {
		[WV_BUNDLE_ABSENT] = "S.........",     [WV_BUNDLE_STAGED] = "ST.......A",
		[WV_BUNDLE_TRIAL] = "T.TCF.....",      [WV_BUNDLE_CONFIRMED] = "C...F.CUR.",
		[WV_BUNDLE_FAILED] = "F....R....",     [WV_BUNDLE_ROLLED_BACK] = "RT.......A",
		[WV_BUNDLE_SUPERSEDED] = "U.....C.RA",
	};
	static const char letters[] = "ASTCFRU";

	assert_int_equal(WV_BUNDLE_EVENT_N, 10);
	for (int s = 0; s < WV_BUNDLE_STATE_N; s++)
		for (int e = 0; e < WV_BUNDLE_EVENT_N; e++) {
			int next = wv_bundle_next((enum wv_bundle_state)s, (enum wv_bundle_event)e);

			if ((next < 0 ? '.' : letters[next]) != want[s][e])
				fail_msg("%s, event %d: %d", wv_bundle_state_names[s], e, next);
		}
}

static void trial_well_is_confirmed_and_supersedes(void **state _unused_)
{
	for (unsigned n = 1; n <= 2; n++) {
		assert_int_equal(apply(WV_DEED_STAGE, n), 0);
		assert_int_equal(apply(WV_DEED_ACTIVATE, n), 0);
		assert_int_equal(apply(WV_DEED_BOOT, n), 0);
		assert_int_equal(slot()->boots, 1);
		assert_int_equal(apply(WV_DEED_CONFIRM, n), 0);
	}
	assert_int_equal(state_of(1), WV_BUNDLE_SUPERSEDED);
	assert_int_equal(state_of(2), WV_BUNDLE_CONFIRMED);
	assert_string_equal(wv_bundle_good(slot())->id, id_of(1));
	assert_string_equal(slot()->hooks[WV_ON_CONFIRM], id_of(2));
	assert_int_equal(slot()->highest, 2);
}

static void trial_failed_leads_back_to_confirmed(void **state _unused_)
{
	struct wv_bundle_record back;

	apply(WV_DEED_STAGE, 1);
	apply(WV_DEED_ACTIVATE, 1);
	apply(WV_DEED_CONFIRM, 1);
	apply(WV_DEED_STAGE, 2);
	apply(WV_DEED_ACTIVATE, 2);
	assert_string_equal(wv_bundle_active(slot())->id, id_of(2));
	assert_string_equal(wv_bundle_good(slot())->id, id_of(1));
	assert_int_equal(apply(WV_DEED_FAIL, 2), 0);
	assert_int_equal(slot()->pending, WV_DEED_ROLLBACK);
	assert_int_equal(apply(WV_DEED_CONFIRM, 2), -EINVAL);
	back = record(WV_DEED_ROLLBACK, 2);
	snprintf(back.target, sizeof(back.target), "%.64s", id_of(1));
	assert_int_equal(wv_bundle_apply(&states, &back), 0);
	assert_int_equal(slot()->pending, WV_DEED_NONE);
	assert_int_equal(state_of(2), WV_BUNDLE_ROLLED_BACK);
	assert_string_equal(wv_bundle_active(slot())->id, id_of(1));
	assert_string_equal(slot()->hooks[WV_ON_ACTIVATE], id_of(1));
	assert_string_equal(slot()->hooks[WV_ON_ROLLBACK], id_of(2));
	assert_int_equal(slot()->highest, 2);
}

static void last_known_good_is_never_collected(void **state _unused_)
{
	for (unsigned n = 1; n <= 3; n++) {
		apply(WV_DEED_STAGE, n);
		apply(WV_DEED_ACTIVATE, n);
		apply(WV_DEED_CONFIRM, n);
	}
	assert_int_equal(apply(WV_DEED_COLLECT, 3), -EINVAL);
	assert_int_equal(apply(WV_DEED_COLLECT, 2), -EINVAL);
	assert_int_equal(apply(WV_DEED_PIN, 1), 0);
	assert_int_equal(apply(WV_DEED_COLLECT, 1), -EINVAL);
	assert_int_equal(apply(WV_DEED_UNPIN, 1), 0);
	assert_int_equal(apply(WV_DEED_COLLECT, 1), 0);
	assert_int_equal(state_of(1), WV_BUNDLE_ABSENT);
	assert_int_equal(slot()->highest, 3);
}

static void second_trial_beside_one_is_refused(void **state _unused_)
{
	apply(WV_DEED_STAGE, 1);
	apply(WV_DEED_STAGE, 2);
	assert_int_equal(apply(WV_DEED_ACTIVATE, 1), 0);
	assert_int_equal(apply(WV_DEED_ACTIVATE, 2), -EINVAL);
	assert_int_equal(states.refused, 1);
}

/* Records as they stand in the log, through text and back. */
static int through_text(const struct wv_bundle_record *r, struct wv_bundle_record *ret)
{
	struct wv_bundle_states unused = {0};
	struct json_object *o = wv_bundle_record_fields(r);
	int found;

	json_object_object_add(o, "type", json_object_new_string(wv_bundle_record_type(r)));
	json_object_object_add(o, "seq", json_object_new_uint64(r->seq));
	json_object_object_add(o, "wall_ns", json_object_new_uint64(r->wall_ns));
	found = wv_bundle_record_parse(json_object_to_json_string(o), ret, &unused);
	json_object_put(o);
	return found;
}

static bool is_good(unsigned n)
{
	const struct wv_bundle_entry *good = wv_bundle_good(slot()), *active;

	active = wv_bundle_active(slot());
	return (good && strcmp(good->id, id_of(n)) == 0) ||
	       (active && strcmp(active->id, id_of(n)) == 0);
}

static void check_invariants(uint64_t highest)
{
	unsigned count[WV_BUNDLE_STATE_N] = {0};

	if (!slot())
		return;
	for (unsigned i = 0; i < slot()->n; i++)
		count[slot()->entries[i].state]++;
	assert_int_equal(count[WV_BUNDLE_ABSENT], 0);
	assert_true(count[WV_BUNDLE_TRIAL] + count[WV_BUNDLE_FAILED] <= 1);
	assert_true(count[WV_BUNDLE_CONFIRMED] <= 1);
	assert_true(slot()->highest >= highest);
	/* a failed one is always on its way out */
	assert_true(!count[WV_BUNDLE_FAILED] || slot()->pending == WV_DEED_ROLLBACK);
}

static void same_text(const struct wv_bundle_states *a, const struct wv_bundle_states *b)
{
	struct json_object *x = wv_bundle_states_fields(a), *y = wv_bundle_states_fields(b);

	assert_string_equal(json_object_to_json_string(x), json_object_to_json_string(y));
	json_object_put(x);
	json_object_put(y);
}

/* One walk of random records; some claim what is not so, and then nothing may change. */
static void walk(unsigned seed, unsigned steps)
{
	struct wv_bundle_states other = {0};

	srand(seed);
	for (unsigned i = 0; i < steps; i++) {
		struct wv_bundle_record r =
			record((enum wv_bundle_deed_id)(1 + rand() % (WV_DEED_N - 1)),
			       1 + (unsigned)rand() % 6);
		struct wv_bundle_record read;
		unsigned n = (unsigned)r.counter;
		uint64_t highest = slot() ? slot()->highest : 0;
		bool good = slot() && is_good(n);
		int may, got;

		/* a rollback's own record comes after the switch; never forge its outcome */
		r.phase = (enum wv_bundle_phase)(rand() % 3);
		if (rand() % 2)
			r.phase = WV_PHASE_DONE;
		if (r.phase == WV_PHASE_INTENT && r.deed != WV_DEED_STAGE &&
		    r.deed != WV_DEED_ACTIVATE && r.deed != WV_DEED_COLLECT)
			r.phase = WV_PHASE_DONE;
		if (r.phase == WV_PHASE_INTENT && slot() && slot()->pending != WV_DEED_NONE)
			continue; /* one deed at a time: the caller holds the lock */
		r.moment = (enum wv_bundle_moment)(rand() % 3);
		if (r.deed == WV_DEED_ROLLBACK && slot() && wv_bundle_good(slot()) && rand() % 4)
			memcpy(r.target, wv_bundle_good(slot())->id, sizeof(r.target));
		assert_int_equal(through_text(&r, &read), 1);
		may = wv_bundle_may(&states, &r);
		got = wv_bundle_apply(&states, &read);
		assert_int_equal(may, got);
		assert_int_equal(wv_bundle_apply(&other, &r), got);
		if (r.deed == WV_DEED_COLLECT && r.phase == WV_PHASE_DONE && good)
			assert_true(got < 0);
		check_invariants(highest);
		same_text(&states, &other);
	}
	wv_bundle_states_done(&other);
}

static void random_walks_keep_the_invariants(void **state _unused_)
{
	unsigned reached[WV_BUNDLE_STATE_N] = {0};

	for (unsigned seed = 1; seed <= 300; seed++) {
		seq = 0;
		walk(seed, 150);
		for (unsigned i = 0; slot() && i < slot()->n; i++)
			reached[slot()->entries[i].state]++;
		wv_bundle_states_done(&states);
	}
	for (int s = WV_BUNDLE_ABSENT + 1; s < WV_BUNDLE_STATE_N; s++)
		if (!reached[s] && s != WV_BUNDLE_FAILED)
			fail_msg("no walk reached %s", wv_bundle_state_names[s]);
}

/* Any prefix of the log folded from a snapshot is the same as folded from the beginning. */
static void snapshot_then_rest_is_the_whole_fold(void **state _unused_)
{
	struct wv_bundle_states from = {0}, snapshot;
	struct wv_bundle_record rest[4], none;
	struct json_object *o;

	apply(WV_DEED_STAGE, 1);
	apply(WV_DEED_ACTIVATE, 1);
	apply(WV_DEED_CONFIRM, 1);
	apply(WV_DEED_STAGE, 2);
	o = wv_bundle_states_fields(&states);
	json_object_object_add(o, "type", json_object_new_string(WV_BUNDLE_STATE));
	json_object_object_add(o, "seq", json_object_new_uint64(seq));
	assert_int_equal(wv_bundle_record_parse(json_object_to_json_string(o), &none, &snapshot),
			 2);
	json_object_put(o);
	assert_int_equal(snapshot.snapshot_seq, seq);
	from = snapshot;
	rest[0] = record(WV_DEED_ACTIVATE, 2);
	rest[1] = record(WV_DEED_BOOT, 2);
	rest[2] = record(WV_DEED_PIN, 1);
	rest[3] = record(WV_DEED_FAIL, 2);
	for (size_t i = 0; i < ARRAY_SIZE(rest); i++) {
		assert_int_equal(wv_bundle_apply(&states, &rest[i]), 0);
		assert_int_equal(wv_bundle_apply(&from, &rest[i]), 0);
	}
	states.snapshot_seq = from.snapshot_seq;
	same_text(&states, &from);
	wv_bundle_states_done(&from);
}

static void texts_that_are_no_records_are_refused(void **state _unused_)
{
	static const char *const bad[] = {
		"{\"type\":\"bundle-intent\"}",
		("{\"type\":\"bundle-intent\",\"deed\":\"stage\",\"kind\":\"app\",\"name\":\"x\","
		 "\"bundle\":\"../../etc\"}"),
		"{\"type\":\"bundle-outcome\",\"deed\":\"stage\",\"kind\":\"app\",\"name\":\"x\"}",
		"{\"type\":\"bundle-state\",\"slots\":[{\"kind\":\"app\"}]}",
		"{\"type\":\"bundle-state\",\"slots\":7}",
		"\"bundle-",
	};
	struct wv_bundle_states snapshot;
	struct wv_bundle_record r;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(wv_bundle_record_parse(bad[i], &r, &snapshot), -EBADMSG);
	assert_int_equal(wv_bundle_record_parse("{\"type\":\"decision\"}", &r, &snapshot), 0);
	assert_int_equal(
		wv_bundle_record_parse("{\"type\":\"note\",\"text\":\"bundle-x\"}", &r, &snapshot),
		0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(table_every_cell_is_as_declared),	 T(trial_well_is_confirmed_and_supersedes),
		T(trial_failed_leads_back_to_confirmed), T(last_known_good_is_never_collected),
		T(second_trial_beside_one_is_refused),	 T(random_walks_keep_the_invariants),
		T(snapshot_then_rest_is_the_whole_fold), T(texts_that_are_no_records_are_refused),
	};

	return cmocka_run_group_tests_name("bundle state", tests, NULL, NULL);
}
