/* SPDX-License-Identifier: GPL-2.0-only */
/* The page of GPUs as JSON: `gpu info --json` and /api/v1/gpu give the same (docs/gpu.md). */
#ifndef WV_EXPORT_GPU_JSON_H
#define WV_EXPORT_GPU_JSON_H

#include "user/export/text.h"
#include "user/flow/gpu.h"

/* Appends one object. v: a copy as wv_gpu_view_read() gives it. now: CLOCK_MONOTONIC, ns. */
void wv_gpu_view_json(const struct wv_gpu_view *v, uint64_t now, struct wv_text *out);

#endif
