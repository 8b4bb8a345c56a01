/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * User half of bpf/isolate.bpf.c: two pinned links at one cgroup, <pins>/isolate/<key>-<hook>. The
 * pins are the only record of it.
 */
#ifndef WV_RECOVER_ISOLATE_H
#define WV_RECOVER_ISOLATE_H

#include "user/core/bpf.h"

#define WV_ISOLATE_PINS "isolate"

/* Cuts a v2 cgroup off. 0 (also if it was so), or -errno with *reason filled and nothing left. */
int wv_isolate(const struct wv_bpf *bpf, const struct wv_paths *paths, const struct wv_host *host,
	       uint64_t key, const char *path, char *reason, size_t size);
/* Lets it back. 1 if it was isolated, 0, or -errno. */
int wv_isolate_release(const struct wv_paths *paths, uint64_t key);
bool wv_isolated(const struct wv_paths *paths, uint64_t key);
/* Packets that were dropped at this cgroup, both ways. 0 if that is not known. */
uint64_t wv_isolate_drops(const struct wv_bpf *bpf, uint64_t key);
/* Removes all links; works without anything loaded. Their number or -errno. */
int wv_isolate_release_all(const struct wv_paths *paths);

#endif
