/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One signal (traces or logs) on its way: from the log behind a durable cursor, through one request
 * at a time, to the receiver. No network here: who has it takes the request that wv_otlp_fill()
 * made and gives back the answer.
 *
 * Invariant: the cursor <state>/follow/otlp-<signal> is behind everything that no receiver has
 * taken yet, and is moved only when it has. So each record is sent at least once. Another one,
 * otlp-<signal>-open, is where the oldest trace began that is not ended: from there the tracker is
 * made again after a restart.
 */
#ifndef WV_OTLP_PIPE_H
#define WV_OTLP_PIPE_H

#include "user/core/io.h"
#include "user/evidence/follow.h"
#include "user/otlp/turn_spans.h"

/* A request is closed when it has so many bytes; it has a record's more at most. */
#define WV_OTLP_BODY_BYTES (512U << 10)
#define WV_OTLP_BODY_MAX (4U << 20)

struct wv_otlp_counts {
	uint64_t requests, failures; /* failures: no answer, or one that means later */
	uint64_t sent;		     /* spans or log records that were taken */
	uint64_t rejected;	     /* ... that the receiver said it did not take, of a request
					that it took */
	uint64_t refused;	     /* records whose request it will never take */
	uint64_t missed;	     /* records that were retired before they were read */
	uint64_t unreadable;	     /* lines that are no records */
	uint64_t turns, turns_dropped;
};

/* What came of a request. */
struct wv_otlp_answer {
	int error;   /* -errno: there was no answer */
	long status; /* HTTP */
	uint64_t retry_after_s, rejected;
	char text[160]; /* for people: what went wrong */
};

struct wv_otlp_pipe_options {
	const struct wv_io *io;
	const char *state, *run_id;
	bool logs;
	enum wv_otlp_encoding encoding;
	uint64_t batch; /* records in a request */
	const struct wv_otlp_resource *resource;
	struct wv_otlp_turn_list *turns; /* of traces; MAY be NULL */
	uint64_t first;			 /* record to begin with where there is no cursor */
};

struct wv_otlp_pipe {
	struct wv_otlp_pipe_options options;
	struct wv_follow *follow, *open;
	struct wv_otlp_tracker *tracker;
	struct wv_text body; /* of the request */
	struct wv_otlp_writer writer;
	bool ready;	   /* a request is whole */
	uint64_t items;	   /* spans or log records in it */
	unsigned records;  /* read for it */
	unsigned turns;	   /* of core, in it */
	uint64_t seq;	   /* newest record that it covers; 0: none */
	uint64_t missed;   /* what counts.missed has of those that the follower counted */
	uint64_t limit;	   /* records of a request; fewer than `batch` while one is refused */
	unsigned failed;   /* in a row */
	uint64_t retry_ns; /* monotonic: not before */
	struct wv_otlp_counts counts;
	char error[200]; /* last one; "" since a request was taken */
};

/* 0 or -errno. All of options but the struct itself must outlive it. */
int wv_otlp_pipe_open(struct wv_otlp_pipe *p, const struct wv_otlp_pipe_options *options);
void wv_otlp_pipe_close(struct wv_otlp_pipe *p);
/*
 * Makes a request of what there is, unless one is waiting. 1: p->body is to be sent (now, or at
 * p->retry_ns if that is later), 0: there is nothing, -errno: the log cannot be read.
 */
int wv_otlp_fill(struct wv_otlp_pipe *p);
/* Takes the answer: the request is done, or to be sent again at p->retry_ns. */
void wv_otlp_answered(struct wv_otlp_pipe *p, const struct wv_otlp_answer *a);

/* The first record of this run, or of what comes, where it is not told yet: for `first`. */
uint64_t wv_otlp_first(const struct wv_io *io, const char *state, const char *run_id);

#endif
