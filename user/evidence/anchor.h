/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Anchors the log outside of itself as it grows: witnesses are shown its newest checkpoint, and the
 * machine's TPM signs it. What a process does in a round of these; that it has rounds and which
 * rights is anchor_worker.c's.
 */
#ifndef WV_EVIDENCE_ANCHOR_H
#define WV_EVIDENCE_ANCHOR_H

#include <json-c/json.h>

#include "user/evidence/tpm.h"
#include "user/evidence/witness_show.h"

/* Fields of the record `checkpoint-anchored`. text: what was signed of the checkpoint. */
struct json_object *wv_anchor_fields(const struct wv_checkpoint *c, const char *text,
				     const struct wv_tpm_quote *q);
/* The digest that the TPM is given for a checkpoint's text. */
void wv_anchor_digest(const char *text, size_t len, struct wv_hash *ret);

enum wv_anchor_state {
	WV_ANCHOR_GOOD,
	WV_ANCHOR_LOST,	    /* it does not answer, or not as it should */
	WV_ANCHOR_CONFLICT, /* it saw a longer or another log */
};
/* A witness, or the TPM. */
struct wv_anchor_target {
	enum wv_anchor_state state;
	uint64_t since_ns, next_ns; /* monotonic: in this state; when it is its turn */
	unsigned failures;
	bool has;		   /* the newest checkpoint */
	struct wv_checkpoint last; /* that it has */
	char *line;		   /* its cosignature of a->c */
};

struct wv_anchor {
	const struct wv_io *io;
	const char *state;  /* folder */
	const char *run_id; /* for records */
	uint64_t every_ns;
	const struct wv_witness_urls *witnesses;
	/* -ECANCELED of either ends the round */
	wv_witness_post_fn post;
	int (*quote)(void *ctx, const struct wv_hash *digest, struct wv_tpm_quote *ret); /* MAY */
	void *ctx;
	/* private */
	struct wv_checkpoint c; /* newest that was seen */
	struct wv_anchor_target targets[WV_WITNESS_URLS_MAX], tpm;
	uint64_t tpm_own; /* a log of this size differs from what the TPM has by its record only */
};

/*
 * Asks those whose turn it is and who have not the newest checkpoint; what they answer is kept,
 * recorded and logged. *ret_wait_ns: until it is somebody's turn again. 0 or -ECANCELED; what else
 * goes wrong is a matter of the next rounds.
 */
int wv_anchor_round(struct wv_anchor *a, uint64_t *ret_wait_ns);
void wv_anchor_done(struct wv_anchor *a);

#endif
