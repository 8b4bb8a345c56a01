// SPDX-License-Identifier: GPL-2.0-only
/* Quotes: one that swtpm made, and what differs from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <openssl/sha.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/quote.h"

static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
			  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETXWnlRauCW/Gjo25UVg/8OKUZRlK\n"
			  "lFooC0ZQaVXP8XZikxFGysJcaDlkBbeQ1LEuGTPUlcZg8eyQzuo4NahpEA==\n"
			  "-----END PUBLIC KEY-----\n";
static const char checkpoint[] = "waveos/64fb417cb72747d1\n"
				 "1\n"
				 "Fl45lMTEtdSXtvFwq6YDhVDYRaTAnfIs13Hc1FeXPTw=\n";
static const unsigned char message[] =
	"\xff\x54\x43\x47\x80\x18\x00\x22\x00\x0b\x80\xab\x48\x4b\x61\xa4"
	"\x65\xdb\x27\x3d\xa6\x7f\xd7\xb4\x12\x05\xce\x3a\x0d\x79\x80\x1b"
	"\xd4\xc2\x29\x49\x41\xa7\x29\xbe\x62\x97\x00\x20\x01\xdf\x6d\x86"
	"\xb4\xa0\xa8\xde\xdc\x50\x08\xb1\x90\x28\xb5\x73\xbb\xf8\xde\xd9"
	"\x74\x24\x0b\x88\xc3\x68\xc7\x60\x34\xc1\x1c\xf1\x00\x00\x00\x00"
	"\x00\x00\x03\xff\x00\x00\x00\x01\x00\x00\x00\x00\x01\x20\x19\x10"
	"\x23\x00\x16\x36\x36\x00\x00\x00\x01\x00\x0b\x03\x00\x00\x80\x00"
	"\x20\x09\xeb\x8e\xd6\xaa\x87\x9a\x8f\x21\xa2\x51\xce\x68\x20\x7c"
	"\x58\xb7\xac\x29\x05\x6c\x66\x32\xc8\x6f\x1a\x55\xe0\xaf\x48\x9c"
	"\xa5";
static const unsigned char signature[] =
	"\x00\x18\x00\x0b\x00\x20\x72\x55\x17\x03\xef\x4c\x80\x9e\x70\x3d"
	"\x40\x52\xa8\xac\xaf\x61\xe9\x76\x12\x6b\x78\xfc\x7f\xbb\x43\x74"
	"\x10\x3e\x93\x70\xbb\xd5\x00\x20\xaa\x02\x28\xc7\xa5\xe8\x28\x67"
	"\x3d\x35\x89\x9f\x2c\xfe\x0b\xbd\x3d\x07\x76\xf8\x2f\x50\x9a\xe1"
	"\x6b\x54\x09\x04\x97\x56\xf2\xa0";
#define MESSAGE (sizeof(message) - 1)
#define SIGNATURE (sizeof(signature) - 1)

static EVP_PKEY *key;

static int read_key(void **state)
{
	(void)state;
	return wv_quote_key(pem, &key);
}

static int free_key(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	return 0;
}

static void quote_of_a_tpm_is_read(void **state)
{
	struct wv_quote_chain chain = {.begun = false};
	struct wv_hash digest;
	struct wv_quote q;

	(void)state;
	assert_int_equal(wv_quote_check(key, message, MESSAGE, signature, SIGNATURE), 0);
	assert_int_equal(wv_quote_parse(message, MESSAGE, &q), 0);
	SHA256((const unsigned char *)checkpoint, strlen(checkpoint), digest.bytes);
	assert_memory_equal(&q.qualifying, &digest, sizeof(digest));
	assert_int_equal(q.pcr, 23);
	assert_int_equal(q.clock_ms, 1023);
	assert_int_equal(q.resets, 1);
	/* the first anchor after the TPM started: its PCR was zero */
	assert_null(wv_quote_follow(&chain, &q));
	assert_true(chain.known);
}

static void quote_with_one_bit_changed_does_not_hold(void **state)
{
	unsigned char bent[MESSAGE], wrong[SIGNATURE];

	(void)state;
	for (size_t i = 0; i < MESSAGE; i++) {
		memcpy(bent, message, MESSAGE);
		bent[i] ^= 1;
		assert_int_equal(wv_quote_check(key, bent, MESSAGE, signature, SIGNATURE),
				 -EBADMSG);
	}
	for (size_t i = 0; i < SIGNATURE; i++) {
		memcpy(wrong, signature, SIGNATURE);
		wrong[i] ^= 1;
		assert_int_not_equal(wv_quote_check(key, message, MESSAGE, wrong, SIGNATURE), 0);
	}
}

static void quote_that_is_cut_or_longer_is_none(void **state)
{
	unsigned char longer[MESSAGE + 1] = {0};
	struct wv_quote q;

	(void)state;
	for (size_t n = 0; n < MESSAGE; n++)
		assert_int_equal(wv_quote_parse(message, n, &q), -EPROTO);
	memcpy(longer, message, MESSAGE);
	assert_int_equal(wv_quote_parse(longer, sizeof(longer), &q), -EPROTO);
	for (size_t n = 0; n < SIGNATURE; n++)
		assert_int_equal(wv_quote_check(key, message, MESSAGE, signature, n), -EPROTO);
}

/* What a TPM would say after it extended the PCR of the chain by a digest. */
static struct wv_quote next(struct wv_hash *pcr, unsigned char digest, uint64_t clock_ms,
			    uint32_t resets)
{
	struct wv_quote q = {.pcr = 23, .clock_ms = clock_ms, .resets = resets};
	unsigned char both[2 * WV_HASH_SIZE];

	memset(q.qualifying.bytes, digest, WV_HASH_SIZE);
	memcpy(both, pcr->bytes, WV_HASH_SIZE);
	memcpy(both + WV_HASH_SIZE, q.qualifying.bytes, WV_HASH_SIZE);
	SHA256(both, sizeof(both), pcr->bytes);
	SHA256(pcr->bytes, WV_HASH_SIZE, q.pcr_digest.bytes);
	return q;
}

static void chain_that_misses_an_anchor_is_seen(void **state)
{
	struct wv_quote_chain chain = {.begun = false};
	struct wv_hash pcr = {.bytes = {0}};
	struct wv_quote q;

	(void)state;
	q = next(&pcr, 1, 10, 5);
	assert_null(wv_quote_follow(&chain, &q));
	q = next(&pcr, 2, 20, 5);
	assert_null(wv_quote_follow(&chain, &q));
	(void)next(&pcr, 3, 30, 5); /* is left out */
	q = next(&pcr, 4, 40, 5);
	assert_non_null(wv_quote_follow(&chain, &q));
	/* from zero, which it is after a start only */
	memset(&pcr, 0, sizeof(pcr));
	q = next(&pcr, 5, 50, 6);
	assert_null(wv_quote_follow(&chain, &q));
	memset(&pcr, 0, sizeof(pcr));
	q = next(&pcr, 6, 60, 6);
	assert_non_null(wv_quote_follow(&chain, &q));
}

static void chain_whose_clock_or_counts_go_back_is_seen(void **state)
{
	struct wv_quote_chain chain = {.begun = false};
	struct wv_hash pcr = {.bytes = {0}};
	struct wv_quote q;

	(void)state;
	q = next(&pcr, 1, 30, 5);
	assert_null(wv_quote_follow(&chain, &q));
	q = next(&pcr, 2, 20, 5);
	assert_non_null(wv_quote_follow(&chain, &q));
	memset(&pcr, 0, sizeof(pcr));
	q = next(&pcr, 3, 40, 4);
	assert_non_null(wv_quote_follow(&chain, &q));
}

static void key_of_another_kind_is_refused(void **state)
{
	EVP_PKEY *none = NULL;

	(void)state;
	assert_int_equal(wv_quote_key("", &none), -EINVAL);
	/* Ed25519, of RFC 8410 */
	assert_int_equal(
		wv_quote_key("-----BEGIN PUBLIC KEY-----\n"
			     "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
			     "-----END PUBLIC KEY-----\n",
			     &none),
		-EINVAL);
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quote_of_a_tpm_is_read),
		cmocka_unit_test(quote_with_one_bit_changed_does_not_hold),
		cmocka_unit_test(quote_that_is_cut_or_longer_is_none),
		cmocka_unit_test(chain_that_misses_an_anchor_is_seen),
		cmocka_unit_test(chain_whose_clock_or_counts_go_back_is_seen),
		cmocka_unit_test(key_of_another_kind_is_refused),
	};

	return cmocka_run_group_tests_name("quote", tests, read_key, free_key);
}
