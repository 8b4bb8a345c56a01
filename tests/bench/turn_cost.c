// SPDX-License-Identifier: GPL-2.0-only
/*
 * What timing a turn for traces costs core: all calls of a turn, with as many modules as the agent
 * has, and the write into the ring; with nobody who reads, and with the ring. Prints ns a turn,
 * least of 20 rounds of 20,000.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "user/agent/turn.h"

#define ROUNDS 20
#define TURNS 20000

static uint64_t now_ns(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

static void turn(struct wv_turn_clock *c, struct wv_self *self, struct wv_agent *agent)
{
	wv_turn_begins(c, &agent->sample, 1);
	wv_turn_stage(c, WV_TURN_EVENTS);
	for (size_t i = 0; i < wv_modules_count; i++)
		if (wv_modules[i]->sense)
			wv_turn_sensed(c, i);
	wv_turn_stage(c, WV_TURN_SENSE);
	for (size_t i = 0; i < wv_modules_count; i++)
		if (wv_modules[i]->decide)
			wv_turn_decided(c, i);
	wv_turn_stage(c, WV_TURN_DECIDE);
	wv_turn_sync_begins(c);
	wv_turn_sync_ends(c);
	wv_turn_stage(c, WV_TURN_RECORD);
	wv_turn_stage(c, WV_TURN_REAP);
	wv_turn_stage(c, WV_TURN_PUBLISH);
	wv_turn_ends(c, self, agent);
}

static double measure(struct wv_turns *turns)
{
	static struct wv_self self;
	static struct wv_agent agent;
	struct wv_turn_clock c;
	uint64_t least = UINT64_MAX;

	wv_turn_clock_init(&c, &wv_io_system, turns, &self);
	for (int r = 0; r < ROUNDS; r++) {
		uint64_t start = now_ns(), took;

		for (int i = 0; i < TURNS; i++)
			turn(&c, &self, &agent);
		took = now_ns() - start;
		least = took < least ? took : least;
	}
	return (double)least / TURNS;
}

int main(void)
{
	struct wv_turns *turns = wv_turns_create();

	if (!turns)
		return EXIT_FAILURE;
	printf("nobody reads: %.1f ns a turn\n", measure(NULL));
	printf("traced:       %.1f ns a turn, %zu bytes in the ring\n", measure(turns),
	       sizeof(struct wv_turn));
	return EXIT_SUCCESS;
}
