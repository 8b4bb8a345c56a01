// SPDX-License-Identifier: GPL-2.0-only
/* Where a trial's time went: written, and read again. */
#include "user/tune/where.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "user/core/cleanup.h"

static bool has_room(FILE *f)
{
	long at = f ? ftell(f) : -1;

	return at >= 0 && at < (long)WV_TUNE_WHERE_MAX - 4096;
}

static void put_parts(FILE *f, const uint64_t *cause, const uint64_t *input)
{
	const char *comma = "";

	fputs(",\"cause\":{", f);
	for (int i = 0; i < WV_GPU_CAUSE_N; i++) {
		if (!cause[i])
			continue;
		fprintf(f, "%s\"%s\":%" PRIu64, comma, wv_gpu_cause_names[i], cause[i]);
		comma = ",";
	}
	comma = "";
	fputs("},\"input\":{", f);
	for (int i = 0; i < WV_GPU_INPUT_N; i++) {
		if (!input[i])
			continue;
		fprintf(f, "%s\"%s\":%" PRIu64, comma, wv_gpu_input_names[i], input[i]);
		comma = ",";
	}
	fputs("}}\n", f);
}

void wv_tune_where_window(FILE *f, const struct wv_gpu_told *w)
{
	const struct wv_gpu_shares *s = &w->sums.shares;

	if (!has_room(f))
		return;
	fprintf(f,
		"{\"device\":%u,\"begin\":%" PRIu64 ",\"end\":%" PRIu64 ",\"kernel\":%" PRIu64
		",\"exposed\":%" PRIu64 ",\"memory\":%" PRIu64,
		w->device, w->begin, w->end, s->kernel, s->exposed, s->memory);
	put_parts(f, w->sums.cause_ns, w->sums.input_ns);
}

void wv_tune_where_step(FILE *f, const struct wv_gpu_told_step *s)
{
	if (!has_room(f))
		return;
	fprintf(f, "{\"tid\":%d,\"begin\":%" PRIu64 ",\"end\":%" PRIu64, s->tid, s->begin, s->end);
	put_parts(f, s->cause_ns, s->input_ns);
}

static bool get(struct json_object *o, const char *key, uint64_t *ret)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int) ||
	    json_object_get_int64(v) < 0)
		return false;
	*ret = json_object_get_uint64(v);
	return true;
}

static void add_named(struct json_object *o, const char *key, const char *const *names, int n,
		      uint64_t *to)
{
	struct json_object *parts = NULL;
	uint64_t v;

	(void)json_object_object_get_ex(o, key, &parts);
	for (int i = 0; i < n; i++)
		if (parts && get(parts, names[i], &v))
			to[i] += v;
}

struct sums {
	struct wv_tune_shares device, thread;
	uint64_t begin, end; /* of the steps that count */
	uint64_t tid;	     /* 0: any */
};

static int take_line(struct sums *s, struct json_object *o)
{
	uint64_t begin, end, tid, kernel, exposed, memory;
	bool thread = json_object_object_get_ex(o, "tid", NULL);
	struct wv_tune_shares *to = thread ? &s->thread : &s->device;

	if (!get(o, "begin", &begin) || !get(o, "end", &end) || end <= begin)
		return -EBADMSG;
	if (thread ? !get(o, "tid", &tid)
		   : !get(o, "kernel", &kernel) || !get(o, "exposed", &exposed) ||
			     !get(o, "memory", &memory))
		return -EBADMSG;
	/* wholly in the steps that are measured */
	if (begin < s->begin || end > s->end || (thread && s->tid && tid != s->tid))
		return 0;
	to->window += end - begin;
	if (!thread) {
		to->kernel += kernel;
		to->exposed += exposed;
		to->memory += memory;
	}
	add_named(o, "cause", wv_gpu_cause_names, WV_GPU_CAUSE_N, to->cause_ns);
	add_named(o, "input", wv_gpu_input_names, WV_GPU_INPUT_N, to->input_ns);
	return 0;
}

static uint64_t scaled(uint64_t part, uint64_t of, uint64_t to)
{
	return of ? (uint64_t)((double)to * (double)part / (double)of) : 0;
}

/* The program's own word for how long it waited, split as the wake chains saw it. */
static void of_thread(const struct sums *sums, const struct wv_tune_steps *s, uint32_t from,
		      struct wv_tune_shares *ret)
{
	const struct wv_tune_shares *w = &sums->thread;
	uint64_t input = 0, rest, seen = 0, kinds = 0, used = 0;

	*ret = (struct wv_tune_shares){0};
	for (uint32_t i = from; i < s->n; i++) {
		ret->window += s->step_ns[i];
		input += s->wait_ns[i];
	}
	for (int c = 0; c < WV_GPU_CAUSE_N; c++)
		seen += c == WV_GPU_CAUSE_INPUT ? 0 : w->cause_ns[c];
	for (int k = 0; k < WV_GPU_INPUT_N; k++)
		kinds += w->input_ns[k];
	rest = ret->window - input;
	for (int c = 0; c < WV_GPU_CAUSE_N; c++) {
		if (c == WV_GPU_CAUSE_INPUT)
			continue;
		ret->cause_ns[c] = scaled(w->cause_ns[c], seen, rest);
		used += ret->cause_ns[c];
	}
	/* what rounding left, and all of it where nothing else is known */
	ret->cause_ns[WV_GPU_CAUSE_HOST] += rest > used ? rest - used : 0;
	ret->cause_ns[WV_GPU_CAUSE_INPUT] = input;
	used = 0;
	for (int k = 0; k < WV_GPU_INPUT_N; k++) {
		ret->input_ns[k] = scaled(w->input_ns[k], kinds, input);
		used += ret->input_ns[k];
	}
	ret->input_ns[WV_GPU_INPUT_OTHER] += input > used ? input - used : 0;
}

int wv_tune_where_shares(const char *text, size_t len, const struct wv_tune_steps *s, uint32_t from,
			 struct wv_tune_shares *ret)
{
	struct sums sums = {.tid = (uint64_t)s->tid};
	const char *end = text ? text + len : NULL, *newline;
	int r = 0;

	*ret = (struct wv_tune_shares){0};
	if (s->n <= from)
		return 0;
	sums.begin = s->begin[from];
	sums.end = s->end[s->n - 1];
	while (text && r == 0 && text < end &&
	       (newline = memchr(text, '\n', (size_t)(end - text)))) {
		_cleanup_free_ char *line = strndup(text, (size_t)(newline - text));
		struct json_object *o = line ? json_tokener_parse(line) : NULL;

		r = json_object_is_type(o, json_type_object) ? take_line(&sums, o) : -EBADMSG;
		json_object_put(o);
		text = newline + 1;
	}
	if (r < 0)
		sums = (struct sums){0};
	if (sums.device.kernel) {
		*ret = sums.device;
		ret->device = true;
	} else if (s->waits) {
		of_thread(&sums, s, from, ret);
	} else {
		*ret = sums.thread;
	}
	return r;
}
