// SPDX-License-Identifier: GPL-2.0-only
/* The engine's life: trials go out, outcomes come in, a result is read. */
#include "gpu/tune/engine.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/tune/state.h"
#include "user/core/cleanup.h"

/* A step that takes longer than this is a broken number. */
#define STEP_MOST_NS (24ULL * 3600 * 1000000000)
/* Fewer measured steps than this have no median worth the name. */
#define STEPS_LEAST 4
/* A trial that is this much slower than the start's is no candidate ... */
#define SLOW_TIMES 4
/* ... after what a compiler may take before the first step. */
#define COMPILE_NS (300ULL * 1000000000)
/* The start, of which nothing is known yet. */
#define BASELINE_NS (1800ULL * 1000000000)
/* Shares of parts that are rounded each may exceed the whole by so much. */
#define SHARES_SLACK 1.02

const char *const wv_tune_purpose_names[WV_TUNE_PURPOSE_N] = {
#define X(id, name, doc) [WV_TUNE_##id] = name,
	WV_TUNE_PURPOSES(X)
#undef X
};
const char *const wv_tune_status_names[WV_TUNE_STATUS_N] = {
#define X(id, name, doc) [WV_TUNE_##id] = name,
	WV_TUNE_STATUSES(X)
#undef X
};
const char *const wv_tune_guard_names[] = {"exact", "equivalent", "diverged", "unknown", "off"};
const char *const wv_tune_end_names[] = {"running", "improved", "kept", "no-baseline"};

struct wv_tune_limits wv_tune_limits_default(void)
{
	return (struct wv_tune_limits){
		.trials = 12, /* what the search has to do with: the simulated surfaces need no more
			       */
		.runs = 12 + 2 * 8,	    /* and a whole confirmation */
		.rung_steps = {20, 40, 80}, /* 3 % of noise a step: 0.8, 0.6, 0.4 % of the median */
		.warmup_steps = 5,	    /* allocator and caches; the rest is found */
		.confirm_steps = 40,	    /* a drift of the machine is slower than two of them */
		.pairs_min = 3,	   /* Student's t with two degrees of freedom: big gains only */
		.pairs_max = 8,	   /* more would cost more than what they prove */
		.gain_ppm = 10000, /* less is not worth another configuration */
		.memory_permille = 920, /* fragments grow for longer than a trial lasts */
		.guard = true,
		.seed = 1,
	};
}

static bool sensible(const struct wv_tune_limits *l)
{
	uint32_t most = WV_TUNE_STEPS - l->warmup_steps;

	if (l->trials < 1 || l->runs < l->trials || l->runs > WV_TUNE_RUNS ||
	    l->warmup_steps > WV_TUNE_STEPS / 2)
		return false;
	for (unsigned i = 0; i < WV_TUNE_RUNGS; i++)
		if (l->rung_steps[i] < 2 * STEPS_LEAST || l->rung_steps[i] > most ||
		    (i && l->rung_steps[i] < l->rung_steps[i - 1]))
			return false;
	return l->confirm_steps >= 2 * STEPS_LEAST && l->confirm_steps <= most &&
	       l->pairs_min >= 3 && l->pairs_max >= l->pairs_min && l->pairs_max <= WV_TUNE_PAIRS &&
	       l->memory_permille >= 1 && l->memory_permille <= 1000 && l->gain_ppm < 10000000;
}

struct wv_tune *wv_tune_new(const struct wv_tune_space *space, const struct wv_tune_limits *limits)
{
	struct wv_tune *t;

	if (!sensible(limits) || space->world == 0) {
		errno = EINVAL;
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		errno = ENOMEM;
		return NULL;
	}
	t->space = *space;
	t->limits = *limits;
	t->contest = WV_TUNE_NO_ARM;
	t->confirm.arm = WV_TUNE_NO_ARM;
	t->arm[0].point = space->start;
	t->n_arms = 1;
	wv_tune_memory_init(&t->memory, space->memory_limit_bytes, limits->memory_permille);
	return t;
}

void wv_tune_free(struct wv_tune *t)
{
	free(t);
}

uint64_t wv_tune_estimate(const struct wv_tune *t, uint32_t steps)
{
	return t->startup_ns + steps * t->arm[0].step_ns;
}

bool wv_tune_affordable(const struct wv_tune *t, uint64_t n, uint32_t steps)
{
	uint64_t left;

	if (t->limits.budget_ns == 0)
		return true;
	if (t->elapsed_ns >= t->limits.budget_ns)
		return false;
	left = t->limits.budget_ns - t->elapsed_ns;
	return wv_tune_estimate(t, t->limits.warmup_steps + steps) <= left / (n ? n : 1);
}

void wv_tune_finish(struct wv_tune *t, enum wv_tune_end end, const char *why)
{
	t->phase = WV_TUNE_AT_END;
	t->end = end;
	snprintf(t->why, sizeof(t->why), "%s", why);
}

static uint64_t timeout(const struct wv_tune *t, const struct wv_tune_trial *trial)
{
	uint64_t ns = BASELINE_NS, left;

	if (trial->purpose != WV_TUNE_BASELINE)
		ns = SLOW_TIMES * wv_tune_estimate(t, trial->steps) + COMPILE_NS;
	if (t->limits.budget_ns == 0)
		return ns;
	left = t->limits.budget_ns > t->elapsed_ns ? t->limits.budget_ns - t->elapsed_ns : 1;
	return ns < left ? ns : left;
}

static bool ask(struct wv_tune *t, struct wv_tune_trial *trial, uint32_t *arm)
{
	if (t->n_runs >= t->limits.runs && t->phase != WV_TUNE_AT_END)
		wv_tune_finish(t, WV_TUNE_KEPT, "no more runs are allowed, and nothing is certain");
	if (t->phase == WV_TUNE_AT_BASELINE) {
		trial->purpose = WV_TUNE_BASELINE;
		trial->steps = t->limits.rung_steps[1];
		trial->point = t->space.start;
		trial->seed = wv_tune_seed(t->limits.seed, 0);
		snprintf(trial->reason, sizeof(trial->reason), "to see what holds the start back");
		*arm = 0;
		return true;
	}
	/* a confirmation that finds another training gives back to the search */
	for (unsigned turn = 0; turn < 2 * WV_TUNE_RUNS && t->phase != WV_TUNE_AT_END; turn++) {
		if (t->phase == WV_TUNE_AT_SEARCH) {
			if (wv_tune_search_next(t, trial, arm))
				return true;
			wv_tune_confirm_begin(t);
		}
		if (t->phase == WV_TUNE_AT_CONFIRM && wv_tune_confirm_next(t, trial, arm))
			return true;
	}
	return false;
}

/*
 * Workers fill their queue while the training starts: until that is used up, the loader looks
 * faster than it is. Emptying takes longer than its length, since it is refilled meanwhile.
 */
static uint32_t queue_steps(const struct wv_tune *t, const struct wv_tune_point *p)
{
	int32_t workers = p->value[WV_TUNE_WORKERS], prefetch = p->value[WV_TUNE_PREFETCH];
	int32_t micro = p->value[WV_TUNE_ACCUMULATE];
	uint32_t steps, most = WV_TUNE_STEPS - t->limits.rung_steps[WV_TUNE_RUNGS - 1];

	if (workers <= 0)
		return 0;
	steps = 2 * (uint32_t)workers * (uint32_t)(prefetch > 0 ? prefetch : 2);
	steps = micro > 1 ? steps / (uint32_t)micro + 1 : steps;
	return steps < most ? steps : most;
}

/* Of a confirmation both arms leave out as much: their losses are compared step by step. */
static uint32_t warmup(const struct wv_tune *t, const struct wv_tune_trial *trial)
{
	uint32_t queue = queue_steps(t, &trial->point), other;

	if (trial->purpose >= WV_TUNE_CONFIRM_A) {
		other = queue_steps(t, &t->arm[t->confirm.arm].point);
		queue = queue > other ? queue : other;
	}
	return queue > t->limits.warmup_steps ? queue : t->limits.warmup_steps;
}

int wv_tune_next(struct wv_tune *t, struct wv_tune_trial *ret)
{
	struct wv_tune_trial trial = {.id = t->n_runs};

	if (!t->out) {
		if (!ask(t, &trial, &t->trial_arm))
			return 0;
		trial.warmup = warmup(t, &trial);
		trial.steps += trial.warmup;
		trial.timeout_ns = timeout(t, &trial);
		t->trial = trial;
		t->out = true;
	}
	*ret = t->trial;
	return 1;
}

static bool shares_known(const struct wv_tune_shares *s)
{
	double sum = (double)s->kernel + (double)s->exposed + (double)s->memory;

	for (unsigned c = 0; c < WV_GPU_CAUSE_N; c++)
		sum += (double)s->cause_ns[c];
	return s->window > 0 && sum <= (double)s->window * SHARES_SLACK;
}

/* The outcome becomes a run: steps after the warm-up, and a status that the guard has seen, too. */
static void take(struct wv_tune *t, const struct wv_tune_outcome *o, struct wv_tune_run *r)
{
	size_t cut = wv_tune_warmup(o->step_ns, o->n_steps, t->trial.warmup);

	r->trial = t->trial;
	r->arm = t->trial_arm;
	r->status = o->status;
	r->elapsed_ns = o->elapsed_ns;
	r->peak_bytes = o->peak_bytes;
	r->n = (uint32_t)(o->n_steps - cut);
	memcpy(r->step_ns, o->step_ns + cut, r->n * sizeof(r->step_ns[0]));
	r->n_losses = o->losses ? o->n_steps : 0;
	memcpy(r->loss, o->loss, r->n_losses * sizeof(r->loss[0]));
	/* ended too early to say anything, whatever the runner thinks of it */
	if (r->status == WV_TUNE_OK && r->n < STEPS_LEAST)
		r->status = WV_TUNE_FAILED;
	if (r->status == WV_TUNE_OK && t->n_runs && t->limits.guard && r->n_losses) {
		struct wv_tune_losses start = {t->run[0].loss, t->run[0].n_losses};
		struct wv_tune_losses tried = {r->loss, r->n_losses};

		if (r->arm && !wv_tune_guard_plausible(&start, &tried))
			r->status = WV_TUNE_DIVERGED;
	}
}

static void baseline_told(struct wv_tune *t, const struct wv_tune_outcome *o)
{
	const struct wv_tune_run *r = &t->run[0];
	uint64_t steps = 0;
	size_t told = 0;

	t->n_search++;
	if (r->status != WV_TUNE_OK) {
		char why[WV_TUNE_TEXT];

		snprintf(why, sizeof(why), "the start itself does not run: %s",
			 wv_tune_status_names[r->status]);
		wv_tune_finish(t, WV_TUNE_NO_BASELINE, why);
		return;
	}
	for (uint32_t i = 0; i < o->n_steps; i++)
		steps += o->step_ns[i];
	t->startup_ns = o->elapsed_ns > steps ? o->elapsed_ns - steps : 0;
	t->arm[0].step_ns = (uint64_t)wv_tune_mean(r->step_ns, r->n);
	t->arm[0].told = true;
	t->arm[0].rung = 1;
	for (uint32_t i = 0; i < r->n_losses; i++)
		told += isfinite(r->loss[i]) ? 1 : 0;
	/* where the start's own losses are not told, or no numbers, nothing can be compared with
	 * them */
	t->unguarded = t->limits.guard && told < 2 * STEPS_LEAST;
	t->phase = WV_TUNE_AT_SEARCH;
}

int wv_tune_told(struct wv_tune *t, const struct wv_tune_outcome *o)
{
	struct wv_tune_run *r = &t->run[t->n_runs];

	if (!t->out || (unsigned)o->status >= WV_TUNE_STATUS_N || o->n_steps > WV_TUNE_STEPS)
		return -EINVAL;
	for (uint32_t i = 0; i < o->n_steps; i++)
		if (o->step_ns[i] == 0 || o->step_ns[i] > STEP_MOST_NS)
			return -EINVAL;
	take(t, o, r);
	t->out = false;
	t->elapsed_ns += o->elapsed_ns;
	if (shares_known(&o->shares) && r->status == WV_TUNE_OK)
		t->arm[r->arm].shares = o->shares;
	if (r->status != WV_TUNE_OOM && o->peak_bytes && r->n)
		wv_tune_memory_saw(&t->memory, &r->trial.point, o->peak_bytes);
	t->n_runs++;
	wv_tune_search_ignore(t, o->ignored);
	switch (r->trial.purpose) {
	case WV_TUNE_BASELINE:
		baseline_told(t, o);
		break;
	case WV_TUNE_PROBE:
	case WV_TUNE_RUNG:
		t->n_search++;
		wv_tune_search_told(t, r);
		break;
	case WV_TUNE_CONFIRM_A:
	case WV_TUNE_CONFIRM_B:
		wv_tune_confirm_told(t, t->n_runs - 1);
		break;
	case WV_TUNE_PURPOSE_N:
		break;
	}
	return 0;
}

/* Texts and timeouts may change between versions; what is measured may not. */
static bool same_trial(const struct wv_tune_trial *a, const struct wv_tune_trial *b)
{
	return a->id == b->id && a->purpose == b->purpose && a->pair == b->pair &&
	       a->steps == b->steps && a->warmup == b->warmup && a->seed == b->seed &&
	       wv_tune_point_equal(&a->point, &b->point);
}

int wv_tune_replay(struct wv_tune *t, const struct wv_tune_trial *trials,
		   const struct wv_tune_outcome *outcomes, size_t n, size_t *ret_at)
{
	for (size_t i = 0; i < n; i++) {
		struct wv_tune_trial trial;
		int r;

		if (wv_tune_next(t, &trial) == 0 || !same_trial(&trial, &trials[i])) {
			if (ret_at)
				*ret_at = i;
			return -ESTALE;
		}
		r = wv_tune_told(t, &outcomes[i]);
		if (r < 0) {
			if (ret_at)
				*ret_at = i;
			return r;
		}
	}
	return 0;
}

void wv_tune_result(const struct wv_tune *t, struct wv_tune_result *ret)
{
	uint32_t at = t->end == WV_TUNE_IMPROVED ? t->confirm.arm : 0;

	*ret = (struct wv_tune_result){
		.end = t->end,
		.point = t->arm[at].point,
		.pairs = t->confirm.pairs,
		.guard = t->limits.guard ? t->confirm.guard : WV_TUNE_GUARD_OFF,
		.was = wv_tune_bound(&t->arm[0].shares),
		.is = wv_tune_bound(&t->arm[at].shares),
		.trials = t->n_search,
		.runs = t->n_runs,
		.elapsed_ns = t->elapsed_ns,
	};
	if (t->confirm.pairs >= t->limits.pairs_min) {
		ret->gain = t->confirm.gain.mid;
		ret->gain_low = t->confirm.gain.low;
		ret->gain_high = t->confirm.gain.high;
	}
	snprintf(ret->why, sizeof(ret->why), "%s", t->end == WV_TUNE_RUNNING ? "" : t->why);
	snprintf(ret->guard_text, sizeof(ret->guard_text), "%s", t->guard_text);
}

void wv_tune_best(const struct wv_tune *t, struct wv_tune_point *ret, uint64_t *ret_step_ns)
{
	*ret = t->arm[t->best].point;
	*ret_step_ns = t->arm[t->best].step_ns;
}
