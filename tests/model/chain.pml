/*
 * A recovery chain: the table, and around it what user/recover/chain.c does with a chain of three steps, and
 * recover.c and take.c with what comes out: time in ticks, the domains before its own, the kill switch, the intent,
 * the action and its outcome, the domain's restarts, and an agent that is killed while an action is under way.
 *
 * Unless something is broken on purpose chain.c runs beside it and has to come to the same in all states.
 *
 * Not in here: others that restart in the same domain at the same time, and actions of rules on the same cgroup.
 * -DOTHERS lets another chain of the domain restart, -DWELL_ACTING counts being told `well` while a step is taken;
 * neither holds.
 */
#define STEPS 3
#define ACT_TICKS 1 /* an action's deadline */
#define HELD_TICKS 2
#define WAIT_TICKS 1
#define COOL_TICKS 2
#define WINDOW 3 /* ticks in which there may be max_restarts; the back-off is 1, then 2 ticks */

/* kinds of steps */
#define ANY 0
#define RESTART 1
#define OFF 2 /* its feature is: it is passed over */

#ifdef BREAK_BUDGET
#define LEFT true
#else
#define LEFT (restarts[0] + restarts[1] + restarts[2] < max_restarts)
#endif
#ifdef BREAK_INTENT
#define MAY_HAPPEN true /* acts before its intent is durable */
#else
#define MAY_HAPPEN durable
#endif
#ifdef BREAK_HELD
#define FREE true /* does not look at what comes before */
#else
#define FREE !busy
#endif
#ifdef BREAK_SWITCH
#define SWITCHED false /* does not look at the kill switch */
#else
#define SWITCHED disarmed
#endif
#ifdef WELL_ACTING
#define WELL_COUNTS (state != IDLE)
#define TOLD_WHILE_ACTING true
#else
#define TOLD_WHILE_ACTING false
#define WELL_COUNTS (state != IDLE && state != ACTING)
#endif

byte kind[STEPS], max_restarts; /* chosen once */
/* struct wv_chain_run */
byte state = IDLE, step, nxt, taken; /* how often it was needed again is told, no more */
bool timed; byte due;
/* within a step */
byte trigger = EV_N, event = EV_N, next, action, before, pumped, i;
bool possible, acts;
/* the world */
bool busy; byte busy_ticks; /* a domain that comes before it is being recovered */
bool disarmed; /* the kill switch */
bool flight, durable, happened; byte acting; /* an action: its intent in memory, on disk, in the world; ticks */
byte restarts[WINDOW]; /* of the domain, by how many ticks ago */
/* what must hold is told by these */
bool passed, needed, killed; /* in this step: time passed; it was needed; the agent was killed */
bool freed; /* since it began, nothing was before it, or it has waited for long enough */
byte waited; /* in HELD */
bool chosen; /* a step that was not taken yet */
byte last; /* one more than the last step whose intent became durable since it was idle */
bool told_well; /* since it was needed last */

bool same = true;
#ifndef BREAK
c_decl {
\#include "user/policy/policy.h"
\#include "user/recover/chain.h"
}
c_state "struct wv_chain_run c" "Global"
c_code {
	enum { TICK = 60, START = 100 };
	static const uint64_t s = 1000000000ULL;

	/* in place of policy.c's: WV_ACT_KILL is the one whose feature is off */
	enum wv_feature wv_act_feature(enum wv_act act)
	{
		return act == WV_ACT_KILL ? 0 : WV_FEATURE_N;
	}

	static int same_run(void)
	{
		return now.c.state == now.state && now.c.step == now.step && now.c.next == now.nxt &&
		       now.c.taken == now.taken &&
		       now.c.due_ns == (now.timed ? (START + now.due) * TICK * s : 0);
	}

	static int same_step(void)
	{
		static const enum wv_act acts[] = {WV_ACT_ALERT, WV_ACT_RESTART, WV_ACT_KILL};
		static const bool features[WV_FEATURE_N];
		struct wv_restarts budget = {0};
		struct wv_step steps[3] = {0};
		struct wv_chain chain = {.steps = {.list = steps, .n = 3}, .backoff_ns = TICK * s,
					 .backoff_max_ns = 2 * TICK * s, .cool_down_ns = 2 * TICK * s};
		struct wv_chain_env env = {.chain = &chain, .features = features, .budget = &budget,
					   .max_restarts = now.max_restarts, .restart_window_ns = 3 * TICK * s,
					   .now_ns = START * TICK * s};
		struct wv_chain_out out;

		for (int k = 0; k < 3; k++) {
			steps[k] = (struct wv_step){.act = acts[now.kind[k]], .has_wait = true, .wait_ns = TICK * s};
			for (int r = 0; r < now.restarts[k]; r++)
				wv_restarts_note(&budget, env.now_ns - k * TICK * s);
		}
		if (!wv_chain_possible(now.c.state, now.trigger) ||
		    wv_chain_step(&now.c, now.trigger, &env, &out) < 0)
			return !now.possible;
		now.c.loops = 0;
		return now.possible && out.action == now.action && same_run();
	}

	static void later(void)
	{
		if (now.c.due_ns)
			now.c.due_ns -= TICK * s;
	}

	/* What a killed agent left on disk. */
	static void read_back(void)
	{
		now.c.state = now.state;
		now.c.taken = now.taken;
		now.c.due_ns = START * TICK * s;
	}
}
#define COMPARE_STEP c_code { now.same = same_step(); }; assert(same)
#define COMPARE_LATER c_code { later(); now.same = same_run(); }; assert(same)
#define READ_BACK c_code { read_back(); }
#else
#define COMPARE_STEP skip
#define COMPARE_LATER skip
#define READ_BACK skip
#endif

inline choose() {
	event = EV_LAST;
	do
	:: event == EV_LAST && nxt < STEPS ->
		i = nxt; nxt++;
		if
		:: kind[i] == OFF || (kind[i] == RESTART && !LEFT)
		:: else -> step = i; event = EV_STEP; chosen = true
		fi
	:: else -> break
	od;
	i = 0
}

inline wait(ticks) {
	timed = true; due = ticks
}

inline perform() {
	event = EV_N;
	if
	:: action == DO_BEGIN ->
		step = 0; nxt = 0; taken = 0;
		wait(HELD_TICKS);
		freed = false; waited = 0; chosen = false; told_well = false
	:: action == DO_CHOOSE -> choose()
	:: action == DO_ESCALATE -> choose()
	:: action == DO_PAUSE -> wait((taken > 2 -> 2 : taken))
	:: action == DO_ACT -> taken++; timed = false; due = 0; acts = true
	:: action == DO_WATCH -> assert(happened); wait(WAIT_TICKS)
	:: action == DO_COOL -> assert(told_well); wait(COOL_TICKS)
	:: action == DO_GIVE_UP -> assert(nxt == STEPS); wait(COOL_TICKS)
	:: action == DO_END ->
		step = 0; nxt = 0; taken = 0; timed = false; due = 0;
		chosen = false; last = 0; told_well = false; freed = false; waited = 0
	:: else
	fi
}

/* asks for a step: it is in memory, and the restart is noted */
inline take() {
	acts = false;
	assert(freed); /* never while it is held */
	assert(!disarmed); /* nor by an agent that must not act */
	assert(chosen && step >= last); /* never goes back, and takes no step twice */
	assert(!told_well); /* told that all is well, it does nothing harder */
	assert(kind[step] != OFF);
	assert(!flight); /* one at a time */
	chosen = false;
	flight = true; durable = false; happened = false; acting = 0;
	if :: kind[step] == RESTART -> restarts[0]++ :: else fi;
	assert(restarts[0] + restarts[1] + restarts[2] <= max_restarts)
}

/* wv_recoverer_feed(): an event that is not possible is let be */
inline feed() {
	if
	:: trigger == EV_NEED -> told_well = false
	:: trigger == EV_WELL && WELL_COUNTS -> told_well = true
	:: trigger == EV_DONE || trigger == EV_FAILED || trigger == EV_GONE -> flight = false
	:: else
	fi;
	event = trigger;
	look_up();
	do
	:: possible && event != EV_N ->
		state = next;
		perform();
		if
		:: event != EV_N -> look_up(); assert(possible)
		:: else
		fi
	:: else -> break
	od;
	COMPARE_STEP;
	if :: acts -> take() :: else fi;
	if :: !flight -> durable = false; happened = false; acting = 0 :: else fi;
	event = EV_N; next = 0; action = 0; possible = false
}

/* which event the pump has for it */
inline find() {
	event = EV_DISARM; look_up();
	event = EV_N; next = 0; action = 0;
	trigger = EV_N;
	if
	:: SWITCHED && possible -> trigger = EV_DISARM
	:: else ->
		if
		:: state == HELD && FREE -> trigger = EV_FREE
		:: else -> if :: timed && due == 0 && state != ACTING -> trigger = EV_DUE :: else fi
		fi
	fi;
	possible = false
}

/* one event, and wv_recoverer_pump() */
inline steps() {
	pumped = 0;
	do
	:: trigger != EV_N ->
		if :: state == HELD && (!busy || waited >= HELD_TICKS) -> freed = true :: else fi;
		before = state;
		feed();
		pumped++;
		assert(pumped < 8); /* else a loop */
		if :: pumped > 1 && state == before -> trigger = EV_N :: else -> find() fi
	:: else -> break
	od;
	before = 0; pumped = 0
}

inline check() {
	/* it acts while, and only while, an action is under way; nothing happens without a durable intent */
	assert(flight == (state == ACTING));
	assert(!happened || durable);
	/* where something is waited for there is a time at which the wait is over */
	assert(timed == (state != IDLE && state != ACTING));
	assert(state != CHOOSING);
	/* told that all is well it is done */
	assert(TOLD_WHILE_ACTING || !told_well || state == COOLING || state == IDLE);
	assert(taken <= STEPS)
}

active proctype chain() {
	atomic {
		do
		:: i < STEPS ->
			if :: kind[i] = ANY :: kind[i] = RESTART :: kind[i] = OFF fi;
			i++
		:: else -> break
		od;
		i = 0;
		max_restarts = 1
	};
	do
	:: atomic {
		passed = false; needed = false; killed = false;
		if
		:: !disarmed -> trigger = EV_NEED; needed = true
		:: state != IDLE -> trigger = EV_WELL
		:: state != IDLE -> trigger = EV_GONE
		:: disarmed = !disarmed
		:: busy = !busy
		/* the intent becomes durable, or cannot; the action happens and comes to an end, or fails */
		:: flight && !durable -> durable = true; last = step + 1
		:: flight && MAY_HAPPEN && !happened -> happened = true
		:: flight && happened -> trigger = EV_DONE
		:: flight -> trigger = EV_FAILED
		/* the agent is killed: without an intent on disk the step is taken anew, else asked for again */
		:: flight && !durable && !happened ->
			killed = true; state = PAUSED; taken--; timed = true; due = 0; flight = false; chosen = true;
			if :: kind[step] == RESTART -> restarts[0]-- :: else fi;
			READ_BACK
		:: flight && durable -> killed = true; happened = false; acting = 0
		:: !flight || (durable && acting < ACT_TICKS) ->
			passed = true;
			if :: due > 0 -> due-- :: else fi;
			if :: flight -> acting++ :: else fi;
			if :: state == HELD && waited < HELD_TICKS -> waited++ :: else fi;
			restarts[2] = restarts[1]; restarts[1] = restarts[0]; restarts[0] = 0;
			COMPARE_LATER
#ifdef OTHERS
		:: LEFT -> restarts[0]++
#endif
		fi;
		d_step {
			if :: trigger == EV_N -> find() :: else fi;
			steps();
			check()
		}
	}
	od
}

/* ends always, as long as time passes and the agent lives: done, or with no step left, or forgotten */
ltl ends { (([]<> passed) && (<>[] !killed)) -> ([]<> (state == IDLE || state == COOLING || state == SPENT)) }
/* no state without an exit: when it is not needed any more it is forgotten in the end */
ltl forgets { (([]<> passed) && (<>[] (!killed && !needed))) -> (<>[] (state == IDLE)) }
