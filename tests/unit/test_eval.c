// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/flow/sample.h"
#include "user/policy/eval.h"

#define S 1000000000ULL
#define GAP (3 * S)

static struct wv_budget budget_when(double above, uint64_t for_ns, double clear,
				    uint64_t clear_for_ns)
{
	return (struct wv_budget){
		.when = {WV_SIG_MEM_USAGE, false, above, for_ns, clear, clear_for_ns},
	};
}

static enum wv_verdict step(struct wv_eval *e, uint32_t slot, uint64_t key, uint64_t now,
			    uint64_t figure, struct wv_decision *d)
{
	uint64_t figures[WV_SIG_N] = {0};

	figures[WV_SIG_MEM_USAGE] = figure;
	return wv_eval_step(e, 0, slot, key, now, figures, d);
}

static void eval_unconditional_applies_once(void **state)
{
	struct wv_budget b = {.when = {.signal = -1}};
	struct wv_decision d;
	struct wv_eval e;

	(void)state;
	assert_int_equal(wv_eval_init(&e, &b, 1, 8, GAP), 0);
	assert_false(wv_eval_in_force(&e, 0, 3, 33));
	assert_int_equal(step(&e, 3, 33, 5 * S, 0, &d), WV_VERDICT_APPLY);
	assert_int_equal(d.signal, -1);
	assert_int_equal(d.slot, 3);
	assert_int_equal(d.key, 33);
	assert_int_equal(d.since_ns, 5 * S);
	assert_int_equal(step(&e, 3, 33, 6 * S, 0, &d), WV_VERDICT_NONE);
	assert_true(wv_eval_in_force(&e, 0, 3, 33));
	wv_eval_done(&e);
}

static void eval_value_above_for_long_enough_applies_and_explains(void **state)
{
	struct wv_budget b = budget_when(100, 2 * S, 50, 3 * S);
	struct wv_decision d;
	struct wv_eval e;

	(void)state;
	assert_int_equal(wv_eval_init(&e, &b, 1, 8, GAP), 0);
	assert_int_equal(step(&e, 1, 9, 1 * S, 100, &d), WV_VERDICT_NONE); /* not above */
	assert_int_equal(step(&e, 1, 9, 2 * S, 101, &d), WV_VERDICT_NONE);
	assert_int_equal(step(&e, 1, 9, 3 * S, 500, &d), WV_VERDICT_NONE);
	assert_int_equal(step(&e, 1, 9, 4 * S, 300, &d), WV_VERDICT_APPLY);
	assert_int_equal(d.since_ns, 2 * S);
	assert_int_equal(d.mono_ns, 4 * S);
	assert_true(d.value == 300 && d.threshold == 100);
	/* between clear and above nothing changes */
	assert_int_equal(step(&e, 1, 9, 5 * S, 60, &d), WV_VERDICT_NONE);
	assert_int_equal(step(&e, 1, 9, 6 * S, 49, &d), WV_VERDICT_NONE);
	assert_int_equal(step(&e, 1, 9, 7 * S, 50, &d), WV_VERDICT_NONE); /* breaks the run */
	assert_int_equal(step(&e, 1, 9, 8 * S, 49, &d), WV_VERDICT_NONE);
	assert_int_equal(step(&e, 1, 9, 10 * S, 48, &d), WV_VERDICT_NONE);
	assert_int_equal(step(&e, 1, 9, 11 * S, 47, &d), WV_VERDICT_RELEASE);
	assert_true(d.value == 47 && d.threshold == 50);
	assert_int_equal(d.since_ns, 8 * S);
	assert_false(wv_eval_in_force(&e, 0, 1, 9));
	wv_eval_done(&e);
}

static void eval_zero_timers_decide_at_first_sample(void **state)
{
	struct wv_budget b = budget_when(100, 0, 100, 0);
	struct wv_decision d;
	struct wv_eval e;

	(void)state;
	assert_int_equal(wv_eval_init(&e, &b, 1, 8, GAP), 0);
	assert_int_equal(step(&e, 1, 9, 1 * S, 101, &d), WV_VERDICT_APPLY);
	assert_int_equal(step(&e, 1, 9, 2 * S, 99, &d), WV_VERDICT_RELEASE);
	wv_eval_done(&e);
}

static void eval_rate_counter_goes_back_decides_nothing(void **state)
{
	struct wv_budget b = budget_when(10, 2 * S, 10, 0);
	struct wv_decision d;
	struct wv_eval e;

	(void)state;
	b.when.rate = true;
	assert_int_equal(wv_eval_init(&e, &b, 1, 8, GAP), 0);
	assert_int_equal(step(&e, 1, 9, 1 * S, 1000000, &d), WV_VERDICT_NONE); /* no rate yet */
	assert_int_equal(step(&e, 1, 9, 2 * S, 1000100, &d), WV_VERDICT_NONE); /* since 2 s */
	assert_int_equal(step(&e, 1, 9, 3 * S, 100, &d), WV_VERDICT_NONE);     /* went back */
	assert_int_equal(step(&e, 1, 9, 4 * S, 200, &d), WV_VERDICT_NONE);     /* since 4 s */
	assert_int_equal(step(&e, 1, 9, 5 * S, 300, &d), WV_VERDICT_NONE);
	assert_int_equal(step(&e, 1, 9, 6 * S, 450, &d), WV_VERDICT_APPLY);
	assert_true(d.value == 150 && d.rate);
	wv_eval_done(&e);
}

static void eval_missing_samples_break_the_run(void **state)
{
	struct wv_budget b = budget_when(10, 4 * S, 10, 0);
	struct wv_decision d;
	struct wv_eval e;

	(void)state;
	assert_int_equal(wv_eval_init(&e, &b, 1, 8, GAP), 0);
	assert_int_equal(step(&e, 1, 9, 1 * S, 100, &d), WV_VERDICT_NONE);
	assert_int_equal(step(&e, 1, 9, 20 * S, 100, &d), WV_VERDICT_NONE); /* nobody looked */
	assert_int_equal(step(&e, 1, 9, 23 * S, 100, &d), WV_VERDICT_NONE);
	assert_int_equal(step(&e, 1, 9, 23 * S, 0, &d),
			 WV_VERDICT_NONE); /* no new time: no sample */
	assert_int_equal(step(&e, 1, 9, 24 * S, 100, &d), WV_VERDICT_APPLY);
	assert_int_equal(d.since_ns, 20 * S);
	wv_eval_done(&e);
}

static void eval_slot_reused_starts_anew(void **state)
{
	struct wv_budget b = budget_when(10, 0, 5, 0);
	struct wv_decision d;
	struct wv_eval e;

	(void)state;
	assert_int_equal(wv_eval_init(&e, &b, 1, 8, GAP), 0);
	assert_int_equal(step(&e, 1, 9, 1 * S, 100, &d), WV_VERDICT_APPLY);
	/* another cgroup in the slot: it never tripped, so a low value releases nothing */
	assert_false(wv_eval_in_force(&e, 0, 1, 10));
	assert_int_equal(step(&e, 1, 10, 2 * S, 1, &d), WV_VERDICT_NONE);
	assert_int_equal(step(&e, 1, 10, 3 * S, 100, &d), WV_VERDICT_APPLY);
	assert_int_equal(e.used, 1);
	wv_eval_done(&e);
}

static void eval_restored_budget_is_released_by_its_condition_only(void **state)
{
	struct wv_budget b = budget_when(10, 0, 5, 2 * S);
	struct wv_decision d;
	struct wv_eval e;

	(void)state;
	assert_int_equal(wv_eval_init(&e, &b, 1, 8, GAP), 0);
	assert_int_equal(wv_eval_restore(&e, 0, 1, 9), 0);
	assert_true(wv_eval_in_force(&e, 0, 1, 9));
	assert_int_equal(step(&e, 1, 9, 1 * S, 100, &d), WV_VERDICT_NONE);
	assert_int_equal(step(&e, 1, 9, 2 * S, 1, &d), WV_VERDICT_NONE);
	assert_int_equal(step(&e, 1, 9, 4 * S, 1, &d), WV_VERDICT_RELEASE);
	wv_eval_done(&e);
}

static void eval_table_full_is_counted_and_frees_on_forget(void **state)
{
	struct wv_budget b = budget_when(10, 0, 5, 0);
	struct wv_decision d;
	struct wv_eval e;

	(void)state;
	assert_int_equal(wv_eval_init(&e, &b, 1, 4, GAP), 0);
	for (uint32_t slot = 0; slot < 4; slot++)
		assert_int_equal(step(&e, slot, slot, S, 100, &d), WV_VERDICT_APPLY);
	assert_int_equal(e.overflow, 0);
	assert_int_equal(step(&e, 4, 4, S, 100, &d), WV_VERDICT_NONE);
	assert_int_equal(wv_eval_restore(&e, 0, 5, 5), -28);
	assert_int_equal(e.overflow, 2);
	wv_eval_forget(&e, 2);
	assert_int_equal(step(&e, 4, 4, 2 * S, 100, &d), WV_VERDICT_APPLY);
	for (uint32_t slot = 0; slot < 5; slot++)
		assert_int_equal(wv_eval_in_force(&e, 0, slot, slot), slot != 2);
	wv_eval_done(&e);
}

static void eval_forget_keeps_all_others(void **state)
{
	struct wv_budget b = {.when = {.signal = -1}};
	uint32_t n = 3072; /* three quarters of the table: runs of neighbours are long */
	struct wv_decision d;
	struct wv_eval e;

	(void)state;
	assert_int_equal(wv_eval_init(&e, &b, 1, n, GAP), 0);
	for (uint32_t slot = 0; slot < n; slot++)
		assert_int_equal(step(&e, slot * 7, slot, S, 0, &d), WV_VERDICT_APPLY);
	for (uint32_t slot = 0; slot < n; slot += 3)
		wv_eval_forget(&e, slot * 7);
	assert_int_equal(e.used, n - n / 3);
	for (uint32_t slot = 0; slot < n; slot++)
		assert_int_equal(wv_eval_in_force(&e, 0, slot * 7, slot), slot % 3 != 0);
	wv_eval_done(&e);
}

/* The definition in its own words, over the whole history of one pair. Quadratic and obvious. */
struct history {
	uint64_t t[400], v[400];
	size_t n, from; /* samples since the last verdict start at `from` */
	bool in_force;
};

static bool known(const struct history *h, const struct wv_condition *c, size_t i, double *value)
{
	if (!c->rate) {
		*value = (double)h->v[i];
		return true;
	}
	if (i == 0 || h->v[i] < h->v[i - 1] || h->t[i] - h->t[i - 1] > GAP)
		return false;
	*value = (double)(h->v[i] - h->v[i - 1]) * 1e9 / (double)(h->t[i] - h->t[i - 1]);
	return true;
}

static enum wv_verdict model_step(struct history *h, const struct wv_condition *c, uint64_t t,
				  uint64_t v)
{
	uint64_t need = h->in_force ? c->clear_for_ns : c->for_ns;
	size_t i = h->n++;
	double value;

	h->t[i] = t;
	h->v[i] = v;
	for (size_t j = i;; j--) {
		if (!known(h, c, j, &value) || !(h->in_force ? value < c->clear : value > c->above))
			return WV_VERDICT_NONE;
		if (t - h->t[j] >= need)
			break;
		if (j == h->from || h->t[j] - h->t[j - 1] > GAP)
			return WV_VERDICT_NONE;
	}
	h->from = i + 1;
	h->in_force = !h->in_force;
	return h->in_force ? WV_VERDICT_APPLY : WV_VERDICT_RELEASE;
}

#define PAIRS_SLOTS 12
#define PAIRS_BUDGETS 3

static void eval_random_histories_equal_definition(void **state)
{
	unsigned verdicts = 0;

	(void)state;
	srand(1);
	for (unsigned round = 0; round < 200; round++) {
		static struct history h[PAIRS_BUDGETS][PAIRS_SLOTS];
		struct wv_budget b[PAIRS_BUDGETS];
		uint64_t key[PAIRS_SLOTS], t = 1, figures[WV_SIG_N] = {0};
		struct wv_decision d;
		struct wv_eval e;

		memset(h, 0, sizeof(h));
		for (unsigned i = 0; i < PAIRS_BUDGETS; i++) {
			b[i] = budget_when(rand() % 100, (uint64_t)(rand() % 5) * S, 0,
					   (uint64_t)(rand() % 5) * S);
			b[i].when.clear = b[i].when.above - rand() % 30;
			b[i].when.rate = rand() % 2;
		}
		for (unsigned i = 0; i < PAIRS_SLOTS; i++)
			key[i] = i + 1;
		assert_int_equal(
			wv_eval_init(&e, b, PAIRS_BUDGETS, PAIRS_BUDGETS * PAIRS_SLOTS, GAP), 0);
		for (unsigned i = 0; i < 300; i++) {
			t += rand() % 20 ? (uint64_t)(rand() % 1500) * 1000000 + 1 : 4 * S;
			for (uint32_t slot = 0; slot < PAIRS_SLOTS; slot++) {
				uint32_t which = (uint32_t)rand() % PAIRS_BUDGETS;
				struct history *hist = &h[which][slot];

				if (rand() % 200 == 0) { /* the cgroup goes, another one comes */
					key[slot] += 100;
					if (rand() % 2)
						wv_eval_forget(&e, slot);
					for (unsigned k = 0; k < PAIRS_BUDGETS; k++)
						h[k][slot] = (struct history){0};
				}
				figures[WV_SIG_MEM_USAGE] = (uint64_t)(rand() % 130);
				if (b[which].when.rate && hist->n && rand() % 40)
					figures[WV_SIG_MEM_USAGE] += hist->v[hist->n - 1];
				d.verdict =
					wv_eval_step(&e, which, slot, key[slot], t, figures, &d);
				assert_int_equal(d.verdict, model_step(hist, &b[which].when, t,
								       figures[WV_SIG_MEM_USAGE]));
				assert_int_equal(wv_eval_in_force(&e, which, slot, key[slot]),
						 hist->in_force);
				verdicts += d.verdict != WV_VERDICT_NONE;
			}
		}
		assert_int_equal(e.overflow, 0);
		assert_true(e.used <= PAIRS_BUDGETS * PAIRS_SLOTS);
		wv_eval_done(&e);
	}
	assert_true(verdicts > 10000); /* the property was not tested on silence */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eval_unconditional_applies_once),
		cmocka_unit_test(eval_value_above_for_long_enough_applies_and_explains),
		cmocka_unit_test(eval_zero_timers_decide_at_first_sample),
		cmocka_unit_test(eval_rate_counter_goes_back_decides_nothing),
		cmocka_unit_test(eval_missing_samples_break_the_run),
		cmocka_unit_test(eval_slot_reused_starts_anew),
		cmocka_unit_test(eval_restored_budget_is_released_by_its_condition_only),
		cmocka_unit_test(eval_table_full_is_counted_and_frees_on_forget),
		cmocka_unit_test(eval_forget_keeps_all_others),
		cmocka_unit_test(eval_random_histories_equal_definition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
