// SPDX-License-Identifier: GPL-2.0-only
/*
 * Protobuf: a message's length stands before it and is known only behind it. One byte is kept for
 * it, and the message moved where that is too few; messages are small and close from the inside.
 */
#include "user/otlp/wire.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "user/otlp/ids.h"
#include "user/spool/encode.h"

enum wire_type { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static const struct {
	uint8_t number;
	bool repeated;
	const char *json;
} fields[WV_OTLP_FIELD_N] = {
#define X(id, n, name, many) [WV_OTLP_##id] = {n, many, name},
	WV_OTLP_FIELDS(X)
#undef X
};

#define LITERAL(w, s) wv_text_add((w)->text, s, sizeof(s) - 1)

static unsigned varint(uint8_t to[10], uint64_t v)
{
	unsigned n = 0;

	while (v >= 0x80) {
		to[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	to[n++] = (uint8_t)v;
	return n;
}

static void put_varint(struct wv_otlp_writer *w, uint64_t v)
{
	uint8_t bytes[10];

	wv_text_add(w->text, (const char *)bytes, varint(bytes, v));
}

static void put_little(struct wv_otlp_writer *w, uint64_t v, unsigned n)
{
	char bytes[8];

	for (unsigned i = 0; i < n; i++)
		bytes[i] = (char)(v >> 8 * i);
	wv_text_add(w->text, bytes, n);
}

static void close_list(struct wv_otlp_writer *w)
{
	if (w->at[w->depth].list >= 0)
		LITERAL(w, "]");
	w->at[w->depth].list = -1;
}

/* What stands before a value. */
static void name(struct wv_otlp_writer *w, enum wv_otlp_field f, enum wire_type type)
{
	if (w->encoding == WV_OTLP_PROTOBUF) {
		put_varint(w, (uint64_t)fields[f].number << 3 | type);
		return;
	}
	if (w->at[w->depth].list == (int)f) {
		LITERAL(w, ",");
		return;
	}
	close_list(w);
	if (w->at[w->depth].any)
		LITERAL(w, ",");
	w->at[w->depth].any = true;
	LITERAL(w, "\"");
	wv_text_str(w->text, fields[f].json);
	LITERAL(w, "\":");
	if (fields[f].repeated) {
		LITERAL(w, "[");
		w->at[w->depth].list = (int)f;
	}
	return;
}

void wv_otlp_start(struct wv_otlp_writer *w, enum wv_otlp_encoding encoding, struct wv_text *text)
{
	*w = (struct wv_otlp_writer){.encoding = encoding, .text = text};
	w->at[0].list = -1;
	if (encoding == WV_OTLP_JSON)
		LITERAL(w, "{");
}

void wv_otlp_finish(struct wv_otlp_writer *w)
{
	if (w->depth) /* a caller forgot an end */
		w->text->error = -EINVAL;
	if (w->encoding != WV_OTLP_JSON)
		return;
	close_list(w);
	LITERAL(w, "}");
}

void wv_otlp_begin(struct wv_otlp_writer *w, enum wv_otlp_field f)
{
	if (w->depth + 1 >= WV_OTLP_DEPTH) {
		w->text->error = -EOVERFLOW;
		return;
	}
	name(w, f, BYTES);
	w->depth++;
	w->at[w->depth].any = false;
	w->at[w->depth].list = -1;
	LITERAL(w, "{"); /* of protobuf, the place of the length */
	w->at[w->depth].start = w->text->len;
}

void wv_otlp_end(struct wv_otlp_writer *w)
{
	size_t start = w->at[w->depth].start, len = w->text->len - start;
	uint8_t bytes[10];
	unsigned n;

	if (!w->depth || w->text->error)
		return;
	if (w->encoding == WV_OTLP_JSON) {
		close_list(w);
		LITERAL(w, "}");
		w->depth--;
		return;
	}
	n = varint(bytes, len);
	if (n > 1 && w->text->cap - w->text->len < n - 1 && !wv_text_room(w->text, n - 1))
		return;
	if (n > 1)
		memmove(w->text->data + start + n - 1, w->text->data + start, len);
	memcpy(w->text->data + start - 1, bytes, n);
	w->text->len += n - 1;
	w->depth--;
}

/* Protobuf's strings have to be UTF-8 as well. */
static void clean(struct wv_text *t, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = (unsigned char)s[i] < 0x80 ? 1 : 0;

		if (!n) {
			char part[5] = "";

			memcpy(part, s + i, len - i < 4 ? len - i : 4);
			n = wv_utf8_sequence(part);
		}
		wv_text_add(t, n ? s + i : "\xef\xbf\xbd", n ?: 3);
		i += n ?: 1;
	}
}

void wv_otlp_string(struct wv_otlp_writer *w, enum wv_otlp_field f, const char *s, size_t len)
{
	if (w->encoding == WV_OTLP_JSON) {
		name(w, f, BYTES);
		LITERAL(w, "\"");
		(void)wv_json_text(w->text, s, len);
		LITERAL(w, "\"");
		return;
	}
	/* like a message whose bytes are the text */
	wv_otlp_begin(w, f);
	clean(w->text, s, len);
	wv_otlp_end(w);
}

static void number(struct wv_otlp_writer *w, enum wv_otlp_field f, const char *text)
{
	name(w, f, VARINT);
	wv_text_str(w->text, text);
}

void wv_otlp_fixed64(struct wv_otlp_writer *w, enum wv_otlp_field f, uint64_t v)
{
	char text[32];

	if (w->encoding == WV_OTLP_JSON) {
		snprintf(text, sizeof(text), "\"%" PRIu64 "\"", v);
		number(w, f, text);
		return;
	}
	name(w, f, FIXED64);
	put_little(w, v, 8);
}

void wv_otlp_fixed32(struct wv_otlp_writer *w, enum wv_otlp_field f, uint32_t v)
{
	if (w->encoding == WV_OTLP_JSON) {
		wv_otlp_uint(w, f, v);
		return;
	}
	name(w, f, FIXED32);
	put_little(w, v, 4);
}

void wv_otlp_int64(struct wv_otlp_writer *w, enum wv_otlp_field f, int64_t v)
{
	char text[32];

	if (w->encoding == WV_OTLP_JSON) {
		snprintf(text, sizeof(text), "\"%" PRId64 "\"", v);
		number(w, f, text);
		return;
	}
	name(w, f, VARINT);
	put_varint(w, (uint64_t)v);
}

void wv_otlp_uint(struct wv_otlp_writer *w, enum wv_otlp_field f, uint32_t v)
{
	char text[16];

	if (w->encoding == WV_OTLP_JSON) {
		snprintf(text, sizeof(text), "%" PRIu32, v);
		number(w, f, text);
		return;
	}
	name(w, f, VARINT);
	put_varint(w, v);
}

void wv_otlp_bool(struct wv_otlp_writer *w, enum wv_otlp_field f, bool v)
{
	if (w->encoding == WV_OTLP_JSON) {
		number(w, f, v ? "true" : "false");
		return;
	}
	name(w, f, VARINT);
	put_varint(w, v);
}

void wv_otlp_double(struct wv_otlp_writer *w, enum wv_otlp_field f, double v)
{
	char text[40];
	uint64_t bits;

	if (w->encoding == WV_OTLP_JSON) {
		if (isfinite(v))
			snprintf(text, sizeof(text), "%.17g", v);
		else
			snprintf(text, sizeof(text), "\"%s\"",
				 isnan(v) ? "NaN"
				 : v < 0  ? "-Infinity"
					  : "Infinity");
		number(w, f, text);
		return;
	}
	memcpy(&bits, &v, sizeof(bits));
	name(w, f, FIXED64);
	put_little(w, bits, 8);
}

void wv_otlp_id(struct wv_otlp_writer *w, enum wv_otlp_field f, const uint8_t *bytes, unsigned n)
{
	char hex[2 * WV_TRACE_ID_SIZE + 1];

	if (n > WV_TRACE_ID_SIZE)
		n = WV_TRACE_ID_SIZE;
	name(w, f, BYTES);
	if (w->encoding == WV_OTLP_JSON) {
		wv_otlp_hex(bytes, n, hex);
		LITERAL(w, "\"");
		wv_text_add(w->text, hex, 2 * (size_t)n);
		LITERAL(w, "\"");
		return;
	}
	put_varint(w, n);
	wv_text_add(w->text, (const char *)bytes, n);
}
