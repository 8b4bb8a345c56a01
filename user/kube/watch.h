/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One collection of objects of an API server, kept up to date: a list, then a watch from there on,
 * and a list again where the watch cannot go on (410 Gone). Without input, output or a clock of its
 * own: who drives it makes the requests that it asks for and tells it what came of them.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
#ifndef WV_KUBE_WATCH_H
#define WV_KUBE_WATCH_H

#include <json-c/json.h>

#include "user/kube/split.h"

#define WV_KUBE_PATH_SIZE 640
/* A watch ends after so long and a random part of it, and the next one begins: no connection lives
 * for ever, and not all machines come back in one second. */
#define WV_KUBE_WATCH_S 300
/* Pause after the first failure; doubled by each further one. */
#define WV_KUBE_PAUSE_FIRST_NS 500000000ULL
#define WV_KUBE_PAUSE_MAX_NS 30000000000ULL

/* What is told of the objects. Each MUST be there. */
struct wv_kube_watch_fns {
	/* A list begins: what is not told until fresh() is not there any more. */
	void (*begin)(void *ctx);
	void (*object)(void *ctx, struct json_object *o);
	void (*gone)(void *ctx, struct json_object *o);
	/* All of a list was told. */
	void (*fresh)(void *ctx);
};

struct wv_kube_watch {
	const char *name;  /* for messages */
	const char *path;  /* "/api/v1/pods" */
	const char *query; /* "fieldSelector=...", "" */
	const struct wv_kube_watch_fns *fns;
	void *ctx;
	/* for people, since the start */
	uint64_t events, lists, relists, too_large, malformed;
	char why[160]; /* of the last failure, "" while it works */
	long status;   /* of the last answer, 0: none came */
	bool fresh;    /* what was told is what there was at some time, by now */
	unsigned failures;
	/* private */
	struct wv_kube_split split;
	bool watching; /* the request that runs, or the next one, is a watch */
	bool running, quorum, expired, broken, told;
	char version[64];
	char message[512]; /* the beginning of an answer that is an error */
	size_t message_len;
	uint64_t due_ns, begun_ns;
};

/* The members above "for people" are set. */
void wv_kube_watch_init(struct wv_kube_watch *w);
void wv_kube_watch_done(struct wv_kube_watch *w);
/* Whether a request is to be made now. ret: its path with the query. */
bool wv_kube_watch_due(struct wv_kube_watch *w, uint64_t now_ns, uint64_t random,
		       char ret[WV_KUBE_PATH_SIZE]);
/* When the next one is, if none runs; UINT64_MAX while one does. */
uint64_t wv_kube_watch_when(const struct wv_kube_watch *w);
/* Bytes of the answer with this status. Negative: the rest is not wanted, end the transfer. */
int wv_kube_watch_take(struct wv_kube_watch *w, long status, const char *bytes, size_t len);
/*
 * The transfer is over. status: 0 where there was no answer. error: why it broke, NULL: it did not.
 * retry_after_s: what the server asked for, 0: nothing.
 */
void wv_kube_watch_over(struct wv_kube_watch *w, long status, const char *error,
			uint64_t retry_after_s, uint64_t now_ns, uint64_t random);
/* Pause before the n-th attempt anew: half of it fixed, half of it random. Pure. */
uint64_t wv_kube_pause_ns(unsigned failures, uint64_t random);

#endif
