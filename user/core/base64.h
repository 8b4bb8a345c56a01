/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Base64 of RFC 4648, section 4, by OpenSSL, but strict: one text for one run of bytes, so that a
 * signed line cannot be written in a second way.
 */
#ifndef WV_CORE_BASE64_H
#define WV_CORE_BASE64_H

#include <stddef.h>
#include <sys/types.h>

/* Characters of n bytes in base64, padding included, without the terminating NUL. */
#define WV_BASE64_LENGTH(n) (((n) + 2) / 3 * 4)

/* ret holds WV_BASE64_LENGTH(len) + 1 bytes. len is at most 1 GiB. */
void wv_base64_encode(const void *bytes, size_t len, char *ret);
/*
 * Bytes of text[0..len-1], or -EINVAL for what is not base64 exactly as the encoder writes it
 * (white space, missing padding, set bits behind the last byte), -ENOBUFS if they exceed room.
 */
ssize_t wv_base64_decode(const char *text, size_t len, void *ret, size_t room);

#endif
