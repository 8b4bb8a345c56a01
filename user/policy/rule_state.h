/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The breakers: one state machine for each rule on each lane (cgroup), driven by masks of 64 lanes.
 * Pure: no clock, no allocation after init; the transitions are one table (rule_machine.def). Lanes
 * that are closed and whose condition does not hold are not looked at.
 */
#ifndef WV_POLICY_RULE_STATE_H
#define WV_POLICY_RULE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/policy/vm.h"

/* Row: (id, text) */
#define WV_RULE_STATES(X)                                                                          \
	X(CLOSED, "closed")                                                                        \
	X(PENDING, "pending")                                                                      \
	X(OPEN, "open")                                                                            \
	X(HALF_OPEN, "half-open")
enum wv_rule_state_id {
#define X(id, text) WV_RULE_##id,
	WV_RULE_STATES(X)
#undef X
		WV_RULE_STATE_N
};

#define WV_RULE_EVENTS(X)                                                                          \
	X(CLEAR_TRUE)                                                                              \
	X(CLEAR_FALSE)                                                                             \
	X(CLEAR_UNKNOWN)                                                                           \
	X(TRUE)                                                                                    \
	X(FALSE)                                                                                   \
	X(UNKNOWN)                                                                                 \
	X(ELAPSED)
enum wv_rule_event {
#define X(id) WV_EVENT_##id,
	WV_RULE_EVENTS(X)
#undef X
		WV_EVENT_N
};

enum wv_rule_timer { WV_TIMER_KEEP, WV_TIMER_START, WV_TIMER_RESTART, WV_TIMER_STOP };

struct wv_rule_transition_row {
	uint8_t next, timer;
};
extern const struct wv_rule_transition_row wv_rule_machine[WV_RULE_STATE_N][WV_EVENT_N];
extern const char *const wv_rule_state_names[WV_RULE_STATE_N];

#define WV_RULE_BACKOFF_MAX 16

struct wv_rule_timing {
	uint64_t for_ns;       /* the condition has to hold so long to trip */
	uint64_t clear_for_ns; /* `clear` has to hold so long to be over */
	/* Trial after that; 0: none. A condition that holds in it trips again at once, and doubles
	 * the back-off (1 to WV_RULE_BACKOFF_MAX): the next trial begins this times the back-off
	 * after the trip at the earliest, and lasts this times the back-off. Closed for as long,
	 * the back-off is 1 again. */
	uint64_t half_open_ns;
};

/* One breaker; also how one is handed to another agent or to a replay. */
struct wv_rule_state {
	uint64_t since_ns; /* PENDING and later: when the condition began to hold that tripped it */
	uint64_t changed_ns; /* of the last change of state */
	uint64_t timer_ns;   /* running: since when */
	uint8_t state;	     /* enum wv_rule_state_id */
	uint8_t running;     /* the timer */
	uint8_t backoff;     /* factor; 0 as 1 */
	uint8_t pad[5];
};

struct wv_rule_transition {
	uint32_t rule, lane;
	uint8_t from, to;  /* enum wv_rule_state_id; what lay between within one step is left out */
	uint64_t since_ns; /* when the condition began to hold; to CLOSED from PENDING: the same */
};

/* Where transitions are put: the caller's array. */
struct wv_rule_transitions {
	struct wv_rule_transition *list;
	size_t n, max;
	uint64_t overflow; /* changes that found no room: put off to the next step */
};

struct wv_rule_states {
	uint32_t n_rules, n_lanes, n_blocks;
	uint64_t max_gap_ns;
	const struct wv_rule_timing *timing; /* [n_rules] */
	struct wv_rule_state *states;	     /* [n_rules][n_lanes]; pages that no breaker uses are
						never touched */
	uint64_t *busy;			     /* [n_rules][n_blocks]: lanes that are not closed */
	uint64_t *last_ns;		     /* [n_rules]: of the last step */
	void *memory;
	size_t bytes;
};

/*
 * All closed. timing (by rule) must outlive it. Steps of a rule further apart than max_gap_ns are
 * not a continuous observation: runs that timers need begin anew. Release with
 * wv_rule_states_done(). 0, -EINVAL or -ENOMEM.
 */
int wv_rule_states_init(struct wv_rule_states *s, const struct wv_rule_timing *timing,
			uint32_t n_rules, uint32_t max_lanes, uint64_t max_gap_ns);
void wv_rule_states_done(struct wv_rule_states *s);
/*
 * One tick of one rule: [n] words of 64 lanes each, at most its blocks; NULL for clear means that
 * the rule has no `clear` of its own: then it is clear when the condition is known not to hold.
 * now_ns grows from step to step. Appends what changed to *ret.
 */
void wv_rule_states_step(struct wv_rule_states *s, uint32_t rule, const struct wv_truth *condition,
			 const struct wv_truth *clear, uint32_t n, uint64_t now_ns,
			 struct wv_rule_transitions *ret);
/* State of one breaker; closed if there is none such. */
struct wv_rule_state wv_rule_states_get(const struct wv_rule_states *s, uint32_t rule,
					uint32_t lane);
/* Takes over a state. -EINVAL if there is no such breaker or the state is none. */
int wv_rule_states_put(struct wv_rule_states *s, uint32_t rule, uint32_t lane,
		       const struct wv_rule_state *state);
/* The lane was given back: all of its breakers are closed, without a transition. */
void wv_rule_states_forget(struct wv_rule_states *s, uint32_t lane);
/* Lanes of a block on which the rule is not closed. */
static inline uint64_t wv_rule_states_busy(const struct wv_rule_states *s, uint32_t rule,
					   unsigned block)
{
	return s->busy[(size_t)rule * s->n_blocks + block];
}

#endif
