/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The newest checkpoint is shown to witnesses, and their cosignatures are kept beside it: what
 * `evidence checkpoint`, `evidence verify --ask` and the anchor worker share.
 */
#ifndef WV_EVIDENCE_WITNESS_SHOW_H
#define WV_EVIDENCE_WITNESS_SHOW_H

#include "user/evidence/witness.h"

#define WV_WITNESS_URLS_MAX 8
#define WV_WITNESS_TEXT_SIZE 512

struct wv_witness_url {
	char url[256];
	struct wv_note_verifier key;
};
struct wv_witness_urls {
	struct wv_witness_url list[WV_WITNESS_URLS_MAX];
	unsigned n;
};

/* A verifier key, or the file whose first line is one. -EINVAL, with words in why. */
int wv_note_verifier_read(const char *text, struct wv_note_verifier *ret,
			  char why[WV_WITNESS_TEXT_SIZE]);
/* Adds "URL VKEY" (or a file with the key). -EINVAL, with words in why. */
int wv_witness_url_add(struct wv_witness_urls *w, const char *text, char why[WV_WITNESS_TEXT_SIZE]);
/* Adds those of the setting evidence.witness: several with commas. */
int wv_witness_urls_add(struct wv_witness_urls *w, const char *setting,
			char why[WV_WITNESS_TEXT_SIZE]);

/* The log's newest checkpoint, and what proofs are made of. */
struct wv_newest {
	char *note;
	size_t text_len; /* the signed text is the first so many bytes of the note */
	struct wv_checkpoint c;
	struct wv_leaf_file leaves;
};
/* dirfd: of the log's folder. 0, or -errno with nothing open (-ENOENT: no checkpoint yet). */
int wv_newest_open(struct wv_newest *n, const struct wv_io *io, int dirfd);
void wv_newest_close(struct wv_newest *n);
/* wv_witness_submit() of it. */
int wv_newest_show(struct wv_newest *n, wv_witness_post_fn post, void *ctx,
		   const struct wv_witness_url *u, struct wv_witness_answer *ret);
/* Replaces `witnessed` by the note with these cosignatures of it, each a line with its newline. */
int wv_newest_keep(const struct wv_newest *n, const struct wv_io *io, int dirfd, const char *lines);

/* What an answer to a checkpoint of `size` records means, in words. */
const char *wv_witness_answer_text(const struct wv_witness_answer *a, const char *url,
				   uint64_t size, char ret[WV_WITNESS_TEXT_SIZE]);

#endif
