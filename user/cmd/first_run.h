/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What `attach` tells a person in its first seconds: what this machine allows (pre-flight), who
 * hurts whom (a glance at /proc, so that it need not wait for programs to be loaded), where to look
 * and how to end it. All of it on standard error: standard output is for data.
 */
#ifndef WV_CMD_FIRST_RUN_H
#define WV_CMD_FIRST_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/core/paths.h"

/*
 * Looks at machine and rights, and says what it found: a list for people, one line of the log for
 * machines (people: see wv_first_run_people()). began_ns: CLOCK_MONOTONIC of the start. false: the
 * agent cannot start, and what to do about it was said.
 */
bool wv_first_run_preflight(const struct wv_paths *paths, bool people, uint64_t began_ns);
/* Whether a person reads standard error: the log is text, and no service manager waits. */
bool wv_first_run_people(void);
/*
 * Starts the process that glances and tells; it ends by itself, or with this one. Its pid, or -1
 * where it cannot be made (then nothing is told).
 */
pid_t wv_first_run_tell(const struct wv_paths *paths, uint64_t began_ns);

#endif
