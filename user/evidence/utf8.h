/* SPDX-License-Identifier: GPL-2.0-only */
/* UTF-8 as RFC 3629 allows it: no overlong forms, no surrogates, nothing over U+10FFFF. */
#ifndef WV_EVIDENCE_UTF8_H
#define WV_EVIDENCE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at s (1 to 4), 0 if there is none that is valid. ret MAY be NULL. */
unsigned wv_utf8_next(const char *s, size_t len, uint32_t *ret);
bool wv_utf8_valid(const char *s, size_t len);
/* Valid and without white space of any script. */
bool wv_utf8_is_word(const char *s, size_t len);

#endif
