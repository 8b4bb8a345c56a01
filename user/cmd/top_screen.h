/* SPDX-License-Identifier: GPL-2.0-only */
/* `top` on a terminal. */
#ifndef WV_CMD_TOP_SCREEN_H
#define WV_CMD_TOP_SCREEN_H

#include "user/cmd/top_model.h"

/* Runs until the user quits; an exit code. interval_ns: shortest time between two samples, 0: every
 * tick. */
int wv_top_screen(const struct wv_paths *paths, const struct wv_top_options *options,
		  uint64_t interval_ns);

/* A histogram as one character a bucket, the fullest one highest. buf: 4 bytes a bucket and NUL. */
const char *wv_top_sparkline(const struct wv_hist *h, bool utf8, char buf[4 * WV_HIST_BUCKETS + 1]);

#endif
