/* SPDX-License-Identifier: GPL-2.0-only */
/* What limits, breakers and gates share: folders of pinned links, and the cgroups that links are
 * attached to. */
#ifndef WV_ENFORCE_PINNED_H
#define WV_ENFORCE_PINNED_H

#include <dirent.h>
#include <stdint.h>

#include "user/core/host.h"
#include "user/core/paths.h"

/* Folders below the pins. */
#define WV_LIMIT_PINS "limits"
#define WV_BREAKER_PINS "breakers"
#define WV_GATE_PINS "gates"

/* A folder below the pins. NULL and errno: it cannot be read; ENOENT: nothing was ever pinned
 * there. The caller's. */
DIR *wv_pinned_open(const struct wv_paths *paths, const char *folder);

/* Removes all that is pinned in a folder. Returns how many, or -errno of the last that stayed. */
int wv_pinned_remove_all(const struct wv_paths *paths, const char *folder);

/* The folder of a v2 cgroup, the caller's. -ENOENT: its inode is not the key, so the path names a
 * later cgroup by now. */
int wv_cgroup_open(const struct wv_host *host, uint64_t key, const char *path);

#endif
