/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packs that were asked for and are not made yet: a file each in <state>/packs, so that a core that
 * dies within the window of an incident does not lose its evidence.
 */
#ifndef WV_EVIDENCE_PACK_DUE_H
#define WV_EVIDENCE_PACK_DUE_H

#include <stdint.h>

#include "user/core/config.h"
#include "user/core/io.h"
#include "user/core/paths.h"

#define WV_PACK_DUE_MAX 16

struct wv_pack_due {
	char name[64]; /* of its file; filled in by wv_pack_due_next() */
	char boot_id[40], rule[64], cgroup[256];
	uint64_t at_mono_ns, before_ns, after_ns;
};

/* Durable when it returns 0. -EEXIST: one of this rule and cgroup waits already, and its window
 * goes on; -ENOSPC: WV_PACK_DUE_MAX wait. */
int wv_pack_due_add(const struct wv_io *io, const char *state, const struct wv_pack_due *d);
/* 1: *ret is one whose window is over (in another boot: always); 0: none is, *ret_ns: when the next
 * one will be, monotonic, 0 if none waits. Files that are none are removed. */
int wv_pack_due_next(const struct wv_io *io, const char *state, const char *boot_id,
		     struct wv_pack_due *ret, uint64_t *ret_ns);
void wv_pack_due_remove(const struct wv_io *io, const char *state, const char *name);

/*
 * pack_auto.c: makes a pack of <state>/packs, records it or why it failed, and removes packs over
 * the bounds. For a process of its own: it may take seconds. due: NULL for the cadence. -EBUSY:
 * another one is at it.
 */
int wv_pack_auto(const struct wv_io *io, const struct wv_paths *paths,
		 const struct wv_config *config, const struct wv_pack_due *due, const char *boot_id,
		 int (*summary)(const char *run_dir, char **ret_html));

#endif
