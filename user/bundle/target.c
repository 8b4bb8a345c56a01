// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

int wv_bundle_here(struct wv_bundle_here *ret, const struct wv_io *io, const struct wv_paths *paths,
		   const char *environment, bool create)
{
	struct wv_secret_key key;
	struct utsname u;
	int r = wv_device_key(io, paths, create, &key, ret->device);

	wv_secret_key_wipe(&key);
	if (r == -ENOENT || (r == -EACCES && !create))
		ret->device[0] = '\0';
	else if (r < 0)
		return r;
	ret->arch[0] = '\0';
	if (uname(&u) == 0)
		snprintf(ret->arch, sizeof(ret->arch), "%.15s", u.machine);
	ret->target = (struct wv_bundle_target){.device = ret->device,
						.environment = environment,
						.arch = ret->arch,
						.waveos = WV_VERSION};
	return 0;
}
