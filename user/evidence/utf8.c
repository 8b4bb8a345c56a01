// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/utf8.h"

#include <string.h>

unsigned wv_utf8_next(const char *s, size_t len, uint32_t *ret)
{
	/* the smallest character that needs so many bytes */
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *u = (const unsigned char *)s;
	unsigned n, i;
	uint32_t c;

	if (!len)
		return 0;
	n = u[0] < 0x80	  ? 1
	    : u[0] < 0xc2 ? 0
	    : u[0] < 0xe0 ? 2
	    : u[0] < 0xf0 ? 3
	    : u[0] < 0xf5 ? 4
			  : 0;
	if (!n || n > len)
		return 0;
	c = n == 1 ? u[0] : u[0] & (0x7fU >> n);
	for (i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (u[i] & 0x3fU);
	}
	if (c < least[n] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		return 0;
	if (ret)
		*ret = c;
	return n;
}

bool wv_utf8_valid(const char *s, size_t len)
{
	uint64_t word;
	unsigned n;

	while (len) {
		/* eight bytes of ASCII at a time: most text is nothing else */
		if (len >= sizeof(word)) {
			memcpy(&word, s, sizeof(word));
			if (!(word & 0x8080808080808080ULL)) {
				s += sizeof(word);
				len -= sizeof(word);
				continue;
			}
		}
		n = wv_utf8_next(s, len, NULL);
		if (!n)
			return false;
		s += n;
		len -= n;
	}
	return true;
}

/* Unicode's White_Space */
static bool is_space(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
	       c == 0x205f || c == 0x3000;
}

bool wv_utf8_is_word(const char *s, size_t len)
{
	uint32_t c;
	unsigned n;

	for (; len; s += n, len -= n) {
		n = wv_utf8_next(s, len, &c);
		if (!n || c < 0x20 || is_space(c))
			return false;
	}
	return true;
}
