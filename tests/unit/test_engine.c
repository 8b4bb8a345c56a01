// SPDX-License-Identifier: GPL-2.0-only
/* The engine: blast radius, action budget, modes, restarts; against samples made here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/policy/engine.h"
#include "user/policy/policy.h"
#include "user/rules/store.h"

#define ROWS 200
#define SECOND 1000000000ULL

static struct wv_policy *policy;
static struct wv_engine *engine;
static struct wv_domains domains;
static struct wv_sample sample;
static const struct wv_rule_decision *decisions;

#define HEAD                                                                                       \
	"schema_version: 1\nname: t\ndomains:\n"                                                   \
	"  - {name: d, scope: {cgroup: \"/d/*\"}}\n  - {name: o, scope: {cgroup: \"/o/*\"}}\n"

static void begin(const char *rules)
{
	struct wv_config_error error;
	char text[4096];

	snprintf(text, sizeof(text), HEAD "rules:\n%s", rules);
	if (wv_policy_load_memory(&policy, "t", text, strlen(text), &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(wv_engine_new(&engine, policy, ROWS, 3 * SECOND), 0);
	assert_int_equal(wv_domains_init(&domains, ROWS), 0);
	wv_domains_set_policy(&domains, policy);
	assert_int_equal(wv_sample_init(&sample, ROWS), 0);
	sample.mono_ns = 1000 * SECOND;
	sample.used_rows = 1;
}

static void end(void)
{
	wv_engine_free(engine);
	wv_domains_done(&domains);
	wv_sample_done(&sample);
	wv_policy_free(policy);
}

static uint32_t add(const char *path)
{
	uint32_t slot = sample.used_rows++;

	sample.rows[slot] = (struct wv_row){.key = 100 + slot, .flags = WV_ROW_LIVE};
	snprintf(sample.rows[slot].path, sizeof(sample.rows[slot].path), "%s", path);
	return slot;
}

static void set(uint32_t slot, uint64_t usage)
{
	sample.rows[slot].f.v[WV_SIG_MEM_USAGE] = usage;
}

/* One second later. */
static size_t tick(void)
{
	sample.seq++;
	sample.mono_ns += SECOND;
	return wv_engine_tick(engine, &sample, &domains, &decisions);
}

#define RULE(more)                                                                                 \
	"  - {name: r, domain: d, if: mem_usage_bytes > 100, clear: mem_usage_bytes < 50, "        \
	"clear_for: 2s, half_open: 3s, then: [mode degraded]" more "}\n"

static void engine_looks_at_cgroups_of_the_domain_only(void **state)
{
	uint32_t in, out;

	(void)state;
	begin(RULE(""));
	in = add("/d/a");
	out = add("/o/a");
	set(in, 200);
	set(out, 200);
	assert_int_equal(tick(), 1);
	assert_int_equal(decisions[0].slot, in);
	assert_int_equal(decisions[0].to, WV_RULE_OPEN);
	assert_int_equal(decisions[0].key, 100 + in);
	assert_int_equal(wv_engine_mode(engine, 0), 1);
	assert_int_equal(wv_engine_mode(engine, 1), 0);
	assert_int_equal(tick(), 0);
	end();
}

static void engine_goes_through_trial_and_closes(void **state)
{
	uint32_t a;

	(void)state;
	begin(RULE(""));
	a = add("/d/a");
	set(a, 200);
	assert_int_equal(tick(), 1);
	set(a, 70); /* neither the condition nor clear */
	for (int i = 0; i < 5; i++)
		assert_int_equal(tick(), 0);
	assert_int_equal(wv_engine_mode(engine, 0), 1);
	set(a, 10);
	assert_int_equal(tick() + tick(), 0);
	assert_int_equal(tick(), 1);
	assert_int_equal(decisions[0].to, WV_RULE_HALF_OPEN);
	assert_int_equal(wv_engine_mode(engine, 0), 0); /* actions are lifted on trial */
	assert_int_equal(tick() + tick(), 0);
	assert_int_equal(tick(), 1);
	assert_int_equal(decisions[0].to, WV_RULE_CLOSED);
	end();
}

static void engine_blast_radius_withholds_and_acts_later(void **state)
{
	uint32_t slot[4];
	size_t n;

	(void)state;
	begin(RULE(", blast: {domains: 2}"));
	for (int i = 0; i < 4; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/d/%d", i);
		slot[i] = add(path);
		set(slot[i], 200);
	}
	assert_int_equal(tick(), 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(decisions[i].slot, slot[i]);
		assert_int_equal(decisions[i].withheld,
				 i < 2 ? WV_WITHHELD_NO : WV_WITHHELD_BLAST_DOMAINS);
		assert_int_equal(wv_engine_acting(engine, 0, slot[i]), i < 2);
	}
	/* the first is over: one of those that wait may act */
	set(slot[0], 10);
	for (int i = 0; i < 2; i++)
		assert_int_equal(tick(), 0);
	n = tick();
	assert_int_equal(n, 2);
	assert_int_equal(decisions[0].to, WV_RULE_HALF_OPEN);
	assert_int_equal(decisions[1].from, WV_RULE_OPEN);
	assert_int_equal(decisions[1].to, WV_RULE_OPEN);
	assert_int_equal(decisions[1].slot, slot[2]);
	assert_int_equal(decisions[1].withheld, WV_WITHHELD_NO);
	end();
}

static void engine_share_of_the_machine_withholds(void **state)
{
	uint32_t big, small, other;

	(void)state;
	begin(RULE(", blast: {share: 30%}"));
	big = add("/d/big");
	small = add("/d/small");
	other = add("/x");
	tick();
	sample.rows[big].f.v[WV_SIG_CPU_USAGE] += 500000000;
	sample.rows[small].f.v[WV_SIG_CPU_USAGE] += 200000000;
	sample.rows[other].f.v[WV_SIG_CPU_USAGE] += 300000000;
	set(big, 200);
	set(small, 200);
	assert_int_equal(tick(), 2);
	assert_int_equal(decisions[0].withheld, WV_WITHHELD_BLAST_SHARE);
	assert_int_equal(decisions[1].withheld, WV_WITHHELD_NO);
	end();
}

static int find(void *ctx, uint64_t key)
{
	(void)ctx;
	for (uint32_t i = 1; i < sample.used_rows; i++)
		if (sample.rows[i].key == key)
			return (int)i;
	return -1;
}

static void engine_action_budget_is_n_in_t(void **state)
{
	uint32_t a;
	unsigned trips = 0, withheld = 0, late = 0;

	(void)state;
	begin("  - {name: r, domain: d, if: mem_usage_bytes > 100, clear_for: 0s, half_open: 0s, "
	      "then: [alert], actions: {max: 2, per: 60s}}\n");
	a = add("/d/a");
	for (int i = 0; i < 20; i++) { /* every other second */
		set(a, i % 2 ? 200 : 10);
		for (size_t k = tick(); k-- > 0;) {
			trips += decisions[k].to == WV_RULE_OPEN && !decisions[k].withheld;
			withheld += decisions[k].withheld == WV_WITHHELD_ACTION_BUDGET;
		}
	}
	assert_int_equal(trips, 2);
	assert_int_equal(withheld, 8);
	/* a restarted agent has no budget to spend either */
	{
		struct json_object *o = wv_rules_states_json(engine, policy, "boot");
		struct wv_engine *other;
		uint64_t times[4];

		assert_int_equal(wv_engine_new(&other, policy, ROWS, 3 * SECOND), 0);
		wv_rules_states_put(other, policy, o, "boot", find, NULL);
		assert_int_equal(wv_engine_acted(other, 0, times, 4), 2);
		assert_true(times[0] < times[1]);
		json_object_put(o);
		wv_engine_free(other);
	}
	set(a, 200); /* it stays so: when the oldest is 60 s ago it may act again */
	for (int i = 0; i < 60; i++)
		for (size_t k = tick(); k-- > 0;)
			late += decisions[k].to == WV_RULE_OPEN && !decisions[k].withheld;
	assert_int_equal(late, 1);
	end();
}

static void engine_most_severe_mode_wins(void **state)
{
	uint32_t a;

	(void)state;
	begin("  - {name: low, domain: d, if: mem_usage_bytes > 100, then: [mode degraded]}\n"
	      "  - {name: high, domain: d, if: mem_usage_bytes > 200, then: [mode safe]}\n");
	a = add("/d/a");
	set(a, 150);
	tick();
	assert_int_equal(wv_engine_mode(engine, 0), 1);
	set(a, 250);
	tick();
	assert_int_equal(wv_engine_mode(engine, 0), 2);
	end();
}

static void engine_slot_of_another_cgroup_starts_anew(void **state)
{
	uint32_t a;

	(void)state;
	begin(RULE(""));
	a = add("/d/a");
	set(a, 200);
	assert_int_equal(tick(), 1);
	sample.rows[a].key = 999;
	set(a, 10);
	assert_int_equal(tick(), 0);
	assert_int_equal(wv_engine_mode(engine, 0), 0);
	assert_false(wv_engine_acting(engine, 0, a));
	set(a, 200);
	assert_int_equal(tick(), 1);
	assert_int_equal(decisions[0].key, 999);
	sample.rows[a].flags = 0; /* gone */
	assert_int_equal(tick(), 0);
	assert_int_equal(wv_engine_mode(engine, 0), 0);
	end();
}

/* What a new engine goes on with from the store decides as the old one would have. */
static void engine_state_survives_by_name(void **state)
{
	struct wv_engine *other;
	struct json_object *o;
	struct wv_domains theirs;
	uint32_t a, b;
	size_t n;

	(void)state;
	begin(RULE(""));
	a = add("/d/a");
	b = add("/d/b");
	set(a, 200);
	tick();
	o = wv_rules_states_json(engine, policy, "boot");
	assert_int_equal(wv_engine_new(&other, policy, ROWS, 3 * SECOND), 0);
	assert_int_equal(wv_domains_init(&theirs, ROWS), 0);
	wv_domains_set_policy(&theirs, policy);
	assert_int_equal(wv_rules_states_put(other, policy, o, "another boot", find, NULL), 0);
	assert_int_equal(wv_rules_states_put(other, policy, o, "boot", find, NULL), 1);
	assert_int_equal(wv_engine_mode(other, 0), 1);
	assert_true(wv_engine_acting(other, 0, a));
	assert_false(wv_engine_acting(other, 0, b));
	set(a, 10);
	for (int i = 0; i < 10; i++) {
		const struct wv_rule_decision *d;

		n = tick();
		assert_int_equal(wv_engine_tick(other, &sample, &theirs, &d), n);
		for (size_t k = 0; k < n; k++)
			assert_memory_equal(&d[k], &decisions[k], sizeof(*d));
	}
	json_object_put(o);
	wv_engine_free(other);
	wv_domains_done(&theirs);
	end();
}

static void engine_explains_what_led_to_a_decision(void **state)
{
	struct wv_term terms[4];
	uint32_t a;

	(void)state;
	begin(RULE(""));
	a = add("/d/a");
	set(a, 200);
	tick();
	assert_int_equal(wv_engine_explain(engine, &decisions[0], terms, 4), 1);
	assert_true(terms[0].known && terms[0].holds);
	assert_true(terms[0].left == 200 && terms[0].right == 100);
	end();
}

static void engine_same_time_is_no_new_sample(void **state)
{
	uint32_t a;

	(void)state;
	begin(RULE(""));
	a = add("/d/a");
	set(a, 10);
	tick();
	set(a, 200);
	assert_int_equal(wv_engine_tick(engine, &sample, &domains, &decisions), 0);
	assert_int_equal(tick(), 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(engine_looks_at_cgroups_of_the_domain_only),
		cmocka_unit_test(engine_goes_through_trial_and_closes),
		cmocka_unit_test(engine_blast_radius_withholds_and_acts_later),
		cmocka_unit_test(engine_share_of_the_machine_withholds),
		cmocka_unit_test(engine_action_budget_is_n_in_t),
		cmocka_unit_test(engine_most_severe_mode_wins),
		cmocka_unit_test(engine_slot_of_another_cgroup_starts_anew),
		cmocka_unit_test(engine_state_survives_by_name),
		cmocka_unit_test(engine_explains_what_led_to_a_decision),
		cmocka_unit_test(engine_same_time_is_no_new_sample),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
