/* SPDX-License-Identifier: GPL-2.0-only */
/* The topology of this machine, from the driver's NVML (loaded when it is asked for) and sysfs. */
#ifndef WV_GPU_NVML_TOPO_H
#define WV_GPU_NVML_TOPO_H

#include "gpu/topo/topo.h"

struct wv_nvml_pci { /* nvmlPciInfo_t of version 3 */
	char legacy[16];
	unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
	char id[32];
};

struct wv_nvml_memory { /* nvmlMemory_t */
	unsigned long long total, free, used;
};

/* NVML's functions as nvml.h declares them; each returns 0 or an error. Tests bring their own. */
struct wv_nvml_topo {
	int (*init)(void);
	int (*shutdown)(void);
	int (*count)(unsigned *n);
	int (*handle)(unsigned index, void **device);
	int (*uuid)(void *device, char *buf, unsigned size);
	int (*name)(void *device, char *buf, unsigned size);
	int (*pci)(void *device, struct wv_nvml_pci *pci);
	int (*memory)(void *device, struct wv_nvml_memory *m);
	int (*capability)(void *device, int *major, int *minor);
	int (*generation)(void *device, unsigned *gen);
	int (*width)(void *device, unsigned *width);
	int (*link_state)(void *device, unsigned link, unsigned *on);
	int (*link_remote)(void *device, unsigned link, struct wv_nvml_pci *pci);
	int (*link_version)(void *device, unsigned link, unsigned *version);
	int (*mig_mode)(void *device, unsigned *now, unsigned *later);
	int (*mig_max)(void *device, unsigned *n);
	int (*mig_handle)(void *device, unsigned index, void **slice);
};

/* -ENOPKG: no libnvidia-ml.so.1, or one that lacks a function; -ENODEV: it cannot be used here. */
int wv_topo_read(struct wv_topo *ret);
/* The same with these functions and a sysfs below `sys`. -ENODEV, -E2BIG. */
int wv_topo_read_with(const struct wv_nvml_topo *nvml, const char *sys, struct wv_topo *ret);

#endif
