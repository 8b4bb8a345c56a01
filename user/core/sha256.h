/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SHA-256 (FIPS 180-4), for names of content: no secrets, so time need not be constant. The agent
 * needs nothing else of a cryptographic library, and libcrypto would cost each of its three
 * processes half a megabyte of relocated tables and heap, and every start four milliseconds.
 */
#ifndef WV_CORE_SHA256_H
#define WV_CORE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define WV_SHA256_HEX 65

struct wv_sha256 {
	uint32_t h[8];
	uint64_t bytes; /* taken so far */
	uint8_t block[64];
};

void wv_sha256_init(struct wv_sha256 *s);
void wv_sha256_add(struct wv_sha256 *s, const void *data, size_t len);
/* Lower-case hex of all that was added; s must be initialised before it is used again. */
void wv_sha256_end(struct wv_sha256 *s, char ret[WV_SHA256_HEX]);
/* All at once. */
void wv_sha256_hex(const void *data, size_t len, char ret[WV_SHA256_HEX]);

#endif
