/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of module `budget`, for user/enforce/ only. */
#ifndef WV_ENFORCE_ENFORCER_H
#define WV_ENFORCE_ENFORCER_H

#include "user/core/module.h"
#include "user/enforce/journal.h"
#include "user/enforce/netlimit.h"
#include "user/enforce/openfiles.h"
#include "user/enforce/parent.h"
#include "user/flow/policy.h"
#include "user/policy/eval.h"

/* What is kept of the cgroup in a slot. */
struct wv_hold {
	uint64_t key;	 /* of the cgroup that this is about; another one starts anew */
	bool known;	 /* matched against the patterns of all budgets */
	bool matched;	 /* at least one budget may apply */
	bool changed;	 /* what is wanted changed in this pass */
	bool net;	 /* a network limit is in force */
	bool held;	 /* something is enforced on it */
	bool retry;	 /* the journal could not be written: said once, tried every pass */
	bool shares;	 /* a budget that may apply has a share of the parent's */
	bool root;	 /* it was one of its domain's topmost cgroups when it was matched */
	uint32_t domain; /* it was in then; who it is may be told only later */
	struct wv_parent parent; /* ... what that has, as of this pass */
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
	struct wv_openfiles open_files;
	int open_files_error; /* 0, or why open files cannot be limited */
	struct wv_netlimit net;
	int net_error; /* 0, or why the network cannot be limited */
	char net_reason[160];
	int n_pacers;
	struct wv_hold *holds; /* by slot */
	uint64_t *matches;     /* bit per budget, words_per_slot words a slot */
	size_t words_per_slot;
	struct wv_parent machine;
	bool has_shares; /* of any hold */
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
/* records.c: the file that a budget stands in; records of decisions. */
const char *wv_budget_file(const struct wv_enforcer *e, uint32_t budget);
void wv_record_decision(struct wv_enforcer *e, const struct wv_decision *d);
/* Outcome records (reconcile.c): what was done to the cgroup in a slot. Sent unless it is empty. */
struct json_object;
struct json_object *wv_outcome_new(const struct wv_enforcer *e, uint32_t slot);
void wv_outcome_add(struct json_object *outcome, struct json_object *action);
void wv_outcome_send(struct wv_enforcer *e, struct json_object *outcome);
/* Something is enforced on it from now on. */
void wv_hold_applied(struct wv_enforcer *e, struct wv_hold *h);
/* openfiles_hold.c: opens; notes what a cgroup wants; brings all processes to it, once a pass. */
void wv_openfiles_start(struct wv_enforcer *e);
void wv_openfiles_plan(struct wv_enforcer *e, uint32_t slot, const struct wv_row *row,
		       const struct wv_want *want);
int wv_openfiles_tick(struct wv_enforcer *e);
/* shares.c. Reads what is above a cgroup that was matched anew. */
void wv_shares_match(struct wv_enforcer *e, uint32_t slot, const struct wv_row *row);
/* Once a pass: reads it again for all, and marks the cgroups for which it changed. */
void wv_shares_refresh(struct wv_enforcer *e);
/* Adds what the shares of a budget are here to a list for a record, made when there is one. */
void wv_shares_tell(const struct wv_enforcer *e, uint32_t slot, uint32_t budget,
		    struct json_object **list);
/* Limits that are not known for want of the parent's, at most WV_SHARE_ROWS, with the reason. */
size_t wv_shares_missing(const struct wv_enforcer *e, uint32_t slot, struct wv_cgfile *files);
/* Rows for `doctor`. */
int wv_enforce_probe(const struct wv_host *host, const struct wv_bpf *bpf,
		     struct wv_capabilities *caps);

/* Budgets in force on a slot, merged. Returns their number. */
unsigned wv_enforcer_want(const struct wv_enforcer *e, uint32_t slot, struct wv_want *ret);
/* What a budget waits for when its condition holds: "feature" (the policy lets none be held),
 * "mode" (its domain is in none of its modes); NULL: nothing. A static string. */
const char *wv_enforcer_held_back(const struct wv_enforcer *e, uint32_t budget);
/* Whether its condition holds there and nothing holds it back. */
bool wv_enforcer_holds(const struct wv_enforcer *e, uint32_t slot, uint32_t budget);
static inline bool wv_enforcer_matches(const struct wv_enforcer *e, uint32_t slot, uint32_t budget)
{
	return e->matches[slot * e->words_per_slot + budget / 64] & (1ULL << budget % 64);
}

#endif
