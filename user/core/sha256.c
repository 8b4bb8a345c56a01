// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/sha256.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

/* First 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2};

static inline uint32_t rotate(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

/* The message schedule is kept as its last 16 words: w[i] replaces w[i - 16]. */
static inline uint32_t schedule(uint32_t w[16], unsigned i)
{
	uint32_t a = w[(i + 1) & 15], b = w[(i + 14) & 15];

	w[i & 15] += (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[(i + 9) & 15] +
		     (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	return w[i & 15];
}

static void compress(uint32_t h[8], const uint8_t block[64])
{
	uint32_t w[16], s[8], t;

	memcpy(w, block, sizeof(w));
	memcpy(s, h, sizeof(s));
	for (unsigned i = 0; i < 16; i++)
		w[i] = be32toh(w[i]);
	for (unsigned i = 0; i < 64; i++) {
		t = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
		    ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + (i < 16 ? w[i] : schedule(w, i));
		s[7] = s[6];
		s[6] = s[5];
		s[5] = s[4];
		s[4] = s[3] + t;
		t += (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
		     ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		s[3] = s[2];
		s[2] = s[1];
		s[1] = s[0];
		s[0] = t;
	}
	for (unsigned i = 0; i < 8; i++)
		h[i] += s[i];
}

void wv_sha256_init(struct wv_sha256 *s)
{
	*s = (struct wv_sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
				      0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void wv_sha256_add(struct wv_sha256 *s, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t have = s->bytes % sizeof(s->block), n;

	s->bytes += len;
	while (len) {
		if (!have && len >= sizeof(s->block)) {
			compress(s->h, p);
			n = sizeof(s->block);
		} else {
			n = sizeof(s->block) - have;
			n = n < len ? n : len;
			memcpy(s->block + have, p, n);
			have += n;
			if (have == sizeof(s->block)) {
				compress(s->h, s->block);
				have = 0;
			}
		}
		p += n;
		len -= n;
	}
}

void wv_sha256_end(struct wv_sha256 *s, char ret[WV_SHA256_HEX])
{
	/* a one bit, zeros up to the length, which ends a block */
	static const uint8_t pad[64] = {0x80};
	uint64_t bits = htobe64(s->bytes * 8);

	wv_sha256_add(s, pad, 1 + (119 - s->bytes % 64) % 64);
	wv_sha256_add(s, &bits, sizeof(bits));
	for (unsigned i = 0; i < 8; i++)
		snprintf(ret + 8 * (size_t)i, 9, "%08x", s->h[i]);
}

void wv_sha256_hex(const void *data, size_t len, char ret[WV_SHA256_HEX])
{
	struct wv_sha256 s;

	wv_sha256_init(&s);
	wv_sha256_add(&s, data, len);
	wv_sha256_end(&s, ret);
}
