/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The worker that runs jobs on the GPUs of this machine. What it knows is the fold of its journal
 * (gpu/jobs/sched.h), so that it may be killed at any instant. A job belongs to a process of its
 * own, its keeper, which outlives the agent, waits for it and writes down how it ended. Jobs
 * inherit what bounds the worker: so it has no bound of memory (workers.def), and keeps its rights.
 *
 * <state>/gpu-jobs, of root alone:
 *   journal.jsonl  one event a line, durable before what it says is done
 *   <id>.task      what is to run, as whom
 *   <id>.lock      flock'ed by the keeper for as long as it lives
 *   <id>.process   who the keeper and the job's first process are
 *   <id>.exit      how the job ended, written before the keeper ends
 */
#ifndef WV_JOBS_JOBS_H
#define WV_JOBS_JOBS_H

#include <json-c/json.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "gpu/jobs/sched.h"
#include "user/agent/core.h"
#include "user/evidence/lines.h"

#define WV_JOBS_SOCKET "jobs.sock" /* in <runtime> */
#define WV_JOBS_FOLDER "gpu-jobs"  /* in <state> */
#define WV_JOBS_MESSAGE_MAX (96U << 10)
#define WV_JOBS_EXIT_CHECKPOINTED 75 /* EX_TEMPFAIL: it saved its state, start it again */
#define WV_JOBS_PRIORITY_MAX 100
/* Jobs of one user that are not ended: one user cannot fill the queue. */
#define WV_JOBS_OF_USER 64
#define WV_JOBS_ENDED 64 /* remembered */
/* Connections at once; a further one takes the place of the oldest. */
#define WV_JOBS_CLIENTS 32

/* gpu.jobs */
bool wv_jobs_wanted(const struct wv_config *config);
/* In its process; its exit status. */
int wv_jobs_run(const struct wv_worker_context *ctx);

/* record.c, pure ------------------------------------------------------------------------------- */

/* How a job's first process ended. */
struct wv_job_exit {
	int status;    /* exit code; -1: it was killed by `signal` */
	int signal;    /* 0: none */
	char why[160]; /* why it could not be started; "": it was */
};

/* What the journal says beside the event itself, for people. */
struct wv_job_note {
	struct wv_job_exit exit; /* ENDED, CANCELLED, PREEMPTED */
	uint32_t by;		 /* user who asked; of PREEMPTING, RESUMED, CANCELLING */
	uint64_t wall_ns;
};

/* A line of the journal without its newline; to be freed. NULL: no memory. */
char *wv_job_event_line(const struct wv_job_event *e, const struct wv_job_note *note);
/* -EBADMSG: it is no such line; the outputs are untouched then. */
int wv_job_event_parse(const char *line, struct wv_job_event *ret, struct wv_job_note *ret_note);

/* base.c: a line that stands for all before it. To be freed; NULL: no memory. */
char *wv_jobs_base_line(const struct wv_jobs *s);
/* -EBADMSG: it is no such line, or cannot be true; *s (with its half-life) is untouched then. */
int wv_jobs_base_parse(const char *line, struct wv_jobs *s);

/*
 * Checks what a client wants to run and takes it over, with nothing in it that was not looked at:
 * argv, env, cwd, output, checkpoint_dir, name, umask. -EINVAL: `why` says what is wrong.
 */
int wv_job_task_take(struct json_object *asked, struct json_object **ret, char why[160]);
/* gpus, priority, estimate_ns, restart_ns of a request. -EINVAL, -EPERM (priority) with `why`. */
int wv_job_spec_take(struct json_object *asked, uint32_t user, struct wv_job_spec *ret,
		     char why[160]);
/* "" if there is none. */
const char *wv_job_text(struct json_object *o, const char *name);
int64_t wv_job_number(struct json_object *o, const char *name, int64_t otherwise);
/* What becomes of a job that ended so: PREEMPTED with its flag, CANCELLED or ENDED. */
void wv_job_verdict(const struct wv_job *j, const struct wv_job_exit *exit,
		    struct wv_job_event *ret);

/* pin.c ---------------------------------------------------------------------------------------- */

/* "0-3,8" -> set. -EINVAL. Pure. */
int wv_cpus_parse(const char *text, cpu_set_t *ret);
/* set -> "0-3,8"; "" for none. -ENOBUFS. Pure. */
int wv_cpus_print(const cpu_set_t *set, char *buf, size_t size);

struct wv_pin {
	char cgroup[384], cpuset[384]; /* folders: of the v2 hierarchy, of v1's cpuset; "": none */
	char cpus[128];		       /* "": all */
	const char *how;	       /* "cpuset", "affinity", "none" */
};
/* Makes cgroups `name` and says how a process will be kept on these CPUs ("": on any). */
void wv_pin_make(const struct wv_host *host, const char *name, const char *cpus,
		 struct wv_pin *ret);
/* Puts a process there, which has not started anything yet. */
void wv_pin_enter(struct wv_pin *pin, pid_t pid);
/* Kills what is left there; removes the cgroups if nothing is. */
void wv_pin_kill(const char *cgroup, const char *cpuset);
void wv_pin_remove(const char *cgroup, const char *cpuset);

/* keeper.c ------------------------------------------------------------------------------------- */

struct wv_keep {
	const struct wv_worker_context *ctx;
	const struct wv_topo *topo;
	int dir; /* the folder */
	uint64_t id, gpus;
	unsigned start; /* number of this start, from 1 */
	struct json_object *task;
};
/* Starts a keeper, which starts the job. 0 or -errno: nothing was started then. */
int wv_keeper_start(const struct wv_keep *k);

/* The processes of a job, as its keeper wrote them down. */
struct wv_job_process {
	unsigned start; /* which start of the job it was */
	pid_t pid; /* of the job's first process, also its process group; 0: it does not live */
	char cgroup[384], cpuset[384], cpus[128], how[16];
};
/* 0, -ENOENT: not written yet. */
int wv_job_process_read(int dir, uint64_t id, const char *boot_id, struct wv_job_process *ret);
/* 0; -ENOENT: it has not ended, or not this start. */
int wv_job_exit_read(int dir, uint64_t id, unsigned start, struct wv_job_exit *ret);
/* 1: a keeper lives; 0: none does; -errno. */
int wv_keeper_lives(int dir, uint64_t id);
/* group: the process group and what is in its cgroup, else its first process. */
void wv_job_signal(const struct wv_job_process *p, int signal, bool group);

/* worker ----------------------------------------------------------------------------------------
 */

struct wv_jobs_live {
	uint64_t id;
	struct json_object *task; /* NULL: it could not be read */
	uint64_t deadline_ns;	  /* of the next signal, on CLOCK_MONOTONIC */
	unsigned told;		  /* signals that were sent since it is to end */
};

struct wv_jobs_past {
	uint64_t id;
	uint32_t type; /* ENDED, CANCELLED, LOST */
	struct wv_job_spec spec;
	struct wv_job_note note;
};

struct wv_jobs_client {
	struct wv_jobs_worker *worker;
	sd_event_source *source;
	int fd;
};

struct wv_jobs_worker {
	const struct wv_worker_context *ctx;
	const struct wv_io *io;
	sd_event *loop;
	sd_event_source *turn;
	int dir, socket, inotify;
	struct wv_lines journal;
	bool stale; /* it could not be begun anew */
	struct wv_jobs *state, *scratch;
	struct wv_topo *topo;
	struct wv_jobs_rules rules;
	uint64_t clock_ns; /* the queue's time less CLOCK_MONOTONIC */
	struct wv_jobs_live live[WV_JOBS_MAX];
	struct wv_jobs_past past[WV_JOBS_ENDED]; /* ring */
	unsigned n_past;
	struct wv_jobs_client client[WV_JOBS_CLIENTS];
	unsigned next_client;
};

/* log.c: records an event durably, then folds it. -EPROTO: it does not fit. */
int wv_jobs_note(struct wv_jobs_worker *w, struct wv_job_event *e, const struct wv_job_note *given);
/* Opens the journal and folds what is in it. */
int wv_jobs_recall(struct wv_jobs_worker *w, const char *folder);
struct wv_jobs_live *wv_jobs_live_of(struct wv_jobs_worker *w, uint64_t id);
uint64_t wv_jobs_now(const struct wv_jobs_worker *w);
/* Name of a job's file. */
const char *wv_jobs_file(uint64_t id, const char *kind, char buf[48]);

/* worker.c: looks who ended, who is to be told to end, who may start. */
void wv_jobs_turn(struct wv_jobs_worker *w);
/* answer.c: what to answer a request of this user; to be put. */
struct json_object *wv_jobs_answer(struct wv_jobs_worker *w, struct json_object *request,
				   const struct ucred *who, const gid_t *groups, size_t n_groups);

#endif
