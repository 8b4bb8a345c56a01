// SPDX-License-Identifier: GPL-2.0-only
/* gpu: the table of its subverbs. */
#include <stddef.h>

#include "user/cmd/gpu_cmd.h"

static const struct wv_subverb subverbs[] = {
#define WV_GPU_VERB(name, summary) {#name, summary, wv_gpu_##name##_cmd},
#include "user/cmd/gpu.def"
#undef WV_GPU_VERB
	{NULL, NULL, NULL},
};

static const char examples[] = "  waveos-bpf gpu info\n"
			       "  waveos-bpf gpu run -- python3 train.py\n";

int wv_cmd_gpu(struct wv_cli *cli, int argc, char **argv)
{
	return wv_cli_dispatch("gpu", subverbs, examples, cli, argc, argv);
}
