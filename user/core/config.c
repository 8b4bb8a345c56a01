// SPDX-License-Identifier: GPL-2.0-only
/* The configuration: settings by the rows of config.def. Everything in a file applies, or nothing.
 */
#include "user/core/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/sha256.h"
#include "user/flow/budget.h"
#include "user/flow/heartbeat.h"

#define FILE_MAX_BYTES (1U << 20)
#define SECTIONS_MAX 32

extern char **environ;

#define WV_SETTING(section, key, type, def, min, max, doc)                                         \
	{#section, #key, WV_##type, def,                                                           \
	 min,	   max,	 doc,	    offsetof(struct wv_config, section##_##key)},
const struct wv_setting wv_settings_table[] = {
#include "waveos/config.def"
};
const size_t wv_settings_count = ARRAY_SIZE(wv_settings_table);

#define WV_LIST(name, function, doc) {#name, doc, function},
const struct wv_list_info wv_lists[] = {
#include "waveos/config.def"
};
const size_t wv_lists_count = ARRAY_SIZE(wv_lists);

/* Names of the sections in table order, NULL-terminated. */
static void section_names(const char *names[SECTIONS_MAX])
{
	const char *last = "";
	size_t n = 0;

	for (size_t i = 0; i < wv_settings_count && n + 1 < SECTIONS_MAX; i++)
		if (strcmp(last, wv_settings_table[i].section) != 0)
			names[n++] = last = wv_settings_table[i].section;
	names[n] = NULL;
}

/* Keys of a section, NULL-terminated. */
static void section_keys(const char *section, const char *keys[SECTIONS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < wv_settings_count && n + 1 < SECTIONS_MAX; i++)
		if (strcmp(wv_settings_table[i].section, section) == 0)
			keys[n++] = wv_settings_table[i].key;
	keys[n] = NULL;
}

static const struct wv_setting *find_setting(const char *section, size_t section_len,
					     const char *key)
{
	for (size_t i = 0; i < wv_settings_count; i++) {
		const struct wv_setting *s = &wv_settings_table[i];

		if (strlen(s->section) == section_len &&
		    strncasecmp(s->section, section, section_len) == 0 &&
		    strcasecmp(s->key, key) == 0)
			return s;
	}
	return NULL;
}

static int store(struct wv_config *c, const struct wv_setting *s, const char *text,
		 char expected[WV_EXPECTED_SIZE])
{
	void *member = (char *)c + s->offset;
	uint64_t v;
	int r;

	if (s->type == WV_STRING || s->type == WV_SECRET)
		return wv_text_parse(s->type, text, member, 256, expected);
	r = wv_value_parse(s->type, s->min, s->max, s->def, text, &v, expected);
	if (r < 0)
		return r;
	if (s->type == WV_BOOL)
		*(bool *)member = v;
	else if (s->type == WV_CHOICE)
		*(int *)member = (int)v;
	else
		*(uint64_t *)member = v;
	return 0;
}

int wv_config_init(struct wv_config *c)
{
	char expected[WV_EXPECTED_SIZE];

	*c = (struct wv_config){0};
	for (size_t i = 0; i < wv_settings_count; i++)
		if (store(c, &wv_settings_table[i], wv_settings_table[i].def, expected) < 0)
			return -EINVAL; /* a row contradicts itself; test_config watches */
	return 0;
}

static void forget_lists(struct wv_config *c)
{
	c->budgets = NULL;
	c->heartbeats = NULL;
	c->n_budgets = c->n_heartbeats = 0;
	c->spools = NULL;
	c->spool_inputs = NULL;
	c->spool_outputs = NULL;
	c->n_spools = c->n_spool_inputs = c->n_spool_outputs = 0;
	c->alerts = NULL;
	c->alert_routes = NULL;
	c->n_alerts = c->n_alert_routes = 0;
	c->proxies = NULL;
	c->n_proxies = 0;
	c->roles = NULL;
	c->n_roles = 0;
	c->proxy_texts = (struct wv_arena){NULL};
}

void wv_config_done(struct wv_config *c)
{
	free(c->budgets);
	free(c->heartbeats);
	free(c->proxies);
	wv_arena_done(&c->proxy_texts);
	free(c->alerts);
	free(c->alert_routes);
	free(c->spools);
	free(c->spool_inputs);
	free(c->spool_outputs);
	free(c->roles);
	forget_lists(c);
}

static int parse_section(struct wv_config *c, const struct wv_yaml *y, const yaml_node_t *map,
			 const char *section)
{
	const char *keys[SECTIONS_MAX];
	char where[64], expected[WV_EXPECTED_SIZE], got[WV_EXPECTED_SIZE];
	int r;

	/* all its keys may be commented out */
	if (wv_yaml_is_null(map))
		return 0;
	section_keys(section, keys);
	snprintf(where, sizeof(where), "section '%s'", section);
	r = wv_yaml_check_keys(y, map, where, keys);
	for (size_t i = 0; r == 0 && keys[i]; i++) {
		const yaml_node_t *node = wv_yaml_get(y, map, keys[i]);
		const struct wv_setting *s = find_setting(section, strlen(section), keys[i]);
		const char *text = node ? wv_yaml_scalar(node) : NULL;

		if (!node)
			continue;
		if (!text)
			return wv_yaml_error(y, node, "%s.%s: expected a single value (%s), got %s",
					     section, keys[i], wv_value_name(s->type),
					     wv_yaml_kind(node));
		if (store(c, s, text, expected) < 0)
			return wv_yaml_error(y, node, "%s.%s: %s%s", section, keys[i], expected,
					     wv_value_got(s->type, text, got));
	}
	return r;
}

static int parse_document(struct wv_config *c, const struct wv_yaml *y, const yaml_node_t *root)
{
	const char *names[SECTIONS_MAX * 2];
	size_t n = 0;
	int r;

	section_names(names);
	while (names[n])
		n++;
	for (size_t i = 0; i < wv_lists_count && n + 1 < ARRAY_SIZE(names); i++)
		names[n++] = wv_lists[i].name;
	names[n] = NULL;
	r = wv_yaml_check_keys(y, root, "the configuration", names);
	for (size_t i = 0; r == 0 && i < n; i++) {
		yaml_node_t *node = wv_yaml_get(y, root, names[i]);
		size_t list = i - (n - wv_lists_count);

		if (!node)
			continue;
		if (i < n - wv_lists_count)
			r = parse_section(c, y, node, names[i]);
		else if (!wv_yaml_is_null(node))
			r = wv_lists[list].parse(c, y, node);
	}
	return r;
}

/* Settings of c are the start; its lists are not, as a file says them whole or not at all. */
static int parse_text(struct wv_config *next, const char *name, const char *text, size_t len,
		      struct wv_config_error *error)
{
	struct wv_yaml y = {.name = name, .error = error};
	yaml_document_t doc;
	int r;

	if (len > FILE_MAX_BYTES)
		return wv_config_fail(error, "%.250s: larger than %u bytes", name, FILE_MAX_BYTES);
	wv_sha256_hex(text, len, next->digest);
	snprintf(next->source, sizeof(next->source), "%s", name);
	r = wv_yaml_load(&y, &doc, text, len);
	if (r == -ENODATA)
		return 0;
	if (r < 0)
		return r;
	if (!wv_yaml_is_null(yaml_document_get_root_node(&doc)))
		r = parse_document(next, &y, yaml_document_get_root_node(&doc));
	yaml_document_delete(&doc);
	return r;
}

int wv_config_load_memory(struct wv_config *c, const char *name, const char *text, size_t len,
			  struct wv_config_error *ret_error)
{
	struct wv_config next = *c;
	int r;

	forget_lists(&next);
	ret_error->text[0] = '\0';
	r = parse_text(&next, name, text, len, ret_error);
	if (r < 0) {
		wv_config_done(&next);
		if (!ret_error->text[0])
			(void)wv_config_fail(ret_error, "%.250s: %s", name, strerror(-r));
		return r;
	}
	wv_config_done(c);
	*c = next;
	return 0;
}

/* A pipe will do as well (--config <(...)), so it is read to its end; size + 1 bytes at most. */
static int read_all(int fd, char *buf, size_t size, size_t *ret_len)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, buf + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

int wv_config_read(const char *path, char **ret_text, size_t *ret_len)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_free_ char *text = NULL;
	int r;

	if (fd < 0)
		return -errno;
	text = malloc(FILE_MAX_BYTES + 1);
	r = text ? read_all(fd, text, FILE_MAX_BYTES + 1, ret_len) : -ENOMEM;
	if (r == 0)
		*ret_text = TAKE_PTR(text);
	return r;
}

int wv_config_load(struct wv_config *c, const char *path, struct wv_config_error *ret_error)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = wv_config_read(path, &text, &len);

	if (r < 0) {
		(void)wv_config_fail(ret_error, "%.250s: %s", path, strerror(-r));
		return r;
	}
	return wv_config_load_memory(c, path, text, len, ret_error);
}

/* Which of the table's names was meant by a wrong "section.key". */
static int unknown_setting(const char *origin, const char *name, struct wv_config_error *error)
{
	char full[128][64];
	const char *names[129], *near;
	size_t n = 0;

	for (; n < wv_settings_count && n < 128; n++) {
		snprintf(full[n], sizeof(full[n]), "%s.%s", wv_settings_table[n].section,
			 wv_settings_table[n].key);
		names[n] = full[n];
	}
	names[n] = NULL;
	near = wv_suggest(name, names);
	return wv_config_fail(error, "%s: unknown setting '%.80s'%s%s%s", origin, name,
			      near ? "; did you mean '" : "; `waveos-bpf attach --help` lists them",
			      near ?: "", near ? "'?" : "");
}

int wv_config_set(struct wv_config *c, const char *name, const char *value,
		  struct wv_config_error *ret_error)
{
	const char *dot = strchr(name, '.');
	const struct wv_setting *s = NULL;
	char expected[WV_EXPECTED_SIZE], got[WV_EXPECTED_SIZE];

	for (size_t i = 0; i < wv_lists_count; i++)
		if (strncmp(name, wv_lists[i].name, strlen(wv_lists[i].name)) == 0)
			return wv_config_fail(ret_error,
					      "--set: '%s' is a list; expected it in a "
					      "configuration file",
					      wv_lists[i].name);
	if (dot)
		s = find_setting(name, (size_t)(dot - name), dot + 1);
	if (!s)
		return unknown_setting("--set", name, ret_error);
	if (store(c, s, value, expected) < 0)
		return wv_config_fail(ret_error, "--set %s.%s: %s%s", s->section, s->key, expected,
				      wv_value_got(s->type, value, got));
	return 0;
}

/* In a pod, Kubernetes adds such variables for a service that is named like a section:
 * "waveos-metrics". */
static bool is_service_link(const char *key)
{
	return strncmp(key, "SERVICE_", 8) == 0 || strcmp(key, "PORT") == 0 ||
	       strncmp(key, "PORT_", 5) == 0;
}

/* One WAVEOS_ variable; what is in no section is someone else's. */
static int set_variable(struct wv_config *c, const char *name, size_t len, const char *value,
			struct wv_config_error *error)
{
	const char *names[SECTIONS_MAX], *rest = name + strlen("WAVEOS_");
	char expected[WV_EXPECTED_SIZE], got[WV_EXPECTED_SIZE], dotted[128];

	section_names(names);
	for (size_t i = 0; names[i]; i++) {
		size_t n = strlen(names[i]);
		const struct wv_setting *s;

		if (strncasecmp(rest, names[i], n) != 0 || rest[n] != '_')
			continue;
		snprintf(dotted, sizeof(dotted), "%s.%.*s", names[i],
			 (int)(len - (size_t)(rest + n + 1 - name)), rest + n + 1);
		s = find_setting(names[i], n, dotted + n + 1);
		if (!s && is_service_link(dotted + n + 1))
			return 0;
		for (char *p = dotted; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		if (!s)
			return unknown_setting("environment", dotted, error);
		if (store(c, s, value, expected) < 0)
			return wv_config_fail(error, "environment: %.*s: %s%s", (int)len, name,
					      expected, wv_value_got(s->type, value, got));
		return 0;
	}
	return 0;
}

int wv_config_environment(struct wv_config *c, struct wv_config_error *ret_error)
{
	struct wv_config next = *c;

	for (char **e = environ; e && *e; e++) {
		const char *equal = strchr(*e, '=');
		int r;

		if (!equal || strncmp(*e, "WAVEOS_", 7) != 0)
			continue;
		r = set_variable(&next, *e, (size_t)(equal - *e), equal + 1, ret_error);
		if (r < 0)
			return r;
	}
	*c = next;
	return 0;
}
