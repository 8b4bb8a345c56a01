// SPDX-License-Identifier: GPL-2.0-only
/* JSON in Alertmanager's forms: its webhook (version 4) and its API (v2). */
#include "user/alert/render.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/core/cleanup.h"

#define NOT_OVER "0001-01-01T00:00:00Z"
/* Alertmanager takes a firing alert for over when it hears nothing of it for so long; it is told
 * again every minute (plan.c). */
#define AHEAD_NS 300000000000ULL

void wv_alert_time(uint64_t wall_ns, char ret[WV_ALERT_TIME_SIZE])
{
	time_t s = (time_t)(wall_ns / 1000000000ULL);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(ret, WV_ALERT_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret + n, WV_ALERT_TIME_SIZE - n, ".%03uZ", (unsigned)(wall_ns / 1000000 % 1000));
}

static void put(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static void put_time(struct json_object *o, const char *key, uint64_t wall_ns)
{
	char text[WV_ALERT_TIME_SIZE];

	wv_alert_time(wall_ns, text);
	put(o, key, text);
}

/* Prometheus' name for the first; the others as they are. */
static const char *label_name(enum wv_alert_label i)
{
	return i == WV_LABEL_ALERT ? "alertname" : wv_alert_labels[i];
}

static struct json_object *labels(const struct wv_alerts *a, const struct wv_alert *x)
{
	struct json_object *o = json_object_new_object();

	for (int i = 0; i < WV_ALERT_LABELS; i++) {
		const char *value = wv_alert_label(x, (enum wv_alert_label)i);

		if (*value)
			put(o, label_name((enum wv_alert_label)i), value);
	}
	put(o, "job", "waveos-bpf");
	put(o, "instance", a->host);
	put(o, "environment", a->environment);
	return o;
}

static struct json_object *annotations(const struct wv_alert *x)
{
	struct json_object *o = json_object_new_object();
	char text[24];

	put(o, "summary", x->summary);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)x->count);
	put(o, "count", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)x->seq);
	put(o, "record", text);
	return o;
}

struct json_object *wv_alert_json(const struct wv_alerts *a, const struct wv_alert *x)
{
	struct json_object *o = json_object_new_object();
	char text[24];

	put(o, "status", x->ends_ns ? "resolved" : "firing");
	json_object_object_add(o, "labels", labels(a, x));
	json_object_object_add(o, "annotations", annotations(x));
	put_time(o, "startsAt", x->starts_ns);
	if (x->ends_ns)
		put_time(o, "endsAt", x->ends_ns);
	else
		put(o, "endsAt", NOT_OVER);
	put(o, "generatorURL", a->config->alerting_external_url);
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)x->fingerprint);
	put(o, "fingerprint", text);
	return o;
}

/* What all of these objects have in common. */
static struct json_object *common(struct json_object *list, const char *key)
{
	struct json_object *o = json_object_new_object(), *first;

	if (!json_object_array_length(list))
		return o;
	first = json_object_object_get(json_object_array_get_idx(list, 0), key);
	json_object_object_foreach(first, name, value)
	{
		bool same = true;

		for (size_t i = 1; same && i < json_object_array_length(list); i++) {
			struct json_object *other = json_object_object_get(
				json_object_object_get(json_object_array_get_idx(list, i), key),
				name);

			same = other && json_object_equal(other, value);
		}
		if (same)
			json_object_object_add(o, name, json_object_get(value));
	}
	return o;
}

static struct json_object *group_labels(const struct wv_alerts *a, const struct wv_alert_message *m)
{
	const struct wv_alert_group *g = &a->groups[m->group];
	struct json_object *o = json_object_new_object();

	for (int i = 0; g->key && m->n && i < WV_ALERT_LABELS; i++) {
		const char *value = wv_alert_label(&a->list[m->alerts[0]], (enum wv_alert_label)i);

		if (a->routes[g->route].by & 1U << i && *value)
			put(o, label_name((enum wv_alert_label)i), value);
	}
	return o;
}

static bool is_firing(const struct wv_alerts *a, const struct wv_alert_message *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (!a->list[m->alerts[i]].ends_ns)
			return true;
	return false;
}

static struct json_object *webhook(const struct wv_alerts *a, const struct wv_alert_message *m)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	char key[WV_ALERT_NAME + 32];

	for (size_t i = 0; i < m->n; i++)
		json_object_array_add(list, wv_alert_json(a, &a->list[m->alerts[i]]));
	put(o, "receiver", a->config->alerts[m->sink].name);
	put(o, "status", is_firing(a, m) ? "firing" : "resolved");
	json_object_object_add(o, "alerts", list);
	json_object_object_add(o, "groupLabels", group_labels(a, m));
	json_object_object_add(o, "commonLabels", common(list, "labels"));
	json_object_object_add(o, "commonAnnotations", common(list, "annotations"));
	put(o, "externalURL", a->config->alerting_external_url);
	put(o, "version", "4");
	snprintf(key, sizeof(key), "%s:%016llx", a->routes[a->groups[m->group].route].name,
		 (unsigned long long)a->groups[m->group].key);
	put(o, "groupKey", key);
	json_object_object_add(o, "truncatedAlerts", json_object_new_uint64(m->n_more));
	return o;
}

/* POST /api/v2/alerts */
static struct json_object *api(const struct wv_alerts *a, const struct wv_alert_message *m,
			       uint64_t wall_ns)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < m->n; i++) {
		const struct wv_alert *x = &a->list[m->alerts[i]];
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "labels", labels(a, x));
		json_object_object_add(o, "annotations", annotations(x));
		put_time(o, "startsAt", x->starts_ns);
		put_time(o, "endsAt", x->ends_ns ?: wall_ns + AHEAD_NS);
		if (*a->config->alerting_external_url)
			put(o, "generatorURL", a->config->alerting_external_url);
		json_object_array_add(list, o);
	}
	return list;
}

char *wv_alert_render(const struct wv_alerts *a, const struct wv_alert_message *m, uint64_t wall_ns,
		      uint64_t random, size_t *ret_len)
{
	struct json_object *o;
	const char *text;
	char *copy;

	switch (a->config->alerts[m->sink].type) {
	case WV_ALERT_SMTP:
		return wv_alert_mail(a, m, wall_ns, random, ret_len);
	case WV_ALERT_SLACK:
		o = wv_alert_slack(a, m);
		break;
	case WV_ALERT_ALERTMANAGER:
		o = api(a, m, wall_ns);
		break;
	default:
		o = webhook(a, m);
		break;
	}
	text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_len);
	copy = text ? strdup(text) : NULL;
	json_object_put(o);
	return copy;
}
