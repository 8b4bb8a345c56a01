/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One trial of the tuner: a command in a session of its own and, where one can be made, in a cgroup
 * of its own, so that its running out of memory is nobody else's. Nothing of it is left when
 * wv_trial_run() returns. Linux; the calling process becomes the reaper of its orphans.
 */
#ifndef WV_GPU_TRIAL_H
#define WV_GPU_TRIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WV_TRIAL_TAIL (64U << 10) /* of stdout and stderr, each: the newest bytes */
#define WV_TRIAL_OOM_EXIT 66	  /* of a training that caught it itself */

struct wv_trial_options {
	char *const *argv, *const *env; /* NULL-terminated; argv[0] is looked up in PATH */
	const char *name;		/* of the cgroup; unique on the machine */
	uint64_t timeout_ns;		/* then all of it is killed */
	uint64_t memory_bytes, pids;	/* 0: not held */
	/* MAY be NULL: called every 50 ms with the first process; false: it is to be ended */
	bool (*turn)(void *ctx, pid_t pid);
	void *ctx;
};

struct wv_trial_tail {
	uint64_t n; /* bytes that came in all */
	char *buf;  /* ring of WV_TRIAL_TAIL */
};

struct wv_trial_end {
	int exit_code, signal; /* signal 0: it exited */
	bool timed_out, held;  /* held: a cgroup held its memory */
	uint64_t oom_kills;    /* that the kernel counted in the cgroup */
	uint64_t peak_bytes;   /* of the cgroup; 0: not known */
	uint64_t elapsed_ns;
	struct wv_trial_tail out, err;
};

/* 0; -EINTR: turn ended it; -errno: it could not be started (-ENOENT: no such command). ret is to
 * be released on 0. */
int wv_trial_run(const struct wv_trial_options *o, struct wv_trial_end *ret);
/* Bytes of a tail in order; *ret is malloc'ed. How many, or -ENOMEM. */
ssize_t wv_trial_tail_text(const struct wv_trial_tail *t, char **ret);
void wv_trial_end_done(struct wv_trial_end *e);

#endif
