// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/tune/guard.h"

#include <math.h>

#include "gpu/tune/stats.h"

/* Fewer losses than this say nothing. */
#define LEAST 4
/*
 * Seeds that happen to agree must not make the band a point: 2 % of the loss is less than what one
 * seed in three differs by after a few hundred steps of the usual trainings.
 */
#define FLOOR 0.02

struct summary {
	double mean, low, high;
	double variance; /* of the mean, by neighbours' differences: the trend is not noise */
	size_t n;
	bool finite;
};

/* Over [from, to). A loss that is infinite or, beside others that are told, NAN is not finite. */
static struct summary summarize(const struct wv_tune_losses *l, size_t from, size_t to)
{
	struct summary s = {0, HUGE_VAL, -HUGE_VAL, 0, 0, true};
	double last = 0, steps = 0;
	size_t untold = 0;

	for (size_t i = from; i < to && i < l->n; i++) {
		double x = (double)l->loss[i];

		if (isnan(x)) {
			untold++;
			continue;
		}
		if (!isfinite(x)) {
			s.finite = false;
			continue;
		}
		if (s.n)
			steps += (x - last) * (x - last);
		last = x;
		s.mean += x;
		s.low = x < s.low ? x : s.low;
		s.high = x > s.high ? x : s.high;
		s.n++;
	}
	if (s.n)
		s.mean /= (double)s.n;
	if (s.n > 1)
		s.variance = steps / 2 / (double)(s.n - 1) / (double)s.n;
	/* a loss that became NAN stays so: the newest are all untold */
	if (untold && to > from && to <= l->n && isnan(l->loss[to - 1]) && l->n &&
	    !isnan(l->loss[0]))
		s.finite = false;
	return s;
}

bool wv_tune_guard_plausible(const struct wv_tune_losses *start, const struct wv_tune_losses *tried)
{
	size_t n = start->n < tried->n ? start->n : tried->n;
	struct summary a = summarize(start, n / 2, n), b = summarize(tried, n / 2, n);
	struct summary all = summarize(start, 0, n), ever = summarize(tried, 0, tried->n);
	double room;

	if (!b.finite || !ever.finite)
		return false;
	if (a.n < LEAST || b.n < LEAST)
		return true;
	/* a quarter of it, or as far as the start's own losses spread: noise or learning */
	room = fmax(all.high - all.low, 0.25 * fabs(a.mean));
	return fabs(b.mean - a.mean) <= room;
}

void wv_tune_guard_compare(const struct wv_tune_losses *a, const struct wv_tune_losses *b, size_t n,
			   struct wv_tune_band *ret)
{
	double least = HUGE_VAL, most = -HUGE_VAL, d[WV_TUNE_PAIRS], sum = 0, var = 0, room;
	double noise = 0, ci;
	bool finite = true, inside = true;

	*ret = (struct wv_tune_band){.known = n >= 3};
	if (n > WV_TUNE_PAIRS)
		n = WV_TUNE_PAIRS;
	for (size_t i = 0; i < n; i++) {
		size_t steps = a[i].n < b[i].n ? a[i].n : b[i].n;
		struct summary x = summarize(&a[i], steps / 2, steps);
		struct summary y = summarize(&b[i], steps / 2, steps);

		finite = finite && y.finite && summarize(&b[i], 0, b[i].n).finite;
		if (x.n < LEAST || (y.n < LEAST && y.finite))
			ret->known = false;
		if (i == 0 || steps < ret->steps)
			ret->steps = steps;
		least = fmin(least, x.mean);
		most = fmax(most, x.mean);
		d[i] = y.mean - x.mean;
		sum += d[i];
		noise += x.variance + y.variance;
		ret->of_a += x.mean / (double)n;
		ret->of_b += y.mean / (double)n;
	}
	if (!finite) {
		ret->known = true;
		return;
	}
	if (!ret->known)
		return;
	/* seeds to come may lie as far outside of those that were seen as these lie apart */
	room = fmax(most - least, FLOOR * fabs(ret->of_a));
	ret->low = least - room;
	ret->high = most + room;
	for (size_t i = 0; i < n; i++) {
		double mean = d[i] + summarize(&a[i], (a[i].n < b[i].n ? a[i].n : b[i].n) / 2,
					       a[i].n < b[i].n ? a[i].n : b[i].n)
					     .mean;

		inside = inside && mean >= ret->low && mean <= ret->high;
		var += (d[i] - sum / (double)n) * (d[i] - sum / (double)n);
	}
	ret->difference = sum / (double)n;
	ci = wv_tune_student(n - 1) * sqrt(var / (double)(n - 1) / (double)n);
	/* few pairs that happen to agree are as uncertain as the losses in them are noisy */
	ret->difference_ci = fmax(ci, 2 * sqrt(noise) / (double)n);
	/* and with equal seeds, no shift that is certain and larger than the band's half */
	ret->same = inside && !(fabs(ret->difference) - ret->difference_ci > room / 2);
}
