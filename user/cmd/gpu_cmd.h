/* SPDX-License-Identifier: GPL-2.0-only */
/* What the subverbs of gpu share. */
#ifndef WV_CMD_GPU_CMD_H
#define WV_CMD_GPU_CMD_H

#include "user/cmd/cmd.h"

#define WV_GPU_VERB(name, summary)                                                                 \
	int wv_gpu_##name##_cmd(struct wv_cli *cli, int argc, char **argv);
#include "user/cmd/gpu.def"
#undef WV_GPU_VERB

#endif
