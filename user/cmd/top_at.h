/* SPDX-License-Identifier: GPL-2.0-only */
/* top --at: the table of a time that was, from recorded runs. */
#ifndef WV_CMD_TOP_AT_H
#define WV_CMD_TOP_AT_H

#include "user/cmd/top_model.h"

/* "-3m", "3m" (so long ago), or "2026-01-31T12:00:00Z". 0 with nanoseconds since 1970, or -EINVAL.
 */
int wv_top_parse_at(const char *text, uint64_t now_wall_ns, uint64_t *ret_wall_ns);
/* Prints; an exit code. */
int wv_top_at(const struct wv_paths *paths, const struct wv_top_options *o, uint64_t wall_ns,
	      unsigned limit, bool json);

#endif
