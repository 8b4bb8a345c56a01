/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Energy between two looks at a counter that moves in steps: from move to move, so that the time is
 * as exact as the figure.
 */
#ifndef WV_GPU_ENERGY_H
#define WV_GPU_ENERGY_H

#include <stdint.h>

struct wv_energy {
	uint64_t before, first_mj, first_at, last_mj, last_at; /* *_at 0: not yet */
};

/* mj: the counter, UINT64_MAX where it is not known; at: CLOCK_MONOTONIC. */
static inline void wv_energy_saw(struct wv_energy *e, uint64_t mj, uint64_t at)
{
	if (mj == UINT64_MAX || mj == e->before)
		return;
	if (e->before && mj > e->before) {
		if (!e->first_at) {
			e->first_mj = mj;
			e->first_at = at;
		}
		e->last_mj = mj;
		e->last_at = at;
	}
	e->before = mj;
}

/* Mean power, 0: the counter was not seen to move twice. */
static inline double wv_energy_watts(const struct wv_energy *e)
{
	return e->last_at > e->first_at ? (double)(e->last_mj - e->first_mj) * 1e6 /
						  (double)(e->last_at - e->first_at)
					: 0;
}

#endif
