// SPDX-License-Identifier: GPL-2.0-only
#include "tests/sim/seen.h"

#include <stdlib.h>
#include <string.h>

static const unsigned char none[WV_SIM_HASH_SIZE];

static bool put(struct wv_sim_seen *set, const unsigned char hash[WV_SIM_HASH_SIZE])
{
	uint64_t at;

	memcpy(&at, hash, sizeof(at));
	for (size_t i = at % set->room;; i = (i + 1) % set->room) {
		if (memcmp(set->slots[i], none, WV_SIM_HASH_SIZE) == 0) {
			memcpy(set->slots[i], hash, WV_SIM_HASH_SIZE);
			set->n++;
			return true;
		}
		if (memcmp(set->slots[i], hash, WV_SIM_HASH_SIZE) == 0)
			return false;
	}
}

bool wv_sim_seen_add(struct wv_sim_seen *set, const unsigned char hash[WV_SIM_HASH_SIZE])
{
	if (set->n * 2 >= set->room) {
		struct wv_sim_seen more = {.room = set->room * 2 + 1024};

		more.slots = calloc(more.room, WV_SIM_HASH_SIZE);
		if (!more.slots)
			abort();
		for (size_t i = 0; i < set->room; i++)
			if (memcmp(set->slots[i], none, WV_SIM_HASH_SIZE) != 0)
				put(&more, set->slots[i]);
		free(set->slots);
		*set = more;
	}
	return put(set, hash);
}

void wv_sim_seen_free(struct wv_sim_seen *set)
{
	free(set->slots);
	*set = (struct wv_sim_seen){0};
}
