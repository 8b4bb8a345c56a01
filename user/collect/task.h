/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the task collector: its parts that need no kernel half, for task*.c and their tests. */
#ifndef WV_COLLECT_TASK_H
#define WV_COLLECT_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wv_agent;

/* What a walk over all tasks finds in one cgroup. */
struct wv_task_gauges {
	uint32_t processes, threads, runnable, zombies, dstate, dstate_long;
};

/* A task seen in uninterruptible sleep. pid and start name it; switches tells whether it ran since.
 */
struct wv_dtask {
	uint32_t pid, tgid, slot;
	uint64_t start, switches;
	char comm[16]; /* not always terminated */
};

/* task_stuck.c: how long tasks have been in one sleep -------------------------------------------
 */

/* Tasks followed at once; what is over is not followed, and counted. */
#define WV_STUCK_MAX 512

struct wv_stuck;
int wv_stuck_new(struct wv_stuck **ret);
void wv_stuck_free(struct wv_stuck *s);
/* Begins a walk: tasks that the last complete walk did not see in the same sleep are forgotten. */
void wv_stuck_begin(struct wv_stuck *s);
struct wv_stuck_age {
	uint64_t ns;  /* since the walk that first saw it in this sleep */
	bool crossed; /* limit_ns was reached just now */
};
/* A walk sees a task in D. */
struct wv_stuck_age wv_stuck_see(struct wv_stuck *s, const struct wv_dtask *t, uint64_t limit_ns,
				 uint64_t now_ns);
/* The walk was complete. Without this call the next walk compares with the one before. */
void wv_stuck_end(struct wv_stuck *s);
uint64_t wv_stuck_untracked(const struct wv_stuck *s);

/* How often a walk is worth its price: every tick while it stays within the budget, else every nth.
 */
#define WV_WALK_EVERY_MAX 60
struct wv_cadence {
	uint64_t cost_ns; /* smoothed */
	uint32_t every, skip;
};
/* Whether this tick walks. */
bool wv_cadence_due(struct wv_cadence *c);
/* What the walk cost; budget_ns is a tick's share. */
void wv_cadence_spent(struct wv_cadence *c, uint64_t cost_ns, uint64_t budget_ns);

/* task_proc.c: the walk where iterators are refused ----------------------------------------------
 */

struct wv_task_stat {
	uint32_t pid, threads;
	uint64_t start_ticks;
	char state;
	char comm[16];
};
/* Reads /proc/<pid>/stat; a name may hold any byte, parentheses too. 0 or -EINVAL. */
int wv_task_stat_parse(const char *text, struct wv_task_stat *ret);
/*
 * Finds the path of a task in /proc/<pid>/cgroup. controller: the v1 hierarchy that attributes the
 * tasks of the v2 root, or NULL. Returns 1 or 2 (the hierarchy's version), or -ENOENT; path is cut
 * out of text.
 */
int wv_task_cgroup_parse(char *text, const char *controller, const char **ret_path);
/*
 * Adds all tasks of /proc to gauges[0..n) by slot; calls dstate for those in D, which returns
 * whether the sleep is a long one.
 */
int wv_task_walk_proc(struct wv_agent *agent, struct wv_task_gauges *gauges, uint32_t n,
		      bool (*dstate)(struct wv_agent *agent, const struct wv_dtask *t));

#endif
