/* SPDX-License-Identifier: GPL-2.0-only */
/* The TPM's quotes that stand in a log (records `checkpoint-anchored`), held against that log. */
#ifndef WV_EVIDENCE_VERIFY_ANCHORS_H
#define WV_EVIDENCE_VERIFY_ANCHORS_H

#include <openssl/evp.h>

#include "user/evidence/verify.h"

/*
 * Each must be a quote by this key, of a checkpoint that this log went through (its leaf hashes are
 * those that wv_verify() holds against the lines), and follow the one before it by the TPM's clock,
 * counts and PCR. What does not is a finding. origin: the log's. 0 or -errno: it could not be done.
 */
int wv_verify_anchors(const char *folder, const char *origin, EVP_PKEY *key,
		      struct wv_verify_report *report);

#endif
