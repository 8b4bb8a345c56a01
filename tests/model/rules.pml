/*
 * The breaker of a rule: the table and rule_machine.pml, an environment that does what it likes, timers that count
 * ticks, the back-off, and what must hold.
 */
#define BACKOFF_MAX 4
#include "rule_machine.pml"

byte before;
/* for how many ticks up to this one: the condition held; was known not to; clear held and the condition did not */
byte held, quiet, over;

inline more(counter, yes) {
	if
	:: yes && counter < CAP -> counter++
	:: !(yes) -> counter = 0
	:: else
	fi
}

inline check() {
	/* never opens without the condition having held at each tick of `for` */
	assert(!(state == OPEN && (before == CLOSED || before == PENDING)) || held > len_for);
	/* unknown never trips; nor does what is false */
	assert(!(state == OPEN && before != OPEN) || condition == YES);
	/* on trial, a condition that holds trips again at once */
	assert(!(before == HALF_OPEN && condition == YES) || state == OPEN);
	/* only what is known to be clear, all the while, and no condition that holds, is over */
	assert(!(before == OPEN && state != OPEN) || (over > len_clear && condition != YES));
	/* no trial is left out, nor cut short, nor passed without being known to be quiet */
	assert(!(before == OPEN && state == CLOSED) || len_trial == 0);
	assert(!(before == HALF_OPEN && state == CLOSED) || quiet >= len_trial * backoff);
	/* a condition that holds is never taken for nothing */
	assert(!(condition == YES) || state == PENDING || state == OPEN);
	/* nothing known, nothing done: at most what was pending is dropped */
	assert(!(condition == UNKNOWN && clear == UNKNOWN) || state == before ||
		(before == PENDING && state == CLOSED));
	/* a timer runs where, and only where, something waits for it */
	assert(!(state == CLOSED) || !running);
	assert(!(state == PENDING || state == HALF_OPEN) || running)
}

active proctype breaker() {
	atomic {
		if :: len_for = 0 :: len_for = 1 :: len_for = 2 fi;
		if :: len_clear = 0 :: len_clear = 1 :: len_clear = 2 fi;
		if :: len_trial = 0 :: len_trial = 1 :: len_trial = 2 fi
	};
	do
	:: atomic {
		if :: condition = YES :: condition = NO :: condition = UNKNOWN fi;
		if :: clear = YES :: clear = NO :: clear = UNKNOWN fi;
		d_step {
			before = state;
			pass();
			more(held, condition == YES);
			more(quiet, condition == NO);
			more(over, clear == YES && condition != YES);
			tick();
			check()
		}
	}
	od
}

/* always leaves OPEN in the end when the condition stays clear */
ltl leaves_open { (<>[] (condition != YES && clear == YES)) -> ([]<> (state != OPEN)) }
/* no state without an exit: from any of them all goes back to CLOSED, and to OPEN */
ltl closes { (<>[] (condition == NO && clear == YES)) -> (<>[] (state == CLOSED)) }
ltl opens { (<>[] (condition == YES)) -> (<>[] (state == OPEN)) }
