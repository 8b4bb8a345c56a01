// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which point is tried next. From the diagnosis of the best point so far: first the best moves
 * against different losses at once, then one by one, each from the then best point; at the end what
 * came along in a bundle is taken back alone, and those that lie close together run longer.
 */
#include <stdio.h>
#include <string.h>

#include "gpu/tune/state.h"
#include "user/core/cleanup.h"

/* Of an interval that a search steps on: a wrong step costs a trial or two, no wrong result. */
#define STEP_PERMILLE 800
/* A bundle's moves are each thought to gain this many times what has to be proved. */
#define BUNDLE_TIMES 3
#define BUNDLE_MOST 4
/* The part of a bundle's promise that shows that all of it is good. */
#define BUNDLE_KEPT 0.8
/* Of the gain of one that was not decided. */
#define GATHER_LEAST 0.002
/* A loss that shows only now: its share grew by so much, in a step that is hardly slower. */
#define UNCOVERED_PPM 100000
#define UNCOVERED_LOSS 0.03
/* A share of time that is as good as none. */
#define IDLE_PPM 20000

static size_t pool(const struct wv_tune *t, uint32_t arm, uint64_t out[WV_TUNE_SERIES])
{
	size_t n = 0;

	for (uint32_t i = 0; i < t->n_runs; i++) {
		const struct wv_tune_run *r = &t->run[i];

		if (r->arm != arm || r->status != WV_TUNE_OK ||
		    r->trial.purpose >= WV_TUNE_CONFIRM_A)
			continue;
		for (uint32_t k = 0; k < r->n && n < WV_TUNE_SERIES; k++)
			out[n++] = r->step_ns[k];
	}
	return n;
}

struct wv_tune_interval wv_tune_search_gain(const struct wv_tune *t, uint32_t a, uint32_t b,
					    uint32_t permille)
{
	uint64_t x[WV_TUNE_SERIES], y[WV_TUNE_SERIES];
	size_t nx = pool(t, a, x), ny = pool(t, b, y);
	struct wv_tune_interval gain;

	wv_tune_compare(x, nx, y, ny, permille,
			wv_tune_seed(t->limits.seed, 0x10000 + a * WV_TUNE_RUNS + b), &gain);
	return gain;
}

void wv_tune_search_rank(struct wv_tune *t)
{
	t->best = 0;
	for (uint32_t i = 1; i < t->n_arms; i++)
		if (t->arm[i].told && !t->arm[i].dead &&
		    t->arm[i].step_ns < t->arm[t->best].step_ns)
			t->best = i;
}

static void no_help(struct wv_tune *t, uint32_t arm)
{
	uint32_t bits =
		wv_tune_search_differing(&t->arm[t->arm[arm].parent].point, &t->arm[arm].point);

	if (t->arm[arm].bundle) {
		t->bundles_failed = 2;
		return;
	}
	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++)
		if (bits & (1U << k))
			t->failed[k]++;
}

static void lead(struct wv_tune *t, uint32_t arm, double gain)
{
	/* less than its parts promise: one of them may be of harm */
	if (gain < BUNDLE_KEPT * t->arm[arm].expected)
		t->arm[arm].unproved |= t->arm[arm].bundle;
	/* another loss leads now: what did not help against the last one may help */
	if (wv_tune_bound(&t->arm[arm].shares) != wv_tune_bound(&t->arm[t->best].shares))
		memset(t->failed, 0, sizeof(t->failed));
	t->best = arm;
}

/*
 * Two losses that hide each other: what removes one of them gains nothing, since the other then
 * shows as much as the first did. The way on starts behind it, not before it.
 */
static bool uncovered(const struct wv_tune *t, uint32_t arm, const struct wv_tune_interval *gain)
{
	const struct wv_tune_shares *was = &t->arm[t->best].shares, *is = &t->arm[arm].shares;
	enum wv_gpu_bottleneck bound = wv_tune_bound(is);

	return gain->mid > -UNCOVERED_LOSS && bound != WV_GPU_BOUND_NONE &&
	       bound != WV_GPU_BOUND_COMPUTE &&
	       wv_tune_share_ppm(is, bound) > wv_tune_share_ppm(was, bound) + UNCOVERED_PPM;
}

static void judge(struct wv_tune *t, uint32_t arm)
{
	struct wv_tune_interval gain = wv_tune_search_gain(t, t->best, arm, STEP_PERMILLE);
	double least = (double)t->limits.gain_ppm / 1e6;
	bool better;

	t->contest = WV_TUNE_NO_ARM;
	t->arm[arm].gain = gain.mid;
	better = gain.low > 0 || uncovered(t, arm, &gain);
	if (!better && gain.mid >= least && gain.high > 0 && t->arm[arm].rung + 1 < WV_TUNE_RUNGS &&
	    t->n_search + 2 < t->limits.trials)
		t->contest = arm;
	else if (better || (gain.mid > 0 && t->arm[arm].rung))
		lead(t, arm, gain.mid);
	else
		no_help(t, arm);
}

/*
 * It ran, but with more of the memory than may be used: a longer training would not. Where the
 * start itself does, nobody minds as much as that.
 */
static bool too_near(const struct wv_tune *t, const struct wv_tune_run *r)
{
	/* a rung that needs a little more than the probe did tells of the allocator only */
	return r->trial.purpose == WV_TUNE_PROBE && t->memory.limit_bytes &&
	       r->peak_bytes > t->memory.limit_bytes && r->peak_bytes > t->run[0].peak_bytes;
}

void wv_tune_search_told(struct wv_tune *t, const struct wv_tune_run *r)
{
	struct wv_tune_arm *arm = &t->arm[r->arm];
	uint64_t x[WV_TUNE_SERIES];

	if (r->status != WV_TUNE_OK) {
		t->contest = WV_TUNE_NO_ARM;
		if (r->status == WV_TUNE_OOM)
			wv_tune_search_learn_oom(t, arm);
		/* memory is learned of: the next bundle is another one */
		if (arm->bundle)
			t->bundles_failed += r->status == WV_TUNE_OOM ? 1 : 2;
		else if (r->status != WV_TUNE_OOM)
			no_help(t, r->arm);
		wv_tune_search_bury(t, r->arm, r->status);
		return;
	}
	for (uint32_t i = 0; i < WV_TUNE_RUNGS; i++)
		if (r->trial.steps == t->limits.rung_steps[i] + r->trial.warmup && i > arm->rung)
			arm->rung = i;
	arm->told = true;
	if (r->arm && too_near(t, r)) {
		t->contest = WV_TUNE_NO_ARM;
		if (arm->bundle)
			t->bundles_failed++;
		arm->dead = true;
		wv_tune_search_rank(t);
		return;
	}
	arm->step_ns = (uint64_t)wv_tune_mean(x, pool(t, r->arm, x));
	if (r->arm == t->best)
		wv_tune_search_rank(t);
	else
		judge(t, r->arm);
}

static bool tried(const struct wv_tune *t, const struct wv_tune_point *p)
{
	for (uint32_t i = 0; i < t->n_arms; i++)
		if (wv_tune_point_equal(&t->arm[i].point, p))
			return true;
	return false;
}

static void fill_probe(const struct wv_tune *t, uint32_t arm, struct wv_tune_trial *trial)
{
	trial->purpose = WV_TUNE_PROBE;
	trial->steps = t->limits.rung_steps[0];
	trial->point = t->arm[arm].point;
	trial->seed = wv_tune_seed(t->limits.seed, 0);
}

static void probe(struct wv_tune *t, const struct wv_tune_point *p, struct wv_tune_trial *trial,
		  uint32_t *arm)
{
	*arm = t->n_arms;
	t->arm[t->n_arms++] = (struct wv_tune_arm){
		.point = *p,
		.parent = t->best,
		.unproved = t->arm[t->best].unproved,
	};
	fill_probe(t, *arm, trial);
}

uint32_t wv_tune_search_without(struct wv_tune *t)
{
	if (!t->has_without || t->n_arms == WV_TUNE_RUNS)
		return WV_TUNE_NO_ARM;
	t->has_without = false;
	if (!wv_tune_space_settle(&t->space, &t->without) || tried(t, &t->without) ||
	    wv_tune_search_banned(t, &t->without) ||
	    wv_tune_memory_fits(&t->memory, &t->without) == WV_TUNE_FITS_NOT)
		return WV_TUNE_NO_ARM;
	t->arm[t->n_arms] = (struct wv_tune_arm){.point = t->without};
	return t->n_arms++;
}

static void rung(struct wv_tune *t, uint32_t a, uint32_t level, struct wv_tune_trial *trial,
		 uint32_t *arm)
{
	char change[96];

	*arm = a;
	trial->purpose = WV_TUNE_RUNG;
	trial->steps = t->limits.rung_steps[level];
	trial->point = t->arm[a].point;
	trial->seed = wv_tune_seed(t->limits.seed, 0);
	snprintf(trial->reason, sizeof(trial->reason), "not decided yet, longer: %s",
		 wv_tune_point_change(&t->space.start, &trial->point, change, sizeof(change)));
}

/* Moves that were not tried; the best expected first. */
static unsigned fresh_moves(const struct wv_tune *t, struct wv_tune_move out[WV_TUNE_MOVES])
{
	struct wv_tune_sight sight = {
		.space = &t->space,
		.memory = &t->memory,
		.shares = &t->arm[t->best].shares,
		.best = &t->arm[t->best].point,
		.unguarded = t->unguarded,
	};
	unsigned n, kept = 0;

	memcpy(sight.failed, t->failed, sizeof(sight.failed));
	n = wv_tune_moves(&sight, out, WV_TUNE_MOVES);
	for (unsigned i = 0; i < n; i++)
		if (out[i].expected_ppm > t->limits.gain_ppm && !tried(t, &out[i].point) &&
		    !wv_tune_search_banned(t, &out[i].point))
			out[kept++] = out[i];
	return kept;
}

/* Several moves that touch different knobs, as one. How many it took; *ret only if above 1. */
static unsigned bundle(const struct wv_tune *t, const struct wv_tune_move *moves, unsigned n,
		       struct wv_tune_point *ret, double *ret_expected)
{
	const struct wv_tune_point *best = &t->arm[t->best].point;
	struct wv_tune_point sum = *best;
	double expected = 1;
	unsigned took = 0;

	for (unsigned i = 0; i < n && took < BUNDLE_MOST; i++) {
		struct wv_tune_point next = sum;

		if (moves[i].expected_ppm < BUNDLE_TIMES * t->limits.gain_ppm)
			break;
		if (wv_tune_search_differing(best, &sum) &
		    wv_tune_search_differing(best, &moves[i].point))
			continue;
		for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++)
			if (moves[i].point.value[k] != best->value[k])
				next.value[k] = moves[i].point.value[k];
		if (!wv_tune_space_settle(&t->space, &next) ||
		    wv_tune_memory_fits(&t->memory, &next) == WV_TUNE_FITS_NOT)
			continue;
		sum = next;
		expected *= 1 + moves[i].expected_ppm / 1e6;
		took++;
	}
	if (took < 2 || tried(t, &sum) || wv_tune_search_banned(t, &sum))
		return 0;
	*ret = sum;
	*ret_expected = expected - 1;
	return took;
}

static void explain(const struct wv_tune *t, const struct wv_tune_point *p,
		    const struct wv_tune_move *m, char out[WV_TUNE_TEXT])
{
	const struct wv_tune_shares *s = &t->arm[t->best].shares;
	char change[96];

	wv_tune_point_change(&t->arm[t->best].point, p, change, sizeof(change));
	if (s->window == 0)
		snprintf(out, WV_TUNE_TEXT, "where the time goes is not known, so anything: %s",
			 change);
	else
		snprintf(out, WV_TUNE_TEXT, "%s takes %u %%: %s, thought to gain %u %%",
			 wv_gpu_bottleneck_names[m->bound],
			 (wv_tune_share_ppm(s, m->bound) + 5000) / 10000, change,
			 m->expected_ppm / 10000);
}

/*
 * Gains that are too small to be told from noise one by one may add up to one that is not: all of
 * them at once.
 */
static bool gather(struct wv_tune *t, struct wv_tune_trial *trial, uint32_t *arm)
{
	struct wv_tune_point p = t->arm[t->best].point;
	uint32_t used = 0;
	char change[96];

	for (uint32_t i = t->n_arms - 1; i > 0; i--) {
		const struct wv_tune_arm *a = &t->arm[i];
		const struct wv_tune_point *from = &t->arm[a->parent].point;
		uint32_t bits = wv_tune_search_differing(from, &a->point);

		if (!a->told || a->dead || a->bundle || a->gain < GATHER_LEAST || i == t->best)
			continue;
		/* what the best one has changed since is not the same move any more */
		if (bits & (used | wv_tune_search_differing(from, &t->arm[t->best].point)))
			continue;
		used |= bits;
		for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++)
			if (bits & (1U << k))
				p.value[k] = a->point.value[k];
	}
	if (!used || !wv_tune_space_settle(&t->space, &p) || tried(t, &p) ||
	    wv_tune_search_banned(t, &p) || wv_tune_memory_fits(&t->memory, &p) == WV_TUNE_FITS_NOT)
		return false;
	wv_tune_point_change(&t->arm[t->best].point, &p, change, sizeof(change));
	snprintf(trial->reason, sizeof(trial->reason), "each of them seemed faster: %s", change);
	probe(t, &p, trial, arm);
	t->arm[*arm].bundle = used;
	return true;
}

/* Whether a knob is only of losses that hold nothing back any more: it can be of no harm either. */
static bool idle(const struct wv_tune *t, unsigned knob)
{
	const struct wv_tune_shares *s = &t->arm[t->best].shares;
	uint32_t sum = 0;

	for (unsigned b = 0; b < WV_GPU_BOUND_N; b++)
		if (wv_tune_knobs[knob].helps & (1U << b))
			sum += wv_tune_share_ppm(s, b);
	return s->window && sum < IDLE_PPM;
}

/* What came in a bundle may be of harm: the best point without one of it. */
static bool take_back(struct wv_tune *t, struct wv_tune_trial *trial, uint32_t *arm)
{
	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++) {
		struct wv_tune_point p = t->arm[t->best].point;
		char change[96];

		if (!(t->arm[t->best].unproved & (1U << k)) ||
		    p.value[k] == t->space.start.value[k] || idle(t, k))
			continue;
		t->arm[t->best].unproved &= ~(1U << k);
		p.value[k] = t->space.start.value[k];
		if (!wv_tune_space_settle(&t->space, &p) || tried(t, &p) ||
		    wv_tune_search_banned(t, &p) ||
		    wv_tune_memory_fits(&t->memory, &p) == WV_TUNE_FITS_NOT)
			continue;
		wv_tune_point_change(&t->arm[t->best].point, &p, change, sizeof(change));
		snprintf(trial->reason, sizeof(trial->reason), "came along with others: %s",
			 change);
		probe(t, &p, trial, arm);
		return true;
	}
	return false;
}

/*
 * Successive halving among those that are not slower than the best for certain: at each rung the
 * better half runs, at least two, as long as it is undecided.
 */
static bool halve(struct wv_tune *t, struct wv_tune_trial *trial, uint32_t *arm)
{
	for (uint32_t level = 1; level < WV_TUNE_RUNGS; level++) {
		uint32_t close[WV_TUNE_RUNS], n = 0, keep;

		for (uint32_t i = 1; i < t->n_arms; i++) {
			uint32_t at = n;

			if (!t->arm[i].told || t->arm[i].dead ||
			    (i != t->best &&
			     wv_tune_search_gain(t, t->best, i, STEP_PERMILLE).high <= 0))
				continue;
			for (; at > 0 && t->arm[close[at - 1]].step_ns > t->arm[i].step_ns; at--)
				close[at] = close[at - 1];
			close[at] = i;
			n++;
		}
		keep = n >> level;
		keep = keep < 2 ? 2 : keep;
		for (uint32_t i = 0; i < keep && n > 1; i++) {
			if (t->arm[close[i]].rung < level) {
				rung(t, close[i], level, trial, arm);
				return true;
			}
		}
	}
	return false;
}

static bool stop(struct wv_tune *t, const char *why)
{
	t->stopped = why;
	return false;
}

bool wv_tune_search_next(struct wv_tune *t, struct wv_tune_trial *ret, uint32_t *ret_arm)
{
	struct wv_tune_move moves[WV_TUNE_MOVES];
	struct wv_tune_point p;
	double expected = 0;
	unsigned n, took;

	if (t->n_search >= t->limits.trials)
		return stop(t, "all trials are used");
	/* a point that cannot be confirmed any more is of no use */
	if (t->n_runs + 1 + 2 * t->limits.pairs_min > t->limits.runs)
		return stop(t, "all runs but those of a confirmation are used");
	if (!wv_tune_affordable(t, 1 + 2ULL * t->limits.pairs_min, t->limits.confirm_steps))
		return stop(t, "the time that is left is needed for a confirmation");
	if (t->contest != WV_TUNE_NO_ARM) {
		rung(t, t->contest, t->arm[t->contest].rung + 1, ret, ret_arm);
		return true;
	}
	*ret_arm = wv_tune_search_without(t);
	if (*ret_arm != WV_TUNE_NO_ARM) {
		fill_probe(t, *ret_arm, ret);
		snprintf(ret->reason, sizeof(ret->reason),
			 "the best candidate without what changed its losses");
		return true;
	}
	n = fresh_moves(t, moves);
	took = t->bundles_failed < 2 ? bundle(t, moves, n, &p, &expected) : 0;
	if (n) {
		if (took == 0)
			p = moves[0].point;
		explain(t, &p, &moves[0], ret->reason);
		probe(t, &p, ret, ret_arm);
		if (took) {
			t->arm[*ret_arm].bundle =
				wv_tune_search_differing(&t->arm[t->best].point, &p);
			t->arm[*ret_arm].expected = expected;
		}
		return true;
	}
	if (gather(t, ret, ret_arm) || take_back(t, ret, ret_arm) || halve(t, ret, ret_arm))
		return true;
	return stop(t, "nothing else is thought to help");
}
