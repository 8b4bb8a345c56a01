/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A glance at the machine without any hook: two looks at /proc and the cgroup files, some time
 * apart, make two samples that wv_harm_rank() can judge. For the first second of `attach`, when the
 * agent's own programs are still being loaded, and for where they cannot be.
 *
 * Counted per task (/proc/PID/task/TID/schedstat: ran and waited for a CPU, by the scheduler's own
 * clock) and per process (faults, resident memory, bytes to and from block devices). What a task
 * did that ended between the looks is not seen. Rows are the cgroups that have tasks, and those
 * above them.
 */
#ifndef WV_COLLECT_GLANCE_H
#define WV_COLLECT_GLANCE_H

#include "user/core/host.h"
#include "user/core/io.h"
#include "user/flow/sample.h"

/* Cgroups told apart and tasks followed; what is over goes to `other`, or is not followed. */
#define WV_GLANCE_ROWS 4096
#define WV_GLANCE_TASKS 65536

struct wv_glance {
	const struct wv_io *io;
	const struct wv_host *host;
	const char *proc;
	struct wv_sample before, now;
	struct wv_glance_tasks *tasks; /* of the first look */
	struct wv_index *index;	       /* path -> slot */
};

/*
 * The first look. host and proc ("/proc") must live as long. Release with wv_glance_done(), also
 * after an error. 0 or -errno.
 */
int wv_glance_begin(struct wv_glance *g, const struct wv_io *io, const struct wv_host *host,
		    const char *proc);
/* The second look: now g->before and g->now are complete. 0 or -errno. */
int wv_glance_end(struct wv_glance *g);
void wv_glance_done(struct wv_glance *g);

#endif
