// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target. Two bytes of length, so many bytes of message, and what is left as a signature
 * of it. The key is that of the TPM that made the input `swtpm`: what holds by it must not hold
 * with a bit changed, and what is read says what the message does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/evidence/quote.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
			  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETXWnlRauCW/Gjo25UVg/8OKUZRlK\n"
			  "lFooC0ZQaVXP8XZikxFGysJcaDlkBbeQ1LEuGTPUlcZg8eyQzuo4NahpEA==\n"
			  "-----END PUBLIC KEY-----\n";

static void check(EVP_PKEY *key, unsigned char *message, size_t len, const unsigned char *signature,
		  size_t signature_len)
{
	if (wv_quote_check(key, message, len, signature, signature_len) != 0 || !len)
		return;
	message[len / 2] ^= 1;
	if (wv_quote_check(key, message, len, signature, signature_len) != -EBADMSG)
		abort();
	message[len / 2] ^= 1;
}

static void parse(const unsigned char *message, size_t n)
{
	struct wv_quote_chain chain = {.begun = false};
	struct wv_quote q;

	if (wv_quote_parse(message, n, &q) < 0)
		return;
	/* the last thing in it is the digest of the PCR */
	if (q.pcr >= 32 || memcmp(message + n - WV_HASH_SIZE, &q.pcr_digest, WV_HASH_SIZE) != 0 ||
	    wv_quote_follow(&chain, &q))
		abort();
	(void)wv_quote_follow(&chain, &q);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static EVP_PKEY *key;
	unsigned char *message;
	size_t n;

	if (!key && wv_quote_key(pem, &key) < 0)
		abort();
	if (len < 2)
		return 0;
	n = (size_t)bytes[0] << 8 | bytes[1];
	if (n > len - 2)
		n = len - 2;
	/* memory of its own size, so that a byte too far is seen */
	message = malloc(n ? n : 1);
	if (!message)
		abort();
	memcpy(message, bytes + 2, n);
	check(key, message, n, bytes + 2 + n, len - 2 - n);
	parse(message, n);
	free(message);
	return 0;
}
