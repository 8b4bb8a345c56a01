// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/term.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool wv_term_utf8(void)
{
	locale_t l = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	bool utf8;

	if (l == (locale_t)0)
		return false;
	utf8 = strcmp(nl_langinfo_l(CODESET, l), "UTF-8") == 0;
	freelocale(l);
	return utf8;
}

bool wv_term_color(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(no && no[0]) && term && term[0] && strcmp(term, "dumb") != 0 && isatty(fd);
}

const char *wv_mark(enum wv_mark m, bool utf8)
{
	/* check mark, tilde, ballot x */
	static const char *const marks[][2] = {
		[WV_MARK_OK] = {"ok", "\xe2\x9c\x93"},
		[WV_MARK_FALLBACK] = {"~", "~"},
		[WV_MARK_MISSING] = {"x", "\xe2\x9c\x97"},
	};

	return marks[m][utf8];
}
