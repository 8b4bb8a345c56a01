/* SPDX-License-Identifier: GPL-2.0-only */
/* The worker of GPUs: the machine's hub (hub.h), whose page all displays read. */
#ifndef WV_GPU_WORKER_H
#define WV_GPU_WORKER_H

#include "user/agent/core.h"

/* gpu.enabled; auto: where the driver of NVIDIA is. */
bool wv_gpu_wanted(const struct wv_config *config);
/* In its process; its exit status. */
int wv_gpu_run(const struct wv_worker_context *ctx);

#endif
