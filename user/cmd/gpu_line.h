/* SPDX-License-Identifier: GPL-2.0-only */
/* The page of GPUs in a line and in JSON, for `status` and `top`. */
#ifndef WV_CMD_GPU_LINE_H
#define WV_CMD_GPU_LINE_H

#include <json-c/json.h>

#include "user/core/paths.h"
#include "user/flow/gpu.h"

/* "2 GPUs: 0 kernel 50 %, idle 50 % (input); ...", cut to size. */
void wv_gpu_line_of(const struct wv_gpu_view *v, char *buf, size_t size);
/* The same of the running agent's page. False: it watches none. */
bool wv_gpu_line(const struct wv_paths *paths, char *buf, size_t size);
/* As `gpu info --json`; NULL: it watches none. The caller puts it. */
struct json_object *wv_gpu_line_json(const struct wv_paths *paths);

#endif
