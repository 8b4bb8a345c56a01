/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine's state, shared by engine.c (life, log, result), search.c (which point next), blame.c
 * (what failures teach) and confirm.c (is it certain). Nothing else includes it. All of it follows
 * from the space, the limits and what was told: no field comes from elsewhere, or a resumed tuning
 * would go another way.
 */
#ifndef WV_TUNE_STATE_H
#define WV_TUNE_STATE_H

#include "gpu/tune/engine.h"
#include "gpu/tune/guard.h"
#include "gpu/tune/memory.h"
#include "gpu/tune/moves.h"
#include "gpu/tune/stats.h"

#define WV_TUNE_NO_ARM UINT32_MAX
#define WV_TUNE_RUNGS 3 /* a probe is rung 0 */

/* A trial that was told, its warm-up taken off. */
struct wv_tune_run {
	struct wv_tune_trial trial;
	enum wv_tune_status status;
	uint32_t arm;
	uint32_t n, n_losses;
	uint64_t elapsed_ns, peak_bytes;
	uint64_t step_ns[WV_TUNE_STEPS];
	float loss[WV_TUNE_STEPS]; /* of all steps: losses know no warm-up */
};

/* A point that was tried; arm 0 is the start. */
struct wv_tune_arm {
	struct wv_tune_point point;
	uint32_t parent;	      /* the best one when it was proposed */
	uint32_t rung;		      /* the longest that it ran */
	uint32_t unproved;	      /* bits of knobs: changed along with others, never alone */
	uint32_t bundle;	      /* bits: knobs of several moves at once; 0: of one */
	double expected;	      /* gain over the parent, of a bundle */
	double gain;		      /* over the best one when it was judged */
	bool told, dead;	      /* dead: it does not run, or is not the same training */
	uint64_t step_ns;	      /* median of all that was measured of it while searching */
	struct wv_tune_shares shares; /* newest that are known */
};

enum wv_tune_phase { WV_TUNE_AT_BASELINE, WV_TUNE_AT_SEARCH, WV_TUNE_AT_CONFIRM, WV_TUNE_AT_END };

struct wv_tune {
	struct wv_tune_space space;
	struct wv_tune_limits limits;
	enum wv_tune_phase phase;
	enum wv_tune_end end;
	bool out; /* trial was given, and not told of yet */
	struct wv_tune_trial trial;
	uint32_t trial_arm;

	uint32_t n_runs, n_search, n_arms, best;
	uint64_t elapsed_ns, startup_ns;
	bool unguarded; /* no losses: nothing that changes numbers is tried */
	struct wv_tune_memory_model memory;
	uint32_t failed[WV_TUNE_KNOB_N];
	uint32_t banned[WV_TUNE_KNOB_N]; /* bits: index of the value in the space */
	uint32_t contest;		 /* an arm that is to run longer before it is judged */
	uint32_t bundles_failed;	 /* 2: moves come one by one from then on */
	struct wv_tune_point without; /* a candidate, the value taken out that made it learn less */
	bool has_without;
	const char *stopped; /* the search, and why */

	struct {
		uint32_t arm;		/* WV_TUNE_NO_ARM: none was confirmed yet */
		uint32_t pairs, spoilt; /* whole ones; segments of the start that failed */
		uint32_t run_a[WV_TUNE_PAIRS], run_b[WV_TUNE_PAIRS]; /* index in run */
		uint32_t half;	    /* 1: one segment of the pair is done */
		uint32_t next_pair; /* numbers are not used twice: nor are seeds */
		struct wv_tune_interval gain;
		struct wv_tune_band band;
		enum wv_tune_guard guard;
	} confirm;
	char why[WV_TUNE_TEXT], guard_text[WV_TUNE_TEXT];

	struct wv_tune_arm arm[WV_TUNE_RUNS];
	struct wv_tune_run run[WV_TUNE_RUNS];
};

/* engine.c */
/* Time that a trial of so many steps takes, by the start's. */
uint64_t wv_tune_estimate(const struct wv_tune *t, uint32_t steps);
/* Whether so many trials of `steps` fit into what is left of the budget. */
bool wv_tune_affordable(const struct wv_tune *t, uint64_t n, uint32_t steps);
void wv_tune_finish(struct wv_tune *t, enum wv_tune_end end, const char *why);

/* blame.c */
/* Bits of knobs in which two points differ, but for what follows from others. */
uint32_t wv_tune_search_differing(const struct wv_tune_point *a, const struct wv_tune_point *b);
bool wv_tune_search_banned(const struct wv_tune *t, const struct wv_tune_point *p);
/* Out of memory teaches of the device only where something that needs the device's was changed. */
void wv_tune_search_learn_oom(struct wv_tune *t, const struct wv_tune_arm *arm);
/* The program does not turn these knobs (bits): all points have them as the start does. */
void wv_tune_search_ignore(struct wv_tune *t, uint32_t knobs);
/*
 * The arm's losses are not those of the same training, by a whole confirmation: it is dead, with
 * all that is like it; t->without is it without what is thought to be the cause.
 */
void wv_tune_search_suspect(struct wv_tune *t, uint32_t arm);
/* It is no candidate any more; where one value alone can be the cause, nothing that has it. */
void wv_tune_search_bury(struct wv_tune *t, uint32_t arm, enum wv_tune_status why);

/* search.c: the next trial of the search, without id and timeout. false: it is over. */
bool wv_tune_search_next(struct wv_tune *t, struct wv_tune_trial *ret, uint32_t *ret_arm);
/* After the run was added to the log. */
void wv_tune_search_told(struct wv_tune *t, const struct wv_tune_run *run);
/* The fastest arm that lives; the start if there is no other. */
void wv_tune_search_rank(struct wv_tune *t);
/* Takes t->without for an arm, if it can be one. WV_TUNE_NO_ARM: there is none. */
uint32_t wv_tune_search_without(struct wv_tune *t);
/* Gain of arm b over arm a, with an interval of `permille`. */
struct wv_tune_interval wv_tune_search_gain(const struct wv_tune *t, uint32_t a, uint32_t b,
					    uint32_t permille);

/* confirm.c: the next segment; false: decided (t->phase has changed). */
bool wv_tune_confirm_next(struct wv_tune *t, struct wv_tune_trial *ret, uint32_t *ret_arm);
void wv_tune_confirm_begin(struct wv_tune *t);
/* at: of the run in the log. */
void wv_tune_confirm_told(struct wv_tune *t, uint32_t at);

#endif
