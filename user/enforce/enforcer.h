/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of module `budget`, for user/enforce/ only. */
#ifndef WV_ENFORCE_ENFORCER_H
#define WV_ENFORCE_ENFORCER_H

#include "user/core/module.h"
#include "user/enforce/journal.h"
#include "user/enforce/netlimit.h"
#include "user/flow/policy.h"
#include "user/policy/eval.h"

/* What is kept of the cgroup in a slot. */
struct wv_hold {
	uint64_t key;	  /* of the cgroup that this is about; another one starts anew */
	bool known;	  /* matched against the patterns of all budgets */
	bool matched;	  /* at least one budget may apply */
	bool changed;	  /* what is wanted changed in this pass */
	bool net;	  /* a network limit is in force */
	bool held;	  /* something is enforced on it */
	bool retry;	  /* the journal could not be written: said once, tried every pass */
	uint64_t base[4]; /* added to the counters of its limits, see wv_enforcer_figures() */
};

struct wv_enforcer {
	bool released; /* the kill switch is on: nothing is wanted */
	bool waiting;  /* it is on, but what is in force stays: nothing is changed */
	uint64_t throttles_seen;
	struct wv_agent *agent;
	struct wv_eval eval;
	struct wv_journal journal;
	int journal_error; /* 0, or why files cannot be changed */
	struct wv_netlimit net;
	int net_error; /* 0, or why the network cannot be limited */
	char net_reason[160];
	int n_pacers;
	struct wv_hold *holds; /* by slot */
	uint64_t *matches;     /* bit per budget, words_per_slot words a slot */
	size_t words_per_slot;
	bool dry_run;
	bool adopted; /* a former agent left something in force */
	bool sweep;   /* look for what is in force without being wanted, once after the start */
	bool recount; /* n_in_force has to be counted again */
	size_t n_in_force;
	uint64_t first_applied_ns;
	uint64_t overflow_said;
	/* of the pass that runs: */
	struct wv_cgfile *files;
	uint32_t *file_slots;
	size_t n_files, room_files;
};

/* Brings every hold that changed to what is wanted: files, limits, records of the outcome. */
int wv_enforcer_reconcile(struct wv_enforcer *e);
/* Stores the LIMIT_* figures of limited cgroups. */
void wv_enforcer_figures(struct wv_enforcer *e);
/* throttle.c: what recovery asked for this cgroup, WV_UNSET if nothing; and how often that changed.
 */
uint64_t wv_throttle_of(uint64_t key);
uint64_t wv_throttle_changes(void);
bool wv_throttle_any(void);
void wv_throttle_forget(uint64_t key);
/* tell.c: the kernel refused; and budgets whose pattern matches nothing. */
void wv_enforcer_trip(struct wv_agent *agent, const struct wv_event *event);
void wv_enforcer_unmatched(const struct wv_enforcer *e);
/* File that a budget is in, for people. */
const char *wv_enforcer_budget_file(const struct wv_enforcer *e, uint32_t budget);
/* Rows for `doctor`. */
int wv_enforce_probe(const struct wv_host *host, const struct wv_bpf *bpf,
		     struct wv_capabilities *caps);

/* Budgets in force on a slot, merged. Returns their number. */
unsigned wv_enforcer_want(const struct wv_enforcer *e, uint32_t slot, struct wv_want *ret);
static inline bool wv_enforcer_matches(const struct wv_enforcer *e, uint32_t slot, uint32_t budget)
{
	return e->matches[slot * e->words_per_slot + budget / 64] & (1ULL << budget % 64);
}

#endif
