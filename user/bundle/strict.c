// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/strict.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/canonical.h"

#define MAX_DEPTH 8 /* deeper than anything that is signed here */

int wv_manifest_fail(struct wv_manifest_error *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	wv_make_printable(error->text);
	return -EBADMSG;
}

int wv_strict_choice(const char *name, const char *const *choices)
{
	for (int i = 0; choices[i]; i++)
		if (strcmp(choices[i], name) == 0)
			return i;
	return -1;
}

bool wv_strict_is_hex(const char *text, size_t n)
{
	return strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

int wv_strict_parse(const char *text, size_t len, size_t max, struct json_object **ret,
		    struct wv_manifest_error *error)
{
	struct json_tokener *tok;
	struct json_object *o;
	bool whole;
	int r;

	if (len > max) {
		(void)wv_manifest_fail(error, "%zu bytes, at most %zu are read", len, max);
		return -EFBIG;
	}
	r = wv_canonical_check(text, len);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return wv_manifest_fail(error, r == -EPROTO ? "it is no JSON"
							    : "it is no canonical JSON (RFC 8785)");
	tok = json_tokener_new_ex(MAX_DEPTH);
	if (!tok)
		return -ENOMEM;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, text, (int)len);
	whole = o && json_tokener_get_parse_end(tok) == len;
	json_tokener_free(tok);
	if (!whole || !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return wv_manifest_fail(error, "it is no JSON object of at most %d levels",
					MAX_DEPTH);
	}
	*ret = o;
	return 0;
}

const char *wv_strict_string(struct json_object *o)
{
	const char *text;

	if (!json_object_is_type(o, json_type_string))
		return NULL;
	text = json_object_get_string(o);
	return strlen(text) == (size_t)json_object_get_string_len(o) ? text : NULL;
}

static int read_text(const struct wv_strict_field *f, struct json_object *v, const char *where,
		     char *to, struct wv_manifest_error *error)
{
	const char *text = wv_strict_string(v);
	size_t len = text ? strlen(text) : 0;

	if (!text || !len || len >= f->size)
		return wv_manifest_fail(error, "%s: %s is a text of 1 to %zu bytes", where, f->name,
					f->size - 1);
	if (f->ok && !f->ok(text))
		return wv_manifest_fail(error, "%s: %s '%.80s' is not %s", where, f->name, text,
					f->want);
	memcpy(to, text, len + 1);
	return 0;
}

static int read_uint(const struct wv_strict_field *f, struct json_object *v, const char *where,
		     void *to, struct wv_manifest_error *error)
{
	/* what does not fit is saturated by json-c, and so over every bound that is used here */
	int64_t n = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : -1;

	if (n < 0 || (uint64_t)n < f->min || (uint64_t)n > f->max)
		return wv_manifest_fail(error, "%s: %s is a whole number from %llu to %llu", where,
					f->name, (unsigned long long)f->min,
					(unsigned long long)f->max);
	if (f->type == WV_STRICT_UINT32)
		*(uint32_t *)to = (uint32_t)n;
	else
		*(uint64_t *)to = (uint64_t)n;
	return 0;
}

static int read_choice(const struct wv_strict_field *f, struct json_object *v, const char *where,
		       int *to, struct wv_manifest_error *error)
{
	const char *text = wv_strict_string(v);
	int i = text ? wv_strict_choice(text, f->choices) : -1;

	if (i < 0)
		return wv_manifest_fail(error, "%s: %s '%.80s' is not known here", where, f->name,
					text ?: "");
	*to = i;
	return 0;
}

static int read_value(const struct wv_strict_field *f, struct json_object *v, const char *where,
		      void *to, struct wv_manifest_error *error)
{
	switch (f->type) {
	case WV_STRICT_TEXT:
		return read_text(f, v, where, to, error);
	case WV_STRICT_UINT:
	case WV_STRICT_UINT32:
		return read_uint(f, v, where, to, error);
	case WV_STRICT_BOOL:
		if (!json_object_is_type(v, json_type_boolean))
			return wv_manifest_fail(error, "%s: %s is true or false", where, f->name);
		*(bool *)to = json_object_get_boolean(v);
		return 0;
	case WV_STRICT_CHOICE:
		return read_choice(f, v, where, to, error);
	case WV_STRICT_LIST:
		if (!json_object_is_type(v, json_type_array) ||
		    json_object_array_length(v) < f->min || json_object_array_length(v) > f->max)
			return wv_manifest_fail(error, "%s: %s is a list of %llu to %llu", where,
						f->name, (unsigned long long)f->min,
						(unsigned long long)f->max);
		break;
	case WV_STRICT_OBJECT:
		if (!json_object_is_type(v, json_type_object) ||
		    (uint64_t)json_object_object_length(v) < f->min ||
		    (uint64_t)json_object_object_length(v) > f->max)
			return wv_manifest_fail(
				error, "%s: %s is an object of %llu to %llu members", where,
				f->name, (unsigned long long)f->min, (unsigned long long)f->max);
		break;
	}
	*(struct json_object **)to = v;
	return 0;
}

int wv_strict_read(struct json_object *o, const char *where, const struct wv_strict_field *fields,
		   void *to, struct wv_manifest_error *error)
{
	int found = 0;

	if (!json_object_is_type(o, json_type_object))
		return wv_manifest_fail(error, "%s is no object", where);
	for (const struct wv_strict_field *f = fields; f->name; f++) {
		struct json_object *v;
		int r;

		if (!json_object_object_get_ex(o, f->name, &v)) {
			if (f->optional)
				continue;
			return wv_manifest_fail(error, "%s has no %s", where, f->name);
		}
		found++;
		r = read_value(f, v, where, (char *)to + f->offset, error);
		if (r < 0)
			return r;
	}
	if (found == json_object_object_length(o))
		return 0;
	json_object_object_foreach(o, name, value)
	{
		const struct wv_strict_field *f = fields;

		(void)value;
		while (f->name && strcmp(f->name, name) != 0)
			f++;
		if (!f->name)
			return wv_manifest_fail(error, "%s: unknown member '%.80s'", where, name);
	}
	return wv_manifest_fail(error, "%s has a member twice", where);
}
