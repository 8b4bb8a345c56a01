/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Domains of the rows of a sample. A cgroup that matches no domain itself belongs to its parent's:
 * a domain is a subtree, unless a part of it is claimed by a more specific scope. The agent and the
 * replayer use the same code; they differ in who tells about pods.
 */
#ifndef WV_DOMAIN_RESOLVE_H
#define WV_DOMAIN_RESOLVE_H

#include "user/flow/sample.h"
#include "user/policy/scope.h"

struct wv_domain_place {
	uint64_t key;	 /* of the cgroup that this is about */
	uint32_t own;	 /* domain whose scope matches it, WV_NONE */
	uint32_t domain; /* own, or inherited */
	uint32_t generation;
	uint8_t tries;
	bool pending; /* who knows about pods has not told yet */
};

struct wv_domains {
	const struct wv_policy *policy;
	struct wv_domain_place *places; /* by slot */
	uint32_t max_rows, generation;
	bool needs_pods;
	/* 0 and *ret, or negative: not known (yet). NULL: nobody knows about pods */
	int (*pod)(void *ctx, uint64_t key, const struct wv_identity *id, struct wv_pod_info *ret);
	void *ctx;
};

/* Release with wv_domains_done(). 0 or -ENOMEM. */
int wv_domains_init(struct wv_domains *d, uint32_t max_rows);
void wv_domains_done(struct wv_domains *d);
/* Another policy (which must outlive d): everything is matched anew. */
void wv_domains_set_policy(struct wv_domains *d, const struct wv_policy *policy);
/* Domain of the cgroup in a slot, or WV_NONE. */
uint32_t wv_domains_of(struct wv_domains *d, const struct wv_sample *s, uint32_t slot);
/* Whether it is one of the domain's topmost cgroups. */
bool wv_domains_root(struct wv_domains *d, const struct wv_sample *s, uint32_t slot);

#endif
