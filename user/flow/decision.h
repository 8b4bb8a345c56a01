/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A decision: what the evaluator concluded for one budget and one cgroup, with everything that led
 * to it. The type that travels from the evaluator to the enforcers and into the record.
 */
#ifndef WV_FLOW_DECISION_H
#define WV_FLOW_DECISION_H

#include <stdbool.h>
#include <stdint.h>

enum wv_verdict {
	WV_VERDICT_NONE,    /* nothing changes */
	WV_VERDICT_APPLY,   /* the budget comes into force */
	WV_VERDICT_RELEASE, /* the budget is no longer in force */
};

struct wv_decision {
	uint32_t budget; /* index into the configuration's budgets */
	uint32_t slot;
	uint64_t key; /* the cgroup that has the slot */
	enum wv_verdict verdict;
	int signal;	   /* enum wv_signal that the condition is about; -1: always in force */
	bool rate;	   /* value and threshold are changes a second */
	double value;	   /* as it was compared */
	double threshold;  /* `above` of an APPLY, `clear` of a RELEASE */
	uint64_t since_ns; /* from when on the comparison held without a break */
	uint64_t mono_ns;  /* of the sample that decided */
	bool dry_run;	   /* recorded only; set by the caller of the evaluator */
};

/* Why a rule that tripped does not act. Row: (id, text) */
#define WV_WITHHOLDINGS(X)                                                                         \
	X(NO, "")                                                                                  \
	X(BLAST_DOMAINS, "blast radius: cgroups")                                                  \
	X(BLAST_SHARE, "blast radius: share of the machine")                                       \
	X(ACTION_BUDGET, "action budget")
enum wv_withheld {
#define X(id, text) WV_WITHHELD_##id,
	WV_WITHHOLDINGS(X)
#undef X
		WV_WITHHELD_N
};
extern const char *const wv_withheld_names[WV_WITHHELD_N]; /* user/policy/engine.c */

/* What the engine concluded for one rule and one cgroup at one tick. */
struct wv_rule_decision {
	uint32_t rule, slot;
	uint64_t key;
	uint8_t from,
		to; /* enum wv_rule_state_id; OPEN to OPEN: it may act now, after it was withheld */
	enum wv_withheld withheld;
	uint64_t tick, mono_ns, since_ns; /* since_ns: from when on the condition held */
};

#endif
