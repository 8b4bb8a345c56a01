/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Measures what profiling costs the program, by its own step times: blocks of steps with it and
 * without it, in the order on, off, off, on, so that drift cancels. Steps down when the cost is
 * above 1 % beyond doubt, and tries again after a while, each time after a longer one. Pure: no
 * clock, no allocation; times are nanoseconds.
 */
#ifndef WV_GPU_GOVERNOR_H
#define WV_GPU_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#define WV_GOVERNOR_BLOCK 12 /* steps; the first ones after a switch are not counted */
#define WV_GOVERNOR_SETTLE 2
#define WV_GOVERNOR_PAIRS 32 /* the most that one verdict is made of */
#define WV_GOVERNOR_LIMIT_PPM 10000

enum wv_governor_state {
	WV_GOVERNOR_MEASURING,
	WV_GOVERNOR_RESTING, /* the level holds until `until` */
};

struct wv_governor {
	enum wv_governor_state state;
	uint64_t until;	     /* of the rest */
	uint64_t back_off;   /* of the next rest after a step down */
	int level, wanted;   /* that holds, and that was asked for */
	bool on;	     /* what this block is */
	unsigned quarter, n; /* of on, off, off, on; steps in the block */
	uint64_t step[WV_GOVERNOR_BLOCK];
	uint64_t median[4];
	int64_t pair_ppm[WV_GOVERNOR_PAIRS]; /* what "on" took more, in parts of a million */
	unsigned pairs;
	uint64_t on_ns, off_ns; /* of a step, in the last verdict; 0: none yet */
	int64_t cost_ppm;
};

void wv_governor_init(struct wv_governor *g, int level, uint64_t now);
/*
 * After each step, which took `step` and ended at `now`. Level that is to be from here on (0: off).
 * *ret_verdict: a verdict was made just now, for who tells it.
 */
int wv_governor_step(struct wv_governor *g, uint64_t now, uint64_t step, bool *ret_verdict);

#endif
