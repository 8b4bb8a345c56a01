// SPDX-License-Identifier: GPL-2.0-only
/* Who the devices are, by the driver that the process has. A MIG device tells its own UUID. */
#include <dlfcn.h>
#include <string.h>

#include "gpu/cupti/cupti.h"

uint32_t wv_devices_query(struct wv_gpu_hello *hello)
{
	int (*count)(int *), (*get)(int *, int), (*name)(char *, int, int), (*uuid)(void *, int);
	void *cuda = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
	int n = 0, device;

	if (!cuda)
		return 0;
	*(void **)&count = dlsym(cuda, "cuDeviceGetCount");
	*(void **)&get = dlsym(cuda, "cuDeviceGet");
	*(void **)&name = dlsym(cuda, "cuDeviceGetName");
	*(void **)&uuid = dlsym(cuda, "cuDeviceGetUuid_v2");
	if (!uuid) /* before CUDA 11.4 */
		*(void **)&uuid = dlsym(cuda, "cuDeviceGetUuid");
	if (!count || !get || !name || !uuid || count(&n) != 0 || n < 0)
		n = 0;
	if (n > WV_GPU_DEVICES)
		n = WV_GPU_DEVICES;
	for (int i = 0; i < n; i++) {
		if (get(&device, i) != 0 || uuid(hello->device[i].uuid, device) != 0)
			memset(hello->device[i].uuid, 0, sizeof(hello->device[i].uuid));
		else if (name(hello->device[i].name, sizeof(hello->device[i].name), device) != 0)
			hello->device[i].name[0] = 0;
		hello->device[i].name[sizeof(hello->device[i].name) - 1] = 0;
	}
	dlclose(cuda);
	return (uint32_t)n;
}
