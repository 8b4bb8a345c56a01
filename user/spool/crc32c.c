// SPDX-License-Identifier: GPL-2.0-only
#include "user/spool/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78U /* reflected */

static uint32_t table[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
		table[i] = c;
	}
}

uint32_t wv_crc32c_table(uint32_t crc, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	(void)pthread_once(&once, make_table);
	crc = ~crc;
	while (len--)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)
/* 8 bytes in 3 cycles: some 8 GB/s, far above the disk */
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *p,
								 size_t len)
{
	uint64_t c = ~crc, word;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		c = __builtin_ia32_crc32di(c, word);
	}
	for (; len; p++, len--)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p);
	return ~(uint32_t)c;
}

uint32_t wv_crc32c(uint32_t crc, const void *buf, size_t len)
{
	return __builtin_cpu_supports("sse4.2") ? by_instruction(crc, buf, len)
						: wv_crc32c_table(crc, buf, len);
}
#else
uint32_t wv_crc32c(uint32_t crc, const void *buf, size_t len)
{
	return wv_crc32c_table(crc, buf, len);
}
#endif
