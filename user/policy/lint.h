/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is allowed in a policy but surely not meant: domains that nothing can reach, rules that can
 * never fire or never clear, modes that no rule leads to, actions that their feature flag forbids.
 * Pure.
 */
#ifndef WV_POLICY_LINT_H
#define WV_POLICY_LINT_H

#include "user/flow/policy.h"

/* line: in the policy file. text: valid during the call. */
typedef void (*wv_lint_fn)(void *ctx, unsigned line, const char *text);
/* Calls fn for each finding, in the order of the kinds above. */
void wv_policy_lint(const struct wv_policy *p, wv_lint_fn fn, void *ctx);

#endif
