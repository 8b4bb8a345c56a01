/* SPDX-License-Identifier: GPL-2.0-only */
/* Gives up every right that a worker does not need. */
#ifndef WV_EXPORT_SANDBOX_H
#define WV_EXPORT_SANDBOX_H

#include <stddef.h>

/*
 * For the calling process, for good: no capabilities (bounding set included), user nobody if it was
 * root, no new privileges, no children, at most max_fds descriptors, and only the system calls of a
 * server on descriptors that are open already; any other one kills the process and is logged by the
 * kernel. Returns 0 or -errno of a step that did not take.
 */
int wv_sandbox_enter(const char *module, unsigned max_fds);

/* Closes every descriptor above standard error but these. */
int wv_sandbox_close_fds(const int *keep, size_t n_keep);

#endif
