// SPDX-License-Identifier: GPL-2.0-only
/* Monotonic times are saved as ages, and sinks and routes by name: boots and settings change. */
#include "user/alert/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/paths.h"

#define STATE_MAX (32U << 20)
#define SCHEMA 1

int wv_alert_open_dir(const struct wv_io *io, const char *state)
{
	char path[WV_PATH_SIZE + 16];
	int r;

	snprintf(path, sizeof(path), "%s/" WV_ALERT_FOLDER, state);
	r = wv_io_mkdirs(io, path, 0750);
	return r < 0 ? r : io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

static void put(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static void put_u64(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static const char *get(struct json_object *o, const char *key)
{
	struct json_object *m;

	return json_object_object_get_ex(o, key, &m) && json_object_is_type(m, json_type_string)
		       ? json_object_get_string(m)
		       : "";
}

static uint64_t get_u64(struct json_object *o, const char *key)
{
	struct json_object *m;

	return json_object_object_get_ex(o, key, &m) && json_object_is_type(m, json_type_int)
		       ? json_object_get_uint64(m)
		       : 0;
}

/* The array of that name, or NULL. */
static struct json_object *get_list(struct json_object *o, const char *key)
{
	struct json_object *m;

	return json_object_object_get_ex(o, key, &m) && json_object_is_type(m, json_type_array)
		       ? m
		       : NULL;
}

static void get_text(struct json_object *o, const char *key, char *ret, size_t size)
{
	snprintf(ret, size, "%s", get(o, key));
	wv_make_printable(ret);
}

/* Saving -------------------------------------------------------------------------------------- */

static struct json_object *names(const struct wv_alerts *a, uint32_t bits)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < a->config->n_alerts; i++)
		if (bits & 1U << i)
			json_object_array_add(list,
					      json_object_new_string(a->config->alerts[i].name));
	return list;
}

static uint64_t age(int64_t now_ns, int64_t then_ns)
{
	return now_ns > then_ns ? (uint64_t)(now_ns - then_ns) : 0;
}

static struct json_object *alert_json(const struct wv_alerts *a, const struct wv_alert *x,
				      int64_t now_ns)
{
	struct json_object *o = json_object_new_object();
	char text[24];

	snprintf(text, sizeof(text), "%016" PRIx64, x->fingerprint);
	put(o, "fingerprint", text);
	put(o, "alert", x->alert);
	put(o, "severity", wv_alert_severities[x->severity]);
	put(o, "domain", x->domain);
	put(o, "cgroup", x->cgroup);
	put(o, "name", x->name);
	put(o, "route", x->route);
	put(o, "summary", x->summary);
	json_object_object_add(o, "timed", json_object_new_boolean(x->timed));
	json_object_object_add(o, "silenced", json_object_new_boolean(x->silenced));
	put_u64(o, "seq", x->seq);
	put_u64(o, "count", x->count);
	put_u64(o, "starts_wall_ns", x->starts_ns);
	put_u64(o, "ends_wall_ns", x->ends_ns);
	put_u64(o, "seen_age_ns", age(now_ns, x->seen_ns));
	put_u64(o, "changed_age_ns", age(now_ns, x->changed_ns));
	json_object_object_add(o, "told", names(a, x->told));
	json_object_object_add(o, "told_over", names(a, x->told_over));
	return o;
}

/* When a group's sinks were told of it. */
static struct json_object *group_json(const struct wv_alerts *a, const struct wv_alert_group *g,
				      int64_t now_ns)
{
	struct json_object *o = json_object_new_object(), *told = json_object_new_object();
	char text[24];

	snprintf(text, sizeof(text), "%016" PRIx64, g->key);
	put(o, "route", a->routes[g->route].name);
	put(o, "key", text);
	for (size_t i = 0; i < a->config->n_alerts; i++)
		if (g->told_ns[i] != INT64_MIN)
			put_u64(told, a->config->alerts[i].name, age(now_ns, g->told_ns[i]));
	json_object_object_add(o, "told_age_ns", told);
	return o;
}

static struct json_object *sink_json(const struct wv_alerts *a, size_t i, int64_t now_ns)
{
	static const char *const types[] = {"webhook", "alertmanager", "slack", "smtp"};
	const struct wv_alert_sink *s = &a->sinks[i];
	struct json_object *o = json_object_new_object();

	put(o, "name", a->config->alerts[i].name);
	put(o, "type", types[a->config->alerts[i].type]);
	put_u64(o, "sent", s->sent);
	put_u64(o, "failures", s->failures);
	put_u64(o, "dead", s->dead);
	put_u64(o, "queued", wv_alert_queued(a, (unsigned)i));
	put_u64(o, "failed_in_a_row", s->failed);
	put_u64(o, "pause_ns", s->next_ns > now_ns ? (uint64_t)(s->next_ns - now_ns) : 0);
	put_u64(o, "sent_wall_ns", s->sent_wall_ns);
	put_u64(o, "error_wall_ns", s->error_wall_ns);
	put(o, "error", s->error);
	return o;
}

int wv_alert_save(const struct wv_alerts *a, const struct wv_io *io, int dirfd)
{
	struct json_object *o = json_object_new_object(), *alerts = json_object_new_array();
	struct json_object *groups = json_object_new_array(), *sinks = json_object_new_array();
	int64_t now_ns = (int64_t)io->mono_ns(io->ctx);
	const char *text;
	size_t len;
	int r;

	put_u64(o, "schema_version", SCHEMA);
	put_u64(o, "saved_wall_ns", io->wall_ns(io->ctx));
	put_u64(o, "seq", a->seq);
	put_u64(o, "taken", a->taken);
	put_u64(o, "suppressed", a->suppressed);
	for (size_t i = 0; i < a->n; i++)
		json_object_array_add(alerts, alert_json(a, &a->list[i], now_ns));
	for (size_t i = 0; i < a->n_groups; i++)
		json_object_array_add(groups, group_json(a, &a->groups[i], now_ns));
	for (size_t i = 0; i < a->config->n_alerts; i++)
		json_object_array_add(sinks, sink_json(a, i, now_ns));
	json_object_object_add(o, "alerts", alerts);
	json_object_object_add(o, "groups", groups);
	json_object_object_add(o, "sinks", sinks);
	text = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &len);
	r = text ? wv_io_replace(io, dirfd, WV_ALERT_STATE, text, len, 0640) : -ENOMEM;
	json_object_put(o);
	return r;
}

/* Loading ------------------------------------------------------------------------------------- */

static uint32_t bits(const struct wv_alerts *a, struct json_object *list)
{
	uint32_t ret = 0;

	for (size_t k = 0; list && k < json_object_array_length(list); k++) {
		const char *name = json_object_get_string(json_object_array_get_idx(list, k));

		for (size_t i = 0; name && i < a->config->n_alerts; i++)
			if (strcmp(a->config->alerts[i].name, name) == 0)
				ret |= 1U << i;
	}
	return ret;
}

static void load_alert(struct wv_alerts *a, struct json_object *o, int64_t saved_ns)
{
	struct wv_alert *x = a->n < a->max ? &a->list[a->n] : NULL;
	struct json_object *timed = NULL;

	if (!x)
		return;
	*x = (struct wv_alert){.fingerprint = strtoull(get(o, "fingerprint"), NULL, 16)};
	for (int i = 0; i < WV_ALERT_SEVERITIES; i++)
		if (strcmp(wv_alert_severities[i], get(o, "severity")) == 0)
			x->severity = i;
	get_text(o, "alert", x->alert, sizeof(x->alert));
	get_text(o, "domain", x->domain, sizeof(x->domain));
	get_text(o, "cgroup", x->cgroup, sizeof(x->cgroup));
	get_text(o, "name", x->name, sizeof(x->name));
	get_text(o, "route", x->route, sizeof(x->route));
	get_text(o, "summary", x->summary, sizeof(x->summary));
	x->timed = json_object_object_get_ex(o, "timed", &timed) && json_object_get_boolean(timed);
	x->seq = get_u64(o, "seq");
	x->count = get_u64(o, "count");
	x->starts_ns = get_u64(o, "starts_wall_ns");
	x->ends_ns = get_u64(o, "ends_wall_ns");
	x->seen_ns = saved_ns - (int64_t)get_u64(o, "seen_age_ns");
	x->changed_ns = saved_ns - (int64_t)get_u64(o, "changed_age_ns");
	x->told = bits(a, get_list(o, "told"));
	x->told_over = bits(a, get_list(o, "told_over"));
	if (!*x->alert)
		return;
	a->n++;
	wv_alert_route(a, x);
	wv_alert_group_add(a, x);
}

static void load_group(struct wv_alerts *a, struct json_object *o, int64_t saved_ns)
{
	uint64_t key = strtoull(get(o, "key"), NULL, 16);
	struct json_object *told = NULL, *at;

	(void)json_object_object_get_ex(o, "told_age_ns", &told);
	for (size_t i = 0; i < a->n_groups; i++) {
		struct wv_alert_group *g = &a->groups[i];

		if (g->key != key || strcmp(a->routes[g->route].name, get(o, "route")) != 0)
			continue;
		for (size_t k = 0; k < a->config->n_alerts; k++)
			if (json_object_object_get_ex(told, a->config->alerts[k].name, &at))
				g->told_ns[k] = saved_ns - json_object_get_int64(at);
	}
}

static void load_sink(struct wv_alerts *a, struct json_object *o)
{
	for (size_t i = 0; i < a->config->n_alerts; i++) {
		struct wv_alert_sink *s = &a->sinks[i];

		if (strcmp(a->config->alerts[i].name, get(o, "name")) != 0)
			continue;
		s->sent = get_u64(o, "sent");
		s->failures = get_u64(o, "failures");
		s->dead = get_u64(o, "dead");
		s->sent_wall_ns = get_u64(o, "sent_wall_ns");
		s->error_wall_ns = get_u64(o, "error_wall_ns");
		get_text(o, "error", s->error, sizeof(s->error));
	}
}

int wv_alert_load(struct wv_alerts *a, const struct wv_io *io, int dirfd)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o, *list;
	uint64_t saved, wall;
	int64_t then;
	size_t len;
	int r = wv_io_read_file(io, dirfd, WV_ALERT_STATE, STATE_MAX, &text, &len);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	o = json_tokener_parse(text);
	if (get_u64(o, "schema_version") != SCHEMA) {
		json_object_put(o);
		return -EBADMSG;
	}
	saved = get_u64(o, "saved_wall_ns");
	wall = io->wall_ns(io->ctx);
	/* a clock that was set back makes nothing younger than it was */
	then = (int64_t)io->mono_ns(io->ctx) - (wall > saved ? (int64_t)(wall - saved) : 0);
	a->seq = get_u64(o, "seq");
	a->taken = get_u64(o, "taken");
	a->suppressed = get_u64(o, "suppressed");
	list = get_list(o, "alerts");
	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		load_alert(a, json_object_array_get_idx(list, i), then);
	list = get_list(o, "groups");
	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		load_group(a, json_object_array_get_idx(list, i), then);
	list = get_list(o, "sinks");
	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		load_sink(a, json_object_array_get_idx(list, i));
	json_object_put(o);
	a->dirty = false;
	return 1;
}
