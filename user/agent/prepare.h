/* SPDX-License-Identifier: GPL-2.0-only */
/* What the supervisor needs before anything runs: folders, the lock, a name for the run, the
 * snapshot. */
#ifndef WV_AGENT_PREPARE_H
#define WV_AGENT_PREPARE_H

#include "user/core/config.h"
#include "user/core/host.h"
#include "user/core/paths.h"
#include "user/flow/policy.h"
#include "user/flow/snapshot.h"

/* These return an exit code, having said what went wrong. */
int wv_agent_folders(const struct wv_paths *paths);
/* The metrics port and, where there is one, <runtime>/api.sock. */
int wv_agent_listen(const struct wv_config *config, const struct wv_paths *paths, int *ret_fd,
		    int *ret_local);
int wv_agent_take_lock(const struct wv_paths *paths, int *ret_fd);
/* Start time in UTC and random digits. 0 or -errno. */
int wv_make_run_id(char *buf, size_t size);
/* Makes or adopts <runtime>/snapshot and fills in who runs. 0 or -errno. */
int wv_agent_open_snapshot(struct wv_snapshot_map *m, const struct wv_paths *paths,
			   const struct wv_config *config, const struct wv_host *host,
			   const char *run_id);
/* Once the executable is read, which goes on beside the start; records need it from the first. */
void wv_agent_name_version(struct wv_snapshot *head, const struct wv_config *config,
			   const struct wv_policy *policy);
/* At the end, where nothing is to stay: budgets and what recovery holds are taken back. */
void wv_agent_let_go(const struct wv_paths *paths, const struct wv_host *host);

#endif
