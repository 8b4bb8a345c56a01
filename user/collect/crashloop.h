/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Crash loops: a program that fails again and again in one cgroup. A state machine without clock
 * and without I/O; the caller hands in failed exits with their times.
 */
#ifndef WV_COLLECT_CRASHLOOP_H
#define WV_COLLECT_CRASHLOOP_H

#include <stdbool.h>
#include <stdint.h>

/* Programs followed at once; the one that failed longest ago makes room for a new one. */
#define WV_CRASHLOOP_MAX 512

struct wv_crashloops;

/*
 * exits failed exits of one program within window_ns are a crash loop. -EINVAL for exits < 1,
 * -ENOMEM. Release with wv_crashloops_free().
 */
int wv_crashloops_new(struct wv_crashloops **ret, uint32_t exits, uint64_t window_ns);
void wv_crashloops_free(struct wv_crashloops *c);
/*
 * A process of this program (16 bytes at most) failed in this slot. True if that makes a crash
 * loop: then *ret_in_ns is the time in which the exits came. Another one is told only after
 * window_ns without any failure of the program. Times that go back count as the latest seen.
 */
bool wv_crashloops_failed(struct wv_crashloops *c, uint32_t slot, const char *comm, uint64_t now_ns,
			  uint64_t *ret_in_ns);
/* Forgets the programs of a slot. */
void wv_crashloops_slot_gone(struct wv_crashloops *c, uint32_t slot);
/* Programs that had to make room before their window was over: their count starts anew. */
uint64_t wv_crashloops_evicted(const struct wv_crashloops *c);

#endif
