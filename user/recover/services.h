/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The agent's own supervisor of services: a worker process that starts the services of the policy
 * and starts them again when they die. It owns them as their parent, and they outlive it:
 *  - core may die and come back, that is another process;
 *  - when this worker or the whole agent dies, services go on; whoever comes next knows them from
 *    <runtime>/services.json by process id and start time and watches them through a pidfd;
 *  - a service is started only after it stands in that file: until then its process waits, and it
 *    ends by itself if the worker dies first. So it is never started twice.
 */
#ifndef WV_RECOVER_SERVICES_H
#define WV_RECOVER_SERVICES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "user/core/host.h"
#include "user/core/io.h"
#include "user/flow/policy.h"

struct wv_paths;
struct wv_worker_context; /* user/agent/core.h */

#define WV_SERVICES_FILE "services.json" /* in <runtime> */
#define WV_SERVICES_MAX 256

/* The worker; service_events of its context goes to core, a struct wv_service_event each. Returns
 * its exit status. */
int wv_services_run(const struct wv_worker_context *ctx);
/* Stops what the file knows, in the reverse of the order of start; needs no agent. Their number. */
int wv_services_stop_all(const struct wv_paths *paths, const struct wv_host *host, FILE *report);

/* What core is told, to be recorded. Row: (id, text) */
#define WV_SERVICE_EVENTS(X)                                                                       \
	X(STARTED, "started")                                                                      \
	X(ADOPTED, "adopted")                                                                      \
	X(EXITED, "exited")                                                                        \
	X(FAILED, "could not be started")                                                          \
	X(PAUSED, "pause before the next start")                                                   \
	X(HELD, "not restarted")                                                                   \
	X(STOPPED, "stopped")
enum wv_service_event_type {
#define X(id, text) WV_SERVICE_##id,
	WV_SERVICE_EVENTS(X)
#undef X
		WV_SERVICE_EVENT_N
};
struct wv_service_event {
	uint32_t type; /* enum wv_service_event_type */
	int32_t pid;
	int32_t code, status; /* EXITED: as in siginfo_t; code 0: unknown (it was adopted) */
	int32_t error;	      /* FAILED */
	uint32_t restarts;    /* of this service, by this worker */
	uint64_t wait_ns;     /* PAUSED; STARTED: since it died */
	uint64_t lost;	      /* events that did not fit before this one */
	char name[WV_POLICY_NAME];
	char detail[96];
};

/* services_state.c -------------------------------------------------------------------------------
 */

/* A process that was started as a service. */
struct wv_service_process {
	char name[WV_POLICY_NAME];
	char cgroup[256];
	pid_t pid;
	uint64_t start_ns; /* on CLOCK_BOOTTIME, as the kernel tells it */
};
struct wv_service_list {
	struct wv_service_process list[WV_SERVICES_MAX];
	size_t n; /* in the order in which they were started */
};
/* Of this boot, else empty. 0 or -errno (-EBADMSG: no such file of ours). */
int wv_services_load(struct wv_service_list *l, const struct wv_io *io, int dir,
		     const char *boot_id);
/* Atomically; not synced, for it means nothing after the machine's own end. */
int wv_services_save(const struct wv_service_list *l, const struct wv_io *io, int dir,
		     const char *boot_id);
void wv_services_put(struct wv_service_list *l, const struct wv_service_process *p);
void wv_services_drop(struct wv_service_list *l, const char *name);
/* pidfd of the process if it is still the one that was started; -ESRCH: it is not. */
int wv_service_open(const struct wv_service_process *p);

/* Order of start: each after those that it names. `order` gets n indices; those in a circle come
 * last, as they stand. */
void wv_services_order(const struct wv_service *services, size_t n, uint32_t *order);
/* Pause before a restart: none for the first in a row, then doubled with up to a fifth on top. */
uint64_t wv_service_backoff(const struct wv_service *s, unsigned in_a_row, uint64_t random);

/* service_start.c --------------------------------------------------------------------------------
 */

struct wv_service_start {
	pid_t pid;
	int pidfd, go, status; /* descriptors; -1 */
};
/* Makes the process in its cgroup; it waits. -errno: nothing is left of it. */
int wv_service_prepare(struct wv_service_start *s, const struct wv_service *service,
		       const char *cgroup2);
/* Lets it run; 0 when the program was executed, else -errno of that. Closes go and status. */
int wv_service_go(struct wv_service_start *s);
/* Kills what is left in its cgroup. */
void wv_service_kill_rest(const char *cgroup2, const char *cgroup);
/* Ends a service: SIGTERM, after timeout_ms SIGKILL, and whatever is left in its cgroup. */
void wv_service_end(int pidfd, const char *cgroup2, const char *cgroup, int timeout_ms);

#endif
