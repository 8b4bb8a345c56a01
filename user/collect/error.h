/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of the error collector that are pure. */
#ifndef WV_COLLECT_ERROR_H
#define WV_COLLECT_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds how many records of one kind are written: a bucket of tokens. */
struct wv_record_limit {
	uint32_t burst;	     /* tokens at most; full at the start */
	uint64_t every_ns;   /* a token comes back after this time */
	uint32_t used;	     /* tokens taken and not come back */
	uint64_t since_ns;   /* when `used` was last brought up to date */
	uint64_t suppressed; /* records not written since the last that was */
};

/* Whether one more record may be written now; if so, *ret_suppressed says how many were not before
 * it. */
bool wv_record_limit_take(struct wv_record_limit *l, uint64_t now_ns, uint64_t *ret_suppressed);

#endif
