/* SPDX-License-Identifier: GPL-2.0-only */
/* What the writer and the check of canonical JSON share. */
#ifndef WV_EVIDENCE_CANONICAL_FORM_H
#define WV_EVIDENCE_CANONICAL_FORM_H

#include <stddef.h>

/* containers in each other, in both directions */
#define WV_JSON_LEVELS 64
#define WV_NUMBER_SIZE 32

/* ECMAScript's Number::toString, which RFC 8785 writes doubles as. Length, or -EINVAL for NaN and
 * infinity. */
int wv_canonical_double(double v, char ret[WV_NUMBER_SIZE]);
/* Order of UTF-16 code units of two valid UTF-8 texts: <0, 0, >0. */
int wv_canonical_order(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
