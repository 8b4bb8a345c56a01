// SPDX-License-Identifier: GPL-2.0-only
/* gpu topo: a topology as text, JSON, for NCCL or for Node Feature Discovery. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "gpu/topo/nvml_topo.h"
#include "user/cmd/gpu_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"

#define FILE_MAX_BYTES (1U << 20)

struct request {
	const char *from, *nccl;
	bool nfd;
};

static const struct wv_option options[] = {
	{"from", 0, "FILE",
	 "the recorded topology to show instead of this machine's (docs/gpu-topology.md)"},
	{"nccl", 0, "FILE", "write it for NCCL_TOPO_FILE"},
	{"nfd", 0, NULL, "print labels as a local feature file of Node Feature Discovery"},
	{0},
};
static const char examples[] = "  waveos-bpf gpu topo\n"
			       "  waveos-bpf gpu topo --from hgx.json --nccl /tmp/topo.xml\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct request *q = ctx;

	if (strcmp(o->name, "nfd") == 0)
		q->nfd = true;
	else
		*(strcmp(o->name, "from") == 0 ? &q->from : &q->nccl) = value;
	return 0;
}

static int fail(const char *what, int r, const char *why)
{
	fprintf(stderr, "waveos-bpf gpu topo: %s: %s\n", what, why ?: strerror(-r));
	return r == -EACCES || r == -EPERM	    ? WV_EXIT_DENIED
	       : why || r == -ENOENT || r == -EFBIG ? WV_EXIT_USAGE
						    : WV_EXIT_INTERNAL;
}

static int write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : wv_io_write_all(&wv_io_system, fd, text, strlen(text));
}

static int show(const struct wv_cli *cli, const struct request *q, const struct wv_topo *t)
{
	_cleanup_free_ char *text = q->nccl	? wv_topo_nccl(t)
				    : q->nfd	? wv_topo_nfd(t)
				    : cli->json ? wv_topo_json(t)
						: wv_topo_matrix(t);
	int r;

	if (!text)
		return WV_EXIT_INTERNAL;
	if (q->nccl) {
		r = write_file(q->nccl, text);
		return r < 0 ? fail(q->nccl, r, NULL) : WV_EXIT_OK;
	}
	fputs(text, stdout);
	if (cli->json && !q->nfd)
		putchar('\n');
	return WV_EXIT_OK;
}

int wv_gpu_topo_cmd(struct wv_cli *cli, int argc, char **argv)
{
	struct request q = {0};
	_cleanup_free_ struct wv_topo *t = NULL;
	_cleanup_free_ char *text = NULL;
	char why[96] = "";
	int r = wv_cli_parse(cli, argc, argv,
			     "gpu topo [--from FILE] [--nccl FILE | --nfd] [--json]", examples,
			     options, set_option, &q);

	if (r < 0)
		return -r;
	if (r != argc) {
		fprintf(stderr, "waveos-bpf gpu topo: takes no operand; see --help\n");
		return WV_EXIT_USAGE;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return WV_EXIT_INTERNAL;
	if (!q.from) {
		r = wv_topo_read(t);
		if (r == 0)
			return show(cli, &q, t);
		fprintf(stderr,
			"waveos-bpf gpu topo: %s; a recorded topology is shown with --from "
			"FILE\n",
			r == -ENOPKG ? "no NVIDIA driver here (libnvidia-ml.so.1)"
				     : "NVML finds no GPUs that it can use");
		return r == -ENOMEM ? WV_EXIT_INTERNAL : WV_EXIT_UNSUPPORTED;
	}
	r = wv_io_read_file(&wv_io_system, AT_FDCWD, q.from, FILE_MAX_BYTES, &text, NULL);
	if (r < 0)
		return fail(q.from, r, NULL);
	r = wv_topo_parse(text, t, why);
	return r < 0 ? fail(q.from, r, why) : show(cli, &q, t);
}
