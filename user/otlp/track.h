/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Traces made of records: what the agent does about something (a recovery chain, a breaker that
 * tripped, a bundle in trial) is told in several records; here they become one trace. Pure: a fold
 * over the log, in its order, so that it can be made again from the record where the oldest open
 * trace began (wv_otlp_tracker_oldest()). Bounded: at most WV_OTLP_OPEN traces are open, none
 * longer than a day; what is over that is ended as it is, and says so (`waveos.unfinished`).
 */
#ifndef WV_OTLP_TRACK_H
#define WV_OTLP_TRACK_H

#include "user/otlp/model.h"

#define WV_OTLP_OPEN 512

struct wv_otlp_tracker;

/* Gets each span when it has ended; s and what it points to only until it returns. */
typedef void (*wv_otlp_emit_fn)(void *ctx, const struct wv_otlp_span *s);

/* Where a record belongs. */
struct wv_otlp_where {
	bool known;
	struct wv_trace_ids ids; /* trace, and the span in it */
	bool began;		 /* the trace begins with this record */
};

/* NULL: no memory. */
struct wv_otlp_tracker *wv_otlp_tracker_new(void);
void wv_otlp_tracker_free(struct wv_otlp_tracker *t);
/* Takes the next record; its spans that have ended go to emit (MAY be NULL: they were sent). */
void wv_otlp_track(struct wv_otlp_tracker *t, const struct wv_otlp_record *r, wv_otlp_emit_fn emit,
		   void *ctx, struct wv_otlp_where *ret);
/* Seq of the record with which the oldest open trace began; `none` if none is open. Never falls. */
uint64_t wv_otlp_tracker_oldest(const struct wv_otlp_tracker *t, uint64_t none);
unsigned wv_otlp_tracker_open(const struct wv_otlp_tracker *t);

#endif
