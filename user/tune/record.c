// SPDX-License-Identifier: GPL-2.0-only
/* Trials as JSON, and outcomes from what was kept. */
#include "user/tune/record.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void add(struct json_object *o, const char *key, struct json_object *v)
{
	(void)json_object_object_add(o, key, v);
}

static void add_u64(struct json_object *o, const char *key, uint64_t v)
{
	add(o, key, json_object_new_uint64(v));
}

static struct json_object *value_json(enum wv_tune_knob knob, int32_t value)
{
	char text[32];

	switch (wv_tune_knobs[knob].kind) {
	case WV_TUNE_BOOL:
		return json_object_new_boolean(value);
	case WV_TUNE_CHOICE:
		return json_object_new_string(wv_tune_value_text(knob, value, text, sizeof(text)));
	default:
		return json_object_new_int(value);
	}
}

struct json_object *wv_tune_point_json(const struct wv_tune_point *p, const char *cache_dir)
{
	struct json_object *o = json_object_new_object();

	for (int i = 0; o && i < WV_TUNE_KNOB_N; i++)
		if (p->value[i] != WV_TUNE_UNSET)
			add(o, wv_tune_knobs[i].name,
			    value_json((enum wv_tune_knob)i, p->value[i]));
	if (o && *cache_dir)
		add(o, "loader.cache_dir", json_object_new_string(cache_dir));
	return o;
}

struct json_object *wv_tune_trial_json(const struct wv_tune_trial *t)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	add_u64(o, "id", t->id);
	add(o, "purpose", json_object_new_string(wv_tune_purpose_names[t->purpose]));
	add_u64(o, "pair", t->pair);
	add_u64(o, "steps", t->steps);
	add_u64(o, "warmup", t->warmup);
	add_u64(o, "seed", t->seed);
	add_u64(o, "timeout_ns", t->timeout_ns);
	add(o, "knobs", wv_tune_point_json(&t->point, ""));
	add(o, "reason", json_object_new_string(t->reason));
	return o;
}

struct json_object *wv_tune_exit_json(const struct wv_tune_exit *r)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	add(o, "started", json_object_new_boolean(r->started));
	add(o, "error", json_object_new_int(r->error));
	add(o, "exit_code", json_object_new_int(r->exit_code));
	add(o, "signal", json_object_new_int(r->signal));
	add(o, "timed_out", json_object_new_boolean(r->timed_out));
	add(o, "memory_held", json_object_new_boolean(r->held));
	add_u64(o, "oom_kills", r->oom_kills);
	add_u64(o, "host_peak_bytes", r->host_peak_bytes);
	add_u64(o, "elapsed_ns", r->elapsed_ns);
	add_u64(o, "power_mw", r->power_mw);
	return o;
}

/* Readers: *bad is set by what is missing or of another kind. */
static uint64_t get_u64(struct json_object *o, const char *key, bool *bad)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int) ||
	    (json_object_get_int64(v) < 0)) {
		*bad = true;
		return 0;
	}
	return json_object_get_uint64(v);
}

static int get_int(struct json_object *o, const char *key, bool *bad)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int)) {
		*bad = true;
		return 0;
	}
	return json_object_get_int(v);
}

static bool get_bool(struct json_object *o, const char *key, bool *bad)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_boolean)) {
		*bad = true;
		return false;
	}
	return json_object_get_boolean(v);
}

static const char *get_text(struct json_object *o, const char *key, bool *bad)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string)) {
		*bad = true;
		return "";
	}
	return json_object_get_string(v);
}

static void read_point(struct json_object *o, struct wv_tune_point *ret, bool *bad)
{
	*ret = wv_tune_point_unset();
	if (!json_object_is_type(o, json_type_object)) {
		*bad = true;
		return;
	}
	json_object_object_foreach(o, name, v)
	{
		enum wv_tune_knob knob;

		if (wv_tune_knob_find(name, &knob) < 0 || !v ||
		    wv_tune_value_parse(knob, json_object_get_string(v), &ret->value[knob]) < 0)
			*bad = true;
	}
}

int wv_tune_trial_read(struct json_object *o, struct wv_tune_trial *ret)
{
	struct wv_tune_trial t = {0};
	struct json_object *knobs = NULL;
	bool bad = false;
	const char *purpose = get_text(o, "purpose", &bad);

	t.id = (uint32_t)get_u64(o, "id", &bad);
	while (t.purpose < WV_TUNE_PURPOSE_N &&
	       strcmp(wv_tune_purpose_names[t.purpose], purpose) != 0)
		t.purpose++;
	t.pair = (uint32_t)get_u64(o, "pair", &bad);
	t.steps = (uint32_t)get_u64(o, "steps", &bad);
	t.warmup = (uint32_t)get_u64(o, "warmup", &bad);
	t.seed = get_u64(o, "seed", &bad);
	t.timeout_ns = get_u64(o, "timeout_ns", &bad);
	(void)json_object_object_get_ex(o, "knobs", &knobs);
	read_point(knobs, &t.point, &bad);
	snprintf(t.reason, sizeof(t.reason), "%s", get_text(o, "reason", &bad));
	if (bad || t.purpose == WV_TUNE_PURPOSE_N || t.steps > WV_TUNE_STEPS || t.warmup > t.steps)
		return -EBADMSG;
	*ret = t;
	return 0;
}

int wv_tune_exit_read(struct json_object *o, struct wv_tune_exit *ret)
{
	bool bad = false;
	struct wv_tune_exit r = {
		.started = get_bool(o, "started", &bad),
		.error = get_int(o, "error", &bad),
		.exit_code = get_int(o, "exit_code", &bad),
		.signal = get_int(o, "signal", &bad),
		.timed_out = get_bool(o, "timed_out", &bad),
		.held = get_bool(o, "memory_held", &bad),
		.oom_kills = get_u64(o, "oom_kills", &bad),
		.host_peak_bytes = get_u64(o, "host_peak_bytes", &bad),
		.elapsed_ns = get_u64(o, "elapsed_ns", &bad),
		.power_mw = get_u64(o, "power_mw", &bad),
	};

	if (bad)
		return -EBADMSG;
	*ret = r;
	return 0;
}

static enum wv_tune_status status_of(const struct wv_tune_trial *t, const struct wv_tune_exit *r,
				     const struct wv_tune_steps *s, char why[WV_TUNE_TEXT])
{
	why[0] = '\0';
	if (!r->started) {
		snprintf(why, WV_TUNE_TEXT, "it was not started: %s", strerror(-r->error));
		return WV_TUNE_FAILED;
	}
	/* what the kernel killed for memory is no failure of the program, however it ended */
	if (s->oom || r->oom_kills || r->exit_code == WV_TRIAL_OOM_EXIT) {
		snprintf(why, WV_TUNE_TEXT, "out of memory (%s)",
			 r->oom_kills ? "the kernel killed it" : "its own word");
		return WV_TUNE_OOM;
	}
	if (r->timed_out) {
		snprintf(why, WV_TUNE_TEXT, "ended after %.1f s: its time was over",
			 (double)r->elapsed_ns / 1e9);
		return WV_TUNE_TIMEOUT;
	}
	if (r->signal || r->exit_code) {
		snprintf(why, WV_TUNE_TEXT, "%s %d", r->signal ? "killed by signal" : "exit code",
			 r->signal ?: r->exit_code);
		return WV_TUNE_FAILED;
	}
	if (s->why[0]) {
		snprintf(why, WV_TUNE_TEXT, "its steps cannot be read: %.120s", s->why);
		return WV_TUNE_FAILED;
	}
	if (s->n <= t->warmup) {
		snprintf(why, WV_TUNE_TEXT, "it told of %u steps of %u", s->n, t->steps);
		return WV_TUNE_FAILED;
	}
	return WV_TUNE_OK;
}

void wv_tune_outcome_of(const struct wv_tune_trial *t, const struct wv_tune_exit *r,
			const struct wv_tune_steps *s, const char *where, size_t where_len,
			uint32_t templated, struct wv_tune_outcome *ret, char ret_why[WV_TUNE_TEXT])
{
	const uint32_t micro = 1U << WV_TUNE_MICRO, accumulate = 1U << WV_TUNE_ACCUMULATE;

	memset(ret, 0, sizeof(*ret));
	wv_tune_steps_outcome(s, ret);
	ret->status = status_of(t, r, s, ret_why);
	ret->ignored = s->ignored_knobs & ~templated;
	/* one of the two without the other is another global batch: a gain by it would be none */
	if (ret->status == WV_TUNE_OK && t->point.value[WV_TUNE_ACCUMULATE] > 1 &&
	    !(ret->ignored & micro) != !(ret->ignored & accumulate)) {
		ret->status = WV_TUNE_FAILED;
		snprintf(ret_why, WV_TUNE_TEXT, "it does not keep the global batch: %s is ignored",
			 wv_tune_knobs[ret->ignored & micro ? WV_TUNE_MICRO : WV_TUNE_ACCUMULATE]
				 .name);
	}
	ret->elapsed_ns = r->elapsed_ns;
	(void)wv_tune_where_shares(where, where_len, s, t->warmup, &ret->shares);
}

double wv_tune_throughput(const struct wv_tune_trial *t, const struct wv_tune_steps *s, bool tokens)
{
	double sum = 0;
	uint64_t ns = 0;

	for (uint32_t i = t->warmup; i < s->n; i++) {
		sum += tokens ? s->tokens[i] : s->samples[i];
		ns += s->step_ns[i];
	}
	return ns && isfinite(sum) ? sum * 1e9 / (double)ns : 0;
}
