// SPDX-License-Identifier: GPL-2.0-only
#include "user/otlp/answer.h"

#include <json-c/json.h>
#include <stdio.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"

struct slice {
	const uint8_t *p;
	size_t n;
};

static void set_text(struct wv_otlp_answer *a, const char *s, size_t len)
{
	snprintf(a->text, sizeof(a->text), "%.*s", (int)(len < 512 ? len : 512), s);
	wv_make_printable(a->text);
}

static bool get_varint(struct slice *s, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && s->n; shift += 7) {
		uint8_t b = *s->p++;

		s->n--;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* The next field: a number, or bytes. False at the end, and at what is no protobuf. */
static bool next_field(struct slice *s, unsigned *ret_field, uint64_t *ret_number,
		       struct slice *ret_bytes)
{
	uint64_t tag, n;

	*ret_bytes = (struct slice){NULL, 0};
	*ret_number = 0;
	if (!get_varint(s, &tag))
		return false;
	*ret_field = (unsigned)(tag >> 3);
	switch (tag & 7) {
	case 0:
		return get_varint(s, ret_number);
	case 1:
	case 5:
		n = (tag & 7) == 1 ? 8 : 4;
		break;
	case 2:
		if (!get_varint(s, &n))
			return false;
		break;
	default:
		return false;
	}
	if (n > s->n)
		return false;
	*ret_bytes = (struct slice){s->p, (size_t)n};
	s->p += n;
	s->n -= (size_t)n;
	return true;
}

static void parse_protobuf(struct wv_otlp_answer *a, bool good, struct slice s)
{
	struct slice bytes, inner = s;
	uint64_t number;
	unsigned field;

	if (good) { /* field 1 is the partial success */
		inner = (struct slice){NULL, 0};
		while (next_field(&s, &field, &number, &bytes))
			if (field == 1 && bytes.p)
				inner = bytes;
	}
	/* rejected and its message, or the status' code and message */
	while (next_field(&inner, &field, &number, &bytes)) {
		if (good && field == 1 && !bytes.p && number <= INT64_MAX)
			a->rejected = number;
		else if (field == 2 && bytes.p)
			set_text(a, (const char *)bytes.p, bytes.n);
	}
}

static void parse_json(struct wv_otlp_answer *a, bool good, const char *body, size_t len)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *o, *in, *v;
	int64_t n = 0;

	if (!tokener)
		return;
	o = json_tokener_parse_ex(tokener, body, (int)len);
	json_tokener_free(tokener);
	in = o;
	if (good && !json_object_object_get_ex(o, "partialSuccess", &in))
		in = NULL;
	if (json_object_object_get_ex(in, "rejectedSpans", &v) ||
	    json_object_object_get_ex(in, "rejectedLogRecords", &v))
		n = json_object_get_int64(v); /* a number or, as in proto3 JSON, its text */
	if (good && n > 0)
		a->rejected = (uint64_t)n;
	if (json_object_object_get_ex(in, good ? "errorMessage" : "message", &v) &&
	    json_object_is_type(v, json_type_string))
		set_text(a, json_object_get_string(v), (size_t)json_object_get_string_len(v));
	json_object_put(o);
}

void wv_otlp_answer_parse(struct wv_otlp_answer *a, bool json, const char *body, size_t len)
{
	bool good = a->status >= 200 && a->status < 300;

	if (!len)
		return;
	if (json)
		parse_json(a, good, body, len);
	else
		parse_protobuf(a, good, (struct slice){(const uint8_t *)body, len});
}
