// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inputs by column. A time of 300 ms must be the same double as the literal 300ms: so stored units
 * are divided by an exact power of ten and rounded once, where a multiplication by 1e-9 would round
 * twice. Sums over cgroups are of integers, so their order does not matter.
 */
#include "user/policy/columns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/policy/lanes.h"

#define HIST_RAW (WV_HIST_BUCKETS + 1) /* raw columns of a histogram: buckets, sum_ns */
#define LANES WV_BLOCK_LANES

#define B4(n) 1ULL << (n), 1ULL << ((n) + 1), 1ULL << ((n) + 2), 1ULL << ((n) + 3)
#define B16(n) B4(n), B4((n) + 4), B4((n) + 8), B4((n) + 12)
const uint64_t wv_lane_bit[64] = {B16(0), B16(16), B16(32), B16(48)};

enum of { OF_GAUGE, OF_COUNTER, OF_SIGNAL, OF_NOTHING, OF_HIST };
static const enum of kinds[WV_COLUMN_N] = {
#define X(id, text, of) [WV_COLUMN_##id] = OF_##of,
	WV_COLUMN_KINDS(X)
#undef X
};

bool wv_column_valid(const struct wv_column *c)
{
	if (c->kind >= WV_COLUMN_N)
		return false;
	if (kinds[c->kind] == OF_NOTHING)
		return c->index == 0;
	if (kinds[c->kind] == OF_HIST)
		return c->index < WV_HIST_N &&
		       (c->kind != WV_COLUMN_QUANTILE || (c->q > 0 && c->q <= 1));
	return c->index < WV_SIG_N &&
	       (kinds[c->kind] == OF_SIGNAL ||
		wv_signal_is_counter((enum wv_signal)c->index) == (kinds[c->kind] == OF_COUNTER));
}

double wv_scale_divisor(enum wv_scale scale)
{
	switch (scale) {
	case WV_NS:
		return 1e9;
	case WV_US:
		return 1e6;
	case WV_PERMILLE:
		return 1e3;
	default:
		return 1;
	}
}

/* Which raw columns the specs need. */
static void plan(struct wv_columns *c)
{
	memset(c->raw_signal, 0xff, sizeof(c->raw_signal));
	memset(c->raw_hist, 0xff, sizeof(c->raw_hist));
	for (unsigned i = 0; i < c->n_specs; i++) {
		const struct wv_column *s = &c->specs[i];

		if (kinds[s->kind] == OF_HIST || kinds[s->kind] == OF_NOTHING)
			continue;
		c->shared[s->index] |= s->kind == WV_COLUMN_SHARE;
		if (c->raw_signal[s->index] != WV_NO_RAW)
			continue;
		c->raw_signal[s->index] = (uint16_t)c->n_raw++;
		c->signals[c->n_signals++] = s->index;
	}
	for (unsigned i = 0; i < c->n_specs; i++) {
		const struct wv_column *s = &c->specs[i];

		if (kinds[s->kind] != OF_HIST || c->raw_hist[s->index] != WV_NO_RAW)
			continue;
		c->raw_hist[s->index] = (uint16_t)c->n_raw;
		c->n_raw += HIST_RAW;
	}
}

/* 64-bit words of all arrays. */
static size_t words(const struct wv_columns *c)
{
	return (size_t)c->n_blocks *
	       (LANES * (2 * (size_t)c->n_raw + 2 + c->n_specs) + 3 + c->n_specs);
}

size_t wv_columns_bytes(const struct wv_column *specs, unsigned n_specs, uint32_t max_lanes)
{
	struct wv_columns c = {
		.specs = specs, .n_specs = n_specs, .n_blocks = (max_lanes + LANES - 1) / LANES};

	plan(&c);
	return words(&c) * sizeof(uint64_t);
}

static void *carve(char **at, size_t n_words)
{
	void *p = *at;

	*at += n_words * sizeof(uint64_t);
	return p;
}

int wv_columns_init(struct wv_columns *c, const struct wv_column *specs, unsigned n_specs,
		    uint32_t max_lanes, uint64_t max_gap_ns)
{
	size_t lanes;
	char *at;

	*c = (struct wv_columns){0};
	if (n_specs > WV_COLUMNS_MAX || max_lanes > WV_LANES_MAX)
		return -EINVAL;
	c->specs = specs;
	c->n_specs = n_specs;
	c->n_blocks = (max_lanes + LANES - 1) / LANES;
	c->max_gap_ns = max_gap_ns;
	c->root = UINT32_MAX;
	plan(c);
	/* zeroed pages that no lane uses are never touched */
	c->memory = calloc(words(c) + 8, sizeof(uint64_t));
	if (!c->memory)
		return -ENOMEM;
	lanes = (size_t)c->n_blocks * LANES;
	at = (char *)(((uintptr_t)c->memory + 63) & ~(uintptr_t)63);
	c->num = carve(&at, lanes * n_specs);
	c->raw = carve(&at, lanes * c->n_raw);
	c->raw_last = carve(&at, lanes * c->n_raw);
	c->key = carve(&at, lanes);
	c->created_ns = carve(&at, lanes);
	c->known = carve(&at, (size_t)c->n_blocks * n_specs);
	c->live = carve(&at, c->n_blocks);
	c->live_last = carve(&at, c->n_blocks);
	c->kept = carve(&at, c->n_blocks);
	return 0;
}

void wv_columns_done(struct wv_columns *c)
{
	free(c->memory);
	*c = (struct wv_columns){0};
}

int wv_columns_begin(struct wv_columns *c, uint64_t now_ns)
{
	uint64_t *raw = c->raw, *live = c->live;

	if (c->has_last && now_ns <= c->now_ns)
		return -EINVAL;
	c->dt_ns = c->has_last ? now_ns - c->now_ns : 0;
	if (c->dt_ns > c->max_gap_ns)
		c->dt_ns = 0;
	c->has_last = true;
	c->now_ns = now_ns;
	c->root = UINT32_MAX;
	c->raw = c->raw_last;
	c->raw_last = raw;
	c->live = c->live_last;
	c->live_last = live;
	if (!c->n_blocks)
		return 0;
	memset(c->live, 0, c->n_blocks * sizeof(*c->live));
	memset(c->kept, 0, c->n_blocks * sizeof(*c->kept));
	return 0;
}

void wv_columns_set(struct wv_columns *c, uint32_t lane, uint64_t key, uint64_t created_ns,
		    const uint64_t *figures, const struct wv_hist *hists)
{
	unsigned block = lane / LANES;
	uint64_t bit, *raw;

	if (block >= c->n_blocks)
		return;
	bit = wv_lane_bit[lane % LANES];
	raw = c->raw + (size_t)block * c->n_raw * LANES + lane % LANES;
	c->live[block] |= bit;
	if ((c->live_last[block] & bit) && c->key[lane] == key && c->dt_ns)
		c->kept[block] |= bit;
	c->key[lane] = key;
	c->created_ns[lane] = created_ns;
	for (unsigned i = 0; i < c->n_signals; i++)
		raw[(size_t)i * LANES] = figures[c->signals[i]];
	for (unsigned h = 0; h < WV_HIST_N; h++) {
		uint64_t *to = raw + (size_t)c->raw_hist[h] * LANES;

		if (c->raw_hist[h] == WV_NO_RAW)
			continue;
		for (unsigned b = 0; b < WV_HIST_BUCKETS; b++)
			to[(size_t)b * LANES] = hists[h].bucket[b];
		to[(size_t)WV_HIST_BUCKETS * LANES] = hists[h].sum_ns;
	}
}

void wv_columns_set_root(struct wv_columns *c, uint32_t lane)
{
	if (lane / LANES < c->n_blocks)
		c->root = lane;
}

/* One raw column of one block, this tick's or the last one's. */
WV_INLINE const uint64_t *raw_of(const struct wv_columns *c, const uint64_t *raw, unsigned block,
				 unsigned column)
{
	return raw + ((size_t)block * c->n_raw + column) * LANES;
}

/* A signal of one lane: its value, or of a counter its change. False if that is not known. */
static bool lane_figure(const struct wv_columns *c, unsigned signal, unsigned block, unsigned lane,
			uint64_t *ret)
{
	uint64_t now = raw_of(c, c->raw, block, c->raw_signal[signal])[lane],
		 last = raw_of(c, c->raw_last, block, c->raw_signal[signal])[lane];
	bool counter = wv_signal_is_counter((enum wv_signal)signal);

	*ret = counter ? now - last : now;
	return counter ? (c->kept[block] & wv_lane_bit[lane]) && !wv_went_back(now - last)
		       : (c->live[block] & wv_lane_bit[lane]) != 0;
}

/*
 * The machine's figure: what counts descendants stands in the root's row; of what does not, the sum
 * of all rows. -1: not known.
 */
static double total_of(const struct wv_columns *c, unsigned signal)
{
	bool tree = wv_signals[signal].kind == WV_TREE_COUNTER ||
		    wv_signals[signal].kind == WV_TREE_GAUGE;
	uint64_t sum = 0, v;

	if (tree)
		return c->root != UINT32_MAX &&
				       lane_figure(c, signal, c->root / LANES, c->root % LANES, &v)
			       ? wv_double_of(v)
			       : -1;
	for (unsigned block = 0; block < c->n_blocks; block++)
		for (uint64_t left = c->live[block]; left; left &= left - 1)
			if (lane_figure(c, signal, block, (unsigned)__builtin_ctzll(left), &v))
				sum += v;
	return wv_double_of(sum);
}

static void make_value(const uint64_t *restrict now, double divisor, double *restrict out)
{
	WV_EACH_LANE (i)
		out[i] = wv_double_of(now[i]) / divisor;
}

/* Change times factor by divisor; the lanes where it is known. */
static uint64_t make_change(const uint64_t *restrict now, const uint64_t *restrict last,
			    double factor, double divisor, double *restrict out)
{
	uint64_t back = 0;

	WV_EACH_LANE (i) {
		uint64_t d = now[i] - last[i];

		out[i] = wv_double_of(d) * factor / divisor;
		back |= wv_went_back(d) & wv_lane_bit[i];
	}
	return ~back;
}

static void make_age(const struct wv_columns *c, unsigned block, double *restrict out)
{
	const uint64_t *created = c->created_ns + (size_t)block * LANES;

	WV_EACH_LANE (i)
		out[i] = wv_double_of(created[i] < c->now_ns ? c->now_ns - created[i] : 0) / 1e9;
}

/* Everything but histograms. */
static void make_column(const struct wv_columns *c, unsigned block, unsigned column)
{
	const struct wv_column *s = &c->specs[column];
	size_t at = (size_t)block * c->n_specs + column;
	double *out = c->num + at * LANES, total;
	const uint64_t *now, *last;
	double divisor;

	if (s->kind == WV_COLUMN_AGE) {
		make_age(c, block, out);
		c->known[at] = c->live[block];
		return;
	}
	now = raw_of(c, c->raw, block, c->raw_signal[s->index]);
	last = raw_of(c, c->raw_last, block, c->raw_signal[s->index]);
	divisor = wv_scale_divisor(wv_signals[s->index].scale);
	total = c->total[s->index];
	switch (s->kind) {
	case WV_COLUMN_VALUE:
		make_value(now, divisor, out);
		c->known[at] = c->live[block];
		break;
	case WV_COLUMN_DELTA:
		c->known[at] = c->kept[block] & make_change(now, last, 1, divisor, out);
		break;
	case WV_COLUMN_RATE:
		c->known[at] = c->kept[block] &
			       make_change(now, last, 1e9 / divisor, wv_double_of(c->dt_ns), out);
		break;
	default: /* a share: of nothing it is 0, as every part is then */
		divisor = total > 0 ? total : 1;
		if (wv_signal_is_counter((enum wv_signal)s->index)) {
			c->known[at] = c->kept[block] & make_change(now, last, 1, divisor, out);
		} else {
			make_value(now, divisor, out);
			c->known[at] = c->live[block];
		}
		if (total < 0)
			c->known[at] = 0;
	}
}

/* What happened in a histogram since the last sample. */
struct change {
	double in[WV_HIST_BUCKETS][LANES],
		up_to[WV_HIST_BUCKETS][LANES]; /* of and up to a bucket */
	double sum_ns[LANES];
	uint64_t known;
};

static void make_hist(const struct wv_columns *c, unsigned block, unsigned hist, struct change *ret)
{
	unsigned first = c->raw_hist[hist];

	ret->known = c->kept[block];
	for (unsigned b = 0; b < HIST_RAW; b++)
		ret->known &= make_change(raw_of(c, c->raw, block, first + b),
					  raw_of(c, c->raw_last, block, first + b), 1, 1,
					  b < WV_HIST_BUCKETS ? ret->in[b] : ret->sum_ns);
	memcpy(ret->up_to[0], ret->in[0], sizeof(ret->up_to[0]));
	for (unsigned b = 1; b < WV_HIST_BUCKETS; b++)
		WV_EACH_LANE (i)
			ret->up_to[b][i] = ret->up_to[b - 1][i] + ret->in[b][i];
}

static void make_mean(const struct change *restrict h, double *restrict out)
{
	const double *n = h->up_to[WV_HIST_BUCKETS - 1];

	WV_EACH_LANE (i)
		out[i] = n[i] > 0 ? h->sum_ns[i] / 1e9 / n[i] : 0;
}

/*
 * By linear interpolation within the bucket, as Prometheus does it. The last bucket has no upper
 * bound; it is taken for as wide as all before it. 0 where nothing happened.
 */
static void make_quantile(const struct change *restrict h, double q, double *restrict out)
{
	const double *n = h->up_to[WV_HIST_BUCKETS - 1];
	double below[LANES], in[LANES], from[LANES], width[LANES];

	WV_EACH_LANE (i) {
		below[i] = 0;
		in[i] = h->in[0][i];
		from[i] = 0;
		width[i] = 1000;
	}
	for (unsigned b = 0; b + 1 < WV_HIST_BUCKETS; b++) {
		double bound = (double)(1000ULL << b);

		/* further on, while the bucket does not reach it; the next one is then as wide as
		 * all before it */
		WV_EACH_LANE (i) {
			int on = h->up_to[b][i] < q * n[i];

			below[i] = on ? h->up_to[b][i] : below[i];
			in[i] = on ? h->in[b + 1][i] : in[i];
			from[i] = on ? bound : from[i];
			width[i] = on ? bound : width[i];
		}
	}
	WV_EACH_LANE (i) {
		double v = (from[i] + width[i] * ((q * n[i] - below[i]) / in[i])) / 1e9;

		out[i] = n[i] > 0 ? v : 0;
	}
}

static void make_hist_columns(const struct wv_columns *c, unsigned block, unsigned hist)
{
	struct change h;

	make_hist(c, block, hist, &h);
	for (unsigned i = 0; i < c->n_specs; i++) {
		size_t at = (size_t)block * c->n_specs + i;
		double *out = c->num + at * LANES;

		if (kinds[c->specs[i].kind] != OF_HIST || c->specs[i].index != hist)
			continue;
		c->known[at] = h.known;
		if (c->specs[i].kind == WV_COLUMN_COUNT)
			memcpy(out, h.up_to[WV_HIST_BUCKETS - 1], LANES * sizeof(*out));
		else if (c->specs[i].kind == WV_COLUMN_MEAN)
			make_mean(&h, out);
		else
			make_quantile(&h, c->specs[i].q, out);
	}
}

void wv_columns_end(struct wv_columns *c)
{
	for (unsigned s = 0; s < WV_SIG_N; s++)
		if (c->shared[s])
			c->total[s] = total_of(c, s);
	for (unsigned block = 0; block < c->n_blocks; block++) {
		if (!c->live[block]) {
			if (c->n_specs)
				memset(c->known + (size_t)block * c->n_specs, 0,
				       c->n_specs * sizeof(*c->known));
			continue;
		}
		for (unsigned i = 0; i < c->n_specs; i++)
			if (kinds[c->specs[i].kind] != OF_HIST)
				make_column(c, block, i);
		for (unsigned h = 0; h < WV_HIST_N; h++)
			if (c->raw_hist[h] != WV_NO_RAW)
				make_hist_columns(c, block, h);
	}
}
