// SPDX-License-Identifier: GPL-2.0-only
/* Records that become alerts, by the rows of alert_sources.def. Whatever a record holds was chosen
 * by someone else: texts are cut and made printable here. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "user/alert/alert.h"
#include "user/core/cleanup.h"
#include "user/evidence/tlog.h"

#define WV_ALERT_SOURCE(record, name, severity, edge, when, identity, summary)                     \
	{record, #name, severity, WV_EDGE_##edge, when, identity, summary},
const struct wv_alert_source wv_alert_sources[] = {
#include "waveos/alert_sources.def"
};
const size_t wv_alert_sources_count = ARRAY_SIZE(wv_alert_sources);

const char *const wv_alert_labels[WV_ALERT_LABELS + 1] = {"alert", "severity", "domain", "cgroup",
							  "name",  "route",    NULL};

bool wv_alert_piece(const char **rest, char *ret, size_t size)
{
	const char *s = *rest;
	size_t len;

	s += strspn(s, ", \t");
	if (!*s)
		return false;
	len = strcspn(s, ",");
	*rest = s + len;
	while (len && strchr(" \t", s[len - 1]))
		len--;
	snprintf(ret, size, "%.*s", (int)(len < size ? len : size - 1), s);
	return true;
}

/* A member as text: "" if it is not there or is no single value. */
static const char *member(struct json_object *o, const char *name)
{
	struct json_object *m;

	if (!json_object_object_get_ex(o, name, &m) || json_object_is_type(m, json_type_object) ||
	    json_object_is_type(m, json_type_array))
		return "";
	return json_object_get_string(m) ?: "";
}

/* "member=a|b" or "member!=a|b" */
static bool holds(struct json_object *o, const char *when)
{
	size_t len = strcspn(when, "=");
	bool negated = len && when[len - 1] == '!';
	const char *value, *p = when + len + 1;
	char name[32];
	bool found = false;

	if (!*when)
		return true;
	snprintf(name, sizeof(name), "%.*s", (int)(len - negated), when);
	value = member(o, name);
	for (; !found && p[-1]; p += strcspn(p, "|") + 1)
		found = strlen(value) == strcspn(p, "|") && strncmp(p, value, strlen(value)) == 0;
	return found != negated;
}

/* Cut at a whole character of UTF-8, controls replaced. */
static void put(char *ret, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size) {
		len = size - 1;
		while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(ret, text, len);
	ret[len] = '\0';
	wv_make_printable(ret);
}

static void put_summary(struct wv_alert_event *e, struct json_object *o, const char *template)
{
	char text[4 * WV_ALERT_TEXT], name[32];
	size_t at = 0;

	while (*template && at + 1 < sizeof(text)) {
		size_t len = strcspn(template, "}");

		if (*template != '{' || template[len] != '}' || len >= sizeof(name)) {
			text[at++] = *template ++;
			continue;
		}
		snprintf(name, sizeof(name), "%.*s", (int)len - 1, template + 1);
		/* a value is cut where the whole would be: one long name hides nothing else */
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%.160s", member(o, name));
		at = at < sizeof(text) ? at : sizeof(text) - 1;
		template += len + 1;
	}
	text[at] = '\0';
	put(e->summary, sizeof(e->summary), text);
}

/* What tells it from others of its kind: the cgroup is a label of its own. */
static void put_name(struct wv_alert_event *e, struct json_object *o, const char *identity)
{
	char text[2 * WV_ALERT_TEXT] = "", piece[32];
	size_t at = 0;

	while (wv_alert_piece(&identity, piece, sizeof(piece))) {
		if (strcmp(piece, "cgroup") == 0)
			continue;
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.120s", at ? " " : "",
				       member(o, piece));
		at = at < sizeof(text) ? at : sizeof(text) - 1;
	}
	put(e->name, sizeof(e->name), text);
}

static int severity_of(struct json_object *o, const char *otherwise)
{
	const char *own = member(o, "severity");

	for (int i = 0; i < WV_ALERT_SEVERITIES; i++)
		if (strcmp(wv_alert_severities[i], own) == 0)
			return i;
	for (int i = 0; i < WV_ALERT_SEVERITIES; i++)
		if (strcmp(wv_alert_severities[i], otherwise) == 0)
			return i;
	return WV_ALERT_WARNING;
}

static void fill(struct wv_alert_event *e, struct json_object *o, const struct wv_alert_source *s)
{
	struct json_object *m;

	*e = (struct wv_alert_event){.edge = s->edge, .severity = severity_of(o, s->severity)};
	if (json_object_object_get_ex(o, "seq", &m))
		e->seq = json_object_get_uint64(m);
	if (json_object_object_get_ex(o, "wall_ns", &m))
		e->wall_ns = json_object_get_uint64(m);
	put(e->alert, sizeof(e->alert), s->alert);
	put(e->domain, sizeof(e->domain), member(o, "domain"));
	put(e->cgroup, sizeof(e->cgroup), member(o, "cgroup"));
	put(e->route, sizeof(e->route), member(o, "route"));
	put_name(e, o, s->identity);
	put_summary(e, o, s->summary);
}

int wv_alert_from_record(const char *line, size_t len, struct wv_alert_event ret[WV_ALERT_EVENTS])
{
	struct json_object *o = NULL;
	const char *type;
	size_t type_len;
	int n = 0, r = wv_record_member(line, len, "type", &type, &type_len);

	if (r < 0 || type_len < 2)
		return -EBADMSG;
	for (size_t i = 0; i < wv_alert_sources_count && n < WV_ALERT_EVENTS; i++) {
		const struct wv_alert_source *s = &wv_alert_sources[i];

		if (strlen(s->record) != type_len - 2 ||
		    strncmp(s->record, type + 1, type_len - 2) != 0)
			continue;
		if (!o)
			o = json_tokener_parse(line);
		if (!json_object_is_type(o, json_type_object)) {
			json_object_put(o);
			return -EBADMSG;
		}
		if (holds(o, s->when))
			fill(&ret[n++], o, s);
	}
	json_object_put(o);
	return n;
}
