/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The queue of jobs for the GPUs of one machine. Pure: no I/O, no clock. What is known is the fold
 * of events; what to do next is decided from that alone, so that a crash between any two events
 * loses nothing. An event is to be durable before what it says is done.
 *
 * Invariants, whatever events come: no GPU belongs to two jobs; a job that runs has as many as it
 * asked for, all at once (gang); an event that does not fit changes nothing.
 */
#ifndef WV_GPU_JOBS_SCHED_H
#define WV_GPU_JOBS_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "gpu/topo/topo.h"

#define WV_JOBS_MAX 256
#define WV_JOBS_USERS 64

enum wv_job_state {
	WV_JOB_NONE,
	WV_JOB_QUEUED,
	WV_JOB_RUNNING,
	WV_JOB_PREEMPTING, /* told to checkpoint and end; still has its GPUs */
	WV_JOB_CANCELLING,
	WV_JOB_HELD, /* not started before it is resumed by hand */
	WV_JOB_STATE_N
};

/* Row: (id, name in records). */
#define WV_JOB_EVENTS(X)                                                                           \
	X(SUBMITTED, "submitted")                                                                  \
	X(STARTED, "started")                                                                      \
	X(PREEMPTING, "preempting")                                                                \
	X(PREEMPTED, "preempted")                                                                  \
	X(RESUMED, "resumed")                                                                      \
	X(CANCELLING, "cancelling")                                                                \
	X(CANCELLED, "cancelled")                                                                  \
	X(ENDED, "ended")                                                                          \
	X(LOST, "lost")
enum wv_job_event_type {
#define X(id, name) WV_JOB_EV_##id,
	WV_JOB_EVENTS(X)
#undef X
		WV_JOB_EVENT_N
};
extern const char *const wv_job_event_names[WV_JOB_EVENT_N];

struct wv_job_spec {
	uint64_t estimate_ns; /* of running time; 0: not known */
	uint64_t restart_ns;  /* what a preemption costs even with a checkpoint */
	uint32_t user, gpus;
	int32_t priority;     /* larger goes first */
	uint32_t preemptible; /* 0: never ended for others */
};

struct wv_job_event {
	uint64_t clock_ns,
		id;    /* the queue's clock never goes back: an earlier time counts as now */
	uint64_t gpus; /* STARTED */
	struct wv_job_spec spec; /* SUBMITTED */
	uint32_t type;		 /* enum wv_job_event_type */
	uint32_t flag; /* PREEMPTING: hold it; PREEMPTED: it had checkpointed; LOST: queue it again
			*/
};

struct wv_job {
	uint64_t id, gpus;
	struct wv_job_spec spec;
	uint64_t queued_ns;	/* since when it waits */
	uint64_t started_ns;	/* this time */
	uint64_t checkpoint_ns; /* newest one that is known, or started_ns */
	uint64_t done_ns;	/* running time of former starts that was not lost */
	uint64_t lost_ns;
	uint32_t state, starts, preemptions, hold;
};

struct wv_jobs {
	uint64_t clock_ns, next_id; /* ids begin with 1 */
	uint64_t half_life_ns;	    /* of usage */
	struct {
		double gpu_ns; /* decayed */
		uint32_t user, used;
	} usage[WV_JOBS_USERS];
	struct wv_job job[WV_JOBS_MAX];
};

/* An empty queue. half_life_ns 0: usage is never forgotten. */
void wv_jobs_init(struct wv_jobs *s, uint64_t half_life_ns);
/* 0; -EPROTO: it does not fit what is known; -ENOSPC: the queue is full; -EINVAL. */
int wv_jobs_fold(struct wv_jobs *s, const struct wv_job_event *e);
const struct wv_job *wv_jobs_find(const struct wv_jobs *s, uint64_t id);
/* GPUs that belong to some job. */
uint64_t wv_jobs_used(const struct wv_jobs *s);
/* A hint for the choice of whom to preempt, not part of the fold. */
void wv_jobs_checkpointed(struct wv_jobs *s, uint64_t id, uint64_t clock_ns);

struct wv_jobs_rules {
	uint64_t starve_ns;	  /* who waits longer goes before everybody; 0: never */
	uint64_t grace_ns;	  /* a preempted job has to end */
	uint64_t min_run_ns;	  /* before it may be preempted */
	uint64_t preempt_wait_ns; /* nobody is preempted if the head may start within it */
	unsigned preemptions;	  /* of a job at most; 0: nobody is preempted */
	unsigned reservations;	  /* of waiting jobs: 1 EASY, more: conservative; 0: strict order */
	unsigned user_gpus;	  /* of a user at once; 0: any */
};

/*
 * What should happen at now_ns: STARTED and PREEMPTING events, each to be recorded and folded in
 * this order. usable: GPUs that may be given. How many, at most max; less than all is right, too:
 * it is asked again.
 */
unsigned wv_jobs_decide(const struct wv_jobs *s, const struct wv_topo *t, uint64_t usable,
			const struct wv_jobs_rules *rules, uint64_t now_ns,
			struct wv_job_event *ret, unsigned max);

#endif
