/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The supervisor: loads or adopts the BPF set, holds its descriptors, and keeps the workers alive.
 * It has no other state, so that it has nothing to lose in a crash.
 */
#ifndef WV_AGENT_SUPERVISOR_H
#define WV_AGENT_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/core/config.h"
#include "user/core/paths.h"
#include "user/flow/policy.h"

/*
 * Reads the settings that a start would use now, with their policy. 1 with *ret_policy: they are
 * others than those in force, and good; 0: they are in force; -errno with *ret_error: refused.
 */
typedef int (*wv_settings_fn)(void *ctx, struct wv_policy **ret_policy,
			      struct wv_config_error *ret_error);

struct wv_attach_options {
	uint64_t until_ns; /* CLOCK_MONOTONIC; 0: until a signal */
	int lock_fd;	   /* held already and taken over; -1: to be taken */
	bool dry_run;
	pid_t teller;		 /* a child of this process to reap when it ends; <= 0: none */
	wv_settings_fn settings; /* NULL: they stay as they are */
	void *settings_ctx;
};

/* How it came to the end of a run. */
struct wv_attach_end {
	bool started; /* all that may fail at a start went well */
	bool again;   /* new settings: to be started again, with lock_fd, which is held */
	int lock_fd;
};

/* Runs the agent; returns an exit code (enum wv_exit). Everything that went wrong has been said. */
/* Takes the policy over; a reload (SIGHUP) replaces it. */
int wv_supervisor_run(const struct wv_paths *paths, const struct wv_config *config,
		      struct wv_policy *policy, const struct wv_attach_options *options,
		      struct wv_attach_end *ret_end);

/*
 * Takes <runtime>/lock. Returns 0 with *ret_fd, or -EBUSY with *ret_pid of the agent that holds it
 * (0 if unknown).
 */
int wv_agent_lock(const struct wv_paths *paths, int *ret_fd, int *ret_pid);

#endif
