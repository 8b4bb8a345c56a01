/*
 * The mode of a domain: three rules that ask for modes, each with its own breaker from the table, and a chain that may
 * hold the domain in one. What stands here as set_modes() and follow_modes() are the functions of the same names in
 * user/policy/engine.c and user/rules/rules.c (tests/build/05-model.sh looks that they still say so).
 */
#define BACKOFF_MAX 1
#include "rule_machine.pml"

#define RULES 3
#define NORMAL 0
#define ASKS(rule) (rule == 0 -> 1 : 2) /* two ask for the same */
#define HOLDS 3

#ifdef BREAK_MAX
#define MORE(a, b) true /* the last one wins */
#else
#define MORE(a, b) (a > b)
#endif
#ifdef BREAK_HOLD
#define HELD(m) NORMAL /* the chain is not asked */
#else
#define HELD(m) m
#endif
#ifdef BREAK_RESET
#define BEFORE asked /* not made anew at every tick */
#else
#define BEFORE NORMAL
#endif
#ifdef BREAK_WITHHELD
#define COUNTS (acting[i] || states[i] == OPEN) /* a rule that is withheld counts, too */
#else
#define COUNTS acting[i]
#endif
#ifdef BREAK_LIFT
#define LIFTED acting[i] /* goes on acting when it is not open any more */
#else
#define LIFTED false
#endif

byte states[RULES] = CLOSED, counts[RULES];
bool runs[RULES], acting[RULES];
byte asked, mode, held;
bool may_act = true, granted;
bool calm; /* in this tick: all is clear, no chain holds a mode */
byte i, before;

inline load() {
	state = states[i]; count = counts[i]; running = runs[i];
	len_for = (i == 1 -> 1 : 0); len_clear = (i == 2 -> 1 : 0); len_trial = (i == 0 -> 0 : 1)
}

inline store() {
	states[i] = state; counts[i] = count; runs[i] = running;
	state = CLOSED; count = 0; running = false; since = 0; condition = UNKNOWN; clear = UNKNOWN;
	len_for = 0; len_clear = 0; len_trial = 0
}

/* take_transition() and retry_withheld(): whether it may act is a free choice */
inline act() {
	if
	:: before == state ->
		if :: state == OPEN && granted -> acting[i] = true :: else fi
	:: before != state && (state == PENDING || (before == PENDING && state != OPEN))
	:: before != state && state == OPEN -> acting[i] = granted
	:: else -> acting[i] = LIFTED
	fi
}

inline set_modes() {
	asked = BEFORE; i = 0;
	do
	:: i < RULES ->
		if :: COUNTS && MORE(ASKS(i), asked) -> asked = ASKS(i) :: else fi;
		i++
	:: else -> break
	od;
	i = 0
}

inline follow_modes() {
	if
	:: may_act ->
		mode = asked;
		if :: MORE(HELD(held), asked) -> mode = HELD(held) :: else fi
	:: else
	fi
}

inline check() {
	/* the most severe that anyone who acts asks for: not less, and asked for by someone */
	assert(!may_act || mode >= held);
	assert(!may_act || !acting[0] || mode >= ASKS(0));
	assert(!may_act || !acting[1] || mode >= ASKS(1));
	assert(!may_act || !acting[2] || mode >= ASKS(2));
	assert(!may_act || mode == NORMAL || mode == held || (acting[0] && mode == ASKS(0)) ||
		(acting[1] && mode == ASKS(1)) || (acting[2] && mode == ASKS(2)));
	/* only what is open acts */
	assert(!acting[0] || states[0] == OPEN);
	assert(!acting[1] || states[1] == OPEN);
	assert(!acting[2] || states[2] == OPEN)
}

active proctype domain() {
	do
	:: atomic {
		calm = true;
		if :: granted = true :: granted = false fi;
		if :: may_act = true :: may_act = false; calm = false fi;
		if :: held = 0 :: held = HOLDS; calm = false fi;
		do
		:: i < RULES ->
			if
			:: condition = NO; clear = YES
			:: condition = YES; clear = NO; calm = false
			:: condition = UNKNOWN; clear = UNKNOWN; calm = false
			fi;
			d_step {
				before = states[i];
				load(); pass(); tick(); act(); store();
				before = 0; i++
			}
		:: else -> break
		od;
		d_step {
			set_modes();
			follow_modes();
			check();
			granted = false
		}
	}
	od
}

/* all clear for good: back to normal, for good */
ltl calms { (<>[] calm) -> (<>[] (mode == NORMAL)) }
/* as long as one acts it is not normal; nor does it fall below what is asked for */
ltl stays { (<>[] (may_act && acting[1])) -> (<>[] (mode >= 2)) }
