// SPDX-License-Identifier: GPL-2.0-only
/* The reader of steps. */
#include "gpu/tune/steps.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"

#define DEPTH_MAX 6

static int wrong(struct wv_tune_steps *s, uint64_t line, const char *what)
{
	snprintf(s->why, sizeof(s->why), "line %llu: %s", (unsigned long long)line, what);
	return -EBADMSG;
}

/* 1: there; 0: not; -EBADMSG: no whole number from 0. */
static int get_uint(struct json_object *o, const char *key, uint64_t *ret)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !v)
		return 0;
	if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < 0)
		return -EBADMSG;
	*ret = json_object_get_uint64(v);
	return 1;
}

/* 1: there; 0: not; -EBADMSG: no number. NaN and infinity are NAN. */
static int get_double(struct json_object *o, const char *key, double *ret)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !v)
		return 0;
	if (!json_object_is_type(v, json_type_int) && !json_object_is_type(v, json_type_double))
		return -EBADMSG;
	*ret = json_object_get_double(v);
	if (!isfinite(*ret))
		*ret = NAN;
	return 1;
}

static void copy_text(struct json_object *v, char *to, size_t size)
{
	if (!json_object_is_type(v, json_type_string))
		return;
	snprintf(to, size, "%s", json_object_get_string(v));
	wv_make_printable(to);
}

static void take_hello(struct wv_tune_steps *s, struct json_object *o)
{
	struct json_object *v;
	uint64_t tid = 0;
	size_t n = 0;

	s->hello = true;
	s->ignored_knobs = 0;
	s->ignored[0] = '\0';
	if (json_object_object_get_ex(o, "torch", &v))
		copy_text(v, s->torch, sizeof(s->torch));
	if (get_uint(o, "tid", &tid) > 0 && tid <= INT32_MAX)
		s->tid = (int32_t)tid;
	if (!json_object_object_get_ex(o, "ignored", &v) ||
	    !json_object_is_type(v, json_type_object))
		return;
	json_object_object_foreach(v, name, why)
	{
		char text[96] = "";
		enum wv_tune_knob knob;

		if (wv_tune_knob_find(name, &knob) == 0)
			s->ignored_knobs |= 1U << knob;
		copy_text(why, text, sizeof(text));
		if (n < sizeof(s->ignored))
			n += (size_t)snprintf(s->ignored + n, sizeof(s->ignored) - n, "%s%.40s: %s",
					      n ? "; " : "", name, text);
	}
	wv_make_printable(s->ignored);
}

static int take_times(struct wv_tune_steps *s, struct json_object *o, uint32_t i, uint64_t line)
{
	uint64_t before = i ? s->end[i - 1] : 0, from;

	if (get_uint(o, "step", &s->number[i]) <= 0 || get_uint(o, "begin_ns", &s->begin[i]) <= 0 ||
	    get_uint(o, "end_ns", &s->end[i]) <= 0)
		return wrong(s, line, "step, begin_ns and end_ns are whole numbers");
	if (i && s->number[i] <= s->number[i - 1])
		return wrong(s, line, "step does not grow");
	from = i ? before : s->begin[i];
	if (s->begin[i] < before || s->end[i] <= s->begin[i])
		return wrong(s, line, "times do not go forward");
	if (s->end[i] - from > WV_TUNE_STEP_NS_MAX)
		return wrong(s, line, "a step of more than an hour");
	s->step_ns[i] = s->end[i] - from;
	return 0;
}

static int take_step(struct wv_tune_steps *s, struct json_object *o, uint64_t line)
{
	uint32_t i = s->n;
	uint64_t peak = 0, wait = 0;
	double loss = NAN;
	int r;

	if (i == WV_TUNE_STEPS) {
		s->more++;
		return 0;
	}
	r = take_times(s, o, i, line);
	if (r < 0)
		return r;
	s->samples[i] = s->tokens[i] = NAN;
	if (get_double(o, "samples", &s->samples[i]) < 0 || s->samples[i] < 0 ||
	    get_double(o, "tokens", &s->tokens[i]) < 0 || s->tokens[i] < 0 ||
	    get_uint(o, "peak_bytes", &peak) < 0 || get_uint(o, "wait_ns", &wait) < 0)
		return wrong(s, line, "samples, tokens, peak_bytes, wait_ns are numbers from 0");
	r = get_double(o, "loss", &loss);
	if (r < 0)
		return wrong(s, line, "loss is a number");
	/* a loss that was told and is not finite is what the guard looks for */
	s->losses = s->losses || r > 0;
	s->loss[i] = r > 0 && isnan(loss) ? INFINITY : (float)loss;
	s->waits = s->waits || json_object_object_get_ex(o, "wait_ns", NULL);
	s->wait_ns[i] = wait < s->step_ns[i] ? wait : s->step_ns[i];
	if (peak > s->peak_bytes)
		s->peak_bytes = peak;
	s->n++;
	return 0;
}

static int take_line(struct wv_tune_steps *s, struct json_tokener *t, const char *text, size_t len,
		     uint64_t line)
{
	struct json_object *o, *v;
	int r = 0;

	if (len >= WV_TUNE_STEP_LINE_MAX)
		return wrong(s, line, "longer than 4095 bytes");
	json_tokener_reset(t);
	o = json_tokener_parse_ex(t, text, (int)len + 1);
	if (!json_object_is_type(o, json_type_object))
		r = wrong(s, line, "no JSON object");
	else if (json_object_object_get_ex(o, "hello", &v))
		take_hello(s, o);
	else if (json_object_object_get_ex(o, "oom", &v))
		s->oom = s->oom || json_object_get_boolean(v);
	else if (json_object_object_get_ex(o, "step", &v))
		r = take_step(s, o, line);
	json_object_put(o); /* other objects are of a newer program: passed over */
	return r;
}

int wv_tune_steps_parse(const char *text, size_t len, struct wv_tune_steps *ret)
{
	struct json_tokener *t = json_tokener_new_ex(DEPTH_MAX);
	const char *end = text + len, *newline;
	char buf[WV_TUNE_STEP_LINE_MAX];
	uint64_t line = 0;
	int r = t ? 0 : -ENOMEM;

	memset(ret, 0, sizeof(*ret));
	while (r == 0 && text < end && (newline = memchr(text, '\n', (size_t)(end - text)))) {
		size_t n = (size_t)(newline - text);

		line++;
		if (n >= sizeof(buf)) {
			r = wrong(ret, line, "longer than 4095 bytes");
			break;
		}
		memcpy(buf, text, n);
		buf[n] = '\0';
		if (n)
			r = strlen(buf) == n ? take_line(ret, t, buf, n, line)
					     : wrong(ret, line, "a NUL byte");
		text = newline + 1;
	}
	json_tokener_free(t);
	return r;
}

void wv_tune_steps_outcome(const struct wv_tune_steps *s, struct wv_tune_outcome *ret)
{
	ret->n_steps = s->n;
	memcpy(ret->step_ns, s->step_ns, s->n * sizeof(s->step_ns[0]));
	memcpy(ret->loss, s->loss, s->n * sizeof(s->loss[0]));
	ret->losses = s->losses;
	ret->peak_bytes = s->peak_bytes;
}
