/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a condition can come to at all, by interval arithmetic over what signals can be (none is
 * below 0, a share is at most 1): finds conditions that never or always hold. Pure.
 */
#ifndef WV_POLICY_RANGE_H
#define WV_POLICY_RANGE_H

#include "user/policy/expr.h"

struct wv_range_verdict {
	bool may_be_true, may_be_false;
};
struct wv_range_verdict wv_expr_range(const struct wv_expr *e);

#endif
