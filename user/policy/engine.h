/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine: the rules of a policy on the cgroups of a sample, tick by tick. Conditions are
 * evaluated (vm.h), breakers step (rule_state.h), blast radius and action budget are applied, and
 * what comes out are decisions and the mode of each domain. Pure: no I/O, no clock, no allocation
 * after wv_engine_new(), so the agent, `policy test` and `policy replay` get the same decisions
 * from the same samples.
 */
#ifndef WV_POLICY_ENGINE_H
#define WV_POLICY_ENGINE_H

#include "user/domain/resolve.h"
#include "user/flow/decision.h"
#include "user/flow/policy.h"
#include "user/policy/rule_state.h"

/* Decisions of one tick at most; what is over comes at the next. */
#define WV_ENGINE_DECISIONS 1024

struct wv_engine;
/*
 * For cgroups in slots below max_rows. Samples further apart than max_gap_ns are not a continuous
 * observation. The policy must outlive it; release with wv_engine_free(). 0, -EINVAL, -ENOMEM.
 */
int wv_engine_new(struct wv_engine **ret, const struct wv_policy *policy, uint32_t max_rows,
		  uint64_t max_gap_ns);
void wv_engine_free(struct wv_engine *e);

/* One sample. domains must be of the same policy. Returns the number of decisions in *ret (valid
 * until the next tick), in the order of rules and slots. */
size_t wv_engine_tick(struct wv_engine *e, const struct wv_sample *s, struct wv_domains *domains,
		      const struct wv_rule_decision **ret);

/* Mode that the rules want for a domain after the last tick: the most severe that any asks for. */
uint32_t wv_engine_mode(const struct wv_engine *e, uint32_t domain);
/* Whether the rule is open on this slot and may act. */
bool wv_engine_acting(const struct wv_engine *e, uint32_t rule, uint32_t slot);
/* Pairs of rule and cgroup that are open now, acting or withheld. */
uint32_t wv_engine_open(const struct wv_engine *e);
/* The comparisons that led to a decision of the last tick. Fills at most max, returns how many. */
unsigned wv_engine_explain(const struct wv_engine *e, const struct wv_rule_decision *d,
			   struct wv_term *ret, unsigned max);

/* What survives a restart: breakers that are open or on trial, as they were after the last tick
 * that decided anything. */
struct wv_engine_state {
	uint32_t rule, slot;
	uint64_t key;
	bool acting;
	struct wv_rule_state state;
};
const struct wv_engine_state *wv_engine_states(const struct wv_engine *e, size_t *ret_n);
/* Takes one over, before the first tick. -EINVAL if there is no such rule or slot. */
int wv_engine_put(struct wv_engine *e, const struct wv_engine_state *state);
/* Times at which a rule acted that its action budget still knows, oldest first. Fills at most max.
 */
size_t wv_engine_acted(const struct wv_engine *e, uint32_t rule, uint64_t *ret, size_t max);
/* Takes one over, oldest first, before the first tick. */
void wv_engine_put_acted(struct wv_engine *e, uint32_t rule, uint64_t mono_ns);
/* A larger action budget is as good as none. */
#define WV_ENGINE_BUDGET_MAX 1000

#endif
