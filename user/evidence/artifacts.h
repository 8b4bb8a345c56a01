/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stands beside events.jsonl in a run's folder: metrics.csv and its older segments,
 * explainability.json, run_meta.json. Each is complete or not there (under its name).
 */
#ifndef WV_EVIDENCE_ARTIFACTS_H
#define WV_EVIDENCE_ARTIFACTS_H

#include <json-c/json.h>

#include "user/core/io.h"
#include "user/core/version.h"
#include "user/evidence/lines.h"
#include "user/flow/sample.h"

#define WV_SCHEMA_VERSION 1
#define WV_EVENT_SCHEMA_VERSION 2 /* lines of the log: canonical, seq counts over runs */
#define WV_CSV_NAME "metrics.csv"
#define WV_CSV_TEMPORARY ".metrics.csv.tmp"
#define WV_EVENTS_NAME "events.jsonl"
#define WV_META_NAME "run_meta.json"
#define WV_EXPLAIN_NAME "explainability.json"
#define WV_ARTIFACT_MODE 0640

/* The segment of metrics.csv that is being written. */
struct wv_csv {
	struct wv_lines lines;
	uint64_t rows; /* in this segment, header not counted; after a restart those since */
};
/* Continues the temporary of a core that died, or starts one with its header. */
int wv_csv_open(struct wv_csv *c, const struct wv_io *io, int dirfd);
/* Rows of all live cgroups; on failure none of them. *ret_rows: how many. */
int wv_csv_append(struct wv_csv *c, const struct wv_sample *s, uint64_t *ret_rows);
/*
 * Makes the temporary metrics.csv and the older ones metrics.1.csv up to metrics.<keep>.csv.
 * Returns 1, 0 if there was nothing but a header (then it is removed), or -errno (then it can be
 * tried again). Closes c on >= 0.
 */
int wv_csv_complete(struct wv_csv *c, int dirfd, unsigned keep);
/* The header row, newline included; to be freed. NULL if there is no memory. */
char *wv_csv_header(void);
/* Name of segment i: metrics.csv for 0. */
const char *wv_csv_segment_name(unsigned i, char buf[32]);

/* Decisions with what led to them, oldest first; the oldest go when there are too many. */
#define WV_EXPLAIN_MAX 1000
#define WV_EXPLAIN_BYTES_MAX (512U << 10)
struct wv_explain {
	char *texts[WV_EXPLAIN_MAX]; /* ring, serialised */
	unsigned first, n;
	size_t bytes;
	uint64_t omitted;
	bool dirty;
};
/* Takes the reference of decision. */
int wv_explain_add(struct wv_explain *e, struct json_object *decision);
/* Takes up what an earlier core of the same run wrote; what is no such file is ignored. */
void wv_explain_load(struct wv_explain *e, const struct wv_io *io, int dirfd);
int wv_explain_write(struct wv_explain *e, const struct wv_io *io, int dirfd, const char *run_id,
		     const char *boot_id, const struct wv_version *version);
void wv_explain_done(struct wv_explain *e);

/* {"schema_version", triple, "run_id", "boot_id"}: how every JSON artifact starts. NULL without
 * memory. */
struct json_object *wv_artifact_new(const char *run_id, const char *boot_id,
				    const struct wv_version *version);
/* Writes an object as a file of its own, atomically. Does not take the reference. */
int wv_artifact_write(const struct wv_io *io, int dirfd, const char *name, struct json_object *o);

/*
 * Completes what agents that died left in the folders below runs_fd, and removes the oldest folders
 * over keep (the folder named own is kept and not counted as old). Best effort.
 */
void wv_runs_tidy(const struct wv_io *io, int runs_fd, const char *own, unsigned keep,
		  unsigned keep_segments);

#endif
