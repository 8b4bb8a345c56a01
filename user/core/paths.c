// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int wv_paths_init(struct wv_paths *p, const char *root)
{
	size_t len = root ? strlen(root) : 0;

	while (len && root[len - 1] == '/')
		len--;
	/* the longest name below must fit, so that nothing that is built from these is cut */
	if (len > WV_PATH_SIZE / 2)
		return -ENAMETOOLONG;
	snprintf(p->root, sizeof(p->root), "%.*s", (int)len, root ?: "");
	snprintf(p->config, sizeof(p->config), "%.256s/etc/waveos/waveos.yaml", p->root);
	snprintf(p->policy, sizeof(p->policy), "%.256s/etc/waveos/policy.yaml", p->root);
	snprintf(p->state, sizeof(p->state), "%.256s/var/lib/waveos", p->root);
	snprintf(p->runtime, sizeof(p->runtime), "%.256s/run/waveos", p->root);
	snprintf(p->bpffs, sizeof(p->bpffs), "%.256s/sys/fs/bpf", p->root);
	snprintf(p->pins, sizeof(p->pins), "%.256s/sys/fs/bpf/waveos", p->root);
	return 0;
}
