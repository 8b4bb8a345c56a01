// SPDX-License-Identifier: GPL-2.0-only
/* The page's files and its data over HTTP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <json-c/json.h>

#include "tests/unit/web_fixture.h"
#include "user/export/web_answer.h"

/* The body behind the head of an answer. */
static const char *body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

static void etag_of(const char *answer, char ret[64])
{
	const char *at = strstr(answer, "\r\nETag: ");

	assert_non_null(at);
	assert_int_equal(sscanf(at + 8, "%63[^\r]", ret), 1);
}

static void page_is_sent_with_a_policy_that_lets_nothing_else_in(void **state)
{
	static const char *const heads[] = {
		"\r\nContent-Type: text/html; charset=utf-8\r\n",
		"default-src 'none'; script-src 'self'; style-src 'self'",
		"frame-ancestors 'none'",
		"\r\nX-Content-Type-Options: nosniff\r\n",
		"\r\nX-Frame-Options: DENY\r\n",
		"\r\nReferrer-Policy: no-referrer\r\n",
		"\r\nVary: Accept-Encoding\r\n",
		"<!doctype html>",
	};
	struct web w;
	char *text;

	(void)state;
	start(&w);
	text = ask(&w, "GET /" TAIL "\r\n");
	assert_memory_equal(text, "HTTP/1.1 200 ", 13);
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		if (!strstr(text, heads[i]))
			fail_msg("no %s in %.800s", heads[i], text);
	/* the policy has no word that would let it be got round */
	assert_null(strstr(text, "unsafe"));
	assert_null(strstr(text, "http:"));
	/* nothing inline, nothing from elsewhere */
	assert_null(strstr(body_of(text), "style="));
	assert_null(strstr(body_of(text), "<style"));
	assert_null(strstr(body_of(text), "//"));
	free(text);
	assert_int_equal(stop(&w), 0);
}

static void page_compressed_is_smaller_and_unpacked_where_it_is_not_wanted(void **state)
{
	struct web w;
	size_t packed = 0, plain = 0;
	char *text;

	(void)state;
	start(&w);
	text = ask(&w, "GET /assets/style.css" TAIL "Accept-Encoding: br, gzip\r\n\r\n");
	assert_non_null(strstr(text, "\r\nContent-Encoding: gzip\r\n"));
	assert_int_equal(sscanf(strstr(text, "Content-Length: "), "Content-Length: %zu", &packed),
			 1);
	assert_memory_equal(body_of(text), "\x1f\x8b", 2);
	/* no name, no time: the same bytes every time */
	assert_memory_equal(body_of(text) + 3, "\0\0\0\0\0", 5);
	free(text);
	text = ask(&w, "GET /assets/style.css" TAIL "Accept-Encoding: gzip;q=0\r\n\r\n");
	assert_null(strstr(text, "Content-Encoding"));
	assert_non_null(strstr(text, "\r\nContent-Type: text/css; charset=utf-8\r\n"));
	assert_int_equal(sscanf(strstr(text, "Content-Length: "), "Content-Length: %zu", &plain),
			 1);
	assert_int_equal(strlen(body_of(text)), plain);
	assert_non_null(strstr(body_of(text), "@media"));
	free(text);
	assert_true(packed * 2 < plain);
	assert_int_equal(stop(&w), 0);
}

static void page_that_the_client_has_is_not_sent_again(void **state)
{
	char etag[64], request[256];
	struct web w;
	char *text;

	(void)state;
	start(&w);
	text = ask(&w, "GET /assets/app.js" TAIL "\r\n");
	etag_of(text, etag);
	free(text);
	snprintf(request, sizeof(request),
		 "GET /assets/app.js" TAIL "If-None-Match: \"x\", W/%s\r\n\r\n", etag);
	text = ask(&w, request);
	assert_memory_equal(text, "HTTP/1.1 304 ", 13);
	assert_string_equal(body_of(text), "");
	free(text);
	assert_answer(&w, "GET /assets/app.js" TAIL "If-None-Match: \"other\"\r\n\r\n",
		      "HTTP/1.1 200 ", "addEventListener");
	assert_answer(&w, "GET /assets/none.js" TAIL "\r\n", "HTTP/1.1 404 ", "no such file");
	assert_answer(&w, "GET /assets/../snapshot" TAIL "\r\n", "HTTP/1.1 404 ", "");
	assert_int_equal(stop(&w), 0);
}

static void live_data_is_json_of_the_newest_tick(void **state)
{
	char etag[64], request[256];
	struct json_object *o;
	struct web w;
	char *text;

	(void)state;
	start(&w);
	text = ask(&w, "GET /api/v1/overview" TAIL "\r\n");
	o = json_tokener_parse(body_of(text));
	assert_non_null(o);
	assert_int_equal(json_object_get_int(json_object_object_get(o, "schema_version")), 1);
	assert_int_equal(json_object_get_int(json_object_object_get(o, "tick")), 1);
	assert_int_equal(json_object_array_length(json_object_object_get(o, "workers")),
			 WV_WORKER_N);
	assert_true(json_object_array_length(json_object_object_get(o, "paths")) >= 2);
	json_object_put(o);
	free(text);

	text = ask(&w, "GET /api/v1/cgroups" TAIL "\r\n");
	assert_non_null(strstr(text, "\r\nContent-Type: application/json\r\n"));
	o = json_tokener_parse(body_of(text));
	assert_non_null(o);
	assert_int_equal(json_object_get_int(json_object_object_get(o, "total")), 1);
	json_object_put(o);
	etag_of(text, etag);
	free(text);
	snprintf(request, sizeof(request), "GET /api/v1/cgroups" TAIL "If-None-Match: %s\r\n\r\n",
		 etag);
	assert_answer(&w, request, "HTTP/1.1 304 ", "");
	publish(&w, 2, mono_ns());
	assert_answer(&w, request, "HTTP/1.1 200 ", "\"tick\":2,");
	assert_int_equal(stop(&w), 0);
}

static void live_data_takes_arguments_and_refuses_wrong_ones(void **state)
{
	struct web w;

	(void)state;
	start(&w);
	assert_answer(&w, "GET /api/v1/cgroups?sort=cpu_ppm&limit=1" TAIL "\r\n", "HTTP/1.1 200 ",
		      "\"rows\":[[\"/\"");
	assert_answer(&w, "GET /api/v1/cgroups?filter=%2Fnone" TAIL "\r\n", "HTTP/1.1 200 ",
		      "\"matched\":0,");
	assert_answer(&w, "GET /api/v1/cgroups?sort=x" TAIL "\r\n", "HTTP/1.1 400 ",
		      "\"code\":\"bad-request\"");
	assert_answer(&w, "GET /api/v1/cgroups?limit=-1" TAIL "\r\n", "HTTP/1.1 400 ", "");
	assert_answer(&w, "GET /api/v1/cgroups?offset=99999999999" TAIL "\r\n", "HTTP/1.1 400 ",
		      "");
	assert_answer(&w, "GET /api/v1/nothing" TAIL "\r\n", "HTTP/1.1 404 ",
		      "\"code\":\"not-found\"");
	assert_answer(&w, "POST /api/v1/overview" TAIL "Content-Length: 0\r\n\r\n", "HTTP/1.1 405 ",
		      "GET, HEAD");
	assert_int_equal(stop(&w), 0);
}

static void connection_is_kept_for_the_next_request(void **state)
{
	const char *two = "GET /api/v1/overview HTTP/1.1\r\nHost: x\r\n\r\n"
			  "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	struct web w;
	char *text;

	(void)state;
	start(&w);
	text = ask(&w, two);
	assert_non_null(strstr(text, "\"programs\""));
	assert_non_null(strstr(text, "\"status\":\"ok\""));
	free(text);
	assert_int_equal(stop(&w), 0);
}

static void etag_list_is_compared_weakly(void **state)
{
	(void)state;
	assert_true(wv_web_matches("\"a\"", "\"a\""));
	assert_true(wv_web_matches("\"b\" , W/\"a\"", "\"a\""));
	assert_true(wv_web_matches("*", "\"a\""));
	assert_false(wv_web_matches("\"ab\"", "\"a\""));
	assert_false(wv_web_matches("\"a\"b", "\"a\""));
	assert_false(wv_web_matches("", "\"a\""));
	assert_false(wv_web_matches(NULL, "\"a\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(page_is_sent_with_a_policy_that_lets_nothing_else_in),
		cmocka_unit_test(page_compressed_is_smaller_and_unpacked_where_it_is_not_wanted),
		cmocka_unit_test(page_that_the_client_has_is_not_sent_again),
		cmocka_unit_test(live_data_is_json_of_the_newest_tick),
		cmocka_unit_test(live_data_takes_arguments_and_refuses_wrong_ones),
		cmocka_unit_test(connection_is_kept_for_the_next_request),
		cmocka_unit_test(etag_list_is_compared_weakly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
