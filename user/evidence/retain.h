/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long the log's lines are kept. Every removal is in the log before it happens
 * (`segment-retired`), as are legal holds (`hold-placed`, `hold-released`): what is held, and what
 * was ever retired, is a fold over the log. Before a record goes that is needed to tell of a
 * retirement, the whole range is told again (`segments-retired`). Leaf hashes are never removed, so
 * proofs of what remains go on to work.
 */
#ifndef WV_EVIDENCE_RETAIN_H
#define WV_EVIDENCE_RETAIN_H

#include "user/evidence/tlog.h"
#include "user/evidence/told.h"

#define WV_HOLD_NAME_SIZE 64
#define WV_HOLD_REASON_SIZE 256
#define WV_HOLDS_MAX 1000

struct wv_hold {
	char name[WV_HOLD_NAME_SIZE], reason[WV_HOLD_REASON_SIZE];
	uint64_t first,
		last; /* seqs that are kept; last 0: all from first on, also those to come */
	uint64_t seq, wall_ns; /* of the record that placed it */
};

/* What a fold over the log gives. Release with wv_holds_done(). */
struct wv_holds {
	struct wv_hold *holds;
	size_t n;
	uint64_t through; /* seq of the last record that was looked at */
	/* ranges that were retired, and whose files may still be there after a crash */
	struct wv_segment *retired;
	size_t n_retired;
	struct wv_told_list told; /* all that was ever retired */
};
int wv_holds_read(const struct wv_io *io, const char *state, struct wv_holds *ret);
void wv_holds_done(struct wv_holds *h);
/* Whether a hold overlaps these seqs. */
const struct wv_hold *wv_holds_find(const struct wv_holds *h, uint64_t first, uint64_t last);

/* Durable when they return 0. -EEXIST: a hold of the name is in force; -ENOENT: none is; -EINVAL: a
 * name or a reason that is empty, too long, or no printable ASCII; -ENOSPC: too many. */
int wv_hold_place(struct wv_tlog *l, const struct wv_io *io, const char *state, const char *name,
		  uint64_t first, uint64_t last, const char *reason);
int wv_hold_release(struct wv_tlog *l, const struct wv_io *io, const char *state, const char *name,
		    const char *reason);

struct wv_retention {
	uint64_t keep_ns;    /* of wall time; 0: for ever */
	uint64_t keep_bytes; /* of all segments' files; 0: without bound */
	/*
	 * Called before records first..last are retired: whoever has state in them that is still
	 * in force writes it again (wv_event with this log; it is durable before anything goes).
	 * -errno keeps the segment. MAY be NULL.
	 */
	int (*restate)(void *ctx, struct wv_tlog *l, uint64_t first, uint64_t last);
	void *ctx;
};
struct wv_retained {
	uint64_t segments, records, bytes; /* removed */
	uint64_t held;			   /* segments that only a hold kept */
};
/* Retires closed segments, the oldest first, never the newest of them. 0, or -errno with what was
 * done till then in *ret (MAY be NULL). -EBUSY: another process is at it. */
int wv_tlog_retain(struct wv_tlog *l, const struct wv_io *io, const char *state,
		   const struct wv_retention *policy, struct wv_retained *ret);

#endif
