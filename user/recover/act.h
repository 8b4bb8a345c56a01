/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The actions of recovery, for real. All of them are idempotent: an agent that died in one asks for
 * it again (resumed), and what was done already is found done. They may wait, so they run in a
 * process of their own (struct wv_actor), which dies with the core worker.
 */
#ifndef WV_RECOVER_ACT_H
#define WV_RECOVER_ACT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "user/core/host.h"
#include "user/flow/policy.h"

#define WV_ACT_PROTECT_MAX 6
#define WV_ACT_PATH 640

struct wv_act_request {
	enum wv_act act;
	const struct wv_host *host;
	uint64_t key;
	char path[256];		      /* of the cgroup, below its hierarchy's root */
	char service[WV_POLICY_NAME]; /* of the agent's own supervisor; "": none */
	uint64_t intent_boot_ns;      /* CLOCK_BOOTTIME: what started later is not meant */
	uint64_t timeout_ns;
	bool resumed;
	pid_t protect[WV_ACT_PROTECT_MAX]; /* the agent's own; 0: none */
};

struct wv_act_result {
	int error;	  /* 0, or -errno */
	uint32_t count;	  /* processes that were signalled */
	char how[96];	  /* with what it was done */
	char detail[160]; /* why not, or what to know */
};

/* Each fills *ret (zeroed by the caller); ret->error is also returned. */
int wv_act_kill(const struct wv_act_request *q, struct wv_act_result *ret);
int wv_act_freeze(const struct wv_act_request *q, bool freeze, struct wv_act_result *ret);
int wv_act_restart(const struct wv_act_request *q, struct wv_act_result *ret);
int wv_act_reboot(const struct wv_act_request *q, struct wv_act_result *ret);
/* Restarts a unit through systemd and waits for the job. since_mono_ns != 0: not if it became
 * active after that. */
int wv_act_restart_unit(const char *unit, uint64_t since_mono_ns, uint64_t timeout_ns,
			struct wv_act_result *ret);
/* StartUnit or StopUnit, and waits for the job. */
int wv_act_unit(const char *method, const char *unit, uint64_t timeout_ns,
		struct wv_act_result *ret);
/* ActiveState of a unit and when it became active (CLOCK_MONOTONIC, 0: it is not). 0 or -errno. */
int wv_unit_state(const char *unit, char *ret_state, size_t size, uint64_t *ret_since_mono_ns);
/* Asks systemd for an orderly reboot. */
int wv_act_systemd_reboot(struct wv_act_result *ret);

/* Sets ret's error and detail, and returns the error. */
int wv_act_fail(struct wv_act_result *ret, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* act_walk.c ------------------------------------------------------------------------------------
 */

/* Folder of the cgroup in the hierarchy that holds its processes. 0 or -errno. */
int wv_act_folder(const struct wv_act_request *q, char *buf, size_t size);
/*
 * Calls fn for every process (thread group) in the folder and below, also for one whose first
 * thread has ended; a process may be told twice. fn returns negative to stop. 0 or -errno.
 */
int wv_act_processes(const char *folder, int (*fn)(void *ctx, pid_t pid), void *ctx);
/* -EPERM with a detail if the cgroup is a root or has PID 1 or the agent in it. */
int wv_act_refuse_own(const struct wv_act_request *q, const char *folder,
		      struct wv_act_result *ret);
/* Start of a process on CLOCK_BOOTTIME, rounded down to the kernel's tick (10 ms); 0: gone. */
uint64_t wv_process_start_ns(pid_t pid);
/* Its parent (proc(5)); 0: there is no such process, or it has none. */
pid_t wv_process_parent(pid_t pid);
/*
 * One round of ending the children of this thread that are in another session than it: of a
 * subreaper, what a process that it runs left behind, however that tried to hide. How many are not
 * gone yet.
 */
unsigned wv_process_end_others(void);
uint64_t wv_boot_ns(void);

/* actor.c ---------------------------------------------------------------------------------------
 */

struct wv_actor {
	pid_t pid; /* 0: none */
	int fd;	   /* readable when it is done */
};

/* Whether the action takes a process of its own. */
bool wv_actor_takes(enum wv_act act);
int wv_actor_start(struct wv_actor *a, const struct wv_act_request *q);
/* After fd became readable, or to break off (error -ETIMEDOUT then). Reaps it. */
void wv_actor_finish(struct wv_actor *a, struct wv_act_result *ret);

#endif
