/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How far long work is, on a terminal at standard error: what was read, how fast, and about how
 * long it still takes. A process of its own looks at what this one has read and written
 * (/proc/PID/io), so the work itself knows nothing of it. Without a terminal there is none, and
 * nothing at all for work that is over within half a second.
 */
#ifndef WV_CMD_PROGRESS_H
#define WV_CMD_PROGRESS_H

#include <stdint.h>
#include <sys/types.h>

struct wv_progress {
	pid_t pid; /* <= 0: none */
};

/* what: "evidence verify". path: what will be read, a file or a folder with all below; NULL: not
 * known, so no remaining time is told. End with wv_progress_end(). */
struct wv_progress wv_progress_begin(const char *what, const char *path);
/* Takes the line away. */
void wv_progress_end(struct wv_progress *p);

/* The line without its newline. total_bytes 0: not known. For tests. */
#define WV_PROGRESS_LINE 160
const char *wv_progress_line(char buf[WV_PROGRESS_LINE], const char *what, uint64_t done_bytes,
			     uint64_t total_bytes, uint64_t elapsed_ns);

#endif
