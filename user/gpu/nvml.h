/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The binding to NVIDIA's management library, loaded when it is asked for: nothing of it is linked.
 * Prototypes are nvml.h's, by the names that stand in nvml.c. Any call may block for as long as the
 * driver does: meter.h has a process for that.
 */
#ifndef WV_GPU_NVML_H
#define WV_GPU_NVML_H

#include "user/flow/gpu.h"

struct wv_nvml_pci { /* nvmlPciInfo_t of version 3 */
	char legacy[16];
	unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
	char id[32];
};

struct wv_nvml_memory { /* nvmlMemory_t */
	unsigned long long total, free, used;
};

struct wv_nvml_rates { /* nvmlUtilization_t: percent of time */
	unsigned gpu, memory;
};

/* nvmlReturn_t: what is told apart of it. */
#define WV_NVML_LOST 15

/* Each returns 0 or an error. NULL where the library is older than the function. */
struct wv_nvml {
	int (*init)(void);
	int (*shutdown)(void);
	int (*count)(unsigned *n);
	int (*handle)(unsigned index, void **device);
	int (*uuid)(void *device, char *buf, unsigned size);
	int (*name)(void *device, char *buf, unsigned size);
	int (*memory)(void *device, struct wv_nvml_memory *m);
	int (*mig_mode)(void *device, unsigned *now, unsigned *later);
	int (*mig_max)(void *device, unsigned *n);
	int (*mig_handle)(void *device, unsigned index, void **slice);
	/* topology */
	int (*pci)(void *device, struct wv_nvml_pci *pci);
	int (*capability)(void *device, int *major, int *minor);
	int (*generation)(void *device, unsigned *gen);
	int (*width)(void *device, unsigned *width);
	int (*link_state)(void *device, unsigned link, unsigned *on);
	int (*link_remote)(void *device, unsigned link, struct wv_nvml_pci *pci);
	int (*link_version)(void *device, unsigned link, unsigned *version);
	/* meters */
	int (*rates)(void *device, struct wv_nvml_rates *r);
	int (*power)(void *device, unsigned *mw);
	int (*energy)(void *device, unsigned long long *mj);
	int (*temperature)(void *device, int sensor, unsigned *c);
	int (*clock)(void *device, int which, unsigned *mhz);
	int (*throttle)(void *device, unsigned long long *bits);
	int (*pcie)(void *device, int counter, unsigned *kb_s);
	int (*ecc)(void *device, int kind, int counter, unsigned long long *n);
};

enum wv_nvml_use { WV_NVML_METERS = 1, WV_NVML_TOPOLOGY = 2 };

/*
 * Loads the library, libnvidia-ml.so.1 or what WAVEOS_NVML_LIBRARY names, and finds its functions.
 * It stays loaded. 0; -ENOPKG: there is none; -ENOEXEC: it lacks a function that `use` needs.
 */
int wv_nvml_load(enum wv_nvml_use use, struct wv_nvml *ret);

/*
 * Reads what a device tells of itself; the rest is UINT64_MAX. slice: a part of a device by MIG, of
 * which only the memory is its own. came_back(ctx) is called after each call, MAY be NULL. 0;
 * -ENODEV: the device is lost, and nothing of it is told.
 */
int wv_nvml_read(const struct wv_nvml *nvml, void *device, bool slice, void (*came_back)(void *ctx),
		 void *ctx, struct wv_gpu_meter *ret);

#endif
