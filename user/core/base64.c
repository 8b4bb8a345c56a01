// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/base64.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

void wv_base64_encode(const void *bytes, size_t len, char *ret)
{
	EVP_EncodeBlock((unsigned char *)ret, bytes, (int)len);
}

/* One group of four. OpenSSL's decoder is lenient, so its answer is encoded again and compared. */
static int decode_group(const char *text, unsigned padding, unsigned char ret[3])
{
	unsigned char again[5];

	if (memchr(text, '=', 4 - padding) ||
	    EVP_DecodeBlock(ret, (const unsigned char *)text, 4) != 3)
		return -EINVAL;
	EVP_EncodeBlock(again, ret, 3 - (int)padding);
	return memcmp(again, text, 4) == 0 ? 0 : -EINVAL;
}

ssize_t wv_base64_decode(const char *text, size_t len, void *ret, size_t room)
{
	unsigned padding = 0, last;
	unsigned char *out = ret, group[3];
	size_t i, n;

	if (len % 4)
		return -EINVAL;
	if (!len)
		return 0;
	padding = text[len - 1] != '=' ? 0 : text[len - 2] != '=' ? 1 : 2;
	n = len / 4 * 3 - padding;
	if (n > room)
		return -ENOBUFS;
	for (i = 0; i < len; i += 4) {
		last = i + 4 == len ? padding : 0;
		if (decode_group(text + i, last, group) < 0)
			return -EINVAL;
		memcpy(out + i / 4 * 3, group, 3 - last);
	}
	return (ssize_t)n;
}
