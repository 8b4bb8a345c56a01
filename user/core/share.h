/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A limit that is a share of what the parent has ("25% of parent") stands where the limit stands:
 * millionths, with a bit that no limit has. WV_UNSET (all bits) is no share.
 */
#ifndef WV_CORE_SHARE_H
#define WV_CORE_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#define WV_SHARE_FLAG (1ULL << 63)
#define WV_SHARE_WHOLE 1000000ULL

static inline bool wv_is_share(uint64_t v)
{
	return v != UINT64_MAX && (v & WV_SHARE_FLAG);
}

static inline uint64_t wv_share_ppm(uint64_t v)
{
	return v & ~WV_SHARE_FLAG;
}

/* "25% of parent"; -EINVAL if it is no share, -ERANGE if it is none above 0% and up to 100%. */
int wv_parse_share(const char *s, uint64_t *ret);

#endif
