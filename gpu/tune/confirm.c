// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether the best candidate is better than the start for certain. Segments of both in turn, A B B
 * A A B B A, so that a machine that gets slower or faster favours neither; both of a pair have one
 * seed. It ends as soon as the answer is certain, or cannot become so.
 */
#include <stdio.h>
#include <string.h>

#include "gpu/tune/state.h"
#include "user/core/cleanup.h"

/* The start fails in a segment: once may be chance, more often is a machine that is not usable. */
#define SPOILT_MOST 2
/* Seeds of pairs lie beyond that of the search. */
#define PAIR_SEED 1000

void wv_tune_confirm_begin(struct wv_tune *t)
{
	struct wv_tune_interval gain;
	char why[WV_TUNE_TEXT];
	uint32_t arm = wv_tune_search_without(t);

	wv_tune_search_rank(t);
	gain = wv_tune_search_gain(t, 0, t->best, 950);
	/* one that no trial was left for is measured by the confirmation itself */
	if (arm == WV_TUNE_NO_ARM &&
	    (t->best == 0 || gain.mid * 1e6 <= (double)t->limits.gain_ppm)) {
		snprintf(why, sizeof(why), "nothing that was tried is faster by %.1f %%: %s",
			 (double)t->limits.gain_ppm / 1e4, t->stopped ? t->stopped : "");
		wv_tune_finish(t, WV_TUNE_KEPT, why);
		return;
	}
	t->phase = WV_TUNE_AT_CONFIRM;
	t->confirm.arm = arm == WV_TUNE_NO_ARM ? t->best : arm;
	t->confirm.pairs = t->confirm.spoilt = t->confirm.half = 0;
	t->confirm.guard = WV_TUNE_GUARD_UNKNOWN;
	memset(&t->confirm.gain, 0, sizeof(t->confirm.gain));
	t->guard_text[0] = '\0';
}

static void kept(struct wv_tune *t, const char *reason)
{
	char why[WV_TUNE_TEXT];

	snprintf(why, sizeof(why), "%s: %+.1f %% (%+.1f to %+.1f %%) by %u pairs", reason,
		 t->confirm.gain.mid * 100, t->confirm.gain.low * 100, t->confirm.gain.high * 100,
		 t->confirm.pairs);
	wv_tune_finish(t, WV_TUNE_KEPT, why);
}

bool wv_tune_confirm_next(struct wv_tune *t, struct wv_tune_trial *ret, uint32_t *ret_arm)
{
	/* the second segment of a pair, and the first one of the next, are of the same arm */
	bool b = (t->confirm.pairs + t->confirm.half) % 2 != 0;
	char change[96];

	if (!wv_tune_affordable(t, 2 - t->confirm.half, t->limits.confirm_steps)) {
		kept(t, "the time is used up before anything is certain");
		return false;
	}
	if (t->n_runs + 2 - t->confirm.half > t->limits.runs) {
		kept(t, "all runs are used before anything is certain");
		return false;
	}
	*ret_arm = b ? t->confirm.arm : 0;
	ret->purpose = b ? WV_TUNE_CONFIRM_B : WV_TUNE_CONFIRM_A;
	ret->pair = t->confirm.next_pair;
	ret->steps = t->limits.confirm_steps;
	ret->seed = wv_tune_seed(t->limits.seed, PAIR_SEED + ret->pair);
	ret->point = t->arm[*ret_arm].point;
	snprintf(ret->reason, sizeof(ret->reason), "pair %u, at most %u: %s", t->confirm.pairs + 1,
		 t->limits.pairs_max,
		 b ? wv_tune_point_change(&t->space.start, &ret->point, change, sizeof(change))
		   : "the start");
	return true;
}

static void measure(struct wv_tune *t)
{
	struct wv_tune_segment a[WV_TUNE_PAIRS], b[WV_TUNE_PAIRS];

	for (uint32_t i = 0; i < t->confirm.pairs; i++) {
		const struct wv_tune_run *x = &t->run[t->confirm.run_a[i]];
		const struct wv_tune_run *y = &t->run[t->confirm.run_b[i]];

		a[i] = (struct wv_tune_segment){x->step_ns, x->n};
		b[i] = (struct wv_tune_segment){y->step_ns, y->n};
	}
	wv_tune_pairs(a, b, t->confirm.pairs,
		      wv_tune_seed(t->limits.seed, 0x20000 + t->confirm.arm), &t->confirm.gain);
}

/* Sets guard and its text. Whether the candidate may be taken. */
static bool same_training(struct wv_tune *t)
{
	struct wv_tune_losses a[WV_TUNE_PAIRS], b[WV_TUNE_PAIRS];
	enum wv_tune_numbers numbers =
		wv_tune_point_numbers(&t->space.start, &t->arm[t->confirm.arm].point);
	struct wv_tune_band *band = &t->confirm.band;

	if (!t->limits.guard) {
		snprintf(t->guard_text, sizeof(t->guard_text), "losses were not compared");
		t->confirm.guard = WV_TUNE_GUARD_OFF;
		return true;
	}
	for (uint32_t i = 0; i < t->confirm.pairs; i++) {
		const struct wv_tune_run *x = &t->run[t->confirm.run_a[i]];
		const struct wv_tune_run *y = &t->run[t->confirm.run_b[i]];

		a[i] = (struct wv_tune_losses){x->loss, x->n_losses};
		b[i] = (struct wv_tune_losses){y->loss, y->n_losses};
	}
	wv_tune_guard_compare(a, b, t->confirm.pairs, band);
	if (!band->known) {
		t->confirm.guard =
			numbers == WV_TUNE_EXACT ? WV_TUNE_GUARD_EXACT : WV_TUNE_GUARD_UNKNOWN;
		snprintf(t->guard_text, sizeof(t->guard_text), "too few losses were told");
		return numbers != WV_TUNE_CHANGES;
	}
	snprintf(t->guard_text, sizeof(t->guard_text),
		 "mean loss %.4g, start %.4g, band %.4g to %.4g; difference %+.3g +- %.2g",
		 band->of_b, band->of_a, band->low, band->high, band->difference,
		 band->difference_ci);
	if (!band->same)
		t->confirm.guard = WV_TUNE_GUARD_DIVERGED;
	else
		t->confirm.guard =
			numbers == WV_TUNE_EXACT ? WV_TUNE_GUARD_EXACT : WV_TUNE_GUARD_EQUIVALENT;
	return band->same;
}

/* Back to the search, without this candidate and what is like it. */
static void give_up(struct wv_tune *t, enum wv_tune_status status)
{
	if (status == WV_TUNE_DIVERGED)
		wv_tune_search_suspect(t, t->confirm.arm);
	else
		wv_tune_search_bury(t, t->confirm.arm, status);
	t->phase = WV_TUNE_AT_SEARCH;
}

static void decide(struct wv_tune *t)
{
	double least = (double)t->limits.gain_ppm / 1e6;
	char why[WV_TUNE_TEXT];
	uint32_t n = t->confirm.pairs;

	if (n < t->limits.pairs_min)
		return;
	measure(t);
	if (wv_tune_low_of_looks(&t->confirm.gain) > least) {
		if (!same_training(t)) {
			give_up(t, WV_TUNE_DIVERGED);
			return;
		}
		snprintf(why, sizeof(why), "faster for certain by %u pairs; %s", n,
			 t->stopped ? t->stopped : "");
		wv_tune_finish(t, WV_TUNE_IMPROVED, why);
	} else if (t->confirm.gain.high < least) {
		kept(t, "too small a gain for certain");
	} else if (n >= t->limits.pairs_max) {
		kept(t, "not certain");
	} else if (2 * n > t->limits.pairs_max && t->confirm.gain.mid <= least) {
		/* the other half would have to be better than what was seen, by as much again */
		kept(t, "not certain, and the rest can hardly change that");
	}
}

void wv_tune_confirm_told(struct wv_tune *t, uint32_t at)
{
	const struct wv_tune_run *r = &t->run[at];
	uint32_t pair = t->confirm.pairs;

	if (r->status != WV_TUNE_OK) {
		/* the pair is spoilt, with its other half; its number is not used again */
		t->confirm.half = 0;
		t->confirm.next_pair++;
		if (r->arm)
			give_up(t, r->status);
		else if (++t->confirm.spoilt > SPOILT_MOST)
			kept(t, "the start itself fails");
		return;
	}
	if (r->arm)
		t->confirm.run_b[pair] = at;
	else
		t->confirm.run_a[pair] = at;
	t->confirm.half ^= 1;
	if (t->confirm.half)
		return;
	t->confirm.pairs++;
	t->confirm.next_pair++;
	decide(t);
}
