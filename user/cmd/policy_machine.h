/* SPDX-License-Identifier: GPL-2.0-only */
/* What of a policy this machine can enforce, and by what. */
#ifndef WV_CMD_POLICY_MACHINE_H
#define WV_CMD_POLICY_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#include "user/flow/policy.h"

struct wv_claim {
	const char *what, *name; /* "gate", "no-shell" */
	bool enforced, fail_closed;
	char by[96], reason[200];
};
/* One claim for each breaker, gate and priority cap. *ret is to be freed. 0 or -ENOMEM. */
int wv_policy_claims(const struct wv_policy *p, struct wv_claim **ret, size_t *ret_n);

#endif
