/* SPDX-License-Identifier: GPL-2.0-only */
/* The web worker: metrics over HTTP from the published snapshot, without any right on the system.
 */
#ifndef WV_EXPORT_WEB_H
#define WV_EXPORT_WEB_H

#include "user/core/config.h"
#include "user/flow/snapshot.h"

/*
 * Binds "address:port" ("[::1]:9850" for IPv6) and listens. Called by the supervisor, so that a
 * port in use is an error of the start. Returns 0 with *ret_fd, or -EADDRINUSE, -EINVAL, ...
 */
int wv_web_listen(const char *address, int *ret_fd);

/*
 * Runs the worker in the calling (forked) process until the control socket closes or SIGTERM: drops
 * all capabilities, no new privileges, seccomp allow-list, then serves /metrics (text 0.0.4 or
 * OpenMetrics 1.0 by Accept), /healthz and /. control: socketpair to the supervisor, -1 for none
 * (tests). Returns an exit status.
 */
int wv_web_run(const struct wv_config *config, const struct wv_snapshot_map *snapshot,
	       int listen_fd, int control);

#endif
