/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A scenario of the crash simulator: production code runs on the simulated disk, and after every
 * power cut production code opens what is left. One file a scenario, one row in scenarios.def.
 */
#ifndef WV_SIM_SCENARIO_H
#define WV_SIM_SCENARIO_H

#include "tests/sim/plant.h"
#include "tests/sim/simfs.h"

struct wv_sim_scenario {
	const char *name;
	const char *what; /* one line, for --list */
	/* MAY. What is there before; all of it is on disk. 0 or -errno. */
	int (*setup)(struct wv_sim *s);
	/*
	 * The work. Tells what it tries (before) and what was promised (after); failures of calls
	 * under a fault are part of it. -errno: the scenario itself is broken.
	 */
	int (*run)(struct wv_sim *s);
	/*
	 * Opens what is left as a start after a power cut does, and goes on for a while (s->facts
	 * says what was tried and promised). 0, or -1 with the violation in why. Called again on
	 * what a power cut in the middle of it leaves.
	 */
	int (*check)(struct wv_sim *s, char *why, size_t size);
	/* MAY. On a real disk, after check: what reads past the seam, as a verifier does. As check.
	 */
	int (*audit)(char *why, size_t size);
	unsigned finds; /* planted bugs that it must find: 1 << WV_SIM_PLANT_... */
	bool garbage;	/* the format tells old bytes from its own: grown files may hold any */
};

#define X(name) extern const struct wv_sim_scenario wv_sim_##name;
#include "tests/sim/scenarios.def"
#undef X

#endif
