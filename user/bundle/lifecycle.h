/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The life of bundles: store, states and log together. Whoever changes something holds the store's
 * lock, takes the fold of the log, records what is to be done (durable), does it, and records what
 * came of it. A crash between any two of these is finished or taken back by wv_bundles_recover(),
 * from the log and from what is on disk; the switch itself is one rename (store.h).
 */
#ifndef WV_BUNDLE_LIFECYCLE_H
#define WV_BUNDLE_LIFECYCLE_H

#include "user/bundle/state.h"
#include "user/bundle/store.h"
#include "user/evidence/tlog.h"

struct wv_bundles {
	const struct wv_io *io;
	const struct wv_paths *paths;
	char run_id[64];
	struct wv_store store;
	struct wv_bundle_states states;
	struct wv_tlog *log; /* NULL: only to look */
};

/*
 * Takes store, log and states. change: with the lock, else only to look (-ENOENT: there never was
 * a bundle). run_id: of the agent, "" outside of one. After any later error that is not said to
 * change nothing, close it: only the log knows the state then.
 */
int wv_bundles_open(struct wv_bundles *ret, const struct wv_io *io, const struct wv_paths *paths,
		    const char *run_id, bool change);
void wv_bundles_close(struct wv_bundles *b);

/* Writes a bundle to disk. Errors as of wv_store_stage(). */
int wv_bundles_stage(struct wv_bundles *b, const struct wv_store_source *from,
		     struct wv_store_staged *ret);
/* Staged to trial. -EBUSY: another one of its slot is in trial; -EBADMSG: it is damaged. */
int wv_bundles_activate(struct wv_bundles *b, enum wv_bundle_kind kind, const char *name,
			const char *id);
/* Trial to confirmed. -ENOENT: none is in trial. */
int wv_bundles_confirm(struct wv_bundles *b, enum wv_bundle_kind kind, const char *name,
		       const char *cause);
/*
 * What is in use is not well: back to the last known good that is whole; if there is none, to
 * nothing. -ENOENT: nothing is in use. needs_target: -ENODATA rather than to nothing.
 */
int wv_bundles_roll_back(struct wv_bundles *b, enum wv_bundle_kind kind, const char *name,
			 const char *cause, bool needs_target);
/* Hooks of a moment were run, or cannot be (error: positive errno). */
int wv_bundles_hooks_done(struct wv_bundles *b, enum wv_bundle_kind kind, const char *name,
			  enum wv_bundle_moment moment, int error, const char *detail);
int wv_bundles_pin(struct wv_bundles *b, enum wv_bundle_kind kind, const char *name, const char *id,
		   bool pin);

/* Of one bundle that is or would be removed. */
typedef void (*wv_bundles_collected_fn)(void *ctx, const struct wv_bundle_slot *slot,
					const struct wv_bundle_entry *e);
/* Removes what no one needs: all but what is in use, the last known good, and pinned ones; also
 * what was staged in part. dry_run: only tells. */
int wv_bundles_collect(struct wv_bundles *b, bool dry_run, wv_bundles_collected_fn tell, void *ctx);

/* Before another change: finishes what a crash interrupted. Hashes nothing that is in use. */
int wv_bundles_settle(struct wv_bundles *b);
/*
 * Before anything of a bundle is used: finishes what a crash interrupted, hashes what is in use,
 * rolls back what is damaged or was started too often, sets the links right. run: a name of this
 * start of the agent, counted once for a bundle in trial; NULL: nothing is counted.
 */
int wv_bundles_recover(struct wv_bundles *b, const char *run);
/* All of it for a start: 0 also where there never was a bundle. */
int wv_bundle_recover(const struct wv_io *io, const struct wv_paths *paths, const char *run);

/* Puts all that is known into the log anew, so that older records may be retired. */
int wv_bundles_snapshot(struct wv_bundles *b);
/* wv_retention.restate: the same where the newest bundle-state is in what is to be retired. The
 * log's lock is held by the caller, so nothing comes between the fold and its record. */
struct wv_bundles_at {
	const struct wv_io *io;
	const char *state;
};
int wv_bundles_restate(void *ctx, struct wv_tlog *l, uint64_t first, uint64_t last);

#endif
