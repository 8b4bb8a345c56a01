// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the kernel's breaker (bpf/lib/breaker_machine.h) as Promela: look_up() sets `next` for
 * (phase, cause). breaker.pml runs it.
 *
 * To see that the model finds a fault, one entry of the table can be replaced:
 *   -DBREAK_PHASE=OPEN -DBREAK_CAUSE=TIMEOUT -DBREAK_NEXT=CLOSED
 */
#include <stdio.h>

#include "bpf/lib/breaker_machine.h"
#include "tests/model/model.h"

static const char *const phases[WV_BREAKER_PHASE_N] = {
#define X(id, text) #id,
	WV_BREAKER_PHASES(X)
#undef X
};

static const char *const causes[WV_BREAKER_CAUSE_N] = {
#define X(id, text) "ON_" #id,
	WV_BREAKER_CAUSES(X)
#undef X
};

/* As the kernel asks the table. */
static unsigned next_of(unsigned phase, unsigned cause)
{
#ifdef BREAK_PHASE
	if (phase == JOIN(WV_BREAKER_, BREAK_PHASE) && cause == JOIN(WV_BREAKER_ON_, BREAK_CAUSE))
		return JOIN(WV_BREAKER_, BREAK_NEXT);
#endif
	return wv_breaker_next(phase, cause);
}

int main(void)
{
	printf("/* Printed by tests/model/breaker.c from bpf/lib/breaker_machine.h. */\n");
	for (unsigned i = 0; i < WV_BREAKER_PHASE_N; i++)
		printf("#define %s %u\n", phases[i], i);
	for (unsigned i = 0; i < WV_BREAKER_CAUSE_N; i++)
		printf("#define %s %u\n", causes[i], i);
	printf("\ninline look_up() {\n\tif\n");
	for (unsigned p = 0; p < WV_BREAKER_PHASE_N; p++)
		for (unsigned c = 0; c < WV_BREAKER_CAUSE_N; c++)
			printf("\t:: phase == %s && cause == %s -> next = %s\n", phases[p],
			       causes[c], phases[next_of(p, c)]);
	printf("\tfi\n}\n\n");
	return 0;
}
