/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A recorded run, read from its artifacts (docs/artifacts.md). Counters are those of each cgroup's
 * own tasks: what a removed child had counted is taken off its parent again, where the data shows
 * the child.
 */
#ifndef WV_CMD_REPORT_DATA_H
#define WV_CMD_REPORT_DATA_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "user/core/paths.h"

/* Columns of metrics.csv that a report uses: id, name in the header, counter of own tasks. */
#define WV_REPORT_COLUMNS(X)                                                                       \
	X(CPU, "cpu_usage_ns", true)                                                               \
	X(THROTTLED, "cpu_throttled_ns", false)                                                    \
	X(MEM, "mem_usage_bytes", false)                                                           \
	X(RSS, "mem_rss_bytes", false)                                                             \
	X(OOM, "mem_oom_kills", true)                                                              \
	X(IO_READ, "io_read_bytes", true)                                                          \
	X(IO_WRITE, "io_write_bytes", true)                                                        \
	X(IO_ERRORS, "io_errors", true)                                                            \
	X(RX, "net_rx_bytes", true)                                                                \
	X(TX, "net_tx_bytes", true)                                                                \
	X(RETRANSMITS, "tcp_retransmits", true)                                                    \
	X(CONNECT_FAILURES, "tcp_connect_failures", true)                                          \
	X(FATAL_SIGNALS, "err_fatal_signals", true)                                                \
	X(EXITS_NONZERO, "err_exits_nonzero", true)                                                \
	X(CRASH_LOOPS, "task_crash_loops", true)                                                   \
	X(LIMIT_DROPS, "limit_egress_drops", true)                                                 \
	X(LIMIT_DROPS_IN, "limit_ingress_drops", true)                                             \
	X(RUNQ_COUNT, "runq_latency_count", true)                                                  \
	X(RUNQ_P99, "runq_latency_p99_ns", false)

enum wv_report_column {
#define X(id, name, own) WV_REPORT_##id,
	WV_REPORT_COLUMNS(X)
#undef X
		WV_REPORT_N
};

struct wv_report_row {
	uint64_t v[WV_REPORT_N];
};

struct wv_report_cgroup {
	char *path;
	uint64_t key;
	uint32_t first; /* sample of rows[0]; the others follow without a gap */
	uint32_t n, cap;
	struct wv_report_row *rows;
	struct wv_report_row
		*left; /* what removed children left at each row, or NULL; while loading */
};

struct wv_report {
	char dir[WV_PATH_SIZE];
	struct json_object *meta;      /* run_meta.json; NULL if it is missing */
	struct json_object *decisions; /* array: records of type "decision" */
	struct json_object
		*notable; /* array: failures by type, cgroup and task, at most WV_REPORT_NOTABLE */
	struct json_object *counts;   /* object: records by type */
	struct json_object *outcomes; /* array: records of type "outcome" */
	struct json_object *drift;    /* array: records of type "config-drift" */
	uint64_t *mono, *wall;	      /* times of the samples */
	uint32_t n_samples, cap_samples;
	struct wv_report_cgroup *cgroups;
	uint32_t n_cgroups, cap_cgroups;
	uint64_t bad_lines; /* that could not be read */
	bool adopted;	    /* counters began before this run */
};
#define WV_REPORT_NOTABLE 50
/* Member of a notable record: how often there was one of its type, cgroup and task. */
#define WV_REPORT_TIMES "times"

/* Loads the run in this folder. -ENOENT: it has neither metrics nor events. */
int wv_report_load(struct wv_report *r, const char *dir);
void wv_report_done(struct wv_report *r);
/* Part of loading: events.jsonl. */
int wv_report_load_records(struct wv_report *r, int dirfd);

/* Change a second between row i-1 and i of a cgroup; 0 for the first row of the data. */
double wv_report_rate(const struct wv_report *r, const struct wv_report_cgroup *c, uint32_t i,
		      enum wv_report_column column);
/* What a counter counted in the run; largest value of a gauge. */
uint64_t wv_report_total(const struct wv_report *r, const struct wv_report_cgroup *c,
			 enum wv_report_column column);
/*
 * Cgroups with the largest sums of two columns (pass the same one twice for one), at most `max`
 * with more than nothing, into ret. Returns how many.
 */
unsigned wv_report_rank(const struct wv_report *r, enum wv_report_column a, enum wv_report_column b,
			unsigned max, uint32_t *ret);
/* Text of a member of meta, or of meta[object][key] if object is not NULL; "" if absent. */
const char *wv_report_meta(const struct wv_report *r, const char *object, const char *key);
uint64_t wv_report_meta_u64(const struct wv_report *r, const char *object, const char *key);

/* Split of one CSV line in place; at most max fields. Returns how many. For tests. */
unsigned wv_report_split(char *line, char **fields, unsigned max);

#endif
