/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A TPM's quote as it is checked elsewhere: TPMS_ATTEST and TPMT_SIGNATURE (TCG TPM 2.0 library,
 * part 2, sections 10.12 and 11.3) are read here, the signature is checked by libcrypto. No TPM and
 * no tpm2-tss is needed. Pure.
 */
#ifndef WV_EVIDENCE_QUOTE_H
#define WV_EVIDENCE_QUOTE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/evidence/merkle.h"

/* What a quote says, of one PCR in the bank of SHA-256. */
struct wv_quote {
	struct wv_hash qualifying;
	struct wv_hash pcr_digest; /* SHA-256 of the PCR */
	unsigned pcr;
	uint64_t clock_ms;
	uint32_t resets, restarts;
	bool safe; /* the clock was never higher than this before */
};
/* Reads a message to its last byte. -EPROTO: it is no quote of that kind. */
int wv_quote_parse(const void *message, size_t len, struct wv_quote *ret);
/* Whether the key (ECDSA P-256) signed the message: 0, -EBADMSG if not, -EPROTO if the signature is
 * none (ECDSA with SHA-256). */
int wv_quote_check(EVP_PKEY *key, const void *message, size_t len, const void *signature,
		   size_t signature_len);
/* A public key in PEM, P-256. -EINVAL if it is none. To be freed with EVP_PKEY_free(). */
int wv_quote_key(const char *pem, EVP_PKEY **ret);

/*
 * The PCR over successive anchors: each extends it by its digest, a reset of the TPM sets it to
 * zero. What it was at the first anchor may be unknown; then it cannot be followed.
 */
struct wv_quote_chain {
	bool begun, known;
	struct wv_hash pcr;
	struct wv_quote last;
};
/* NULL if the quote follows, else what does not fit; it goes on from the quote either way. */
const char *wv_quote_follow(struct wv_quote_chain *c, const struct wv_quote *q);

#endif
