// SPDX-License-Identifier: GPL-2.0-only
#include "user/gpu/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/core/cleanup.h"

/* The first of the paths, from the executable's folder on, that is there. */
static void find(const char *folder, const char *const *paths, size_t n, char ret[512])
{
	char path[1024], *whole;

	ret[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, paths[i]);
		whole = realpath(path, NULL);
		if (!whole)
			continue;
		if (strlen(whole) < 512)
			strcpy(ret, whole);
		free(whole);
		if (ret[0])
			return;
	}
}

void wv_gpu_find(struct wv_gpu_place *ret)
{
	static const char *const libraries[] = {"libwaveos_cupti.so",
						"../lib/waveos-bpf/libwaveos_cupti.so"};
	static const char *const packages[] = {"../gpu/python", "../share/waveos-bpf/python"};
	char exe[512];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	*ret = (struct wv_gpu_place){0};
	if (n <= 0)
		return;
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	find(exe, libraries, ARRAY_SIZE(libraries), ret->library);
	find(exe, packages, ARRAY_SIZE(packages), ret->python);
}

static int put(const char *name, const char *value)
{
	return setenv(name, value, 1) < 0 ? -ENOMEM : 0;
}

int wv_gpu_environment(const struct wv_gpu_place *place, const char *socket, unsigned level)
{
	char number[12];
	int r;

	snprintf(number, sizeof(number), "%u", level);
	r = put("WAVEOS_GPU_SOCKET", socket);
	if (r == 0)
		r = put("WAVEOS_GPU_LEVEL", number);
	if (r == 0 && place->library[0]) {
		r = put("WAVEOS_GPU_LIBRARY", place->library);
		/* level 0 keeps CUPTI out of the process: steps are told, and nothing is traced */
		if (r == 0)
			r = put("CUDA_INJECTION64_PATH", place->library);
	}
	return r < 0 ? r : wv_gpu_environment_python(place);
}

int wv_gpu_environment_python(const struct wv_gpu_place *place)
{
	const char *before = getenv("PYTHONPATH");
	_cleanup_free_ char *path = NULL;

	if (!place->python[0])
		return 0;
	if (asprintf(&path, "%s%s%s", place->python, before && *before ? ":" : "",
		     before ? before : "") < 0)
		return -ENOMEM;
	return put("PYTHONPATH", path);
}
