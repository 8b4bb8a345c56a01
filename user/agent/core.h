/* SPDX-License-Identifier: GPL-2.0-only */
/* The core worker: collect, decide, enforce, record, publish; once a tick. */
#ifndef WV_AGENT_CORE_H
#define WV_AGENT_CORE_H

#include "user/core/bpf.h"
#include "user/flow/policy.h"
#include "user/flow/snapshot.h"
#include "user/flow/turns.h"

struct wv_guard; /* user/agent/guard.h */

/* What the supervisor hands a worker; everything is inherited by fork. */
struct wv_worker_context {
	const struct wv_host *host;
	const struct wv_config *config;
	const struct wv_policy *policy; /* config's budgets included; never NULL */
	const struct wv_paths *paths;
	struct wv_bpf *bpf;
	struct wv_snapshot_map *snapshot;
	const char *run_id;
	bool dry_run;
	int control;		      /* socketpair to the supervisor */
	int listen_fd;		      /* web: the metrics port; -1: none */
	int local_fd;		      /* web: <runtime>/api.sock; -1: none */
	int service_events;	      /* core: what the services worker tells; -1: nobody */
	int api;		      /* web: to the api worker, and back; -1: there is none */
	const struct wv_guard *guard; /* NULL while only the first limits are set */
	struct wv_turns *turns;	      /* core writes, otlp reads; NULL: nobody wants them */
};

/* Messages on the control socket, one byte each. */
enum wv_control {
	WV_CONTROL_READY = 'R',	 /* worker -> supervisor: the first tick is published */
	WV_CONTROL_ALIVE = 'A',	 /* worker -> supervisor: it does its work (workers.def) */
	WV_CONTROL_STOP = 'S',	 /* supervisor -> worker: finish, flush, exit */
	WV_CONTROL_POLICY = 'P', /* supervisor -> core: <runtime>/policy.yaml is another one */
	WV_CONTROL_SWITCH =
		'K',	      /* supervisor -> worker: the kill switch was thrown, see snapshot */
	WV_CONTROL_END = 'E', /* supervisor -> services: stop the services, then exit */
	/* bundle -> supervisor: take the settings that are active now. Answers: they are in force;
	 * they are refused; or WV_CONTROL_STOP, and the next image of the agent has them */
	WV_CONTROL_SETTINGS = 'C',
	WV_CONTROL_IN_FORCE = 'D',
	WV_CONTROL_REFUSED = 'N',
	/* kube -> supervisor: read the policy again. Answers: it is accepted; it is refused, and
	 * <runtime>/policy.refused says why */
	WV_CONTROL_RELOAD = 'L',
	/* kube -> supervisor, while it stops: let go of everything. Answer: WV_CONTROL_IN_FORCE */
	WV_CONTROL_DETACH = 'X',
};

/* Runs until told to stop; returns the worker's exit status. */
int wv_core_run(const struct wv_worker_context *ctx);
/*
 * Applies the unconditional budgets and returns: for a process of its own, while the supervisor
 * still loads the observers. The core worker that follows adopts what it did. Returns an exit
 * status.
 */
int wv_core_first_limits(const struct wv_worker_context *ctx);

#endif
