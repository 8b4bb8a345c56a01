/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Turns of core's loop as traces. Not every turn is worth sending: most are alike, and one a second
 * with its stages would be half a million spans a day and machine. Kept are one of N, so that there
 * is something to compare with, and every one that was slow, late, or that decided something.
 */
#ifndef WV_OTLP_TURN_SPANS_H
#define WV_OTLP_TURN_SPANS_H

#include "user/flow/turns.h"
#include "user/otlp/track.h"

#define WV_OTLP_TURNS_KEPT 128 /* that wait to be sent; the oldest go first */
#define WV_OTLP_TURN_MARKS 16

struct wv_otlp_kept_turn {
	struct wv_turn turn;
	const char *why; /* sample, slow, decided */
	struct wv_otlp_mark marks[WV_OTLP_TURN_MARKS];
	struct wv_otlp_link links[WV_OTLP_LINKS];
	unsigned n_marks, marks_dropped, n_links;
};

struct wv_otlp_note { /* of a turn that is not here yet */
	uint64_t sample_mono_ns;
	struct wv_otlp_record record;
	struct wv_otlp_where where;
};

/* What the log tells of a turn may be read before the turn, and after it. */
struct wv_otlp_turn_list {
	uint64_t one_in; /* 0: none just as a sample */
	uint64_t slow_ns;
	struct wv_otlp_kept_turn *list[WV_OTLP_TURNS_KEPT]; /* by time */
	unsigned n;
	struct wv_otlp_note notes[WV_OTLP_TURN_MARKS]; /* the oldest go first */
	unsigned n_notes;
	uint64_t newest_ns;	/* start of the newest turn */
	uint64_t seen, dropped; /* dropped: kept ones that had to go */
};

/* Why the turn is kept, or NULL. */
const char *wv_otlp_turn_worth(const struct wv_otlp_turn_list *l, const struct wv_turn *turn);
/* Takes it in if it is worth it. 0 or -ENOMEM. */
int wv_otlp_turns_add(struct wv_otlp_turn_list *l, const struct wv_turn *turn);
/*
 * A record of this run about a decision (or about a chain that it started): an event of the turn in
 * which it was taken, and a link to the trace it belongs to. A turn that is still to come gets it
 * then; of one that is gone or was not kept it is forgotten.
 */
void wv_otlp_turns_note(struct wv_otlp_turn_list *l, uint64_t sample_mono_ns,
			const struct wv_otlp_record *r, const struct wv_otlp_where *where);
/* Gives the spans of the turns that ended by this time to emit, and forgets them. Returns how many
 * turns. */
unsigned wv_otlp_turns_emit(struct wv_otlp_turn_list *l, uint64_t until_mono_ns, const char *run_id,
			    wv_otlp_emit_fn emit, void *ctx);
void wv_otlp_turns_done(struct wv_otlp_turn_list *l);
uint64_t wv_otlp_turn_ns(const struct wv_turn *t);

#endif
