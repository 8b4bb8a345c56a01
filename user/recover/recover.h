/* SPDX-License-Identifier: GPL-2.0-only */
/* Recovery: chains of ever harder actions on one cgroup of a domain, each verified. */
#ifndef WV_RECOVER_RECOVER_H
#define WV_RECOVER_RECOVER_H

#include <stdio.h>

#include "user/core/module.h"
#include "user/flow/policy.h"

/*
 * Starts chain `chain` of agent->policy on the cgroup in `slot`; a chain that runs there already
 * goes on. cause: what led to it (rule, values), reference taken. 0, or -errno after saying why.
 */
int wv_recover_start(struct wv_agent *agent, uint32_t slot, uint32_t chain,
		     struct json_object *cause);
/*
 * The same for a cgroup that is no more, by its path: systemd removes that of a unit which failed.
 * A chain's steps that need no cgroup, restart above all, can still help.
 */
int wv_recover_start_at(struct wv_agent *agent, const char *path, uint32_t chain,
			struct json_object *cause);
int wv_recover_act_at(struct wv_agent *agent, const char *path, const struct wv_step *step,
		      struct json_object *cause);
/*
 * The domain is well again: a running chain ends with success (what it holds stays until the
 * cool-down is over); what a rule's own actions hold there is let go.
 */
void wv_recover_well(struct wv_agent *agent, uint32_t slot);
/* One action at once, without a chain (a rule's own). The same checks, budget and records. */
int wv_recover_act(struct wv_agent *agent, uint32_t slot, const struct wv_step *step,
		   struct json_object *cause);

/* The most severe mode that a chain holds the domain in; 0: none. */
uint32_t wv_recover_mode(const struct wv_policy *policy, uint32_t domain);
/* Cgroups that are frozen, isolated or throttled now (core worker only). */
size_t wv_recover_holding(void);
/* Lets go of everything that a former agent holds; needs none. report: may be NULL. */
int wv_recover_revert_all(const struct wv_paths *paths, const struct wv_host *host,
			  const struct wv_io *io, FILE *report);

#endif
