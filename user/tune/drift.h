/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether a running training was tuned once, and what held it back then. */
#ifndef WV_TUNE_DRIFT_H
#define WV_TUNE_DRIFT_H

#include <stddef.h>

struct wv_tuned {
	char folder[512], name[64];
	char expected[24]; /* name of the bottleneck after it was tuned */
	char command[400]; /* words with blanks between them, cut where there is no more room */
};

/*
 * The newest finished tuning below folder (one level) whose command is that of a process: its words
 * are the last ones of cmdline (NUL-separated, as /proc/PID/cmdline; the program by its last
 * component, words with `{` are templates and match any). 0, -ENOENT: there is none, or -errno.
 */
int wv_tuned_find(const char *folder, const char *cmdline, size_t len, struct wv_tuned *ret);

#endif
