/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The last turns of core's loop, for who traces it: a ring in memory that core shares with the
 * worker that reads. Core writes one struct a turn, without a lock, a system call or an allocation;
 * a reader that falls behind counts what it missed.
 *
 * Invariant: slot n % WV_TURNS holds turn n from the moment that `next` is above n until turn n +
 * WV_TURNS begins to be written. Its seq is odd while it is written; it is 2 * n + 2 when it is
 * whole. A core that dies while it writes leaves an odd seq and `next` as it was: its successor
 * writes the same slot.
 */
#ifndef WV_FLOW_TURNS_H
#define WV_FLOW_TURNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WV_TURNS 512	   /* a power of two; 25 s of the shortest tick, minutes of the usual one */
#define WV_TURN_MODULES 24 /* more modules than this are not told apart */

/* Row: (id, name). In the order in which a turn goes through them. */
#define WV_TURN_STAGES(X)                                                                          \
	X(EVENTS, "events")   /* what is left in the event ring */                                 \
	X(SENSE, "sense")     /* every module reads its figures */                                 \
	X(DECIDE, "decide")   /* rules, budgets, breakers; what is decided is done here, too */    \
	X(RECORD, "record")   /* samples, artifacts, packs */                                      \
	X(REAP, "reap")	      /* slots of removed cgroups */                                       \
	X(PUBLISH, "publish") /* the snapshot */

enum wv_turn_stage {
#define X(id, name) WV_TURN_##id,
	WV_TURN_STAGES(X)
#undef X
		WV_TURN_STAGE_N
};
extern const char *const wv_turn_stage_names[WV_TURN_STAGE_N];

struct wv_turn {
	uint64_t tick;			       /* of the sample; goes on over restarts of core */
	uint64_t start_mono_ns, start_wall_ns; /* the sample's */
	uint64_t late_ns;		       /* after the time for which it was set */
	uint64_t stage_ns[WV_TURN_STAGE_N];    /* durations, one after the other */
	uint64_t sync_ns;		       /* of these, waiting for the log's disk */
	uint32_t sense_ns[WV_TURN_MODULES];    /* by number of the module; at most 4 s */
	uint32_t decide_ns[WV_TURN_MODULES];
	uint64_t events, records; /* since the turn before */
	uint32_t decisions, actions, action_failures, cgroups;
};

struct wv_turns {
	_Atomic uint64_t next; /* turns written so far */
	struct {
		_Atomic uint64_t seq;
		struct wv_turn turn;
	} slots[WV_TURNS];
};

/* Zeroed memory that processes forked from here share; NULL if there is none. */
struct wv_turns *wv_turns_create(void);
/* Core's side, one thread. */
void wv_turns_write(struct wv_turns *t, const struct wv_turn *turn);

struct wv_turns_reader {
	const struct wv_turns *turns;
	uint64_t next;	 /* to be read */
	uint64_t missed; /* turns that were overwritten before they were read */
};
/* Begins with the oldest turn that is still there. */
void wv_turns_open(struct wv_turns_reader *r, const struct wv_turns *t);
/* Whether there was one. */
bool wv_turns_read(struct wv_turns_reader *r, struct wv_turn *ret);

#endif
