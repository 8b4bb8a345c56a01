// SPDX-License-Identifier: GPL-2.0-only
/* Content negotiation: which format and encoding a client prefers (RFC 9110, 12.5). */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "user/export/web_answer.h"

#define FAMILY "io.prometheus.client.MetricFamily"

/* One element of a comma-separated list: its name, its weight in thousandths, and parameters. */
struct choice {
	char name[64];
	unsigned q;
	bool family, delimited; /* proto=...MetricFamily, encoding=delimited */
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

static bool is_parameter(const char *at, const char *end, const char *want)
{
	size_t n = strlen(want);

	return (size_t)(end - at) >= n && strncasecmp(at, want, n) == 0 &&
	       (at + n == end || strchr("; \t", at[n]));
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
		ret->family |= is_parameter(at, s + len, "proto=" FAMILY);
		ret->delimited |= is_parameter(at, s + len, "encoding=delimited");
	}
	*p = s + len;
	return true;
}

/* The heaviest; at equal weights the richer one. A wildcard means plain text, unless that is named.
 */
enum wv_metrics_format wv_web_negotiate(const char *accept)
{
	unsigned q[WV_METRICS_FORMATS] = {0}, wildcard = 0;
	enum wv_metrics_format best = WV_METRICS_TEXT;
	bool names_text = false;
	struct choice c;

	while (accept && next_choice(&accept, &c)) {
		enum wv_metrics_format f = WV_METRICS_FORMATS;

		if (strcasecmp(c.name, "application/openmetrics-text") == 0)
			f = WV_METRICS_OPENMETRICS;
		else if (strcasecmp(c.name, "text/plain") == 0)
			f = WV_METRICS_TEXT;
		else if (strcasecmp(c.name, "application/vnd.google.protobuf") == 0 && c.family &&
			 c.delimited)
			f = WV_METRICS_PROTOBUF;
		else if ((strcmp(c.name, "*/*") == 0 || strcasecmp(c.name, "text/*") == 0) &&
			 c.q > wildcard)
			wildcard = c.q;
		names_text |= f == WV_METRICS_TEXT;
		if (f < WV_METRICS_FORMATS && c.q > q[f])
			q[f] = c.q;
	}
	if (!names_text)
		q[WV_METRICS_TEXT] = wildcard;
	for (unsigned f = WV_METRICS_OPENMETRICS; f < WV_METRICS_FORMATS; f++)
		if (q[f] && q[f] >= q[best])
			best = f;
	return best;
}

bool wv_web_accepts_gzip(const char *accept_encoding)
{
	struct choice c;

	while (accept_encoding && next_choice(&accept_encoding, &c))
		if (strcasecmp(c.name, "gzip") == 0)
			return c.q > 0;
	return false;
}
