/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A growing text with a declared maximum, for what the agent exports. The first failure sticks:
 * callers append without checking and look at `error` once, at the end.
 */
#ifndef WV_EXPORT_TEXT_H
#define WV_EXPORT_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/flow/sample.h"

struct wv_text {
	char *data; /* owned; not NUL-terminated until wv_text_end() */
	size_t len, cap;
	size_t max; /* bytes that it may ever hold at once */
	int error;  /* 0, -ENOMEM, -EFBIG (over max), or what drain returned */
	/* MAY: takes the bytes so far away when `max` is reached, so that memory stays at max */
	int (*drain)(void *ctx, const char *data, size_t len);
	void *ctx;
};

/* Makes room for n more bytes; false after a failure. */
int wv_text_room(struct wv_text *t, size_t n);
/* Terminates with NUL (not counted in len). Returns t->error. */
int wv_text_end(struct wv_text *t);
void wv_text_done(struct wv_text *t);

static inline void wv_text_add(struct wv_text *t, const char *s, size_t n)
{
	if (!n || (n > t->cap - t->len && !wv_text_room(t, n)))
		return;
	memcpy(t->data + t->len, s, n);
	t->len += n;
}
static inline void wv_text_str(struct wv_text *t, const char *s)
{
	wv_text_add(t, s, strlen(s));
}
void wv_text_printf(struct wv_text *t, const char *format, ...) _printf_(2, 3);
void wv_text_u64(struct wv_text *t, uint64_t v);
/* An integer of this scale in its base unit, exactly: 1500000 of WV_NS is 0.0015. */
void wv_text_scaled(struct wv_text *t, uint64_t v, enum wv_scale scale);
/* A label value of Prometheus text: backslash, quote and newline escaped, bytes that are no UTF-8
 * as '?'. */
void wv_text_label(struct wv_text *t, const char *s);
/* A string of JSON with its quotes (RFC 8259); bytes that are no UTF-8 as '?'. */
void wv_text_json(struct wv_text *t, const char *s);
/* Text of HTML or XML, in content or a quoted attribute. */
void wv_text_html(struct wv_text *t, const char *s);
/* One cell of a Markdown table. */
void wv_text_markdown(struct wv_text *t, const char *s);
/* Length of the well-formed UTF-8 sequence at s, 0 if it is none (or a control character). */
size_t wv_utf8_sequence(const char *s);

#endif
