/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How often a peer may fail to authenticate. Only failures are limited: who has a right credential
 * is never locked out by others behind the same address, and a wrong one cannot be guessed anyway
 * (256 bits); what is bounded is the work and the records that failures make.
 */
#ifndef WV_ACCESS_LIMITER_H
#define WV_ACCESS_LIMITER_H

#include <stdint.h>

#define WV_LIMITER_BURST 10
#define WV_LIMITER_REFILL_NS 6000000000ULL /* one more each */
#define WV_LIMITER_PEERS 128

struct wv_limiter {
	struct {
		char peer[64];	  /* "" : free */
		uint64_t full_ns; /* when its bucket will be full again, monotonic */
	} rows[WV_LIMITER_PEERS];
	uint64_t limited; /* failures that were over, since the start */
};

/*
 * Takes one failure of a peer. 0: within its limit; else seconds after which it may fail again.
 * A table that is full forgets the peer whose bucket is fullest.
 */
unsigned wv_limiter_fail(struct wv_limiter *l, const char *peer, uint64_t now_ns);

#endif
