// SPDX-License-Identifier: GPL-2.0-only
/* Results: made from the trials, and compared with what stands in the folder. */
#include "user/tune/result.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

#define RESULT_MAX (4U << 20)

static void add(struct json_object *o, const char *key, struct json_object *v)
{
	(void)json_object_object_add(o, key, v);
}

static char *text_of(struct json_object *o)
{
	const char *text = o ? json_object_to_json_string_ext(
				       o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE)
			     : NULL;
	char *copy = text ? strdup(text) : NULL;

	json_object_put(o);
	return copy;
}

static const char *change_of(const struct wv_tuning *t, const struct wv_tune_point *p, char *buf,
			     size_t size)
{
	return wv_tune_point_change(&t->spec.space.start, p, buf, size);
}

/* Mean over the trials of one purpose, of which `pairs` are compared; 0: not told. */
static double throughput_of(const struct wv_tuning *t, enum wv_tune_purpose purpose)
{
	double sum = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n_done; i++) {
		const struct wv_tune_done *d = &t->done[i];

		if (d->trial.purpose != purpose || d->status != WV_TUNE_OK || d->throughput <= 0)
			continue;
		sum += d->throughput;
		n++;
	}
	return n ? sum / n : 0;
}

/* Energy of a sample (token), of the confirming trials of one arm; 0: not measured. */
static double energy_of(const struct wv_tuning *t, enum wv_tune_purpose purpose)
{
	double joules = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n_done; i++) {
		const struct wv_tune_done *d = &t->done[i];

		if (d->trial.purpose != purpose || d->status != WV_TUNE_OK || d->throughput <= 0)
			continue;
		/* a mean of some trials only would be of other minutes than the throughput */
		if (!d->run.power_mw)
			return 0;
		joules += (double)d->run.power_mw / 1e3 / d->throughput;
		n++;
	}
	return n ? joules / n : 0;
}

static struct json_object *measured(double v)
{
	return v > 0 ? json_object_new_double(v) : NULL;
}

static struct json_object *share_json(const struct wv_tune_shares *s)
{
	struct json_object *o;

	if (!s->window)
		return NULL;
	o = json_object_new_object();
	add(o, "of", json_object_new_string(s->device ? "device" : "training thread"));
	add(o, "window_ns", json_object_new_uint64(s->window));
	add(o, "kernel_ns", json_object_new_uint64(s->kernel));
	add(o, "exposed_comms_ns", json_object_new_uint64(s->exposed));
	add(o, "memory_ns", json_object_new_uint64(s->memory));
	for (int i = 0; i < WV_GPU_CAUSE_N; i++)
		if (s->cause_ns[i])
			add(o, wv_gpu_cause_names[i], json_object_new_uint64(s->cause_ns[i]));
	return o;
}

static struct json_object *done_json(const struct wv_tuning *t, const struct wv_tune_done *d)
{
	struct json_object *o = json_object_new_object();
	char text[512];

	add(o, "id", json_object_new_uint64(d->trial.id));
	add(o, "purpose", json_object_new_string(wv_tune_purpose_names[d->trial.purpose]));
	add(o, "change", json_object_new_string(change_of(t, &d->trial.point, text, sizeof(text))));
	add(o, "status", json_object_new_string(wv_tune_status_names[d->status]));
	add(o, "why", json_object_new_string(d->why));
	add(o, "reason", json_object_new_string(d->trial.reason));
	add(o, "ignored", json_object_new_string(d->ignored));
	add(o, "step_ns", json_object_new_uint64(d->step_ns));
	add(o, "per_second", json_object_new_double(d->throughput));
	add(o, "elapsed_ns", json_object_new_uint64(d->run.elapsed_ns));
	add(o, "watts", measured((double)d->run.power_mw / 1e3));
	add(o, "time", share_json(&d->shares));
	return o;
}

static struct json_object *files_json(const struct wv_tuning *t)
{
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < t->n_files; i++)
		add(o, t->file[i].name, json_object_new_string(t->file[i].sha256));
	return o;
}

char *wv_tuning_result_text(const struct wv_tuning *t)
{
	struct json_object *o = json_object_new_object(), *trials = json_object_new_array();
	struct wv_tune_result r;
	char text[512];

	if (!o || !trials)
		return NULL;
	wv_tune_result(t->tuner, &r);
	add(o, "format", json_object_new_string("waveos-tuning-result"));
	add(o, "version", json_object_new_int(1));
	add(o, "name", json_object_new_string(t->spec.name));
	add(o, "end", json_object_new_string(wv_tune_end_names[r.end]));
	add(o, "why", json_object_new_string(r.why));
	add(o, "change", json_object_new_string(change_of(t, &r.point, text, sizeof(text))));
	add(o, "knobs", wv_tune_point_json(&r.point, ""));
	add(o, "speedup", json_object_new_double(1 + r.gain));
	add(o, "speedup_low", json_object_new_double(1 + r.gain_low));
	add(o, "speedup_high", json_object_new_double(1 + r.gain_high));
	add(o, "pairs", json_object_new_uint64(r.pairs));
	add(o, "guard", json_object_new_string(wv_tune_guard_names[r.guard]));
	add(o, "guard_text", json_object_new_string(r.guard_text));
	add(o, "bottleneck_before", json_object_new_string(wv_gpu_bottleneck_names[r.was]));
	add(o, "bottleneck_after", json_object_new_string(wv_gpu_bottleneck_names[r.is]));
	add(o, "metric",
	    json_object_new_string(t->spec.metric == WV_TUNE_TOKENS ? "tokens/s" : "samples/s"));
	add(o, "start_per_second", json_object_new_double(throughput_of(t, WV_TUNE_CONFIRM_A)));
	add(o, "best_per_second", json_object_new_double(throughput_of(t, WV_TUNE_CONFIRM_B)));
	/* null: no device told of its energy */
	add(o, "start_joules_each", measured(energy_of(t, WV_TUNE_CONFIRM_A)));
	add(o, "best_joules_each", measured(energy_of(t, WV_TUNE_CONFIRM_B)));
	add(o, "torch", json_object_new_string(t->torch));
	add(o, "trials", json_object_new_uint64(r.trials));
	add(o, "runs", json_object_new_uint64(r.runs));
	add(o, "elapsed_ns", json_object_new_uint64(r.elapsed_ns));
	for (uint32_t i = 0; i < t->n_done; i++)
		(void)json_object_array_add(trials, done_json(t, &t->done[i]));
	add(o, "list", trials);
	add(o, "files", files_json(t));
	return text_of(o);
}

char *wv_tuning_knobs_text(const struct wv_tuning *t)
{
	struct wv_tune_result r;

	wv_tune_result(t->tuner, &r);
	return text_of(wv_tune_point_json(
		&r.point,
		r.point.value[WV_TUNE_CACHE] == WV_TUNE_CACHE_SSD ? t->spec.cache_dir : ""));
}

static void report_trial(struct wv_text *x, const struct wv_tuning *t, const struct wv_tune_done *d)
{
	const struct wv_tune_shares *s = &d->shares;
	char change[512];

	wv_text_printf(x, "| %u | %s | ", d->trial.id, wv_tune_purpose_names[d->trial.purpose]);
	wv_text_markdown(x, change_of(t, &d->trial.point, change, sizeof(change)));
	wv_text_printf(x, " | %s | ", wv_tune_status_names[d->status]);
	if (d->step_ns)
		wv_text_printf(x, "%.2f ms | ", (double)d->step_ns / 1e6);
	else
		wv_text_str(x, "- | ");
	if (s->window)
		wv_text_printf(x, "%.0f %% | ",
			       100.0 * (double)s->cause_ns[WV_GPU_CAUSE_INPUT] / (double)s->window);
	else
		wv_text_str(x, "- | ");
	wv_text_markdown(x, d->why[0] ? d->why : d->trial.reason);
	wv_text_str(x, " |\n");
}

char *wv_tuning_report_text(const struct wv_tuning *t)
{
	struct wv_text x = {.max = RESULT_MAX};
	struct wv_tune_result r;
	char change[512];

	wv_tune_result(t->tuner, &r);
	wv_text_str(&x, "# Tuning: ");
	wv_text_markdown(&x, t->spec.name);
	wv_text_str(&x, "\n\n");
	if (r.end == WV_TUNE_IMPROVED)
		wv_text_printf(&x, "**%.2f times as fast** (95 %%: %.2f to %.2f, %u pairs) with ",
			       1 + r.gain, 1 + r.gain_low, 1 + r.gain_high, r.pairs);
	else
		wv_text_printf(&x, "**%s**: ", wv_tune_end_names[r.end]);
	wv_text_markdown(&x, r.end == WV_TUNE_IMPROVED
				     ? change_of(t, &r.point, change, sizeof(change))
				     : r.why);
	wv_text_printf(&x,
		       ".\n\nBottleneck: %s before, %s after. Losses: %s. %u trials, %u runs, "
		       "%.1f s. ",
		       wv_gpu_bottleneck_names[r.was], wv_gpu_bottleneck_names[r.is],
		       r.guard_text[0] ? r.guard_text : wv_tune_guard_names[r.guard], r.trials,
		       r.runs, (double)r.elapsed_ns / 1e9);
	if (energy_of(t, WV_TUNE_CONFIRM_B) > 0)
		wv_text_printf(&x, "Energy of a %s: %.4g J before, %.4g J after.\n\n",
			       t->spec.metric == WV_TUNE_TOKENS ? "token" : "sample",
			       energy_of(t, WV_TUNE_CONFIRM_A), energy_of(t, WV_TUNE_CONFIRM_B));
	else
		wv_text_str(&x, "Energy was not measured.\n\n");
	wv_text_str(&x, "| # | purpose | change | status | step (mean) | waited for input | why |\n"
			"| ---: | --- | --- | --- | ---: | ---: | --- |\n");
	for (uint32_t i = 0; i < t->n_done; i++)
		report_trial(&x, t, &t->done[i]);
	wv_text_str(&x,
		    "\nEach number follows from the files beside this one: `waveos-bpf evidence "
		    "verify DIR` works them out again.\n");
	if (wv_text_end(&x) < 0) {
		wv_text_done(&x);
		return NULL;
	}
	return x.data;
}

static const struct {
	const char *name;
	char *(*make)(const struct wv_tuning *t);
} results[] = {{"report.md", wv_tuning_report_text},
	       {"tuned-knobs.json", wv_tuning_knobs_text},
	       {"result.json", wv_tuning_result_text}}; /* last: with it there is a result */

int wv_tuning_conclude(const struct wv_tuning *t)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(results); i++) {
		_cleanup_free_ char *text = results[i].make(t);

		r = text ? wv_io_replace(t->io, t->dir, results[i].name, text, strlen(text), 0644)
			 : -ENOMEM;
	}
	return r;
}

struct compared {
	void (*finding)(void *ctx, const char *text);
	void *ctx;
	int n;
};

static void _printf_(2, 3) find(struct compared *c, const char *format, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	c->n++;
	c->finding(c->ctx, text);
}

/* Names what differs: files by their hashes, everything else by its key. */
static void compare_objects(struct compared *c, const char *where, struct json_object *is,
			    struct json_object *should)
{
	json_object_object_foreach(should, key, v)
	{
		struct json_object *other = NULL;

		if (json_object_object_get_ex(is, key, &other) && json_object_equal(v, other))
			continue;
		if (json_object_is_type(v, json_type_object) &&
		    json_object_is_type(other, json_type_object))
			compare_objects(c, key, other, v);
		else if (strcmp(where, "files") == 0)
			find(c, "%s is not the file that it was", key);
		else
			find(c, "%s of the result is %.80s; the trials give %.80s", key,
			     json_object_to_json_string(other), json_object_to_json_string(v));
	}
	json_object_object_foreach(is, name, w)
	{
		struct json_object *mine;

		(void)w;
		if (!json_object_object_get_ex(should, name, &mine))
			find(c,
			     strcmp(where, "files") == 0 ? "%s is gone"
							 : "%s stands in the result and should not",
			     name);
	}
}

int wv_tuning_verify(const struct wv_tuning *t, void (*finding)(void *ctx, const char *text),
		     void *ctx)
{
	struct compared c = {.finding = finding, .ctx = ctx};
	bool any = faccessat(t->dir, "result.json", F_OK, 0) == 0;

	for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
		_cleanup_free_ char *is = NULL, *should = results[i].make(t);
		struct json_object *a, *b;
		int r = wv_io_read_file(t->io, t->dir, results[i].name, RESULT_MAX, &is, NULL);

		if (!should)
			return -ENOMEM;
		if (r == -ENOENT) {
			if (any)
				find(&c, "%s is gone", results[i].name);
			continue;
		}
		if (r < 0)
			return r;
		if (strcmp(is, should) == 0)
			continue;
		a = json_tokener_parse(is);
		b = json_tokener_parse(should);
		if (json_object_is_type(a, json_type_object) && b && !json_object_equal(a, b))
			compare_objects(&c, results[i].name, a, b);
		else
			find(&c, "%s is not what follows from the trials", results[i].name);
		json_object_put(a);
		json_object_put(b);
	}
	if (!any && c.n == 0)
		return -EINPROGRESS;
	return c.n;
}
