/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kill switch: while it is on, the agent observes and records and does nothing else. It is on
 * while <runtime>/kill-switch or <configuration folder>/kill-switch exists; SIGUSR1 to the
 * supervisor makes or removes the former. kill_switch.release says whether what is in force is let
 * go or held meanwhile.
 */
#ifndef WV_RECOVER_SWITCH_H
#define WV_RECOVER_SWITCH_H

#include <stdbool.h>
#include <stddef.h>

#include "user/core/paths.h"

#define WV_SWITCH_FILE "kill-switch"

struct wv_agent;

/* False: no new action of any kind. Cheap; ask again in every tick. */
bool wv_recover_armed(const struct wv_agent *agent);
/* The switch is on and budgets, breakers, gates and holds are to be let go. */
bool wv_recover_released(const struct wv_agent *agent);

/* Whether a file turns the switch on; which (may be NULL) gets its path. */
bool wv_switch_is_on(const struct wv_paths *paths, char *which, size_t size);
/* SIGUSR1: makes or removes the runtime file. *ret_on: what holds now (the other file may keep it
 * on). 0 or -errno. */
int wv_switch_toggle(const struct wv_paths *paths, bool *ret_on);
/* Folders that a file may appear in. */
void wv_switch_folders(const struct wv_paths *paths, char runtime[WV_PATH_SIZE],
		       char config[WV_PATH_SIZE]);

#endif
