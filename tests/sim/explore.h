/* SPDX-License-Identifier: GPL-2.0-only */
/* Runs a scenario and looks at the states in which power cuts leave the disk. */
#ifndef WV_SIM_EXPLORE_H
#define WV_SIM_EXPLORE_H

#include "tests/sim/crash.h"
#include "tests/sim/plant.h"
#include "tests/sim/scenario.h"

struct wv_sim_limits {
	uint64_t distinct; /* states after which a scenario is done, once its round is through */
	uint64_t rounds;   /* runs of a scenario, each with another seed, at most */
	uint64_t seed;	   /* of the first round */
	unsigned choices;  /* at one point of the run; exhaustive where there are no more */
	unsigned nested;   /* at one point of a recovery */
	unsigned depth;	   /* power cuts in a row */
	unsigned faults;   /* runs of each round, besides the one without, in which calls fail */
	bool stop;	   /* at the first violation */
	unsigned show;	   /* violations told in full */
	struct wv_sim_plant plant;
};

struct wv_sim_result {
	uint64_t ops;	   /* of the runs: what a power cut could come before, in or after */
	uint64_t tried;	   /* choices made, and opened if new */
	uint64_t opened;   /* recoveries run: new states, and old ones with more promised */
	uint64_t distinct; /* states of the disk, by hash of all of it */
	uint64_t nested;   /* of those, left by a power cut in a recovery */
	uint64_t sampled;  /* points with more choices than could be made */
	uint64_t points;
	uint64_t rounds;
	uint64_t syncs; /* of the last run */
	uint64_t violations;
	uint64_t out_of_order; /* of those, only where names survive out of order */
	uint64_t ns;
	char why[256]; /* of the first one */
};

/* 0, or -errno if the scenario itself is broken. */
int wv_sim_explore(const struct wv_sim_scenario *scenario, const struct wv_sim_limits *limits,
		   struct wv_sim_result *ret);

#endif
