// SPDX-License-Identifier: GPL-2.0-only
/*
 * Renders a planned scrape family by family: what shares a name stands together under one HELP and
 * TYPE. Only integers are printed, in decimal, so that no figure is rounded.
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

static bool ends_with(const char *s, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len >= n && memcmp(s + len - n, end, n) == 0;
}

static void add_help(struct wv_text *out, enum wv_metrics_format format, const char *help)
{
	for (; *help; help++) {
		if (*help == '\\' || *help == '\n' ||
		    (*help == '"' && format == WV_METRICS_OPENMETRICS))
			wv_text_add(out, "\\", 1);
		wv_text_add(out, *help == '\n' ? "n" : help, 1);
	}
}

void wv_metrics_header(struct wv_text *out, enum wv_metrics_format format, const char *metric,
		       const char *type, const char *help)
{
	size_t len = strlen(metric);
	const char *unit = NULL;

	/* OpenMetrics names the family without the suffix of its samples */
	if (format == WV_METRICS_OPENMETRICS) {
		if (ends_with(metric, len, "_total"))
			len -= strlen("_total");
		else if (strcmp(type, "info") == 0)
			len -= strlen("_info");
		if (ends_with(metric, len, "_seconds"))
			unit = "seconds";
		else if (ends_with(metric, len, "_bytes"))
			unit = "bytes";
	} else if (strcmp(type, "info") == 0) {
		type = "gauge";
	}
	wv_text_str(out, "# HELP ");
	wv_text_add(out, metric, len);
	wv_text_add(out, " ", 1);
	add_help(out, format, help);
	wv_text_str(out, "\n# TYPE ");
	wv_text_add(out, metric, len);
	wv_text_add(out, " ", 1);
	wv_text_str(out, type);
	if (unit) {
		wv_text_str(out, "\n# UNIT ");
		wv_text_add(out, metric, len);
		wv_text_add(out, " ", 1);
		wv_text_str(out, unit);
	}
	wv_text_add(out, "\n", 1);
}

/* One scrape on its way. */
struct render {
	struct wv_metrics *m;
	struct wv_sample *s;
	enum wv_metrics_format format;
	struct wv_text *out;
	char name[128];		     /* of the family, with prefix */
	char le[WV_PLAN_BOUNDS][32]; /* of the family, if it is a histogram's */
};

static void begin_family(struct render *r, const char *prefix, const char *metric, const char *type,
			 const char *help)
{
	snprintf(r->name, sizeof(r->name), PREFIX "%s%s", prefix, metric);
	wv_metrics_header(r->out, r->format, r->name, type, help);
}

/* name<suffix>{labels[,more]} */
static void begin_series(struct render *r, const char *suffix, const char *labels,
			 size_t labels_len, const char *more)
{
	struct wv_text *out = r->out;

	wv_text_str(out, r->name);
	wv_text_str(out, suffix);
	if (labels_len || more[0]) {
		wv_text_add(out, "{", 1);
		wv_text_add(out, labels, labels_len);
		if (labels_len && more[0])
			wv_text_add(out, ",", 1);
		wv_text_str(out, more);
		wv_text_add(out, "}", 1);
	}
	wv_text_add(out, " ", 1);
	r->m->series++;
}

static void series(struct render *r, const char *labels, size_t labels_len, const char *more,
		   uint64_t v, enum wv_scale scale)
{
	begin_series(r, "", labels, labels_len, more);
	wv_text_scaled(r->out, v, scale);
	wv_text_add(r->out, "\n", 1);
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

/* le="..." of every bound of the family */
static void bound_labels(struct render *r, enum wv_hist_id h)
{
	struct wv_text t = {.max = 64};

	for (unsigned i = 0; i < WV_PLAN_BOUNDS; i++) {
		t.len = 0;
		wv_text_str(&t, "le=\"");
		wv_text_scaled(&t, wv_hist_bound_ns(bounds[h][i]), WV_NS);
		wv_text_str(&t, "\"");
		if (wv_text_end(&t) < 0)
			r->out->error = r->out->error ?: t.error;
		else
			snprintf(r->le[i], sizeof(r->le[i]), "%s", t.data);
	}
	wv_text_done(&t);
}

static void histogram(struct render *r, enum wv_hist_id h, const char *labels, size_t labels_len,
		      const uint64_t *v)
{
	uint64_t seen = 0;
	unsigned b = 0;

	for (unsigned i = 0; i < WV_PLAN_BOUNDS; i++) {
		for (; b <= bounds[h][i]; b++)
			seen += v[b];
		begin_series(r, "_bucket", labels, labels_len, r->le[i]);
		wv_text_u64(r->out, seen);
		wv_text_add(r->out, "\n", 1);
	}
	for (; b < WV_HIST_BUCKETS; b++)
		seen += v[b];
	begin_series(r, "_bucket", labels, labels_len, "le=\"+Inf\"");
	wv_text_u64(r->out, seen);
	wv_text_add(r->out, "\n", 1);
	begin_series(r, "_sum", labels, labels_len, "");
	wv_text_scaled(r->out, v[WV_HIST_BUCKETS], WV_NS);
	wv_text_add(r->out, "\n", 1);
	begin_series(r, "_count", labels, labels_len, "");
	wv_text_u64(r->out, seen);
	wv_text_add(r->out, "\n", 1);
}

static void histogram_families(struct render *r)
{
	struct wv_metrics *m = r->m;
	uint64_t v[WV_HIST_BUCKETS + 1], any;

	for (unsigned h = 0; h < WV_HIST_N; h++) {
		begin_family(r, "", wv_hists[h].metric, "histogram", wv_hists[h].help);
		bound_labels(r, h);
		for (uint32_t i = 0; i < m->n_rows; i++) {
			const struct wv_plan_row *row = &m->rows[i];

			if (m->slots[row->slot].level < WV_LEVEL_FULL || !(row->hists & (1U << h)))
				continue;
			for (unsigned b = 0; b <= WV_HIST_BUCKETS; b++)
				v[b] = wv_plan_own_bucket(r->s, row->slot, h, b);
			histogram(r, h, m->labels.data + row->label_at, row->label_len, v);
		}
		any = 0;
		for (unsigned b = 0; b <= WV_HIST_BUCKETS; b++)
			any |= v[b] = wv_plan_sum_value(&m->rest_hist[h][b], true);
		if (any)
			histogram(r, h, REST_LABELS, strlen(REST_LABELS), v);
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
	struct render r = {.m = m, .s = s, .format = format, .out = out};
	int e = wv_plan_scrape(m, head, s);

	if (e < 0)
		return e;
	signal_families(&r);
	histogram_families(&r);
	facet_families(&r);
	gone_families(&r);
	wv_metrics_self(m, head, s, process, format, out);
	if (format == WV_METRICS_OPENMETRICS)
		wv_text_str(out, "# EOF\n");
	return out->error;
}
