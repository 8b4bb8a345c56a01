// SPDX-License-Identifier: GPL-2.0-only
/* Content negotiation: which format and encoding a client prefers (RFC 9110, 12.5). */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "user/export/web_answer.h"

/* One element of a comma-separated list: its name and its weight in thousandths. */
struct choice {
	char name[64];
	unsigned q;
};

static unsigned parse_weight(const char *s, size_t len)
{
	unsigned q = 0, unit = 1000;

	if (!len || (*s != '0' && *s != '1'))
		return 1000;
	q = *s == '1' ? 1000 : 0;
	if (len > 1 && s[1] == '.' && !q)
		for (size_t i = 2; i < len && i < 5 && isdigit((unsigned char)s[i]); i++)
			q += (unsigned)(s[i] - '0') * (unit /= 10);
	return q;
}

/* Takes the next element off *p; false at the end. */
static bool next_choice(const char **p, struct choice *ret)
{
	const char *s = *p + strspn(*p, ", \t");
	size_t len = strcspn(s, ","), name = strcspn(s, ",; \t");

	if (!len)
		return false;
	*ret = (struct choice){.q = 1000};
	memcpy(ret->name, s, name < sizeof(ret->name) ? name : sizeof(ret->name) - 1);
	for (const char *at = s; (at = memchr(at, ';', (size_t)(s + len - at)));) {
		at++;
		while (at < s + len && (*at == ' ' || *at == '\t'))
			at++;
		if (at + 2 < s + len && (*at == 'q' || *at == 'Q') && at[1] == '=')
			ret->q = parse_weight(at + 2, (size_t)(s + len - at - 2));
	}
	*p = s + len;
	return true;
}

enum wv_metrics_format wv_web_negotiate(const char *accept)
{
	unsigned open = 0, text = 0;
	struct choice c;

	while (accept && next_choice(&accept, &c)) {
		if (strcasecmp(c.name, "application/openmetrics-text") == 0 && c.q > open)
			open = c.q;
		else if (strcasecmp(c.name, "text/plain") == 0 && c.q > text)
			text = c.q;
	}
	return open && open >= text ? WV_METRICS_OPENMETRICS : WV_METRICS_TEXT;
}

bool wv_web_accepts_gzip(const char *accept_encoding)
{
	struct choice c;

	while (accept_encoding && next_choice(&accept_encoding, &c))
		if (strcasecmp(c.name, "gzip") == 0)
			return c.q > 0;
	return false;
}
