/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The gates' maps. The kernel's copy is the record: the next agent reads what is there and goes on
 * with it. Nothing that a place refers to is ever changed or missing.
 */
#ifndef WV_ENFORCE_GATE_STORE_H
#define WV_ENFORCE_GATE_STORE_H

#include <stdbool.h>

#include "user/core/bpf.h"
#include "user/enforce/gate_compile.h"

/* Lists at a time, of all policies. */
#define WV_GATE_MAX_LISTS 1024

/* A list that is in the maps. */
struct wv_gate_stored {
	uint32_t number;
	uint32_t kind;
	char name[64];
	uint8_t digest[32];
	bool wanted; /* else it goes when no program can be reading it any more */
	/* exec: programs listed by path, and what was last seen there */
	struct wv_gate_watched {
		char *path;
		uint32_t value;
		uint64_t seen_dev, seen_ino; /* as stat(2) says, to notice a change */
		int64_t seen_ctime_ns;
		uint32_t dev; /* as the kernel's maps have it */
		uint64_t ino; /* 0: no such file */
	} * watched;
	size_t n_watched;
	uint64_t denied, audited, suppressed; /* of the kernel's counters, as last told */
};

struct wv_gate_store {
	int places_fd, caps_fd, lists_fd, addresses_fd, texts_fd, devices_fd, inodes_fd, levels_fd;
	struct wv_gate_stored *lists;
	size_t n_lists;
	uint32_t next_number;
	uint32_t levels[WV_GATED_N]; /* as in map gate_levels */
	bool unwanted;		     /* some list is not wanted: wv_gate_store_sweep() has work */
};

/* -ENOENT: the object is not loaded. Reads what a former agent left. */
int wv_gate_store_open(struct wv_gate_store *s, const struct wv_bpf *bpf);
void wv_gate_store_close(struct wv_gate_store *s);

/* All lists are unwanted until they are put again. */
void wv_gate_store_begin(struct wv_gate_store *s);
/* The list with this name and these entries: found, or written. Number >= 1, or -errno. */
int wv_gate_store_put(struct wv_gate_store *s, const char *name, uint32_t kind,
		      const struct wv_gate_entries *entries);
/* The stored list of this number, or NULL. */
struct wv_gate_stored *wv_gate_store_find(struct wv_gate_store *s, uint32_t number);
/* Its counters. 0 or -errno. */
int wv_gate_store_counters(const struct wv_gate_store *s, uint32_t number,
			   struct wv_gate_list *ret);
/* What was denied, audited and not told since the call before is added to the metrics' figures. */
void wv_gate_store_count(struct wv_gate_store *s);
/*
 * Removes lists that are not wanted and entries that belong to none. Waits until no program can
 * still be reading them; call it when no place refers to them any more.
 */
void wv_gate_store_sweep(struct wv_gate_store *s);
/* Looks for listed programs whose file is another one now. Returns how many changed. */
unsigned wv_gate_store_watch(struct wv_gate_store *s);

/* Sets or removes (place NULL or n == 0) a place. 1 if that changed anything, 0, or -errno. */
int wv_gate_store_place(struct wv_gate_store *s, uint64_t cgroup, uint32_t kind,
			const struct wv_gate_place *place);
int wv_gate_store_caps(struct wv_gate_store *s, uint64_t cgroup, const struct wv_gate_caps *caps);
/* Calls fn for each place and each cap (kind PRIORITY) there is; fn may remove it. */
int wv_gate_store_each(struct wv_gate_store *s,
		       void (*fn)(void *ctx, uint64_t cgroup, uint32_t kind), void *ctx);
/* On which levels there are places; they are told before a place is set, and after it is removed.
 */
int wv_gate_store_levels(struct wv_gate_store *s, uint32_t kind, uint32_t mask);

#endif
