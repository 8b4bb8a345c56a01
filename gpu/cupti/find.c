// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds CUPTI: WAVEOS_CUPTI_LIBRARY, else the one that the process has, else beside its libcudart,
 * else by name. Two CUPTIs in a process break both, so what is loaded is never doubled.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/cupti/cupti.h"

struct seen {
	char cupti[512], cudart[512];
};

static int look(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct seen *s = ctx;
	const char *name = info->dlpi_name ? info->dlpi_name : "";
	const char *base = strrchr(name, '/');

	(void)size;
	base = base ? base + 1 : name;
	if (strlen(name) >= sizeof(s->cupti))
		return 0;
	if (strncmp(base, "libcupti.so", 11) == 0)
		strcpy(s->cupti, name);
	else if (strncmp(base, "libcudart.so", 12) == 0)
		strcpy(s->cudart, name);
	return 0;
}

static void *beside(const char *cudart)
{
	static const char *const places[] = {
		"%.*s/libcupti.so.%s", "%.*s/../extras/CUPTI/lib64/libcupti.so.%s",
		"%.*s/../../cuda_cupti/lib/libcupti.so.%s", /* NVIDIA's Python packages */
	};
	const char *slash = strrchr(cudart, '/');
	const char *major = slash ? strstr(slash, ".so.") : NULL;
	char path[640], number[4] = "";
	void *lib = NULL;

	if (!major)
		return NULL;
	strncpy(number, major + 4, 2);
	if (number[1] == '.')
		number[1] = 0;
	for (size_t i = 0; !lib && i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), places[i], (int)(slash - cudart), cudart, number);
		lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	}
	return lib;
}

static void *open_any(void)
{
	static const char *const names[] = {
		"libcupti.so.13",
		"libcupti.so.12",
		"/usr/local/cuda/extras/CUPTI/lib64/libcupti.so.13",
		"/usr/local/cuda/extras/CUPTI/lib64/libcupti.so.12",
	};
	const char *told = getenv("WAVEOS_CUPTI_LIBRARY");
	struct seen s = {.cupti = ""};
	void *lib = NULL;

	dl_iterate_phdr(look, &s);
	if (s.cupti[0])
		return dlopen(s.cupti, RTLD_NOW | RTLD_NOLOAD);
	if (told && *told)
		return dlopen(told, RTLD_NOW | RTLD_LOCAL);
	if (s.cudart[0])
		lib = beside(s.cudart);
	for (size_t i = 0; !lib && i < sizeof(names) / sizeof(names[0]); i++)
		lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	return lib;
}

/* cupti_version.h: 13 to 28 is CUDA 11.0 to 12.9, then it is MMmmpp. */
static bool known(uint32_t version)
{
	return (version >= 13 && version < 100) || (version >= 130000 && version < 140000);
}

unsigned wv_cupti_find(struct wv_cupti *ret, uint32_t *ret_version)
{
	struct wv_cupti c = {.version = NULL};
	uint32_t version = 0;
	void *lib = open_any();

	if (!lib)
		return WV_GPU_NO_CUPTI;
#define X(slot, name, arguments, needed)                                                           \
	*(void **)&c.slot = dlsym(lib, #name);                                                     \
	if (!c.slot && (needed))                                                                   \
		return WV_GPU_NO_CUPTI;
	WV_CUPTI_CALLS(X)
#undef X
	if (c.version(&version) != WV_CUPTI_SUCCESS || !known(version))
		return WV_GPU_NO_CUPTI;
	*ret = c;
	*ret_version = version;
	return WV_GPU_AS_ASKED;
}
