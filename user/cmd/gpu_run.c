// SPDX-License-Identifier: GPL-2.0-only
/* gpu run: executes a command so that the agent of this machine sees what it does on GPUs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "user/cmd/gpu_cmd.h"
#include "user/core/cleanup.h"
#include "user/gpu/place.h"
#include "waveos/gpu.h"

struct args {
	unsigned level;
	const char *knobs;
};

static const struct wv_option options[] = {
	{"level", 'l', "0..3",
	 "how much is looked at: 0 steps only, 1 kernels and copies (default), 2 "
	 "launches and synchronisations, too, 3 markers"},
	{"knobs", 'k', "FILE",
	 "settings that `gpu tune` found, as it wrote them (tuned-knobs.json)"},
	{0},
};
static const char examples[] =
	"  waveos-bpf gpu run -- python3 train.py\n"
	"  waveos-bpf gpu run --level 2 -- torchrun --nproc-per-node 4 train.py\n"
	"  waveos-bpf gpu run --knobs tune-1/tuned-knobs.json -- python3 train.py\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct args *a = ctx;

	if (strcmp(o->name, "knobs") == 0) {
		a->knobs = value;
		return 0;
	}
	if (value[0] < '0' || value[0] > '3' || value[1]) {
		fprintf(stderr, "waveos-bpf gpu run: --level %s: 0, 1, 2 or 3\n", value);
		return WV_EXIT_USAGE;
	}
	a->level = (unsigned)(value[0] - '0');
	return 0;
}

int wv_gpu_run_cmd(struct wv_cli *cli, int argc, char **argv)
{
	struct args a = {.level = WV_GPU_L1};
	struct wv_gpu_place place;
	char socket[WV_PATH_SIZE + 16];
	_cleanup_free_ char *knobs = NULL;
	int i = wv_cli_parse(cli, argc, argv, "gpu run [OPTIONS] -- COMMAND...", examples, options,
			     set_option, &a);

	if (i < 0)
		return -i;
	if (i == argc) {
		fprintf(stderr, "waveos-bpf gpu run: what is to be run? `gpu run -- COMMAND...`\n");
		return WV_EXIT_USAGE;
	}
	snprintf(socket, sizeof(socket), "%s/" WV_GPU_SOCKET, cli->paths.runtime);
	wv_gpu_find(&place);
	/* the command runs in any case: seeing it is not what it is started for */
	if (access(socket, W_OK) < 0)
		fprintf(stderr,
			"waveos-bpf gpu run: nobody will look (%s: %s): start the agent with "
			"gpu.enabled: yes, or use `gpu profile`\n",
			socket, strerror(errno));
	else if (!place.library[0])
		fprintf(stderr, "waveos-bpf gpu run: libwaveos_cupti.so is not installed: what the "
				"command does on GPUs cannot be seen\n");
	if (a.knobs) {
		knobs = realpath(a.knobs, NULL);
		if (!knobs || setenv("WAVEOS_TUNE_KNOBS", knobs, 1) < 0) {
			fprintf(stderr, "waveos-bpf gpu run: %s: %s\n", a.knobs, strerror(errno));
			return WV_EXIT_USAGE;
		}
	}
	if (wv_gpu_environment(&place, socket, a.level) < 0)
		return WV_EXIT_INTERNAL;
	execvp(argv[i], argv + i);
	fprintf(stderr, "waveos-bpf gpu run: %s: %s\n", argv[i], strerror(errno));
	return errno == ENOENT ? 127 : 126; /* as a shell has it */
}
