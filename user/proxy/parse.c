// SPDX-License-Identifier: GPL-2.0-only
/*
 * Items of the list `proxies`. What HAProxy will be told is held to narrow alphabets here, with a
 * place in the file when it is not; the translation only has to quote.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "user/core/arena.h"
#include "user/core/cleanup.h"
#include "user/core/fields.h"
#include "user/proxy/proxy.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool is_of(const char *text, const char *alphabet, size_t max)
{
	size_t len = strlen(text);

	return len && len <= max && strspn(text, alphabet) == len;
}

static bool is_name(const char *s)
{
	return is_of(s, LOWER DIGITS "-", WV_PROXY_NAME - 1) && *s != '-';
}

static bool is_port(const char *s, unsigned *ret)
{
	uint64_t port;

	if (strlen(s) > 5 || wv_parse_uint(s, &port) < 0 || !port || port > 65535)
		return false;
	*ret = (unsigned)port;
	return true;
}

bool wv_proxy_is_address(const char *text, unsigned *ret_port)
{
	const char *colon = strrchr(text, ':');
	struct in6_addr a;
	char host[64];
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (!len || len >= sizeof(host) || !is_port(colon + 1, ret_port))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (host[0] != '[')
		return inet_pton(AF_INET, host, &a) == 1;
	if (host[len - 1] != ']')
		return false;
	host[len - 1] = '\0';
	return inet_pton(AF_INET6, host + 1, &a) == 1;
}

static bool is_address(const char *text)
{
	unsigned port;

	return wv_proxy_is_address(text, &port);
}

static bool is_network(const char *text)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	struct in6_addr a;
	char host[64];
	uint64_t bits = 0;
	bool v4;

	if (!len || len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	v4 = inet_pton(AF_INET, host, &a) == 1;
	if (!v4 && inet_pton(AF_INET6, host, &a) != 1)
		return false;
	return !slash || (wv_parse_uint(slash + 1, &bits) == 0 && bits <= (v4 ? 32 : 128));
}

/* CONNECT would make a tunnel that nothing here looks into. */
static bool is_method(const char *s)
{
	return is_of(s, UPPER, 20) && strcmp(s, "CONNECT") != 0;
}

static bool is_host(const char *s)
{
	return is_of(s, LOWER UPPER DIGITS ".-", 127) && *s != '-' && *s != '.';
}

static bool is_content_type(const char *s)
{
	const char *slash = strchr(s, '/');

	return slash && slash != s && !strchr(slash + 1, '/') &&
	       is_of(s, LOWER UPPER DIGITS "/.+-", 100) && slash[1];
}

static bool is_header_name(const char *s, size_t len)
{
	return len && len <= 64 && strspn(s, LOWER UPPER DIGITS "-") >= len;
}

static bool is_header(const char *s)
{
	return is_header_name(s, strlen(s));
}

/* A pattern is put inside another one: what could end the group around it is refused, and so is
 * a control verb such as (*ACCEPT). Whether it compiles is HAProxy's to say. */
static bool is_pattern(const char *s)
{
	size_t len = strlen(s), depth = 0;

	if (!len || len > WV_PROXY_PATTERN_MAX || strstr(s, "\\Q") || strstr(s, "(*") ||
	    strstr(s, "(?#"))
		return false;
	for (const char *p = s; *p; p++) {
		if (*p < ' ' || *p > '~')
			return false;
		if (*p == '\\') {
			if (!*++p || *p < ' ' || *p > '~')
				return false;
		} else if (*p == '[') {
			/* a leading ] is a member; there is an end, or it would take what follows
			 */
			p += 1 + (p[1] == '^');
			for (p += *p == ']'; *p && *p != ']'; p++)
				if (*p < ' ' || *p > '~' || *p == '[' || (*p == '\\' && !*++p))
					return false;
			if (!*p)
				return false;
		} else if (*p == '(') {
			/* (?x) would make the rest a comment up to a line's end */
			if (p[1] == '?' && !strchr(":=!>", p[2] ?: 'x'))
				return false;
			depth++;
		} else if (*p == ')' && !depth--) {
			return false;
		}
	}
	return depth == 0;
}

static bool is_value(const char *s)
{
	const char *colon = strchr(s, ':');

	return colon && is_header_name(s, (size_t)(colon - s)) &&
	       is_pattern(colon + 1 + strspn(colon + 1, " "));
}

static bool is_member(const char *s)
{
	static const char *const types[] = {"string", "number", "boolean", "object", "array"};
	size_t len = strcspn(s, ":");

	if (!len || len > 64 || strspn(s, LOWER UPPER DIGITS "_-") < len)
		return false;
	if (!s[len])
		return true;
	s += len + 1;
	s += strspn(s, " ");
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(s, types[i]) == 0)
			return true;
	return false;
}

static bool is_path(const char *s)
{
	return !*s || is_of(s, LOWER UPPER DIGITS "/._+@=,:~ -", 255);
}

static bool is_probe(const char *s)
{
	for (const char *p = s; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return !*s || *s == '/';
}

/* What each text must look like. Row: member, group, key, check, what is expected */
#define TEXTS(X)                                                                                   \
	X(name, "", "name", is_name, "lower case letters, digits and dashes, at most 31")          \
	X(listen, "", "listen", is_address, "a numeric address and port, such as 127.0.0.1:80")    \
	X(tls.cert, "tls", "cert", is_path, PATH_TEXT)                                             \
	X(tls.client_ca, "tls", "client_ca", is_path, PATH_TEXT)                                   \
	X(upstream_tls.ca, "upstream_tls", "ca", is_path, PATH_TEXT)                               \
	X(upstream_tls.cert, "upstream_tls", "cert", is_path, PATH_TEXT)                           \
	X(breaker.probe, "breaker", "probe", is_probe, "a path such as /health, without spaces")
#define LISTS(X)                                                                                   \
	X(upstream, "", "upstream", is_address, "a numeric address and port, such as 10.0.0.5:80") \
	X(proxy_from, "", "proxy_from", is_network, "a network, such as 10.1.0.0/16")              \
	X(request.methods, "request", "methods", is_method,                                        \
	  "a method in capitals, and not CONNECT")                                                 \
	X(request.hosts, "request", "hosts", is_host, "a host name")                               \
	X(request.content_types, "request", "content_types", is_content_type,                      \
	  "a type, such as application/json")                                                      \
	X(headers.deny, "headers", "deny", is_header, HEADER_TEXT)                                 \
	X(headers.allow, "headers", "allow", is_header, HEADER_TEXT)                               \
	X(headers.values, "headers", "values", is_value,                                           \
	  "NAME: a regular expression in ASCII, at most 256 bytes, with its brackets closed, "     \
	  "without options, verbs and [[:classes:]]")                                              \
	X(json.required, "json", "required", is_member,                                            \
	  "a member's name, or NAME: string, number, boolean, object or array")
#define PATH_TEXT "a path of letters, digits, spaces and any of /._+@=,:~-"
#define HEADER_TEXT "a header's name of letters, digits and dashes, at most 64"

struct text_check {
	size_t offset;
	const char *group, *key;
	bool (*right)(const char *s);
	const char *expected;
};
#define ROW(member, group, key, right, expected)                                                   \
	{offsetof(struct wv_proxy, member), group, key, right, expected},
static const struct text_check texts[] = {TEXTS(ROW)};
static const struct text_check lists[] = {LISTS(ROW)};

static int wrong(const struct wv_yaml *y, const yaml_node_t *at, const struct text_check *c,
		 const char *text)
{
	return wv_yaml_error(y, at, "%s%s%s: expected %s; got '%.60s'", c->group,
			     *c->group ? "." : "", c->key, c->expected, text);
}

static int check_list(const struct wv_yaml *y, const yaml_node_t *item, const struct text_check *c,
		      const struct wv_strings *l)
{
	const yaml_node_t *node = wv_fields_node(y, item, c->group, c->key);

	for (size_t i = 0; i < l->n; i++) {
		const yaml_node_t *at = node;

		if (c->right(l->list[i]))
			continue;
		if (node && node->type == YAML_SEQUENCE_NODE)
			at = yaml_document_get_node(y->doc, node->data.sequence.items.start[i]);
		return wrong(y, at ?: item, c, l->list[i]);
	}
	return 0;
}

/* Keys that mean nothing for bytes without requests would be a promise that is not kept. */
static int check_mode(const struct wv_yaml *y, const yaml_node_t *item, const struct wv_proxy *p)
{
	static const char *const groups[] = {"request", "headers", "json"};
	const yaml_node_t *node;

	if (p->mode != WV_PROXY_TCP)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		node = wv_fields_node(y, item, groups[i], NULL);
		if (node)
			return wv_yaml_error(y, node,
					     "section '%s' needs mode http: a TCP proxy does not "
					     "know requests",
					     groups[i]);
	}
	node = wv_fields_node(y, item, "breaker", "probe");
	if (node && *p->breaker.probe)
		return wv_yaml_error(y, node,
				     "breaker.probe needs mode http; a TCP proxy's probe "
				     "connects");
	return 0;
}

static int check(const struct wv_yaml *y, const yaml_node_t *item, void *into)
{
	struct wv_proxy *p = into;
	const yaml_node_t *node;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const char *text = (const char *)p + texts[i].offset;

		node = wv_fields_node(y, item, texts[i].group, texts[i].key);
		if (node && !texts[i].right(text))
			return wrong(y, node, &texts[i], text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const void *list = (const char *)p + lists[i].offset;

		r = check_list(y, item, &lists[i], list);
		if (r < 0)
			return r;
	}
	node = wv_fields_node(y, item, "upstream_tls", "name");
	if (node && !is_host(p->upstream_tls.name))
		return wv_yaml_error(y, node, "upstream_tls.name: expected a host name");
	if (!p->upstream.n)
		return wv_yaml_error(y, item, "upstream: expected at least one server");
	p->json.on = wv_fields_node(y, item, "json", NULL) != NULL;
	return check_mode(y, item, p);
}

int wv_proxies_parse(struct wv_config *c, const struct wv_yaml *y, yaml_node_t *node)
{
	static const struct wv_proxy blank;
	static const struct wv_list_parse how = {
		.list = "proxies",
		.size = sizeof(struct wv_proxy),
		.name_offset = offsetof(struct wv_proxy, name),
		.blank = &blank,
		.check = check,
	};
	struct wv_yaml own = *y;
	void *items;
	int r;

	own.arena = &c->proxy_texts;
	r = wv_list_parse(&own, node, &how, &items, &c->n_proxies);
	if (r < 0)
		return r;
	c->proxies = items;
	if (c->n_proxies > WV_PROXIES_MAX)
		return wv_yaml_error(y, node, "proxies: at most %d, got %zu", WV_PROXIES_MAX,
				     c->n_proxies);
	for (size_t i = 0; i < c->n_proxies; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(c->proxies[i].listen, c->proxies[k].listen) == 0)
				return wv_yaml_error(y, node,
						     "proxies '%s' and '%s' both listen on %s",
						     c->proxies[k].name, c->proxies[i].name,
						     c->proxies[i].listen);
	return 0;
}

bool wv_proxy_wanted(const struct wv_config *config)
{
	return config->n_proxies > 0;
}
