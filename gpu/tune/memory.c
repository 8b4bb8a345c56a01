// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/tune/memory.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/*
 * What a knob's value leaves of the slope b, relative to keeping all activations on the device in
 * fp32; {least, most}. Published: full recomputation leaves the layers' inputs only, 3 to 20 %;
 * selective one takes the attention's part, 20 to 70 % (arXiv 2205.05198); bf16 halves what it
 * touches, but not masks and indices. Wide on purpose: two trials replace them by a line.
 */
static const double of_checkpointing[3][2] = {{1, 1}, {0.2, 0.9}, {0.02, 0.6}};
static const double of_offload[2][2] = {{1, 1}, {0.1, 1}};
static const double of_precision[3][2] = {{1, 1}, {0.45, 1}, {0.45, 1}};
/* Two trials at one point differ by this much (fragments of the allocator). */
#define JITTER 0.03

void wv_tune_memory_init(struct wv_tune_memory_model *m, uint64_t limit_bytes, uint32_t permille)
{
	*m = (struct wv_tune_memory_model){.limit_bytes = limit_bytes / 1000 * permille};
}

void wv_tune_memory_saw(struct wv_tune_memory_model *m, const struct wv_tune_point *p,
			uint64_t peak_bytes)
{
	if (m->n == WV_TUNE_PEAKS) {
		memmove(&m->seen[0], &m->seen[1], sizeof(m->seen) - sizeof(m->seen[0]));
		m->n--;
	}
	m->seen[m->n].point = *p;
	m->seen[m->n++].peak_bytes = peak_bytes;
}

/* Whether two points are on one line: they differ in nothing that touches memory but in MICRO. */
static bool same_line(const struct wv_tune_point *a, const struct wv_tune_point *b)
{
	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++)
		if (k != WV_TUNE_MICRO && wv_tune_knobs[k].memory != WV_TUNE_FLAT &&
		    a->value[k] != b->value[k])
			return false;
	return true;
}

static double micro_of(const struct wv_tune_point *p)
{
	return p->value[WV_TUNE_MICRO] == WV_TUNE_UNSET ? 1 : (double)p->value[WV_TUNE_MICRO];
}

/* a and b of a point's line by two trials with the most distant micro batches. */
static bool line_of(const struct wv_tune_memory_model *m, const struct wv_tune_point *p, double *a,
		    double *b)
{
	const struct wv_tune_point *low = NULL, *high = NULL;
	double low_peak = 0, high_peak = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		const struct wv_tune_point *s = &m->seen[i].point;

		if (m->seen[i].peak_bytes == 0 || !same_line(s, p))
			continue;
		if (!low || micro_of(s) < micro_of(low)) {
			low = s;
			low_peak = (double)m->seen[i].peak_bytes;
		}
		if (!high || micro_of(s) > micro_of(high)) {
			high = s;
			high_peak = (double)m->seen[i].peak_bytes;
		}
	}
	if (!low || micro_of(low) >= micro_of(high))
		return false;
	*b = (high_peak - low_peak) / (micro_of(high) - micro_of(low));
	if (*b < 0)
		*b = 0;
	*a = high_peak - *b * micro_of(high);
	return true;
}

static void factor(const double table[][2], int32_t from, int32_t to, double *low, double *high)
{
	if (from == to)
		return;
	if (from == WV_TUNE_UNSET)
		from = 0;
	if (to == WV_TUNE_UNSET)
		to = 0;
	/* b of `to` over b of `from` */
	*low *= table[to][0] / table[from][1];
	*high *= table[to][1] / table[from][0];
}

/* What a trial at s with this peak tells of p. */
static void bounds_from(const struct wv_tune_point *s, double peak, double a_known,
			const struct wv_tune_point *p, double *low, double *high)
{
	double f_low = 1, f_high = 1, mb = micro_of(p) / micro_of(s), slope_low, slope_high;
	double a_low = a_known >= 0 ? a_known : 0, a_high = a_known >= 0 ? a_known : peak;
	double a_factor_low = 1, a_factor_high = 1;

	factor(of_checkpointing, s->value[WV_TUNE_CHECKPOINTING], p->value[WV_TUNE_CHECKPOINTING],
	       &f_low, &f_high);
	factor(of_offload, s->value[WV_TUNE_OFFLOAD], p->value[WV_TUNE_OFFLOAD], &f_low, &f_high);
	factor(of_precision, s->value[WV_TUNE_PRECISION], p->value[WV_TUNE_PRECISION], &f_low,
	       &f_high);
	if (s->value[WV_TUNE_ZERO] != p->value[WV_TUNE_ZERO]) {
		/* 16 bytes a parameter, of which stage 3 leaves 1/world: at most 8 devices' worth
		 */
		bool more = p->value[WV_TUNE_ZERO] > s->value[WV_TUNE_ZERO];

		a_factor_low = more ? 0.1 : 1;
		a_factor_high = more ? 1 : 8;
	}
	slope_low = mb * f_low;
	slope_high = mb * f_high;
	/* linear in a, whose bounds therefore hold the extremes */
	*low = fmin(a_low * a_factor_low + (peak - a_low) * slope_low,
		    a_high * a_factor_low + (peak - a_high) * slope_low);
	*high = fmax(a_low * a_factor_high + (peak - a_low) * slope_high,
		     a_high * a_factor_high + (peak - a_high) * slope_high);
}

int wv_tune_memory_predict(const struct wv_tune_memory_model *m, const struct wv_tune_point *p,
			   double *ret_low, double *ret_high)
{
	double a, b, low = 0, high = HUGE_VAL;
	bool any = false;

	if (line_of(m, p, &a, &b)) {
		double peak = a + b * micro_of(p);

		*ret_low = peak * (1 - JITTER);
		*ret_high = peak * (1 + JITTER);
		return 0;
	}
	for (uint32_t i = 0; i < m->n; i++) {
		const struct wv_tune_point *s = &m->seen[i].point;
		double from, to, known = -1;

		if (m->seen[i].peak_bytes == 0)
			continue;
		/* weights do not depend on what is done to activations */
		if (line_of(m, s, &a, &b))
			known = a < 0 ? 0 : a;
		bounds_from(s, (double)m->seen[i].peak_bytes, known, p, &from, &to);
		low = from > low ? from : low;
		high = to < high ? to : high;
		any = true;
	}
	if (!any)
		return -ENODATA;
	/* sources that contradict each other: the assumptions do not hold here */
	*ret_low = low < high ? low : high;
	*ret_high = low < high ? high : low;
	return 0;
}

/* Whether p needs at least what q needs. */
static bool no_less(const struct wv_tune_point *p, const struct wv_tune_point *q)
{
	return micro_of(p) >= micro_of(q) &&
	       p->value[WV_TUNE_CHECKPOINTING] <= q->value[WV_TUNE_CHECKPOINTING] &&
	       p->value[WV_TUNE_OFFLOAD] <= q->value[WV_TUNE_OFFLOAD] &&
	       p->value[WV_TUNE_ZERO] <= q->value[WV_TUNE_ZERO] &&
	       (p->value[WV_TUNE_PRECISION] == q->value[WV_TUNE_PRECISION] ||
		p->value[WV_TUNE_PRECISION] == WV_TUNE_FP32);
}

enum wv_tune_fit wv_tune_memory_fits(const struct wv_tune_memory_model *m,
				     const struct wv_tune_point *p)
{
	double low, high;

	for (uint32_t i = 0; i < m->n; i++)
		if (m->seen[i].peak_bytes == 0 && no_less(p, &m->seen[i].point))
			return WV_TUNE_FITS_NOT;
	if (m->limit_bytes == 0 || wv_tune_memory_predict(m, p, &low, &high) < 0)
		return WV_TUNE_MAY_FIT;
	if (high <= (double)m->limit_bytes)
		return WV_TUNE_FITS;
	return low > (double)m->limit_bytes ? WV_TUNE_FITS_NOT : WV_TUNE_MAY_FIT;
}
