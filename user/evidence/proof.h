/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Proofs that can be checked without the log: a record and its audit path under a signed
 * checkpoint, or two checkpoints and the proof that the one is a prefix of the other. As text they
 * are canonical JSON (docs/evidence.md).
 */
#ifndef WV_EVIDENCE_PROOF_H
#define WV_EVIDENCE_PROOF_H

#include "user/evidence/note.h"

/* Leaf hashes of a log's folder, as wv_merkle_leaves_fn wants them. */
struct wv_leaf_file {
	int fd; /* of `hashes` */
};
/* 0 or -errno; to be closed with wv_leaf_file_close(). */
int wv_leaf_file_open(struct wv_leaf_file *f, int dirfd);
void wv_leaf_file_close(struct wv_leaf_file *f);
int wv_leaf_file_read(void *leaf_file, uint64_t first, size_t n, struct wv_hash *ret);

/*
 * Proof for record `seq` under a note (the log's newest checkpoint), as text to be freed. -ERANGE:
 * the note has not so many records; -EBADMSG: record, leaf hashes and checkpoint do not fit;
 * -EPROTO: it is no checkpoint.
 */
int wv_proof_inclusion(struct wv_leaf_file *leaves, uint64_t seq, const char *record, size_t len,
		       const char *note, size_t note_len, char **ret);
/* Proof that the log of `old` records is a prefix of that of `size`. The notes MAY be NULL; then
 * only the roots stand in it, and nobody has signed them. */
int wv_proof_consistency(struct wv_leaf_file *leaves, uint64_t old, uint64_t size,
			 const char *old_note, const char *note, char **ret);

enum wv_proof_kind { WV_PROOF_INCLUSION, WV_PROOF_CONSISTENCY };
struct wv_proof_facts {
	enum wv_proof_kind kind;
	uint64_t old, size; /* records; old: of the record: its seq */
	char *record;	    /* to be freed; NULL for consistency */
	char why[128];	    /* what does not hold */
};
/* 0 if it holds under the first verifier's signature; -EBADMSG if not, -EPROTO if it is no proof,
 * with *ret filled as far as it was read. Release with wv_proof_facts_done(). */
int wv_proof_check(const char *text, size_t len, const struct wv_note_verifier *verifiers,
		   unsigned n, struct wv_proof_facts *ret);
void wv_proof_facts_done(struct wv_proof_facts *f);

#endif
