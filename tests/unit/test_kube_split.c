// SPDX-License-Identifier: GPL-2.0-only
/* Objects out of the bytes of an API server, however they are cut. */
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
#include "user/kube/split.h"

struct seen {
	char text[4096]; /* "E:{...};" each */
	int stop_at, n;
};

static int on_part(void *ctx, enum wv_kube_part part, const char *json, size_t len)
{
	struct seen *s = ctx;

	assert_int_equal(strlen(json), len);
	snprintf(s->text + strlen(s->text), sizeof(s->text) - strlen(s->text), "%c:%s;",
		 part == WV_KUBE_PART_EVENT  ? 'E'
		 : part == WV_KUBE_PART_ITEM ? 'I'
					     : 'M',
		 json);
	return ++s->n == s->stop_at ? -ECANCELED : 0;
}

static struct wv_kube_split split(struct seen *s, size_t max)
{
	return (struct wv_kube_split){.max = max, .part = on_part, .ctx = s};
}

/* Feeds in pieces of every size from one byte up: the same comes out. */
static void check(bool list, const char *text, const char *expected)
{
	for (size_t piece = 1; piece <= strlen(text); piece++) {
		struct seen s = {.n = 0};
		struct wv_kube_split p = split(&s, 1024);

		wv_kube_split_begin(&p, list);
		for (size_t at = 0; at < strlen(text); at += piece) {
			size_t n = strlen(text) - at;

			assert_int_equal(wv_kube_split_feed(&p, text + at, n < piece ? n : piece),
					 0);
		}
		assert_string_equal(s.text, expected);
		assert_true(wv_kube_split_whole(&p));
		wv_kube_split_done(&p);
	}
}

static void split_watch_gives_events_one_by_one(void **state _unused_)
{
	check(false, "{\"type\":\"ADDED\",\"object\":{\"a\":[1,{}]}}\n{\"b\":\"}\\\"{\"}\r\n \n{}",
	      "E:{\"type\":\"ADDED\",\"object\":{\"a\":[1,{}]}};E:{\"b\":\"}\\\"{\"};E:{};");
}

static void split_list_gives_metadata_and_items(void **state _unused_)
{
	check(true,
	      "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"7\"},"
	      "\"items\":[{\"metadata\":{\"name\":\"a\"}},\n {\"items\":[{\"x\":1}]}]}",
	      "M:{\"resourceVersion\":\"7\"};I:{\"metadata\":{\"name\":\"a\"}};"
	      "I:{\"items\":[{\"x\":1}]};");
}

static void split_list_without_items_gives_none(void **state _unused_)
{
	check(true, "{\"items\":null,\"metadata\":{}}", "M:{};");
	check(true, "{\"other\":[{\"a\":1}],\"itemsofalongername\":[{}],\"x\":{\"items\":[{}]}}",
	      "");
}

static int feed_all(struct wv_kube_split *p, bool list, const char *text)
{
	wv_kube_split_begin(p, list);
	return wv_kube_split_feed(p, text, strlen(text));
}

static void split_what_is_no_json_is_refused(void **state _unused_)
{
	static const char *const bad[] = {"<html>",    "[1]",  "}",	 "{]",
					  "{\"a\":[}", "{} x", "\x01{}", "1"};
	char deep[WV_KUBE_DEPTH_MAX + 2];
	struct seen s = {.n = 0};
	struct wv_kube_split p = split(&s, 1024);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(feed_all(&p, false, bad[i]), -EBADMSG);
	assert_int_equal(feed_all(&p, true, "{}{}"), -EBADMSG);
	memset(deep, '[', sizeof(deep) - 1);
	deep[0] = '{';
	deep[sizeof(deep) - 1] = '\0';
	assert_int_equal(feed_all(&p, false, deep), -EBADMSG);
	wv_kube_split_done(&p);
}

static void split_cut_short_is_not_whole(void **state _unused_)
{
	static const char *const cut[] = {"{\"items\":[{}", "{\"items\":[]", "", "{\"a\":\"}"};
	struct seen s = {.n = 0};
	struct wv_kube_split p = split(&s, 1024);

	for (size_t i = 0; i < ARRAY_SIZE(cut); i++) {
		assert_int_equal(feed_all(&p, true, cut[i]), 0);
		assert_false(wv_kube_split_whole(&p));
	}
	wv_kube_split_done(&p);
}

static void split_huge_object_is_left_out_and_counted(void **state _unused_)
{
	char text[4096];
	struct seen s = {.n = 0};
	struct wv_kube_split p = split(&s, 64);

	snprintf(text, sizeof(text), "{\"a\":1}{\"b\":\"%0*d\"}{\"c\":2}", 1000, 0);
	assert_int_equal(feed_all(&p, false, text), 0);
	assert_string_equal(s.text, "E:{\"a\":1};E:{\"c\":2};");
	assert_int_equal(p.too_large, 1);
	assert_true(p.room <= 16384);
	wv_kube_split_done(&p);
}

static void split_part_ends_feeding_and_a_new_answer_begins_clean(void **state _unused_)
{
	struct seen s = {.stop_at = 1};
	struct wv_kube_split p = split(&s, 64);

	assert_int_equal(feed_all(&p, false, "{\"a\":1}{\"b\":2}"), -ECANCELED);
	assert_string_equal(s.text, "E:{\"a\":1};");
	assert_int_equal(feed_all(&p, false, "{\"open"), 0);
	assert_int_equal(feed_all(&p, false, "{\"c\":3}"), 0);
	assert_string_equal(s.text, "E:{\"a\":1};E:{\"c\":3};");
	wv_kube_split_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_watch_gives_events_one_by_one),
		cmocka_unit_test(split_list_gives_metadata_and_items),
		cmocka_unit_test(split_list_without_items_gives_none),
		cmocka_unit_test(split_what_is_no_json_is_refused),
		cmocka_unit_test(split_cut_short_is_not_whole),
		cmocka_unit_test(split_huge_object_is_left_out_and_counted),
		cmocka_unit_test(split_part_ends_feeding_and_a_new_answer_begins_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
