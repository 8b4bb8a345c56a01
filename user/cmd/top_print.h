/* SPDX-License-Identifier: GPL-2.0-only */
/* `top` without a terminal: a plain table, or JSON (docs/top.md). */
#ifndef WV_CMD_TOP_PRINT_H
#define WV_CMD_TOP_PRINT_H

#include "user/cmd/top_model.h"

/* limit: lines at most, 0 for all. */
void wv_top_print_table(const struct wv_top *t, const struct wv_snapshot *head,
			const struct wv_snapshot *before, const struct wv_top_options *o,
			unsigned limit);
/* Only the title and the lines. */
void wv_top_print_lines(const struct wv_top *t, const struct wv_top_options *o, unsigned limit);
/* more: an object whose members are shown as well, or NULL; its reference is taken. A head without
 * a start (of a recorded sample) shows nothing of the agent itself. */
void wv_top_print_json(const struct wv_top *t, const struct wv_snapshot *head,
		       const struct wv_snapshot *before, unsigned limit, struct json_object *more);

/* The agent's own cost and losses in one line, below 160 bytes. */
void wv_top_self_line(const struct wv_snapshot *head, const struct wv_snapshot *before, char *buf,
		      size_t size);

#endif
