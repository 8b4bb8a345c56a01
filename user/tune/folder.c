// SPDX-License-Identifier: GPL-2.0-only
/* The evidence folder: what is written before and in trials, and reading it again. */
#include "user/tune/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/core/version.h"
#include "user/tune/manifest.h"

#define SMALL_MAX (1U << 20)

const char *wv_tuning_name(uint32_t id, char *buf, size_t size)
{
	snprintf(buf, size, "trials/%03u", id);
	return buf;
}

static int note_file(struct wv_tuning *t, const char *as, const char *bytes, size_t len)
{
	struct wv_tune_file *f = &t->file[t->n_files];

	if (t->n_files == WV_TUNE_FILES_MAX)
		return -ENOSPC;
	snprintf(f->name, sizeof(f->name), "%s", as);
	wv_sha256_hex(bytes, len, f->sha256);
	t->n_files++;
	return 0;
}

int wv_tuning_take(struct wv_tuning *t, int dir, const char *name, const char *as, size_t max,
		   char **ret, size_t *ret_len)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = wv_io_read_file(t->io, dir, name, max, &text, &len);

	if (r == 0)
		r = note_file(t, as, text, len);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

static int put(struct wv_tuning *t, int dir, const char *name, const char *as, const char *bytes,
	       size_t len)
{
	int r = wv_io_replace(t->io, dir, name, bytes, len, 0644);

	return r < 0 ? r : note_file(t, as, bytes, len);
}

/* Takes o over. */
static int put_json(struct wv_tuning *t, int dir, const char *name, const char *as,
		    struct json_object *o)
{
	const char *text = o ? json_object_to_json_string_ext(
				       o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE)
			     : NULL;
	int r = text ? put(t, dir, name, as, text, strlen(text)) : -ENOMEM;

	json_object_put(o);
	return r;
}

static int take_json(struct wv_tuning *t, int dir, const char *name, const char *as,
		     struct json_object **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = wv_tuning_take(t, dir, name, as, SMALL_MAX, &text, &len);

	if (r < 0)
		return r;
	*ret = json_tokener_parse(text);
	return *ret ? 0 : -EBADMSG;
}

static char **copy_argv(char *const *argv)
{
	size_t n = 0;
	char **copy;

	while (argv[n])
		n++;
	copy = calloc(n + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < n; i++) {
		copy[i] = strdup(argv[i]);
		if (!copy[i])
			return NULL; /* the process ends over it */
	}
	return copy;
}

static struct json_object *argv_json(char *const *argv)
{
	struct json_object *a = json_object_new_array();

	for (; a && *argv; argv++)
		(void)json_object_array_add(a, json_object_new_string(*argv));
	return a;
}

static int read_argv(struct wv_tuning *t, struct json_object *o)
{
	struct json_object *a = NULL, *cpus = NULL;
	size_t n;

	if (!json_object_object_get_ex(o, "command", &a) ||
	    !json_object_is_type(a, json_type_array) || json_object_array_length(a) == 0 ||
	    !json_object_object_get_ex(o, "cpus", &cpus) ||
	    !json_object_is_type(cpus, json_type_int))
		return -EBADMSG;
	n = json_object_array_length(a);
	t->argv = calloc(n + 1, sizeof(*t->argv));
	for (size_t i = 0; t->argv && i < n; i++) {
		t->argv[i] = strdup(json_object_get_string(json_object_array_get_idx(a, i)) ?: "");
		if (!t->argv[i])
			return -ENOMEM;
	}
	t->cpus = (uint32_t)json_object_get_int(cpus);
	return t->argv ? 0 : -ENOMEM;
}

/* What is decided before anything was seen: so that nobody has to believe that it was. */
static struct json_object *preregistration(const struct wv_tuning *t)
{
	const struct wv_tune_limits *l = &t->spec.limits;
	struct json_object *o = json_object_new_object(), *limits = json_object_new_object();
	struct json_object *knobs = json_object_new_object();
	struct wv_version version;
	char text[256];

	if (!o || !limits || !knobs)
		return NULL;
	(void)wv_version_get(NULL, NULL, &version);
	for (int k = 0; k < WV_TUNE_KNOB_N; k++) {
		struct json_object *values = json_object_new_array();

		for (uint32_t i = 0; i < t->spec.space.knob[k].n; i++)
			(void)json_object_array_add(
				values,
				json_object_new_string(wv_tune_value_text(
					(enum wv_tune_knob)k, t->spec.space.knob[k].value[i], text,
					sizeof(text))));
		if (t->spec.space.knob[k].n)
			json_object_object_add(knobs, wv_tune_knobs[k].name, values);
		else
			json_object_put(values);
	}
	json_object_object_add(limits, "trials", json_object_new_uint64(l->trials));
	json_object_object_add(limits, "budget_ns", json_object_new_uint64(l->budget_ns));
	json_object_object_add(limits, "gain_ppm", json_object_new_uint64(l->gain_ppm));
	json_object_object_add(limits, "pairs_min", json_object_new_uint64(l->pairs_min));
	json_object_object_add(limits, "pairs_max", json_object_new_uint64(l->pairs_max));
	json_object_object_add(limits, "guard", json_object_new_boolean(l->guard));
	json_object_object_add(limits, "seed", json_object_new_uint64(l->seed));
	json_object_object_add(o, "format", json_object_new_string("waveos-tuning"));
	json_object_object_add(o, "version", json_object_new_int(1));
	json_object_object_add(o, "waveos_version", json_object_new_string(version.waveos));
	json_object_object_add(o, "name", json_object_new_string(t->spec.name));
	json_object_object_add(o, "command", argv_json(t->argv));
	json_object_object_add(o, "cpus", json_object_new_uint64(t->cpus));
	json_object_object_add(o, "spec_sha256", json_object_new_string(t->file[0].sha256));
	json_object_object_add(o, "global_batch", json_object_new_uint64(t->spec.global_batch));
	json_object_object_add(o, "start", wv_tune_point_json(&t->spec.space.start, ""));
	json_object_object_add(o, "knobs", knobs);
	json_object_object_add(o, "limits", limits);
	snprintf(text, sizeof(text),
		 "the point is taken if the lower end of the 95 %% interval of its gain over the "
		 "start, from pairs with one seed, is above %.1f %%%s; else the start is kept",
		 l->gain_ppm / 1e4, l->guard ? ", and its losses are those of the start" : "");
	json_object_object_add(o, "rule", json_object_new_string(text));
	return o;
}

static struct wv_tuning *new_tuning(const char *path)
{
	struct wv_tuning *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->io = &wv_io_system;
	t->dir = -1;
	snprintf(t->path, sizeof(t->path), "%s", path);
	return t;
}

/* Opens the folder, and gets its absolute path: trials may run elsewhere. */
static int open_folder(struct wv_tuning *t)
{
	_cleanup_free_ char *whole = realpath(t->path, NULL);

	t->dir = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!whole || t->dir < 0)
		return -errno;
	if (strlen(whole) >= sizeof(t->path) - 48) /* with the names of trials */
		return -ENAMETOOLONG;
	strcpy(t->path, whole);
	if (t->spec.cache_dir[0])
		snprintf(t->cache_dir, sizeof(t->cache_dir), "%s", t->spec.cache_dir);
	else
		snprintf(t->cache_dir, sizeof(t->cache_dir), "%.380s/cache", t->path);
	return 0;
}

static uint32_t knobs_named(const char *text)
{
	uint32_t bits = 0;
	char word[40];

	for (int i = 0; i < WV_TUNE_KNOB_N; i++) {
		snprintf(word, sizeof(word), "{%s}", wv_tune_knobs[i].name);
		if (strstr(text, word))
			bits |= 1U << i;
	}
	return bits;
}

static int start_engine(struct wv_tuning *t)
{
	for (char **a = t->argv; *a; a++)
		t->templated |= knobs_named(*a);
	for (size_t i = 0; i < t->spec.arguments.n; i++)
		t->templated |= knobs_named(t->spec.arguments.list[i]);
	for (size_t i = 0; i < t->spec.n_environment; i++)
		t->templated |= knobs_named(t->spec.environment[i].value);
	t->tuner = wv_tune_new(&t->spec.space, &t->spec.limits);
	if (!t->tuner)
		return -errno;
	return 0;
}

static int fail(struct wv_tuning *t, int r, const char *what, struct wv_config_error *ret_error)
{
	if (!ret_error->text[0])
		(void)wv_config_fail(ret_error, "%.250s: %.60s: %s", t->path, what,
				     strerror(r < 0 ? -r : EIO));
	wv_tuning_free(t);
	return r;
}

int wv_tuning_plan(const char *name, const char *text, size_t len, uint32_t cpus,
		   struct wv_tuning **ret, struct wv_config_error *ret_error)
{
	struct wv_tuning *t = new_tuning("");
	int r;

	ret_error->text[0] = '\0';
	if (!t)
		return -ENOMEM;
	r = wv_tune_spec_parse(&t->spec, name, text, len, cpus, ret_error);
	if (r < 0)
		return fail(t, r, "specification", ret_error);
	*ret = t;
	return 0;
}

int wv_tuning_create(const char *path, const char *name, const char *text, size_t len,
		     char *const *argv, uint32_t cpus, struct wv_tuning **ret,
		     struct wv_config_error *ret_error)
{
	struct wv_tuning *t = new_tuning(path);
	int r;

	ret_error->text[0] = '\0';
	if (!t)
		return -ENOMEM;
	t->argv = copy_argv(argv);
	t->cpus = cpus;
	r = wv_tune_spec_parse(&t->spec, name, text, len, cpus, ret_error);
	if (r == 0)
		r = start_engine(t);
	if (r < 0)
		return fail(t, r, "tuner", ret_error);
	r = wv_io_mkdirs(t->io, path, 0755);
	if (r == 0)
		r = open_folder(t);
	if (r == 0 && faccessat(t->dir, "spec.yaml", F_OK, 0) == 0) {
		(void)wv_config_fail(ret_error, "%.250s: there is a tuning: go on with --resume",
				     path);
		r = -EEXIST;
	}
	if (r == 0)
		r = t->io->mkdir(t->io->ctx, t->dir, "trials", 0755);
	if (r == 0 || r == -EEXIST)
		r = ret_error->text[0] ? r : put(t, t->dir, "spec.yaml", "spec.yaml", text, len);
	if (r == 0)
		r = put_json(t, t->dir, "manifest.json", "manifest.json", wv_tune_manifest(t));
	if (r == 0)
		r = put_json(t, t->dir, "preregistration.json", "preregistration.json",
			     preregistration(t));
	if (r < 0)
		return fail(t, r, "cannot be written", ret_error);
	*ret = t;
	return 0;
}

static uint64_t mean_ns(const struct wv_tune_trial *trial, const struct wv_tune_steps *s)
{
	uint64_t sum = 0;

	for (uint32_t i = trial->warmup; i < s->n; i++)
		sum += s->step_ns[i];
	return s->n > trial->warmup ? sum / (s->n - trial->warmup) : 0;
}

/* Reads the trial's own files again, as whoever verifies does: one way, whoever asks. */
static int tell(struct wv_tuning *t, int dir, const struct wv_tune_trial *trial,
		const struct wv_tune_exit *run)
{
	static const char *const kept[] = {"stdout", "stderr"};
	_cleanup_free_ struct wv_tune_steps *steps = calloc(1, sizeof(*steps));
	_cleanup_free_ struct wv_tune_outcome *outcome = calloc(1, sizeof(*outcome));
	_cleanup_free_ char *text = NULL, *where = NULL;
	struct wv_tune_done *d = &t->done[t->n_done];
	char base[32], as[48];
	size_t len = 0, where_len = 0;
	int r;

	if (!steps || !outcome)
		return -ENOMEM;
	if (t->n_done == WV_TUNE_RUNS)
		return -ENOSPC;
	wv_tuning_name(trial->id, base, sizeof(base));
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		_cleanup_free_ char *bytes = NULL;

		snprintf(as, sizeof(as), "%s/%s", base, kept[i]);
		r = wv_tuning_take(t, dir, kept[i], as, SMALL_MAX, &bytes, &len);
		if (r < 0)
			return r;
	}
	snprintf(as, sizeof(as), "%s/steps.jsonl", base);
	r = wv_tuning_take(t, dir, "steps.jsonl", as, WV_TUNE_STEPS_FILE_MAX, &text, &len);
	if (r == 0)
		(void)wv_tune_steps_parse(text, len, steps); /* its why is in the outcome */
	else if (r == -EFBIG)
		snprintf(steps->why, sizeof(steps->why), "larger than 4 MiB");
	else if (r != -ENOENT) /* it never told of a step */
		return r;
	snprintf(as, sizeof(as), "%s/where.jsonl", base);
	r = wv_tuning_take(t, dir, "where.jsonl", as, WV_TUNE_WHERE_MAX, &where, &where_len);
	if (r < 0 && r != -ENOENT)
		return r;
	*d = (struct wv_tune_done){.trial = *trial, .run = *run};
	wv_tune_outcome_of(trial, run, steps, where, where_len, t->templated, outcome, d->why);
	d->status = outcome->status;
	d->shares = outcome->shares;
	d->step_ns = mean_ns(trial, steps);
	d->throughput = wv_tune_throughput(trial, steps, t->spec.metric == WV_TUNE_TOKENS);
	snprintf(d->ignored, sizeof(d->ignored), "%s", steps->ignored);
	if (!t->torch[0])
		snprintf(t->torch, sizeof(t->torch), "%s", steps->torch);
	r = wv_tune_replay(t->tuner, trial, outcome, 1, NULL);
	if (r == 0)
		t->n_done++;
	return r;
}

int wv_tuning_lock(struct wv_tuning *t)
{
	return t->io->lock(t->io->ctx, t->dir, false);
}

int wv_tuning_begin(struct wv_tuning *t, const struct wv_tune_trial *trial, int *ret_dir)
{
	static const char *const old[] = {"run.json", "steps.jsonl", "where.jsonl", "stdout",
					  "stderr"};
	char base[32], as[48];
	int dir, r;

	wv_tuning_name(trial->id, base, sizeof(base));
	r = t->io->mkdir(t->io->ctx, t->dir, base, 0755);
	if (r < 0 && r != -EEXIST)
		return r;
	dir = t->io->open(t->io->ctx, t->dir, base, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (dir < 0)
		return dir;
	/* of one that was interrupted */
	for (size_t i = 0; i < ARRAY_SIZE(old); i++)
		(void)t->io->unlink(t->io->ctx, dir, old[i]);
	snprintf(as, sizeof(as), "%s/trial.json", base);
	r = put_json(t, dir, "trial.json", as, wv_tune_trial_json(trial));
	if (r == 0) {
		snprintf(as, sizeof(as), "%s/knobs.json", base);
		r = put_json(t, dir, "knobs.json", as,
			     wv_tune_point_json(&trial->point, trial->point.value[WV_TUNE_CACHE] ==
									       WV_TUNE_CACHE_SSD
								       ? t->cache_dir
								       : ""));
	}
	if (r < 0) {
		close(dir);
		return r;
	}
	*ret_dir = dir;
	return 0;
}

int wv_tuning_end(struct wv_tuning *t, int dir, const struct wv_tune_trial *trial,
		  const struct wv_tune_exit *run, const char *out, size_t out_len, const char *err,
		  size_t err_len)
{
	_cleanup_close_ int steps = openat(dir, "steps.jsonl", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char base[32], as[48];
	int r = wv_io_replace(t->io, dir, "stdout", out, out_len, 0644);

	if (r == 0)
		r = wv_io_replace(t->io, dir, "stderr", err, err_len, 0644);
	/* durable before it counts */
	if (r == 0 && steps >= 0)
		r = t->io->fsync(t->io->ctx, steps);
	wv_tuning_name(trial->id, base, sizeof(base));
	snprintf(as, sizeof(as), "%s/run.json", base);
	if (r == 0)
		r = put_json(t, dir, "run.json", as, wv_tune_exit_json(run));
	return r < 0 ? r : tell(t, dir, trial, run);
}

static int load_trial(struct wv_tuning *t, uint32_t id, struct wv_config_error *ret_error)
{
	struct json_object *planned = NULL, *ran = NULL, *knobs = NULL;
	struct wv_tune_trial trial;
	struct wv_tune_exit run;
	char base[32], as[48];
	_cleanup_close_ int dir = -1;
	int r;

	wv_tuning_name(id, base, sizeof(base));
	dir = openat(t->dir, base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || faccessat(dir, "run.json", F_OK, 0) < 0)
		return -ENOENT;
	snprintf(as, sizeof(as), "%s/trial.json", base);
	r = take_json(t, dir, "trial.json", as, &planned);
	snprintf(as, sizeof(as), "%s/knobs.json", base);
	if (r == 0)
		r = take_json(t, dir, "knobs.json", as, &knobs);
	snprintf(as, sizeof(as), "%s/run.json", base);
	if (r == 0)
		r = take_json(t, dir, "run.json", as, &ran);
	if (r == 0)
		r = wv_tune_trial_read(planned, &trial);
	if (r == 0)
		r = wv_tune_exit_read(ran, &run);
	json_object_put(planned);
	json_object_put(knobs);
	json_object_put(ran);
	if (r < 0)
		return wv_config_fail(ret_error, "%s: not as it was written (%s)", base,
				      strerror(-r));
	r = tell(t, dir, &trial, &run);
	if (r == -ESTALE)
		return wv_config_fail(ret_error,
				      "%s is not the trial that this tuner asks for after those "
				      "before it: another file was changed, or it is of another "
				      "version",
				      base);
	return r < 0 ? wv_config_fail(ret_error, "%s: %s", base, strerror(-r)) : 0;
}

/* In the order in which they were written, so that the list of files is the same. */
static int load_head(struct wv_tuning *t, struct wv_config_error *ret_error)
{
	struct json_object *pre = NULL, *o = NULL;
	_cleanup_free_ char *text = NULL, *manifest = NULL;
	size_t len, n;
	int r = wv_tuning_take(t, t->dir, "spec.yaml", "spec.yaml", WV_TUNE_SPEC_MAX, &text, &len);

	if (r == 0)
		r = wv_tuning_take(t, t->dir, "manifest.json", "manifest.json", SMALL_MAX,
				   &manifest, &n);
	if (r == 0)
		r = take_json(t, t->dir, "preregistration.json", "preregistration.json", &pre);
	if (r == 0)
		r = read_argv(t, pre);
	if (r == 0 && (!json_object_object_get_ex(pre, "spec_sha256", &o) ||
		       strcmp(json_object_get_string(o) ?: "", t->file[0].sha256) != 0))
		r = wv_config_fail(ret_error,
				   "%.250s/spec.yaml is not the one that was preregistered",
				   t->path);
	json_object_put(pre);
	if (r == 0)
		r = wv_tune_spec_parse(&t->spec, "spec.yaml", text, len, t->cpus, ret_error);
	return r < 0 ? r : start_engine(t);
}

int wv_tuning_open(const char *path, struct wv_tuning **ret, struct wv_config_error *ret_error)
{
	struct wv_tuning *t = new_tuning(path);
	int r;

	ret_error->text[0] = '\0';
	if (!t)
		return -ENOMEM;
	r = open_folder(t);
	if (r == 0)
		r = load_head(t, ret_error);
	if (r < 0)
		return fail(t, r, "no tuning", ret_error);
	for (uint32_t i = 0; r == 0 && i < WV_TUNE_RUNS; i++)
		r = load_trial(t, i, ret_error);
	if (r < 0 && r != -ENOENT)
		return fail(t, r, "no tuning", ret_error);
	/* that it has no more questions it finds when it is asked */
	(void)wv_tune_next(t->tuner, &(struct wv_tune_trial){0});
	*ret = t;
	return 0;
}

void wv_tuning_free(struct wv_tuning *t)
{
	if (!t)
		return;
	for (char **a = t->argv; a && *a; a++)
		free(*a);
	free(t->argv);
	wv_tune_free(t->tuner);
	wv_tune_spec_done(&t->spec);
	if (t->dir >= 0)
		close(t->dir);
	free(t);
}
