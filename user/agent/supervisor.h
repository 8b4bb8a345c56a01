/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The supervisor: loads or adopts the BPF set, holds its descriptors, and keeps the workers alive.
 * It has no other state, so that it has nothing to lose in a crash.
 */
#ifndef WV_AGENT_SUPERVISOR_H
#define WV_AGENT_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "user/core/config.h"
#include "user/core/paths.h"
#include "user/flow/policy.h"

struct wv_attach_options {
	uint64_t for_ns; /* 0: until a signal */
	bool dry_run;
};

/* Runs the agent; returns an exit code (enum wv_exit). Everything that went wrong has been said. */
/* Takes the policy over; a reload (SIGHUP) replaces it. */
int wv_supervisor_run(const struct wv_paths *paths, const struct wv_config *config,
		      struct wv_policy *policy, const struct wv_attach_options *options);

/*
 * Takes <runtime>/lock. Returns 0 with *ret_fd, or -EBUSY with *ret_pid of the agent that holds it
 * (0 if unknown).
 */
int wv_agent_lock(const struct wv_paths *paths, int *ret_fd, int *ret_pid);

#endif
