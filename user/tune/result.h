/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What follows from a tuning's trials: the result, a report for people and the knobs to use. Pure
 * functions of the tuning: whoever verifies makes them again and compares.
 */
#ifndef WV_TUNE_RESULT_H
#define WV_TUNE_RESULT_H

#include "user/tune/folder.h"

/* A text of result.json, report.md, tuned-knobs.json; malloc'ed. NULL: no memory. */
char *wv_tuning_result_text(const struct wv_tuning *t);
char *wv_tuning_report_text(const struct wv_tuning *t);
char *wv_tuning_knobs_text(const struct wv_tuning *t);
/* Writes the three. 0 or -errno. */
int wv_tuning_conclude(const struct wv_tuning *t);

/*
 * Whether the three files are what follows from the others; finding is called for each that is
 * wrong, with text that is valid for the call. How many; -EINPROGRESS: there is no result yet, and
 * what there is fits together. -errno: it cannot be read.
 */
int wv_tuning_verify(const struct wv_tuning *t, void (*finding)(void *ctx, const char *text),
		     void *ctx);

#endif
