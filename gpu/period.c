// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/period.h"

#include <math.h>

#define LEAST 4 /* samples; what is shorter is not told from noise of the sampling */
#define TIMES 3 /* a period has to be seen so often */
/* How good a lag has to be beside the best one: multiples of the period match as well or better,
 * and the first such lag counts. Samples suffer from what is left over of a sample, names do not:
 * there, layers that repeat within a step are told from steps. */
#define AS_GOOD_SAMPLES 0.8
#define AS_GOOD_NAMES 0.95
#define CERTAIN_BY 4.0 /* standard deviations of chance: one lag in 16,000 passes by luck */

/* How alike the series is to itself moved by a lag: 1 the same, 0 by chance. */
typedef double (*alike_fn)(const void *series, size_t n, size_t lag, double base);

/* Pearson's coefficient, with the whole series' mean and variance; base: the mean. */
static double samples_alike(const void *series, size_t n, size_t lag, double base)
{
	const float *s = series;
	double both = 0, first = 0, second = 0;

	for (size_t i = lag; i < n; i++) {
		double a = s[i] - base, b = s[i - lag] - base;

		both += a * b;
		first += a * a;
		second += b * b;
	}
	return first > 0 && second > 0 ? both / sqrt(first * second) : 0;
}

/* Part of names that match beyond those that do by chance; base: the latter. */
static double names_alike(const void *series, size_t n, size_t lag, double base)
{
	const uint32_t *h = series;
	size_t same = 0;

	for (size_t i = lag; i < n; i++)
		same += h[i] == h[i - lag];
	return ((double)same / (double)(n - lag) - base) / (1 - base);
}

/* The lag within `around` +- `width` at which it is most alike. */
static size_t best_near(const void *series, size_t n, alike_fn alike, double base, size_t around,
			size_t width)
{
	size_t best = around;
	double most = -1;

	for (size_t lag = around - width; lag <= around + width; lag++) {
		double a = alike(series, n, lag, base);

		if (a > most) {
			most = a;
			best = lag;
		}
	}
	return best;
}

static struct wv_period find(const void *series, size_t n, alike_fn alike, double base,
			     double as_good)
{
	double at[WV_PERIOD_MAX / TIMES + 1], most = 0, lowest = 1, dip = 1, chance, length, sure;
	size_t last = n / TIMES, lag, first = 0;

	for (lag = 1; lag <= last; lag++)
		at[lag] = alike(series, n, lag, base);
	/* what is alike to its neighbours says nothing: it has to fall and to rise again */
	for (lag = 1; lag < last; lag++) {
		lowest = at[lag] < lowest ? at[lag] : lowest;
		if (lag >= LEAST && at[lag] >= at[lag - 1] && at[lag] >= at[lag + 1] &&
		    at[lag] - lowest > most)
			most = at[lag] - lowest;
	}
	for (lag = 1; lag < last && !first; lag++) {
		dip = at[lag] < dip ? at[lag] : dip;
		if (lag >= LEAST && at[lag] >= at[lag - 1] && at[lag] >= at[lag + 1] &&
		    at[lag] - dip >= as_good * most)
			first = lag;
	}
	if (!first)
		return (struct wv_period){0};
	chance = CERTAIN_BY / sqrt((double)(n - first));
	sure = at[first] < at[first] - dip ? at[first] : at[first] - dip;
	sure = chance < 1 ? (sure - chance) / (1 - chance) : 0;
	if (sure <= 0)
		return (struct wv_period){0};
	/* at a multiple, the part of a sample that is left over is larger */
	length = (double)first;
	for (size_t m = 2; (double)m * length + 2 < (double)last; m *= 2)
		length = (double)best_near(series, n, alike, base,
					   (size_t)((double)m * length + 0.5), 1) /
			 (double)m;
	return (struct wv_period){length, sure < 1 ? sure : 1};
}

struct wv_period wv_period_of_samples(const float *sample, size_t n)
{
	double sum = 0;

	if (n > WV_PERIOD_MAX) {
		sample += n - WV_PERIOD_MAX;
		n = WV_PERIOD_MAX;
	}
	if (n < 2 * LEAST * TIMES)
		return (struct wv_period){0};
	for (size_t i = 0; i < n; i++)
		sum += sample[i];
	return find(sample, n, samples_alike, sum / (double)n, AS_GOOD_SAMPLES);
}

struct wv_period wv_period_of_names(const uint32_t *hash, size_t n)
{
	size_t same = 0, pairs = 0;

	if (n > WV_PERIOD_MAX) {
		hash += n - WV_PERIOD_MAX;
		n = WV_PERIOD_MAX;
	}
	if (n < 2 * LEAST * TIMES)
		return (struct wv_period){0};
	/* chance: pairs at all distances, some of them taken */
	for (size_t i = 0; i < n; i++)
		for (size_t k = (i * 7919) % 61; k < n; k += 61)
			if (k != i) {
				pairs++;
				same += hash[i] == hash[k];
			}
	if (!pairs || same == pairs)
		return (struct wv_period){0};
	return find(hash, n, names_alike, (double)same / (double)pairs, AS_GOOD_NAMES);
}
