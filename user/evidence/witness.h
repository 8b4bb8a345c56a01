/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Witnesses (c2sp.org/tlog-witness): another machine remembers the newest checkpoint of a log that
 * it saw and cosigns only what continues it. A log and its checkpoints that are put back or forked
 * together do not go with what the witness remembers.
 */
#ifndef WV_EVIDENCE_WITNESS_H
#define WV_EVIDENCE_WITNESS_H

#include "user/evidence/note.h"
#include "user/evidence/proof.h"

/* In the log's folder: the newest checkpoint that witnesses cosigned, with their signatures. */
#define WV_WITNESSED_NAME "witnessed"
#define WV_WITNESS_LOGS_MAX 64
#define WV_WITNESS_BODY_MAX (WV_NOTE_MAX + (8U << 10))

struct wv_witness {
	const struct wv_io *io;
	int dirfd; /* of its state: a file a log */
	const char *name;
	const struct wv_secret_key *key;
	const struct wv_note_verifier *logs; /* that it takes; the name is the log's origin */
	unsigned n_logs;
};

/*
 * Answers a request to add-checkpoint: an HTTP status, with the body in *ret (to be freed; NULL if
 * it has none). What it cosigns is durable before it answers; requests may come from several
 * processes. State that cannot be read is never taken for none: 500.
 */
int wv_witness_add(const struct wv_witness *w, const char *body, size_t len, char **ret);

/* A request's body, to be freed. proof MAY be NULL where n is 0. */
int wv_witness_request(uint64_t old, const struct wv_hash *proof, unsigned n, const char *note,
		       char **ret);

/* How a request gets to a witness: POSTs the body to URL/add-checkpoint. The HTTP status with the
 * answer's body in *ret (to be freed), or -errno. */
typedef int (*wv_witness_post_fn)(void *ctx, const char *url, const char *body, char **ret);
/* The one by libcurl. ctx is not used. */
int wv_witness_post(void *ctx, const char *url, const char *body, char **ret);
/* Loads and initialises what that needs, for who gives up rights afterwards. 0 or -errno. */
int wv_witness_post_load(void);

enum wv_witness_verdict {
	WV_WITNESS_COSIGNED, /* it vouches for this checkpoint */
	WV_WITNESS_AHEAD,    /* it saw a longer log: this one was put back */
	WV_WITNESS_FORKED,   /* it saw another log of the same origin */
	WV_WITNESS_REFUSED,  /* it does not take this log, or its answer is none */
};
struct wv_witness_answer {
	enum wv_witness_verdict verdict;
	int status;    /* of HTTP */
	uint64_t size; /* that it had seen before */
	uint64_t time; /* of its cosignature, Unix time */
	char *line;    /* the cosignature, to be freed */
};
/*
 * Shows the witness the log's checkpoint and proves that it continues what the witness saw last.
 * 0 with the answer, or -errno if the witness could not be asked or the log not be read.
 */
int wv_witness_submit(wv_witness_post_fn post, void *ctx, const char *url,
		      const struct wv_note_verifier *witness, struct wv_leaf_file *leaves,
		      const char *note, struct wv_witness_answer *ret);

#endif
