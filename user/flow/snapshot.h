/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The published sample: a file in the runtime folder that core maps and rewrites every tick and
 * that anyone with the right to read it maps read-only (`top`, `status`, the web worker). A
 * restarted core, and a new agent after a SIGKILL, adopt rows and bases from it.
 *
 * Consistency: a sequence lock. seq is odd while core writes; a reader copies and retries.
 */
#ifndef WV_FLOW_SNAPSHOT_H
#define WV_FLOW_SNAPSHOT_H

#include <stdatomic.h>

#include "user/flow/drift.h"
#include "user/flow/sample.h"

#define WV_SNAPSHOT_MAGIC 0x31304e5357564157ULL
#define WV_SNAPSHOT_FILE "snapshot" /* in <runtime> */
#define WV_MAX_PROGS 64

enum wv_worker_id {
#define WV_WORKER(ID, ...) WV_WORKER_##ID,
#include "waveos/workers.def"
	WV_WORKER_N
};
extern const char *const wv_worker_names[WV_WORKER_N];

/* One BPF program's cost, from the kernel (bpf_prog_info); zero unless BPF statistics are on. */
struct wv_prog_stats {
	char name[32];
	uint32_t verified_insns;
	uint32_t pad;
	uint64_t run_ns, run_count;
	uint64_t misses; /* runs that the kernel skipped: the program was interrupted by its own
			    hook */
};

/* What the agent knows of itself at this tick. */
struct wv_self {
	uint64_t cpu_ns;    /* all its processes */
	uint64_t rss_bytes; /* sum of its processes' resident sets */
	uint64_t pss_bytes; /* sum of proportional set sizes: shared pages once */
	uint64_t map_bytes; /* BPF maps, as the kernel accounts them */
	uint64_t sense_ns;  /* duration of the last tick */
	uint64_t events_produced[WV_EV_N], events_dropped[WV_EV_N], events_consumed[WV_EV_N];
	uint64_t places[WV_PLACE_N];
	int64_t place_errno[WV_PLACE_N];
	uint32_t n_progs, pad;
	struct wv_prog_stats progs[WV_MAX_PROGS];
	uint64_t decisions, actions, action_failures;
	uint64_t records_written, records_failed;
};

struct wv_snapshot {
	uint64_t magic;
	uint32_t layout; /* sizes of the structs below, folded: another layout is not adopted */
	uint32_t max_rows;
	_Atomic uint64_t seq;
	char boot_id[40], run_id[64];
	char version[32], policy_version[80], bundle_id[72];
	char metrics_address[64]; /* "" if none */
	char run_dir[512];
	/* written by the supervisor */
	_Atomic uint32_t supervisor_pid;
	_Atomic uint32_t policies_refused; /* reloads that left the old policy in force */
	_Atomic uint32_t policies_taken;   /* reloads that core has put in force */
	struct {
		_Atomic uint32_t pid, restarts;
	} workers[WV_WORKER_N];
	_Atomic uint32_t disarmed; /* kill switch is on */
	_Atomic uint64_t disarmed_mono_ns;
	/* written by core, for the watchdog: 0 or the errno that keeps it from its work */
	_Atomic uint32_t log_errno, enforce_errno;
	uint64_t started_mono_ns, started_wall_ns;
	uint64_t first_limit_ns; /* start to first enforced limit; 0: none yet */
	/* Written by core at every event, not under seq: a new core counts on from here. Readers
	 * take self.events_consumed, which fits the other counts. */
	uint64_t events_consumed[WV_EV_N];
	/* written by core, under seq */
	uint64_t tick, mono_ns, wall_ns, tick_interval_ns;
	uint32_t used_rows, n_facets;
	uint32_t n_budgets, n_budgets_in_force;
	uint32_t n_rules, n_rules_open; /* pairs of rule and cgroup that are open */
	uint32_t n_breakers_in_force;
	uint32_t n_held;	    /* cgroups that recovery froze, isolated or throttles */
	uint32_t drift[WV_DRIFT_N]; /* differences to the run before, by kind; set once */
	struct wv_self self;
	/* then rows[max_rows], base[max_rows], facets[WV_FACET_ROWS] */
};

struct wv_snapshot_map {
	int fd; /* of the writer */
	struct wv_snapshot *head;
	struct wv_row *rows;
	struct wv_figures *base;
	struct wv_facet_row *facets;
	size_t bytes;
};

/*
 * Core's side: maps <dirfd>/snapshot for writing, creating it (mode 0640). A file of this boot and
 * layout is kept with its rows, *ret_adopted says so; any other is replaced.
 */
int wv_snapshot_create(struct wv_snapshot_map *m, int dirfd, uint32_t max_rows, const char *boot_id,
		       bool *ret_adopted);
/*
 * Publishes rows, facets and times; caller fills head's other fields between begin and end. Rows
 * are written, not stored through the mapping, so that core does not hold them twice. -errno (no
 * space for the file) where some of them are still those of the last tick.
 */
void wv_snapshot_begin(struct wv_snapshot_map *m);
int wv_snapshot_rows(struct wv_snapshot_map *m, const struct wv_sample *s);
void wv_snapshot_end(struct wv_snapshot_map *m);
/* Fills a sample from the last published rows and bases (adoption). */
void wv_snapshot_restore(const struct wv_snapshot_map *m, struct wv_sample *s);

/* Reader's side. -ENOENT: no agent ever ran; -EPROTO: another version's layout. */
int wv_snapshot_open(struct wv_snapshot_map *m, int dirfd);
/*
 * Copies one consistent sample (initialised by the caller with at least head->max_rows) and the
 * header. -EAGAIN after two seconds of trying: core is stuck or restarting.
 */
int wv_snapshot_read(const struct wv_snapshot_map *m, struct wv_sample *s,
		     struct wv_snapshot *ret_head);
void wv_snapshot_close(struct wv_snapshot_map *m);

#endif
