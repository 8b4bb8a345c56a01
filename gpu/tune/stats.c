// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/tune/stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

#define DRAWS 400 /* means that are drawn of a segment */
#define RESAMPLES 2000
/*
 * Looks after 3 to 8 pairs at an interval this much wider are wrong in 2 to 3 of 100 cases, by
 * simulation (tests/unit/test_tune_stats.c); at one as wide as it is, in 4 to 7.
 */
#define LOOKS 1.4
#define BLOCK 4 /* steps: a loader's stall is seldom longer */

uint64_t wv_tune_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint64_t wv_tune_seed(uint64_t seed, uint64_t use)
{
	uint64_t s = seed ^ (use * 0xd6e8feb86659fd93ULL);

	return wv_tune_random(&s);
}

/* The k-th smallest of x, which is reordered (Hoare's selection; pivot: median of three). */
static uint64_t select_kth(uint64_t *x, size_t n, size_t k)
{
	size_t low = 0, high = n - 1;

	while (low < high) {
		uint64_t a = x[low], b = x[low + (high - low) / 2], c = x[high];
		uint64_t pivot =
			a < b ? (b < c ? b : (a < c ? c : a)) : (a < c ? a : (b < c ? c : b));
		size_t i = low, j = high;

		for (;;) {
			while (x[i] < pivot)
				i++;
			while (x[j] > pivot)
				j--;
			if (i >= j)
				break;
			uint64_t swap = x[i];

			x[i++] = x[j];
			x[j--] = swap;
		}
		if (k <= j)
			high = j;
		else
			low = j + 1;
	}
	return x[k];
}

/* x is reordered. */
static uint64_t median_in_place(uint64_t *x, size_t n)
{
	uint64_t high, low = 0;

	if (n == 0)
		return 0;
	high = select_kth(x, n, n / 2);
	if (n % 2)
		return high;
	/* all below the place are not above it: the other one of the middle is their largest */
	for (size_t i = 0; i < n / 2; i++)
		if (x[i] > low)
			low = x[i];
	return low + (high - low) / 2;
}

uint64_t wv_tune_median(const uint64_t *x, size_t n)
{
	uint64_t copy[WV_TUNE_SERIES];

	if (n > WV_TUNE_SERIES)
		n = WV_TUNE_SERIES;
	memcpy(copy, x, n * sizeof(copy[0]));
	return median_in_place(copy, n);
}

double wv_tune_spread(const uint64_t *x, size_t n)
{
	uint64_t off[WV_TUNE_SERIES], middle;

	if (n > WV_TUNE_SERIES)
		n = WV_TUNE_SERIES;
	middle = wv_tune_median(x, n);
	for (size_t i = 0; i < n; i++)
		off[i] = x[i] > middle ? x[i] - middle : middle - x[i];
	return 1.4826 * (double)median_in_place(off, n);
}

/*
 * The first place after a front of slower steps, or `from`. x lies on a log scale, so that a
 * compile of a minute does not hide a second change.
 */
static size_t change(const double *x, size_t from, size_t n)
{
	double sum = 0, front = 0, whole, best = 0, var = 0;
	size_t at = from, most = from + (n - from) / 2;

	for (size_t i = from; i < n; i++)
		sum += x[i];
	whole = sum * sum / (double)(n - from);
	for (size_t i = from; i + 1 < n; i++) {
		double tail, saved;

		front += x[i];
		if (i + 1 > most)
			break;
		tail = sum - front;
		if (front / (double)(i + 1 - from) <= tail / (double)(n - i - 1))
			continue;
		saved = front * front / (double)(i + 1 - from) + tail * tail / (double)(n - i - 1) -
			whole;
		if (saved > best) {
			best = saved;
			at = i + 1;
		}
	}
	/* noise, from neighbours' differences: a change of level is in one of them only */
	for (size_t i = from + 1; i < n; i++)
		var += (x[i] - x[i - 1]) * (x[i] - x[i - 1]);
	var /= 2.0 * (double)(n - from - 1);
	/* a place and a level are two parameters; twice BIC's penalty, for noise has tails */
	return best > 4.0 * var * log((double)(n - from)) ? at : from;
}

size_t wv_tune_warmup(const uint64_t *x, size_t n, size_t least)
{
	double y[WV_TUNE_SERIES], spread, middle;
	size_t at, next;

	if (n > WV_TUNE_SERIES)
		n = WV_TUNE_SERIES;
	if (least >= n)
		return n;
	at = least;
	middle = (double)wv_tune_median(x + n / 2, n - n / 2);
	spread = wv_tune_spread(x + n / 2, n - n / 2);
	if (middle <= 0)
		return at;
	if (spread < middle * 1e-3)
		spread = middle * 1e-3;
	for (size_t i = 0; i < n; i++) {
		double v = (double)x[i];

		if (v > middle + 8 * spread)
			v = middle + 8 * spread;
		if (v < middle - 8 * spread)
			v = middle - 8 * spread;
		y[i] = v / middle;
	}
	for (unsigned round = 0; round < 3 && n - at >= 8; round++) {
		next = change(y, at, n);
		if (next == at || next > least + (n - least) / 2)
			break;
		at = next;
	}
	return at;
}

double wv_tune_mean(const uint64_t *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)x[i];
	return n ? sum / (double)n : 0;
}

/* A mean of n values drawn in blocks that wrap around the end. */
static double draw_mean(const uint64_t *x, size_t n, uint64_t *state)
{
	double sum = 0;
	size_t got = 0;

	while (got < n) {
		size_t at = (size_t)(wv_tune_random(state) % n);

		for (size_t i = 0; i < BLOCK && got < n; i++, got++)
			sum += (double)x[(at + i) % n];
	}
	return sum / (double)n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of n values, which are sorted here; a quantile lies at or outside of it. */
static void quantiles(double *v, size_t n, uint32_t permille, struct wv_tune_interval *ret)
{
	size_t cut = n * (1000 - permille) / 2000;

	qsort(v, n, sizeof(v[0]), by_value);
	ret->low = v[cut];
	ret->high = v[n - 1 - cut];
}

/* Above 0, whatever was told. */
static double level(double mean)
{
	return mean > 0 ? mean : 1;
}

void wv_tune_compare(const uint64_t *a, size_t na, const uint64_t *b, size_t nb, uint32_t permille,
		     uint64_t seed, struct wv_tune_interval *ret)
{
	double ratio[DRAWS], blocks, widen;

	if (na > WV_TUNE_SERIES)
		na = WV_TUNE_SERIES;
	if (nb > WV_TUNE_SERIES)
		nb = WV_TUNE_SERIES;
	if (na == 0 || nb == 0) {
		*ret = (struct wv_tune_interval){0, -1, HUGE_VAL};
		return;
	}
	for (size_t i = 0; i < DRAWS; i++)
		ratio[i] = level(draw_mean(a, na, &seed)) / level(draw_mean(b, nb, &seed)) - 1;
	ret->mid = level(wv_tune_mean(a, na)) / level(wv_tune_mean(b, nb)) - 1;
	quantiles(ratio, DRAWS, permille, ret);
	/* what is drawn of few blocks spreads less than what they were drawn of */
	blocks = (double)(na < nb ? na : nb) / BLOCK;
	widen = sqrt(blocks > 1.5 ? blocks / (blocks - 1) : 3);
	ret->low = ret->mid - (ret->mid - ret->low) * widen;
	ret->high = ret->mid + (ret->high - ret->mid) * widen;
}

/* tables of any textbook */
double wv_tune_student(size_t df)
{
	static const double t[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
				   2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131};

	return t[df <= ARRAY_SIZE(t) ? df - 1 : ARRAY_SIZE(t) - 1];
}

static double log_mean(const struct wv_tune_segment *s, uint64_t *state, bool draw)
{
	size_t n = s->n > WV_TUNE_SERIES ? WV_TUNE_SERIES : s->n;

	if (n == 0)
		return 0;
	return log(level(draw ? draw_mean(s->x, n, state) : wv_tune_mean(s->x, n)));
}

void wv_tune_pairs(const struct wv_tune_segment *a, const struct wv_tune_segment *b, size_t n,
		   uint64_t seed, struct wv_tune_interval *ret)
{
	float drawn[WV_TUNE_PAIRS][2][DRAWS];
	double mean[RESAMPLES], pair[WV_TUNE_PAIRS], sum = 0, var = 0, half;
	struct wv_tune_interval boot;

	if (n > WV_TUNE_PAIRS)
		n = WV_TUNE_PAIRS;
	if (n < 2) {
		*ret = (struct wv_tune_interval){0, -1, HUGE_VAL};
		return;
	}
	for (size_t p = 0; p < n; p++) {
		for (size_t i = 0; i < DRAWS; i++) {
			drawn[p][0][i] = (float)log_mean(&a[p], &seed, true);
			drawn[p][1][i] = (float)log_mean(&b[p], &seed, true);
		}
		pair[p] = log_mean(&a[p], NULL, false) - log_mean(&b[p], NULL, false);
		sum += pair[p];
	}
	for (size_t r = 0; r < RESAMPLES; r++) {
		mean[r] = 0;
		for (size_t i = 0; i < n; i++) {
			uint64_t x = wv_tune_random(&seed);
			size_t p = (size_t)(x % n);

			mean[r] += (double)drawn[p][0][(x >> 16) % DRAWS] -
				   (double)drawn[p][1][(x >> 40) % DRAWS];
		}
		mean[r] /= (double)n;
	}
	quantiles(mean, RESAMPLES, 950, &boot);
	sum /= (double)n;
	for (size_t p = 0; p < n; p++)
		var += (pair[p] - sum) * (pair[p] - sum);
	half = wv_tune_student(n - 1) * sqrt(var / (double)(n - 1) / (double)n);
	ret->mid = expm1(sum);
	ret->low = expm1(sum - half < boot.low ? sum - half : boot.low);
	ret->high = expm1(sum + half > boot.high ? sum + half : boot.high);
}

double wv_tune_low_of_looks(const struct wv_tune_interval *i)
{
	return i->mid - LOOKS * (i->mid - i->low);
}
