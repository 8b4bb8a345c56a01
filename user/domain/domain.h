/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Domains of the policy on the cgroups of this machine: who belongs where, and in which mode each
 * domain is. A cgroup belongs to the most specific domain whose scope matches it (docs/policy.md).
 */
#ifndef WV_DOMAIN_DOMAIN_H
#define WV_DOMAIN_DOMAIN_H

#include "user/core/module.h"
#include "user/flow/policy.h"

/* Index of the domain in agent->policy that the cgroup in this slot belongs to, or WV_NONE. */
uint32_t wv_domain_of(const struct wv_agent *agent, uint32_t slot);
/*
 * Whether the cgroup is a root of its domain: the parent is not in the same domain. Kernel-side
 * means are put here, once for the subtree.
 */
bool wv_domain_root(const struct wv_agent *agent, uint32_t slot);
/* Index of the mode that a domain is in; 0, the normal one, at the start. */
uint32_t wv_domain_mode(uint32_t domain);
/* The engine's: sets it. */
void wv_domain_set_mode(uint32_t domain, uint32_t mode);

#endif
