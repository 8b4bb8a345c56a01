// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/core/sha256.h"

/* FIPS 180-4 examples and NIST's SHA256ShortMsg */
static void sha256_published_vectors_match(void **state)
{
	static const struct {
		const char *text, *hex;
	} vectors[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
		{"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopq"
		 "klmnopqrlmnopqrsmnopqrstnopqrstu",
		 "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
	};
	char hex[WV_SHA256_HEX];

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		wv_sha256_hex(vectors[i].text, strlen(vectors[i].text), hex);
		assert_string_equal(hex, vectors[i].hex);
	}
}

static void sha256_million_letters_match(void **state)
{
	size_t len = 1000000;
	char *text = malloc(len), hex[WV_SHA256_HEX];

	(void)state;
	assert_non_null(text);
	memset(text, 'a', len);
	wv_sha256_hex(text, len, hex);
	free(text);
	assert_string_equal(hex,
			    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Every length around the block size, in pieces of every size: the same as all at once. */
static void sha256_pieces_give_the_same(void **state)
{
	char text[200], whole[WV_SHA256_HEX], pieces[WV_SHA256_HEX];
	struct wv_sha256 s;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7 + 3);
	for (size_t len = 0; len <= sizeof(text); len++) {
		wv_sha256_hex(text, len, whole);
		for (size_t piece = 1; piece <= 130; piece++) {
			wv_sha256_init(&s);
			for (size_t at = 0; at < len; at += piece)
				wv_sha256_add(&s, text + at, len - at < piece ? len - at : piece);
			wv_sha256_end(&s, pieces);
			assert_string_equal(pieces, whole);
		}
	}
}

/* The tool that everyone else checks artifacts with says the same of every length up to 3 blocks.
 */
static void sha256_sha256sum_agrees(void **state)
{
	char hex[WV_SHA256_HEX], text[193], line[160], command[512];
	FILE *f;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t len = 50; len < sizeof(text); len += 1 + len % 7) {
		snprintf(command, sizeof(command), "printf '%%0%zud' 0 | tr 0 x | sha256sum", len);
		f = popen(command, "re");
		assert_non_null(f);
		if (!fgets(line, sizeof(line), f) || strlen(line) < 64) {
			pclose(f);
			skip();
		}
		pclose(f);
		line[64] = '\0';
		wv_sha256_hex(text, len, hex);
		assert_string_equal(hex, line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_published_vectors_match),
		cmocka_unit_test(sha256_million_letters_match),
		cmocka_unit_test(sha256_pieces_give_the_same),
		cmocka_unit_test(sha256_sha256sum_agrees),
	};

	return cmocka_run_group_tests_name("sha256", tests, NULL, NULL);
}
