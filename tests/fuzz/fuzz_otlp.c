// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer target: what a receiver answers, as protobuf and JSON; and lines of a log, any bytes,
 * through the tracker into both encodings, whose JSON has to be JSON. needs: user/otlp/pipe.c */
#include <stdlib.h>
#include <string.h>

#include "user/otlp/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct out {
	struct wv_otlp_writer w;
	struct wv_text text;
};

static void emit(void *ctx, const struct wv_otlp_span *s)
{
	wv_otlp_write_span(ctx, s);
}

static void begin(struct out *o, enum wv_otlp_encoding encoding)
{
	static const struct wv_otlp_resource nobody;

	o->text = (struct wv_text){.max = 16 << 20};
	wv_otlp_request(&o->w, encoding, &o->text, &nobody, false);
}

static void lines(const char *text, size_t len, enum wv_otlp_encoding encoding)
{
	struct wv_otlp_tracker *t = wv_otlp_tracker_new();
	struct out spans, logs;
	uint64_t seq = 0;

	begin(&spans, encoding);
	logs.text = (struct wv_text){.max = 16 << 20};
	wv_otlp_start(&logs.w, encoding, &logs.text);
	while (len) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;
		char *line = strndup(text, n);
		struct wv_otlp_where where;
		struct wv_otlp_record r;

		if (wv_otlp_record_parse(&r, ++seq, line, strlen(line)) == 0) {
			wv_otlp_track(t, &r, emit, &spans.w, &where);
			wv_otlp_write_log(&logs.w, &r, where.known ? &where.ids : NULL, 1);
			json_object_put(r.o);
		}
		free(line);
		text += n + (end != NULL);
		len -= n + (end != NULL);
	}
	wv_otlp_request_end(&spans.w);
	wv_otlp_finish(&logs.w);
	if (encoding == WV_OTLP_JSON && !spans.text.error && wv_text_end(&spans.text) == 0) {
		struct json_object *o = json_tokener_parse(spans.text.data);

		if (!o)
			abort();
		json_object_put(o);
	}
	wv_text_done(&spans.text);
	wv_text_done(&logs.text);
	wv_otlp_tracker_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct wv_otlp_answer a = {.status = len && bytes[0] & 1 ? 200 : 400};

	if (len < 2)
		return 0;
	wv_otlp_answer_parse(&a, bytes[1] & 1, (const char *)bytes + 2, len - 2);
	lines((const char *)bytes + 2, len - 2, bytes[1] & 1 ? WV_OTLP_JSON : WV_OTLP_PROTOBUF);
	return 0;
}
