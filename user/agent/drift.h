/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WV_AGENT_DRIFT_H
#define WV_AGENT_DRIFT_H

#include "user/core/module.h"
#include "user/evidence/drift.h"

/* Records `config-drift` for each difference to the run before; run_dir: of this run, whose
 * run_meta.json is written. counts: how many of each kind. */
void wv_drift_record(struct wv_agent *agent, const char *run_dir, uint32_t counts[WV_DRIFT_N]);

#endif
