// SPDX-License-Identifier: GPL-2.0-only
/* Trials as processes: what they are started with, and what is kept of them. */
#include "user/tune/run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/gpu/place.h"

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

static bool turn(void *ctx, pid_t pid _unused_)
{
	const struct wv_tune_watch *w = ctx;

	return !w->stop || !*w->stop;
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

static int run_one(struct wv_tuning *t, const struct wv_tune_trial *trial,
		   const struct wv_tune_watch *watch)
{
	char **argv = NULL, **env = NULL, name[64];
	struct wv_trial_end end = {0};
	struct wv_tune_exit run = {0};
	uint64_t timeout = trial->timeout_ns;
	_cleanup_close_ int dir = -1;
	int r = wv_tuning_begin(t, trial, &dir);

	if (r == 0)
		r = wv_tune_command(t, trial, &argv, &env);
	if (r < 0)
		return r;
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
						    .ctx = (void *)watch},
			 &end);
	wv_tune_texts_free(argv);
	wv_tune_texts_free(env);
	/* a command that is not there is no finding about its knobs */
	if (r == -EINTR || ((r == -ENOENT || r == -EACCES) && t->n_done == 0))
		return r;
	run.started = r == 0;
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
	r = keep(t, dir, trial, &run, &end);
	wv_trial_end_done(&end);
	return r;
}

int wv_tuning_run(struct wv_tuning *t, const struct wv_tune_watch *watch)
{
	struct wv_tune_trial trial;
	int r = 0;

	while (r == 0 && wv_tune_next(t->tuner, &trial) > 0) {
		if (watch->stop && *watch->stop)
			return -EINTR;
		if (watch->begins)
			watch->begins(watch->ctx, &trial);
		r = run_one(t, &trial, watch);
		if (r == 0 && watch->ended)
			watch->ended(watch->ctx, &t->done[t->n_done - 1]);
	}
	return r;
}
