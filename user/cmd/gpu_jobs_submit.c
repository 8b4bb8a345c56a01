// SPDX-License-Identifier: GPL-2.0-only
/* gpu jobs submit: what is to run goes to the worker, with the folder and environment of now. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/cmd/gpu_jobs.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

struct args {
	struct json_object *request;
	char cwd[4096];
};

static const struct wv_option options[] = {
	{"gpus", 'g', "N", "GPUs that it gets, all at once (default 1)"},
	{"name", 'n', "NAME", "what people call it"},
	{"priority", 'p', "N", "-100 to 100, larger goes first (default 0; over 0: root alone)"},
	{"time", 't', "TIME",
	 "how long it will run at most, such as 90m: it may then start before others"},
	{"output", 'o', "FILE",
	 "what it prints is added there (default waveos-job-ID.log in this folder)"},
	{"checkpoint-dir", 'c', "DIR",
	 "it saves its state there on SIGUSR1 and leaves with 75: it may be preempted"},
	{0},
};
static const char examples[] =
	"  waveos-bpf gpu jobs submit --gpus 4 --time 6h -- torchrun --nproc-per-node 4 train.py\n"
	"  waveos-bpf gpu jobs submit -g 1 -c ckpt -p -10 -- python3 train.py\n";

static int put_path(struct args *a, const char *name, const char *value)
{
	char path[8300];

	snprintf(path, sizeof(path), "%s%s%s", value[0] == '/' ? "" : a->cwd,
		 value[0] == '/' ? "" : "/", value);
	json_object_object_add(a->request, name, json_object_new_string(path));
	return 0;
}

static int put_number(struct args *a, const char *name, const char *value)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(value, &end, 10);
	if (errno || end == value || *end || n < -1000 || n > 1000) {
		fprintf(stderr, "waveos-bpf gpu jobs submit: --%s '%s' is no such number\n", name,
			value);
		return WV_EXIT_USAGE;
	}
	json_object_object_add(a->request, name, json_object_new_int64(n));
	return 0;
}

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct args *a = ctx;
	uint64_t ns;

	switch (o->letter) {
	case 'g':
	case 'p':
		return put_number(a, o->name, value);
	case 'o':
		return put_path(a, "output", value);
	case 'c':
		return put_path(a, "checkpoint_dir", value);
	case 't':
		if (wv_parse_duration(value, &ns) < 0 || !ns || ns > INT64_MAX) {
			fprintf(stderr,
				"waveos-bpf gpu jobs submit: --time '%s' is no time such as 90m\n",
				value);
			return WV_EXIT_USAGE;
		}
		json_object_object_add(a->request, "estimate_ns", json_object_new_uint64(ns));
		return 0;
	default:
		json_object_object_add(a->request, "name", json_object_new_string(value));
		return 0;
	}
}

static struct json_object *words(char **list)
{
	struct json_object *o = json_object_new_array();

	while (*list)
		json_object_array_add(o, json_object_new_string(*list++));
	return o;
}

static int submit(struct wv_cli *cli, struct args *a, char **command)
{
	struct json_object *answer, *id;
	mode_t mask = umask(0);
	int r;

	(void)umask(mask);
	json_object_object_add(a->request, "verb", json_object_new_string("submit"));
	json_object_object_add(a->request, "cwd", json_object_new_string(a->cwd));
	json_object_object_add(a->request, "umask", json_object_new_int((int)mask));
	json_object_object_add(a->request, "argv", words(command));
	json_object_object_add(a->request, "env", words(environ));
	r = wv_gpu_jobs_ask(cli, json_object_get(a->request), &answer);
	if (r)
		return r;
	if (cli->json)
		puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
	else if (json_object_object_get_ex(answer, "id", &id))
		printf("%lld\n", (long long)json_object_get_int64(id));
	json_object_put(answer);
	return WV_EXIT_OK;
}

int wv_gpu_jobs_submit(struct wv_cli *cli, int argc, char **argv)
{
	struct args a = {.request = json_object_new_object()};
	int i, r;

	if (!getcwd(a.cwd, sizeof(a.cwd))) {
		fprintf(stderr, "waveos-bpf gpu jobs submit: this folder: %s\n", strerror(errno));
		json_object_put(a.request);
		return WV_EXIT_USAGE;
	}
	i = wv_cli_parse(cli, argc, argv, "gpu jobs submit [OPTIONS] -- COMMAND...", examples,
			 options, set_option, &a);
	if (i < 0) {
		r = -i;
	} else if (i == argc) {
		fprintf(stderr, "waveos-bpf gpu jobs submit: what is to be run? `gpu jobs submit "
				"-- COMMAND...`\n");
		r = WV_EXIT_USAGE;
	} else {
		r = submit(cli, &a, argv + i);
	}
	json_object_put(a.request);
	return r;
}
