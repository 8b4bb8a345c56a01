// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/again.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"

/* Not WAVEOS_*: those are settings. */
#define VARIABLE "WV_AGENT_AGAIN"
/* Of all arguments together (MAX_ARG_STRLEN is the kernel's bound of one). */
#define ARGUMENTS_MAX (1U << 20)

static bool is_lock(int fd, const struct wv_paths *paths)
{
	char path[WV_PATH_SIZE + 16];
	struct stat a, b;

	snprintf(path, sizeof(path), "%s/lock", paths->runtime);
	return fd > 2 && fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

void wv_again_take(struct wv_again *ret, const struct wv_paths *paths)
{
	const char *text = getenv(VARIABLE);
	uint64_t until_ns = 0;
	int reloaded = 0, fd = -1;

	*ret = (struct wv_again){.lock_fd = -1};
	if (text && sscanf(text, "%d %d %" SCNu64, &reloaded, &fd, &until_ns) == 3) {
		ret->reloaded = reloaded != 0;
		ret->until_ns = until_ns;
		if (is_lock(fd, paths) && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
			ret->lock_fd = fd;
		/* the kernel names a process after the path that was executed: "exe" */
		(void)prctl(PR_SET_NAME, "waveos-bpf");
	}
	(void)unsetenv(VARIABLE);
}

/* As they were given: argv may have been put in another order since. */
static int arguments(char **ret_text, char ***ret_argv)
{
	_cleanup_close_ int dir = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t len, n = 0, at = 0;
	char **argv;
	int r = dir < 0 ? -errno
			: wv_io_read_file(&wv_io_system, dir, "cmdline", ARGUMENTS_MAX, &text,
					  &len);

	if (r < 0)
		return r;
	for (size_t i = 0; i < len; i++)
		n += text[i] == '\0';
	if (!n || text[len - 1] != '\0')
		return -EBADMSG;
	argv = calloc(n + 1, sizeof(*argv));
	if (!argv)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++, at += strlen(text + at) + 1)
		argv[i] = text + at;
	*ret_argv = argv;
	*ret_text = TAKE_PTR(text);
	return 0;
}

int wv_again_exec(const struct wv_again *a)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char **argv = NULL;
	char value[64];
	int r = arguments(&text, &argv);

	if (r < 0)
		return r;
	snprintf(value, sizeof(value), "%d %d %" PRIu64, a->reloaded, a->lock_fd, a->until_ns);
	if (setenv(VARIABLE, value, 1) < 0)
		return -errno;
	if (a->lock_fd >= 0 && fcntl(a->lock_fd, F_SETFD, 0) < 0)
		return -errno;
	(void)execv("/proc/self/exe", argv);
	r = -errno;
	(void)unsetenv(VARIABLE);
	if (a->lock_fd >= 0)
		(void)fcntl(a->lock_fd, F_SETFD, FD_CLOEXEC);
	return r;
}
