/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * User half of bpf/limit.bpf.c. A limit is a set of pinned links at one cgroup,
 * <pins>/limits/<key>-<hook>, and one entry of map limit_rates. The pins are the only record of it:
 * whoever finds them knows what is in force, so nothing has to be journaled.
 */
#ifndef WV_ENFORCE_NETLIMIT_H
#define WV_ENFORCE_NETLIMIT_H

#include <stdio.h>

#include "user/core/bpf.h"
#include "user/enforce/want.h"

enum wv_hook {
	WV_HOOK_EGRESS,
	WV_HOOK_SOCKET, /* tags sockets for pacing; goes with egress */
	WV_HOOK_INGRESS,
	WV_HOOK_CONNECT4,
	WV_HOOK_CONNECT6,
	WV_HOOK_N
};

struct wv_netlimit {
	const struct wv_host *host;
	const struct wv_paths *paths;
	int rates_fd, state_fd, pacers_fd;
	int prog_fd[WV_HOOK_N];
	uint32_t prog_id[WV_HOOK_N];
	bool pace; /* some device honours departure times */
};

/* -ENOENT: the kernel did not take the object (see wv_bpf_reason()). Holds nothing that must be
 * released. */
int wv_netlimit_init(struct wv_netlimit *n, const struct wv_bpf *bpf, const struct wv_paths *paths,
		     const struct wv_host *host);
/*
 * Holds a cgroup to these limits: makes, keeps, replaces and removes links, and updates rates in
 * place. Returns 1 if anything changed, 0 if it was so, or -errno with *reason filled; limits that
 * held before still hold then.
 */
int wv_netlimit_apply(struct wv_netlimit *n, uint64_t key, const char *path,
		      const struct wv_want *want, char *reason, size_t size);
/* Removes a cgroup's limits. 1 if there were any, 0, or -errno. */
int wv_netlimit_release(struct wv_netlimit *n, uint64_t key);
/* Counters of a limited cgroup. 0 or -errno. */
int wv_netlimit_read(const struct wv_netlimit *n, uint64_t key, struct wv_limit_state *ret);
/* Calls fn for every pinned link. fn returns negative to stop. */
int wv_netlimit_each(const struct wv_paths *paths,
		     int (*fn)(void *ctx, uint64_t key, enum wv_hook hook), void *ctx);

/* Rates as the kernel half takes them (epoch 0, pace false). Pure. */
void wv_netlimit_rates(const struct wv_want *want, struct wv_limit_rates *ret);

/*
 * pacers.c: brings map limit_pacers up to date with the devices of this network namespace whose
 * root queue is fq (or a multi-queue of fq) and sets n->pace. Returns the number of such devices,
 * or -errno: then nothing is paced and *reason (may be NULL) says why.
 */
int wv_pacers_refresh(struct wv_netlimit *n, char *reason, size_t size);

#endif
