/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a scrape is written, in one of three formats with the same content. The renderer names
 * families and gives series; labels come as text (name="escaped value", ...), which is what most
 * clients want, and the protobuf writer reads them from that text: so the formats cannot differ in
 * them. Internal to the metrics renderer.
 */
#ifndef WV_EXPORT_METRICS_OUT_H
#define WV_EXPORT_METRICS_OUT_H

#include "user/export/openmetrics.h"

#define WV_PLAN_BOUNDS 13 /* bounds of a histogram family, +Inf not counted */

struct wv_metrics_out {
	enum wv_metrics_format format;
	struct wv_text *out;
	uint64_t series; /* as text has them: a histogram is 16 */
	/* the family */
	char name[128]; /* of its samples: with _total, _info */
	char type[16];	/* of OpenMetrics */
	const uint8_t *bounds;
	char le[WV_PLAN_BOUNDS][32];
	/* protobuf: messages being made; their lengths come before them, so they are whole first */
	struct wv_text family, metric, part, label;
	bool has_metric;
};

/* The strings are copied. Ends the family before. */
void wv_out_family(struct wv_metrics_out *o, const char *name, const char *type, const char *help);
/* The same with the bounds of a histogram, as bucket numbers (wire.h). */
void wv_out_histogram_family(struct wv_metrics_out *o, const char *name, const char *help,
			     const uint8_t *bounds);
/* One series; `more` are further labels. */
void wv_out_value(struct wv_metrics_out *o, const char *labels, size_t labels_len, const char *more,
		  uint64_t v, enum wv_scale scale);
/* v: all WV_HIST_BUCKETS buckets, then the sum in ns. */
void wv_out_histogram(struct wv_metrics_out *o, const char *labels, size_t labels_len,
		      const uint64_t *v);
/* Ends the scrape. Returns the first error. Releases what the writer holds, not `out`. */
int wv_out_end(struct wv_metrics_out *o);

/* metrics_proto.c: the protobuf half of the above. */
void wv_proto_family(struct wv_metrics_out *o, const char *help);
void wv_proto_value(struct wv_metrics_out *o, const char *labels, size_t labels_len,
		    const char *more, uint64_t v, enum wv_scale scale);
void wv_proto_histogram(struct wv_metrics_out *o, const char *labels, size_t labels_len,
			const uint64_t *v);
void wv_proto_family_end(struct wv_metrics_out *o);

#endif
