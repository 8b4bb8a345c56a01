/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Signatures as DSSE has them (github.com/secure-systems-lab/dsse, protocol 1.0.0): what is signed
 * is the pre-authentication encoding of a type and the exact bytes, so that a signature over one
 * kind of thing is never one over another. The envelope itself is canonical JSON. Pure.
 */
#ifndef WV_BUNDLE_DSSE_H
#define WV_BUNDLE_DSSE_H

#include "user/bundle/manifest.h"
#include "user/evidence/sign.h"

#define WV_DSSE_MAX (8U << 20)	      /* bytes of an envelope */
#define WV_DSSE_SIGNATURES_MAX 32     /* in one envelope */
#define WV_SIGNATURES_MAX (16U << 10) /* bytes of an envelope without payload */

#define WV_TYPE_MANIFEST "application/vnd.waveos.bundle+json"
#define WV_TYPE_ROOT "application/vnd.waveos.root+json"
#define WV_TYPE_INDEX "application/vnd.waveos.index+json"

struct wv_dsse_signature {
	char key_id[WV_SHA256_HEX];
	unsigned char bytes[WV_SIGNATURE_SIZE];
};

struct wv_dsse {
	char *payload; /* NULL in a detached envelope: the payload is a file of its own */
	size_t len;
	struct wv_dsse_signature signatures[WV_DSSE_SIGNATURES_MAX];
	unsigned n;
};

/* SHA-256 of the key's SubjectPublicKeyInfo (DER), in hex: `openssl pkey -pubin -outform DER |
 * sha256sum`. "" if the library failed. */
void wv_key_id(const struct wv_public_key *key, char ret[WV_SHA256_HEX]);
/* The bytes that are signed; to be freed. -ENOMEM. */
int wv_dsse_pae(const char *type, const void *payload, size_t len, char **ret, size_t *ret_len);
/* Takes an envelope of that type apart; detached: it must have no payload, else it must have one.
 * -EBADMSG, -EFBIG, -ENOMEM. Release with wv_dsse_done(). */
int wv_dsse_parse(const char *text, size_t len, const char *type, bool detached,
		  struct wv_dsse *ret, struct wv_manifest_error *error);
/* The envelope, to be freed; with the payload if there is one. */
int wv_dsse_text(const struct wv_dsse *d, const char *type, char **ret, size_t *ret_len);
/* Adds a signature, or replaces the one of the same key. -ENOSPC: there are too many. */
int wv_dsse_sign(struct wv_dsse *d, const char *type, const void *payload, size_t len,
		 const struct wv_secret_key *key);
void wv_dsse_done(struct wv_dsse *d);

#endif
