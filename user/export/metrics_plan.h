/* SPDX-License-Identifier: GPL-2.0-only */
/* Which rows and signals a scrape exports, and the sums of the rest. Internal to the metrics
 * renderer. */
#ifndef WV_EXPORT_METRICS_PLAN_H
#define WV_EXPORT_METRICS_PLAN_H

#include "user/export/metrics_out.h"

#define WV_PLAN_WORDS ((WV_SIG_N + 63) / 64)
/* One label of a facet for all rows that are left out. The table is small: what is over shares
 * "other". */
#define WV_PLAN_FACET_REST 128
#define WV_PLAN_FACET_REST_NEW 16 /* entries that one scrape may add: series reserved for them */
/* Series of one histogram: bounds of its family, +Inf, _sum, _count */
#define WV_PLAN_HIST_SERIES (WV_PLAN_BOUNDS + 3)

enum wv_plan_level { WV_LEVEL_REST, WV_LEVEL_CORE, WV_LEVEL_FULL };

/* Per slot, kept between scrapes. */
struct wv_plan_slot {
	uint64_t key, created_mono_ns; /* whose row it was: a slot is reused */
	uint64_t seen[WV_PLAN_WORDS];  /* gauges that were exported */
	uint32_t rank;		       /* index in wv_metrics.rows in this scrape */
	uint16_t facets;	       /* series of its facets in this scrape */
	uint8_t level, before, known;  /* enum wv_plan_level in this scrape and in the last one */
};

/* A row in this scrape, by rank. */
struct wv_plan_row {
	uint32_t slot;
	uint32_t label_at, label_len; /* in wv_metrics.labels; empty for WV_LEVEL_REST */
	uint64_t score, memory;
	uint64_t show[WV_PLAN_WORDS];
	uint16_t core_series, full_series;
	uint8_t hists; /* bit per enum wv_hist_id that is not empty */
	bool root;
};

/* A sum that may lose and gain members, and yet never goes back. */
struct wv_plan_sum {
	uint64_t sum; /* of this scrape's members */
	int64_t offset;
	uint64_t last;
};

struct wv_plan_facet_rest {
	uint32_t family;
	char label[WV_FACET_LABEL];
	struct wv_plan_sum v[WV_FACET_COLUMNS];
};

struct wv_metrics {
	uint32_t max_rows, max_series;
	struct wv_plan_slot *slots; /* [max_rows] */
	struct wv_plan_row *rows;   /* [max_rows], n_rows in this scrape */
	uint32_t n_rows;
	uint32_t *
		names; /* open-addressing set of paths, 2 * max_rows rounded up to a power of two */
	uint32_t names_mask;
	struct wv_text labels;
	struct wv_plan_sum rest[WV_SIG_N];
	struct wv_plan_sum rest_hist[WV_HIST_N][WV_HIST_BUCKETS + 1]; /* last one: sum_ns */
	struct wv_plan_facet_rest facet_rest[WV_PLAN_FACET_REST];
	uint32_t n_facet_rest, n_facet_rest_new;
	uint64_t gone[WV_SIG_N];
	uint64_t series, series_dropped;
	uint32_t rows_level[WV_LEVEL_FULL + 1];
	const struct wv_kube_names *pods; /* NULL: names of pods are not known */
	const struct wv_gpu_view *gpus;	  /* NULL: none */
};

/* Plans one scrape: rows, levels, labels, sums. 0 or -ENOMEM. */
int wv_plan_scrape(struct wv_metrics *m, const struct wv_snapshot *head, struct wv_sample *s);
/* What the sum shows now. */
uint64_t wv_plan_sum_value(struct wv_plan_sum *p, bool counter);

/* Signals that every exported row has; kept when the ceiling leaves no place for all. */
bool wv_plan_core(enum wv_signal s);
/* Whether rows of this signal may be added up. */
bool wv_plan_adds(enum wv_signal s);
/* Facets of the machine, not of a cgroup. */
bool wv_plan_machine_wide(enum wv_facet_id f);
/* A row's figure without what dead children left. */
uint64_t wv_plan_own(const struct wv_sample *s, uint32_t slot, enum wv_signal sig);
uint64_t wv_plan_own_bucket(const struct wv_sample *s, uint32_t slot, enum wv_hist_id h,
			    unsigned bucket);
/* Series that do not depend on the rows (upper bound). */
uint32_t wv_plan_fixed_series(const struct wv_metrics *m, const struct wv_snapshot *head);
bool wv_plan_shows(const struct wv_plan_row *r, enum wv_signal s);

/* Self metrics (metrics_self.c) and figures of workers (metrics_figures.c): appends every family.
 */
void wv_metrics_self(struct wv_metrics *m, const struct wv_snapshot *head,
		     const struct wv_metrics_process *process, struct wv_metrics_out *out);
/* everything: rows of workers that never ran, too (the reference) */
void wv_metrics_figures(const struct wv_snapshot *head, bool everything,
			struct wv_metrics_out *out);
/* Figures of GPUs (metrics_gpu.c); page: MAY be NULL, and then nor has it families. */
struct wv_gpu_view;
void wv_metrics_gpu_page(const struct wv_gpu_view *page, const struct wv_metrics *m,
			 const struct wv_sample *s, struct wv_metrics_out *out);
/* v: a copy that nobody writes. */
void wv_metrics_gpu(const struct wv_gpu_view *v, struct wv_metrics_out *out);
/* Upper bound: 16 devices, and a series for each of 32 processes. */
#define WV_GPU_SERIES_MAX (16 * 64 + 32)
/* Series of these at most. */
#define WV_FIGURE_SERIES_MAX (WV_FIGURE_N + 2 * WV_FIGURE_RULES + 2 * WV_FIGURE_DOMAINS)
/* Bounds of a histogram family as bucket numbers, WV_PLAN_BOUNDS of them. */
const uint8_t *wv_metrics_bounds(enum wv_hist_id h);

#endif
