// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/sha256.h"

#include <openssl/evp.h>
#include <stdio.h>

static void fail(struct wv_sha256 *s)
{
	EVP_MD_CTX_free(s->ctx);
	s->ctx = NULL;
}

void wv_sha256_init(struct wv_sha256 *s)
{
	s->ctx = EVP_MD_CTX_new();
	if (s->ctx && EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1)
		fail(s);
}

void wv_sha256_add(struct wv_sha256 *s, const void *data, size_t len)
{
	if (s->ctx && EVP_DigestUpdate(s->ctx, data, len) != 1)
		fail(s);
}

void wv_sha256_end(struct wv_sha256 *s, char ret[WV_SHA256_HEX])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	ret[0] = '\0';
	if (s->ctx && EVP_DigestFinal_ex(s->ctx, md, &len) == 1)
		for (unsigned i = 0; i < len && i < (WV_SHA256_HEX - 1) / 2; i++)
			snprintf(ret + 2 * (size_t)i, 3, "%02x", md[i]);
	fail(s);
}

void wv_sha256_hex(const void *data, size_t len, char ret[WV_SHA256_HEX])
{
	struct wv_sha256 s;

	wv_sha256_init(&s);
	wv_sha256_add(&s, data, len);
	wv_sha256_end(&s, ret);
}
