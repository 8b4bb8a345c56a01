/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The machine of a recovery chain, as a table. Rows are (state, event, next state, action); a pair
 * without a row is not possible. user/recover/chain.c runs it, and a model can be made from it.
 * Events marked internal are raised by actions, in the same step, and are a model's free choice.
 */
#ifndef WV_RECOVER_CHAIN_TABLE_H
#define WV_RECOVER_CHAIN_TABLE_H

/* Row: (id, text, what it waits for) */
#define WV_CHAIN_STATES(X)                                                                         \
	X(IDLE, "idle", "nothing runs")                                                            \
	X(HELD, "held", "a domain that comes before it is being recovered")                        \
	X(CHOOSING, "choosing", "internal: which step is next")                                    \
	X(PAUSED, "paused", "the back-off before a step")                                          \
	X(ACTING, "acting", "intent is durable, no outcome yet")                                   \
	X(VERIFYING, "verifying", "the step was taken; is the domain well?")                       \
	X(COOLING, "cooling", "well; needed again within cool_down it goes on with a harder step") \
	X(SPENT, "spent", "no step is left and the domain is not well")

/* Row: (id, text) */
#define WV_CHAIN_EVENTS(X)                                                                         \
	X(NEED, "needed")                                                                          \
	X(FREE, "nothing before it")                                                               \
	X(DUE, "time is over")                                                                     \
	X(DONE, "step done")                                                                       \
	X(FAILED, "step failed")                                                                   \
	X(WELL, "domain is well")                                                                  \
	X(GONE, "chain is gone")                                                                   \
	X(DISARM, "kill switch")                                                                   \
	X(STEP, "internal: a step is left")                                                        \
	X(LAST, "internal: no step is left")

/* Row: (id, text) */
#define WV_CHAIN_ACTIONS(X)                                                                        \
	X(NONE, "nothing")                                                                         \
	X(BEGIN, "start at the first step")                                                        \
	X(CHOOSE, "look for the next allowed step")                                                \
	X(ESCALATE, "count a loop, look for the next allowed step")                                \
	X(PAUSE, "wait for the back-off")                                                          \
	X(ACT, "take the step")                                                                    \
	X(WATCH, "wait for the domain")                                                            \
	X(COOL, "tell success, wait for the cool-down")                                            \
	X(GIVE_UP, "tell failure, wait for the cool-down")                                         \
	X(END, "let go of what is held, forget")

#define WV_CHAIN_ROWS(X)                                                                           \
	X(IDLE, NEED, HELD, BEGIN)                                                                 \
	X(IDLE, WELL, IDLE, NONE)                                                                  \
	X(IDLE, GONE, IDLE, NONE)                                                                  \
	X(IDLE, DISARM, IDLE, NONE)                                                                \
	X(HELD, NEED, HELD, NONE)                                                                  \
	X(HELD, DUE, CHOOSING, CHOOSE)                                                             \
	X(HELD, FREE, CHOOSING, CHOOSE)                                                            \
	X(HELD, WELL, IDLE, END)                                                                   \
	X(HELD, GONE, IDLE, END)                                                                   \
	X(HELD, DISARM, IDLE, END)                                                                 \
	X(CHOOSING, STEP, PAUSED, PAUSE)                                                           \
	X(CHOOSING, LAST, SPENT, GIVE_UP)                                                          \
	X(PAUSED, NEED, PAUSED, NONE)                                                              \
	X(PAUSED, DUE, ACTING, ACT)                                                                \
	X(PAUSED, WELL, COOLING, COOL)                                                             \
	X(PAUSED, GONE, IDLE, END)                                                                 \
	X(PAUSED, DISARM, IDLE, END)                                                               \
	X(ACTING, NEED, ACTING, NONE)                                                              \
	X(ACTING, WELL, ACTING, NONE)                                                              \
	X(ACTING, DISARM, ACTING, NONE)                                                            \
	X(ACTING, DONE, VERIFYING, WATCH)                                                          \
	X(ACTING, FAILED, CHOOSING, CHOOSE)                                                        \
	X(ACTING, GONE, IDLE, END)                                                                 \
	X(VERIFYING, NEED, VERIFYING, NONE)                                                        \
	X(VERIFYING, WELL, COOLING, COOL)                                                          \
	X(VERIFYING, DUE, CHOOSING, CHOOSE)                                                        \
	X(VERIFYING, GONE, IDLE, END)                                                              \
	X(VERIFYING, DISARM, IDLE, END)                                                            \
	X(COOLING, NEED, CHOOSING, ESCALATE)                                                       \
	X(COOLING, WELL, COOLING, NONE)                                                            \
	X(COOLING, DUE, IDLE, END)                                                                 \
	X(COOLING, GONE, IDLE, END)                                                                \
	X(COOLING, DISARM, IDLE, END)                                                              \
	X(SPENT, NEED, SPENT, NONE)                                                                \
	X(SPENT, WELL, COOLING, COOL)                                                              \
	X(SPENT, DUE, IDLE, END)                                                                   \
	X(SPENT, GONE, IDLE, END)                                                                  \
	X(SPENT, DISARM, IDLE, END)

enum wv_chain_state {
#define X(id, text, doc) WV_CHAIN_##id,
	WV_CHAIN_STATES(X)
#undef X
		WV_CHAIN_STATE_N
};

enum wv_chain_event {
#define X(id, text) WV_CHAIN_EV_##id,
	WV_CHAIN_EVENTS(X)
#undef X
		WV_CHAIN_EV_N
};

enum wv_chain_action {
#define X(id, text) WV_CHAIN_DO_##id,
	WV_CHAIN_ACTIONS(X)
#undef X
		WV_CHAIN_DO_N
};

#endif
