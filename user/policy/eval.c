// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hysteresis with timers. A budget that is not in force is applied when the value was above `above`
 * in every sample for at least for_ns; one that is in force is released when it was below `clear`
 * in every sample for at least clear_for_ns. What cannot be known (the first sample of a rate, a
 * counter that went back, samples that are missing) never decides: it only breaks the run of
 * samples that a timer needs.
 */
#include "user/policy/eval.h"

#include <errno.h>
#include <stdlib.h>

int wv_eval_init(struct wv_eval *e, const struct wv_budget *budgets, size_t n_budgets,
		 size_t max_states, uint64_t max_gap_ns)
{
	size_t capacity = 16;

	/* at most three quarters full, so that a probe stays short and always ends */
	while (capacity / 4 * 3 < max_states)
		capacity *= 2;
	*e = (struct wv_eval){
		.budgets = budgets,
		.n_budgets = n_budgets,
		.states = calloc(capacity, sizeof(*e->states)),
		.capacity = capacity,
		.max_used = max_states,
		.max_gap_ns = max_gap_ns,
	};
	return e->states ? 0 : -ENOMEM;
}

void wv_eval_done(struct wv_eval *e)
{
	free(e->states);
	*e = (struct wv_eval){0};
}

static size_t home(const struct wv_eval *e, uint32_t budget, uint32_t slot)
{
	uint64_t h = ((uint64_t)budget << 32 | slot) * 0x9e3779b97f4a7c15ULL;

	return (size_t)(h >> 32) & (e->capacity - 1);
}

/* Index of the pair's state, or of the free place where it would go. */
static size_t find(const struct wv_eval *e, uint32_t budget, uint32_t slot)
{
	size_t i = home(e, budget, slot);

	while (e->states[i].used && (e->states[i].budget != budget || e->states[i].slot != slot))
		i = (i + 1) & (e->capacity - 1);
	return i;
}

/* The pair's state, made if need be; a state of another cgroup in the same slot is emptied. */
static struct wv_eval_state *state_of(struct wv_eval *e, uint32_t budget, uint32_t slot,
				      uint64_t key)
{
	struct wv_eval_state *s = &e->states[find(e, budget, slot)];

	if (s->used && s->key == key)
		return s;
	if (!s->used) {
		if (e->used >= e->max_used) {
			e->overflow++;
			return NULL;
		}
		e->used++;
	}
	*s = (struct wv_eval_state){.used = true, .key = key, .budget = budget, .slot = slot};
	return s;
}

/* Takes one state out and moves those up that were displaced by it, so that no probe is cut short.
 */
static void remove_at(struct wv_eval *e, size_t hole)
{
	size_t mask = e->capacity - 1;

	e->used--;
	for (size_t i = (hole + 1) & mask; e->states[i].used; i = (i + 1) & mask) {
		size_t h = home(e, e->states[i].budget, e->states[i].slot);

		if (((i - h) & mask) < ((i - hole) & mask))
			continue; /* it stands between its home and the hole: it may stay */
		e->states[hole] = e->states[i];
		hole = i;
	}
	e->states[hole].used = false;
}

/* What the condition compares, or false if this sample does not tell. Keeps the sample as the last.
 */
static bool observe(const struct wv_condition *c, struct wv_eval_state *s, uint64_t now_ns,
		    uint64_t figure, uint64_t max_gap_ns, double *ret_value)
{
	uint64_t before = s->last_value, before_ns = s->last_ns;
	bool had = s->has_last;

	/* the same or an earlier time is not a new sample */
	if (had && now_ns <= before_ns)
		return false;
	s->last_value = figure;
	s->last_ns = now_ns;
	s->has_last = true;
	if (had && now_ns - before_ns > max_gap_ns)
		s->pending = false;
	if (!c->rate) {
		*ret_value = (double)figure;
		return true;
	}
	if (!had || figure < before || now_ns - before_ns > max_gap_ns) {
		s->pending = false;
		return false;
	}
	*ret_value = (double)(figure - before) * 1e9 / (double)(now_ns - before_ns);
	return true;
}

enum wv_verdict wv_eval_step(struct wv_eval *e, uint32_t budget, uint32_t slot, uint64_t key,
			     uint64_t now_ns, const uint64_t *figures, struct wv_decision *ret)
{
	struct wv_eval_state *s = state_of(e, budget, slot, key);
	const struct wv_condition *c;
	double value = 0;
	bool holds;

	if (!s)
		return WV_VERDICT_NONE;
	c = &e->budgets[budget].when;
	if (c->signal < 0) {
		if (s->in_force)
			return WV_VERDICT_NONE;
		s->since_ns = now_ns;
	} else {
		if (!observe(c, s, now_ns, figures[c->signal], e->max_gap_ns, &value))
			return WV_VERDICT_NONE;
		holds = s->in_force ? value < c->clear : value > c->above;
		if (!holds) {
			s->pending = false;
			return WV_VERDICT_NONE;
		}
		if (!s->pending)
			s->since_ns = now_ns;
		s->pending = true;
		if (now_ns - s->since_ns < (s->in_force ? c->clear_for_ns : c->for_ns))
			return WV_VERDICT_NONE;
	}
	*ret = (struct wv_decision){
		.budget = budget,
		.slot = slot,
		.key = key,
		.verdict = s->in_force ? WV_VERDICT_RELEASE : WV_VERDICT_APPLY,
		.signal = c->signal,
		.rate = c->rate,
		.value = value,
		.threshold = c->signal < 0 ? 0
			     : s->in_force ? c->clear
					   : c->above,
		.since_ns = s->since_ns,
		.mono_ns = now_ns,
	};
	s->in_force = !s->in_force;
	s->pending = false;
	return ret->verdict;
}

bool wv_eval_in_force(const struct wv_eval *e, uint32_t budget, uint32_t slot, uint64_t key)
{
	const struct wv_eval_state *s = &e->states[find(e, budget, slot)];

	return s->used && s->key == key && s->in_force;
}

int wv_eval_restore(struct wv_eval *e, uint32_t budget, uint32_t slot, uint64_t key)
{
	struct wv_eval_state *s = state_of(e, budget, slot, key);

	if (!s)
		return -ENOSPC;
	s->in_force = true;
	return 0;
}

void wv_eval_forget(struct wv_eval *e, uint32_t slot)
{
	for (uint32_t budget = 0; budget < e->n_budgets; budget++) {
		size_t i = find(e, budget, slot);

		if (e->states[i].used)
			remove_at(e, i);
	}
}
