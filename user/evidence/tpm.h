/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Anchors in a TPM 2.0: the chip extends a PCR by a digest and signs that, together with its own
 * clock and its count of resets, by a key that never leaves it. What is anchored existed then, and
 * on this machine; a log that was put back has newer anchors than itself.
 */
#ifndef WV_EVIDENCE_TPM_H
#define WV_EVIDENCE_TPM_H

#include <stddef.h>
#include <stdint.h>

#include "user/evidence/merkle.h"

/* of the application, by the PC client platform's profile */
#define WV_TPM_PCR 23
#define WV_TPM_BLOB_MAX 1024

struct wv_tpm_quote {
	/* TPMS_ATTEST and TPMT_SIGNATURE as they are marshalled: what tpm2_checkquote reads */
	unsigned char message[WV_TPM_BLOB_MAX], signature[WV_TPM_BLOB_MAX];
	size_t message_len, signature_len;
	uint64_t clock_ms;	   /* of the TPM, never set back */
	uint32_t resets, restarts; /* since it was cleared; since the last reset */
	char *key_pem;		   /* public attestation key, ECDSA P-256; to be freed */
};

/*
 * Extends the PCR by the digest and quotes it with the digest as qualifying data. tcti: how to
 * reach the TPM, as tpm2-tss names it ("device:/dev/tpmrm0"); NULL: as it finds one. -ENODEV: no
 * TPM answers; -ENOPKG: tpm2-tss is not installed; -EIO: the TPM refuses. All have been logged.
 */
int wv_tpm_anchor(const char *tcti, const struct wv_hash *digest, struct wv_tpm_quote *ret);

#endif
