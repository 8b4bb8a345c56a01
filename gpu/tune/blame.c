// SPDX-License-Identifier: GPL-2.0-only
/* What a trial that failed teaches: which values are the cause, and are not tried again. */
#include <string.h>

#include "gpu/tune/state.h"
#include "user/core/cleanup.h"

/* Index of a knob's value in the space; WV_TUNE_VALUES: it is not there. */
static uint32_t place(const struct wv_tune *t, unsigned knob, int32_t value)
{
	uint32_t i = 0;

	while (i < t->space.knob[knob].n && t->space.knob[knob].value[i] != value)
		i++;
	return i < t->space.knob[knob].n ? i : WV_TUNE_VALUES;
}

bool wv_tune_search_banned(const struct wv_tune *t, const struct wv_tune_point *p)
{
	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++) {
		uint32_t at = place(t, k, p->value[k]);

		if (at < WV_TUNE_VALUES && (t->banned[k] & (1U << at)) &&
		    p->value[k] != t->space.start.value[k])
			return true;
	}
	return false;
}

uint32_t wv_tune_search_differing(const struct wv_tune_point *a, const struct wv_tune_point *b)
{
	uint32_t bits = 0;

	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++)
		if (a->value[k] != b->value[k] && k != WV_TUNE_ACCUMULATE)
			bits |= 1U << k;
	return bits;
}

void wv_tune_search_bury(struct wv_tune *t, uint32_t arm, enum wv_tune_status why)
{
	const struct wv_tune_point *p = &t->arm[arm].point;
	const struct wv_tune_point *from = &t->arm[t->arm[arm].parent].point;
	uint32_t suspects = 0;

	t->arm[arm].dead = true;
	/* its parent ran, unless it had passed the probe, too: then all that it has may be why */
	if (t->arm[arm].told)
		from = &t->space.start;
	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++)
		if ((wv_tune_search_differing(from, p) & (1U << k)) &&
		    (why != WV_TUNE_DIVERGED || wv_tune_knobs[k].numbers == WV_TUNE_CHANGES))
			suspects |= 1U << k;
	/* too little memory depends on all values together: that is what the model is for */
	if (__builtin_popcount(suspects) == 1 &&
	    (why != WV_TUNE_OOM || wv_tune_knobs[__builtin_ctz(suspects)].memory == WV_TUNE_FLAT)) {
		unsigned k = (unsigned)__builtin_ctz(suspects);
		uint32_t at = place(t, k, p->value[k]);

		if (at < WV_TUNE_VALUES)
			t->banned[k] |= 1U << at;
	}
	for (uint32_t i = 1; i < t->n_arms; i++)
		if (wv_tune_search_banned(t, &t->arm[i].point))
			t->arm[i].dead = true;
	if (t->arm[t->best].dead)
		wv_tune_search_rank(t);
}

void wv_tune_search_ignore(struct wv_tune *t, uint32_t knobs)
{
	if (knobs & (1U << WV_TUNE_MICRO))
		knobs |= 1U << WV_TUNE_ACCUMULATE; /* it follows */
	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++) {
		int32_t start = t->space.start.value[k];

		if (!(knobs & (1U << k)))
			continue;
		t->space.knob[k].n = start == WV_TUNE_UNSET ? 0 : 1;
		t->space.knob[k].value[0] = start;
		t->banned[k] = 0;
		for (uint32_t i = 1; i < t->n_arms; i++) {
			t->arm[i].point.value[k] = start;
			t->arm[i].unproved &= ~(1U << k);
		}
	}
	/* what is the start without them is no candidate */
	for (uint32_t i = 1; knobs && i < t->n_arms; i++)
		if (wv_tune_point_equal(&t->arm[i].point, &t->space.start))
			t->arm[i].dead = true;
	if (t->arm[t->best].dead)
		wv_tune_search_rank(t);
}

void wv_tune_search_suspect(struct wv_tune *t, uint32_t arm)
{
	const struct wv_tune_point *p = &t->arm[arm].point;
	uint32_t suspects = 0;
	unsigned k;

	for (k = 0; k < WV_TUNE_KNOB_N; k++)
		if ((wv_tune_search_differing(&t->space.start, p) & (1U << k)) &&
		    wv_tune_knobs[k].numbers == WV_TUNE_CHANGES)
			suspects |= 1U << k;
	/* other arithmetic is likelier to be the cause than the same global batch cut otherwise */
	if (suspects & (1U << WV_TUNE_PRECISION))
		k = WV_TUNE_PRECISION;
	else if (suspects)
		k = (unsigned)__builtin_ctz(suspects);
	else
		k = WV_TUNE_KNOB_N;
	t->without = *p;
	t->has_without = false;
	if (k < WV_TUNE_KNOB_N) {
		uint32_t at = place(t, k, p->value[k]);

		if (at < WV_TUNE_VALUES)
			t->banned[k] |= 1U << at;
		t->without.value[k] = t->space.start.value[k];
		t->has_without = wv_tune_space_settle(&t->space, &t->without);
	}
	wv_tune_search_bury(t, arm, WV_TUNE_DIVERGED);
}

void wv_tune_search_learn_oom(struct wv_tune *t, const struct wv_tune_arm *arm)
{
	uint32_t bits = wv_tune_search_differing(&t->arm[arm->parent].point, &arm->point);
	bool device = false;

	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++)
		if (bits & (1U << k))
			device = device || wv_tune_knobs[k].memory != WV_TUNE_FLAT;
	/* a cache in memory is the other one that runs out of it, but that is the host's */
	if (bits & (1U << WV_TUNE_CACHE) && arm->point.value[WV_TUNE_CACHE] == WV_TUNE_CACHE_RAM)
		device = false;
	if (device)
		wv_tune_memory_saw(&t->memory, &arm->point, 0);
}
