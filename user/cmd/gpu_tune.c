// SPDX-License-Identifier: GPL-2.0-only
/* gpu tune: trials of a training, and the evidence of what they gave. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/cmd/gpu_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/event.h"
#include "user/gpu/place.h"
#include "user/tune/result.h"
#include "user/tune/run.h"

#define VERB "gpu tune"

struct args {
	const char *spec, *output, *resume;
	bool plan;
};

static const struct wv_option options[] = {
	{"spec", 'f', "FILE", "what is kept and what may be turned (waveos-tune)"},
	{"output", 'o', "DIR", "folder of the evidence (default: gpu-tune-<time>)"},
	{"resume", 'r', "DIR", "go on with a tuning that was interrupted"},
	{"plan", 'p', NULL, "show what would be tried first, and run nothing"},
	{0},
};
static const char examples[] = "  waveos-bpf gpu tune -f tune.yaml -- python3 train.py\n"
			       "  waveos-bpf gpu tune -f tune.yaml -o evidence -- torchrun "
			       "train.py --batch {batch.micro}\n"
			       "  waveos-bpf gpu tune --resume evidence\n"
			       "  waveos-bpf evidence verify evidence\n";

static volatile sig_atomic_t stop;

static void on_signal(int sig _unused_)
{
	stop = 1;
}

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct args *a = ctx;

	switch (o->letter) {
	case 'f':
		a->spec = value;
		break;
	case 'o':
		a->output = value;
		break;
	case 'r':
		a->resume = value;
		break;
	default:
		a->plan = true;
	}
	return 0;
}

static int say(const char *format, ...) _printf_(1, 2);
static int say(const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "waveos-bpf " VERB ": ");
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	return WV_EXIT_USAGE;
}

static void begins(void *ctx _unused_, const struct wv_tune_trial *t)
{
	char change[160];
	const struct wv_tune_point *start = ctx;

	fprintf(stderr, "  %2u %-9s %s", t->id, wv_tune_purpose_names[t->purpose],
		wv_tune_point_change(start, &t->point, change, sizeof(change)));
	fflush(stderr);
}

static void ended(void *ctx _unused_, const struct wv_tune_done *d)
{
	if (d->status == WV_TUNE_OK)
		fprintf(stderr, ": %.2f ms a step\n", (double)d->step_ns / 1e6);
	else
		fprintf(stderr, ": %s: %s\n", wv_tune_status_names[d->status], d->why);
}

/* Where this machine keeps a log, plan and result stand in it; else the folder is all there is. */
static void record(const struct wv_cli *cli, const char *type, struct json_object *fields)
{
	char path[WV_PATH_SIZE + 8];
	int r;

	snprintf(path, sizeof(path), "%s/log", cli->paths.state);
	if (access(path, F_OK) < 0) {
		json_object_put(fields);
		return;
	}
	r = wv_event_device(&wv_io_system, &cli->paths, "", type, fields);
	if (r < 0)
		(void)say("not in this machine's log: %s", strerror(-r));
}

static struct json_object *subject(const struct wv_tuning *t)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(t->spec.name));
	json_object_object_add(o, "folder", json_object_new_string(t->path));
	return o;
}

static void record_plan(const struct wv_cli *cli, const struct wv_tuning *t)
{
	struct json_object *o = subject(t);

	json_object_object_add(o, "preregistration", json_object_new_string(t->file[2].sha256));
	record(cli, "gpu-tuning-planned", o);
}

static void record_result(const struct wv_cli *cli, const struct wv_tuning *t, const char *text)
{
	struct json_object *o = subject(t);
	struct wv_tune_result r;
	char hex[WV_SHA256_HEX], change[200];

	wv_tune_result(t->tuner, &r);
	wv_sha256_hex(text, strlen(text), hex);
	json_object_object_add(o, "end", json_object_new_string(wv_tune_end_names[r.end]));
	json_object_object_add(o, "change",
			       json_object_new_string(wv_tune_point_change(
				       &t->spec.space.start, &r.point, change, sizeof(change))));
	json_object_object_add(o, "speedup_ppm",
			       json_object_new_uint64((uint64_t)((1 + r.gain) * 1e6)));
	json_object_object_add(o, "result", json_object_new_string(hex));
	record(cli, "gpu-tuning-result", o);
}

static int report(struct wv_cli *cli, const struct wv_tuning *t)
{
	_cleanup_free_ char *text = wv_tuning_result_text(t);
	struct wv_tune_result r;
	char change[200];
	int e = text ? wv_tuning_conclude(t) : -ENOMEM;

	if (e < 0) {
		(void)say("%s: %s", t->path, strerror(-e));
		return WV_EXIT_INTERNAL;
	}
	record_result(cli, t, text);
	wv_tune_result(t->tuner, &r);
	if (cli->json)
		printf("%s\n", text);
	else if (r.end == WV_TUNE_IMPROVED)
		printf("%.2f times as fast (95 %%: %.2f to %.2f): %s\n", 1 + r.gain, 1 + r.gain_low,
		       1 + r.gain_high,
		       wv_tune_point_change(&t->spec.space.start, &r.point, change,
					    sizeof(change)));
	else
		printf("%s: %s\n", wv_tune_end_names[r.end], r.why);
	if (!cli->json)
		printf("Evidence: %s (report.md, tuned-knobs.json); check it: waveos-bpf evidence "
		       "verify %s\n",
		       t->path, t->path);
	return r.end == WV_TUNE_NO_BASELINE ? WV_EXIT_FINDING : 0;
}

static int run(struct wv_cli *cli, struct wv_tuning *t)
{
	struct wv_tune_watch watch = {
		.stop = &stop, .ctx = &t->spec.space.start, .begins = begins, .ended = ended};
	struct sigaction action = {.sa_handler = on_signal};
	struct wv_gpu_place place;
	int r;

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	wv_gpu_find(&place);
	/* the Python package, which turns the knobs and tells of steps */
	if (wv_gpu_environment_python(&place) < 0)
		return WV_EXIT_INTERNAL;
	r = wv_tuning_run(t, &watch);
	if (r == -EINTR) {
		fprintf(stderr, "\n");
		(void)say("stopped after %u trials; go on: waveos-bpf gpu tune --resume %s",
			  t->n_done, t->path);
		return 130;
	}
	if (r == -EWOULDBLOCK)
		return say("%s: another process runs this tuning", t->path);
	if (r == -ENOENT || r == -EACCES) {
		fprintf(stderr, "\n");
		return say("%s: %s", t->argv[0], strerror(-r));
	}
	if (r < 0) {
		fprintf(stderr, "\n");
		(void)say("%s: %s", t->path, strerror(-r));
		return WV_EXIT_INTERNAL;
	}
	return report(cli, t);
}

static int show_plan(const struct wv_tuning *t)
{
	char text[160];

	printf("global batch %llu, start:", (unsigned long long)t->spec.global_batch);
	for (int i = 0; i < WV_TUNE_KNOB_N; i++)
		if (t->spec.space.start.value[i] != WV_TUNE_UNSET)
			printf(" %s=%s", wv_tune_knobs[i].name,
			       wv_tune_value_text((enum wv_tune_knob)i,
						  t->spec.space.start.value[i], text,
						  sizeof(text)));
	printf("\n");
	for (int i = 0; i < WV_TUNE_KNOB_N; i++) {
		if (!t->spec.space.knob[i].n)
			continue;
		printf("  %-18s", wv_tune_knobs[i].name);
		for (uint32_t j = 0; j < t->spec.space.knob[i].n; j++)
			printf(" %s", wv_tune_value_text((enum wv_tune_knob)i,
							 t->spec.space.knob[i].value[j], text,
							 sizeof(text)));
		printf("\n");
	}
	printf("at most %u trials and %.0f s; then pairs of the start and the best of them\n",
	       t->spec.limits.trials, (double)t->spec.limits.budget_ns / 1e9);
	return 0;
}

/* CPUs that this process may use. */
static uint32_t cpus_here(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 0;
}

static int create(const struct args *a, char **argv, struct wv_tuning **ret)
{
	_cleanup_free_ char *text = NULL;
	struct wv_config_error error;
	char folder[64];
	size_t len;
	int r = wv_io_read_file(&wv_io_system, AT_FDCWD, a->spec, WV_TUNE_SPEC_MAX, &text, &len);

	if (r < 0)
		return say("%s: %s", a->spec, strerror(-r));
	if (!a->output) {
		time_t now = time(NULL);
		struct tm tm;

		gmtime_r(&now, &tm);
		strftime(folder, sizeof(folder), "gpu-tune-%Y%m%dT%H%M%SZ", &tm);
	}
	r = a->plan ? wv_tuning_plan(a->spec, text, len, cpus_here(), ret, &error)
		    : wv_tuning_create(a->output ?: folder, a->spec, text, len, argv, cpus_here(),
				       ret, &error);
	return r < 0 ? say("%s", error.text) : 0;
}

int wv_gpu_tune_cmd(struct wv_cli *cli, int argc, char **argv)
{
	struct args a = {0};
	struct wv_tuning *t = NULL;
	struct wv_config_error error;
	int i = wv_cli_parse(cli, argc, argv, VERB " -f FILE [OPTIONS] -- COMMAND...", examples,
			     options, set_option, &a),
	    r;

	if (i < 0)
		return -i;
	if (a.resume) {
		if (a.spec || a.output || i < argc)
			return say("--resume DIR has its specification and command in the folder");
		if (wv_tuning_open(a.resume, &t, &error) < 0)
			return say("%s", error.text);
	} else {
		if (!a.spec)
			return say("which specification? -f FILE (docs/gpu-tune-spec.md)");
		if (i == argc && !a.plan)
			return say("what is to be run? `" VERB " -f FILE -- COMMAND...`");
		r = create(&a, argv + i, &t);
		if (r)
			return r;
		if (!a.plan)
			record_plan(cli, t);
	}
	r = a.plan ? show_plan(t) : run(cli, t);
	wv_tuning_free(t);
	return r;
}
