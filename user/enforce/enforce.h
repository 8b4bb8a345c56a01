/* SPDX-License-Identifier: GPL-2.0-only */
/* What the rest of the agent asks of enforcement. */
#ifndef WV_ENFORCE_ENFORCE_H
#define WV_ENFORCE_ENFORCE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct wv_host;
struct wv_io;
struct wv_paths;

/* Restores every old value in the journal and removes <pins>/limits; needs no agent. report: may be
 * NULL. */
int wv_enforce_revert_all(const struct wv_paths *paths, const struct wv_host *host,
			  const struct wv_io *io, FILE *report);
/* The mode of a domain changed: budgets of its modes are brought up to it in this tick's pass. */
void wv_enforce_mode_changed(uint32_t domain);
/* Budgets that hold on at least one cgroup now (core worker only). */
size_t wv_enforce_in_force(void);
/* Monotonic time at which the first limit of this run was in force; 0: none yet. */
uint64_t wv_enforce_first_applied_mono_ns(void);

/*
 * Holds a cgroup to this CPU time (millionths of one CPU), on top of its budgets; WV_UNSET lets it
 * go. Taken up at the next pass, or by the start of module `budget`. 0 or -ENOSPC (core only).
 */
int wv_enforce_throttle(uint64_t key, uint64_t cpu_ppm);
struct wv_want;
/* The limit that a throttle is; 0 and nothing for WV_UNSET, else 1. */
unsigned wv_throttle_want(uint64_t cpu_ppm, struct wv_want *ret);
/* 0, or the -errno that keeps budgets from being held (core worker only). */
int wv_enforce_error(void);

#endif
