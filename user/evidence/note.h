/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * C2SP signed notes (c2sp.org/signed-note) and what the log writes in them: checkpoints
 * (c2sp.org/tlog-checkpoint) with Ed25519 signatures and witnesses' cosignatures
 * (c2sp.org/tlog-cosignature). Pure.
 */
#ifndef WV_EVIDENCE_NOTE_H
#define WV_EVIDENCE_NOTE_H

#include "user/evidence/merkle.h"
#include "user/evidence/sign.h"

#define WV_NOTE_MAX (64U << 10)
#define WV_NOTE_SIGNATURES_MAX 32

/* Who may sign, as a verifier key ("name+hash+base64") tells it. */
enum wv_note_algorithm { WV_NOTE_ED25519 = 0x01, WV_NOTE_COSIGNATURE_V1 = 0x04 };
struct wv_note_verifier {
	char name[WV_KEY_NAME_SIZE * 2];
	uint32_t id; /* first four bytes of SHA-256(name "\n" algorithm key), big endian */
	enum wv_note_algorithm algorithm;
	struct wv_public_key key;
};
/* Computes the id. -EINVAL for a name with white space or '+'. */
int wv_note_verifier_init(struct wv_note_verifier *v, const char *name,
			  enum wv_note_algorithm algorithm, const struct wv_public_key *key);
int wv_note_verifier_parse(const char *vkey, struct wv_note_verifier *ret);
int wv_note_verifier_format(const struct wv_note_verifier *v, char **ret);

/* A log's state: text of three lines. Extension lines of others are accepted and kept out. */
#define WV_ORIGIN_SIZE 128
struct wv_checkpoint {
	char origin[WV_ORIGIN_SIZE];
	uint64_t size;
	struct wv_hash root;
};
/* The note text, newline at the end; to be freed. */
int wv_checkpoint_text(const struct wv_checkpoint *c, char **ret);
int wv_checkpoint_parse(const char *text, size_t len, struct wv_checkpoint *ret);

/* Text plus one signature of the log's key: a whole note, to be freed. */
int wv_note_sign(const char *text, const char *name, const struct wv_secret_key *key, char **ret);
/* A witness's line for the note's text ("\xe2\x80\x94 name base64\n"), made at unix_s; to be freed.
 */
int wv_note_cosign(const char *text, const char *name, const struct wv_secret_key *key,
		   uint64_t unix_s, char **ret_line);
/*
 * Checks a note against n verifiers. Each good signature sets bit i of *ret_signed (i < 64) and,
 * for cosignatures, times[i] (MAY be NULL). Signatures of unknown keys are ignored; one of a known
 * key that does not verify is -EBADMSG; -EPROTO if it is no note. *ret_text_len: the signed text is
 * the first so many bytes.
 */
int wv_note_open(const char *note, size_t len, const struct wv_note_verifier *verifiers, unsigned n,
		 uint64_t *ret_signed, uint64_t *times, size_t *ret_text_len);

#endif
