// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/canonical_form.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* v > 0 is digits[0].digits[1]... * 10^exponent */
struct decimal {
	char digits[24];
	int n, exponent;
};

static double value_of(const struct decimal *d)
{
	char text[40];

	snprintf(text, sizeof(text), "%c.%.*se%d", d->digits[0], d->n - 1, d->digits + 1,
		 d->exponent);
	return strtod(text, NULL);
}

/* The nearest decimal of n digits, zeroes at the end left off. */
static void round_to(double v, int n, struct decimal *ret)
{
	char text[40];

	snprintf(text, sizeof(text), "%.*e", n - 1, v);
	ret->digits[0] = text[0];
	memcpy(ret->digits + 1, text + 2, (size_t)n - 1);
	ret->exponent = atoi(strchr(text, 'e') + 1);
	ret->n = n;
	while (ret->n > 1 && ret->digits[ret->n - 1] == '0')
		ret->n--;
}

/* The next decimal above of as many digits. Not for all nines: those are no powers of two. */
static void next_above(struct decimal *d)
{
	int i = d->n - 1;

	while (i > 0 && d->digits[i] == '9')
		d->digits[i--] = '0';
	d->digits[i]++;
}

/*
 * The shortest decimal that reads back as v, the nearest of them. Fifteen digits tell any two
 * normal doubles apart, so that a shorter one is found by leaving zeroes off.
 */
static void shortest(double v, struct decimal *ret)
{
	struct decimal above;
	int n = v < DBL_MIN ? 1 : DBL_DIG, exponent;

	for (; n < 17; n++) {
		round_to(v, n, ret);
		if (value_of(ret) == v)
			return;
		/* below a power of two doubles are denser, so that the nearest decimal, if it is
		 * below, may read as another one while the next above does not */
		if (frexp(v, &exponent) != 0.5)
			continue;
		above = *ret;
		while (above.n < n)
			above.digits[above.n++] = '0';
		next_above(&above);
		if (value_of(&above) == v) {
			*ret = above;
			return;
		}
	}
	round_to(v, 17, ret);
}

/* ECMA-262, section 6.1.6.1.20, with its names: k digits, value digits * 10^(n - k) */
static int write_decimal(const struct decimal *d, bool negative, char *to)
{
	int k = d->n, n = d->exponent + 1;
	const char *sign = negative ? "-" : "", *s = d->digits;

	if (k <= n && n <= 21)
		return sprintf(to, "%s%.*s%.*s", sign, k, s, n - k, "00000000000000000000");
	if (0 < n && n <= 21)
		return sprintf(to, "%s%.*s.%.*s", sign, n, s, k - n, s + n);
	if (-6 < n && n <= 0)
		return sprintf(to, "%s0.%.*s%.*s", sign, -n, "00000", k, s);
	if (k == 1)
		return sprintf(to, "%s%ce%+d", sign, s[0], n - 1);
	return sprintf(to, "%s%c.%.*se%+d", sign, s[0], k - 1, s + 1, n - 1);
}

int wv_canonical_double(double v, char ret[WV_NUMBER_SIZE])
{
	struct decimal d;

	if (!isfinite(v))
		return -EINVAL;
	if (v == 0) {
		memcpy(ret, "0", 2);
		return 1;
	}
	shortest(fabs(v), &d);
	return write_decimal(&d, v < 0, ret);
}

int wv_canonical_order(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t i, n = a_len < b_len ? a_len : b_len;
	unsigned char x, y;

	for (i = 0; i < n && a[i] == b[i]; i++)
		;
	if (i == n)
		return a_len < b_len ? -1 : a_len > b_len;
	x = (unsigned char)a[i];
	y = (unsigned char)b[i];
	/* UTF-8 sorts as code points do; UTF-16 has those of four bytes, as surrogates, in front of
	 * U+E000 to U+FFFF */
	if (x >= 0xee && y >= 0xee && (x >= 0xf0) != (y >= 0xf0))
		return x >= 0xf0 ? -1 : 1;
	return x < y ? -1 : 1;
}
