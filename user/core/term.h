/* SPDX-License-Identifier: GPL-2.0-only */
/* What the other end of a descriptor can show: marks and colours only where they are wanted. */
#ifndef WV_CORE_TERM_H
#define WV_CORE_TERM_H

#include <stdbool.h>

/* Whether the locale of the environment (LC_ALL, LC_CTYPE, LANG) is UTF-8. The process's own locale
 * is not changed. */
bool wv_term_utf8(void);
/* Whether fd is a terminal that takes colours: not with NO_COLOR set (no-color.org), not with
 * TERM=dumb or none. */
bool wv_term_color(int fd);

/* Marks of doctor and of the pre-flight. Static text. */
enum wv_mark { WV_MARK_OK, WV_MARK_FALLBACK, WV_MARK_MISSING };
const char *wv_mark(enum wv_mark m, bool utf8);

#endif
