// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"
#include "user/evidence/canonical_form.h"

static void expect(const char *json, const char *canonical)
{
	struct json_object *o = json_tokener_parse(json);
	_cleanup_free_ char *text = NULL;
	size_t len = 0;

	assert_int_equal(wv_canonical(o, &text, &len), 0);
	json_object_put(o);
	assert_string_equal(text, canonical);
	assert_int_equal(len, strlen(canonical));
	assert_int_equal(wv_canonical_check(text, len), 0);
}

/* RFC 8785, section 3.2.2 */
static void canonical_example_of_the_rfc_matches(void **state _unused_)
{
	expect("{\"numbers\": [333333333.33333329, 1E30, 4.50, 2e-3, "
	       "0.000000000000000000000000001], "
	       "\"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\", "
	       "\"literals\": [null, true, false]}",
	       "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,"
	       "1e-27],\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

/* RFC 8785, section 3.2.3 */
static void canonical_names_are_in_utf16_order(void **state _unused_)
{
	expect("{\"\\u20ac\": \"Euro Sign\", \"\\r\": \"Carriage Return\", "
	       "\"\\ufb33\": \"Hebrew Letter Dalet With Dagesh\", \"1\": \"One\", "
	       "\"\\ud83d\\ude00\": \"Emoji: Grinning Face\", \"\\u0080\": \"Control\", "
	       "\"\\u00f6\": \"Latin Small Letter O With Diaeresis\"}",
	       "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
	       "\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\",\"\xe2\x82\xac\":\"Euro "
	       "Sign\",\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\","
	       "\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

static double bits(uint64_t v)
{
	double d;

	memcpy(&d, &v, sizeof(d));
	return d;
}

/* RFC 8785, appendix B, and what lies at the edges */
static const struct {
	uint64_t bits;
	const char *text;
} numbers[] = {
	{0x0000000000000000, "0"},
	{0x8000000000000000, "0"},
	{0x0000000000000001, "5e-324"},
	{0x8000000000000001, "-5e-324"},
	{0x7fefffffffffffff, "1.7976931348623157e+308"},
	{0xffefffffffffffff, "-1.7976931348623157e+308"},
	{0x4340000000000000, "9007199254740992"},
	{0xc340000000000000, "-9007199254740992"},
	{0x4430000000000000, "295147905179352830000"},
	{0x44b52d02c7e14af5, "9.999999999999997e+22"},
	{0x44b52d02c7e14af6, "1e+23"},
	{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
	{0x444b1ae4d6e2ef4e, "999999999999999700000"},
	{0x444b1ae4d6e2ef4f, "999999999999999900000"},
	{0x444b1ae4d6e2ef50, "1e+21"},
	{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
	{0x3eb0c6f7a0b5ed8d, "0.000001"},
	{0x41b3de4355555553, "333333333.3333332"},
	{0x41b3de4355555554, "333333333.33333325"},
	{0x41b3de4355555555, "333333333.3333333"},
	{0x41b3de4355555556, "333333333.3333334"},
	{0x41b3de4355555557, "333333333.33333343"},
	{0xbecbf647612f3696, "-0.0000033333333333333333"},
	{0x43143ff3c1cb0959, "1424953923781206.2"},
	{0x3ff0000000000001, "1.0000000000000002"},
	{0x000fffffffffffff, "2.225073858507201e-308"},
	{0x0010000000000000, "2.2250738585072014e-308"},
	/* a power of two whose nearest decimal of 16 digits reads as its neighbour */
	{0x3d20000000000000, "2.842170943040401e-14"},
};

static void canonical_numbers_of_the_rfc_match(void **state _unused_)
{
	char text[WV_NUMBER_SIZE];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		assert_int_equal(wv_canonical_double(bits(numbers[i].bits), text),
				 strlen(numbers[i].text));
		assert_string_equal(text, numbers[i].text);
		assert_int_equal(wv_canonical_check(text, strlen(text)), 0);
	}
	assert_int_equal(wv_canonical_double(NAN, text), -EINVAL);
	assert_int_equal(wv_canonical_double(INFINITY, text), -EINVAL);
}

/* Any double reads back, no shorter decimal does, and every one is taken for canonical. */
static void canonical_numbers_are_shortest(void **state _unused_)
{
	char text[WV_NUMBER_SIZE], shorter[40];
	uint64_t x = 88172645463325252ULL, v;
	int i, digits;
	double d;
	char *c;

	for (i = 0; i < 200000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		/* all exponents; those of everyday figures; powers of two */
		v = i % 3 == 0	 ? x
		    : i % 3 == 1 ? (x & 0x800fffffffffffffULL) | (1000 + x % 80) << 52
				 : (x % 2046 + 1) << 52;
		d = bits(v);
		if (!isfinite(d))
			continue;
		assert_true(wv_canonical_double(d, text) > 0);
		assert_true(strtod(text, NULL) == d);
		assert_int_equal(wv_canonical_check(text, strlen(text)), 0);
		for (digits = 0, c = text; *c && *c != 'e'; c++)
			digits += *c >= '0' && *c <= '9' && (digits || *c != '0');
		for (c = text + strcspn(text, "e") - 1; !strchr(text, '.') && *c == '0'; c--)
			digits--;
		if (digits < 2)
			continue;
		snprintf(shorter, sizeof(shorter), "%.*e", digits - 2, d);
		assert_true(strtod(shorter, NULL) != d);
	}
}

static void canonical_integers_are_exact(void **state _unused_)
{
	struct json_object *o = json_object_new_array();
	_cleanup_free_ char *text = NULL;
	size_t len;

	json_object_array_add(o, json_object_new_int64(INT64_MIN));
	json_object_array_add(o, json_object_new_int64(INT64_MAX));
	json_object_array_add(o, json_object_new_uint64(UINT64_MAX));
	json_object_array_add(o, json_object_new_int64(9007199254740993));
	json_object_array_add(o, json_object_new_int(-1));
	json_object_array_add(o, json_object_new_int(0));
	assert_int_equal(wv_canonical(o, &text, &len), 0);
	json_object_put(o);
	assert_string_equal(text, "[-9223372036854775808,9223372036854775807,"
				  "18446744073709551615,9007199254740993,-1,0]");
	assert_int_equal(wv_canonical_check(text, len), 0);
}

static void canonical_what_json_cannot_say_is_refused(void **state _unused_)
{
	struct json_object *o = json_object_new_double(NAN), *deep = json_object_new_array();
	struct json_object *inner = deep, *same = json_object_new_object();
	_cleanup_free_ char *text = NULL;
	size_t len;
	int i;

	assert_int_equal(wv_canonical(o, &text, &len), -EINVAL);
	for (i = 1; i < WV_JSON_LEVELS; i++) {
		json_object_array_add(inner, json_object_new_array());
		inner = json_object_array_get_idx(inner, 0);
	}
	assert_int_equal(wv_canonical(deep, &text, &len), 0);
	assert_int_equal(wv_canonical_check(text, len), 0);
	free(TAKE_PTR(text));
	json_object_array_add(inner, json_object_new_array());
	assert_int_equal(wv_canonical(deep, &text, &len), -EINVAL);
	/* two names that become one */
	json_object_object_add(same, "\xff", NULL);
	json_object_object_add(same, "\xfe", NULL);
	assert_int_equal(wv_canonical(same, &text, &len), -EINVAL);
	assert_null(text);
	json_object_put(o);
	json_object_put(deep);
	json_object_put(same);
}

static void canonical_bad_utf8_is_replaced(void **state _unused_)
{
	struct json_object *o = json_object_new_object();
	_cleanup_free_ char *text = NULL;
	size_t len;

	json_object_object_add(o, "k\xff", json_object_new_string_len("a\xc0\x80z\xe2\x82\0", 7));
	assert_int_equal(wv_canonical(o, &text, &len), 0);
	json_object_put(o);
	assert_string_equal(text, "{\"k\xef\xbf\xbd\":\"a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd"
				  "\xef\xbf\xbd\\u0000\"}");
	assert_int_equal(wv_canonical_check(text, len), 0);
}

static void check_other_forms_are_told_from_no_json(void **state _unused_)
{
	static const char *const other[] = {
		" 1",
		"1 ",
		"1\n",
		"[1, 2]",
		"{\"a\": 1}",
		"{ }",
		"[ ]",
		"-0",
		"1.0",
		"1.50",
		"1e2",
		"1E30",
		"1e30",
		"-0.0",
		"0.0000001",
		"0.10",
		"\"\\/\"",
		"\"\\u0041\"",
		"\"\\u000A\"",
		"\"\\u001F\"",
		"\"\\u0022\"",
		"\"\\u20ac\"",
		"\"\\u0008\"",
		"{\"b\":1,\"a\":2}",
		"{\"a\":1,\"B\":2}",
		"[18446744073709551616]",
		"[-9223372036854775809]",
		"1000000000000000000000",
		"\"\\ud83d\\ude00\"",
		"{\"\\ufb33\":1,\"\\ud83d\\ude00\":2}",
		"{\"\xef\xac\xb3\":1,\"\xf0\x9f\x98\x80\":2}",
		/* the escaped name sorts by what it means */
		"{\"\\\\\":1,\"A\":2}",
		"{\"\\u0002\":1,\"\\u0001\":2}",
	};
	static const char *const none[] = {
		"",
		"{",
		"}",
		"[1,]",
		"{\"a\":1,}",
		"{\"a\"}",
		"{\"a\":}",
		"{a:1}",
		"{'a':1}",
		"[1 2]",
		"tru",
		"nul",
		"falsey",
		"01",
		"1.",
		".5",
		"+1",
		"-",
		"1e",
		"--1",
		"\"",
		"\"a",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\n\"",
		"\"\x01\"",
		"\"\xff\"",
		"\"\xc0\x80\"",
		"\"\xed\xa0\x80\"",
		"1 1",
		"{}{}",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1,\"\\u0061\":2}",
		"[{\"a\":1,\"b\":2,\"a\":3}]",
		"\xef\xbb\xbf{}",
		/* C reads these names as "seq" */
		"{\"seq\":1,\"seq\\u0000\":2}",
		"{\"seq\\u0000\":2}",
	};
	char deep[2 * (WV_JSON_LEVELS + 1) + 1];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(other); i++)
		if (wv_canonical_check(other[i], strlen(other[i])) != -EBADMSG)
			fail_msg("%s: %d", other[i],
				 wv_canonical_check(other[i], strlen(other[i])));
	for (i = 0; i < ARRAY_SIZE(none); i++)
		if (wv_canonical_check(none[i], strlen(none[i])) != -EPROTO)
			fail_msg("%s: %d", none[i], wv_canonical_check(none[i], strlen(none[i])));
	assert_int_equal(wv_canonical_check("1\0", 2), -EPROTO);
	memset(deep, '[', WV_JSON_LEVELS + 1);
	memset(deep + WV_JSON_LEVELS + 1, ']', WV_JSON_LEVELS + 1);
	assert_int_equal(wv_canonical_check(deep, sizeof(deep) - 1), -EPROTO);
	assert_int_equal(wv_canonical_check(deep + 1, sizeof(deep) - 3), 0);
}

/* No change of one byte of a record passes as the same: it is refused or it is another record. */
static void check_cut_anywhere_is_refused(void **state _unused_)
{
	static const char text[] = "{\"a\\n\":[1,-2.5e-7,true],\"b\":{\"c\":\"\xe2\x82\xac\"},"
				   "\"d\":null}";
	size_t len = strlen(text), i;

	assert_int_equal(wv_canonical_check(text, len), 0);
	for (i = 0; i < len; i++) {
		char *copy = malloc(i + 1);

		/* a copy of its own, so that a sanitizer sees a read behind the end */
		assert_non_null(copy);
		memcpy(copy, text, i);
		assert_int_equal(wv_canonical_check(copy, i), -EPROTO);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_example_of_the_rfc_matches),
		cmocka_unit_test(canonical_names_are_in_utf16_order),
		cmocka_unit_test(canonical_numbers_of_the_rfc_match),
		cmocka_unit_test(canonical_numbers_are_shortest),
		cmocka_unit_test(canonical_integers_are_exact),
		cmocka_unit_test(canonical_what_json_cannot_say_is_refused),
		cmocka_unit_test(canonical_bad_utf8_is_replaced),
		cmocka_unit_test(check_other_forms_are_told_from_no_json),
		cmocka_unit_test(check_cut_anywhere_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
