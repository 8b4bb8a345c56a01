// SPDX-License-Identifier: GPL-2.0-only
#include "user/export/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#define FIRST_BYTES 4096

int wv_text_room(struct wv_text *t, size_t n)
{
	size_t cap = t->cap ?: FIRST_BYTES;
	char *data;

	if (t->error)
		return 0;
	if (t->drain && t->len && n > t->max - t->len) {
		t->error = t->drain(t->ctx, t->data, t->len);
		if (t->error)
			return 0;
		t->len = 0;
	}
	if (n <= t->cap - t->len)
		return 1;
	if (n > t->max - t->len) {
		t->error = -EFBIG;
		return 0;
	}
	while (cap - t->len < n)
		cap *= 2;
	if (cap > t->max)
		cap = t->max;
	data = realloc(t->data, cap);
	if (!data) {
		t->error = -ENOMEM;
		return 0;
	}
	t->data = data;
	t->cap = cap;
	return 1;
}

int wv_text_end(struct wv_text *t)
{
	wv_text_add(t, "", 1);
	if (!t->error)
		t->len--;
	return t->error;
}

void wv_text_done(struct wv_text *t)
{
	free(t->data);
	t->data = NULL;
	t->len = t->cap = 0;
}

void wv_text_printf(struct wv_text *t, const char *format, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line))
		t->error = t->error ?: -EFBIG;
	else
		wv_text_add(t, line, (size_t)n);
}

/* Decimal digits of v, right-aligned in buf; returns where they start. */
static char *digits(char buf[24], uint64_t v)
{
	char *p = buf + 24;

	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return p;
}

void wv_text_u64(struct wv_text *t, uint64_t v)
{
	char buf[24], *p = digits(buf, v);

	wv_text_add(t, p, (size_t)(buf + sizeof(buf) - p));
}

void wv_text_scaled(struct wv_text *t, uint64_t v, enum wv_scale scale)
{
	unsigned places = scale == WV_NS ? 9 : scale == WV_US ? 6 : scale == WV_PERMILLE ? 3 : 0;
	uint64_t unit = 1;
	char fraction[10];

	for (unsigned i = 0; i < places; i++)
		unit *= 10;
	wv_text_u64(t, v / unit);
	v %= unit;
	if (!v)
		return;
	fraction[0] = '.';
	for (unsigned i = places; i; i--, v /= 10)
		fraction[i] = (char)('0' + v % 10);
	while (fraction[places] == '0')
		places--;
	wv_text_add(t, fraction, places + 1);
}

size_t wv_utf8_sequence(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n = u[0] < 0x80	 ? 1
		   : u[0] < 0xc2 ? 0
		   : u[0] < 0xe0 ? 2
		   : u[0] < 0xf0 ? 3
		   : u[0] < 0xf5 ? 4
				 : 0;

	if (u[0] < 0x20 || u[0] == 0x7f)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	/* overlong forms, surrogates, beyond U+10FFFF */
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
	    (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
		return 0;
	return n;
}

/* What stands for a byte, by byte; NULL: itself. */
typedef const char *const wv_escapes[256];

/* Copies s, most of it in long runs; bytes that are no text become '?'. */
static void add_escaped(struct wv_text *t, const char *s, wv_escapes escapes)
{
	while (*s) {
		const unsigned char *u = (const unsigned char *)s;
		size_t n = 0;

		while (u[n] >= 0x20 && u[n] < 0x7f && !escapes[u[n]])
			n++;
		wv_text_add(t, s, n);
		s += n;
		if (!*s)
			break;
		if (escapes[u[n]]) {
			wv_text_str(t, escapes[u[n]]);
			s++;
			continue;
		}
		n = wv_utf8_sequence(s);
		wv_text_add(t, n ? s : "?", n ?: 1);
		s += n ?: 1;
	}
}

void wv_text_label(struct wv_text *t, const char *s)
{
	static wv_escapes escapes = {['\\'] = "\\\\", ['"'] = "\\\"", ['\n'] = "\\n"};

	add_escaped(t, s, escapes);
}

void wv_text_json(struct wv_text *t, const char *s)
{
	static wv_escapes escapes = {
		['\\'] = "\\\\", ['"'] = "\\\"", ['\b'] = "\\b", ['\n'] = "\\n",
		['\f'] = "\\f",	 ['\r'] = "\\r", ['\t'] = "\\t"};

	wv_text_add(t, "\"", 1);
	add_escaped(t, s, escapes);
	wv_text_add(t, "\"", 1);
}

void wv_text_html(struct wv_text *t, const char *s)
{
	static wv_escapes escapes = {['&'] = "&amp;",
				     ['<'] = "&lt;",
				     ['>'] = "&gt;",
				     ['"'] = "&quot;",
				     ['\''] = "&#39;"};

	add_escaped(t, s, escapes);
}

void wv_text_markdown(struct wv_text *t, const char *s)
{
	static wv_escapes escapes = {['|'] = "\\|", ['\\'] = "\\\\", ['`'] = "\\`",   ['*'] = "\\*",
				     ['_'] = "\\_", ['<'] = "&lt;",  ['&'] = "&amp;", ['\n'] = " "};

	add_escaped(t, s, escapes);
}
