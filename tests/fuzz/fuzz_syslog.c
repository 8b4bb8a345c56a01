// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer target: any bytes as a stream of syslog messages, through every encoder; what comes out
 * as JSON must be some. */
#include <json-c/json.h>
#include <stdlib.h>

#include "user/spool/encode.h"
#include "user/spool/syslog.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void encode(enum wv_spool_format format, const char *text, size_t len)
{
	const struct wv_frame f = {.type = WV_FRAME_COUNTED,
				   .format = WV_RECORD_SYSLOG,
				   .name_len = 2,
				   .len = 2,
				   .wall_ns = 1767312000000000000ULL,
				   .payload = (const uint8_t *)"in"};
	struct wv_encoder e = {.format = format, .host = "h"};
	struct wv_text t = {.max = 1 << 22};
	struct json_object *o;

	wv_encode_begin(&e, &t);
	wv_encode_frame(&e, &f);
	wv_encode_record(&e, &t, 1, text, len);
	wv_encode_end(&e, &t);
	if (wv_text_end(&t) < 0)
		__builtin_trap();
	o = format == WV_FORMAT_JSON || format == WV_FORMAT_OTLP ? json_tokener_parse(t.data)
								 : NULL;
	if (!o && (format == WV_FORMAT_JSON || format == WV_FORMAT_OTLP))
		__builtin_trap();
	json_object_put(o);
	wv_text_done(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *p = (const char *)bytes;
	enum wv_framing framing = len ? bytes[0] % 3 : 0;
	struct wv_slice m;
	size_t used;

	p += len > 0;
	len -= len > 0;
	while (wv_framing_next(framing, p, len, true, &m, &used) == 1) {
		if (used > len || m.p < p || m.p + m.n > p + len)
			__builtin_trap();
		for (int f = WV_FORMAT_RAW; f <= WV_FORMAT_SYSLOG; f++)
			encode((enum wv_spool_format)f, m.p, m.n);
		p += used;
		len -= used;
	}
	return 0;
}
