/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The network proxy: HAProxy carries the traffic, this folder is what it is told and how it is kept
 * running.
 *
 *   parse.c      items of the list `proxies`, checked
 *   translate.c, rules.c   a pure function from them to HAProxy's configuration
 *   program.c    the HAProxy process: check, start with few rights, end
 *   stats.c      its statistics socket, which is not trusted
 *   circuit.c    state of each server's breaker, pure
 *   status.c     <runtime>/proxy/status.json
 *   worker.c     the loop that holds it together
 *
 * HAProxy outlives the worker: when the worker or the agent dies, traffic goes on under the same
 * limits, and whoever comes next adopts the process.
 */
#ifndef WV_PROXY_PROXY_H
#define WV_PROXY_PROXY_H

#include <stdbool.h>
#include <stddef.h>

#include "user/core/config.h"
#include "user/core/paths.h"
#include "user/flow/proxy.h"

struct wv_worker_context; /* user/agent/core.h */

#define WV_PROXY_DIR "proxy" /* in <runtime> */

/* Whether there is anything for the worker to do. */
bool wv_proxy_wanted(const struct wv_config *config);
/* The worker, until it is told to stop, or SIGTERM. Returns its exit status. */
int wv_proxy_run(const struct wv_worker_context *ctx);
/* Ends a HAProxy that an agent left running; needs none. 1 if there was one, 0, or -errno. */
int wv_proxy_end(const struct wv_paths *paths);

/* Bounds of the words that the translation writes, so that no line is longer than HAProxy reads. */
#define WV_PROXY_PATTERN_MAX 256

/* Where HAProxy lives and who it becomes. */
struct wv_proxy_place {
	const char *socket; /* of its statistics */
	const char *chroot; /* NULL: none; it stays who it is (it was not started by root) */
	unsigned uid, gid;  /* with chroot */
};
/*
 * HAProxy's whole configuration for the proxies of `config`, NUL-terminated and to be freed. Pure.
 * -EINVAL with ret_error: settings that contradict each other. Every word from the configuration is
 * quoted where it stands, and was checked before; a value that could still end a word is -EBADMSG.
 */
int wv_proxy_translate(const struct wv_config *config, const struct wv_proxy_place *place,
		       char **ret, struct wv_config_error *ret_error);

/* parse.c: "address:port", both numeric, port from 1 on, IPv6 in brackets. */
bool wv_proxy_is_address(const char *text, unsigned *ret_port);

#endif
