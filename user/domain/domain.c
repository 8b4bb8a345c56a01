// SPDX-License-Identifier: GPL-2.0-only
/* Module `domain`: which domain of the policy each cgroup belongs to, and the domains' modes. */
#include "user/domain/domain.h"

#include <errno.h>
#include <stdlib.h>

#include "user/core/cleanup.h"
#include "user/domain/pods.h"
#include "user/domain/resolve.h"

static struct {
	struct wv_domains resolved;
	uint32_t *modes; /* by domain */
	size_t n_modes;
} domains;

uint32_t wv_domain_of(const struct wv_agent *agent, uint32_t slot)
{
	return domains.resolved.places ? wv_domains_of(&domains.resolved, &agent->sample, slot)
				       : WV_NONE;
}

bool wv_domain_root(const struct wv_agent *agent, uint32_t slot)
{
	return domains.resolved.places && wv_domains_root(&domains.resolved, &agent->sample, slot);
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

static int read_pod(void *ctx, uint64_t key _unused_, const struct wv_identity *id,
		    struct wv_pod_info *ret)
{
	const struct wv_agent *agent = ctx;

	return wv_pods_read(agent->paths->root, id, ret);
}

static int policy_changed(struct wv_agent *agent)
{
	uint32_t *modes = calloc(agent->policy->n_domains + 1, sizeof(*modes));

	if (!modes)
		return -ENOMEM;
	free(domains.modes);
	domains.modes = modes;
	domains.n_modes = agent->policy->n_domains;
	wv_domains_set_policy(&domains.resolved, agent->policy);
	return 0;
}

static int start(struct wv_agent *agent)
{
	int r = wv_domains_init(&domains.resolved, agent->sample.max_rows);

	domains.resolved.pod = read_pod;
	domains.resolved.ctx = agent;
	return r < 0 ? r : policy_changed(agent);
}

static int probe(const struct wv_host *host _unused_, const struct wv_bpf *bpf _unused_,
		 struct wv_capabilities *caps)
{
	return wv_capability_add(caps, "domain", "names and labels of pods", WV_CAP_OK,
				 "state files of containerd, CRI-O, Docker", NULL);
}

static void stop(struct wv_agent *agent _unused_)
{
	wv_domains_done(&domains.resolved);
	free(domains.modes);
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
