/* SPDX-License-Identifier: GPL-2.0-only */
/* What the subverbs of gpu jobs share. */
#ifndef WV_CMD_GPU_JOBS_H
#define WV_CMD_GPU_JOBS_H

#include <json-c/json.h>

#include "user/cmd/cmd.h"

/*
 * Asks the worker: the request's reference is taken. The answer (to be put) in *ret, or an exit
 * code, and why on stderr.
 */
int wv_gpu_jobs_ask(struct wv_cli *cli, struct json_object *request, struct json_object **ret);
int wv_gpu_jobs_submit(struct wv_cli *cli, int argc, char **argv);

#endif
