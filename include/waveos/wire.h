/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The contract between the kernel half (bpf/) and the user half (user/) that every subsystem
 * shares: the identity of a cgroup, the slot tables, histograms, the event header, and where losses
 * are counted. Only fixed-width types, explicit padding and static asserts; each subsystem adds
 * <subsystem>.h.
 */
#ifndef WAVEOS_WIRE_H
#define WAVEOS_WIRE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/*
 * A cgroup is named by its kernfs node id (what cgroup_id() and st_ino of its directory give). Ids
 * are unique within one hierarchy only, so an id of a v1 hierarchy carries this bit.
 */
#define WV_KEY_V1 (1ULL << 63)

/*
 * Slots. Each observed cgroup owns one slot; slot 0 is the `other` bucket. Counters live in tables
 * of chunks, WV_CHUNK_SLOTS slots each, which user space adds as they are needed: memory follows
 * what is used.
 */
#define WV_SLOT_OTHER 0
#define WV_CHUNK_SLOTS 64
#define WV_MAX_CHUNKS 256
#define WV_MAX_SLOTS (WV_CHUNK_SLOTS * WV_MAX_CHUNKS)

/* Histograms: bucket 0 counts < 1 us, bucket i counts [2^(i-1), 2^i) us, the last everything above.
 */
#define WV_HIST_BUCKETS 24

/* What user space hands every BPF object before it is loaded (frozen .rodata). */
struct wv_settings {
	__u64 generation; /* this object's programs act only while wv_ctl.generation equals it */
	__u32 ncpu;	  /* rows a slot has in a per-CPU table: possible CPUs */
	__s32 v1_ssid;	  /* cgroup_subsys_id that attributes tasks of the v2 root, or -1 */
	__u32 v1_root_hierarchy; /* cgroup_root.hierarchy_id of that v1 hierarchy, or 0 */
	__u32 pad;
};
_Static_assert(sizeof(struct wv_settings) == 24, "wire layout");

/* Single entry of map wv_ctl: switches every hook of every object at once. */
struct wv_ctl {
	__u64 generation; /* 0: observers stand still (kill switch); else the set that is live */
	__u64 lifecycle;  /* the set whose cgroup hooks are live: before its others, so that slots
			     exist */
};

/* Places: every drop and every failing helper has one. Row: (id, text). */
#define WV_PLACES(X)                                                                               \
	X(EVENTS_RESERVE, "event ring full")                                                       \
	X(SLOT_EXHAUSTED, "no free slot: cgroup counted in other")                                 \
	X(SLOT_INSERT, "cgroup index insert failed")                                               \
	X(SLOT_UNKNOWN, "cgroup without slot: counted in other")                                   \
	X(CHUNK_MISSING, "slot without chunk")                                                     \
	X(PATH_READ, "cgroup path read failed")                                                    \
	X(FACET_FULL, "facet index full: counted in other")                                        \
	X(TASK_STATE, "task state insert failed")                                                  \
	X(SK_STORAGE, "socket storage failed")                                                     \
	X(START_INSERT, "start time insert failed")                                                \
	X(STRING_READ, "string read failed")                                                       \
	X(LIMIT_STORAGE, "limit storage missing")                                                  \
	X(BREAKER_STATE, "breaker without state: passed")                                          \
	X(BREAKER_LOCK, "breaker lock not got: counted without")                                   \
	X(BREAKER_SIGNAL, "task over a breaker could not be killed")                               \
	X(GATE_PATH, "path of a program not known: gates took the stricter side")

enum wv_place {
#define X(id, text) WV_PLACE_##id,
	WV_PLACES(X)
#undef X
		WV_PLACE_N
};

/* Value of per-CPU map wv_places, indexed by enum wv_place. */
struct wv_place_count {
	__u64 count;
	__s64 last_errno; /* negative errno of the last failure, 0 where the failure has none */
};

/* Events. Row: (id, text). Produced and dropped are counted per row in wv_event_counts. */
#define WV_EVENTS(X)                                                                               \
	X(CGROUP_NEW, "cgroup-new")                                                                \
	X(CGROUP_GONE, "cgroup-gone")                                                              \
	X(OOM_KILL, "oom-kill")                                                                    \
	X(FATAL_SIGNAL, "fatal-signal")                                                            \
	X(EXIT_NONZERO, "exit-nonzero")                                                            \
	X(ALLOC_FAILURE, "alloc-failure")                                                          \
	X(IO_ERROR, "io-error")                                                                    \
	X(HW_ERROR, "hw-error")                                                                    \
	X(ACCEPT_OVERFLOW, "accept-overflow")                                                      \
	X(LIMIT_TRIP, "limit-trip")                                                                \
	X(BREAKER_TRIP, "breaker-trip")                                                            \
	X(GATE, "gate")                                                                            \
	X(TEST, "test")

enum wv_event_type {
#define X(id, text) WV_EV_##id,
	WV_EVENTS(X)
#undef X
		WV_EV_N
};

/* Value of per-CPU map wv_event_counts. consumed (user space) + dropped == produced, always. */
struct wv_event_count {
	__u64 produced;
	__u64 dropped;
};

/* Every record in the ring starts with this; bytes after it are the subsystem's own struct. */
struct wv_event {
	__u32 type; /* enum wv_event_type */
	__u32 size; /* whole record, this header included */
	__u64 mono_ns;
	__u64 key; /* cgroup */
	__u32 slot;
	__u32 pid; /* tgid of the task that it is about, 0 if none */
	__u32 tid;
	__u32 pad;
	char comm[16];
};
_Static_assert(sizeof(struct wv_event) == 56, "wire layout");

#define WV_PATH_MAX 512

/* CGROUP_NEW, CGROUP_GONE */
struct wv_event_cgroup {
	struct wv_event h;
	__u64 parent_key;
	__u32 level;
	__u32 path_len; /* bytes in path without the terminating NUL; 0: path unknown, resolve by id
			 */
	char path[WV_PATH_MAX];
};

#endif
