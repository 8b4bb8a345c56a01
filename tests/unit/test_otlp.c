// SPDX-License-Identifier: GPL-2.0-only
/* What is sent: ids, both encodings, and what a receiver answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <zlib.h>

#include "user/core/cleanup.h"
#include "user/otlp/answer.h"
#include "user/otlp/http.h"
#include "user/otlp/resource.h"

static struct wv_text text;

static int setup(void **state _unused_)
{
	text = (struct wv_text){.max = 1 << 20};
	return 0;
}

static int teardown(void **state _unused_)
{
	wv_text_done(&text);
	return 0;
}

static void expect_text(const char *s)
{
	assert_int_equal(wv_text_end(&text), 0);
	assert_string_equal(text.data, s);
}

static void expect_bytes(const char *bytes, size_t len)
{
	assert_int_equal(text.error, 0);
	assert_int_equal(text.len, len);
	assert_memory_equal(text.data, bytes, len);
}

/* Ids ------------------------------------------------------------------------------------------ */

/* The rule of docs/tracing.md: printf 'waveos-trace-v1\nchain\n<run_id>\n17\n' | sha256sum */
static void ids_are_those_of_the_documented_rule(void **state _unused_)
{
	struct wv_trace_ids ids;
	uint8_t span[WV_SPAN_ID_SIZE];
	char hex[33];

	wv_trace_ids("chain", "20261125T014317Z-159c3e", 17, &ids);
	wv_otlp_hex(ids.trace, sizeof(ids.trace), hex);
	assert_string_equal(hex, "f9019e740e8ea1fab0c913bb1e3a6964");
	wv_otlp_hex(ids.span, sizeof(ids.span), hex);
	assert_string_equal(hex, "93ede4d6e5c96aff");
	wv_span_id(ids.trace, "step freeze", 19, span);
	wv_otlp_hex(span, sizeof(span), hex);
	assert_string_equal(hex, "9dcda228fde72ae0");
}

/* Encodings ------------------------------------------------------------------------------------ */

static void write_all(enum wv_otlp_encoding encoding)
{
	static const uint8_t id[8] = {1, 2, 3, 4, 5, 6, 7, 0xff};
	struct wv_otlp_writer w;

	wv_otlp_start(&w, encoding, &text);
	wv_otlp_begin(&w, WV_OTLP_SCOPE_SPANS);
	wv_otlp_id(&w, WV_OTLP_SPAN_ID, id, 8);
	wv_otlp_string(&w, WV_OTLP_SPAN_NAME, "a\"\n", 3);
	wv_otlp_fixed64(&w, WV_OTLP_SPAN_START, UINT64_MAX);
	wv_otlp_begin(&w, WV_OTLP_SPAN_ATTRIBUTES);
	wv_otlp_int64(&w, WV_OTLP_INT, -1);
	wv_otlp_end(&w);
	wv_otlp_begin(&w, WV_OTLP_SPAN_ATTRIBUTES);
	wv_otlp_bool(&w, WV_OTLP_BOOL, true);
	wv_otlp_end(&w);
	wv_otlp_uint(&w, WV_OTLP_SPAN_DROPPED_EVENTS, 300);
	wv_otlp_fixed32(&w, WV_OTLP_SPAN_FLAGS, 257);
	wv_otlp_end(&w);
	wv_otlp_begin(&w, WV_OTLP_SCOPE_SPANS);
	wv_otlp_double(&w, WV_OTLP_DOUBLE, 0.5);
	wv_otlp_end(&w);
	wv_otlp_finish(&w);
}

static void wire_json_is_protojson_with_hex_ids(void **state _unused_)
{
	write_all(WV_OTLP_JSON);
	expect_text("{\"spans\":[{\"spanId\":\"01020304050607ff\",\"name\":\"a\\\"\\n\","
		    "\"startTimeUnixNano\":\"18446744073709551615\","
		    "\"attributes\":[{\"intValue\":\"-1\"},{\"boolValue\":true}],"
		    "\"droppedEventsCount\":300,\"flags\":257},{\"doubleValue\":0.5}]}");
}

static void wire_protobuf_is_that_of_the_specification(void **state _unused_)
{
	/* tags: number << 3 | type; lengths; -1 in ten bytes */
	static const char bytes[] = "\x12\x39"
				    "\x12\x08\x01\x02\x03\x04\x05\x06\x07\xff"
				    "\x2a\x03"
				    "a\"\n"
				    "\x39\xff\xff\xff\xff\xff\xff\xff\xff"
				    "\x4a\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
				    "\x4a\x02\x10\x01"
				    "\x60\xac\x02"
				    "\x85\x01\x01\x01\x00\x00"
				    "\x12\x09\x21\x00\x00\x00\x00\x00\x00\xe0\x3f";
	char expected[sizeof(bytes)];

	memcpy(expected, bytes, sizeof(bytes));
	expected[1] = (char)(sizeof(bytes) - 1 - 2 - 11);
	write_all(WV_OTLP_PROTOBUF);
	expect_bytes(expected, sizeof(bytes) - 1);
}

static void wire_protobuf_length_of_two_bytes_moves_the_message(void **state _unused_)
{
	char s[300], expected[400];
	struct wv_otlp_writer w;
	size_t n = 0;

	memset(s, 'x', sizeof(s));
	wv_otlp_start(&w, WV_OTLP_PROTOBUF, &text);
	wv_otlp_begin(&w, WV_OTLP_VALUE);
	wv_otlp_string(&w, WV_OTLP_STRING, s, sizeof(s));
	wv_otlp_end(&w);
	wv_otlp_finish(&w);
	/* 300 is ac 02; with its own tag and length 303 is af 02 */
	memcpy(expected, "\x12\xaf\x02\x0a\xac\x02", n = 6);
	memcpy(expected + n, s, sizeof(s));
	expect_bytes(expected, n + sizeof(s));
}

static void wire_text_that_is_no_utf8_is_replaced(void **state _unused_)
{
	static const char bad[] = "a\xff\xc3\xa4\xe2\x82";
	struct wv_otlp_writer w;

	wv_otlp_start(&w, WV_OTLP_PROTOBUF, &text);
	wv_otlp_string(&w, WV_OTLP_STRING, bad, sizeof(bad) - 1);
	wv_otlp_finish(&w);
	expect_bytes("\x0a\x0c"
		     "a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd",
		     14);
}

static void wire_over_its_maximum_is_an_error(void **state _unused_)
{
	struct wv_otlp_writer w;

	text.max = 64;
	wv_otlp_start(&w, WV_OTLP_JSON, &text);
	for (int i = 0; i < 100; i++)
		wv_otlp_uint(&w, WV_OTLP_SPAN_KIND, 1);
	wv_otlp_finish(&w);
	assert_int_equal(text.error, -EFBIG);
}

static void wire_too_deep_is_an_error(void **state _unused_)
{
	struct wv_otlp_writer w;

	wv_otlp_start(&w, WV_OTLP_PROTOBUF, &text);
	for (int i = 0; i < 2 * WV_OTLP_DEPTH; i++)
		wv_otlp_begin(&w, WV_OTLP_VALUE);
	assert_int_equal(text.error, -EOVERFLOW);
}

/* Records -------------------------------------------------------------------------------------- */

static int parse(struct wv_otlp_record *r, const char *line)
{
	return wv_otlp_record_parse(r, 7, line, strlen(line));
}

static void log_record_has_time_severity_name_and_attributes(void **state _unused_)
{
	struct wv_otlp_record r;
	struct wv_otlp_writer w;
	struct wv_trace_ids where = {.trace = {1}, .span = {2}};

	assert_int_equal(parse(&r,
			       "{\"boot_id\":\"b\",\"cgroup\":\"/a\",\"event_mono_ns\":900,"
			       "\"mono_ns\":1000,\"pid\":5,\"run_id\":\"r\",\"type\":\"oom-kill\","
			       "\"wall_ns\":5000,\"big\":18446744073709551615,\"list\":[1,null]}"),
			 0);
	wv_otlp_start(&w, WV_OTLP_JSON, &text);
	wv_otlp_write_log(&w, &r, &where, 6000);
	wv_otlp_finish(&w);
	json_object_put(r.o);
	expect_text("{\"logRecords\":[{\"timeUnixNano\":\"4900\",\"observedTimeUnixNano\":\"6000\","
		    "\"severityNumber\":17,\"severityText\":\"ERROR\","
		    "\"body\":{\"stringValue\":\"oom-kill cgroup=/a\"},\"attributes\":["
		    "{\"key\":\"waveos.boot_id\",\"value\":{\"stringValue\":\"b\"}},"
		    "{\"key\":\"waveos.cgroup\",\"value\":{\"stringValue\":\"/a\"}},"
		    "{\"key\":\"waveos.event_mono_ns\",\"value\":{\"intValue\":\"900\"}},"
		    "{\"key\":\"waveos.mono_ns\",\"value\":{\"intValue\":\"1000\"}},"
		    "{\"key\":\"process.pid\",\"value\":{\"intValue\":\"5\"}},"
		    "{\"key\":\"waveos.run_id\",\"value\":{\"stringValue\":\"r\"}},"
		    "{\"key\":\"waveos.big\",\"value\":{\"stringValue\":\"18446744073709551615\"}},"
		    "{\"key\":\"waveos.list\",\"value\":{\"arrayValue\":{\"values\":["
		    "{\"intValue\":\"1\"},{}]}}}],"
		    "\"flags\":1,\"traceId\":\"01000000000000000000000000000000\","
		    "\"spanId\":\"0200000000000000\",\"eventName\":\"waveos.oom-kill\"}]}");
}

static void record_that_is_none_is_refused(void **state _unused_)
{
	static const char *const bad[] = {
		"", "{", "[]", "1", "\"type\"", "{\"a\":1}", "{\"type\":1}", "{\"type\":\"\"}"};
	struct wv_otlp_record r;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse(&r, bad[i]), -EBADMSG);
}

static int severity(const char *line)
{
	struct wv_otlp_record r;
	int n;

	assert_int_equal(parse(&r, line), 0);
	n = wv_otlp_severity(&r);
	json_object_put(r.o);
	return n;
}

static void severity_is_the_policys_where_it_has_a_word(void **state _unused_)
{
	assert_int_equal(severity("{\"type\":\"alert\"}"), WV_SEVERITY_WARN);
	assert_int_equal(severity("{\"type\":\"alert\",\"severity\":\"critical\"}"),
			 WV_SEVERITY_ERROR);
	assert_int_equal(severity("{\"type\":\"alert\",\"severity\":\"info\"}"), WV_SEVERITY_INFO);
	assert_int_equal(severity("{\"type\":\"decision\",\"severity\":\"critical\","
				  "\"verdict\":\"closed\"}"),
			 WV_SEVERITY_INFO);
	assert_int_equal(severity("{\"type\":\"action-outcome\",\"outcome\":\"failed\"}"),
			 WV_SEVERITY_ERROR);
	assert_int_equal(severity("{\"type\":\"action-outcome\",\"outcome\":\"done\"}"),
			 WV_SEVERITY_INFO);
	assert_int_equal(severity("{\"type\":\"of tomorrow\"}"), WV_SEVERITY_INFO);
}

/* Answers -------------------------------------------------------------------------------------- */

static void parse_json(struct wv_otlp_answer *a, const char *body)
{
	wv_otlp_answer_parse(a, true, body, strlen(body));
}

static void answer_partial_success_is_read_in_both_encodings(void **state _unused_)
{
	static const char pb[] = "\x0a\x07\x08\x03\x12\x03why";
	struct wv_otlp_answer a = {.status = 200};

	wv_otlp_answer_parse(&a, false, pb, sizeof(pb) - 1);
	assert_int_equal(a.rejected, 3);
	assert_string_equal(a.text, "why");
	a = (struct wv_otlp_answer){.status = 200};
	parse_json(&a, "{\"partialSuccess\":{\"rejectedSpans\":\"4\",\"errorMessage\":\"w\"}}");
	assert_int_equal(a.rejected, 4);
	assert_string_equal(a.text, "w");
	a = (struct wv_otlp_answer){.status = 200};
	parse_json(&a, "{\"partialSuccess\":{\"rejectedLogRecords\":5}}");
	assert_int_equal(a.rejected, 5);
}

static void answer_of_an_error_gives_its_message(void **state _unused_)
{
	static const char pb[] = "\x08\x03\x12\x05"
				 "a\nb\x01z";
	struct wv_otlp_answer a = {.status = 400};

	wv_otlp_answer_parse(&a, false, pb, sizeof(pb) - 1);
	assert_int_equal(a.rejected, 0);
	assert_string_equal(a.text, "a?b?z");
	a = (struct wv_otlp_answer){.status = 503};
	parse_json(&a, "{\"code\":14,\"message\":\"busy\"}");
	assert_string_equal(a.text, "busy");
}

static void answer_that_is_cut_or_garbage_says_nothing(void **state _unused_)
{
	static const char pb[] = "\x0a\x07\x08\x03\x12\x03why";
	struct wv_otlp_answer a;
	char noise[64];

	for (size_t n = 0; n < sizeof(pb) - 1; n++) {
		a = (struct wv_otlp_answer){.status = 200};
		wv_otlp_answer_parse(&a, false, pb, n);
		assert_int_equal(a.rejected, 0);
		wv_otlp_answer_parse(&a, true, pb, n);
		assert_int_equal(a.rejected, 0);
	}
	srand(1);
	for (int i = 0; i < 20000; i++) {
		for (size_t k = 0; k < sizeof(noise); k++)
			noise[k] = (char)rand();
		a = (struct wv_otlp_answer){.status = i % 2 ? 200 : 400};
		wv_otlp_answer_parse(&a, false, noise, (size_t)rand() % sizeof(noise));
		assert_non_null(memchr(a.text, '\0', sizeof(a.text)));
	}
}

/* Settings ------------------------------------------------------------------------------------- */

static int url_of(const char *endpoint, bool insecure, char ret[WV_OTLP_URL_SIZE])
{
	struct wv_config c;
	char why[160];
	int r;

	assert_int_equal(wv_config_init(&c), 0);
	snprintf(c.otlp_endpoint, sizeof(c.otlp_endpoint), "%s", endpoint);
	c.otlp_insecure = insecure;
	r = wv_otlp_url(&c, "logs", ret, why);
	wv_config_done(&c);
	return r;
}

static void endpoint_gets_the_path_of_the_signal(void **state _unused_)
{
	static const char *const good[][2] = {
		{"https://otel.example:4318", "https://otel.example:4318/v1/logs"},
		{"https://otel.example/otlp//", "https://otel.example/otlp/v1/logs"},
		{"http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/logs"},
		{"http://localhost", "http://localhost/v1/logs"},
		{"http://[::1]:4318/", "http://[::1]:4318/v1/logs"},
	};
	char url[WV_OTLP_URL_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(url_of(good[i][0], false, url), 0);
		assert_string_equal(url, good[i][1]);
	}
}

static void endpoint_in_clear_stays_on_this_machine(void **state _unused_)
{
	static const char *const bad[] = {
		"http://otel.example:4318", "http://10.0.0.1",
		"http://127.0.0.1.example", "http://[::2]",
		"http://localhost.evil/",   "http://0.0.0.0",
	};
	static const char *const worse[] = {
		"",
		"otel:4318",
		"ftp://localhost",
		"https://",
		"https:///",
		"http://127.0.0.1@evil/",
		"https://u:p@otel/",
		"https://otel/?token=x",
		"http://[::1",
	};
	char url[WV_OTLP_URL_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(url_of(bad[i], false, url), -EINVAL);
		assert_int_equal(url_of(bad[i], true, url), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(worse); i++)
		assert_int_equal(url_of(worse[i], true, url), -EINVAL);
}

static const char *member(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "";
}

static void attributes_are_read_like_those_of_the_environment(void **state _unused_)
{
	struct json_object *o = json_object_new_object();

	assert_int_equal(wv_otlp_add_attributes(o, " k8s.node.name = n1 ,a=b%2Cc%zz,,=x,y,e="), 2);
	assert_string_equal(member(o, "k8s.node.name"), "n1");
	assert_string_equal(member(o, "a"), "b,c%zz");
	assert_int_equal(json_object_object_length(o), 2);
	json_object_put(o);
}

static void gzip_gives_the_bytes_back(void **state _unused_)
{
	char bytes[5000], back[6000];
	z_stream z = {0};
	char *packed;
	size_t len;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i % 50);
	assert_int_equal(wv_otlp_gzip(bytes, sizeof(bytes), &packed, &len), 0);
	assert_true(len < sizeof(bytes) / 10);
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_in = (Bytef *)packed;
	z.avail_in = (uInt)len;
	z.next_out = (Bytef *)back;
	z.avail_out = sizeof(back);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, sizeof(bytes));
	assert_memory_equal(back, bytes, sizeof(bytes));
	(void)inflateEnd(&z);
	free(packed);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(ids_are_those_of_the_documented_rule),
		T(wire_json_is_protojson_with_hex_ids),
		T(wire_protobuf_is_that_of_the_specification),
		T(wire_protobuf_length_of_two_bytes_moves_the_message),
		T(wire_text_that_is_no_utf8_is_replaced),
		T(wire_over_its_maximum_is_an_error),
		T(wire_too_deep_is_an_error),
		T(log_record_has_time_severity_name_and_attributes),
		T(record_that_is_none_is_refused),
		T(severity_is_the_policys_where_it_has_a_word),
		T(answer_partial_success_is_read_in_both_encodings),
		T(answer_of_an_error_gives_its_message),
		T(answer_that_is_cut_or_garbage_says_nothing),
		T(endpoint_gets_the_path_of_the_signal),
		T(endpoint_in_clear_stays_on_this_machine),
		T(attributes_are_read_like_those_of_the_environment),
		T(gzip_gives_the_bytes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
