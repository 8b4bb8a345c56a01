/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What `top` shows, without a terminal: two samples become rows with rates, rows become a tree with
 * subtree sums, a tree becomes lines (sorted, filtered, folded). Pure.
 */
#ifndef WV_CMD_TOP_MODEL_H
#define WV_CMD_TOP_MODEL_H

#include "user/cmd/status_view.h"

/* Columns; each is also a sort key. */
#define WV_TOP_COLUMNS(X)                                                                          \
	X(CPU, "cpu", "CPU%")                                                                      \
	X(RUNQ, "runq", "RUNQ p99")                                                                \
	X(MEM, "mem", "MEM")                                                                       \
	X(IO, "io", "IO/s")                                                                        \
	X(RX, "rx", "RX/s")                                                                        \
	X(TX, "tx", "TX/s")                                                                        \
	X(TASKS, "tasks", "TASKS")                                                                 \
	X(PSI, "psi", "PSI%")

enum wv_top_column {
#define X(id, key, title) WV_TOP_##id,
	WV_TOP_COLUMNS(X)
#undef X
		WV_TOP_N
};
#define WV_TOP_BY_NAME WV_TOP_N /* sort key only */

/*
 * CPU in percent of one CPU, RUNQ in ns, MEM in bytes, IO, RX, TX in bytes a second, TASKS in
 * threads, PSI in percent of time (largest "some" of cpu, memory, io). Without a sample before,
 * rates are means since the row was first seen.
 */
struct wv_top_values {
	double v[WV_TOP_N];
};

struct wv_top_row {
	uint32_t slot;
	int32_t parent, child, next; /* indices into rows; -1: none */
	bool matches;		     /* the filter */
	bool shown;		     /* it, or something below it, matches */
	struct wv_top_values own, tree;
	struct wv_hist runq; /* of the interval, subtree */
};

struct wv_top_line {
	uint32_t row;
	uint16_t depth;
	bool children, folded;
};

struct wv_top_options {
	unsigned sort; /* enum wv_top_column or WV_TOP_BY_NAME */
	bool flat;     /* rows by own figures instead of a tree by subtree figures */
	char filter[128];
};

/* Cgroups whose children are not shown. */
struct wv_top_folds {
	uint64_t *keys;
	size_t n, cap;
};

struct wv_top {
	struct wv_sample *now, *before; /* before == NULL: the first sample */
	uint64_t interval_ns;		/* between them, 0 for the first */
	struct wv_top_row *rows;
	uint32_t n_rows;
	struct wv_top_line *lines;
	uint32_t n_lines;
	struct wv_top_values total; /* of all rows' own figures */
	uint32_t *row_of;	    /* [now->max_rows]: slot -> row + 1 */
};

/* Rows and sums from the samples. 0 or -ENOMEM. */
int wv_top_build(struct wv_top *t, struct wv_sample *now, struct wv_sample *before);
/* Lines from the rows. */
int wv_top_arrange(struct wv_top *t, const struct wv_top_options *o,
		   const struct wv_top_folds *folds);
void wv_top_done(struct wv_top *t);

bool wv_top_folded(const struct wv_top_folds *f, uint64_t key);
int wv_top_fold(struct wv_top_folds *f, uint64_t key, bool folded);

/* A sort key by its name ("cpu", ..., "name"); -1 if there is none. */
int wv_top_sort_by_name(const char *name);
extern const char *const wv_top_titles[WV_TOP_N];
extern const char *const wv_top_keys[WV_TOP_N];

/* The row of the same cgroup in the sample before, or NULL. */
const struct wv_row *wv_top_earlier(const struct wv_top *t, uint32_t slot);
/* Change of a counter a second, without what dead children left. */
double wv_top_rate(const struct wv_top *t, uint32_t slot, enum wv_signal s);
/* A histogram of the interval (of all time for the first sample), without what dead children left.
 */
void wv_top_hist(const struct wv_top *t, uint32_t slot, enum wv_hist_id h, struct wv_hist *ret);
/* The path, printable: bytes that are no text as '?'. Returns buf. */
const char *wv_top_path(const struct wv_row *row, char *buf, size_t size);
/* A column as text: "12.3", "1.50 GiB", "-" for nothing. Returns buf. */
const char *wv_top_text(enum wv_top_column c, double v, char buf[WV_WORD]);

#endif
