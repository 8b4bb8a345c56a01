// SPDX-License-Identifier: GPL-2.0-only
/* Trials as processes: what they are started with, and what is kept of them. */
#include "user/tune/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/gpu/energy.h"
#include "user/gpu/place.h"
#include "user/tune/where.h"

extern char **environ;

void wv_tune_texts_free(char **texts)
{
	for (char **p = texts; p && *p; p++)
		free(*p);
	free(texts);
}

struct texts { /* the last place is NULL */
	char **list;
	size_t n, room;
	int error;
};

/* Takes text over. */
static void add(struct texts *t, char *text)
{
	if (!text || t->n + 1 >= t->room) {
		free(text);
		t->error = -ENOMEM;
		return;
	}
	t->list[t->n++] = text;
}

static void add_template(struct texts *t, const char *template, const struct wv_tune_trial *trial)
{
	char *text = NULL;
	int r = wv_tune_spec_expand(template, trial, &text, NULL);

	if (r < 0)
		t->error = r;
	else
		add(t, text);
}

static void add_variable(struct texts *t, const char *name, const char *value)
{
	char *text = NULL;

	if (asprintf(&text, "%s=%s", name, value) < 0)
		text = NULL;
	add(t, text);
}

/* A variable that the specification sets, or the tuner's own, hides the one that was. */
static bool is_hidden(const struct wv_tuning *t, const char *variable)
{
	size_t n = strcspn(variable, "=");

	if (strncmp(variable, "WAVEOS_TUNE_", 12) == 0)
		return true;
	for (size_t i = 0; i < t->spec.n_environment; i++)
		if (strlen(t->spec.environment[i].name) == n &&
		    strncmp(t->spec.environment[i].name, variable, n) == 0)
			return true;
	return false;
}

static void make_environment(const struct wv_tuning *t, const struct wv_tune_trial *trial,
			     struct texts *e)
{
	char base[32], text[512];

	for (char **v = environ; *v; v++)
		if (!is_hidden(t, *v))
			add(e, strdup(*v));
	for (size_t i = 0; i < t->spec.n_environment; i++) {
		char *value = NULL;
		int r = wv_tune_spec_expand(t->spec.environment[i].value, trial, &value, NULL);

		if (r < 0)
			e->error = r;
		else
			add_variable(e, t->spec.environment[i].name, value);
		free(value);
	}
	wv_tuning_name(trial->id, base, sizeof(base));
	snprintf(text, sizeof(text), "%s/%s/knobs.json", t->path, base);
	add_variable(e, "WAVEOS_TUNE_KNOBS", text);
	snprintf(text, sizeof(text), "%s/%s/steps.jsonl", t->path, base);
	add_variable(e, "WAVEOS_TUNE_STEPS", text);
	snprintf(text, sizeof(text), "%u", trial->steps);
	add_variable(e, "WAVEOS_TUNE_MAX_STEPS", text);
	snprintf(text, sizeof(text), "%" PRIu64, trial->seed);
	add_variable(e, "WAVEOS_TUNE_SEED", text);
}

static bool make_room(struct texts *t, size_t n)
{
	t->room = n + 1;
	t->list = calloc(t->room, sizeof(*t->list));
	return t->list != NULL;
}

int wv_tune_command(const struct wv_tuning *t, const struct wv_tune_trial *trial, char ***ret_argv,
		    char ***ret_env)
{
	struct texts a = {0}, e = {0};
	size_t n = 0;
	int r = 0;

	while (t->argv[n])
		n++;
	if (!make_room(&a, n + t->spec.arguments.n))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		add_template(&a, t->argv[i], trial);
	for (size_t i = 0; i < t->spec.arguments.n; i++)
		add_template(&a, t->spec.arguments.list[i], trial);
	for (n = 0; environ[n];)
		n++;
	if (!make_room(&e, n + t->spec.n_environment + 4))
		r = -ENOMEM;
	else
		make_environment(t, trial, &e);
	r = r ?: a.error ?: e.error;
	if (r < 0) {
		wv_tune_texts_free(a.list);
		wv_tune_texts_free(e.list);
		return r;
	}
	*ret_argv = a.list;
	*ret_env = e.list;
	return 0;
}

/* How often meters are looked at, in turns of the trial. */
#define METER_TURNS 5

/*
 * Who looks at trials. In those that prove the gain nobody looks into the process, since that costs
 * the process; meters are read in any.
 */
struct eye {
	const struct wv_tune_watch *watch;
	struct wv_gpu_hub *hub;	     /* NULL: it could not be had; trials are not looked at */
	char folder[80], socket[96]; /* which is all that an address has room for */
	pid_t seen;		     /* that the hub was told of */
	bool looks;
	FILE *where;
	unsigned turns;
	struct wv_gpu_view *view;
	struct wv_energy energy[WV_GPU_DEVICES]; /* of this trial */
};

static void on_window(void *ctx, const struct wv_gpu_told *w)
{
	wv_tune_where_window(((struct eye *)ctx)->where, w);
}

static void on_step(void *ctx, const struct wv_gpu_told_step *s)
{
	wv_tune_where_step(((struct eye *)ctx)->where, s);
}

static void open_eye(struct eye *e, const struct wv_tune_watch *watch)
{
	struct wv_gpu_hub_listener listener = {.ctx = e, .window = on_window, .step = on_step};
	struct wv_gpu_hub_options o = {.socket = e->socket, .wakes = true, .nvml = true};
	const char *tmp = getenv("TMPDIR");

	*e = (struct eye){.watch = watch};
	if (!tmp || strlen(tmp) > 50)
		tmp = "/tmp";
	snprintf(e->folder, sizeof(e->folder), "%s/waveos-gpu-XXXXXX", tmp);
	if (!mkdtemp(e->folder))
		return;
	snprintf(e->socket, sizeof(e->socket), "%s/" WV_GPU_SOCKET, e->folder);
	e->view = calloc(1, sizeof(*e->view));
	if (!e->view || wv_gpu_hub_open(&o, &listener, &e->hub) < 0) {
		e->hub = NULL;
		(void)rmdir(e->folder);
	}
}

static void close_eye(struct eye *e)
{
	free(e->view);
	if (!e->hub)
		return;
	wv_gpu_hub_close(e->hub);
	(void)rmdir(e->folder);
}

static void look_at_meters(struct eye *e)
{
	wv_gpu_hub_show(e->hub, e->view);
	for (unsigned i = 0; i < e->view->n_devices; i++)
		wv_energy_saw(&e->energy[i], e->view->device[i].meter.energy_mj, e->view->updated);
}

static uint64_t power_mw(const struct eye *e)
{
	double watts = 0;

	for (unsigned i = 0; i < WV_GPU_DEVICES; i++)
		watts += wv_energy_watts(&e->energy[i]);
	return (uint64_t)(watts * 1000);
}

static bool turn(void *ctx, pid_t pid)
{
	struct eye *e = ctx;

	if (e->hub) {
		if (e->looks && e->seen != pid) {
			(void)wv_gpu_hub_watch(e->hub, pid);
			e->seen = pid;
		}
		(void)wv_gpu_hub_turn(e->hub);
		if (e->turns++ % METER_TURNS == 0)
			look_at_meters(e);
	}
	return !e->watch->stop || !*e->watch->stop;
}

/* The trial's environment leads to the hub where it is looked at. */
static void look(struct eye *e, const struct wv_tune_trial *trial, int dir)
{
	struct wv_gpu_place place;
	int fd;

	memset(e->energy, 0, sizeof(e->energy));
	e->looks = e->hub && trial->purpose < WV_TUNE_CONFIRM_A;
	unsetenv("WAVEOS_GPU_SOCKET");
	unsetenv("CUDA_INJECTION64_PATH");
	wv_gpu_find(&place);
	place.python[0] = '\0'; /* is there already */
	if (!e->looks || wv_gpu_environment(&place, e->socket, WV_GPU_L2) < 0)
		return;
	fd = openat(dir, "where.jsonl", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	e->where = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (fd >= 0 && !e->where)
		close(fd);
}

static int look_away(struct eye *e)
{
	int r = 0;

	if (e->hub)
		wv_gpu_hub_flush(e->hub);
	if (e->where)
		r = fflush(e->where) != 0 || fsync(fileno(e->where)) < 0 ? -errno : 0;
	if (e->where && fclose(e->where) != 0 && r == 0)
		r = -errno;
	e->where = NULL;
	return r;
}

static int keep(struct wv_tuning *t, int dir, const struct wv_tune_trial *trial,
		const struct wv_tune_exit *run, const struct wv_trial_end *end)
{
	_cleanup_free_ char *out = NULL, *err = NULL;
	ssize_t n = run->started ? wv_trial_tail_text(&end->out, &out) : 0;
	ssize_t m = run->started ? wv_trial_tail_text(&end->err, &err) : 0;

	if (n < 0 || m < 0)
		return -ENOMEM;
	return wv_tuning_end(t, dir, trial, run, out ?: "", (size_t)n, err ?: "", (size_t)m);
}

static int run_one(struct wv_tuning *t, const struct wv_tune_trial *trial, struct eye *eye)
{
	char **argv = NULL, **env = NULL, name[64];
	struct wv_trial_end end = {0};
	struct wv_tune_exit run = {0};
	uint64_t timeout = trial->timeout_ns;
	_cleanup_close_ int dir = -1;
	int r = wv_tuning_begin(t, trial, &dir), looked;

	if (r < 0)
		return r;
	look(eye, trial, dir);
	r = wv_tune_command(t, trial, &argv, &env);
	if (r < 0) {
		(void)look_away(eye);
		return r;
	}
	if (t->spec.timeout_ns && (!timeout || timeout > t->spec.timeout_ns))
		timeout = t->spec.timeout_ns;
	snprintf(name, sizeof(name), "waveos-tune-%d-%u", (int)getpid(), trial->id);
	r = wv_trial_run(&(struct wv_trial_options){.argv = argv,
						    .env = env,
						    .name = name,
						    .timeout_ns = timeout,
						    .memory_bytes = t->spec.host_memory,
						    .pids = t->spec.pids,
						    .turn = turn,
						    .ctx = eye},
			 &end);
	looked = look_away(eye);
	wv_tune_texts_free(argv);
	wv_tune_texts_free(env);
	/* a command that is not there is no finding about its knobs */
	if (r == -EINTR || ((r == -ENOENT || r == -EACCES) && t->n_done == 0))
		return r;
	run.started = r == 0;
	run.power_mw = power_mw(eye);
	run.error = r;
	if (r == 0) {
		run.exit_code = end.exit_code;
		run.signal = end.signal;
		run.timed_out = end.timed_out;
		run.held = end.held;
		run.oom_kills = end.oom_kills;
		run.host_peak_bytes = end.peak_bytes;
		run.elapsed_ns = end.elapsed_ns;
	}
	r = looked < 0 ? looked : keep(t, dir, trial, &run, &end);
	wv_trial_end_done(&end);
	return r;
}

int wv_tuning_run(struct wv_tuning *t, const struct wv_tune_watch *watch)
{
	struct wv_tune_trial trial;
	struct eye eye;
	int r = wv_tuning_lock(t);

	if (r < 0)
		return r;
	open_eye(&eye, watch);
	while (r == 0 && wv_tune_next(t->tuner, &trial) > 0) {
		if (watch->stop && *watch->stop) {
			r = -EINTR;
			break;
		}
		if (watch->begins)
			watch->begins(watch->ctx, &trial);
		r = run_one(t, &trial, &eye);
		if (r == 0 && watch->ended)
			watch->ended(watch->ctx, &t->done[t->n_done - 1]);
	}
	close_eye(&eye);
	return r;
}
