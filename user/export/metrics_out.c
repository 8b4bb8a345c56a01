// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prometheus text 0.0.4 and OpenMetrics 1.0. Only integers are printed, in decimal, so that no
 * figure is rounded.
 */
#include "user/export/metrics_out.h"

#include <stdio.h>

#define PROTOBUF                                                                                   \
	"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "               \
	"encoding=delimited"

const char *const wv_metrics_types[WV_METRICS_FORMATS] = {
	[WV_METRICS_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
	[WV_METRICS_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
	[WV_METRICS_PROTOBUF] = PROTOBUF,
};

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

static void add_header(struct wv_metrics_out *o, const char *help)
{
	struct wv_text *out = o->out;
	size_t len = strlen(o->name);
	const char *unit = NULL, *type = o->type;

	/* OpenMetrics names the family without the suffix of its samples */
	if (o->format == WV_METRICS_OPENMETRICS) {
		if (ends_with(o->name, len, "_total"))
			len -= strlen("_total");
		else if (strcmp(type, "info") == 0)
			len -= strlen("_info");
		if (ends_with(o->name, len, "_seconds"))
			unit = "seconds";
		else if (ends_with(o->name, len, "_bytes"))
			unit = "bytes";
	} else if (strcmp(type, "info") == 0) {
		type = "gauge";
	}
	wv_text_str(out, "# HELP ");
	wv_text_add(out, o->name, len);
	wv_text_add(out, " ", 1);
	add_help(out, o->format, help);
	wv_text_str(out, "\n# TYPE ");
	wv_text_add(out, o->name, len);
	wv_text_add(out, " ", 1);
	wv_text_str(out, type);
	if (unit) {
		wv_text_str(out, "\n# UNIT ");
		wv_text_add(out, o->name, len);
		wv_text_add(out, " ", 1);
		wv_text_str(out, unit);
	}
	wv_text_add(out, "\n", 1);
}

static void begin_family(struct wv_metrics_out *o, const char *name, const char *type,
			 const char *help)
{
	if (o->format == WV_METRICS_PROTOBUF)
		wv_proto_family_end(o);
	snprintf(o->name, sizeof(o->name), "%s", name);
	snprintf(o->type, sizeof(o->type), "%s", type);
	if (o->format == WV_METRICS_PROTOBUF)
		wv_proto_family(o, help);
	else
		add_header(o, help);
}

void wv_out_family(struct wv_metrics_out *o, const char *name, const char *type, const char *help)
{
	begin_family(o, name, type, help);
}

void wv_out_histogram_family(struct wv_metrics_out *o, const char *name, const char *help,
			     const uint8_t *bounds)
{
	struct wv_text t = {.max = 64};

	begin_family(o, name, "histogram", help);
	o->bounds = bounds;
	for (unsigned i = 0; i < WV_PLAN_BOUNDS; i++) {
		t.len = 0;
		wv_text_str(&t, "le=\"");
		wv_text_scaled(&t, wv_hist_bound_ns(bounds[i]), WV_NS);
		wv_text_str(&t, "\"");
		if (wv_text_end(&t) < 0)
			o->out->error = o->out->error ?: t.error;
		else
			snprintf(o->le[i], sizeof(o->le[i]), "%s", t.data);
	}
	wv_text_done(&t);
}

/* name<suffix>{labels[,more]} */
static void begin_series(struct wv_metrics_out *o, const char *suffix, const char *labels,
			 size_t labels_len, const char *more)
{
	struct wv_text *out = o->out;

	wv_text_str(out, o->name);
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
}

void wv_out_value(struct wv_metrics_out *o, const char *labels, size_t labels_len, const char *more,
		  uint64_t v, enum wv_scale scale)
{
	o->series++;
	if (o->format == WV_METRICS_PROTOBUF) {
		wv_proto_value(o, labels, labels_len, more, v, scale);
		return;
	}
	begin_series(o, "", labels, labels_len, more);
	wv_text_scaled(o->out, v, scale);
	wv_text_add(o->out, "\n", 1);
}

static void text_histogram(struct wv_metrics_out *o, const char *labels, size_t labels_len,
			   const uint64_t *v)
{
	uint64_t seen = 0;
	unsigned b = 0;

	for (unsigned i = 0; i < WV_PLAN_BOUNDS; i++) {
		for (; b <= o->bounds[i]; b++)
			seen += v[b];
		begin_series(o, "_bucket", labels, labels_len, o->le[i]);
		wv_text_u64(o->out, seen);
		wv_text_add(o->out, "\n", 1);
	}
	for (; b < WV_HIST_BUCKETS; b++)
		seen += v[b];
	begin_series(o, "_bucket", labels, labels_len, "le=\"+Inf\"");
	wv_text_u64(o->out, seen);
	wv_text_add(o->out, "\n", 1);
	begin_series(o, "_sum", labels, labels_len, "");
	wv_text_scaled(o->out, v[WV_HIST_BUCKETS], WV_NS);
	wv_text_add(o->out, "\n", 1);
	begin_series(o, "_count", labels, labels_len, "");
	wv_text_u64(o->out, seen);
	wv_text_add(o->out, "\n", 1);
}

void wv_out_histogram(struct wv_metrics_out *o, const char *labels, size_t labels_len,
		      const uint64_t *v)
{
	o->series += WV_PLAN_BOUNDS + 3;
	if (o->format == WV_METRICS_PROTOBUF)
		wv_proto_histogram(o, labels, labels_len, v);
	else
		text_histogram(o, labels, labels_len, v);
}

int wv_out_end(struct wv_metrics_out *o)
{
	if (o->format == WV_METRICS_PROTOBUF)
		wv_proto_family_end(o);
	else if (o->format == WV_METRICS_OPENMETRICS)
		wv_text_str(o->out, "# EOF\n");
	o->out->error = o->out->error ?: o->family.error ?: o->metric.error ?: o->part.error;
	o->out->error = o->out->error ?: o->label.error;
	wv_text_done(&o->family);
	wv_text_done(&o->metric);
	wv_text_done(&o->part);
	wv_text_done(&o->label);
	return o->out->error;
}
