// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the breaker of rules (user/policy/rule_machine.def) as Promela: look_up() sets `next` and
 * `timer` for (state, event). rule_machine.pml runs it, for rules.pml and modes.pml.
 *
 * To see that the models find a fault, one entry of the table can be replaced:
 *   -DBREAK_STATE=PENDING -DBREAK_EVENT=UNKNOWN -DBREAK_NEXT=PENDING -DBREAK_TIMER=KEEP
 */
#include <stdio.h>

#include "tests/model/model.h"
#include "user/policy/rule_state.h"

static struct wv_rule_transition_row machine[WV_RULE_STATE_N][WV_EVENT_N] = {
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

static const char *const timers[] = {"KEEP", "START", "RESTART", "STOP"};

int main(void)
{
#ifdef BREAK_STATE
	machine[JOIN(WV_RULE_, BREAK_STATE)][JOIN(WV_EVENT_, BREAK_EVENT)] =
		(struct wv_rule_transition_row){JOIN(WV_RULE_, BREAK_NEXT),
						JOIN(WV_TIMER_, BREAK_TIMER)};
#endif
	printf("/* Printed by tests/model/rules.c from user/policy/rule_machine.def. */\n");
	for (unsigned i = 0; i < WV_RULE_STATE_N; i++)
		printf("#define %s %u\n", states[i], i);
	for (unsigned i = 0; i < WV_EVENT_N; i++)
		printf("#define %s %u\n", events[i], i);
	for (unsigned i = 0; i < sizeof(timers) / sizeof(*timers); i++)
		printf("#define %s %u\n", timers[i], i);
	printf("\ninline look_up() {\n\tif\n");
	for (unsigned s = 0; s < WV_RULE_STATE_N; s++)
		for (unsigned e = 0; e < WV_EVENT_N; e++)
			printf("\t:: state == %s && event == %s -> next = %s; timer = %s\n",
			       states[s], events[e], states[machine[s][e].next],
			       timers[machine[s][e].timer]);
	printf("\tfi\n}\n\n");
	return 0;
}
