/* SPDX-License-Identifier: GPL-2.0-only */
/* When a source is asked again. Pure: random numbers are the caller's. */
#ifndef WV_UPDATE_BACKOFF_H
#define WV_UPDATE_BACKOFF_H

#include <stdint.h>

#define WV_UPDATE_FIRST_NS 5000000000ULL  /* after the first failure */
#define WV_UPDATE_MAX_NS 3600000000000ULL /* and at most so long */
#define WV_UPDATE_RETRY_MAX_S 86400ULL	  /* a source cannot ask for more */

/*
 * failures 0: the interval, a tenth of it earlier or later, so that a fleet does not ask at once.
 * Else the pause doubles with each failure and is anything from its half to its whole; never
 * shorter than what the source asked for.
 */
uint64_t wv_update_wait_ns(uint64_t interval_ns, unsigned failures, uint64_t retry_after_s,
			   uint64_t random);

#endif
