/* SPDX-License-Identifier: GPL-2.0-only */
/* The topology of this machine, from the driver's NVML (loaded when it is asked for) and sysfs. */
#ifndef WV_GPU_NVML_TOPO_H
#define WV_GPU_NVML_TOPO_H

#include "gpu/topo/topo.h"
#include "user/gpu/nvml.h"

/* -ENOPKG: no libnvidia-ml.so.1, or one that lacks a function; -ENODEV: it cannot be used here. */
int wv_topo_read(struct wv_topo *ret);
/* The same with these functions, which tests bring, and a sysfs below `sys`. -ENODEV, -E2BIG. */
int wv_topo_read_with(const struct wv_nvml *nvml, const char *sys, struct wv_topo *ret);

#endif
