/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Times a turn of core's loop, for traces (user/flow/turns.h). Where nobody reads turns (turns is
 * NULL) no clock is looked at. One clock read a stage and a module: the end of one is the beginning
 * of the next.
 */
#ifndef WV_AGENT_TURN_H
#define WV_AGENT_TURN_H

#include "user/core/module.h"
#include "user/flow/snapshot.h"
#include "user/flow/turns.h"

struct wv_turn_clock {
	const struct wv_io *io;
	struct wv_turns *turns;		       /* NULL: nobody reads */
	struct wv_turn turn;		       /* the one that runs */
	uint64_t stage_ns, module_ns, sync_ns; /* when that began */
	/* counts at the end of the turn before */
	uint64_t decisions, actions, action_failures, events, records;
};

/* self: counts so far. */
void wv_turn_clock_init(struct wv_turn_clock *t, const struct wv_io *io, struct wv_turns *turns,
			const struct wv_self *self);
/* sample: with the times of this turn. set_for_ns: when it was to begin; 0: not known. */
void wv_turn_begins(struct wv_turn_clock *t, const struct wv_sample *sample, uint64_t set_for_ns);
/* That stage is over. */
void wv_turn_stage(struct wv_turn_clock *t, enum wv_turn_stage stage);
/* Module number i is done. */
void wv_turn_sensed(struct wv_turn_clock *t, size_t i);
void wv_turn_decided(struct wv_turn_clock *t, size_t i);
/* Around what waits for the log's disk; outside of a turn, too. */
void wv_turn_sync_begins(struct wv_turn_clock *t);
void wv_turn_sync_ends(struct wv_turn_clock *t);
void wv_turn_ends(struct wv_turn_clock *t, const struct wv_self *self,
		  const struct wv_agent *agent);

#endif
