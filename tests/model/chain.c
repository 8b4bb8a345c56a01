// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the machine of recovery chains (user/recover/chain_table.h) as Promela: look_up() sets
 * `possible`, `next` and `action` for (state, event). chain.pml runs it.
 *
 * To see that the model finds a fault, one entry of the table can be replaced, or taken out with
 * STATE_N as the next state:
 *   -DBREAK_STATE=HELD -DBREAK_EVENT=NEED -DBREAK_NEXT=CHOOSING -DBREAK_ACTION=CHOOSE
 */
#include <stdbool.h>
#include <stdio.h>

#include "tests/model/model.h"
#include "user/recover/chain_table.h"

static struct {
	bool possible;
	unsigned next, action;
} rows[WV_CHAIN_STATE_N][WV_CHAIN_EV_N] = {
#define X(state, event, next, action)                                                              \
	[WV_CHAIN_##state][WV_CHAIN_EV_##event] = {true, WV_CHAIN_##next, WV_CHAIN_DO_##action},
	WV_CHAIN_ROWS(X)
#undef X
};

static const char *const states[WV_CHAIN_STATE_N] = {
#define X(id, text, doc) #id,
	WV_CHAIN_STATES(X)
#undef X
};

static const char *const events[WV_CHAIN_EV_N] = {
#define X(id, text) "EV_" #id,
	WV_CHAIN_EVENTS(X)
#undef X
};

static const char *const actions[WV_CHAIN_DO_N] = {
#define X(id, text) "DO_" #id,
	WV_CHAIN_ACTIONS(X)
#undef X
};

int main(void)
{
#ifdef BREAK_STATE
	rows[JOIN(WV_CHAIN_, BREAK_STATE)][JOIN(WV_CHAIN_EV_, BREAK_EVENT)].possible =
		JOIN(WV_CHAIN_, BREAK_NEXT) != WV_CHAIN_STATE_N;
	rows[JOIN(WV_CHAIN_, BREAK_STATE)][JOIN(WV_CHAIN_EV_, BREAK_EVENT)].next =
		JOIN(WV_CHAIN_, BREAK_NEXT);
	rows[JOIN(WV_CHAIN_, BREAK_STATE)][JOIN(WV_CHAIN_EV_, BREAK_EVENT)].action =
		JOIN(WV_CHAIN_DO_, BREAK_ACTION);
#endif
	printf("/* Printed by tests/model/chain.c from user/recover/chain_table.h. */\n");
	for (unsigned i = 0; i < WV_CHAIN_STATE_N; i++)
		printf("#define %s %u\n", states[i], i);
	for (unsigned i = 0; i < WV_CHAIN_EV_N; i++)
		printf("#define %s %u\n", events[i], i);
	printf("#define EV_N %d\n", WV_CHAIN_EV_N);
	for (unsigned i = 0; i < WV_CHAIN_DO_N; i++)
		printf("#define %s %u\n", actions[i], i);
	printf("\ninline look_up() {\n\tif\n");
	for (unsigned s = 0; s < WV_CHAIN_STATE_N; s++)
		for (unsigned e = 0; e < WV_CHAIN_EV_N; e++)
			if (rows[s][e].possible)
				printf("\t:: state == %s && event == %s -> possible = true; next = "
				       "%s; action = %s\n",
				       states[s], events[e], states[rows[s][e].next],
				       actions[rows[s][e].action]);
	printf("\t:: else -> possible = false\n\tfi\n}\n\n");
	return 0;
}
