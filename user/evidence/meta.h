/* SPDX-License-Identifier: GPL-2.0-only */
/* run_meta.json: what ran where, under which configuration, and what was written and lost. */
#ifndef WV_EVIDENCE_META_H
#define WV_EVIDENCE_META_H

#include <json-c/json.h>
#include <stdint.h>

#include "user/core/io.h"
#include "user/core/version.h"

struct wv_config;
struct wv_host;
struct wv_policy;

struct wv_meta {
	char run_id[64], boot_id[40];
	struct wv_version version;
	struct json_object *host;
	uint64_t started_mono_ns, started_wall_ns;
	uint64_t ended_mono_ns, ended_wall_ns; /* 0: not ended in order */
	uint64_t resumes;		       /* times that a new core went on with the run */
	uint64_t records;		       /* in the log, of this run */
	uint64_t failed;		       /* records that could not be written */
	uint64_t samples, rows;		       /* written to metrics.csv, all segments */
	uint64_t samples_failed;
	uint64_t decisions;
	uint64_t segments_completed;
	int last_errno; /* of the last failure, 0 if there was none */
};

/* policy and host may be NULL. Release with wv_meta_done(). */
void wv_meta_init(struct wv_meta *m, const struct wv_io *io, const struct wv_config *config,
		  const struct wv_policy *policy, const struct wv_host *host, const char *run_id);
/* Takes up start and counts from the file of an earlier core of the same run, if it can be read. */
void wv_meta_load(struct wv_meta *m, const struct wv_io *io, int dirfd);
int wv_meta_write(const struct wv_meta *m, const struct wv_io *io, int dirfd,
		  const struct wv_config *config);
void wv_meta_done(struct wv_meta *m);
/* All settings: an object a section, with values in the stored unit. References to secrets as they
 * are written. */
struct json_object *wv_meta_settings(const struct wv_config *config);

#endif
