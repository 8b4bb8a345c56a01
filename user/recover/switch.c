// SPDX-License-Identifier: GPL-2.0-only
#include "user/recover/switch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/module.h"

bool wv_recover_armed(const struct wv_agent *agent)
{
	return !agent->disarmed || !atomic_load_explicit(agent->disarmed, memory_order_relaxed);
}

bool wv_recover_released(const struct wv_agent *agent)
{
	return !wv_recover_armed(agent) && agent->config->kill_switch_release;
}

void wv_switch_folders(const struct wv_paths *paths, char runtime[WV_PATH_SIZE],
		       char config[WV_PATH_SIZE])
{
	char *slash;

	snprintf(runtime, WV_PATH_SIZE, "%s", paths->runtime);
	snprintf(config, WV_PATH_SIZE, "%s", paths->config);
	slash = strrchr(config, '/');
	if (slash)
		*slash = '\0';
}

bool wv_switch_is_on(const struct wv_paths *paths, char *which, size_t size)
{
	char folders[2][WV_PATH_SIZE], path[WV_PATH_SIZE + 16];

	wv_switch_folders(paths, folders[0], folders[1]);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%.511s/" WV_SWITCH_FILE, folders[i]);
		/* a file that may not be looked at counts: rather do nothing */
		if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno != EACCES)
			continue;
		if (which)
			snprintf(which, size, "%s", path);
		return true;
	}
	return false;
}

int wv_switch_toggle(const struct wv_paths *paths, bool *ret_on)
{
	char path[WV_PATH_SIZE + 16];
	int r = 0;

	snprintf(path, sizeof(path), "%s/" WV_SWITCH_FILE, paths->runtime);
	if (wv_switch_is_on(paths, NULL, 0)) {
		if (unlink(path) < 0 && errno != ENOENT)
			r = -errno;
	} else {
		_cleanup_close_ int fd =
			open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

		if (fd < 0)
			r = -errno;
	}
	*ret_on = wv_switch_is_on(paths, NULL, 0);
	return r;
}
