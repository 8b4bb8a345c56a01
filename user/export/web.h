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

/* Binds a UNIX socket at `path` (what is there goes), mode 0660 and that group ("": root's), and
 * listens. 0 with *ret_fd, -ENOENT: no such group, or another -errno. */
int wv_web_listen_local(const char *path, const char *group, int *ret_fd);

struct wv_kube_names; /* user/kube/names.h */
struct wv_gpu_view;   /* user/flow/gpu.h */

/* What the worker gets of its supervisor; -1: none. */
struct wv_web_fds {
	int tcp, local;			  /* listening */
	int control;			  /* socketpair to the supervisor */
	int api;			  /* to the api worker */
	const struct wv_kube_names *pods; /* names of containers; NULL: none */
	const struct wv_gpu_view *gpus;	  /* figures of GPUs; NULL: none */
};

/*
 * Runs the worker in the calling (forked) process until the control socket closes or SIGTERM: drops
 * all capabilities, no new privileges, seccomp allow-list, then serves the paths of web_route.c.
 * Returns an exit status.
 */
int wv_web_run(const struct wv_config *config, const struct wv_snapshot_map *snapshot,
	       const struct wv_web_fds *fds);

#endif
