/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A run's records in the device's log, and events.jsonl in the run's folder, which has the same
 * lines, byte for byte, but only this run's. The log is the truth: the folder's file is written
 * after it, and completed from it when a core died in between or its disk was full.
 */
#ifndef WV_EVIDENCE_RUN_LOG_H
#define WV_EVIDENCE_RUN_LOG_H

#include "user/core/config.h"
#include "user/core/paths.h"
#include "user/evidence/lines.h"
#include "user/evidence/tlog.h"

struct wv_run_log {
	const struct wv_io *io;
	const struct wv_config *config;
	const char *state, *run_id;
	int dirfd; /* the run's folder */
	struct wv_tlog *tlog;
	struct wv_secret_key key;
	struct wv_lines part; /* events.jsonl */
	uint64_t part_seq;    /* records up to this one are in it, if they are the run's */
	bool behind;	      /* it lacks some */
	bool uncommitted;
	uint64_t records;      /* of the run in the log, as far as its file has them or we wrote */
	uint64_t next_tidy_ns; /* monotonic */
};

/* made: the folder is new, so no record of the run is in the log. *ret_cut: bytes of a torn line
 * that were cut off the log. A key that cannot be had is logged: the log is unsigned then. */
int wv_run_log_open(struct wv_run_log *g, const struct wv_io *io, const struct wv_paths *paths,
		    const struct wv_config *config, int dirfd, const char *run_id, bool made,
		    uint64_t *ret_cut);
/* The line of record seq, to be freed; NULL if there cannot be one. */
typedef char *(*wv_run_line_fn)(void *ctx, uint64_t seq, size_t *ret_len);
/* The record is in the log (durable: on disk), or it is not and the error tells why. */
int wv_run_log_append(struct wv_run_log *g, wv_run_line_fn line, void *ctx, bool durable);
/* Commits what is not yet, and completes the run's file. Once a tick. */
int wv_run_log_commit(struct wv_run_log *g);
/* All on disk, also the run's file; a checkpoint, and a copy of it in the run's folder. Now and
 * then a process of its own compresses and retires segments (never with a test's I/O). */
int wv_run_log_flush(struct wv_run_log *g);
void wv_run_log_close(struct wv_run_log *g);

#endif
