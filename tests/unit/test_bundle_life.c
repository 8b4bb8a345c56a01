// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of bundles over store, states and log: a whole story of installs, trials, rollbacks and
 * collection, in which every call fails or the machine dies at it. After each, recovery must leave
 * what is active whole, verified and known to the states.
 */
#include "tests/unit/store_fixture.h"
#include "user/bundle/lifecycle.h"
#include "user/bundle/trial.h"
#include "user/evidence/retain.h"

/* the runner sets it empty where it does not */
static bool soak(void)
{
	const char *text = getenv("SOAK");

	return text && *text;
}

static const char *const V[5][2][2] = {{{"bin/shop", "echo 0"}, {"conf.yaml", "a: 0"}},
				       {{"bin/shop", "echo 1"}, {"conf.yaml", "a: 1"}},
				       {{"bin/shop", "echo 2"}, {"conf.yaml", "a: 2"}},
				       {{"bin/shop", "echo 3"}, {"conf.yaml", "a: 3"}},
				       {{"bin/shop", "echo 4"}, {"conf.yaml", "a: 4"}}};
static struct made made[5];

static int group_setup(void **state _unused_)
{
	for (unsigned i = 1; i < ARRAY_SIZE(made); i++)
		make_bundle(&made[i], WV_BUNDLE_APP, "shop", i, 2, V[i]);
	make_bundle(&made[0], WV_BUNDLE_POLICY, "web", 9, 2, V[0]);
	return 0;
}

static int group_teardown(void **state _unused_)
{
	for (unsigned i = 0; i < ARRAY_SIZE(made); i++)
		unmake(&made[i]);
	return 0;
}

/* Each verb's work: what an earlier one left first. */
static int with(const struct wv_io *io, int (*deed)(struct wv_bundles *b, unsigned n), unsigned n)
{
	struct wv_bundles b;
	int r = wv_bundles_open(&b, io, &paths, "", true);

	if (r < 0)
		return r;
	r = wv_bundles_settle(&b);
	r = r ?: deed(&b, n);
	wv_bundles_close(&b);
	return r;
}

static int stage(struct wv_bundles *b, unsigned n)
{
	struct wv_store_source from = source_of(&made[n]);
	struct wv_store_staged staged;

	return wv_bundles_stage(b, &from, &staged);
}

static int activate(struct wv_bundles *b, unsigned n)
{
	return wv_bundles_activate(b, made[n].m.kind, made[n].m.name, made[n].m.id);
}

static int install(struct wv_bundles *b, unsigned n)
{
	int r = stage(b, n);

	return r ?: activate(b, n);
}

static int confirm(struct wv_bundles *b, unsigned n)
{
	return wv_bundles_confirm(b, made[n].m.kind, made[n].m.name, "test");
}

static int back(struct wv_bundles *b, unsigned n)
{
	return wv_bundles_roll_back(b, made[n].m.kind, made[n].m.name, "test", false);
}

static int collect(struct wv_bundles *b, unsigned n _unused_)
{
	return wv_bundles_collect(b, false, NULL, NULL);
}

static int boot(struct wv_bundles *b, unsigned n)
{
	char run[32];

	snprintf(run, sizeof(run), "start-%u", n);
	return wv_bundles_recover(b, run);
}

static const struct {
	int (*deed)(struct wv_bundles *b, unsigned n);
	unsigned n;
} story[] = {{install, 1}, {confirm, 1}, {install, 0}, {install, 2}, {boot, 1},	   {confirm, 2},
	     {install, 3}, {back, 3},	 {boot, 2},    {confirm, 0}, {install, 4}, {boot, 3},
	     {collect, 0}, {boot, 4},	 {boot, 5},    {collect, 0}};

/* What is active: id, or "" */
static void active(enum wv_bundle_kind kind, const char *name, char id[WV_SHA256_HEX])
{
	struct wv_store s;

	id[0] = '\0';
	if (wv_store_open(&s, &wv_io_system, paths.state, false) < 0)
		return;
	(void)wv_store_current(&s, kind, name, id);
	wv_store_close(&s);
}

static bool whole(const char *id)
{
	struct wv_manifest m;
	struct wv_store s;
	int r;

	assert_int_equal(wv_store_open(&s, &wv_io_system, paths.state, false), 0);
	r = wv_store_manifest(&s, id, &m);
	if (r == 0) {
		r = wv_store_verify(&s, &m, NULL);
		wv_manifest_done(&m);
	}
	wv_store_close(&s);
	return r == 0;
}

static int number_of(const char *id)
{
	for (unsigned i = 0; i < ARRAY_SIZE(made); i++)
		if (strcmp(made[i].m.id, id) == 0)
			return (int)i;
	return -1;
}

/* At any moment, also before recovery: what is linked is whole. */
static void check_linked(int *ret_shop)
{
	char id[WV_SHA256_HEX];

	active(WV_BUNDLE_POLICY, "web", id);
	assert_true(!id[0] || whole(id));
	active(WV_BUNDLE_APP, "shop", id);
	assert_true(!id[0] || whole(id));
	*ret_shop = id[0] ? number_of(id) : -1;
}

/* After recovery: states and links say the same, the last known good is there, nothing is left. */
static void check_recovered(void)
{
	struct wv_bundles b;
	char id[WV_SHA256_HEX];

	no_fault();
	assert_int_equal(wv_bundle_recover(&faulty, &paths, NULL), 0);
	assert_int_equal(wv_bundle_recover(&faulty, &paths, NULL), 0);
	if (access(path_of(""), F_OK) < 0)
		return; /* it died before there was anything */
	assert_int_equal(wv_bundles_open(&b, &faulty, &paths, "", false), 0);
	for (unsigned i = 0; i < b.states.n; i++) {
		const struct wv_bundle_slot *slot = &b.states.slots[i];
		const struct wv_bundle_entry *e = wv_bundle_active(slot);
		const struct wv_bundle_entry *good = wv_bundle_good(slot);

		assert_int_equal(slot->pending, WV_DEED_NONE);
		active(slot->kind, slot->name, id);
		assert_string_equal(id, e ? e->id : "");
		assert_true(!e || whole(e->id));
		assert_true(!good || whole(good->id));
		assert_null(wv_bundle_in(slot, WV_BUNDLE_FAILED));
	}
	assert_int_equal(b.states.refused, 0);
	wv_bundles_close(&b);
	assert_true(count_names("generations") <= 1);
}

static void story_without_faults_ends_as_told(void **state _unused_)
{
	char id[WV_SHA256_HEX];

	for (size_t i = 0; i < ARRAY_SIZE(story); i++)
		assert_int_equal(with(&faulty, story[i].deed, story[i].n), 0);
	/* 3 was rolled back by hand, 4 by a boot loop */
	active(WV_BUNDLE_APP, "shop", id);
	assert_string_equal(id, made[2].m.id);
	active(WV_BUNDLE_POLICY, "web", id);
	assert_string_equal(id, made[0].m.id);
	/* 1 was not the last known good any more when it was collected */
	assert_false(whole(made[1].m.id));
	assert_false(whole(made[3].m.id));
	assert_false(whole(made[4].m.id));
	check_recovered();
}

static unsigned play(enum mode mode, int error, unsigned at)
{
	bool known_good = false;
	int shop;

	remove_base();
	make_base();
	no_fault();
	fault.mode = mode;
	fault.error = error;
	fault.at = at;
	for (size_t i = 0; i < ARRAY_SIZE(story) && !fault.dead; i++) {
		int r = with(&faulty, story[i].deed, story[i].n);

		check_linked(&shop);
		/* once a shop was known good there is always one */
		assert_true(!known_good || shop >= 0);
		known_good |= r == 0 && story[i].deed == confirm && story[i].n;
	}
	at = fault.calls;
	check_recovered();
	return at;
}

static void crash_at_any_call_recovers_to_what_is_whole(void **state _unused_)
{
	unsigned calls = play(NONE, 0, 0);

	assert_true(calls > 500);
	for (unsigned at = 0; at < calls; at += soak() ? 1 : 31)
		(void)play(CRASH, 0, at);
}

static void failing_call_anywhere_leaves_what_is_whole(void **state _unused_)
{
	static const int errors[] = {EIO, ENOSPC, EROFS};
	unsigned calls = play(NONE, 0, 0);

	for (size_t e = 0; e < ARRAY_SIZE(errors); e++)
		for (unsigned at = (unsigned)e; at < calls; at += soak() ? 1 : 61)
			(void)play(FAIL, errors[e], at);
}

/* The machine dies in recovery itself, again and again. */
static void crash_inside_recovery_recovers(void **state _unused_)
{
	unsigned points = 0;

	for (unsigned first = 40; first < 4000; first += 467)
		for (unsigned second = 0; second < 60; second += 5) {
			remove_base();
			make_base();
			no_fault();
			fault.mode = CRASH;
			fault.at = first;
			for (size_t i = 0; i < ARRAY_SIZE(story) && !fault.dead; i++)
				(void)with(&faulty, story[i].deed, story[i].n);
			if (!fault.dead)
				break;
			no_fault();
			fault.mode = CRASH;
			fault.at = second;
			(void)wv_bundle_recover(&faulty, &paths, "x");
			points += fault.dead;
			check_recovered();
		}
	assert_true(points > 50);
}

static void lost_cache_is_folded_anew(void **state _unused_)
{
	struct wv_bundles b;
	struct json_object *x, *y;

	for (size_t i = 0; i < 8; i++)
		assert_int_equal(with(&faulty, story[i].deed, story[i].n), 0);
	assert_int_equal(wv_bundles_open(&b, &faulty, &paths, "", false), 0);
	x = wv_bundle_states_fields(&b.states);
	wv_bundles_close(&b);
	assert_int_equal(unlink(path_of("state.json")), 0);
	assert_int_equal(wv_bundles_open(&b, &faulty, &paths, "", false), 0);
	assert_int_equal(b.states.n, 2);
	assert_int_equal(b.states.refused, 0);
	y = wv_bundle_states_fields(&b.states);
	wv_bundles_close(&b);
	/* times in the log are those of the record, a few ns apart */
	assert_int_equal(json_object_get_uint64(json_object_object_get(x, "folded_seq")),
			 json_object_get_uint64(json_object_object_get(y, "folded_seq")));
	json_object_put(x);
	json_object_put(y);
	check_recovered();
}

/* The log was lost: what the cache knows is kept, and the new log is told. */
static void lost_log_keeps_the_states(void **state _unused_)
{
	char log[3 * WV_PATH_SIZE], gone[3 * WV_PATH_SIZE];
	struct wv_bundles b;

	for (size_t i = 0; i < 8; i++)
		assert_int_equal(with(&faulty, story[i].deed, story[i].n), 0);
	snprintf(log, sizeof(log), "%s/log", paths.state);
	snprintf(gone, sizeof(gone), "%s/log.gone", paths.state);
	assert_int_equal(rename(log, gone), 0);
	assert_int_equal(wv_bundle_recover(&faulty, &paths, NULL), 0);
	assert_int_equal(unlink(path_of("state.json")), 0);
	assert_int_equal(wv_bundles_open(&b, &faulty, &paths, "", false), 0);
	assert_int_equal(b.states.n, 2);
	assert_int_equal(wv_bundle_slot(&b.states, WV_BUNDLE_APP, "shop")->highest, 3);
	wv_bundles_close(&b);
	check_recovered();
}

/* Retention asks before it removes: then all is in a record that stays. */
static void retention_of_the_log_keeps_the_states(void **state _unused_)
{
	struct wv_bundles_at at = {.io = &faulty, .state = paths.state};
	struct wv_tlog_options options = {.key = NULL, .name = "test"};
	struct wv_retention keep = {.keep_bytes = 1, .restate = wv_bundles_restate, .ctx = &at};
	struct wv_retained done = {.segments = 0};
	struct wv_bundles b;
	struct wv_tlog *l;

	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(with(&faulty, story[i].deed, story[i].n), 0);
		assert_int_equal(wv_tlog_open(&l, &faulty, paths.state, &options, NULL), 0);
		assert_int_equal(wv_tlog_rotate(l), 0);
		wv_tlog_close(l);
	}
	assert_int_equal(wv_tlog_open(&l, &faulty, paths.state, &options, NULL), 0);
	assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &keep, &done), 0);
	wv_tlog_close(l);
	assert_true(done.segments >= 6);
	assert_int_equal(unlink(path_of("state.json")), 0);
	assert_int_equal(wv_bundles_open(&b, &faulty, &paths, "", false), 0);
	assert_int_equal(b.states.n, 2);
	assert_int_equal(wv_bundle_slot(&b.states, WV_BUNDLE_APP, "shop")->highest, 3);
	wv_bundles_close(&b);
	check_recovered();
}

static void spoil(unsigned n)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/files/conf.yaml", made[n].m.id);
	assert_int_equal(chmod(path_of(path), 0600), 0);
	fd = open(path_of(path), O_WRONLY);
	assert_int_equal(write(fd, "X", 1), 1);
	close(fd);
}

static void damaged_files_are_never_used_again(void **state _unused_)
{
	char id[WV_SHA256_HEX];

	for (size_t i = 0; i < 6; i++)
		assert_int_equal(with(&faulty, story[i].deed, story[i].n), 0);
	spoil(2); /* confirmed and in use */
	assert_int_equal(wv_bundle_recover(&faulty, &paths, "boot"), 0);
	active(WV_BUNDLE_APP, "shop", id);
	assert_string_equal(id, made[1].m.id);
	/* now the last known good is spoiled under a trial that fails: rather nothing */
	assert_int_equal(with(&faulty, install, 3), 0);
	spoil(1);
	assert_int_equal(with(&faulty, back, 3), 0);
	active(WV_BUNDLE_APP, "shop", id);
	assert_string_equal(id, "");
	check_recovered();
}

static bool deaf;

static ssize_t deaf_write(void *ctx, int fd, const void *buf, size_t len)
{
	return deaf ? -EROFS : f_write(ctx, fd, buf, len);
}

/* A log that cannot be written keeps nobody from going back; it is recorded when it can be. */
static void rollback_without_a_log_is_made_and_recorded_later(void **state _unused_)
{
	struct wv_io io = faulty;
	const struct wv_bundle_slot *slot;
	char id[WV_SHA256_HEX];
	struct wv_bundles b;

	io.write = deaf_write;
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(with(&faulty, story[i].deed, story[i].n), 0);
	active(WV_BUNDLE_APP, "shop", id);
	assert_string_equal(id, made[3].m.id);
	assert_int_equal(wv_bundles_open(&b, &io, &paths, "", true), 0);
	deaf = true;
	assert_int_equal(back(&b, 3), -EROFS);
	deaf = false;
	wv_bundles_close(&b);
	active(WV_BUNDLE_APP, "shop", id);
	assert_string_equal(id, made[2].m.id);
	check_recovered();
	active(WV_BUNDLE_APP, "shop", id);
	assert_string_equal(id, made[2].m.id);
	assert_int_equal(wv_bundles_open(&b, &faulty, &paths, "", false), 0);
	slot = wv_bundle_slot(&b.states, WV_BUNDLE_APP, "shop");
	assert_int_equal(wv_bundle_entry(slot, made[3].m.id)->state, WV_BUNDLE_ROLLED_BACK);
	wv_bundles_close(&b);
}

/* Trials -------------------------------------------------------------------------------------- */

static struct {
	int ill_after; /* looks */
	int looks, deeds, fail_deed;
	bool stops; /* the agent stops in the first deed */
	char last[64];
} play_health;

static int fake_probe(void *ctx _unused_, const struct wv_health_rule *rule _unused_,
		      struct wv_health_memory *memory _unused_, uint64_t now _unused_,
		      char why[WV_HEALTH_WHY])
{
	snprintf(why, WV_HEALTH_WHY, "no answer");
	return play_health.looks++ >= play_health.ill_after;
}

static int fake_deed(void *ctx _unused_, const struct wv_bundle_hook *hook, char why[WV_DEED_WHY])
{
	play_health.deeds++;
	snprintf(play_health.last, sizeof(play_health.last), "%s", hook->service);
	snprintf(why, WV_DEED_WHY, "would not");
	return play_health.stops && play_health.deeds == 1 ? -EINTR : play_health.fail_deed;
}

/* One app with a hook and a rule, installed over a confirmed one; steps until the trial is over. */
static enum wv_bundle_state run_trial(int ill_after, int fail_deed, char cause[200])
{
	static char text[2048];
	struct wv_manifest_error error;
	struct wv_health_rule rule = {.kind = WV_HEALTH_SERVICE,
				      .target = "shop",
				      .within_ns = 1000000000ULL,
				      .every_ns = 500000000ULL,
				      .failures = 2};
	struct wv_bundle_hook hook = {
		.on = WV_ON_ACTIVATE, .what = WV_DO_RESTART_SERVICE, .service = "shop"};
	struct wv_manifest m = made[2].m;
	struct made b = made[2];
	_cleanup_free_ char *canonical = NULL;
	const struct wv_bundle_entry *e;
	enum wv_bundle_state got;
	struct wv_bundles life;
	struct wv_trial t;
	uint64_t next;
	size_t len;

	m.hooks = &hook;
	m.health = &rule;
	m.n_hooks = m.n_health = 1;
	m.trial_ns = 3000000000ULL;
	assert_int_equal(wv_manifest_text(&m, &canonical, &len), 0);
	snprintf(text, sizeof(text), "%s", canonical);
	if (wv_manifest_parse(canonical, len, &b.m, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(with(&faulty, install, 1), 0);
	assert_int_equal(with(&faulty, confirm, 1), 0);
	assert_int_equal(wv_bundles_open(&life, &faulty, &paths, "", true), 0);
	{
		struct wv_store_source from = source_of(&b);
		struct wv_store_staged staged;

		assert_int_equal(wv_bundles_stage(&life, &from, &staged), 0);
		assert_int_equal(wv_bundles_activate(&life, WV_BUNDLE_APP, "shop", b.m.id), 0);
	}
	wv_bundles_close(&life);
	play_health.looks = play_health.deeds = 0;
	play_health.ill_after = ill_after;
	play_health.fail_deed = fail_deed;
	wv_trial_init(&t, &faulty, &paths, "");
	t.probe = fake_probe;
	t.deed = fake_deed;
	for (int i = 0; i < 1000; i++) {
		int r = wv_trial_step(&t, &next);

		if (r == -EINTR) { /* the next agent knows nothing */
			assert_int_equal(play_health.deeds, 1);
			wv_trial_done(&t);
			wv_trial_init(&t, &faulty, &paths, "");
			t.probe = fake_probe;
			t.deed = fake_deed;
			continue;
		}
		assert_int_equal(r, 0);
		if (next == UINT64_MAX)
			break;
		fault.now = next > fault.now ? next : fault.now;
	}
	assert_int_equal(t.n, 0);
	wv_trial_done(&t);
	assert_int_equal(wv_bundles_open(&life, &faulty, &paths, "", false), 0);
	e = wv_bundle_entry(wv_bundle_slot(&life.states, WV_BUNDLE_APP, "shop"), b.m.id);
	got = e->state;
	snprintf(cause, 200, "%s", e->cause);
	for (int i = 0; i < 3; i++)
		assert_string_equal(life.states.slots[0].hooks[i], "");
	wv_bundles_close(&life);
	wv_manifest_done(&b.m);
	check_recovered();
	return got;
}

static void trial_that_stays_well_is_confirmed(void **state _unused_)
{
	char cause[200];

	assert_int_equal(run_trial(1000, 0, cause), WV_BUNDLE_CONFIRMED);
	assert_int_equal(play_health.deeds, 1);
	assert_string_equal(play_health.last, "shop");
	assert_in_range(play_health.looks, 6, 8);
}

static void trial_that_falls_ill_is_rolled_back(void **state _unused_)
{
	char cause[200], id[WV_SHA256_HEX];

	assert_int_equal(run_trial(3, 0, cause), WV_BUNDLE_ROLLED_BACK);
	assert_int_equal(play_health.looks, 5); /* two in a row */
	assert_non_null(strstr(cause, "service shop: no answer"));
	active(WV_BUNDLE_APP, "shop", id);
	assert_string_equal(id, made[1].m.id);
}

static void trial_that_was_never_well_is_rolled_back_in_time(void **state _unused_)
{
	uint64_t begin = fault.now;
	char cause[200];

	assert_int_equal(run_trial(0, 0, cause), WV_BUNDLE_ROLLED_BACK);
	assert_non_null(strstr(cause, "never well"));
	assert_true(fault.now - begin < 1700000000ULL);
}

static void trial_whose_hook_fails_is_rolled_back(void **state _unused_)
{
	char cause[200];

	assert_int_equal(run_trial(1000, -ESRCH, cause), WV_BUNDLE_ROLLED_BACK);
	assert_int_equal(play_health.looks, 0);
	assert_non_null(strstr(cause, "restart-service shop: would not"));
}

static void hook_that_the_agent_stops_in_is_run_by_the_next_one(void **state _unused_)
{
	enum wv_bundle_state got;
	char cause[200];

	play_health.stops = true;
	got = run_trial(1000, 0, cause);
	play_health.stops = false;
	assert_int_equal(got, WV_BUNDLE_CONFIRMED);
	assert_int_equal(play_health.deeds, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(story_without_faults_ends_as_told),
		T(crash_at_any_call_recovers_to_what_is_whole),
		T(failing_call_anywhere_leaves_what_is_whole),
		T(crash_inside_recovery_recovers),
		T(lost_cache_is_folded_anew),
		T(lost_log_keeps_the_states),
		T(retention_of_the_log_keeps_the_states),
		T(damaged_files_are_never_used_again),
		T(rollback_without_a_log_is_made_and_recorded_later),
		T(trial_that_stays_well_is_confirmed),
		T(trial_that_falls_ill_is_rolled_back),
		T(trial_that_was_never_well_is_rolled_back_in_time),
		T(trial_whose_hook_fails_is_rolled_back),
		T(hook_that_the_agent_stops_in_is_run_by_the_next_one),
	};

	return cmocka_run_group_tests_name("bundle life", tests, group_setup, group_teardown);
}
