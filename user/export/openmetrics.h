/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The metrics endpoint's answer, from one published sample: Prometheus text 0.0.4, OpenMetrics 1.0
 * or protobuf.
 *
 * Which series a scrape has (docs/metrics.md):
 * - a counter of a cgroup is exported once it is not zero, and from then on; CPU time and OOM kills
 * always;
 * - a gauge is exported once it was not zero, and from then on, at 0 too;
 * - a row is exported in full, with the core signals only, or not at all, by rank of CPU time, so
 * that the ceiling holds; what a family leaves out is summed in cgroup="__other__", which never
 * goes back;
 * - counters that cgroups left when they were removed are in families of their own (waveos_gone_*):
 * a parent's rate does not jump when a child goes.
 */
#ifndef WV_EXPORT_OPENMETRICS_H
#define WV_EXPORT_OPENMETRICS_H

#include <stdio.h>

#include "user/export/text.h"
#include "user/flow/sample.h"
#include "user/flow/snapshot.h"

enum wv_metrics_format {
	WV_METRICS_TEXT,	/* Prometheus text 0.0.4 */
	WV_METRICS_OPENMETRICS, /* OpenMetrics 1.0 */
	WV_METRICS_PROTOBUF,	/* delimited io.prometheus.client.MetricFamily, native histograms */
	WV_METRICS_FORMATS
};

/* Content-Type of each. */
extern const char *const wv_metrics_types[WV_METRICS_FORMATS];

/* What the renderer remembers from scrape to scrape: gauges seen, ranks, the sum of what is left
 * out. */
struct wv_metrics;

/* The process that serves the scrape. */
struct wv_metrics_process {
	uint64_t now_mono_ns;
	unsigned open_fds;
};

int wv_metrics_new(struct wv_metrics **ret, uint32_t max_rows, uint32_t max_series);
void wv_metrics_free(struct wv_metrics *m);
/* From now on cgroups of containers that are in this table (user/kube/names.h, NULL: none) have the
 * labels namespace, pod and container. It must outlive m. */
struct wv_kube_names;
void wv_metrics_name_pods(struct wv_metrics *m, const struct wv_kube_names *pods);
/* From now on scrapes have the figures of this page (user/flow/gpu.h, NULL: none). It must outlive
 * m. */
struct wv_gpu_view;
void wv_metrics_show_gpus(struct wv_metrics *m, const struct wv_gpu_view *gpus);

/* Appends one whole scrape. Returns out->error, or -ENOMEM. */
int wv_metrics_render(struct wv_metrics *m, const struct wv_snapshot *head, struct wv_sample *s,
		      const struct wv_metrics_process *process, enum wv_metrics_format format,
		      struct wv_text *out);
/* Series of the last scrape. */
uint64_t wv_metrics_series(const struct wv_metrics *m);

/* docs/metrics.md, from the registries. */
void wv_metrics_print_doc(FILE *f);

#endif
