// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/core/base64.h"
#include "user/core/cleanup.h"

/* RFC 4648, section 10 */
static const struct {
	const char *bytes, *text;
} vectors[] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
};

static void base64_published_vectors_match(void **state _unused_)
{
	char text[32], bytes[32];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		wv_base64_encode(vectors[i].bytes, strlen(vectors[i].bytes), text);
		assert_string_equal(text, vectors[i].text);
		assert_int_equal(strlen(text), WV_BASE64_LENGTH(strlen(vectors[i].bytes)));
		assert_int_equal(wv_base64_decode(text, strlen(text), bytes, sizeof(bytes)),
				 strlen(vectors[i].bytes));
		assert_memory_equal(bytes, vectors[i].bytes, strlen(vectors[i].bytes));
	}
}

static void base64_every_byte_comes_back(void **state _unused_)
{
	unsigned char in[256], out[256];
	char text[WV_BASE64_LENGTH(256) + 1];
	size_t i, len;

	for (i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)(i * 31);
	for (len = 0; len <= sizeof(in); len++) {
		wv_base64_encode(in, len, text);
		assert_int_equal(wv_base64_decode(text, strlen(text), out, len), len);
		assert_memory_equal(in, out, len);
	}
}

static void base64_second_spellings_are_refused(void **state _unused_)
{
	static const char *const wrong[] = {
		"Zg",	"Zg=",	    "Zg===",  "Zh==",	  "Zm9=",     "Z===",
		"====", " Zg=",	    "Zg==\n", "Zm8=Zm8=", "Zm 9v===", "Zm9v\n\n\n\n",
		"Zm-_", "Zg==Zg==", "Z=g=",   "\nm9v",	  "Zm9v====",
	};
	char bytes[32];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		if (wv_base64_decode(wrong[i], strlen(wrong[i]), bytes, sizeof(bytes)) != -EINVAL)
			fail_msg("accepted \"%s\"", wrong[i]);
	assert_int_equal(wv_base64_decode("Zm9v", 4, bytes, 2), -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_published_vectors_match),
		cmocka_unit_test(base64_every_byte_comes_back),
		cmocka_unit_test(base64_second_spellings_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
