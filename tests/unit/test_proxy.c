// SPDX-License-Identifier: GPL-2.0-only
/* Declared proxies: what is refused, what becomes of the rest; breakers; HAProxy's answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fuzz/proxy_words.h"
#include "user/core/cleanup.h"
#include "user/proxy/circuit.h"
#include "user/proxy/proxy.h"
#include "user/proxy/stats.h"

#define S 1000000000ULL

static struct wv_config config;
static struct wv_config_error error;

static int load(const char *keys)
{
	char text[8192];

	wv_config_done(&config);
	assert_int_equal(wv_config_init(&config), 0);
	snprintf(
		text, sizeof(text),
		"proxies:\n  - name: a\n    listen: 127.0.0.1:80\n    upstream: [127.0.0.1:81]\n%s",
		keys);
	return wv_config_load_memory(&config, "p.yaml", text, strlen(text), &error);
}

static char *translate(void)
{
	const struct wv_proxy_place place = {.socket = "/s", .chroot = "/e", .uid = 1, .gid = 1};
	char *text = NULL;

	if (wv_proxy_translate(&config, &place, &text, &error) < 0)
		return NULL;
	return text;
}

static void parse_says_where_what_is_wrong_stands(void **state _unused_)
{
	static const struct {
		const char *keys, *message;
	} cases[] = {
		{"    request: {methods: [GET, connect]}\n",
		 "p.yaml:5:30: request.methods: expected"},
		{"    request: {methods: [CONNECT]}\n", "p.yaml:5:25: request.methods: expected"},
		{"    mode: udp\n", "p.yaml:5:11: mode: expected"},
		{"    mode: tcp\n    json: {depth: 2}\n",
		 "p.yaml:6:11: section 'json' needs mode http"},
		{"    json: {depth: 11}\n", "p.yaml:5:19: json.depth: expected"},
		{"    requests: {}\n", "p.yaml:5:5: "},
		{"    tls: {client_ca: /a}\n", "tls.cert is missing"},
		{"    tls: {cert: relative}\n", "p.yaml:5:17: tls.cert: expected an absolute path"},
		{"  - {name: b, listen: 127.0.0.1:80, upstream: 127.0.0.1:1}\n",
		 "both listen on 127.0.0.1:80"},
		{"  - {name: A, listen: 127.0.0.1:82, upstream: 127.0.0.1:1}\n",
		 "p.yaml:5:12: name: "},
		{"  - {name: b, listen: localhost:82, upstream: 127.0.0.1:1}\n",
		 "p.yaml:5:23: listen: "},
		{"  - {name: b, listen: 127.0.0.1:0, upstream: 127.0.0.1:1}\n", "listen: "},
		{"  - {name: b, listen: 127.0.0.1:65536, upstream: 127.0.0.1:1}\n", "listen: "},
		{"  - {name: b, listen: \"::1:80\", upstream: 127.0.0.1:1}\n", "listen: "},
		{"  - {name: b, listen: \"[::1]:80\", upstream: []}\n", "at least one server"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(load(cases[i].keys), -EINVAL);
		if (!strstr(error.text, cases[i].message))
			fail_msg("%s: %s", cases[i].keys, error.text);
		assert_int_equal(config.n_proxies, 0);
	}
}

/* Whatever ends a word, a line, a quote or a condition in HAProxy's language. */
static const char *const hostile[] = {
	"x y",
	"x\\n\\tbind :1",
	"x' y",
	"x\\\" y",
	"x}",
	"}",
	"{",
	"# x",
	"$HOME",
	"${HOME}",
	"%[src]",
	"x)",
	"x) -m found",
	"-f /etc/passwd",
	"--",
	"-m",
	"x\\\\",
	"\\\\",
	"'",
	"''",
	"a'b'c",
	"x;y",
	"`id`",
	"x,y",
	"\\u2028",
	"\\u0000",
	"\\x7f",
	"a)|(?:b",
	"[x",
	"x]",
	"(?#",
	"(*ACCEPT)x",
	"\\\\Q",
	"X: a)|(b",
	"X: [",
	"X: '",
	"X: a' -i 'b",
	"X: \\\\",
	"X: (?x)a #",
	"X: [[:space:]",
	"X: }",
	"X: if TRUE",
	"X: %[src]",
	"X: $HOME ${A}",
	"unit: 'x",
	"a/b'c",
	"/a'b",
	"/a b",
	"127.0.0.1:1 x",
	"0.0.0.0/0 { src",
	"a: string'",
	"X: a{2}",
	"X: \\\\'x",
	"X: [']",
};
static const char *const places[] = {
	"proxy_from: [\"%s\"]",
	"upstream: [\"%s\"]",
	"tls: {cert: \"%s\"}",
	"tls: {cert: /a, client_ca: \"%s\"}",
	"upstream_tls: {ca: \"%s\", name: a}",
	"upstream_tls: {ca: /a, name: \"%s\"}",
	"upstream_tls: {ca: /a, name: a, cert: \"%s\"}",
	"request: {methods: [\"%s\"]}",
	"request: {hosts: [\"%s\"]}",
	"request: {content_types: [\"%s\"]}",
	"headers: {deny: [\"%s\"]}",
	"headers: {allow: [\"%s\"]}",
	"headers: {values: [\"%s\"]}",
	"json: {required: [\"%s\"]}",
	"breaker: {probe: \"%s\"}",
};

static void translation_of_hostile_values_has_only_our_lines(void **state _unused_)
{
	unsigned accepted = 0;

	for (size_t p = 0; p < ARRAY_SIZE(places); p++)
		for (size_t h = 0; h < ARRAY_SIZE(hostile); h++) {
			char value[256], document[1024];
			_cleanup_free_ char *text = NULL;
			size_t lines;

			snprintf(value, sizeof(value), places[p], hostile[h]);
			snprintf(document, sizeof(document),
				 "proxies:\n- {name: a, listen: 127.0.0.1:80, request: {body_max: "
				 "1K},"
				 "%s%s}\n",
				 strncmp(value, "upstream:", 9) == 0 ? ""
								     : "upstream: 127.0.0.1:81, ",
				 value);
			if (strncmp(value, "request:", 8) == 0)
				snprintf(document, sizeof(document),
					 "proxies:\n- {name: a, listen: 127.0.0.1:80, "
					 "upstream: 127.0.0.1:81, %s}\n",
					 value);
			wv_config_done(&config);
			assert_int_equal(wv_config_init(&config), 0);
			if (wv_config_load_memory(&config, "p", document, strlen(document),
						  &error) < 0)
				continue;
			text = translate();
			if (!text)
				continue;
			accepted++;
			if (proxy_words_wrong(text, &lines))
				fail_msg("%s: %s\n%s", value, proxy_words_wrong(text, &lines),
					 text);
		}
	/* harmless ones among them pass: the test is not one of refusals only */
	assert_in_range(accepted, 10, 200);
}

static void translation_keeps_every_limit(void **state _unused_)
{
	static const char *const lines[] = {
		"\tmaxconn 7\n",
		"sc_conn_cur(0) gt 3",
		"sc_http_req_rate(0) gt 11",
		"sc_http_req_rate(1) gt 13",
		"url,length gt 99",
		"req.fhdr_cnt gt 17",
		"req.hdrs,length gt 1024",
		"req.hdr_val(content-length) gt 4096",
		"queue(b_a) ge 5",
		"timeout queue 250ms",
		"wait-for-body time 1500ms",
		"error-limit 4 on-error mark-down",
		"inspect-delay 2000ms",
		"timeout client 9000ms",
		"timeout connect 100ms",
		"timeout server 8000ms",
		"maxconn 2\n",
		"rise 6 ",
		"inter 700ms",
		"-m reg -- '^(?:a'\\''b)\\z'",
		"uri '/h?a=%20' ver HTTP/1.1 hdr Host c.example",
	};
	_cleanup_free_ char *text = NULL, *again = NULL;

	assert_int_equal(
		load("    request: {uri_max: 99, headers_max: 17, header_bytes: 1K, body_max: 4K, "
		     "hosts: [c.example]}\n"
		     "    headers: {values: [\"X: a'b\"]}\n"
		     "    client: {connections: 3, requests: 11}\n"
		     "    total: {connections: 7, requests: 13, upstream: 2, queue: 5, "
		     "queue_timeout: 250ms}\n"
		     "    timeout: {header: 2s, body: 1.5s, idle: 9s, connect: 100ms, response: "
		     "8s}\n"
		     "    breaker: {errors: 4, probes: 6, probe_every: 700ms, probe: /h?a=%20}\n"),
		0);
	text = translate();
	again = translate();
	assert_non_null(text);
	assert_string_equal(text, again);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		if (!strstr(text, lines[i]))
			fail_msg("no '%s' in\n%s", lines[i], text);
}

static void translation_refuses_promises_that_a_buffer_cannot_keep(void **state _unused_)
{
	static const char *const keys[] = {
		"    request: {body_max: 16385, chunked: true}\n",
		"    request: {body_max: 16385}\n    json: {depth: 1}\n",
		"    request: {header_bytes: 8193}\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		assert_int_equal(load(keys[i]), 0);
		assert_null(translate());
		assert_non_null(strstr(error.text, "proxy.buffer"));
	}
}

/* Breakers ---------------------------------------------------------------------------------------
 */

static const struct wv_circuit_limits limits = {
	.error_permille = 500, .min_requests = 10, .window_ns = 5 * S};

static void circuit_follows_what_haproxy_says(void **state _unused_)
{
	static const struct {
		const char *status, *check, *reason;
		enum wv_circuit_state to;
		bool changed;
	} steps[] = {
		{"UP", "L7OK", NULL, WV_CIRCUIT_CLOSED, false},
		{"UP 2/3", "L4CON", NULL, WV_CIRCUIT_CLOSED, false},
		{"DOWN", "HANA", "failures in a row", WV_CIRCUIT_OPEN, true},
		{"DOWN", "L4CON", NULL, WV_CIRCUIT_OPEN, false},
		{"DOWN 1/2", "L7OK", "a probe is good", WV_CIRCUIT_HALF_OPEN, true},
		{"DOWN", "L7STS", "a probe failed", WV_CIRCUIT_OPEN, true},
		{"DOWN 1/2", "L7OK", "a probe is good", WV_CIRCUIT_HALF_OPEN, true},
		{"UP", "L7OK", "probes are good", WV_CIRCUIT_CLOSED, true},
		{"DOWN", "L4TOUT", "probes failed", WV_CIRCUIT_OPEN, true},
		{"MAINT", "", NULL, WV_CIRCUIT_OPEN, false},
	};
	struct wv_circuit c = {.state = WV_CIRCUIT_CLOSED};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct wv_circuit_change r = wv_circuit_observe(&c, &limits, steps[i].status,
								steps[i].check, 0, 0, (i + 1) * S);

		assert_int_equal(c.state, steps[i].to);
		assert_int_equal(r.changed, steps[i].changed);
		assert_false(r.order_down);
		if (steps[i].changed)
			assert_string_equal(r.reason, steps[i].reason);
	}
	assert_int_equal(c.opened, 2);
}

static void circuit_trips_by_share_within_window_only(void **state _unused_)
{
	struct wv_circuit c = {.state = WV_CIRCUIT_CLOSED};
	struct wv_circuit_change r;

	/* too few requests */
	r = wv_circuit_observe(&c, &limits, "UP", "", 9, 9, 1 * S);
	assert_false(r.order_down);
	/* enough, but the failures are old by then */
	r = wv_circuit_observe(&c, &limits, "UP", "", 20, 9, 8 * S);
	assert_false(r.order_down);
	assert_int_equal(r.total, 11);
	r = wv_circuit_observe(&c, &limits, "UP", "", 29, 18, 9 * S);
	assert_false(r.order_down); /* 9 of 20 */
	r = wv_circuit_observe(&c, &limits, "UP", "", 31, 20, 10 * S);
	assert_true(r.order_down); /* 11 of 22 */
	assert_false(r.changed);
	r = wv_circuit_observe(&c, &limits, "DOWN", "", 31, 20, 11 * S);
	assert_true(r.changed);
	assert_string_equal(r.reason, "share of failures");
	/* back: what was before does not count any more */
	r = wv_circuit_observe(&c, &limits, "UP", "L7OK", 31, 20, 12 * S);
	assert_true(r.changed);
	r = wv_circuit_observe(&c, &limits, "UP", "L7OK", 32, 20, 13 * S);
	assert_false(r.order_down);
	/* HAProxy started anew: its counts are small again, not a share of huge numbers */
	r = wv_circuit_observe(&c, &limits, "UP", "L7OK", 3, 1, 14 * S);
	assert_int_equal(r.total, 4);
	assert_int_equal(r.failed, 1);
}

/* Answers ----------------------------------------------------------------------------------------
 */

static struct wv_stats_row rows[8];
static size_t n_rows;

static void keep(void *ctx _unused_, const struct wv_stats_row *row)
{
	if (n_rows < ARRAY_SIZE(rows))
		rows[n_rows++] = *row;
}

static void stats_are_read_by_the_names_of_columns(void **state _unused_)
{
	static const char answer[] =
		"Name: HAProxy\nPid: 4242\nUptime: 1\n\n"
		"# pxname,svname,stot,x,status,qcur,check_status,last_chk,hrsp_5xx,\n"
		"f_a,FRONTEND,12,,OPEN,0,,,1,\n"
		"b_a,u1,7,,DOWN 1/2,3,L7OK,\"a \"\"b\"\", c\",5,\n"
		"b_a\nb_a,\n,u1,7\n"
		"b_a,u2,18446744073709551616,,\"U\x01P\",-1,* L4CON,,x,\n"
		"b_a,u3,9";

	n_rows = 0;
	assert_int_equal(wv_stats_pid(answer), 4242);
	assert_int_equal(wv_stats_parse(answer, keep, NULL), 3);
	assert_string_equal(rows[0].server, "FRONTEND");
	assert_int_equal(rows[0].figures[WV_STATS_stot], 12);
	assert_string_equal(rows[1].status, "DOWN 1/2");
	assert_int_equal(rows[1].figures[WV_STATS_qcur], 3);
	assert_int_equal(rows[1].figures[WV_STATS_hrsp_5xx], 5);
	assert_string_equal(rows[2].status, "U?P");
	assert_int_equal(rows[2].figures[WV_STATS_stot], 0);
}

static void stats_without_sense_are_refused(void **state _unused_)
{
	static const char *const answers[] = {"", "x", "# pxname", "# pxname,x\na,b\n",
					      "Unknown command\n"};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		assert_int_equal(wv_stats_parse(answers[i], keep, NULL), -EPROTO);
	assert_int_equal(wv_stats_pid("Pid: 0\n"), -ENOENT);
	assert_int_equal(wv_stats_pid("Pid: 12x\n"), -ENOENT);
	assert_int_equal(wv_stats_pid("Pid: 99999999999\n"), -ENOENT);
	assert_int_equal(wv_stats_pid("x Pid: 1\n"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_says_where_what_is_wrong_stands),
		cmocka_unit_test(translation_of_hostile_values_has_only_our_lines),
		cmocka_unit_test(translation_keeps_every_limit),
		cmocka_unit_test(translation_refuses_promises_that_a_buffer_cannot_keep),
		cmocka_unit_test(circuit_follows_what_haproxy_says),
		cmocka_unit_test(circuit_trips_by_share_within_window_only),
		cmocka_unit_test(stats_are_read_by_the_names_of_columns),
		cmocka_unit_test(stats_without_sense_are_refused),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	wv_config_done(&config);
	return r;
}
