// SPDX-License-Identifier: GPL-2.0-only
#include "user/flow/sample.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define WV_BYTES WV_BYTES_SCALE

const struct wv_signal_info wv_signals[WV_SIG_N] = {
#define WV_SIGNAL(id, kind, scale, name, metric, labels, help)                                     \
	[WV_SIG_##id] = {#id, name, metric, labels, help, WV_##kind, WV_##scale},
#include "waveos/signals.def"
};

const struct wv_hist_info wv_hists[WV_HIST_N] = {
#define WV_HIST(id, name, metric, help) [WV_HIST_##id] = {#id, name, metric, help},
#include "waveos/signals.def"
};

#define WV_COL(kind, scale, name, metric, labels, help)                                            \
	{name, metric, labels, help, WV_##kind, WV_##scale},
#define WV_FACET(id, name, label, max, cols)                                                       \
	[WV_FACET_##                                                                               \
		id] = {name,                                                                       \
		       label,                                                                      \
		       max,                                                                        \
		       sizeof((struct wv_facet_column[]){cols}) / sizeof(struct wv_facet_column),  \
		       {cols}},
const struct wv_facet_info wv_facets[WV_FACET_N] = {
#include "waveos/facets.def"
};
#undef WV_FACET
#undef WV_COL

#define WV_COL(...)
#define WV_FACET(id, name, label, max, cols) +(max)
_Static_assert(0
#include "waveos/facets.def"
		       == WV_FACET_ROWS,
	       "WV_FACET_ROWS is the sum of the families' maxima");
#undef WV_FACET
#undef WV_COL

int wv_signal_by_name(const char *name)
{
	for (int i = 0; i < WV_SIG_N; i++)
		if (strcmp(wv_signals[i].name, name) == 0)
			return i;
	return -1;
}

double wv_scale_factor(enum wv_scale scale)
{
	switch (scale) {
	case WV_NS:
		return 1e-9;
	case WV_US:
		return 1e-6;
	case WV_PERMILLE:
		return 1e-3;
	default:
		return 1;
	}
}

uint64_t wv_hist_bound_ns(unsigned bucket)
{
	return bucket >= WV_HIST_BUCKETS - 1 ? UINT64_MAX : 1000ULL << bucket;
}

uint64_t wv_hist_count(const struct wv_hist *h)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < WV_HIST_BUCKETS; i++)
		n += h->bucket[i];
	return n;
}

uint64_t wv_hist_quantile_ns(const struct wv_hist *h, double q)
{
	uint64_t count = wv_hist_count(h), seen = 0;

	if (!count)
		return 0;
	for (unsigned i = 0; i < WV_HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if ((double)seen >= q * (double)count)
			return wv_hist_bound_ns(i);
	}
	return UINT64_MAX;
}

/* Anonymous mappings: pages of rows that are never used cost nothing. */
static void *map_zeroed(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int wv_sample_init(struct wv_sample *s, uint32_t max_rows)
{
	*s = (struct wv_sample){
		.max_rows = max_rows,
		.rows = map_zeroed(max_rows * sizeof(struct wv_row)),
		.base = map_zeroed(max_rows * sizeof(struct wv_figures)),
		.facets = map_zeroed(WV_FACET_ROWS * sizeof(struct wv_facet_row)),
	};
	if (s->rows && s->base && s->facets)
		return 0;
	wv_sample_done(s);
	return -ENOMEM;
}

void wv_sample_done(struct wv_sample *s)
{
	if (s->rows)
		munmap(s->rows, s->max_rows * sizeof(struct wv_row));
	if (s->base)
		munmap(s->base, s->max_rows * sizeof(struct wv_figures));
	if (s->facets)
		munmap(s->facets, WV_FACET_ROWS * sizeof(struct wv_facet_row));
	*s = (struct wv_sample){0};
}

void wv_sample_set(struct wv_sample *s, uint32_t slot, enum wv_signal signal, uint64_t value)
{
	struct wv_row *row = wv_sample_row(s, slot);

	if (!row)
		return;
	if ((row->flags & WV_ROW_BASE) && wv_signals[signal].kind == WV_COUNTER)
		value += s->base[slot].v[signal];
	row->f.v[signal] = value;
}

void wv_sample_set_hist(struct wv_sample *s, uint32_t slot, enum wv_hist_id id,
			const uint64_t *buckets, uint64_t sum_ns)
{
	struct wv_row *row = wv_sample_row(s, slot);
	const struct wv_hist *base;
	struct wv_hist *h;

	if (!row)
		return;
	h = &row->f.hist[id];
	memcpy(h->bucket, buckets, sizeof(h->bucket));
	h->sum_ns = sum_ns;
	if (!(row->flags & WV_ROW_BASE))
		return;
	base = &s->base[slot].hist[id];
	for (unsigned i = 0; i < WV_HIST_BUCKETS; i++)
		h->bucket[i] += base->bucket[i];
	h->sum_ns += base->sum_ns;
}

struct wv_facet_row *wv_sample_add_facet(struct wv_sample *s, enum wv_facet_id family,
					 uint32_t slot, const char *label)
{
	struct wv_facet_row *f;

	if (s->n_facets >= WV_FACET_ROWS)
		return NULL;
	f = &s->facets[s->n_facets++];
	*f = (struct wv_facet_row){.family = family, .slot = slot};
	memcpy(f->label, label, strnlen(label, sizeof(f->label) - 1));
	return f;
}

const uint64_t *wv_sample_own(const struct wv_sample *s, uint32_t slot, uint64_t buf[WV_SIG_N])
{
	const struct wv_row *row = &s->rows[slot];

	if (!(row->flags & WV_ROW_BASE))
		return row->f.v;
	for (int i = 0; i < WV_SIG_N; i++)
		buf[i] = row->f.v[i] - (wv_signals[i].kind == WV_COUNTER ? s->base[slot].v[i] : 0);
	return buf;
}

void wv_sample_fold(struct wv_sample *s, uint32_t from, uint32_t into)
{
	const struct wv_figures *f = &s->rows[from].f;
	struct wv_figures *base = &s->base[into];
	struct wv_row *parent = wv_sample_row(s, into);

	if (!parent || from == into)
		return;
	parent->flags |= WV_ROW_BASE;
	for (int i = 0; i < WV_SIG_N; i++) {
		if (wv_signals[i].kind != WV_COUNTER)
			continue;
		base->v[i] += f->v[i];
		parent->f.v[i] += f->v[i];
	}
	for (int i = 0; i < WV_HIST_N; i++) {
		for (unsigned b = 0; b < WV_HIST_BUCKETS; b++) {
			base->hist[i].bucket[b] += f->hist[i].bucket[b];
			parent->f.hist[i].bucket[b] += f->hist[i].bucket[b];
		}
		base->hist[i].sum_ns += f->hist[i].sum_ns;
		parent->f.hist[i].sum_ns += f->hist[i].sum_ns;
	}
}
