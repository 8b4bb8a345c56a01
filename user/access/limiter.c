// SPDX-License-Identifier: GPL-2.0-only
/* Token buckets, each kept as the one time at which it will be full again. */
#include "user/access/limiter.h"

#include <stdio.h>
#include <string.h>

unsigned wv_limiter_fail(struct wv_limiter *l, const char *peer, uint64_t now_ns)
{
	const uint64_t depth = WV_LIMITER_BURST * WV_LIMITER_REFILL_NS;
	unsigned at = 0;
	uint64_t wait;

	for (unsigned i = 0; i < WV_LIMITER_PEERS; i++) {
		if (strcmp(l->rows[i].peer, peer) == 0) {
			at = i;
			break;
		}
		if (l->rows[i].full_ns < l->rows[at].full_ns)
			at = i;
	}
	if (strcmp(l->rows[at].peer, peer) != 0) {
		snprintf(l->rows[at].peer, sizeof(l->rows[at].peer), "%s", peer);
		l->rows[at].full_ns = now_ns;
	}
	if (l->rows[at].full_ns < now_ns)
		l->rows[at].full_ns = now_ns;
	if (l->rows[at].full_ns + WV_LIMITER_REFILL_NS <= now_ns + depth) {
		l->rows[at].full_ns += WV_LIMITER_REFILL_NS;
		return 0;
	}
	l->limited++;
	wait = l->rows[at].full_ns + WV_LIMITER_REFILL_NS - (now_ns + depth);
	return (unsigned)((wait + 999999999) / 1000000000);
}
