// SPDX-License-Identifier: GPL-2.0-only
/*
 * Renders a planned scrape family by family: what shares a name stands together under one HELP and
 * TYPE.
 */
#include "user/export/openmetrics.h"

#include <errno.h>

#include "user/export/metrics_plan.h"

#define PREFIX "waveos_"
#define REST_LABELS "cgroup=\"__other__\""

/* Bucket numbers (wire.h) whose upper bounds each family exports; bound = 1 us << number. */
static const uint8_t bounds[WV_HIST_N][WV_PLAN_BOUNDS] = {
	/* scheduling: from a microsecond to a second, closest around a tick */
	[WV_HIST_RUNQ_LATENCY] = {0, 2, 4, 6, 7, 8, 9, 10, 11, 12, 14, 16, 20},
	/* reclaim: what stalls a task noticeably */
	[WV_HIST_RECLAIM_LATENCY] = {4, 6, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 22},
	/* block devices: flash (tens of us) to a disk in trouble (seconds) */
	[WV_HIST_IO_LATENCY] = {3, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 21},
	/* networks: loopback to the other side of the world, then SYN retries (1 s, 3 s) */
	[WV_HIST_CONNECT_LATENCY] = {4, 6, 8, 9, 10, 11, 12, 13, 15, 17, 19, 20, 22},
	[WV_HIST_TCP_RTT] = {4, 6, 7, 8, 9, 10, 11, 12, 13, 15, 17, 18, 20},
};

const uint8_t *wv_metrics_bounds(enum wv_hist_id h)
{
	return bounds[h];
}

/* One scrape on its way. */
struct render {
	struct wv_metrics *m;
	struct wv_sample *s;
	struct wv_metrics_out out;
};

static void begin_family(struct render *r, const char *prefix, const char *metric, const char *type,
			 const char *help)
{
	char name[128];

	snprintf(name, sizeof(name), PREFIX "%s%s", prefix, metric);
	wv_out_family(&r->out, name, type, help);
}

static void series(struct render *r, const char *labels, size_t labels_len, const char *more,
		   uint64_t v, enum wv_scale scale)
{
	wv_out_value(&r->out, labels, labels_len, more, v, scale);
}

static void signal_series(struct render *r, enum wv_signal sig)
{
	const struct wv_signal_info *info = &wv_signals[sig];
	enum wv_plan_level least = wv_plan_core(sig) ? WV_LEVEL_CORE : WV_LEVEL_FULL;
	struct wv_metrics *m = r->m;
	uint64_t rest;

	for (uint32_t i = 0; i < m->n_rows; i++) {
		const struct wv_plan_row *row = &m->rows[i];

		if (m->slots[row->slot].level >= least && wv_plan_shows(row, sig))
			series(r, m->labels.data + row->label_at, row->label_len, info->labels,
			       wv_plan_own(r->s, row->slot, sig), info->scale);
	}
	if (!wv_plan_adds(sig))
		return;
	rest = wv_plan_sum_value(&m->rest[sig], wv_signal_is_counter(sig));
	if (rest || m->rest[sig].last)
		series(r, REST_LABELS, strlen(REST_LABELS), info->labels, rest, info->scale);
}

/* The first row of signals.def with this metric name heads the family. */
static bool heads_family(enum wv_signal sig)
{
	for (int i = 0; i < (int)sig; i++)
		if (strcmp(wv_signals[i].metric, wv_signals[sig].metric) == 0)
			return false;
	return true;
}

static bool same_family(enum wv_signal a, enum wv_signal b)
{
	return strcmp(wv_signals[a].metric, wv_signals[b].metric) == 0;
}

static void signal_families(struct render *r)
{
	for (int i = 0; i < WV_SIG_N; i++) {
		if (!heads_family(i))
			continue;
		begin_family(r, "", wv_signals[i].metric,
			     wv_signal_is_counter(i) ? "counter" : "gauge", wv_signals[i].help);
		for (int k = i; k < WV_SIG_N; k++)
			if (same_family(i, k))
				signal_series(r, k);
	}
}

static void gone_families(struct render *r)
{
	char help[256];

	for (int i = 0; i < WV_SIG_N; i++) {
		if (!heads_family(i) || wv_signals[i].kind != WV_COUNTER)
			continue;
		snprintf(help, sizeof(help), "%s; left by cgroups that were removed",
			 wv_signals[i].help);
		begin_family(r, "gone_", wv_signals[i].metric, "counter", help);
		for (int k = i; k < WV_SIG_N; k++)
			if (same_family(i, k))
				series(r, "", 0, wv_signals[k].labels, r->m->gone[k],
				       wv_signals[k].scale);
	}
}

static void histogram_families(struct render *r)
{
	struct wv_metrics *m = r->m;
	uint64_t v[WV_HIST_BUCKETS + 1], any;
	char name[128];

	for (unsigned h = 0; h < WV_HIST_N; h++) {
		snprintf(name, sizeof(name), PREFIX "%s", wv_hists[h].metric);
		wv_out_histogram_family(&r->out, name, wv_hists[h].help, bounds[h]);
		for (uint32_t i = 0; i < m->n_rows; i++) {
			const struct wv_plan_row *row = &m->rows[i];

			if (m->slots[row->slot].level < WV_LEVEL_FULL || !(row->hists & (1U << h)))
				continue;
			for (unsigned b = 0; b <= WV_HIST_BUCKETS; b++)
				v[b] = wv_plan_own_bucket(r->s, row->slot, h, b);
			wv_out_histogram(&r->out, m->labels.data + row->label_at, row->label_len,
					 v);
		}
		any = 0;
		for (unsigned b = 0; b <= WV_HIST_BUCKETS; b++)
			any |= v[b] = wv_plan_sum_value(&m->rest_hist[h][b], true);
		if (any)
			wv_out_histogram(&r->out, REST_LABELS, strlen(REST_LABELS), v);
	}
}

/* [constant labels,]<label>="value" of a facet's column, into t (restarted). */
static const char *facet_labels(struct wv_text *t, const struct wv_facet_info *info,
				unsigned column, const char *value)
{
	t->len = 0;
	wv_text_str(t, info->columns[column].labels);
	if (t->len)
		wv_text_add(t, ",", 1);
	wv_text_str(t, info->label);
	wv_text_add(t, "=\"", 2);
	wv_text_label(t, value);
	wv_text_add(t, "\"", 1);
	return wv_text_end(t) < 0 ? "" : t->data;
}

static void facet_row(struct render *r, struct wv_text *labels, const struct wv_facet_row *f,
		      unsigned column)
{
	const struct wv_facet_info *info = &wv_facets[f->family];
	const struct wv_metrics *m = r->m;
	enum wv_scale scale = info->columns[column].scale;
	const struct wv_plan_row *row;
	const char *more;

	if (wv_plan_machine_wide(f->family)) {
		more = facet_labels(labels, info, column, f->label);
		series(r, "", 0, more, f->v[column], scale);
		return;
	}
	if (f->slot >= m->max_rows || m->slots[f->slot].level != WV_LEVEL_FULL)
		return;
	row = &m->rows[m->slots[f->slot].rank];
	more = facet_labels(labels, info, column, f->label);
	series(r, m->labels.data + row->label_at, row->label_len, more, f->v[column], scale);
}

static void facet_column(struct render *r, struct wv_text *labels, unsigned family, unsigned column)
{
	const struct wv_facet_info *info = &wv_facets[family];
	enum wv_signal_kind kind = info->columns[column].kind;
	bool counter = kind == WV_COUNTER || kind == WV_TREE_COUNTER;
	struct wv_metrics *m = r->m;

	for (uint32_t i = 0; i < r->s->n_facets; i++)
		if (r->s->facets[i].family == family)
			facet_row(r, labels, &r->s->facets[i], column);
	for (uint32_t i = 0; i < m->n_facet_rest; i++) {
		struct wv_plan_facet_rest *f = &m->facet_rest[i];
		uint64_t v;

		if (f->family != family)
			continue;
		v = wv_plan_sum_value(&f->v[column], counter);
		if (v || f->v[column].last)
			series(r, REST_LABELS, strlen(REST_LABELS),
			       facet_labels(labels, info, column, f->label), v,
			       info->columns[column].scale);
	}
}

static void facet_families(struct render *r)
{
	struct wv_text labels = {.max = 512};

	for (unsigned f = 0; f < WV_FACET_N; f++) {
		const struct wv_facet_info *info = &wv_facets[f];

		for (unsigned c = 0; c < info->n_columns; c++) {
			const struct wv_facet_column *col = &info->columns[c];

			/* columns of one metric follow each other in facets.def */
			if (!c || strcmp(col->metric, info->columns[c - 1].metric) != 0)
				begin_family(r, "", col->metric,
					     col->kind == WV_COUNTER || col->kind == WV_TREE_COUNTER
						     ? "counter"
						     : "gauge",
					     col->help);
			facet_column(r, &labels, f, c);
		}
	}
	wv_text_done(&labels);
}

int wv_metrics_render(struct wv_metrics *m, const struct wv_snapshot *head, struct wv_sample *s,
		      const struct wv_metrics_process *process, enum wv_metrics_format format,
		      struct wv_text *out)
{
	struct render r = {.m = m, .s = s, .out = {.format = format, .out = out}};
	int e = wv_plan_scrape(m, head, s);

	if (e < 0)
		return e;
	signal_families(&r);
	histogram_families(&r);
	facet_families(&r);
	gone_families(&r);
	wv_metrics_gpu_page(m->gpus, m, s, &r.out);
	wv_metrics_self(m, head, process, &r.out);
	m->series = r.out.series;
	return wv_out_end(&r.out);
}
