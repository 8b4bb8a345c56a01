// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/sign.h"

static void unhex(const char *hex, void *ret)
{
	unsigned char *p = ret;
	unsigned byte;

	for (; *hex; hex += 2) {
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		*p++ = (unsigned char)byte;
	}
}

/* RFC 8032, section 7.1: TEST 1, TEST 2, TEST 3, TEST SHA(abc) */
static const struct {
	const char *seed, *key, *message, *signature;
} vectors[] = {
	{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
	 "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
	 "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e3970"
	 "1cf9b46bd25bf5f0595bbe24655141438e7a100b"},
	{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
	 "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
	 "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613"
	 "d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
	 "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
	 "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760"
	 "984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	{"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
	 "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
	 "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23"
	 "a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	 "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c6"
	 "6431e0303dca179c138ac17ad9bef1177331a704"},
};

static void key_one(struct wv_secret_key *ret)
{
	unhex(vectors[0].seed, ret->seed);
	assert_int_equal(wv_key_derive(ret), 0);
}

static void sign_published_vectors_match(void **state _unused_)
{
	unsigned char expected[WV_SIGNATURE_SIZE], got[WV_SIGNATURE_SIZE], message[64];
	struct wv_public_key key;
	struct wv_secret_key s;
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		len = strlen(vectors[i].message) / 2;
		unhex(vectors[i].seed, s.seed);
		unhex(vectors[i].key, key.bytes);
		unhex(vectors[i].message, message);
		unhex(vectors[i].signature, expected);
		assert_int_equal(wv_key_derive(&s), 0);
		assert_memory_equal(&s.public_key, &key, sizeof(key));
		assert_int_equal(wv_sign(&s, message, len, got), 0);
		assert_memory_equal(got, expected, sizeof(got));
		assert_int_equal(wv_sign_check(&key, message, len, expected), 0);
	}
}

static void sign_any_flipped_bit_is_refused(void **state _unused_)
{
	unsigned char message[] = "thirty two bytes to be signed...", signature[WV_SIGNATURE_SIZE];
	struct wv_secret_key s;
	unsigned bit;

	key_one(&s);
	assert_int_equal(wv_sign(&s, message, 32, signature), 0);
	for (bit = 0; bit < 8 * WV_SIGNATURE_SIZE; bit++) {
		signature[bit / 8] ^= (unsigned char)(1U << (bit % 8));
		assert_int_equal(wv_sign_check(&s.public_key, message, 32, signature), -EBADMSG);
		signature[bit / 8] ^= (unsigned char)(1U << (bit % 8));
	}
	for (bit = 0; bit < 8 * 32; bit++) {
		message[bit / 8] ^= (unsigned char)(1U << (bit % 8));
		assert_int_equal(wv_sign_check(&s.public_key, message, 32, signature), -EBADMSG);
		message[bit / 8] ^= (unsigned char)(1U << (bit % 8));
	}
	assert_int_equal(wv_sign_check(&s.public_key, message, 31, signature), -EBADMSG);
	assert_int_equal(wv_sign_check(&s.public_key, message, 32, signature), 0);
}

static void key_pem_comes_back(void **state _unused_)
{
	_cleanup_free_ char *secret = NULL, *public = NULL;
	struct wv_secret_key s, again;
	struct wv_public_key p;

	assert_int_equal(wv_key_generate(&wv_io_system, &s), 0);
	assert_int_equal(wv_key_to_pem(&s, &secret, &public), 0);
	assert_int_equal(strncmp(secret, "-----BEGIN PRIVATE KEY-----\n", 28), 0);
	assert_int_equal(wv_secret_key_from_pem(secret, &again), 0);
	assert_memory_equal(&s, &again, sizeof(s));
	assert_int_equal(wv_public_key_from_pem(public, &p), 0);
	assert_memory_equal(&s.public_key, &p, sizeof(p));
	/* the one is not taken for the other */
	assert_int_equal(wv_secret_key_from_pem(public, &again), -EINVAL);
	assert_int_equal(wv_public_key_from_pem(secret, &p), -EINVAL);
}

static void key_pem_of_another_kind_is_refused(void **state _unused_)
{
	/* X25519: the same 32 bytes, another use */
	static const char x25519[] =
		"-----BEGIN PRIVATE KEY-----\n"
		"MC4CAQAwBQYDK2VuBCIEIHBgOHeKnUUDzMJVE3ipAGvkVaMUXz+Ul2CkPXjU7WJ+\n"
		"-----END PRIVATE KEY-----\n";
	struct wv_secret_key s, before;

	memset(&s, 0x5a, sizeof(s));
	before = s;
	assert_int_equal(wv_secret_key_from_pem(x25519, &s), -EINVAL);
	assert_int_equal(wv_secret_key_from_pem("", &s), -EINVAL);
	assert_int_equal(wv_secret_key_from_pem("no key", &s), -EINVAL);
	assert_memory_equal(&s, &before, sizeof(s));
}

static void key_wiped_is_gone(void **state _unused_)
{
	static const struct wv_secret_key zero;
	struct wv_secret_key s;

	key_one(&s);
	wv_secret_key_wipe(&s);
	assert_memory_equal(&s, &zero, sizeof(s));
}

/* written by minisign 0.11 with -t tc, over one byte */
#define MINISIGN_KEY                                                                               \
	"untrusted comment: minisign public key F156276AAD4D7534\n"                                \
	"RWQ0dU2taidW8bF72l928OEMKb5oJhIQ/DrWZuVI7FkMCktEPhpznara\n"
#define MINISIGN_SIGNATURE                                                                         \
	"untrusted comment: signature from minisign secret key\n"                                  \
	"RUQ0dU2taidW8auSdGPYoi7b3U825rWPxAdyxJg8+"                                                \
	"ni49xpzSPniYty13piAhvgfXOgTlinX1PnpbVbV1xstSLFdSN"                                        \
	"QmF6f7OgQ=\n"                                                                             \
	"trusted comment: tc\n"                                                                    \
	"wPY7ya6YBCstNtX1qjTp7x7c+LIA/F1RKTrCp/"                                                   \
	"L9+jslqVa8ifF06P7ePoKTiIbqZwvqivKOh5uDekEjPI2ODw==\n"

static void minisign_file_of_the_tool_is_accepted(void **state _unused_)
{
	unsigned char id[8], expected[8] = {0x34, 0x75, 0x4d, 0xad, 0x6a, 0x27, 0x56, 0xf1};
	_cleanup_free_ char *text = NULL;
	struct wv_public_key key;

	assert_int_equal(wv_minisign_parse_public(MINISIGN_KEY, &key, id), 0);
	assert_memory_equal(id, expected, sizeof(id));
	assert_int_equal(wv_minisign_check(&key, "x", 1, MINISIGN_SIGNATURE), 0);
	assert_int_equal(wv_minisign_check(&key, "y", 1, MINISIGN_SIGNATURE), -EBADMSG);
	assert_int_equal(wv_minisign_public(&key, id, &text), 0);
	assert_string_equal(text, MINISIGN_KEY);
}

/* Everything but the untrusted comment is signed: no other character may change. */
static void minisign_any_changed_character_is_refused(void **state _unused_)
{
	static const char original[] = MINISIGN_SIGNATURE;
	const char *signed_part = strchr(original, '\n') + 1;
	char text[sizeof(original)];
	struct wv_public_key key;
	unsigned char id[8];
	size_t i, n = 0;

	assert_int_equal(wv_minisign_parse_public(MINISIGN_KEY, &key, id), 0);
	for (i = (size_t)(signed_part - original); i < strlen(original) - 1; i++, n++) {
		memcpy(text, original, sizeof(text));
		text[i] ^= 1;
		/* the id tells which key to try; it is not part of what is signed */
		if (i - (size_t)(signed_part - original) < 14)
			continue;
		assert_int_equal(wv_minisign_check(&key, "x", 1, text), -EBADMSG);
	}
	assert_true(n > 200);
	memcpy(text, original, sizeof(text));
	text[10] = '!';
	assert_int_equal(wv_minisign_check(&key, "x", 1, text), -EBADMSG);
	for (i = 0; i < strlen(original) - 1; i++) {
		memcpy(text, original, sizeof(text));
		text[i] = '\0';
		assert_int_equal(wv_minisign_check(&key, "x", 1, text), -EBADMSG);
	}
}

static void minisign_own_signature_holds(void **state _unused_)
{
	static const unsigned char id[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	_cleanup_free_ char *text = NULL, *untouched = NULL;
	char message[1000];
	struct wv_secret_key s, other;

	key_one(&s);
	memset(message, 'm', sizeof(message));
	assert_int_equal(wv_minisign_sign(&s, id, message, sizeof(message), "what", &text), 0);
	assert_int_equal(wv_minisign_check(&s.public_key, message, sizeof(message), text), 0);
	assert_int_equal(wv_key_generate(&wv_io_system, &other), 0);
	assert_int_equal(wv_minisign_check(&other.public_key, message, sizeof(message), text),
			 -EBADMSG);
	assert_int_equal(wv_minisign_sign(&s, id, message, 3, "two\nlines", &untouched), -EINVAL);
	assert_null(untouched);
}

static struct wv_paths paths;

static int setup(void **state _unused_)
{
	char root[] = "/tmp/wv-sign-XXXXXX";

	wv_log_init(WV_LOG_TEXT, LOG_CRIT);
	return mkdtemp(root) ? wv_paths_init(&paths, root) : -1;
}

static int teardown(void **state _unused_)
{
	char command[WV_PATH_SIZE + 16];

	snprintf(command, sizeof(command), "rm -rf %s", paths.root);
	return system(command);
}

static void device_key_is_made_once(void **state _unused_)
{
	char name[WV_KEY_NAME_SIZE], again_name[WV_KEY_NAME_SIZE], file[WV_PATH_SIZE + 32];
	struct wv_secret_key s, again;
	struct stat st;

	assert_int_equal(wv_device_key(&wv_io_system, &paths, false, &s, name), -ENOENT);
	assert_int_equal(wv_device_key(&wv_io_system, &paths, true, &s, name), 0);
	assert_int_equal(strncmp(name, "waveos/", 7), 0);
	assert_int_equal(strspn(name + 7, "0123456789abcdef"), 16);
	assert_int_equal(strlen(name), 7 + 16);
	snprintf(file, sizeof(file), "%s/keys/device.pem", paths.state);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(wv_device_key(&wv_io_system, &paths, true, &again, again_name), 0);
	assert_memory_equal(&s, &again, sizeof(s));
	assert_string_equal(name, again_name);
	assert_int_equal(wv_device_key(&wv_io_system, &paths, false, &again, again_name), 0);
	assert_memory_equal(&s, &again, sizeof(s));
}

static void device_key_that_is_none_is_not_replaced(void **state _unused_)
{
	char name[WV_KEY_NAME_SIZE] = "untouched", file[WV_PATH_SIZE + 32], text[16] = "";
	struct wv_secret_key s;
	FILE *f;

	assert_int_equal(wv_device_key(&wv_io_system, &paths, true, &s, name), 0);
	snprintf(file, sizeof(file), "%s/keys/device.pem", paths.state);
	f = fopen(file, "w");
	assert_non_null(f);
	fputs("rubbish", f);
	fclose(f);
	assert_int_equal(wv_device_key(&wv_io_system, &paths, true, &s, name), -EINVAL);
	f = fopen(file, "r");
	assert_non_null(f);
	assert_int_equal(fread(text, 1, sizeof(text) - 1, f), 7);
	fclose(f);
	assert_string_equal(text, "rubbish");
}

static int no_random(void *ctx _unused_, void *buf _unused_, size_t len _unused_)
{
	return -EIO;
}

static void device_key_without_random_is_not_made(void **state _unused_)
{
	struct wv_io io = wv_io_system;
	char name[WV_KEY_NAME_SIZE];
	struct wv_secret_key s;

	io.random = no_random;
	assert_int_equal(wv_device_key(&io, &paths, true, &s, name), -EIO);
	assert_int_equal(wv_device_key(&wv_io_system, &paths, false, &s, name), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sign_published_vectors_match),
		cmocka_unit_test(sign_any_flipped_bit_is_refused),
		cmocka_unit_test(key_pem_comes_back),
		cmocka_unit_test(key_pem_of_another_kind_is_refused),
		cmocka_unit_test(key_wiped_is_gone),
		cmocka_unit_test(minisign_file_of_the_tool_is_accepted),
		cmocka_unit_test(minisign_any_changed_character_is_refused),
		cmocka_unit_test(minisign_own_signature_holds),
		cmocka_unit_test_setup_teardown(device_key_is_made_once, setup, teardown),
		cmocka_unit_test_setup_teardown(device_key_that_is_none_is_not_replaced, setup,
						teardown),
		cmocka_unit_test_setup_teardown(device_key_without_random_is_not_made, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
