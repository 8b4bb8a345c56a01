// SPDX-License-Identifier: GPL-2.0-only
/* The machine of a recovery chain: time, random numbers and outcomes are handed in. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "user/recover/chain.h"

#define S 1000000000ULL

static struct wv_step steps[] = {
	{.act = WV_ACT_RESTART, .wait_ns = 5 * S, .has_wait = true},
	{.act = WV_ACT_KILL},
	{.act = WV_ACT_THROTTLE, .cpu_ppm = 200000},
	{.act = WV_ACT_REBOOT},
};
static const struct wv_chain chain = {
	.name = "c",
	.steps = {.list = steps, .n = 4},
	.backoff_ns = S,
	.backoff_max_ns = 4 * S,
	.jitter_permille = 100,
	.cool_down_ns = 60 * S,
};
static bool features[WV_FEATURE_N];
static struct wv_restarts budget;
static struct wv_chain_env env;
static struct wv_chain_run run;
static struct wv_chain_out out;

static int setup(void **state)
{
	(void)state;
	for (int i = 0; i < WV_FEATURE_N; i++)
		features[i] = true;
	memset(&budget, 0, sizeof(budget));
	memset(&run, 0, sizeof(run));
	env = (struct wv_chain_env){.chain = &chain,
				    .features = features,
				    .budget = &budget,
				    .max_restarts = 3,
				    .restart_window_ns = 600 * S,
				    .now_ns = 1000 * S};
	return 0;
}

static void event(enum wv_chain_event e, enum wv_chain_state expected)
{
	assert_int_equal(wv_chain_step(&run, e, &env, &out), 0);
	assert_int_equal(run.state, expected);
}

/* From a need to the action of the next step. */
static void to_acting(uint32_t step)
{
	if (run.state == WV_CHAIN_IDLE) {
		event(WV_CHAIN_EV_NEED, WV_CHAIN_HELD);
		event(WV_CHAIN_EV_FREE, WV_CHAIN_PAUSED);
	}
	assert_int_equal(run.state, WV_CHAIN_PAUSED);
	assert_int_equal(run.step, step);
	env.now_ns = run.due_ns;
	event(WV_CHAIN_EV_DUE, WV_CHAIN_ACTING);
	assert_int_equal(out.action, WV_CHAIN_DO_ACT);
	assert_int_equal(out.step, step);
}

static void chain_first_step_helps_cools_and_ends(void **state)
{
	(void)state;
	to_acting(0);
	assert_int_equal(env.now_ns, 1000 * S); /* the first step does not wait */
	event(WV_CHAIN_EV_DONE, WV_CHAIN_VERIFYING);
	assert_int_equal(run.due_ns, env.now_ns + 5 * S);
	event(WV_CHAIN_EV_WELL, WV_CHAIN_COOLING);
	assert_int_equal(out.action, WV_CHAIN_DO_COOL);
	assert_int_equal(run.due_ns, env.now_ns + 60 * S);
	event(WV_CHAIN_EV_DUE, WV_CHAIN_IDLE);
	assert_int_equal(out.action, WV_CHAIN_DO_END);
	to_acting(0); /* a later need starts over */
}

static void chain_step_that_does_not_help_gives_next_with_backoff(void **state)
{
	(void)state;
	to_acting(0);
	event(WV_CHAIN_EV_DONE, WV_CHAIN_VERIFYING);
	event(WV_CHAIN_EV_NEED, WV_CHAIN_VERIFYING); /* still needed is no news */
	env.now_ns = run.due_ns;
	event(WV_CHAIN_EV_DUE, WV_CHAIN_PAUSED);
	assert_int_equal(out.pause_ns, 1 * S);
	to_acting(1);
	event(WV_CHAIN_EV_FAILED, WV_CHAIN_PAUSED);
	assert_int_equal(out.pause_ns, 2 * S);
	to_acting(2);
	event(WV_CHAIN_EV_DONE, WV_CHAIN_VERIFYING);
	assert_int_equal(run.due_ns, env.now_ns + WV_CHAIN_WAIT_NS); /* it names no wait */
	event(WV_CHAIN_EV_DUE, WV_CHAIN_PAUSED);
	to_acting(3);
	event(WV_CHAIN_EV_FAILED, WV_CHAIN_SPENT);
	assert_int_equal(out.action, WV_CHAIN_DO_GIVE_UP);
	event(WV_CHAIN_EV_NEED, WV_CHAIN_SPENT);
	event(WV_CHAIN_EV_DUE, WV_CHAIN_IDLE);
}

static void chain_needed_again_within_cool_down_goes_on_harder(void **state)
{
	(void)state;
	to_acting(0);
	event(WV_CHAIN_EV_DONE, WV_CHAIN_VERIFYING);
	event(WV_CHAIN_EV_WELL, WV_CHAIN_COOLING);
	event(WV_CHAIN_EV_NEED, WV_CHAIN_PAUSED);
	assert_int_equal(run.loops, 1);
	to_acting(1);
	event(WV_CHAIN_EV_DONE, WV_CHAIN_VERIFYING);
	event(WV_CHAIN_EV_WELL, WV_CHAIN_COOLING);
	event(WV_CHAIN_EV_NEED, WV_CHAIN_PAUSED);
	assert_int_equal(run.loops, 2);
	assert_int_equal(run.step, 2);
}

static void chain_features_off_are_passed_over_and_told(void **state)
{
	(void)state;
	features[WV_FEATURE_RESTART] = features[WV_FEATURE_KILL] = false;
	event(WV_CHAIN_EV_NEED, WV_CHAIN_HELD);
	event(WV_CHAIN_EV_FREE, WV_CHAIN_PAUSED);
	assert_int_equal(run.step, 2);
	assert_int_equal(out.skipped[0], WV_SKIP_FEATURE);
	assert_int_equal(out.skipped[1], WV_SKIP_FEATURE);
	assert_int_equal(out.skipped[2], WV_SKIP_NONE);
	features[WV_FEATURE_REBOOT] = false;
	env.now_ns = run.due_ns;
	event(WV_CHAIN_EV_DUE, WV_CHAIN_ACTING);
	event(WV_CHAIN_EV_FAILED, WV_CHAIN_SPENT);
	assert_int_equal(out.skipped[3], WV_SKIP_FEATURE);
}

static void chain_restart_budget_used_up_passes_restart_over(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		wv_restarts_note(&budget, env.now_ns - (uint64_t)i * S);
	event(WV_CHAIN_EV_NEED, WV_CHAIN_HELD);
	event(WV_CHAIN_EV_FREE, WV_CHAIN_PAUSED);
	assert_int_equal(out.skipped[0], WV_SKIP_BUDGET);
	assert_int_equal(run.step, 1);
	/* the window is over: restarts are allowed again */
	memset(&run, 0, sizeof(run));
	env.now_ns += 600 * S;
	event(WV_CHAIN_EV_NEED, WV_CHAIN_HELD);
	event(WV_CHAIN_EV_FREE, WV_CHAIN_PAUSED);
	assert_int_equal(run.step, 0);
}

static void chain_backoff_doubles_to_maximum_with_bounded_jitter(void **state)
{
	(void)state;
	assert_int_equal(wv_chain_backoff(&chain, 0, UINT64_MAX), 0);
	for (uint32_t taken = 1; taken < 40; taken++) {
		uint64_t base = taken >= 3 ? 4 * S : S << (taken - 1);

		assert_int_equal(wv_chain_backoff(&chain, taken, 0), base);
		for (uint64_t random = 1; random; random *= 7919) {
			uint64_t pause = wv_chain_backoff(&chain, taken, random);

			assert_true(pause >= base && pause <= base + base / 10);
			if (random > UINT64_MAX / 7919)
				break;
		}
	}
}

static void chain_kill_switch_ends_but_for_an_action_in_flight(void **state)
{
	(void)state;
	to_acting(0);
	event(WV_CHAIN_EV_DISARM, WV_CHAIN_ACTING); /* its outcome is still to come */
	event(WV_CHAIN_EV_DONE, WV_CHAIN_VERIFYING);
	event(WV_CHAIN_EV_DISARM, WV_CHAIN_IDLE);
	assert_int_equal(out.action, WV_CHAIN_DO_END);
}

/* Every row, from every state: no event leads where no row is, and internal states never stay. */
static void chain_any_events_stay_in_the_table(void **state)
{
	uint64_t random = 88172645463325252ULL;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		enum wv_chain_event e;

		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		e = random % WV_CHAIN_EV_N;
		if (e == WV_CHAIN_EV_STEP || e == WV_CHAIN_EV_LAST)
			continue;
		env.random = random;
		env.now_ns += random % (10 * S);
		if (!wv_chain_possible(run.state, e)) {
			struct wv_chain_run before = run;

			assert_int_equal(wv_chain_step(&run, e, &env, &out), -EINVAL);
			assert_memory_equal(&before, &run, sizeof(run));
			continue;
		}
		assert_int_equal(wv_chain_step(&run, e, &env, &out), 0);
		assert_true(run.state != WV_CHAIN_CHOOSING);
		assert_true(run.next <= chain.steps.n);
		assert_true(run.taken <= chain.steps.n);
		/* whatever waits for a time has one */
		if (run.state == WV_CHAIN_PAUSED || run.state == WV_CHAIN_VERIFYING ||
		    run.state == WV_CHAIN_COOLING || run.state == WV_CHAIN_SPENT)
			assert_true(run.due_ns >= env.now_ns || run.due_ns > 0);
		if (run.state == WV_CHAIN_IDLE)
			assert_int_equal(run.due_ns, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(chain_first_step_helps_cools_and_ends, setup),
		cmocka_unit_test_setup(chain_step_that_does_not_help_gives_next_with_backoff,
				       setup),
		cmocka_unit_test_setup(chain_needed_again_within_cool_down_goes_on_harder, setup),
		cmocka_unit_test_setup(chain_features_off_are_passed_over_and_told, setup),
		cmocka_unit_test_setup(chain_restart_budget_used_up_passes_restart_over, setup),
		cmocka_unit_test_setup(chain_backoff_doubles_to_maximum_with_bounded_jitter, setup),
		cmocka_unit_test_setup(chain_kill_switch_ends_but_for_an_action_in_flight, setup),
		cmocka_unit_test_setup(chain_any_events_stay_in_the_table, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
