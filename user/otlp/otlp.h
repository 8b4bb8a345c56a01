/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The otlp worker: sends turns of the loop, traces and the log to an OpenTelemetry receiver
 * (docs/tracing.md). Two processes: the worker reads the log, keeps the cursors and cannot open a
 * socket to another machine; who talks HTTP is nobody, and has no file of ours.
 */
#ifndef WV_OTLP_OTLP_H
#define WV_OTLP_OTLP_H

#include "user/agent/core.h"

#define WV_OTLP_STATUS_FILE "otlp.json" /* in <runtime> */

bool wv_otlp_wanted(const struct wv_config *config);
/* Whether core is to time its turns. */
bool wv_otlp_wants_turns(const struct wv_config *config);
/* Until told to stop; an exit status. */
int wv_otlp_run(const struct wv_worker_context *ctx);

#endif
