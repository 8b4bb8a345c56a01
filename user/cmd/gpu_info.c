// SPDX-License-Identifier: GPL-2.0-only
/* gpu info: the page of the worker of GPUs, as text or JSON. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "user/cmd/gpu_cmd.h"
#include "user/core/cleanup.h"
#include "user/flow/gpu.h"

static const char examples[] = "  waveos-bpf gpu info\n";
static const struct wv_option options[] = {{0}};

int wv_gpu_info_cmd(struct wv_cli *cli, int argc, char **argv)
{
	int r = wv_cli_parse(cli, argc, argv, "gpu info", examples, options, NULL, NULL);
	_cleanup_close_ int dir = -1;
	_cleanup_free_ struct wv_gpu_view *v = NULL;
	struct wv_gpu_view *page = NULL;

	if (r < 0)
		return -r;
	v = malloc(sizeof(*v));
	if (!v)
		return WV_EXIT_INTERNAL;
	dir = open(cli->paths.runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0)
		page = wv_gpu_view_map(dir, false);
	if (!page || wv_gpu_view_read(page, v) < 0) {
		wv_gpu_view_unmap(page);
		fprintf(stderr, "waveos-bpf gpu info: no agent watches GPUs here; see gpu.enabled "
				"in docs/config.md\n");
		return WV_EXIT_FINDING;
	}
	wv_gpu_view_unmap(page);
	for (unsigned i = 0; i < v->n_devices; i++)
		printf("%s %s: idle %" PRIu64 " of %" PRIu64 " ns\n", v->device[i].uuid,
		       v->device[i].name, v->device[i].recent.shares.idle,
		       v->device[i].recent.shares.window);
	return WV_EXIT_OK;
}
