/* SPDX-License-Identifier: GPL-2.0-only */
/* A set of hashes. */
#ifndef WV_SIM_SEEN_H
#define WV_SIM_SEEN_H

#include "tests/sim/image.h"

struct wv_sim_seen {
	unsigned char (*slots)[WV_SIM_HASH_SIZE]; /* all zero: free */
	size_t n, room;
};

/* Whether it was not in it. */
bool wv_sim_seen_add(struct wv_sim_seen *set, const unsigned char hash[WV_SIM_HASH_SIZE]);
void wv_sim_seen_free(struct wv_sim_seen *set);

#endif
