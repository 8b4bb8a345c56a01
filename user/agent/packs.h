/* SPDX-License-Identifier: GPL-2.0-only */
/* Evidence packs that rules asked for, and those of the cadence: made by a process of its own with
 * the lowest priority, one at a time, evidence.pack_gap apart. */
#ifndef WV_AGENT_PACKS_H
#define WV_AGENT_PACKS_H

#include "user/core/module.h"

struct wv_packs {
	uint64_t look_ns;    /* when to look again, monotonic */
	uint64_t started_ns; /* when the last one was begun; 0: none yet */
	uint64_t cadence_ns; /* wall time of the next one; 0: not yet known */
};

/* The page in a pack; set once by the program before it forks (the report is made by user/cmd). */
extern int (*wv_packs_summary)(const char *run_dir, char **ret_html);

/* Once a tick; forks when something is due, and never waits for it. */
void wv_packs_tick(struct wv_packs *p, struct wv_agent *agent);

#endif
