// SPDX-License-Identifier: GPL-2.0-only
/*
 * YAML documents with places: what is wrong is told with file, line and column. A hostile document
 * costs bounded time: depth and anchors are counted by the event parser before the document is
 * built.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"

#define MAX_DEPTH 16 /* the deepest setting is 4 levels down */
#define MAX_DIRECTIVES 100
#define MAX_ANCHORS 1000 /* libyaml compares each new anchor with all others */

/* Length of the valid UTF-8 sequence at s (no surrogates, nothing overlong), 0 if there is none. */
static size_t utf8_length(const unsigned char *s)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < n; i++) {
		if (s[i] < low || s[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return n;
}

void wv_make_printable(char *text)
{
	unsigned char *s = (unsigned char *)text;

	while (*s) {
		size_t n = utf8_length(s);

		if (n == 0 || *s < ' ' || *s == 0x7f) {
			*s++ = '?';
			continue;
		}
		s += n;
	}
}

int wv_config_fail(struct wv_config_error *e, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(e->text, sizeof(e->text), format, ap);
	va_end(ap);
	wv_make_printable(e->text);
	return -EINVAL;
}

static int fail_at(const struct wv_yaml *y, const yaml_mark_t *mark, const char *format, ...)
	_printf_(3, 4);

/* The file's name may be as long as it likes: it leaves half of the message to the text. */
static size_t place(const struct wv_yaml *y, const yaml_mark_t *mark)
{
	return (size_t)snprintf(y->error->text, sizeof(y->error->text), "%.250s:%zu:%zu: ", y->name,
				mark->line + 1, mark->column + 1);
}

static int fail_at(const struct wv_yaml *y, const yaml_mark_t *mark, const char *format, ...)
{
	size_t n = place(y, mark);
	va_list ap;

	va_start(ap, format);
	vsnprintf(y->error->text + n, sizeof(y->error->text) - n, format, ap);
	va_end(ap);
	wv_make_printable(y->error->text);
	return -EINVAL;
}

int wv_yaml_error(const struct wv_yaml *y, const yaml_node_t *at, const char *format, ...)
{
	size_t n = place(y, &at->start_mark);
	va_list ap;

	va_start(ap, format);
	vsnprintf(y->error->text + n, sizeof(y->error->text) - n, format, ap);
	va_end(ap);
	wv_make_printable(y->error->text);
	return -EINVAL;
}

static int syntax_error(const struct wv_yaml *y, const yaml_parser_t *p)
{
	/* the reader (broken UTF-8) knows an offset only */
	if (p->error == YAML_READER_ERROR)
		return wv_config_fail(y->error, "%.250s: byte %zu: not valid UTF-8 text: %s",
				      y->name, p->problem_offset, p->problem ?: "unreadable");
	return fail_at(y, &p->problem_mark, "not valid YAML: %s%s%s", p->problem ?: "out of memory",
		       p->context ? ", " : "", p->context ?: "");
}

/* libyaml compares each directive with all others, within one event. */
static int check_directives(const struct wv_yaml *y, const char *text, size_t len)
{
	const char *p = text, *end = text + len;
	unsigned n = 0;

	while (p && p < end) {
		n += *p == '%';
		p = memchr(p, '\n', (size_t)(end - p));
		p = p ? p + 1 : NULL;
	}
	if (n > MAX_DIRECTIVES)
		return wv_config_fail(y->error, "%.250s: more than %d lines that start with '%%'",
				      y->name, MAX_DIRECTIVES);
	return 0;
}

/* What the document would cost, without building it. */
static int check_shape(const struct wv_yaml *y, const char *text, size_t len)
{
	_cleanup_(yaml_parser_delete) yaml_parser_t p = {0};
	unsigned depth = 0, anchors = 0;
	bool done = false;

	if (!yaml_parser_initialize(&p))
		return -ENOMEM;
	yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
	while (!done) {
		_cleanup_(yaml_event_delete) yaml_event_t e = {0};

		if (!yaml_parser_parse(&p, &e))
			return syntax_error(y, &p);
		switch (e.type) {
		case YAML_SEQUENCE_START_EVENT:
			anchors += e.data.sequence_start.anchor != NULL;
			depth++;
			break;
		case YAML_MAPPING_START_EVENT:
			anchors += e.data.mapping_start.anchor != NULL;
			depth++;
			break;
		case YAML_SCALAR_EVENT:
			anchors += e.data.scalar.anchor != NULL;
			break;
		case YAML_SEQUENCE_END_EVENT:
		case YAML_MAPPING_END_EVENT:
			depth--;
			break;
		case YAML_STREAM_END_EVENT:
			done = true;
			break;
		default:
			break;
		}
		if (depth > MAX_DEPTH)
			return fail_at(y, &e.start_mark, "nested deeper than %d levels", MAX_DEPTH);
		if (anchors > MAX_ANCHORS)
			return fail_at(y, &e.start_mark, "more than %d anchors", MAX_ANCHORS);
	}
	return 0;
}

/* Whether a second document follows. */
static int check_single(const struct wv_yaml *y, yaml_parser_t *p)
{
	yaml_document_t next;
	yaml_node_t *root;
	int r = 0;

	if (!yaml_parser_load(p, &next))
		return syntax_error(y, p);
	root = yaml_document_get_root_node(&next);
	if (root)
		r = fail_at(y, &next.start_mark, "a second document; expected one only");
	yaml_document_delete(&next);
	return r;
}

int wv_yaml_load(struct wv_yaml *y, yaml_document_t *doc, const char *text, size_t len)
{
	_cleanup_(yaml_parser_delete) yaml_parser_t p = {0};
	int r = check_directives(y, text, len);

	if (r == 0)
		r = check_shape(y, text, len);
	if (r < 0)
		return r;
	if (!yaml_parser_initialize(&p))
		return -ENOMEM;
	yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
	if (!yaml_parser_load(&p, doc))
		return syntax_error(y, &p);
	r = yaml_document_get_root_node(doc) ? check_single(y, &p) : -ENODATA;
	if (r < 0) {
		yaml_document_delete(doc);
		return r;
	}
	y->doc = doc;
	return 0;
}

const char *wv_yaml_scalar(const yaml_node_t *node)
{
	if (node->type != YAML_SCALAR_NODE)
		return NULL;
	if (memchr(node->data.scalar.value, 0, node->data.scalar.length))
		return NULL;
	return (const char *)node->data.scalar.value;
}

bool wv_yaml_is_null(const yaml_node_t *node)
{
	const char *s = wv_yaml_scalar(node);

	return s && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*s || strcmp(s, "~") == 0 || strcmp(s, "null") == 0);
}

const char *wv_yaml_kind(const yaml_node_t *node)
{
	if (wv_yaml_is_null(node))
		return "nothing";
	return node->type == YAML_MAPPING_NODE	  ? "a mapping"
	       : node->type == YAML_SEQUENCE_NODE ? "a list"
						  : "text";
}

yaml_node_t *wv_yaml_get(const struct wv_yaml *y, const yaml_node_t *map, const char *key)
{
	const yaml_node_pair_t *p;

	if (map->type != YAML_MAPPING_NODE)
		return NULL;
	for (p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		const char *name = wv_yaml_scalar(yaml_document_get_node(y->doc, p->key));

		if (name && strcmp(name, key) == 0)
			return yaml_document_get_node(y->doc, p->value);
	}
	return NULL;
}

static bool is_among(const char *name, const char *const keys[])
{
	for (; *keys; keys++)
		if (strcmp(name, *keys) == 0)
			return true;
	return false;
}

/* Keys before this pair are known and differ, so that there are few of them. */
static bool is_repeated(const struct wv_yaml *y, const yaml_node_t *map, const yaml_node_pair_t *at,
			const char *name)
{
	const yaml_node_pair_t *p;

	for (p = map->data.mapping.pairs.start; p < at; p++)
		if (strcmp(wv_yaml_scalar(yaml_document_get_node(y->doc, p->key)), name) == 0)
			return true;
	return false;
}

int wv_yaml_check_keys(const struct wv_yaml *y, const yaml_node_t *map, const char *where,
		       const char *const keys[])
{
	const yaml_node_pair_t *p;

	if (map->type != YAML_MAPPING_NODE)
		return wv_yaml_error(y, map, "%s: expected a mapping (key: value), got %s", where,
				     wv_yaml_kind(map));
	for (p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = yaml_document_get_node(y->doc, p->key);
		const char *name = wv_yaml_scalar(key), *near;

		if (!name)
			return wv_yaml_error(y, key, "%s: a key must be a word", where);
		if (!is_among(name, keys)) {
			near = wv_suggest(name, keys);
			return wv_yaml_error(y, key, "unknown key '%.60s' in %s%s%s%s", name, where,
					     near ? "; did you mean '" : "", near ?: "",
					     near ? "'?" : "");
		}
		if (is_repeated(y, map, p, name))
			return wv_yaml_error(y, key, "key '%s' in %s is given twice", name, where);
	}
	return 0;
}
