/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One recovery chain on one cgroup: a machine without I/O, clock or memory of its own. The caller
 * hands in events, the time and a random number, and does what comes out. Table: chain_table.h.
 */
#ifndef WV_RECOVER_CHAIN_H
#define WV_RECOVER_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "user/flow/policy.h"
#include "user/recover/chain_table.h"

/* Steps of a chain that are looked at; more are not taken. */
#define WV_CHAIN_STEPS_MAX 32
/* Restarts of a domain that are remembered; a larger budget counts as this. */
#define WV_RESTARTS_MAX 64
/* How long a step waits for the domain where it does not say so. */
#define WV_CHAIN_WAIT_NS 30000000000ULL
/* How long it waits at most for the domains that come before its own. */
#define WV_CHAIN_HELD_NS 120000000000ULL

extern const char *const wv_chain_state_names[WV_CHAIN_STATE_N];
extern const char *const wv_chain_event_names[WV_CHAIN_EV_N];

/* What is known of a chain between events; plain numbers, so that it can be kept in a file. */
struct wv_chain_run {
	enum wv_chain_state state;
	uint32_t step;	 /* PAUSED, ACTING, VERIFYING: the step that it is about */
	uint32_t next;	 /* first step that was not tried yet */
	uint32_t taken;	 /* steps taken since BEGIN: the back-off grows with it */
	uint32_t loops;	 /* times that it was needed again within cool_down */
	uint64_t due_ns; /* monotonic; 0: no time is set */
};

/* Restart budget of a domain, shared by all of its cgroups: times of its last restarts. */
struct wv_restarts {
	uint64_t times_ns[WV_RESTARTS_MAX]; /* a ring; `n` are set */
	uint32_t n, next;
};
/* Restarts that are left at this time. A window of 0: no budget. */
uint64_t wv_restarts_left(const struct wv_restarts *r, uint64_t max, uint64_t window_ns,
			  uint64_t now_ns);
void wv_restarts_note(struct wv_restarts *r, uint64_t now_ns);

struct wv_chain_env {
	const struct wv_chain *chain;
	const bool *features;		  /* [WV_FEATURE_N] of the policy */
	const struct wv_restarts *budget; /* of the domain; NULL: none */
	uint64_t max_restarts, restart_window_ns;
	uint64_t now_ns;
	uint64_t random; /* anything: for the jitter */
};

enum wv_chain_skip { WV_SKIP_NONE, WV_SKIP_FEATURE, WV_SKIP_BUDGET, WV_SKIP_NESTED };
extern const char *const wv_chain_skip_texts[];

/* What the caller has to do or to tell. */
struct wv_chain_out {
	enum wv_chain_state from;
	enum wv_chain_action action; /* the last one */
	uint32_t step;		     /* ACT, PAUSE: which */
	uint64_t pause_ns;
	enum wv_chain_skip skipped[WV_CHAIN_STEPS_MAX]; /* steps that were passed over, and why */
};

/* Whether the state has an answer to this event. */
bool wv_chain_possible(enum wv_chain_state state, enum wv_chain_event event);
/* Takes one event. -EINVAL: not possible in this state (nothing changes). */
int wv_chain_step(struct wv_chain_run *run, enum wv_chain_event event,
		  const struct wv_chain_env *env, struct wv_chain_out *out);
/* Pause before step number `taken` (from 0): none, then backoff doubled each time, with jitter. */
uint64_t wv_chain_backoff(const struct wv_chain *chain, uint32_t taken, uint64_t random);

#endif
