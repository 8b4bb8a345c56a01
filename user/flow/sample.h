/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A sample: the figures of every cgroup at one tick. Rows are indexed by slot. Counters are
 * cumulative since the slot was given, plus what dead children left (base), so they never go back.
 *
 * The same layout is published in <runtime>/snapshot (user/flow/snapshot.h), which `top`, `status`,
 * the web worker and a restarted core read.
 */
#ifndef WV_FLOW_SAMPLE_H
#define WV_FLOW_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "waveos/wire.h"

enum wv_signal {
#define WV_SIGNAL(id, kind, scale, name, metric, labels, help) WV_SIG_##id,
#include "waveos/signals.def"
	WV_SIG_N
};

enum wv_hist_id {
#define WV_HIST(id, name, metric, help) WV_HIST_##id,
#include "waveos/signals.def"
	WV_HIST_N
};

enum wv_signal_kind { WV_COUNTER, WV_GAUGE, WV_TREE_COUNTER, WV_TREE_GAUGE };
enum wv_scale { WV_NS, WV_US, WV_BYTES_SCALE, WV_ONE, WV_PERMILLE };

struct wv_signal_info {
	const char *id, *name, *metric, *labels, *help;
	enum wv_signal_kind kind;
	enum wv_scale scale;
};
extern const struct wv_signal_info wv_signals[WV_SIG_N];

struct wv_hist_info {
	const char *id, *name, *metric, *help;
};
extern const struct wv_hist_info wv_hists[WV_HIST_N];

/* Signal with this name (as in CSV and conditions), or -1. */
int wv_signal_by_name(const char *name);
static inline bool wv_signal_is_counter(enum wv_signal s)
{
	return wv_signals[s].kind == WV_COUNTER || wv_signals[s].kind == WV_TREE_COUNTER;
}
/* What one stored unit is in the exported base unit (seconds, bytes, 1). */
double wv_scale_factor(enum wv_scale scale);

struct wv_hist {
	uint64_t bucket[WV_HIST_BUCKETS];
	uint64_t sum_ns;
};
/* Upper bound of a bucket in nanoseconds; UINT64_MAX for the last. */
uint64_t wv_hist_bound_ns(unsigned bucket);
/* Number of observations. */
uint64_t wv_hist_count(const struct wv_hist *h);
/* Upper bound in ns of the bucket that holds quantile q (0..1), 0 if empty. */
uint64_t wv_hist_quantile_ns(const struct wv_hist *h, double q);

/* Figures as they are stored: what one cgroup shows, or what dead children left. */
struct wv_figures {
	uint64_t v[WV_SIG_N];
	struct wv_hist hist[WV_HIST_N];
};

#define WV_ROW_PATH_MAX 256

enum wv_row_flags {
	WV_ROW_LIVE = 1 << 0,	/* the slot is in use */
	WV_ROW_ACTIVE = 1 << 1, /* its tasks ran since the last tick: files are worth reading */
	WV_ROW_GONE = 1 << 2,	/* removed; folded into the parent at the end of this tick */
	WV_ROW_BASE = 1 << 3,	/* dead children left figures in base */
	WV_ROW_CUT = 1 << 4,	/* the path is longer than fits: its end is kept */
};

struct wv_row {
	uint64_t key; /* wire.h; 0 for the `other` row */
	uint64_t parent_key;
	uint64_t created_mono_ns; /* when the agent first saw it */
	uint32_t flags;
	uint32_t parent_slot; /* WV_SLOT_OTHER if unknown or none */
	uint16_t level;
	uint16_t path_len;
	uint32_t pad;
	char path[WV_ROW_PATH_MAX]; /* below the root of its hierarchy, "/" for the root; "other"
				       for slot 0 */
	struct wv_figures f;
};

enum wv_facet_id {
#define WV_COL(...)
#define WV_FACET(id, name, label, max, cols) WV_FACET_##id,
#include "waveos/facets.def"
#undef WV_FACET
#undef WV_COL
	WV_FACET_N
};
#define WV_FACET_COLUMNS 6
#define WV_FACET_LABEL 24

struct wv_facet_row {
	uint32_t family; /* enum wv_facet_id */
	uint32_t slot;
	char label[WV_FACET_LABEL];
	uint64_t v[WV_FACET_COLUMNS];
};

struct wv_facet_column {
	const char *name, *metric, *labels, *help;
	enum wv_signal_kind kind;
	enum wv_scale scale;
};
struct wv_facet_info {
	const char *name, *label;
	unsigned max, n_columns;
	struct wv_facet_column columns[WV_FACET_COLUMNS];
};
extern const struct wv_facet_info wv_facets[WV_FACET_N];
#define WV_FACET_ROWS 2080 /* sum of facets.def's maxima; checked in sample.c */

struct wv_sample {
	uint64_t mono_ns, wall_ns;
	uint64_t seq;	    /* of the tick, from 1, in this run */
	uint32_t max_rows;  /* slots */
	uint32_t used_rows; /* highest slot in use + 1 */
	uint32_t n_facets;
	struct wv_row *rows;	     /* [max_rows] */
	struct wv_figures *base;     /* [max_rows] */
	struct wv_facet_row *facets; /* [WV_FACET_ROWS], refilled by the collectors every tick */
};

/* Allocates; memory of unused rows is not touched. Release with wv_sample_done(). */
int wv_sample_init(struct wv_sample *s, uint32_t max_rows);
void wv_sample_done(struct wv_sample *s);

/* The row of a slot if it is live, else NULL. */
static inline struct wv_row *wv_sample_row(struct wv_sample *s, uint32_t slot)
{
	return slot < s->max_rows && (s->rows[slot].flags & WV_ROW_LIVE) ? &s->rows[slot] : NULL;
}
#define wv_sample_for_each(s, slot, row)                                                           \
	for (uint32_t slot = 0; slot < (s)->used_rows; slot++)                                     \
		for (struct wv_row *row = wv_sample_row((s), slot); row; row = NULL)

/* Stores what a collector read for a live row; adds what dead children left to an own counter. */
void wv_sample_set(struct wv_sample *s, uint32_t slot, enum wv_signal signal, uint64_t value);
void wv_sample_set_hist(struct wv_sample *s, uint32_t slot, enum wv_hist_id id,
			const uint64_t *buckets, uint64_t sum_ns);
/* Appends a facet row for this tick; NULL when the table is full. Labels are cut to fit. */
struct wv_facet_row *wv_sample_add_facet(struct wv_sample *s, enum wv_facet_id family,
					 uint32_t slot, const char *label);
/*
 * The row's figures without what dead children left, for rates: a counter of a parent must not jump
 * when a child goes. Copies into buf only where there is something to take off; returns what to
 * read.
 */
const uint64_t *wv_sample_own(const struct wv_sample *s, uint32_t slot, uint64_t buf[WV_SIG_N]);
/* Adds a row's own counters to the base of another slot, so that no count is lost when it goes. */
void wv_sample_fold(struct wv_sample *s, uint32_t from, uint32_t into);

#endif
