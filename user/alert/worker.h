/* SPDX-License-Identifier: GPL-2.0-only */
/* The alert worker: follows the log, keeps the book, tells sinks. */
#ifndef WV_ALERT_WORKER_H
#define WV_ALERT_WORKER_H

#include "user/agent/core.h"

bool wv_alert_wanted(const struct wv_config *config);
/* Until told to stop; an exit status. */
int wv_alert_run(const struct wv_worker_context *ctx);

#endif
