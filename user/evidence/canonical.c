// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/canonical.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/canonical_form.h"
#include "user/evidence/utf8.h"
#include "user/export/text.h"

/* far over what a record may have; a text that grows for ever would be a bug */
#define CANONICAL_MAX (256U << 20)

static void add_escaped(struct wv_text *t, unsigned char c)
{
	/* position is the letter: \b is 8, \t 9, \n 10, \f 12, \r 13 */
	static const char letters[] = "\0\0\0\0\0\0\0\0btn\0fr";
	char escape[7] = {'\\', (char)c};

	if (c == '"' || c == '\\') {
		wv_text_add(t, escape, 2);
	} else if (c < sizeof(letters) && letters[c]) {
		escape[1] = letters[c];
		wv_text_add(t, escape, 2);
	} else {
		snprintf(escape, sizeof(escape), "\\u%04x", c);
		wv_text_add(t, escape, 6);
	}
}

static void add_string(struct wv_text *t, const char *s, size_t len)
{
	size_t start = 0, i = 0;
	unsigned n;

	wv_text_str(t, "\"");
	while (i < len) {
		unsigned char c = (unsigned char)s[i];

		n = c < 0x80 ? 1 : wv_utf8_next(s + i, len - i, NULL);
		if (n && c >= 0x20 && c != '"' && c != '\\') {
			i += n;
			continue;
		}
		wv_text_add(t, s + start, i - start);
		if (n)
			add_escaped(t, c);
		else
			wv_text_add(t, "\xef\xbf\xbd", 3);
		start = ++i;
	}
	wv_text_add(t, s + start, len - start);
	wv_text_str(t, "\"");
}

static int add_value(struct wv_text *t, struct json_object *o, unsigned levels);

struct member {
	const char *key;
	char *repaired; /* the key with U+FFFD for what was no UTF-8; NULL if it was */
	size_t len;
	struct json_object *value;
};

static int by_key(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return wv_canonical_order(x->key, x->len, y->key, y->len);
}

static int repair(struct member *m)
{
	size_t len = strlen(m->key), i, to = 0;
	unsigned n;

	m->len = len;
	if (wv_utf8_valid(m->key, len))
		return 0;
	m->repaired = malloc(len * 3 + 1);
	if (!m->repaired)
		return -ENOMEM;
	for (i = 0; i < len; i += n ? n : 1) {
		n = wv_utf8_next(m->key + i, len - i, NULL);
		memcpy(m->repaired + to, n ? m->key + i : "\xef\xbf\xbd", n ? n : 3);
		to += n ? n : 3;
	}
	m->repaired[to] = '\0';
	m->key = m->repaired;
	m->len = to;
	return 0;
}

/* Members in canonical order; -EINVAL if two have one name after the repair. */
static int sorted_members(struct json_object *o, struct member *m, size_t n)
{
	size_t i = 0;
	int r = 0;

	json_object_object_foreach(o, key, value)
	{
		m[i].key = key;
		m[i].value = value;
		if (r == 0)
			r = repair(&m[i]);
		i++;
	}
	if (r < 0)
		return r;
	qsort(m, n, sizeof(*m), by_key);
	for (i = 1; i < n; i++)
		if (by_key(&m[i - 1], &m[i]) == 0)
			return -EINVAL;
	return 0;
}

static int add_object(struct wv_text *t, struct json_object *o, unsigned levels)
{
	size_t n = (size_t)json_object_object_length(o), i;
	struct member *m = calloc(n + 1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	r = sorted_members(o, m, n);
	wv_text_str(t, "{");
	for (i = 0; i < n && r == 0; i++) {
		if (i)
			wv_text_str(t, ",");
		add_string(t, m[i].key, m[i].len);
		wv_text_str(t, ":");
		r = add_value(t, m[i].value, levels);
	}
	wv_text_str(t, "}");
	for (i = 0; i < n; i++)
		free(m[i].repaired);
	free(m);
	return r;
}

static int add_array(struct wv_text *t, struct json_object *o, unsigned levels)
{
	size_t n = json_object_array_length(o), i;
	int r = 0;

	wv_text_str(t, "[");
	for (i = 0; i < n && r == 0; i++) {
		if (i)
			wv_text_str(t, ",");
		r = add_value(t, json_object_array_get_idx(o, i), levels);
	}
	wv_text_str(t, "]");
	return r;
}

static int add_number(struct wv_text *t, struct json_object *o)
{
	char number[WV_NUMBER_SIZE];
	int n;

	if (json_object_is_type(o, json_type_double)) {
		n = wv_canonical_double(json_object_get_double(o), number);
	} else {
		int64_t v = json_object_get_int64(o);

		/* over the largest signed one it is stored as an unsigned one */
		n = v < 0 ? snprintf(number, sizeof(number), "%" PRId64, v)
			  : snprintf(number, sizeof(number), "%" PRIu64, json_object_get_uint64(o));
	}
	if (n < 0)
		return n;
	wv_text_add(t, number, (size_t)n);
	return 0;
}

static int add_value(struct wv_text *t, struct json_object *o, unsigned levels)
{
	switch (json_object_get_type(o)) {
	case json_type_null:
		wv_text_add(t, "null", 4);
		return 0;
	case json_type_boolean:
		if (json_object_get_boolean(o))
			wv_text_add(t, "true", 4);
		else
			wv_text_add(t, "false", 5);
		return 0;
	case json_type_string:
		add_string(t, json_object_get_string(o), (size_t)json_object_get_string_len(o));
		return 0;
	case json_type_object:
		return levels ? add_object(t, o, levels - 1) : -EINVAL;
	case json_type_array:
		return levels ? add_array(t, o, levels - 1) : -EINVAL;
	default:
		return add_number(t, o);
	}
}

int wv_canonical(struct json_object *o, char **ret, size_t *ret_len)
{
	struct wv_text t = {.max = CANONICAL_MAX};
	int r, ended;

	r = add_value(&t, o, WV_JSON_LEVELS);
	ended = wv_text_end(&t);
	if (r == 0)
		r = ended;
	if (r < 0) {
		wv_text_done(&t);
		return r;
	}
	*ret = t.data;
	*ret_len = t.len;
	return 0;
}
