// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/policy/rule_state.h"

#define S 1000000000ULL
#define GAP (5 * S)
#define LANE 70 /* in the second word */

static struct wv_rule_transition list[4096];

struct bench {
	struct wv_rule_timing timing;
	struct wv_rule_states s;
	uint64_t now;
};

static void begin(struct bench *b, uint64_t for_ns, uint64_t clear_for_ns, uint64_t half_open_ns)
{
	*b = (struct bench){.timing = {for_ns, clear_for_ns, half_open_ns}};
	assert_int_equal(wv_rule_states_init(&b->s, &b->timing, 1, 128, GAP), 0);
}

/* One tick of LANE: condition and clear are 'T', 'F' or '?', clear ' ' if there is none. The state
 * after it; the transition, if any, must tell the same. */
static enum wv_rule_state_id tick(struct bench *b, uint64_t ns, char condition, char clear)
{
	struct wv_rule_transitions t = {.list = list, .max = 4096};
	enum wv_rule_state_id before = wv_rule_states_get(&b->s, 0, LANE).state, after;
	uint64_t bit = 1ULL << LANE % 64;
	struct wv_truth c[2] = {{0, ~0ULL}, {0, ~bit}}, k[2] = {{0, ~0ULL}, {0, ~bit}};

	c[1].true_mask |= condition == 'T' ? bit : 0;
	c[1].known_mask |= condition == '?' ? 0 : bit;
	k[1].true_mask |= clear == 'T' ? bit : 0;
	k[1].known_mask |= clear == '?' ? 0 : bit;
	b->now += ns;
	wv_rule_states_step(&b->s, 0, c, clear == ' ' ? NULL : k, 2, b->now, &t);
	after = wv_rule_states_get(&b->s, 0, LANE).state;
	assert_int_equal(t.n, before != after);
	if (t.n) {
		assert_int_equal(list[0].lane, LANE);
		assert_int_equal(list[0].from, before);
		assert_int_equal(list[0].to, after);
	}
	assert_int_equal(wv_rule_states_busy(&b->s, 0, 0), 0);
	assert_int_equal(wv_rule_states_busy(&b->s, 0, 1), after == WV_RULE_CLOSED ? 0 : bit);
	return after;
}

#define IS(state, call) assert_int_equal(call, WV_RULE_##state)

static void rule_trips_after_the_condition_held_for_so_long(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 2 * S, 0, 0);
	IS(CLOSED, tick(&b, S, 'F', ' '));
	IS(PENDING, tick(&b, S, 'T', ' '));
	IS(PENDING, tick(&b, S, 'T', ' '));
	IS(OPEN, tick(&b, S, 'T', ' '));
	assert_int_equal(list[0].since_ns, 2 * S);
	IS(OPEN, tick(&b, S, '?', ' '));
	IS(CLOSED, tick(&b, S, 'F', ' '));
	wv_rule_states_done(&b.s);
}

static void rule_unknown_and_gaps_break_the_run(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 2 * S, 2 * S, 0);
	IS(CLOSED, tick(&b, S, '?', ' '));
	IS(PENDING, tick(&b, S, 'T', ' '));
	IS(PENDING, tick(&b, S, 'T', ' '));
	IS(CLOSED, tick(&b, S, '?', ' '));
	IS(PENDING, tick(&b, S, 'T', ' '));
	IS(PENDING, tick(&b, GAP + 1, 'T', ' '));
	IS(PENDING, tick(&b, S, 'T', ' '));
	IS(OPEN, tick(&b, S, 'T', ' '));
	IS(OPEN, tick(&b, S, 'F', ' '));
	IS(OPEN, tick(&b, S, 'F', ' '));
	IS(OPEN, tick(&b, GAP + 1, 'F', ' '));
	IS(OPEN, tick(&b, S, 'F', ' '));
	IS(CLOSED, tick(&b, S, 'F', ' '));
	wv_rule_states_done(&b.s);
}

static void rule_no_timers_act_at_once(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 0, 0, 0);
	IS(OPEN, tick(&b, S, 'T', ' '));
	IS(CLOSED, tick(&b, S, 'F', ' '));
	wv_rule_states_done(&b.s);
}

static void rule_clear_of_its_own_decides_when_it_is_over(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 0, S, 0);
	IS(OPEN, tick(&b, S, 'T', 'F'));
	IS(OPEN, tick(&b, S, 'F', 'F')); /* between the two */
	IS(OPEN, tick(&b, S, 'F', 'T'));
	IS(OPEN, tick(&b, S / 2, 'F', '?'));
	IS(OPEN, tick(&b, S, 'F', 'T'));
	IS(OPEN, tick(&b, S / 2, 'T', 'T')); /* the condition wins */
	IS(OPEN, tick(&b, S, 'F', 'T'));
	IS(CLOSED, tick(&b, S, '?', 'T'));
	wv_rule_states_done(&b.s);
}

static void rule_trial_trips_again_at_once_and_backs_off(void **state)
{
	struct bench b;
	uint64_t factor = 1, trip;

	(void)state;
	begin(&b, 3 * S, S, 4 * S);
	b.s.max_gap_ns = UINT64_MAX;
	IS(PENDING, tick(&b, S, 'T', ' '));
	IS(OPEN, tick(&b, 3 * S, 'T', ' '));
	for (unsigned i = 0; i < 7; i++) {
		trip = b.now;
		IS(OPEN, tick(&b, S / 2, 'F', ' '));
		if (factor > 1) { /* not before the back-off is over */
			b.now = trip + 4 * S * factor - 1;
			IS(OPEN, tick(&b, 0, 'F', ' '));
			IS(HALF_OPEN, tick(&b, 1, 'F', ' '));
		} else {
			IS(HALF_OPEN, tick(&b, S, 'F', ' '));
		}
		/* the trial is as long */
		IS(HALF_OPEN, tick(&b, 4 * S * factor - 1, 'F', ' '));
		IS(OPEN, tick(&b, 1, 'T', ' ')); /* even at its last moment, and without `for` */
		assert_int_equal(list[0].since_ns, b.now);
		factor = factor < 16 ? factor * 2 : 16;
	}
	assert_int_equal(wv_rule_states_get(&b.s, 0, LANE).backoff, 16);
	IS(OPEN, tick(&b, S, 'F', ' '));
	IS(HALF_OPEN, tick(&b, 64 * S, 'F', ' '));
	IS(HALF_OPEN, tick(&b, 64 * S, '?', ' ')); /* what is not known proves nothing */
	IS(HALF_OPEN, tick(&b, 64 * S - 1, 'F', ' '));
	IS(CLOSED, tick(&b, 1, 'F', ' '));
	/* closed, but not for as long: still backed off */
	IS(PENDING, tick(&b, 64 * S - 1, 'T', ' '));
	assert_int_equal(wv_rule_states_get(&b.s, 0, LANE).backoff, 16);
	IS(CLOSED, tick(&b, 1, 'F', ' '));
	IS(PENDING, tick(&b, 64 * S, 'T', ' '));
	assert_int_equal(wv_rule_states_get(&b.s, 0, LANE).backoff, 1);
	wv_rule_states_done(&b.s);
}

static void rule_full_list_puts_the_change_off(void **state)
{
	struct wv_rule_transitions t = {.list = list, .max = 3};
	struct wv_truth c = {0xff, ~0ULL}, none = {0, ~0ULL};
	struct bench b;

	(void)state;
	begin(&b, 0, 0, 0);
	wv_rule_states_step(&b.s, 0, &c, NULL, 1, S, &t);
	assert_int_equal(t.n, 3);
	assert_int_equal(t.overflow, 5);
	assert_int_equal(wv_rule_states_busy(&b.s, 0, 0), 7);
	t.n = 0;
	t.max = 4096;
	wv_rule_states_step(&b.s, 0, &c, NULL, 1, 2 * S, &t);
	assert_int_equal(t.n, 5);
	t = (struct wv_rule_transitions){.list = list, .max = 0};
	wv_rule_states_step(&b.s, 0, &none, NULL, 1, 3 * S, &t);
	assert_int_equal(t.overflow, 8);
	assert_int_equal(wv_rule_states_busy(&b.s, 0, 0), 0xff);
	wv_rule_states_done(&b.s);
}

static void rule_state_is_handed_over_whole(void **state)
{
	struct wv_rule_state st, wrong;
	struct bench a, b;

	(void)state;
	begin(&a, 0, 4 * S, S);
	begin(&b, 0, 4 * S, S);
	tick(&a, S, 'T', ' ');
	tick(&a, S, 'F', ' '); /* the timer runs */
	st = wv_rule_states_get(&a.s, 0, LANE);
	assert_int_equal(wv_rule_states_put(&b.s, 0, LANE, &st), 0);
	b.now = a.now;
	IS(OPEN, tick(&b, 4 * S - 1, 'F', ' '));
	IS(HALF_OPEN, tick(&b, 1, 'F', ' '));
	wrong = st;
	wrong.state = WV_RULE_STATE_N;
	assert_int_equal(wv_rule_states_put(&b.s, 0, LANE, &wrong), -22);
	wrong = st;
	wrong.backoff = 17;
	assert_int_equal(wv_rule_states_put(&b.s, 0, LANE, &wrong), -22);
	assert_int_equal(wv_rule_states_put(&b.s, 1, LANE, &st), -22);
	assert_int_equal(wv_rule_states_put(&b.s, 0, 128, &st), -22);
	wv_rule_states_forget(&b.s, LANE);
	st = wv_rule_states_get(&b.s, 0, LANE);
	wrong = (struct wv_rule_state){0};
	assert_memory_equal(&st, &wrong, sizeof(st));
	IS(OPEN, tick(&b, S, 'T', ' '));
	wv_rule_states_done(&a.s);
	wv_rule_states_done(&b.s);
}

static void rule_table_has_a_row_for_every_event(void **state)
{
	static const char *const rows[] = {
#define WV_MACHINE(state, event, next, timer) #state " " #event,
#include "user/policy/rule_machine.def"
	};

	(void)state;
	assert_int_equal(sizeof(rows) / sizeof(*rows), WV_RULE_STATE_N * WV_EVENT_N);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(rows[i], rows[k]);
}

static uint64_t seed;

static uint64_t draw(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % n;
}

#define RULES 3
#define LANES 192

/* The promises of the machine, looked at from outside, lane by lane. */
struct seen {
	uint64_t held_since, over_since, quiet_since; /* 0: not now */
};

static void look(struct seen *w, const struct wv_rule_timing *t, char c, char k, bool gap,
		 uint64_t now, const struct wv_rule_state *before,
		 const struct wv_rule_state *after)
{
	uint64_t factor = before->backoff ? before->backoff : 1;

	if (gap)
		*w = (struct seen){0};
	w->held_since = c != 'T' ? 0 : w->held_since ? w->held_since : now;
	w->over_since = k != 'T' || c == 'T' ? 0 : w->over_since ? w->over_since : now;
	w->quiet_since = c != 'F' ? 0 : w->quiet_since ? w->quiet_since : now;
	/* tripped: it held all the while, or it held during a trial */
	if (before->state < WV_RULE_OPEN && after->state == WV_RULE_OPEN) {
		assert_true(w->held_since && now - w->held_since >= t->for_ns);
		assert_int_equal(after->since_ns, w->held_since);
	}
	if (before->state == WV_RULE_HALF_OPEN)
		assert_int_equal(after->state == WV_RULE_OPEN, c == 'T');
	/* and whenever it held so long, it is */
	if (w->held_since && now - w->held_since >= t->for_ns)
		assert_int_equal(after->state, WV_RULE_OPEN);
	if (before->state == WV_RULE_OPEN && after->state != WV_RULE_OPEN) {
		assert_true(w->over_since && now - w->over_since >= t->clear_for_ns);
		if (factor > 1)
			assert_true(now - before->changed_ns >= factor * t->half_open_ns);
		assert_int_equal(after->state == WV_RULE_CLOSED, t->half_open_ns == 0);
	}
	if (before->state == WV_RULE_HALF_OPEN && after->state == WV_RULE_CLOSED)
		assert_true(now - before->changed_ns >= factor * t->half_open_ns && c == 'F');
	if (after->state == WV_RULE_CLOSED)
		assert_true(c != 'T');
}

static char letter(struct wv_truth t, unsigned i)
{
	return t.known_mask >> i & 1 ? t.true_mask >> i & 1 ? 'T' : 'F' : '?';
}

static void rule_random_histories_keep_the_promises(void **state)
{
	static struct seen seen[RULES][LANES];
	static const uint64_t lengths[] = {0, S / 2, S, 2 * S, 3 * S};
	unsigned tripped = 0;

	(void)state;
	seed = 4101842887655102017ULL;
	for (unsigned round = 0; round < 20; round++) {
		struct wv_rule_timing timing[RULES];
		struct wv_rule_states s;
		uint64_t now = S, last = 0;

		memset(seen, 0, sizeof(seen));
		for (unsigned r = 0; r < RULES; r++)
			timing[r] = (struct wv_rule_timing){lengths[draw(5)], lengths[draw(5)],
							    lengths[draw(5)]};
		assert_int_equal(wv_rule_states_init(&s, timing, RULES, LANES, GAP), 0);
		for (unsigned t = 0; t < 200; t++, last = now) {
			unsigned calm =
				(unsigned)draw(3); /* phases, so that timers get to an end */

			now += draw(60) ? S / 2 + draw(S) : GAP + 1;
			for (unsigned r = 0; r < RULES; r++) {
				struct wv_rule_transitions ret = {.list = list, .max = 4096};
				struct wv_truth c[LANES / 64], k[LANES / 64];
				struct wv_rule_state before[LANES];
				size_t changes = 0;

				for (unsigned w = 0; w < LANES / 64; w++) {
					uint64_t noise = draw(UINT64_MAX) & draw(UINT64_MAX) &
							 draw(UINT64_MAX);

					c[w].known_mask = ~(noise & draw(UINT64_MAX));
					c[w].true_mask = calm == 0 ? ~noise : noise;
					c[w].true_mask &= c[w].known_mask;
					k[w].known_mask = ~(draw(UINT64_MAX) & noise);
					k[w].true_mask = (calm == 1 ? ~0ULL : draw(UINT64_MAX)) &
							 k[w].known_mask;
				}
				for (unsigned l = 0; l < LANES; l++)
					before[l] = wv_rule_states_get(&s, r, l);
				wv_rule_states_step(&s, r, c, r ? k : NULL, LANES / 64, now, &ret);
				for (unsigned l = 0; l < LANES; l++) {
					struct wv_rule_state after = wv_rule_states_get(&s, r, l);
					char cl = letter(c[l / 64], l % 64),
					     kl = r	      ? letter(k[l / 64], l % 64)
						  : cl == 'T' ? 'F'
						  : cl == 'F' ? 'T'
							      : '?';

					look(&seen[r][l], &timing[r], cl, kl,
					     last && now - last > GAP, now, &before[l], &after);
					changes += before[l].state != after.state;
					tripped += after.state == WV_RULE_OPEN;
				}
				assert_int_equal(ret.n, changes);
			}
		}
		wv_rule_states_done(&s);
	}
	assert_true(tripped > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_trips_after_the_condition_held_for_so_long),
		cmocka_unit_test(rule_unknown_and_gaps_break_the_run),
		cmocka_unit_test(rule_no_timers_act_at_once),
		cmocka_unit_test(rule_clear_of_its_own_decides_when_it_is_over),
		cmocka_unit_test(rule_trial_trips_again_at_once_and_backs_off),
		cmocka_unit_test(rule_full_list_puts_the_change_off),
		cmocka_unit_test(rule_state_is_handed_over_whole),
		cmocka_unit_test(rule_table_has_a_row_for_every_event),
		cmocka_unit_test(rule_random_histories_keep_the_promises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
