// SPDX-License-Identifier: GPL-2.0-only
/* Values out of what sources gave: whole, or one member of JSON. json-c keeps copies, which are
 * wiped before they are given back. */
#include <errno.h>
#include <json-c/json.h>
#include <json-c/printbuf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/secret/store.h"

int wv_secret_fail(struct wv_secret_fetched *f, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(f->why, sizeof(f->why), format, args);
	va_end(args);
	return error;
}

int wv_secret_keep(struct wv_secret_fetched *f, const char *bytes, size_t len)
{
	if (!len)
		return wv_secret_fail(f, -ENOENT, "it is empty");
	if (len > WV_SECRET_MAX)
		return wv_secret_fail(f, -EFBIG, "it is longer than %d bytes", WV_SECRET_MAX);
	if (memchr(bytes, '\0', len))
		return wv_secret_fail(f, -EBADMSG, "it has a NUL in it, as no text has");
	if (wv_locked_alloc(&f->value, len + 1) < 0)
		return wv_secret_fail(f, -ENOMEM, "no memory");
	memcpy(f->value.p, bytes, len);
	f->len = len;
	return 0;
}

/* The parser's own copy of the last text: made large first, so that it never moves. */
static void make_room(struct json_tokener *t, size_t len)
{
	if (len < INT32_MAX / 2)
		(void)printbuf_memset(t->pb, 0, 0, (int)len + 1);
	printbuf_reset(t->pb);
}

int wv_secret_json(const char *text, size_t len, struct json_object **ret)
{
	struct json_tokener *t = json_tokener_new();
	struct json_object *o;

	if (!t)
		return -ENOMEM;
	make_room(t, len);
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = len < INT32_MAX / 2 ? json_tokener_parse_ex(t, text, (int)len + 1) : NULL;
	explicit_bzero(t->pb->buf, (size_t)t->pb->size);
	json_tokener_free(t);
	if (!o)
		return -EBADMSG;
	*ret = o;
	return 0;
}

static void wipe(struct json_object *o)
{
	switch (json_object_get_type(o)) {
	case json_type_string:
		/* its bytes, not a copy of them */
		explicit_bzero((char *)(uintptr_t)json_object_get_string(o),
			       (size_t)json_object_get_string_len(o));
		break;
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(o); i++)
			wipe(json_object_array_get_idx(o, i));
		break;
	case json_type_object: {
		struct json_object_iterator at = json_object_iter_begin(o);
		struct json_object_iterator end = json_object_iter_end(o);

		for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
			wipe(json_object_iter_peek_value(&at));
		break;
	}
	default:
		break;
	}
}

void wv_secret_json_done(struct json_object *o)
{
	wipe(o);
	json_object_put(o);
}

struct json_object *wv_secret_member(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *member;

	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, key, &member) || !json_object_is_type(member, type))
		return NULL;
	return member;
}

int wv_secret_keep_object(struct wv_secret_fetched *f, struct json_object *o, const char *field)
{
	struct json_object *m;
	char number[32];

	if (!json_object_is_type(o, json_type_object))
		return wv_secret_fail(f, -EBADMSG, "it is no JSON object with a field");
	if (!json_object_object_get_ex(o, field, &m))
		return wv_secret_fail(f, -ENOENT, "it has no such field");
	if (json_object_is_type(m, json_type_string))
		return wv_secret_keep(f, json_object_get_string(m),
				      (size_t)json_object_get_string_len(m));
	if (!json_object_is_type(m, json_type_int))
		return wv_secret_fail(f, -EBADMSG, "the field is no text");
	(void)snprintf(number, sizeof(number), "%lld", (long long)json_object_get_int64(m));
	return wv_secret_keep(f, number, strlen(number));
}

int wv_secret_keep_field(struct wv_secret_fetched *f, const char *bytes, size_t len,
			 const char *field)
{
	struct json_object *o = NULL;
	int r;

	if (!*field)
		return wv_secret_keep(f, bytes, len);
	r = wv_secret_json(bytes, len, &o);
	if (r < 0)
		return wv_secret_fail(f, r, "it is no JSON, so that it has no field");
	r = wv_secret_keep_object(f, o, field);
	wv_secret_json_done(o);
	return r;
}
