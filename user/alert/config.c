// SPDX-License-Identifier: GPL-2.0-only
/* Alert sinks and routes: what the rows of lists.def cannot say, with a place in the file. */
#include "user/alert/config.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "user/alert/alert.h"
#include "user/core/cleanup.h"
#include "user/core/fields.h"
#include "user/secret/store.h"
#include "user/spool/config.h"

const char *const wv_alert_severities[WV_ALERT_SEVERITIES + 1] = {"info", "warning", "critical",
								  NULL};

static const char *const types[] = {"webhook", "alertmanager", "slack", "smtp"};

static int check_name(const struct wv_yaml *y, const yaml_node_t *node, const char *name)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	if (*name && !name[strspn(name, letters)] && *name != '-')
		return 0;
	return wv_yaml_error(y, wv_fields_node(y, node, "", "name") ?: node,
			     "name: expected letters, digits, - and _; got '%.31s'", name);
}

/* A key that is missing. Keys that a type has no use for are just not looked at. */
static int check_key(const struct wv_yaml *y, const yaml_node_t *node, const char *key, bool needed,
		     const char *because)
{
	if (!needed || wv_fields_node(y, node, "", key))
		return 0;
	return wv_yaml_error(y, node, "%s is missing; %s needs it", key, because);
}

static int check_http(const struct wv_yaml *y, const yaml_node_t *node,
		      const struct wv_alert_sink_config *s)
{
	const yaml_node_t *at = wv_fields_node(y, node, "", "url");
	int r = check_key(y, node, "url", !*s->url_secret, types[s->type]);

	/* what was written is not shown: it may have a password in it */
	if (r == 0 && *s->url && !wv_secret_is_address(s->url))
		return wv_yaml_error(
			y, at,
			"url: expected https:// (http:// to this machine only) without "
			"user, query or fragment; a secret address is given by "
			"url_secret");
	return r;
}

static bool is_mailbox(const char *s, size_t len)
{
	const char *at = memchr(s, '@', len);

	if (!at || at == s || at + 1 == s + len || len > 254)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] <= ' ' || s[i] == 0x7f || strchr("<>,;:\"\\()[]", s[i]))
			return false;
	return !memchr(at + 1, '@', len - (size_t)(at + 1 - s));
}

static int check_mail(const struct wv_yaml *y, const yaml_node_t *node,
		      const struct wv_alert_sink_config *s)
{
	static const char *const needed[] = {"address", "from", "to"};
	const yaml_node_t *at = wv_fields_node(y, node, "", "to");
	char host[256], port[8], piece[WV_ALERT_PIECE];
	const char *rest = s->to;
	bool local;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(needed); i++)
		r = check_key(y, node, needed[i], true, "smtp");
	if (r < 0)
		return r;
	if (wv_spool_split_address(s->address, host, sizeof(host), port) < 0)
		return wv_yaml_error(y, wv_fields_node(y, node, "", "address"),
				     "address: expected host:port, such as mail.example.org:587");
	local = strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
		(strncmp(host, "127.", 4) == 0 && !host[strspn(host, "0123456789.")]);
	if (s->tls == WV_ALERT_NO_TLS && (!local || *s->username))
		return wv_yaml_error(y, wv_fields_node(y, node, "", "tls"),
				     "tls: none is for a server on this machine, without password");
	if (!is_mailbox(s->from, strlen(s->from)))
		return wv_yaml_error(y, wv_fields_node(y, node, "", "from"),
				     "from: expected an address, such as alerts@example.org");
	while (wv_alert_piece(&rest, piece, sizeof(piece)))
		if (!is_mailbox(piece, strlen(piece)))
			return wv_yaml_error(y, at, "to: expected addresses with commas between");
	return 0;
}

static int check_sink(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_alert_sink_config *s = item;
	int r = check_name(y, node, s->name);

	if (r == 0)
		r = check_key(y, node, "password", *s->username, "username");
	if (r == 0)
		r = check_key(y, node, "username", *s->password, "password");
	if (r == 0)
		r = s->type == WV_ALERT_SMTP ? check_mail(y, node, s) : check_http(y, node, s);
	if (r == 0 && s->retry_min_ns > s->retry_max_ns)
		return wv_yaml_error(y, wv_fields_node(y, node, "", "retry_min") ?: node,
				     "retry_min: longer than retry_max");
	return r;
}

/* Routes -------------------------------------------------------------------------------------- */

/* The check callbacks get no context of their own; a file is read by one thread. */
static const struct wv_config *parsed;
static unsigned routes_seen;

static int look_up(const struct wv_yaml *y, const yaml_node_t *at, const char *key,
		   const char *text, const char *const names[], uint32_t *ret)
{
	char piece[WV_ALERT_PIECE];
	const char *near;
	uint32_t bits = 0;

	while (wv_alert_piece(&text, piece, sizeof(piece))) {
		unsigned i = 0;

		while (names[i] && strcmp(names[i], piece) != 0)
			i++;
		near = names[i] ? NULL : wv_suggest(piece, names);
		if (!names[i])
			return wv_yaml_error(y, at, "%s: there is no '%.60s'%s%s%s", key, piece,
					     near ? "; did you mean '" : "", near ?: "",
					     near ? "'?" : "");
		bits |= 1U << i;
	}
	*ret = bits;
	return 0;
}

static int check_route(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_alert_route_config *route = item;
	const char *names[WV_ALERT_SINKS_MAX + 1] = {NULL};
	int r;

	if (!*route->name)
		snprintf(route->name, sizeof(route->name), "route-%u", routes_seen + 1);
	routes_seen++;
	for (size_t i = 0; i < parsed->n_alerts && i < WV_ALERT_SINKS_MAX; i++)
		names[i] = parsed->alerts[i].name;
	r = check_name(y, node, route->name);
	if (r == 0)
		r = look_up(y, wv_fields_node(y, node, "", "to") ?: node, "to", route->to, names,
			    &route->sinks);
	if (r == 0)
		r = look_up(y, wv_fields_node(y, node, "match", "severity") ?: node,
			    "match.severity", route->match.severity, wv_alert_severities,
			    &route->severities);
	if (r == 0)
		r = look_up(y, wv_fields_node(y, node, "", "group_by") ?: node, "group_by",
			    route->group_by, wv_alert_labels, &route->by);
	return r;
}

int wv_alerts_parse(struct wv_config *c, const struct wv_yaml *y, yaml_node_t *node)
{
	static const struct wv_alert_sink_config blank;
	static const struct wv_list_parse how = {
		.list = "alerts",
		.size = sizeof(struct wv_alert_sink_config),
		.name_offset = offsetof(struct wv_alert_sink_config, name),
		.blank = &blank,
		.check = check_sink,
	};
	void *items;
	int r = wv_list_parse(y, node, &how, &items, &c->n_alerts);

	if (r < 0)
		return r;
	c->alerts = items;
	if (c->n_alerts > WV_ALERT_SINKS_MAX)
		return wv_yaml_error(y, node, "alerts: at most %d, got %zu", WV_ALERT_SINKS_MAX,
				     c->n_alerts);
	return 0;
}

int wv_alert_routes_parse(struct wv_config *c, const struct wv_yaml *y, yaml_node_t *node)
{
	static const struct wv_alert_route_config blank;
	static const struct wv_list_parse how = {
		.list = "alert_routes",
		.size = sizeof(struct wv_alert_route_config),
		.name_offset = offsetof(struct wv_alert_route_config, name),
		.blank = &blank,
		.check = check_route,
	};
	void *items;
	int r;

	parsed = c;
	routes_seen = 0;
	r = wv_list_parse(y, node, &how, &items, &c->n_alert_routes);
	parsed = NULL;
	if (r < 0)
		return r;
	c->alert_routes = items;
	if (c->n_alert_routes > WV_ALERT_ROUTES_MAX)
		return wv_yaml_error(y, node, "alert_routes: at most %d, got %zu",
				     WV_ALERT_ROUTES_MAX, c->n_alert_routes);
	return 0;
}
