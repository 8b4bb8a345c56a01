/* SPDX-License-Identifier: GPL-2.0-only */
/* The anchor worker: shows the log to witnesses and to the TPM, every evidence.witness_every. */
#ifndef WV_EVIDENCE_ANCHOR_WORKER_H
#define WV_EVIDENCE_ANCHOR_WORKER_H

#include "user/agent/core.h"

bool wv_anchor_wanted(const struct wv_config *config);
/* Until told to stop; an exit status. */
int wv_anchor_run(const struct wv_worker_context *ctx);

#endif
