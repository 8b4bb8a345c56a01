// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module `domain`: which domain of the policy each cgroup belongs to. A cgroup that matches no
 * domain itself belongs to its parent's: a domain is a subtree, unless a part of it is claimed by a
 * more specific scope.
 */
#include "user/domain/domain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cgroup.h"
#include "user/core/cleanup.h"
#include "user/domain/pods.h"
#include "user/policy/scope.h"

/* A runtime writes its state file before it starts the container, but the pod's cgroup may be
 * older: so often it is looked for, once a tick. */
#define POD_TRIES 30

struct place {
	uint64_t key;	 /* of the cgroup that this is about */
	uint32_t own;	 /* domain whose scope matches it, WV_NONE */
	uint32_t domain; /* own, or inherited */
	uint32_t generation;
	uint8_t tries;
	bool pending; /* the container runtime has not told yet */
};

static struct {
	struct place *places; /* by slot */
	uint32_t *modes;      /* by domain */
	size_t n_modes;
	uint32_t generation;
	bool needs_pods;
} domains;

static void match(const struct wv_agent *agent, const struct wv_row *row, struct place *p)
{
	struct wv_who who = {.path = row->path};

	wv_identity_parse(row->path, &who.id);
	p->pending = false;
	if (domains.needs_pods && *who.id.container_id)
		p->pending = wv_pods_read(agent->paths->root, &who.id, &who.pod) < 0;
	p->own = row->flags & WV_ROW_CUT ? WV_NONE : wv_scope_domain(agent->policy, &who);
}

/* The place of a live row, brought up to date; parents first, so that they can be inherited from.
 */
static const struct place *place_of(const struct wv_agent *agent, uint32_t slot, unsigned depth)
{
	struct wv_sample *s = (struct wv_sample *)&agent->sample;
	struct wv_row *row = slot != WV_SLOT_OTHER ? wv_sample_row(s, slot) : NULL;
	struct place *p = &domains.places[slot];
	const struct place *parent = NULL;
	uint32_t before;
	bool same;

	if (!row)
		return NULL;
	same = p->key == row->key && p->generation == domains.generation;
	if (same && !p->pending)
		return p;
	if (same && p->tries >= POD_TRIES)
		return p;
	if (!same)
		*p = (struct place){.key = row->key, .generation = domains.generation};
	p->tries++;
	before = p->own;
	match(agent, row, p);
	if (same && p->own != before)
		domains.generation++; /* what is below it may have inherited something else */
	if (p->own == WV_NONE && row->parent_slot != slot && depth < 64)
		parent = place_of(agent, row->parent_slot, depth + 1);
	p->generation = domains.generation;
	p->domain = p->own != WV_NONE ? p->own : parent ? parent->domain : WV_NONE;
	return p;
}

uint32_t wv_domain_of(const struct wv_agent *agent, uint32_t slot)
{
	const struct place *p;

	if (!domains.places || !agent->policy->n_domains)
		return WV_NONE;
	p = place_of(agent, slot, 0);
	return p ? p->domain : WV_NONE;
}

bool wv_domain_root(const struct wv_agent *agent, uint32_t slot)
{
	uint32_t domain = wv_domain_of(agent, slot);
	const struct wv_row *row = &agent->sample.rows[slot];

	if (domain == WV_NONE)
		return false;
	return row->parent_slot == WV_SLOT_OTHER || row->parent_slot == slot ||
	       wv_domain_of(agent, row->parent_slot) != domain;
}

uint32_t wv_domain_mode(uint32_t domain)
{
	return domain < domains.n_modes ? domains.modes[domain] : 0;
}

void wv_domain_set_mode(uint32_t domain, uint32_t mode)
{
	if (domain < domains.n_modes)
		domains.modes[domain] = mode;
}

static int policy_changed(struct wv_agent *agent)
{
	uint32_t *modes = calloc(agent->policy->n_domains + 1, sizeof(*modes));

	if (!modes)
		return -ENOMEM;
	free(domains.modes);
	domains.modes = modes;
	domains.n_modes = agent->policy->n_domains;
	domains.generation++;
	domains.needs_pods = wv_scope_needs_pods(agent->policy);
	return 0;
}

static int start(struct wv_agent *agent)
{
	domains.places = calloc(agent->sample.max_rows, sizeof(*domains.places));
	if (!domains.places)
		return -ENOMEM;
	return policy_changed(agent);
}

static int probe(const struct wv_host *host _unused_, const struct wv_bpf *bpf _unused_,
		 struct wv_capabilities *caps)
{
	return wv_capability_add(caps, "domain", "pod names and labels", WV_CAP_OK,
				 "state files of containerd, CRI-O, Docker", NULL);
}

static void stop(struct wv_agent *agent _unused_)
{
	free(domains.places);
	free(domains.modes);
	domains.places = NULL;
	domains.modes = NULL;
	domains.n_modes = 0;
}

const struct wv_module wv_module_domain = {
	.early = true,
	.name = "domain",
	.summary = "domains of the policy: which cgroups belong where",
	.probe = probe,
	.start = start,
	.policy_changed = policy_changed,
	.stop = stop,
};
