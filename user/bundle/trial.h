/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trials: runs the hooks that are due, watches what is in trial by its health rules, confirms what
 * is well and rolls back what is not. Used by the agent's bundle worker and, where no agent runs,
 * by `bundle install --wait`. Nothing is kept that a crash could lose: what is due is in the
 * states.
 */
#ifndef WV_BUNDLE_TRIAL_H
#define WV_BUNDLE_TRIAL_H

#include "user/bundle/deeds.h"
#include "user/bundle/health.h"
#include "user/bundle/lifecycle.h"

struct wv_watched;

struct wv_trial {
	const struct wv_io *io;
	const struct wv_paths *paths;
	const char *run_id;
	wv_health_probe_fn probe;
	void *probe_ctx;
	wv_deed_fn deed;
	void *deed_ctx;
	struct wv_watched *watched[WV_BUNDLE_SLOTS_MAX];
	unsigned n;
	unsigned errors; /* rounds in a row that could not be done */
};

/* With the real probes and deeds. */
void wv_trial_init(struct wv_trial *t, const struct wv_io *io, const struct wv_paths *paths,
		   const char *run_id);
void wv_trial_done(struct wv_trial *t);
/*
 * One round. *ret_next_ns: when to come again (monotonic), UINT64_MAX: nothing is in trial. -errno:
 * something could not be done or recorded; come again in a while.
 */
int wv_trial_step(struct wv_trial *t, uint64_t *ret_next_ns);

#endif
