/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Records of a run: <state>/runs/<run_id>/ with run_meta.json, metrics.csv, events.jsonl and
 * explainability.json. All file access goes through the I/O seam.
 */
#ifndef WV_EVIDENCE_RECORD_H
#define WV_EVIDENCE_RECORD_H

#include <json-c/json.h>
#include <stdbool.h>

#include "user/core/config.h"
#include "user/core/io.h"
#include "user/core/paths.h"
#include "user/flow/sample.h"

struct wv_host;
struct wv_policy;
struct wv_records;

/*
 * Opens the run's folder, making it if need be; a restarted core continues the same run (its
 * events.jsonl is completed from the log; a torn last line of the log is cut off and noted).
 * Errors: -ENOSPC, -EROFS, -EACCES and the like, with nothing half made.
 */
int wv_records_open(struct wv_records **ret, const struct wv_io *io, const struct wv_paths *paths,
		    const struct wv_config *config, const struct wv_policy *policy,
		    const struct wv_host *host, const char *run_id);
/*
 * Appends one record to the device's log, and to the run's events.jsonl, as canonical JSON with
 * schema_version, seq, boot_id, mono_ns, wall_ns, run_id, type and the fields. Takes the reference
 * of fields (also on failure). durable: on disk before it returns, for the intent of an action;
 * others with the next tick. A failed write is counted and returned; the agent goes on.
 */
int wv_record(struct wv_records *r, const char *type, struct json_object *fields, bool durable);
/* Everything recorded so far is durable when it returns 0. */
int wv_records_sync(struct wv_records *r);
/* Adds a decision to explainability.json (written at the next rotation). Takes the reference. */
int wv_record_explain(struct wv_records *r, struct json_object *decision);
/* Offers the sample of this tick: a CSV row per live cgroup every record.interval; rotates when
 * due. */
int wv_records_tick(struct wv_records *r, const struct wv_sample *s);
/*
 * Another policy is in force from the next tick on (also called for the first one): its text is
 * kept in the run's folder as policy-<12 digits>.yaml, and samples.wvs says so. restarted:
 * evaluators start anew.
 */
int wv_records_policy(struct wv_records *r, const struct wv_policy *policy, bool restarted);
/* Completes all artifacts atomically (fsync, rename) and, unless final, starts the next segment. */
int wv_records_flush(struct wv_records *r, bool final);
void wv_records_close(struct wv_records *r);
/* Folder of the run, valid while open. Counters of written and failed records. */
const char *wv_records_dir(const struct wv_records *r);
/* 0, or the -errno of the last write if it failed: the log is not alive then. */
int wv_records_error(const struct wv_records *r);
void wv_records_counts(const struct wv_records *r, uint64_t *ret_written, uint64_t *ret_failed);

#endif
