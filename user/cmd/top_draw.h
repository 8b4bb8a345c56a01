/* SPDX-License-Identifier: GPL-2.0-only */
/* The state of the live view, and what it looks like. Internal to `top`. */
#ifndef WV_CMD_TOP_DRAW_H
#define WV_CMD_TOP_DRAW_H

#include "user/cmd/top_screen.h"

#define HEADER_LINES 4

enum { PAIR_TITLE = 1, PAIR_HIGH, PAIR_DIM, PAIR_SELECTED, PAIR_SPARK };

struct screen {
	const struct wv_paths *paths;
	struct wv_top_options o;
	struct wv_top_folds folds;
	struct wv_view view;
	struct wv_snapshot head, before_head; /* of the samples that are shown */
	struct wv_sample samples[2];	      /* shown one and the one before */
	unsigned n_samples;
	struct wv_top top;
	uint64_t interval_ns, selected_key, last_poll_ns;
	uint32_t selected, first; /* lines */
	bool paused, detail, help, filtering, color, utf8, quit, stale;
	bool moved;   /* the user chose a row: follow it */
	int error;    /* of the last read */
	int stats_fd; /* BPF statistics, while on */
};

/* Redraws everything. */
void wv_top_draw(struct screen *s);

#endif
