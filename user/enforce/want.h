/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one cgroup is to be held to: all budgets that are in force on it, merged. Where several
 * limit the same thing, the tightest counts, so the order of budgets does not matter and releasing
 * one can only loosen.
 */
#ifndef WV_ENFORCE_WANT_H
#define WV_ENFORCE_WANT_H

#include <stdbool.h>

#include "user/flow/budget.h"
#include "waveos/limit.h"

#define WV_WANT_DEVICES 4

struct wv_want_io {
	char device[32]; /* as in the budget */
	uint64_t rbps, wbps, riops, wiops;
};

/* Absent limits are WV_UNSET. */
struct wv_want {
	uint64_t cpu_quota_us, cpu_period_us, cpu_weight;
	uint64_t memory_high_bytes, memory_max_bytes, pids_max, files_max;
	struct wv_want_io io[WV_WANT_DEVICES];
	unsigned n_io;
	bool io_overflow;	    /* more devices than fit: the rest is not enforced */
	uint64_t net[WV_LIMIT_N];   /* units a second */
	uint64_t burst[WV_LIMIT_N]; /* units */
};

void wv_want_init(struct wv_want *w);
void wv_want_merge(struct wv_want *w, const struct wv_budget *b);
/* Whether any of the network limits is wanted. */
bool wv_want_net(const struct wv_want *w);

#endif
