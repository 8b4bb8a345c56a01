/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inputs by column: what cgroups showed at one tick, turned once into arrays of doubles in base
 * units (seconds, bytes, 1), one lane a cgroup, in blocks of 64 lanes with a mask of the lanes that
 * are known. Pure; all memory is taken by init.
 *
 * Unknown are: a lane that is not set at this tick; a change at the first sample of a cgroup, after
 * a gap, or of a counter that went back.
 */
#ifndef WV_POLICY_COLUMNS_H
#define WV_POLICY_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/flow/sample.h"

#define WV_BLOCK_LANES 64 /* one word of a mask */
#define WV_COLUMNS_MAX 1024
#define WV_LANES_MAX WV_MAX_SLOTS

/* Row: (id, text, what it is of) */
#define WV_COLUMN_KINDS(X)                                                                         \
	X(VALUE, "", GAUGE)                                                                        \
	X(DELTA, "delta", COUNTER)                                                                 \
	X(RATE, "rate", COUNTER)                                                                   \
	X(SHARE, "share", SIGNAL)                                                                  \
	X(AGE, "age", NOTHING)                                                                     \
	X(COUNT, "count", HIST)                                                                    \
	X(MEAN, "mean", HIST)                                                                      \
	X(QUANTILE, "quantile", HIST)
enum wv_column_kind {
#define X(id, text, of) WV_COLUMN_##id,
	WV_COLUMN_KINDS(X)
#undef X
		WV_COLUMN_N
};

struct wv_column {
	uint8_t kind;	/* enum wv_column_kind */
	uint16_t index; /* enum wv_signal or wv_hist_id */
	double q;	/* QUANTILE: above 0, at most 1 */
};
/* Whether it names something that there is; for what is loaded from elsewhere. */
bool wv_column_valid(const struct wv_column *c);

struct wv_columns {
	const struct wv_column *specs;
	unsigned n_specs, n_blocks, n_raw, n_signals;
	uint16_t signals[WV_SIG_N];    /* [n_signals] that are used: of raw columns 0, 1, ... */
	uint16_t raw_signal[WV_SIG_N]; /* the other way round */
	uint16_t raw_hist[WV_HIST_N]; /* first raw column: the buckets, then sum_ns; or WV_NO_RAW */
	bool shared[WV_SIG_N];	      /* share() of it is used */
	uint64_t max_gap_ns, now_ns;
	uint64_t dt_ns; /* since the last sample; 0 if there is none or it is too long ago */
	bool has_last;
	uint32_t root; /* lane of the machine's row, UINT32_MAX if none was set */
	/* block by block: [n_blocks][n_raw][64], this tick's and the last one's */
	uint64_t *raw, *raw_last;
	uint64_t *key, *created_ns; /* [n_blocks * 64] */
	uint64_t *live, *live_last; /* [n_blocks] */
	uint64_t *kept;		    /* [n_blocks]: live, and the same cgroup at the last tick */
	double total[WV_SIG_N];	    /* of share(): the machine's, in stored units; -1: not known */
	double *num;		    /* [n_blocks][n_specs][64] */
	uint64_t *known;	    /* [n_blocks][n_specs] */
	void *memory;		    /* that all of these are in */
};
#define WV_NO_RAW UINT16_MAX

/* Lanes that are live and were not the same cgroup at the last tick: what is remembered of them is
 * of another one. */
static inline uint64_t wv_columns_fresh(const struct wv_columns *c, unsigned block)
{
	return c->live[block] & ~c->kept[block];
}

/*
 * For n_specs columns (which must outlive c) of up to max_lanes cgroups. Samples further apart than
 * max_gap_ns are not a continuous observation. Release with wv_columns_done(). 0, -EINVAL, -ENOMEM.
 */
int wv_columns_init(struct wv_columns *c, const struct wv_column *specs, unsigned n_specs,
		    uint32_t max_lanes, uint64_t max_gap_ns);
void wv_columns_done(struct wv_columns *c);
/* Bytes that init takes. */
size_t wv_columns_bytes(const struct wv_column *specs, unsigned n_specs, uint32_t max_lanes);

/* A sample of now_ns begins. -EINVAL if that is not later than the last one: then nothing changed.
 */
int wv_columns_begin(struct wv_columns *c, uint64_t now_ns);
/*
 * A cgroup's figures: stored units, by enum wv_signal, as wv_sample_own() gives them; histograms by
 * enum wv_hist_id. Both are copied. key tells cgroups in one lane apart. Each lane at most once a
 * tick; lanes beyond max_lanes are not looked at.
 */
void wv_columns_set(struct wv_columns *c, uint32_t lane, uint64_t key, uint64_t created_ns,
		    const uint64_t *figures, const struct wv_hist *hists);
/* The lane that has the machine's figures (for share() of what counts descendants), this tick. */
void wv_columns_set_root(struct wv_columns *c, uint32_t lane);
/* The sample is complete: makes the columns. */
void wv_columns_end(struct wv_columns *c);

/* Stored units in a base unit, an exact double: 1e9 for nanoseconds. */
double wv_scale_divisor(enum wv_scale scale);

#endif
