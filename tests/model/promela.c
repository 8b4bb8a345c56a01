// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the breaker (user/policy/rule_machine.def) as a Promela model for spin. The transitions
 * come from the table; around them stand an environment that does what it likes, timers that count
 * ticks, the back-off, and what must hold. check.sh runs it.
 *
 * To see that the model finds a fault, one entry of the table can be replaced:
 *   -DBREAK_STATE=PENDING -DBREAK_EVENT=UNKNOWN -DBREAK_NEXT=PENDING -DBREAK_TIMER=KEEP
 */
#include <stdio.h>

#include "user/policy/rule_state.h"

static const struct wv_rule_transition_row machine[WV_RULE_STATE_N][WV_EVENT_N] = {
#define WV_MACHINE(state, event, next, timer)                                                      \
	[WV_RULE_##state][WV_EVENT_##event] = {WV_RULE_##next, WV_TIMER_##timer},
#include "user/policy/rule_machine.def"
};

static const char *const states[WV_RULE_STATE_N] = {
#define X(id, text) #id,
	WV_RULE_STATES(X)
#undef X
};

static const char *const events[WV_EVENT_N] = {
#define X(id) "EV_" #id,
	WV_RULE_EVENTS(X)
#undef X
};

#ifdef BREAK_STATE
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
static struct wv_rule_transition_row entry(unsigned state, unsigned event)
{
	if (state == JOIN(WV_RULE_, BREAK_STATE) && event == JOIN(WV_EVENT_, BREAK_EVENT))
		return (struct wv_rule_transition_row){JOIN(WV_RULE_, BREAK_NEXT),
						       JOIN(WV_TIMER_, BREAK_TIMER)};
	return machine[state][event];
}
#else
static struct wv_rule_transition_row entry(unsigned state, unsigned event)
{
	return machine[state][event];
}
#endif

/* The table: sets `next` and `timer` for (state, event). */
static void print_table(void)
{
	static const char *const timers[] = {"KEEP", "START", "RESTART", "STOP"};

	printf("inline look_up() {\n\tif\n");
	for (unsigned s = 0; s < WV_RULE_STATE_N; s++)
		for (unsigned e = 0; e < WV_EVENT_N; e++)
			printf("\t:: state == %s && event == %s -> next = %s; timer = %s\n",
			       states[s], events[e], states[entry(s, e).next],
			       timers[entry(s, e).timer]);
	printf("\tfi\n}\n\n");
}

static const char head[] =
	"/* Printed by tests/model/promela.c from user/policy/rule_machine.def. */\n"
	"#define BACKOFF_MAX 4\n"
	"#define CAP 9 /* ticks are counted up to one more than the longest timer */\n"
	"#define KEEP 0\n#define START 1\n#define RESTART 2\n#define STOP 3\n"
	"#define YES 0\n#define NO 1\n#define UNKNOWN 2\n\n";

static const char variables[] =
	"byte state = CLOSED, before;\n"
	"byte event, next, timer, done; /* within a tick */\n"
	"byte condition = UNKNOWN, clear = UNKNOWN; /* what the environment shows at this tick */\n"
	"byte len_for, len_clear, len_trial; /* in ticks, chosen once */\n"
	"bool running; byte count; /* the timer */\n"
	"byte since; /* ticks since the last change of state */\n"
	"byte backoff = 1;\n"
	"/* for how many ticks up to this one: the condition held; was known not to; clear held "
	"and\n"
	"   the condition did not */\n"
	"byte held, quiet, over;\n\n";

static const char steps[] =
	"inline take() {\n"
	"\tlook_up();\n"
	"\tif\n"
	"\t:: next != state ->\n"
	"\t\tif\n"
	"\t\t:: state == HALF_OPEN && next == OPEN && backoff < BACKOFF_MAX -> backoff = backoff * "
	"2\n"
	"\t\t:: state == CLOSED && since >= len_trial * backoff -> backoff = 1\n"
	"\t\t:: else\n"
	"\t\tfi;\n"
	"\t\tstate = next; since = 0\n"
	"\t:: else\n"
	"\tfi;\n"
	"\tif\n"
	"\t:: timer == START && !running -> running = true; count = 0\n"
	"\t:: timer == RESTART -> running = true; count = 0\n"
	"\t:: timer == STOP -> running = false; count = 0\n"
	"\t:: else\n"
	"\tfi\n"
	"}\n\n"
	"#define ELAPSED (running && ((state == CLOSED) || (state == PENDING && count >= len_for) "
	"|| \\\n"
	"\t(state == OPEN && count >= len_clear && (backoff == 1 || since >= len_trial * backoff)) "
	"|| \\\n"
	"\t(state == HALF_OPEN && count >= len_trial * backoff)))\n\n"
	"/* clear, condition, and what elapses then: at most as often as there are states */\n"
	"inline tick() {\n"
	"\tdone = 0;\n"
	"\tdo\n"
	"\t:: done < 6 && (done < 2 || ELAPSED) ->\n"
	"\t\tif\n"
	"\t\t:: done == 0 -> event = EV_CLEAR_TRUE + clear\n"
	"\t\t:: done == 1 -> event = EV_TRUE + condition\n"
	"\t\t:: else -> event = EV_ELAPSED\n"
	"\t\tfi;\n"
	"\t\ttake(); done++\n"
	"\t:: else -> break\n"
	"\tod;\n"
	"\tdone = 0; event = 0; next = 0; timer = 0\n"
	"}\n\n"
	"inline more(counter, yes) {\n"
	"\tif\n"
	"\t:: yes && counter < CAP -> counter++\n"
	"\t:: !(yes) -> counter = 0\n"
	"\t:: else\n"
	"\tfi\n"
	"}\n\n";

static const char properties[] =
	"inline check() {\n"
	"\t/* never opens without the condition having held at each tick of `for` */\n"
	"\tassert(!(state == OPEN && (before == CLOSED || before == PENDING)) || held > len_for);\n"
	"\t/* unknown never trips; nor does what is false */\n"
	"\tassert(!(state == OPEN && before != OPEN) || condition == YES);\n"
	"\t/* on trial, a condition that holds trips again at once */\n"
	"\tassert(!(before == HALF_OPEN && condition == YES) || state == OPEN);\n"
	"\t/* only what is known to be clear, all the while, and no condition that holds, is over "
	"*/\n"
	"\tassert(!(before == OPEN && state != OPEN) || (over > len_clear && condition != YES));\n"
	"\t/* no trial is left out, nor cut short, nor passed without being known to be quiet */\n"
	"\tassert(!(before == OPEN && state == CLOSED) || len_trial == 0);\n"
	"\tassert(!(before == HALF_OPEN && state == CLOSED) || quiet >= len_trial * backoff);\n"
	"\t/* a condition that holds is never taken for nothing */\n"
	"\tassert(!(condition == YES) || state == PENDING || state == OPEN);\n"
	"\t/* nothing known, nothing done: at most what was pending is dropped */\n"
	"\tassert(!(condition == UNKNOWN && clear == UNKNOWN) || state == before ||\n"
	"\t\t(before == PENDING && state == CLOSED));\n"
	"\t/* a timer runs where, and only where, something waits for it */\n"
	"\tassert(!(state == CLOSED) || !running);\n"
	"\tassert(!(state == PENDING || state == HALF_OPEN) || running);\n"
	"}\n\n"
	"active proctype breaker() {\n"
	"\tatomic {\n"
	"\t\tif :: len_for = 0 :: len_for = 1 :: len_for = 2 fi;\n"
	"\t\tif :: len_clear = 0 :: len_clear = 1 :: len_clear = 2 fi;\n"
	"\t\tif :: len_trial = 0 :: len_trial = 1 :: len_trial = 2 fi\n"
	"\t};\n"
	"\tdo\n"
	"\t:: atomic {\n"
	"\t\tif :: condition = YES :: condition = NO :: condition = UNKNOWN fi;\n"
	"\t\tif :: clear = YES :: clear = NO :: clear = UNKNOWN fi;\n"
	"\t\td_step {\n"
	"\t\t\tbefore = state;\n"
	"\t\t\tif :: running && count < CAP -> count++ :: else fi;\n"
	"\t\t\tif :: since < CAP -> since++ :: else fi;\n"
	"\t\t\tmore(held, condition == YES);\n"
	"\t\t\tmore(quiet, condition == NO);\n"
	"\t\t\tmore(over, clear == YES && condition != YES);\n"
	"\t\t\ttick();\n"
	"\t\t\tcheck()\n"
	"\t\t}\n"
	"\t}\n"
	"\tod\n"
	"}\n\n"
	"/* always leaves OPEN in the end when the condition stays clear */\n"
	"ltl leaves_open { (<>[] (condition != YES && clear == YES)) -> ([]<> (state != OPEN)) }\n"
	"/* no state without an exit: from any of them all goes back to CLOSED, and to OPEN */\n"
	"ltl closes { (<>[] (condition == NO && clear == YES)) -> (<>[] (state == CLOSED)) }\n"
	"ltl opens { (<>[] (condition == YES)) -> (<>[] (state == OPEN)) }\n";

int main(void)
{
	fputs(head, stdout);
	for (unsigned i = 0; i < WV_RULE_STATE_N; i++)
		printf("#define %s %u\n", states[i], i);
	for (unsigned i = 0; i < WV_EVENT_N; i++)
		printf("#define %s %u\n", events[i], i);
	putchar('\n');
	fputs(variables, stdout);
	print_table();
	fputs(steps, stdout);
	fputs(properties, stdout);
	return 0;
}
