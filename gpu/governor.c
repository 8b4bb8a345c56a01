// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/governor.h"

#include <string.h>

#define FIRST_NS 60000000000ULL	     /* before the first measurement: programs warm up */
#define AGAIN_NS 600000000000ULL     /* after a good verdict */
#define LONGEST_NS 21600000000000ULL /* between tries after bad ones */
#define LEAST_PAIRS 8

void wv_governor_init(struct wv_governor *g, int level, uint64_t now)
{
	memset(g, 0, sizeof(*g));
	g->state = WV_GOVERNOR_RESTING;
	g->until = now + FIRST_NS;
	g->back_off = AGAIN_NS;
	g->level = g->wanted = level;
	g->on = true;
}

/* Few numbers: by insertion. */
static void sort(int64_t *v, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		int64_t x = v[i];
		unsigned j = i;

		for (; j && v[j - 1] > x; j--)
			v[j] = v[j - 1];
		v[j] = x;
	}
}

static uint64_t median_of(const uint64_t *step, unsigned n)
{
	int64_t v[WV_GOVERNOR_BLOCK];

	for (unsigned i = 0; i < n; i++)
		v[i] = (int64_t)step[i];
	sort(v, n);
	return (uint64_t)(n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2);
}

/*
 * Rank k (from 0) so that the k-th smallest and largest of n bound the median with 99 %: normal
 * approximation of the sign test, which asks nothing of how the noise is distributed.
 */
static unsigned rank_of(unsigned n)
{
	static const uint8_t rank[] = {0, 1, 2, 3,
				       4, 6, 7, 8}; /* n = 8, 12, 15, 18, 21, 25, 28, 31 */
	static const uint8_t from[] = {8, 12, 15, 18, 21, 25, 28, 31};
	unsigned r = 0;

	for (unsigned i = 0; i < sizeof(from); i++)
		if (n >= from[i])
			r = rank[i];
	return r;
}

static void rest(struct wv_governor *g, uint64_t now, uint64_t ns)
{
	g->state = WV_GOVERNOR_RESTING;
	g->until = now + ns;
	g->on = true;
}

static bool judge(struct wv_governor *g, uint64_t now)
{
	int64_t v[WV_GOVERNOR_PAIRS], low, high, middle;
	unsigned k = rank_of(g->pairs);

	if (g->pairs < LEAST_PAIRS)
		return false;
	memcpy(v, g->pair_ppm, g->pairs * sizeof(v[0]));
	sort(v, g->pairs);
	low = v[k];
	high = v[g->pairs - 1 - k];
	middle = (v[(g->pairs - 1) / 2] + v[g->pairs / 2]) / 2;
	if (low <= WV_GOVERNOR_LIMIT_PPM && high > WV_GOVERNOR_LIMIT_PPM &&
	    g->pairs < WV_GOVERNOR_PAIRS)
		return false;
	g->cost_ppm = middle;
	if (low > WV_GOVERNOR_LIMIT_PPM ||
	    (high > WV_GOVERNOR_LIMIT_PPM && middle > WV_GOVERNOR_LIMIT_PPM)) {
		g->level--;
		rest(g, now, g->back_off);
		g->back_off = g->back_off < LONGEST_NS / 2 ? 2 * g->back_off : LONGEST_NS;
	} else {
		rest(g, now, AGAIN_NS);
	}
	return true;
}

static void begin(struct wv_governor *g)
{
	g->state = WV_GOVERNOR_MEASURING;
	g->quarter = g->n = g->pairs = 0;
	g->on = true;
	/* a level that was too costly gets its chance again */
	if (g->level < g->wanted)
		g->level++;
}

/* After four blocks: two comparisons of neighbours, as one of their sums. */
static void pair(struct wv_governor *g)
{
	int64_t on = (int64_t)(g->median[0] + g->median[3]);
	int64_t off = (int64_t)(g->median[1] + g->median[2]);

	g->on_ns = (uint64_t)on / 2;
	g->off_ns = (uint64_t)off / 2;
	g->pair_ppm[g->pairs++] = off > 0 ? (on - off) * 1000000 / off : 0;
}

int wv_governor_step(struct wv_governor *g, uint64_t now, uint64_t step, bool *ret_verdict)
{
	*ret_verdict = false;
	if (g->state == WV_GOVERNOR_RESTING) {
		if (now >= g->until && g->wanted > 0)
			begin(g);
		return g->level;
	}
	g->step[g->n++] = step;
	if (g->n < WV_GOVERNOR_BLOCK)
		return g->on ? g->level : 0;
	g->median[g->quarter++] =
		median_of(g->step + WV_GOVERNOR_SETTLE, WV_GOVERNOR_BLOCK - WV_GOVERNOR_SETTLE);
	g->n = 0;
	if (g->quarter == 4) {
		g->quarter = 0;
		pair(g);
		*ret_verdict = judge(g, now);
		if (*ret_verdict)
			return g->level;
	}
	g->on = g->quarter == 0 || g->quarter == 3;
	return g->on ? g->level : 0;
}
