/* SPDX-License-Identifier: GPL-2.0-only */
/* What verb `recover` and the hooks of bundles leave for core: {"cgroup", "chain" or "step"} in a
 * file of its own. */
#ifndef WV_RECOVER_REQUEST_H
#define WV_RECOVER_REQUEST_H

#include "user/core/paths.h"

#define WV_REQUEST_DIR "requests" /* in <runtime>, mode 0700 */

/* Asks the running agent: key "chain" or "step", for a cgroup. The request is a file of its own,
 * renamed into place so that it is read whole. 0, -ENOENT where no agent ever ran, or another
 * -errno. */
int wv_request_leave(const struct wv_paths *paths, const char *cgroup, const char *key,
		     const char *value);

#endif
