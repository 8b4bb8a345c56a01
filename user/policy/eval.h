/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The evaluator of budget conditions: figures in, decisions out. Pure: no I/O, no clock (time is an
 * argument), no allocation after init, so the same figures at the same times give the same
 * decisions.
 */
#ifndef WV_POLICY_EVAL_H
#define WV_POLICY_EVAL_H

#include <stddef.h>

#include "user/flow/budget.h"
#include "user/flow/decision.h"

/* What is remembered of one budget on one cgroup. */
struct wv_eval_state {
	uint64_t key; /* of the cgroup: a slot that was given to another one starts anew */
	uint32_t budget, slot;
	bool used, in_force;
	bool has_last, pending;
	uint64_t last_value, last_ns; /* of the last sample, for rates and gaps */
	uint64_t since_ns;	      /* pending: when the comparison began to hold */
};

struct wv_eval {
	const struct wv_budget *budgets;
	size_t n_budgets;
	struct wv_eval_state *states; /* open addressing; capacity is a power of two */
	size_t capacity, used, max_used;
	uint64_t max_gap_ns; /* samples further apart than this are not a continuous observation */
	uint64_t overflow;   /* steps that found no room: the budget was not evaluated there */
};

/*
 * Room for max_states pairs of budget and cgroup. The budgets must outlive it. Release with
 * wv_eval_done(). 0 or -ENOMEM.
 */
int wv_eval_init(struct wv_eval *e, const struct wv_budget *budgets, size_t n_budgets,
		 size_t max_states, uint64_t max_gap_ns);
void wv_eval_done(struct wv_eval *e);

/*
 * One budget, one cgroup, one sample. figures: value by enum wv_signal. Fills *ret unless the
 * verdict is NONE. Not matching the cgroup's path against the pattern is the caller's.
 */
enum wv_verdict wv_eval_step(struct wv_eval *e, uint32_t budget, uint32_t slot, uint64_t key,
			     uint64_t now_ns, const uint64_t *figures, struct wv_decision *ret);

/* Whether the budget is in force on this cgroup. */
bool wv_eval_in_force(const struct wv_eval *e, uint32_t budget, uint32_t slot, uint64_t key);
/* Takes over that a budget is in force (a new agent adopts). 0, or -ENOSPC (counted). */
int wv_eval_restore(struct wv_eval *e, uint32_t budget, uint32_t slot, uint64_t key);
/* The slot was given back: forgets what was kept for it. */
void wv_eval_forget(struct wv_eval *e, uint32_t slot);

#endif
