/* SPDX-License-Identifier: GPL-2.0-only */
/* What container runtimes left on this machine about a container: names and labels. */
#ifndef WV_DOMAIN_PODS_H
#define WV_DOMAIN_PODS_H

#include "user/policy/scope.h"

/*
 * Reads the state file of containerd, CRI-O or Docker about this container, below `root` ("" or a
 * prefix). 0, -ENOENT where no runtime has it (yet), or another -errno; *ret is untouched then.
 */
int wv_pods_read(const char *root, const struct wv_identity *id, struct wv_pod_info *ret);

#endif
