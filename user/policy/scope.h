/* SPDX-License-Identifier: GPL-2.0-only */
/* Which domain a cgroup belongs to. Pure. */
#ifndef WV_POLICY_SCOPE_H
#define WV_POLICY_SCOPE_H

#include "user/core/cgroup.h"
#include "user/flow/policy.h"

/* What a container runtime or Kubernetes tells of a container; empty strings where it does not. */
struct wv_pod_info {
	char namespace[64], pod[128], container[128];
	char owner[160];   /* "Deployment/front" */
	char labels[1024]; /* "key=value\n" each */
};

/* Who a cgroup is. */
struct wv_who {
	const char *path;
	struct wv_identity id;
	struct wv_pod_info pod;
};

/*
 * How specific a scope is: the number of its parts first, then parts without wildcards, then
 * literal characters. Larger is more specific.
 */
uint32_t wv_scope_rank(const struct wv_scope *s);
/* Whether every part that is given matches. */
bool wv_scope_matches(const struct wv_scope *s, const struct wv_who *who);
/* Whether any domain asks for what only the container runtime knows. */
bool wv_scope_needs_pods(const struct wv_policy *p);
/*
 * Index of the domain that a cgroup belongs to: the most specific that matches; of equals the first
 * in the file. WV_NONE: none matches.
 */
uint32_t wv_scope_domain(const struct wv_policy *p, const struct wv_who *who);

#endif
