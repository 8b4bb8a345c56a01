/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The worker processes of a supervisor: started, replaced when they die, killed when they hang,
 * stopped. A worker that dies is replaced at once, after some quick deaths with a growing pause.
 * Nothing here knows what a worker does.
 */
#ifndef WV_AGENT_WORKERS_H
#define WV_AGENT_WORKERS_H

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "user/flow/snapshot.h"

struct wv_workers;

struct wv_worker {
	struct wv_workers *set;
	pid_t pid; /* 0: does not run */
	int control;
	uint64_t started_ns, heard_ns;
	unsigned quick_deaths;
	sd_event_source *child, *io, *restart, *silence;
};

struct wv_workers {
	sd_event *loop;
	struct wv_snapshot *head;	    /* gets process ids and restarts */
	uint64_t silence_ns[WV_WORKER_N];   /* see workers.def; 0: not watched */
	uint64_t memory_bytes[WV_WORKER_N]; /* see workers.def; 0: no bound */
	/* in the child; its answer is the exit status */
	int (*run)(void *userdata, enum wv_worker_id id, int control);
	/* a worker said WV_CONTROL_READY; MAY be NULL */
	void (*ready)(void *userdata, enum wv_worker_id id);
	/* any other byte but WV_CONTROL_ALIVE; MAY be NULL */
	void (*asked)(void *userdata, enum wv_worker_id id, char message);
	void *userdata;
	bool stopping;
	struct wv_worker all[WV_WORKER_N];
};

/*
 * Fills silence_ns and memory_bytes from the table: silence_ns is what the table counts in, and
 * each silence grows by patience_ns, the slowest beat of all.
 */
void wv_workers_init(struct wv_workers *set, uint64_t silence_ns, uint64_t patience_ns);
/* Does nothing if it runs. */
int wv_worker_start(struct wv_workers *set, enum wv_worker_id id);
/* One byte (enum wv_control) to each that runs and hears such things. */
void wv_workers_tell(struct wv_workers *set, char message);
/*
 * Tells each to stop (last_words: per worker, WV_CONTROL_STOP where 0), kills what is left after
 * timeout_us, and ends the loop when all are gone. Once; later calls do nothing.
 */
int wv_workers_stop(struct wv_workers *set, const char last_words[WV_WORKER_N],
		    uint64_t timeout_us);

#endif
