/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the policy in force comes from. The supervisor reads the owner's file, and what it accepted
 * is in <runtime>/policy.yaml from then on: workers that start or reload see that text, whatever
 * happens to the file meanwhile.
 */
#ifndef WV_AGENT_POLICY_SOURCE_H
#define WV_AGENT_POLICY_SOURCE_H

#include "user/core/bpf.h"
#include "user/core/config.h"
#include "user/core/host.h"
#include "user/core/paths.h"
#include "user/flow/policy.h"

#define WV_POLICY_ACCEPTED "policy.yaml"	   /* in <runtime> */
#define WV_POLICY_REFUSED "policy.refused"	   /* in <runtime>: why the last reload was */
#define WV_POLICY_CLUSTER "kubernetes/policy.yaml" /* in <state>: of a WaveosPolicy */

/* The owner's file: policy.file of the configuration, that of the active policy bundle, that of a
 * WaveosPolicy, or the default place ("" if nothing is there). Valid until the next call. */
const char *wv_policy_path(const struct wv_config *config, const struct wv_paths *paths);
/*
 * Reads the owner's policy with the configuration's budgets added; an empty one where there is no
 * file in the default place. 0, or -errno with *ret_error filled.
 */
int wv_policy_read(struct wv_policy **ret, const struct wv_config *config,
		   const struct wv_paths *paths, struct wv_config_error *ret_error);
/*
 * Whether a policy must not be put in force on this machine: something that says `fail: closed`
 * cannot be enforced, or an entry cannot be understood. *why is filled then.
 */
bool wv_policy_refused(const struct wv_host *host, const struct wv_bpf *bpf,
		       const struct wv_policy *p, char *why, size_t size);
/* For a reload: reads, asks whether it is refused, and accepts. 0, or -errno with *ret_error
 * filled. */
int wv_policy_read_accepted(struct wv_policy **ret, const struct wv_config *config,
			    const struct wv_paths *paths, const struct wv_host *host,
			    const struct wv_bpf *bpf, struct wv_config_error *ret_error);
/*
 * At the start: a WaveosPolicy that this machine cannot hold must not keep the agent from starting,
 * which alone hears of another one. Removes its file and reads what there is without it into *p.
 * False: p is none.
 */
bool wv_policy_without_cluster(struct wv_policy **p, const struct wv_config *config,
			       const struct wv_paths *paths, const char *why);
/* Leaves the reason of a refusal for who asked for the reload. */
void wv_policy_tell_refused(const struct wv_paths *paths, const char *why);
/* Keeps the text of an accepted policy for the workers. 0 or -errno. */
int wv_policy_accept(const struct wv_policy *p, const struct wv_paths *paths);
/* The accepted policy, as wv_policy_read() would give it. */
int wv_policy_accepted(struct wv_policy **ret, const struct wv_config *config,
		       const struct wv_paths *paths, struct wv_config_error *ret_error);

#endif
