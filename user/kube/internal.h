/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of the worker: one thread, one loop (worker.c). */
#ifndef WV_KUBE_INTERNAL_H
#define WV_KUBE_INTERNAL_H

#include "user/core/io.h"
#include "user/core/paths.h"
#include "user/kube/client.h"
#include "user/kube/kube.h"
#include "user/kube/pods.h"
#include "user/kube/policies.h"
#include "user/kube/watch.h"

#define WV_KUBE_FILE "kubernetes.json" /* in <runtime>: how it goes, for people */
#define WV_KUBE_SECOND_NS 1000000000ULL

/* A collection, its request, and whether the log was told that it is lost. */
struct wv_kube_stream {
	struct wv_kube_watch watch;
	struct wv_kube_request request;
	struct wv_kube_worker *worker;
	uint64_t failing_since_ns; /* 0: it works */
	bool lost;
};

struct wv_kube_answer {
	char *text; /* malloc'ed */
	size_t len;
};

struct wv_kube_worker {
	const struct wv_io *io;
	const struct wv_worker_context *ctx;
	char node[254];
	struct wv_kube_client *client;
	int control, signals, runtime;
	bool stopping;
	uint64_t beat_ns, file_ns;
	uint64_t told[3]; /* of the counters that were added to the figures */
	struct wv_kube_pods pods;
	struct wv_kube_names *names; /* NULL: the web worker does without */
	struct wv_kube_policies policies;
	struct wv_kube_stream pod_stream, policy_stream;
	char pod_query[320];
	/* labels of the machine */
	struct wv_kube_request node_request;
	struct wv_kube_answer node_answer;
	uint64_t labels_ns; /* when they are asked for again */
	/* the policy that was handed to the agent */
	int folder;	  /* <state>/kubernetes */
	char *text;	  /* of the file there; NULL: there is none */
	char version[80]; /* of what should be in force; "": nothing of ours */
	bool settled;	  /* the wanted policy is in force, or it is known why not */
	bool judged;	  /* verdicts are those of what is known now */
	/* status */
	struct wv_kube_request tell_request;
	struct wv_kube_answer tell_answer;
	char telling[256]; /* name of the policy whose status is being written */
	bool telling_sum, dirty;
	uint64_t tell_ns; /* when statuses are looked at again */
};

static inline uint64_t wv_kube_now(const struct wv_kube_worker *w)
{
	return w->io->mono_ns(w->io->ctx);
}
static inline uint64_t wv_kube_random(const struct wv_kube_worker *w)
{
	uint64_t r = 0;

	(void)w->io->random(w->io->ctx, &r, sizeof(r));
	return r;
}

/* A record in the device's log; takes the reference of fields. */
void wv_kube_record(struct wv_kube_worker *w, const char *type, struct json_object *fields);
/* Collects an answer of at most a megabyte; for wv_kube_request.take with an answer as context. */
int wv_kube_collect(struct wv_kube_answer *a, const char *bytes, size_t len);

/* hand_over.c: the chosen policy becomes the agent's. */
int wv_kube_hand_over_open(struct wv_kube_worker *w);
void wv_kube_hand_over(struct wv_kube_worker *w);
/* Removes the file only: whoever comes next does not start with it. */
void wv_kube_forget(struct wv_kube_worker *w);
/* tell.c: statuses are written back. */
void wv_kube_tell_open(struct wv_kube_worker *w);
void wv_kube_tell(struct wv_kube_worker *w);
/* When one of the two has something to do again. */
uint64_t wv_kube_tell_when(const struct wv_kube_worker *w);
/* leave.c: whether the agent's DaemonSet is gone; then the supervisor lets go of everything. */
void wv_kube_leave(struct wv_kube_worker *w);
/* worker.c: a byte from the supervisor, waiting at most so long for one of these; 0: none came. */
char wv_kube_await(struct wv_kube_worker *w, const char *wanted, int timeout_ms);

#endif
