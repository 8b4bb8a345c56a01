/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the page shows of cgroups: one row a cgroup, one number a column, made once a tick from the
 * snapshot. Of the tick before only what rates need is kept.
 */
#ifndef WV_EXPORT_WEB_TABLE_H
#define WV_EXPORT_WEB_TABLE_H

#include "user/export/text.h"
#include "user/flow/harm.h"
#include "user/flow/snapshot.h"

/*
 * Every column: WV_WEB_COLUMN(ID, "name", kind, signal, second signal or NONE). kind:
 *   RATE   change a second of one or two counters; of NS as millionths of a CPU or of the time
 *   VALUE  the figure as it stands
 *   P99    upper bound of the 99th percentile of the interval, of the run queue latency
 * All are the cgroup's own, but for tree signals (signals.def), which include its descendants.
 */
#define WV_WEB_COLUMNS(X)                                                                          \
	X(CPU, "cpu_ppm", RATE, CPU_USAGE, NONE)                                                   \
	X(WAIT, "cpu_wait_ppm", RATE, CPU_RUN_DELAY, NONE)                                         \
	X(RUNQ, "runq_p99_ns", P99, NONE, NONE)                                                    \
	X(THROTTLED, "cpu_throttled_ppm", RATE, CPU_THROTTLED, NONE)                               \
	X(PSI_CPU, "psi_cpu_ppm", RATE, PSI_CPU_SOME, NONE)                                        \
	X(PSI_MEM, "psi_mem_ppm", RATE, PSI_MEM_SOME, NONE)                                        \
	X(PSI_IO, "psi_io_ppm", RATE, PSI_IO_SOME, NONE)                                           \
	X(MEM, "mem_rss_bytes", VALUE, MEM_RSS, NONE)                                              \
	X(MEM_TREE, "mem_usage_bytes", VALUE, MEM_USAGE, NONE)                                     \
	X(MEM_LIMIT, "mem_limit_bytes", VALUE, MEM_LIMIT, NONE)                                    \
	X(RECLAIM, "mem_reclaim_ppm", RATE, MEM_RECLAIM, NONE)                                     \
	X(FAULTS, "major_faults_per_second", RATE, MEM_MAJOR_FAULTS, NONE)                         \
	X(IO_READ, "io_read_bytes_per_second", RATE, IO_READ_BYTES, NONE)                          \
	X(IO_WRITE, "io_write_bytes_per_second", RATE, IO_WRITE_BYTES, NONE)                       \
	X(RX, "net_rx_bytes_per_second", RATE, NET_RX_BYTES, NONE)                                 \
	X(TX, "net_tx_bytes_per_second", RATE, NET_TX_BYTES, NONE)                                 \
	X(RETRANSMITS, "tcp_retransmits_per_second", RATE, TCP_RETRANSMITS, NONE)                  \
	X(DROPS, "net_drops_per_second", RATE, NET_DROPS, NONE)                                    \
	X(LIMITED, "limit_drops_per_second", RATE, LIMIT_EGRESS_DROPS, LIMIT_INGRESS_DROPS)        \
	X(REFUSED, "limit_refused_per_second", RATE, LIMIT_CONNECTS_DENIED, BREAKER_REFUSED)       \
	X(TASKS, "tasks", VALUE, TASK_THREADS, NONE)                                               \
	X(DSTATE, "tasks_uninterruptible", VALUE, TASK_DSTATE, NONE)                               \
	X(OOM, "oom_kills", VALUE, MEM_OOM_KILLS, NONE)                                            \
	X(FATAL, "fatal_signals", VALUE, ERR_FATAL_SIGNALS, NONE)                                  \
	X(EXITS, "exits_nonzero", VALUE, ERR_EXITS_NONZERO, NONE)                                  \
	X(LOOPS, "crash_loops", VALUE, TASK_CRASH_LOOPS, NONE)                                     \
	X(TRIPS, "breaker_trips", VALUE, BREAKER_TRIPS, NONE)

enum wv_web_column {
#define X(id, ...) WV_WEB_##id,
	WV_WEB_COLUMNS(X)
#undef X
		WV_WEB_COLUMN_N
};
extern const char *const wv_web_columns[WV_WEB_COLUMN_N];

struct wv_web_row {
	uint64_t key, parent_key; /* wire.h; key 0: the row `other` */
	uint64_t v[WV_WEB_COLUMN_N];
	char path[WV_ROW_PATH_MAX +
		  4]; /* as the kernel has it, any bytes; "..." before a cut one */
};

struct wv_web_mark;

/* Who hurts whom now, as `attach` and `dump` tell it. */
#define WV_WEB_HARMS 24
struct wv_web_harm {
	struct wv_harm harm;
	const struct wv_web_row *victim, *culprit; /* of the table */
};

/* Zeroed to begin with, but for cpus. */
struct wv_web_table {
	uint32_t cpus;		 /* online */
	struct wv_snapshot head; /* of the tick; mono_ns 0: no tick yet */
	uint64_t interval_ns;	 /* that rates are of; 0: means since each cgroup was first seen */
	struct wv_web_row *rows;
	uint32_t n_rows;
	/* of the tick, for the rates of the next one; by slot */
	struct wv_web_mark *marks;
	uint32_t n_marks;
	uint64_t asked_mono_ns; /* when it was last looked at */
	/* some seconds ago: one tick alone jumps */
	struct wv_sample before;
	struct wv_web_harm harms[WV_WEB_HARMS];
	size_t n_harms;
};

/*
 * Brings the table to the newest tick; at most one pass over the snapshot a tick. 0, -EAGAIN (core
 * has published nothing yet, or is stuck) or -ENOMEM.
 */
int wv_web_table_update(struct wv_web_table *t, const struct wv_snapshot_map *m);
/* Gives the memory back where nobody has looked for WV_WEB_TABLE_KEEP_NS. */
void wv_web_table_age(struct wv_web_table *t, uint64_t now_mono_ns);
void wv_web_table_done(struct wv_web_table *t);
#define WV_WEB_TABLE_KEEP_NS 30000000000ULL

/* Which rows, in which order. */
struct wv_web_query {
	int sort;	    /* enum wv_web_column, largest first; -1: by path; -2: as they are */
	const char *filter; /* part of the path; NULL or "": all */
	uint32_t offset, limit;
};
#define WV_WEB_SORT_PATH (-1)
#define WV_WEB_SORT_NONE (-2)

/* Column by name, WV_WEB_SORT_PATH for "cgroup", or -EINVAL. */
int wv_web_column_by_name(const char *name);
/* Writes the JSON of the rows that q asks for. Check out->error. */
void wv_web_table_json(const struct wv_web_table *t, const struct wv_web_query *q,
		       struct wv_text *out);
/* Writes the JSON of what the agent knows of itself, all but the last brace. */
struct wv_web_host {
	char name[65];
	uint32_t cpus;
	uint64_t memory_bytes;
};
void wv_web_overview_json(const struct wv_web_table *table, const struct wv_web_host *host,
			  uint64_t now_mono_ns, struct wv_text *t);

#endif
