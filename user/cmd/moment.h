/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two consecutive samples of a recorded run around a time that was: from samples.wvs, which has
 * every tick, where it was recorded; else from metrics.csv, which has a sample every
 * record.interval.
 */
#ifndef WV_CMD_MOMENT_H
#define WV_CMD_MOMENT_H

#include "user/core/paths.h"
#include "user/flow/sample.h"

struct wv_moment {
	struct wv_sample now,
		before; /* the last one at or before the time, and the one before it */
	bool has_before;
	char run_id[128];
	const char *source;	 /* "samples.wvs" or "metrics.csv" */
	uint64_t oldest_wall_ns; /* of all that was looked at; 0: there is nothing */
	uint64_t next_wall_ns;	 /* the sample after; 0: none in that run */
};

/*
 * wall_ns: nanoseconds since 1970. 0, -ENOENT (no run has a sample that is as old: see
 * oldest_wall_ns), or another -errno. Release with wv_moment_done() on any result.
 */
int wv_moment_read(struct wv_moment *r, const struct wv_paths *paths, uint64_t wall_ns);
void wv_moment_done(struct wv_moment *r);

/* Parts, for tests. Of the run in this folder: 1 found, 0 nothing as old, or -errno. */
int wv_moment_from_csv(struct wv_moment *r, int dirfd, uint64_t wall_ns);
int wv_moment_from_samples(struct wv_moment *r, int dirfd, uint64_t wall_ns);

#endif
