// SPDX-License-Identifier: GPL-2.0-only
#include "user/update/backoff.h"

static uint64_t between(uint64_t low, uint64_t high, uint64_t random)
{
	return low + random % (high - low + 1);
}

uint64_t wv_update_wait_ns(uint64_t interval_ns, unsigned failures, uint64_t retry_after_s,
			   uint64_t random)
{
	uint64_t wait = WV_UPDATE_FIRST_NS, asked;

	if (!failures)
		return between(interval_ns - interval_ns / 10, interval_ns + interval_ns / 10,
			       random);
	for (unsigned i = 1; i < failures && wait < WV_UPDATE_MAX_NS; i++)
		wait *= 2;
	if (wait > WV_UPDATE_MAX_NS)
		wait = WV_UPDATE_MAX_NS;
	wait = between(wait / 2, wait, random);
	if (retry_after_s > WV_UPDATE_RETRY_MAX_S)
		retry_after_s = WV_UPDATE_RETRY_MAX_S;
	/* all that were told the same time come back over the tenth after it */
	asked = retry_after_s * 1000000000ULL;
	asked += asked ? random % (asked / 10 + 1) : 0;
	return asked > wait ? asked : wait;
}
