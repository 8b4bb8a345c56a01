/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Structured log of the agent's own running (not the evidence log). One JSON object a line on
 * standard error, or native fields where standard error is journald. Every line carries run_id and
 * process.
 */
#ifndef WV_CORE_LOG_H
#define WV_CORE_LOG_H

#include <stdbool.h>
#include <syslog.h>

#include "user/core/cleanup.h"

enum wv_log_format {
	WV_LOG_AUTO, /* journald if standard error is its stream, text on a terminal, else JSON */
	WV_LOG_JSON,
	WV_LOG_TEXT,
	WV_LOG_JOURNAL,
};

/* Sets format and threshold (syslog priority). Before this call: text, LOG_INFO. */
void wv_log_init(enum wv_log_format format, int max_priority);
/* Names that every line carries from now on; strings are copied (truncated at 63 bytes). */
void wv_log_identity(const char *process, const char *run_id);
int wv_log_max_priority(void);
/* Whether lines are text, which people read. */
bool wv_log_is_text(void);

/*
 * Logs one line and returns error, so that `return wv_log_errno(r, "cpu", "attach")` logs and
 * passes on in one step. error: negative errno or 0 (then no errno text). module: who speaks, may
 * be NULL.
 */
int wv_log_full(int priority, int error, const char *module, const char *format, ...)
	_printf_(4, 5);

#define wv_log_errno(error, module, ...) wv_log_full(LOG_ERR, (error), (module), __VA_ARGS__)
#define wv_log_warn(error, module, ...) wv_log_full(LOG_WARNING, (error), (module), __VA_ARGS__)
#define wv_log_info(module, ...) ((void)wv_log_full(LOG_INFO, 0, (module), __VA_ARGS__))
#define wv_log_debug(module, ...) ((void)wv_log_full(LOG_DEBUG, 0, (module), __VA_ARGS__))

#endif
