// SPDX-License-Identifier: GPL-2.0-only
/* A list, a watch, and what can go wrong between them; the clock and the answers are the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
// after these
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "user/core/cleanup.h"
#include "user/kube/json.h"
#include "user/kube/watch.h"

#define S 1000000000ULL

static struct {
	struct wv_kube_watch watch;
	char told[1024]; /* "<" begin, "+name", "-name", ">" fresh */
	uint64_t now;
} t;

static void add(const char *what, struct json_object *o)
{
	const char *name = o ? wv_kube_text(wv_kube_object(o, "metadata"), "name") : "";

	snprintf(t.told + strlen(t.told), sizeof(t.told) - strlen(t.told), "%s%s", what, name);
}

static void on_begin(void *ctx _unused_)
{
	add("<", NULL);
}

static void on_object(void *ctx _unused_, struct json_object *o)
{
	add("+", o);
}

static void on_gone(void *ctx _unused_, struct json_object *o)
{
	add("-", o);
}

static void on_fresh(void *ctx _unused_)
{
	add(">", NULL);
}

static const struct wv_kube_watch_fns fns = {on_begin, on_object, on_gone, on_fresh};

static int setup(void **state _unused_)
{
	memset(&t, 0, sizeof(t));
	t.watch = (struct wv_kube_watch){
		.name = "pods", .path = "/api/v1/pods", .query = "fieldSelector=x", .fns = &fns};
	wv_kube_watch_init(&t.watch);
	return 0;
}

static int teardown(void **state _unused_)
{
	wv_kube_watch_done(&t.watch);
	return 0;
}

/* The next request must be due and be this one. */
static void expect(const char *path)
{
	char got[WV_KUBE_PATH_SIZE];

	assert_true(wv_kube_watch_due(&t.watch, t.now, 0, got));
	assert_string_equal(got, path);
	assert_false(wv_kube_watch_due(&t.watch, t.now, 0, got)); /* one at a time */
	assert_true(wv_kube_watch_when(&t.watch) == UINT64_MAX);
}

static int answer(long status, const char *text)
{
	return wv_kube_watch_take(&t.watch, status, text, strlen(text));
}

static void over(long status, const char *error)
{
	wv_kube_watch_over(&t.watch, status, error, 0, t.now, 0);
}

#define LIST "/api/v1/pods?fieldSelector=x&resourceVersion=0"
#define LIST_QUORUM "/api/v1/pods?fieldSelector=x&"
#define WATCH(v)                                                                                   \
	"/api/v1/pods?fieldSelector=x&watch=true&allowWatchBookmarks=true&resourceVersion=" v      \
	"&timeoutSeconds=300"

static void list_a(void)
{
	expect(LIST);
	assert_int_equal(answer(200, "{\"metadata\":{\"resourceVersion\":\"5\"},"
				     "\"items\":[{\"metadata\":{\"name\":\"a\"}}]}"),
			 0);
	over(200, NULL);
}

static void watch_follows_list_and_bookmarks(void **state _unused_)
{
	list_a();
	assert_true(t.watch.fresh);
	expect(WATCH("5"));
	assert_int_equal(answer(200,
				"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"b\","
				"\"resourceVersion\":\"6\"}}}\n"
				"{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"a\","
				"\"resourceVersion\":\"7\"}}}\n"
				"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{"
				"\"resourceVersion\":\"90\"}}}\n"
				"{\"type\":\"LATER\",\"object\":{\"metadata\":{\"resourceVersion\":"
				"\"91\"}}}\n"),
			 0);
	over(200, NULL);
	assert_string_equal(t.told, "<+a>+b-a");
	assert_int_equal(t.watch.events, 3);
	expect(WATCH("91"));
}

static void watch_gone_relists_at_once_from_etcd(void **state _unused_)
{
	list_a();
	expect(WATCH("5"));
	assert_int_equal(answer(200,
				"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,"
				"\"message\":\"too old\"}}"),
			 -ECANCELED);
	over(200, "write error");
	assert_string_equal(t.watch.why, "410 too old");
	assert_true(wv_kube_watch_when(&t.watch) == t.now);
	expect(LIST_QUORUM);
	assert_int_equal(answer(200, "{\"metadata\":{\"resourceVersion\":\"50\"},\"items\":[]}"),
			 0);
	over(200, NULL);
	assert_string_equal(t.told, "<+a><>");
	assert_int_equal(t.watch.relists, 1);
	expect(WATCH("50"));
	/* the same as an answer */
	assert_int_equal(answer(410, "{\"message\":\"expired\"}"), 0);
	over(410, NULL);
	t.now = wv_kube_watch_when(&t.watch);
	expect(LIST_QUORUM);
}

static void watch_gone_again_and_again_backs_off(void **state _unused_)
{
	uint64_t before = 0;

	list_a();
	for (int i = 0; i < 4; i++) {
		char path[WV_KUBE_PATH_SIZE];

		assert_true(wv_kube_watch_due(&t.watch, t.now, 0, path));
		over(410, NULL);
		assert_true(wv_kube_watch_when(&t.watch) - t.now >= before);
		before = wv_kube_watch_when(&t.watch) - t.now;
		t.now += before;
	}
	assert_true(before >= 2 * S);
}

static void watch_broken_in_the_middle_goes_on_from_the_last_event(void **state _unused_)
{
	list_a();
	expect(WATCH("5"));
	assert_int_equal(answer(200,
				"{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"a\","
				"\"resourceVersion\":\"8\"}}}{\"type\":\"ADDED\",\"obj"),
			 0);
	over(200, "transfer closed with outstanding read data remaining");
	assert_int_equal(t.watch.failures, 0);
	expect(WATCH("8"));
	assert_int_equal(answer(200, "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"c\","
				     "\"resourceVersion\":\"9\"}}}"),
			 0);
	assert_string_equal(t.told, "<+a>+a+c");
}

static void watch_that_ends_at_once_with_nothing_is_a_failure(void **state _unused_)
{
	list_a();
	expect(WATCH("5"));
	over(200, NULL);
	assert_int_equal(t.watch.failures, 1);
	assert_true(wv_kube_watch_when(&t.watch) > t.now);
	t.now = wv_kube_watch_when(&t.watch);
	expect(WATCH("5"));
	t.now += 300 * S;
	over(200, NULL); /* nothing happened for five minutes: that is well */
	assert_int_equal(t.watch.failures, 0);
}

static void list_cut_short_is_not_fresh(void **state _unused_)
{
	expect(LIST);
	assert_int_equal(
		answer(200, "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[{\"metadata\":{"
			    "\"name\":\"a\"}},"),
		0);
	over(200, NULL);
	assert_string_equal(t.told, "<+a");
	assert_false(t.watch.fresh);
	assert_string_equal(t.watch.why, "the answer was cut short");
	t.now = wv_kube_watch_when(&t.watch);
	expect(LIST);
}

static void malformed_answers_are_refused_and_counted(void **state _unused_)
{
	expect(LIST);
	assert_int_equal(answer(200, "<html>a proxy</html>"), -EBADMSG);
	over(200, "write error");
	assert_int_equal(t.watch.malformed, 1);
	assert_int_equal(t.watch.failures, 1);
	t.now = wv_kube_watch_when(&t.watch);
	expect(LIST);
	/* brackets that fit, but no JSON: an item less would be a wrong list */
	assert_int_equal(answer(200, "{\"items\":[{\"a\" 1}]}"), -EBADMSG);
	over(200, "write error");
	assert_false(t.watch.fresh);
	t.now = wv_kube_watch_when(&t.watch);
	list_a();
	expect(WATCH("5"));
	/* an event less is made good by the next of the same object */
	assert_int_equal(answer(200,
				"{\"type\" \"ADDED\"}{\"type\":\"ADDED\",\"object\":3}"
				"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"b\"}}}"),
			 0);
	assert_int_equal(t.watch.malformed, 4);
	assert_string_equal(t.told, "<<<+a>+b");
}

static void version_that_could_change_the_url_is_not_taken(void **state _unused_)
{
	expect(LIST);
	assert_int_equal(
		answer(200, "{\"metadata\":{\"resourceVersion\":\"5&watch=false\"},\"items\":[]}"),
		0);
	over(200, NULL);
	t.now = wv_kube_watch_when(&t.watch);
	expect(LIST); /* without a version there is nothing to watch from */
}

static void errors_say_what_the_server_said_and_wait(void **state _unused_)
{
	expect(LIST);
	assert_int_equal(answer(403, "{\"kind\":\"Status\",\"message\":\"pods is forbidden\"}"), 0);
	over(403, NULL);
	assert_string_equal(t.watch.why, "the API server answered 403: pods is forbidden");
	assert_true(wv_kube_watch_when(&t.watch) - t.now < 1 * S);
	for (int i = 0; i < 5; i++) {
		t.now = wv_kube_watch_when(&t.watch);
		expect(LIST);
		over(403, NULL);
	}
	assert_true(wv_kube_watch_when(&t.watch) - t.now >= 15 * S);
	t.now = wv_kube_watch_when(&t.watch);
	expect(LIST);
	over(0, "Could not resolve host");
	assert_string_equal(t.watch.why, "Could not resolve host");
	t.now = wv_kube_watch_when(&t.watch);
	expect(LIST);
	wv_kube_watch_over(&t.watch, 429, NULL, 20, t.now, 0);
	assert_true(wv_kube_watch_when(&t.watch) - t.now >= 20 * S);
}

static void pause_grows_to_its_bound_with_jitter(void **state _unused_)
{
	assert_true(wv_kube_pause_ns(1, 0) == WV_KUBE_PAUSE_FIRST_NS / 2);
	assert_true(wv_kube_pause_ns(1, UINT64_MAX) <= WV_KUBE_PAUSE_FIRST_NS);
	assert_true(wv_kube_pause_ns(2, 0) == WV_KUBE_PAUSE_FIRST_NS);
	for (unsigned i = 1; i < 1000; i++) {
		assert_true(wv_kube_pause_ns(i, i * 7919) <= WV_KUBE_PAUSE_MAX_NS);
		assert_true(wv_kube_pause_ns(i, i * 7919) >= WV_KUBE_PAUSE_FIRST_NS / 2);
	}
	assert_true(wv_kube_pause_ns(1000, 0) == WV_KUBE_PAUSE_MAX_NS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(watch_follows_list_and_bookmarks),
		T(watch_gone_relists_at_once_from_etcd),
		T(watch_gone_again_and_again_backs_off),
		T(watch_broken_in_the_middle_goes_on_from_the_last_event),
		T(watch_that_ends_at_once_with_nothing_is_a_failure),
		T(list_cut_short_is_not_fresh),
		T(malformed_answers_are_refused_and_counted),
		T(version_that_could_change_the_url_is_not_taken),
		T(errors_say_what_the_server_said_and_wait),
		T(pause_grows_to_its_bound_with_jitter),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
