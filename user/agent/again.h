/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The agent starts itself again in place, for settings that are read only at a start: same process,
 * same arguments, same executable. The lock stays held, so no other agent comes in between; a
 * signal that is blocked and pending stays pending, so the new image acts on it.
 */
#ifndef WV_AGENT_AGAIN_H
#define WV_AGENT_AGAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "user/core/paths.h"

/* What goes from one image to the next. */
struct wv_again {
	bool reloaded;	   /* this image was started for new settings */
	int lock_fd;	   /* <runtime>/lock, held; -1: not */
	uint64_t until_ns; /* CLOCK_MONOTONIC, of --for; 0: none */
};

/*
 * What the former image left, taken out of the environment before anyone inherits it. A descriptor
 * that is not this lock is not taken. Never fails: then it is a start like any other.
 */
void wv_again_take(struct wv_again *ret, const struct wv_paths *paths);
/* Does not return on success; else -errno, and lock_fd is as it was. */
int wv_again_exec(const struct wv_again *a);

#endif
