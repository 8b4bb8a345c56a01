// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <json-c/json.h>

#include <cmocka.h>

#include "user/spool/encode.h"
#include "user/spool/syslog.h"

#define SEC 1000000000ULL
/* 2026-01-02T00:00:00Z */
#define RECEIVED (1767312000ULL * SEC)

static void assert_slice(struct wv_slice s, const char *want)
{
	assert_int_equal(s.n, strlen(want));
	if (s.n)
		assert_memory_equal(s.p, want, s.n);
}

static bool parse(const char *text, struct wv_syslog *m)
{
	/* a copy without a NUL, so that reading beyond is seen by the sanitizers */
	size_t len = strlen(text);
	static char *copy;

	free(copy);
	copy = malloc(len ? len : 1);
	memcpy(copy, text, len);
	return wv_syslog_parse(copy, len, RECEIVED, 0, m);
}

/* RFC 5424 section 6.5 */
static void syslog_examples_of_rfc5424_are_parsed(void **state)
{
	struct wv_syslog m;

	(void)state;
	assert_true(parse("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - "
			  "\xef\xbb\xbf'su root' failed for lonvick on /dev/pts/8",
			  &m));
	assert_int_equal(m.facility, 4);
	assert_int_equal(m.severity, 2);
	assert_true(m.has_time);
	assert_int_equal(m.time_ns, 1065910455ULL * SEC + 3000000);
	assert_slice(m.host, "mymachine.example.com");
	assert_slice(m.app, "su");
	assert_slice(m.procid, "");
	assert_slice(m.msgid, "ID47");
	assert_slice(m.sd, "");
	assert_slice(m.msg, "'su root' failed for lonvick on /dev/pts/8");

	assert_true(parse("<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% "
			  "It's time to make the do-nuts.",
			  &m));
	assert_int_equal(m.time_ns, 1061727255ULL * SEC + 3000); /* 12:14:15 UTC */
	assert_slice(m.procid, "8710");
	assert_slice(m.msg, "%% It's time to make the do-nuts.");

	assert_true(parse("<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
			  "[exampleSDID@32473 iut=\"3\" eventSource=\"Application\" "
			  "eventID=\"1011\"][examplePriority@32473 class=\"high\"]",
			  &m));
	assert_slice(m.sd, "[exampleSDID@32473 iut=\"3\" eventSource=\"Application\" "
			   "eventID=\"1011\"][examplePriority@32473 class=\"high\"]");
	assert_slice(m.msg, "");
}

static void syslog_structured_data_gives_each_parameter(void **state)
{
	struct wv_slice id, name, value;
	struct wv_syslog m;
	size_t pos = 0;

	(void)state;
	assert_true(parse("<0>1 - - - - - [a@1 x=\"1\" y=\"q\\\"b\\]\"][empty][b z=\"\"] m", &m));
	assert_true(wv_syslog_sd_next(m.sd, &pos, &id, &name, &value));
	assert_slice(id, "a@1");
	assert_slice(name, "x");
	assert_slice(value, "1");
	assert_true(wv_syslog_sd_next(m.sd, &pos, &id, &name, &value));
	assert_slice(name, "y");
	assert_slice(value, "q\\\"b\\]");
	assert_true(wv_syslog_sd_next(m.sd, &pos, &id, &name, &value));
	assert_slice(id, "empty");
	assert_slice(name, "");
	assert_true(wv_syslog_sd_next(m.sd, &pos, &id, &name, &value));
	assert_slice(id, "b");
	assert_slice(value, "");
	assert_false(wv_syslog_sd_next(m.sd, &pos, &id, &name, &value));
}

/* RFC 3164 section 5.4, and what senders really send */
static void syslog_bsd_messages_are_parsed(void **state)
{
	struct wv_syslog m;

	(void)state;
	assert_true(parse("<34>Oct 11 22:14:15 mymachine su: 'su root' failed", &m));
	/* received in January: October of the year before */
	assert_int_equal(m.time_ns, 1760220855ULL * SEC);
	assert_slice(m.host, "mymachine");
	assert_slice(m.app, "su");
	assert_slice(m.msg, "'su root' failed");
	assert_true(parse("<13>Jan  1 00:00:01 cron[42]: x", &m)); /* syslog(3): no host */
	assert_int_equal(m.time_ns, 1767225601ULL * SEC);
	assert_slice(m.host, "");
	assert_slice(m.app, "cron");
	assert_slice(m.procid, "42");
	assert_slice(m.msg, "x");
	assert_true(parse("<13>2025-12-31T23:00:00+01:00 host app: y", &m));
	assert_int_equal(m.time_ns, 1767218400ULL * SEC);
	assert_slice(m.app, "app");
	assert_true(parse("<13>no time stamp\n", &m));
	assert_false(m.has_time);
	assert_slice(m.msg, "no time stamp");
	assert_true(parse("<13>Feb 29 00:00:00 h a: x", &m)); /* no leap year near: no time */
	assert_false(m.has_time);
}

static void syslog_bad_messages_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"text",
		"<",
		"<>x",
		"<192>x",
		"<01>x",
		"<1234>x",
		"<13",
		"<34>1 2003-13-11T22:14:15Z h a - - - x",
		"<34>1 2003-02-29T22:14:15Z h a - - - x",
		"<34>1 2003-10-11T24:14:15Z h a - - - x",
		"<34>1 2003-10-11T22:14:15 h a - - - x",
		"<34>1 - h a - -",
		"<34>1 - h a - - [x y=\"1\"",
		"<34>1 - h a - - [x y=\"a]b\"] m",
		"<34>1 - h a - - [] m",
		"<34>1 -  a - - - m",
	};
	struct wv_syslog m;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i], &m))
			fail_msg("accepted: %s", bad[i]);
}

static void syslog_any_cut_of_a_message_is_harmless(void **state)
{
	static const char text[] = "<165>1 2003-10-11T22:14:15.003Z h e 1 I [a@1 b=\"c\\\"d\"] m";
	struct wv_syslog m;

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		char *cut = malloc(n ? n : 1);

		memcpy(cut, text, n);
		(void)wv_syslog_parse(cut, n, RECEIVED, 0, &m);
		free(cut);
	}
}

static void framing_octets_and_lines_are_told_apart(void **state)
{
	const char *p = "5 hello3 a\nb<13>x\nrest";
	size_t len = strlen(p), used;
	struct wv_slice s;

	(void)state;
	assert_int_equal(wv_framing_next(WV_FRAMING_AUTO, p, len, false, &s, &used), 1);
	assert_slice(s, "hello");
	p += used, len -= used;
	assert_int_equal(wv_framing_next(WV_FRAMING_AUTO, p, len, false, &s, &used), 1);
	assert_slice(s, "a\nb");
	p += used, len -= used;
	assert_int_equal(wv_framing_next(WV_FRAMING_AUTO, p, len, false, &s, &used), 1);
	assert_slice(s, "<13>x");
	p += used, len -= used;
	assert_int_equal(wv_framing_next(WV_FRAMING_AUTO, p, len, false, &s, &used), 0);
	assert_int_equal(wv_framing_next(WV_FRAMING_AUTO, p, len, true, &s, &used), 1);
	assert_slice(s, "rest");
}

static void framing_bad_lengths_are_refused(void **state)
{
	static const char *const bad[] = {"0 x",      "1234567", "05 x", "12345678 x",
					  "999999 x", "5x",	 "x 5"};
	struct wv_slice s;
	size_t used;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			wv_framing_next(WV_FRAMING_OCTET, bad[i], strlen(bad[i]), false, &s, &used),
			-EBADMSG);
	/* more bytes are needed; a message that will never be whole is none */
	assert_int_equal(wv_framing_next(WV_FRAMING_OCTET, "12", 2, false, &s, &used), 0);
	assert_int_equal(wv_framing_next(WV_FRAMING_OCTET, "5 abc", 5, false, &s, &used), 0);
	assert_int_equal(wv_framing_next(WV_FRAMING_OCTET, "5 abc", 5, true, &s, &used), -EBADMSG);
}

/* One record through an encoder; the caller frees. */
static char *encode(enum wv_spool_format format, enum wv_record_format record, const char *text,
		    size_t len)
{
	struct wv_encoder e = {.format = format, .host = "here"};
	struct wv_text t = {.max = 1 << 20};
	struct wv_frame f = {.type = WV_FRAME_LINES,
			     .format = (uint8_t)record,
			     .name_len = 2,
			     .len = 2,
			     .wall_ns = RECEIVED,
			     .payload = (const uint8_t *)"in"};

	wv_encode_begin(&e, &t);
	wv_encode_frame(&e, &f);
	wv_encode_record(&e, &t, 7, text, len);
	wv_encode_end(&e, &t);
	assert_int_equal(wv_text_end(&t), 0);
	return t.data;
}

static const char *member(struct json_object *o, const char *key)
{
	return json_object_get_string(json_object_object_get(o, key));
}

static void encode_json_keeps_any_bytes(void **state)
{
	static const char text[] = "q\" b\\ t\t n\n z\0 e\x1b u\xc3\xbc bad\xff\xc3 end";
	char *line = encode(WV_FORMAT_JSON, WV_RECORD_RAW, text, sizeof(text) - 1);
	struct json_object *o = json_tokener_parse(line), *message;

	(void)state;
	assert_non_null(o);
	assert_null(strchr(line, '\n')[1] ? line : NULL); /* one line */
	message = json_object_object_get(o, "message");
	assert_int_equal(json_object_get_string_len(message), sizeof(text) - 1 + 4);
	assert_memory_equal(json_object_get_string(message), text, 24);
	assert_string_equal(member(o, "input"), "in");
	assert_string_equal(member(o, "received"), "2026-01-02T00:00:00.000000Z");
	assert_non_null(member(o, "bytes_base64"));
	json_object_put(o);
	free(line);
}

static void encode_json_syslog_has_its_parts(void **state)
{
	static const char text[] = "<165>1 2003-10-11T22:14:15.003Z h evntslog 9 ID47 "
				   "[a@1 x=\"q\\\"\" y=\"2\"][b][c z=\"3\"] msg";
	char *line = encode(WV_FORMAT_JSON, WV_RECORD_SYSLOG, text, sizeof(text) - 1);
	struct json_object *o = json_tokener_parse(line), *sd;

	(void)state;
	assert_non_null(o);
	assert_string_equal(member(o, "facility"), "local4");
	assert_string_equal(member(o, "severity"), "notice");
	assert_string_equal(member(o, "time"), "2003-10-11T22:14:15.003000Z");
	assert_string_equal(member(o, "host"), "h");
	assert_string_equal(member(o, "app"), "evntslog");
	assert_string_equal(member(o, "procid"), "9");
	assert_string_equal(member(o, "msgid"), "ID47");
	assert_string_equal(member(o, "message"), "msg");
	sd = json_object_object_get(o, "structured_data");
	assert_string_equal(json_object_to_json_string_ext(sd, JSON_C_TO_STRING_PLAIN),
			    "{\"a@1\":{\"x\":\"q\\\"\",\"y\":\"2\"},\"b\":{},\"c\":{\"z\":\"3\"}}");
	json_object_put(o);
	free(line);
	/* what is none is kept whole */
	line = encode(WV_FORMAT_JSON, WV_RECORD_SYSLOG, "<34>1 x y", 9);
	o = json_tokener_parse(line);
	assert_string_equal(member(o, "message"), "<34>1 x y");
	assert_string_equal(member(o, "raw"), "true");
	json_object_put(o);
	free(line);
}

static void encode_otlp_is_json_with_the_severity_number(void **state)
{
	char *line = encode(WV_FORMAT_OTLP, WV_RECORD_SYSLOG, "<11>app[3]: it \"broke\"", 22);
	struct json_object *o = json_tokener_parse(line), *record;

	(void)state;
	assert_non_null(o);
	record = json_object_array_get_idx(json_object_object_get(o, "resourceLogs"), 0);
	record = json_object_array_get_idx(json_object_object_get(record, "scopeLogs"), 0);
	record = json_object_array_get_idx(json_object_object_get(record, "logRecords"), 0);
	assert_int_equal(json_object_get_int(json_object_object_get(record, "severityNumber")), 17);
	assert_string_equal(member(json_object_object_get(record, "body"), "stringValue"),
			    "it \"broke\"");
	json_object_put(o);
	free(line);
}

static void encode_syslog_counts_octets_and_parses_again(void **state)
{
	static const char *const texts[] = {"plain text", "<34>Oct 11 22:14:15 m su[1]: failed",
					    "<34>1 - h a - - [x y=\"1\"] m\n"};
	struct wv_syslog m;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char *line = encode(WV_FORMAT_SYSLOG, i ? WV_RECORD_SYSLOG : WV_RECORD_RAW,
				    texts[i], strlen(texts[i]));
		struct wv_slice s;
		size_t used;

		assert_int_equal(
			wv_framing_next(WV_FRAMING_OCTET, line, strlen(line), true, &s, &used), 1);
		assert_int_equal(used, strlen(line));
		assert_true(wv_syslog_parse(s.p, s.n, RECEIVED, 0, &m));
		assert_true(m.rfc5424);
		free(line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syslog_examples_of_rfc5424_are_parsed),
		cmocka_unit_test(syslog_structured_data_gives_each_parameter),
		cmocka_unit_test(syslog_bsd_messages_are_parsed),
		cmocka_unit_test(syslog_bad_messages_are_refused),
		cmocka_unit_test(syslog_any_cut_of_a_message_is_harmless),
		cmocka_unit_test(framing_octets_and_lines_are_told_apart),
		cmocka_unit_test(framing_bad_lengths_are_refused),
		cmocka_unit_test(encode_json_keeps_any_bytes),
		cmocka_unit_test(encode_json_syslog_has_its_parts),
		cmocka_unit_test(encode_otlp_is_json_with_the_severity_number),
		cmocka_unit_test(encode_syslog_counts_octets_and_parses_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
