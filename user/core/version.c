// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/io.h"
#include "user/core/sha256.h"
#include "user/core/thread.h"
#include "user/flow/policy.h"

/* The running executable; it does not change while it runs. */
static struct {
	char hex[WV_SHA256_HEX];
	int error;
	struct wv_thread thread; /* that reads it, while reading */
	bool reading, done;
} executable;

static int executable_hex(char ret[WV_SHA256_HEX])
{
	/* the running file itself, even if its name now belongs to a newer one */
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct wv_sha256 sum;
	char buf[16384];

	if (fd < 0)
		return -errno;
	wv_sha256_init(&sum);
	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		wv_sha256_add(&sum, buf, (size_t)n);
	}
	wv_sha256_end(&sum, ret);
	return 0;
}

static void *read_executable(void *arg)
{
	executable.error = executable_hex(executable.hex);
	return arg;
}

void wv_version_begin(void)
{
	if (!executable.done && !executable.reading)
		executable.reading =
			wv_thread_start(&executable.thread, read_executable, NULL) == 0;
}

/* Waits for the thread, or does its work. An error is no answer: the next call tries again. */
static int executable_known(void)
{
	if (executable.reading)
		wv_thread_join(&executable.thread);
	else if (!executable.done)
		(void)read_executable(NULL);
	executable.reading = false;
	executable.done = executable.error == 0;
	return executable.error;
}

/*
 * Where the executable is a file of an installed bundle, <bundles>/<id>/files/..., whose manifest
 * has that id and names the executable's hash: the bundle's id. Else nothing is changed.
 */
static void bundle_of_executable(const char *executable_hex_digits, char ret[WV_SHA256_HEX])
{
	_cleanup_free_ char *manifest = NULL;
	char path[4096], hex[WV_SHA256_HEX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	char *files, *id;
	size_t len;

	if (n <= 0)
		return;
	path[n] = '\0';
	files = strstr(path, "/files/");
	if (!files || files - path < WV_SHA256_HEX)
		return;
	strcpy(files, "/manifest.json");
	id = files - (WV_SHA256_HEX - 1);
	if (id[-1] != '/' ||
	    wv_io_read_file(&wv_io_system, AT_FDCWD, path, 1U << 20, &manifest, &len) < 0)
		return;
	wv_sha256_hex(manifest, len, hex);
	if (strncmp(id, hex, WV_SHA256_HEX - 1) == 0 && strstr(manifest, executable_hex_digits))
		memcpy(ret, hex, WV_SHA256_HEX);
}

int wv_version_get(const struct wv_config *config, const struct wv_policy *policy,
		   struct wv_version *ret)
{
	struct wv_version v = {.waveos = WV_VERSION};
	char hex[WV_SHA256_HEX];
	int r;

	if (config && *config->digest)
		memcpy(hex, config->digest, sizeof(hex));
	else
		wv_sha256_hex("", 0, hex);
	if (policy && policy->name[0])
		snprintf(v.policy, sizeof(v.policy), "%.60s@%.12s", policy->name, policy->digest);
	else
		snprintf(v.policy, sizeof(v.policy), "config@%.12s", hex);
	r = executable_known();
	memcpy(v.bundle_id, executable.hex, sizeof(executable.hex));
	if (r == 0)
		bundle_of_executable(executable.hex, v.bundle_id);
	*ret = v;
	return r;
}
