// SPDX-License-Identifier: GPL-2.0-only
#include "user/spool/syslog.h"

#include <errno.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/spool/frame.h"

/* RFC 5424 section 6 */
#define HOST_MAX 255
#define APP_MAX 48
#define PROCID_MAX 128
#define MSGID_MAX 32
#define SD_NAME_MAX 32
/* RFC 3164 says 32; programs have longer names */
#define TAG_MAX 64
#define NS 1000000000ULL

const char *const wv_syslog_facilities[24] = {
	"kern",	  "user",   "mail",	"daemon", "auth",   "syslog", "lpr",	"news",
	"uucp",	  "cron",   "authpriv", "ftp",	  "ntp",    "audit",  "alert",	"clock",
	"local0", "local1", "local2",	"local3", "local4", "local5", "local6", "local7"};
const char *const wv_syslog_severities[8] = {"emerg",	"alert",  "crit", "err",
					     "warning", "notice", "info", "debug"};

/* What is left of the message. */
struct cursor {
	const char *p, *end;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool take(struct cursor *c, char want)
{
	if (c->p == c->end || *c->p != want)
		return false;
	c->p++;
	return true;
}

/* Exactly n digits. */
static bool number(struct cursor *c, int n, unsigned *ret)
{
	unsigned v = 0;

	if (c->end - c->p < n)
		return false;
	for (int i = 0; i < n; i++) {
		if (!is_digit(c->p[i]))
			return false;
		v = v * 10 + (unsigned)(c->p[i] - '0');
	}
	c->p += n;
	*ret = v;
	return true;
}

/* <0> to <191>, no leading zeros */
static bool priority(struct cursor *c, struct wv_syslog *m)
{
	const char *start;
	unsigned v = 0;

	if (!take(c, '<'))
		return false;
	start = c->p;
	while (c->p < c->end && c->p - start < 3 && is_digit(*c->p))
		v = v * 10 + (unsigned)(*c->p++ - '0');
	if (c->p == start || (*start == '0' && c->p - start > 1) || v > 191 || !take(c, '>'))
		return false;
	m->facility = (uint8_t)(v / 8);
	m->severity = (uint8_t)(v % 8);
	return true;
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar. */
static int64_t days(unsigned y, unsigned m, unsigned d)
{
	uint64_t year = y - (m <= 2), era = year / 400, of_era = year - era * 400;
	uint64_t of_year = (153 * (m + (m > 2 ? -3U : 9U)) + 2) / 5 + d - 1;

	return (int64_t)(era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year) -
	       719468;
}

static bool is_date(unsigned y, unsigned m, unsigned d)
{
	static const unsigned char length[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (m < 1 || m > 12 || d < 1 || d > length[m - 1])
		return false;
	return m != 2 || d < 29 || (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0));
}

static bool to_ns(int64_t day, unsigned h, unsigned min, unsigned s, int64_t offset_s,
		  uint64_t *ret)
{
	int64_t t = day * 86400 + h * 3600 + min * 60 + s - offset_s;

	if (h > 23 || min > 59 || s > 59 || t < 0 || t > 17179869184) /* year 2514 */
		return false;
	*ret = (uint64_t)t * NS;
	return true;
}

/* RFC 5424 section 6.2.3; also with more than six digits of a second, as some send nanoseconds */
static bool iso_time(struct cursor *c, uint64_t *ret)
{
	unsigned y, mon, d, h, min, s, oh = 0, om = 0;
	uint64_t part = 0, unit = NS / 10;
	int64_t offset;
	bool minus;

	if (!number(c, 4, &y) || !take(c, '-') || !number(c, 2, &mon) || !take(c, '-') ||
	    !number(c, 2, &d) || !take(c, 'T') || !number(c, 2, &h) || !take(c, ':') ||
	    !number(c, 2, &min) || !take(c, ':') || !number(c, 2, &s) || !is_date(y, mon, d) ||
	    y < 1970)
		return false;
	if (take(c, '.')) {
		const char *start = c->p;

		for (; c->p < c->end && is_digit(*c->p) && c->p - start < 9; c->p++, unit /= 10)
			part += (uint64_t)(*c->p - '0') * unit;
		if (c->p == start)
			return false;
	}
	if (!take(c, 'Z')) {
		minus = take(c, '-');
		if ((!minus && !take(c, '+')) || !number(c, 2, &oh) || !take(c, ':') ||
		    !number(c, 2, &om) || oh > 23 || om > 59)
			return false;
		offset = (int64_t)oh * 3600 + om * 60;
		if (!to_ns(days(y, mon, d), h, min, s, minus ? -offset : offset, ret))
			return false;
	} else if (!to_ns(days(y, mon, d), h, min, s, 0, ret)) {
		return false;
	}
	*ret += part;
	return true;
}

/* Printable ASCII up to a space or the end; "-" is empty. */
static bool field(struct cursor *c, size_t max, struct wv_slice *ret)
{
	const char *start = c->p;

	while (c->p<c->end && * c->p> ' ' && *c->p < 127)
		c->p++;
	if (c->p == start || (size_t)(c->p - start) > max)
		return false;
	*ret = (struct wv_slice){start, (size_t)(c->p - start)};
	if (ret->n == 1 && *start == '-')
		ret->n = 0;
	return true;
}

static bool sd_name(struct cursor *c, struct wv_slice *ret)
{
	const char *start = c->p;

	while (c->p<c->end && * c->p> ' ' && *c->p < 127 && *c->p != '=' && *c->p != ']' &&
	       *c->p != '"')
		c->p++;
	*ret = (struct wv_slice){start, (size_t)(c->p - start)};
	return ret->n > 0 && ret->n <= SD_NAME_MAX;
}

static bool sd_value(struct cursor *c, struct wv_slice *ret)
{
	const char *start;

	if (!take(c, '"'))
		return false;
	for (start = c->p; c->p < c->end && *c->p != '"'; c->p++) {
		if (*c->p == ']')
			return false;
		if (*c->p == '\\' && c->end - c->p > 1)
			c->p++;
	}
	*ret = (struct wv_slice){start, (size_t)(c->p - start)};
	return take(c, '"');
}

static bool structured_data(struct cursor *c, struct wv_slice *ret)
{
	const char *start = c->p;
	struct wv_slice ignored;

	if (take(c, '-')) {
		*ret = (struct wv_slice){start, 0};
		return true;
	}
	while (take(c, '[')) {
		if (!sd_name(c, &ignored))
			return false;
		while (take(c, ' '))
			if (!sd_name(c, &ignored) || !take(c, '=') || !sd_value(c, &ignored))
				return false;
		if (!take(c, ']'))
			return false;
	}
	*ret = (struct wv_slice){start, (size_t)(c->p - start)};
	return c->p > start;
}

bool wv_syslog_sd_next(struct wv_slice sd, size_t *pos, struct wv_slice *id, struct wv_slice *name,
		       struct wv_slice *value)
{
	struct cursor c = {sd.p + *pos, sd.p + sd.n};
	bool first = false;

	while (take(&c, ']'))
		;
	if (take(&c, '[')) {
		if (!sd_name(&c, id))
			return false;
		first = true;
	}
	if (take(&c, ' ')) {
		if (!sd_name(&c, name) || !take(&c, '=') || !sd_value(&c, value))
			return false;
	} else if (first) {
		*name = *value = (struct wv_slice){c.p, 0};
	} else {
		return false;
	}
	*pos = (size_t)(c.p - sd.p);
	return true;
}

static bool parse_5424(struct cursor c, struct wv_syslog *m)
{
	if (!take(&c, '1') || !take(&c, ' '))
		return false;
	m->has_time = !(c.end - c.p > 1 && c.p[0] == '-' && c.p[1] == ' ');
	if (m->has_time ? !iso_time(&c, &m->time_ns) : !take(&c, '-'))
		return false;
	if (!take(&c, ' ') || !field(&c, HOST_MAX, &m->host) || !take(&c, ' ') ||
	    !field(&c, APP_MAX, &m->app) || !take(&c, ' ') || !field(&c, PROCID_MAX, &m->procid) ||
	    !take(&c, ' ') || !field(&c, MSGID_MAX, &m->msgid) || !take(&c, ' ') ||
	    !structured_data(&c, &m->sd))
		return false;
	if (c.p < c.end && !take(&c, ' '))
		return false;
	if (c.end - c.p >= 3 && memcmp(c.p, "\xef\xbb\xbf", 3) == 0)
		c.p += 3;
	m->msg = (struct wv_slice){c.p, (size_t)(c.end - c.p)};
	m->rfc5424 = true;
	return true;
}

/* "Oct 11 22:14:15": the year that brings it nearest to when it was received */
static bool bsd_time(struct cursor *c, uint64_t received_ns, int32_t utc_offset_s, uint64_t *ret)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct cursor t = *c;
	unsigned mon = 0, d, h, min, s;
	uint64_t best = 0, far = UINT64_MAX;
	unsigned year = (unsigned)(1970 + received_ns / NS / 31556952);

	if (t.end - t.p < 15)
		return false;
	while (mon < 12 && memcmp(names + 3 * (size_t)mon, t.p, 3) != 0)
		mon++;
	t.p += 3;
	if (mon++ == 12 || !take(&t, ' '))
		return false;
	if (take(&t, ' ') ? !number(&t, 1, &d) : !number(&t, 2, &d))
		return false;
	if (!take(&t, ' ') || !number(&t, 2, &h) || !take(&t, ':') || !number(&t, 2, &min) ||
	    !take(&t, ':') || !number(&t, 2, &s))
		return false;
	for (unsigned y = year > 1970 ? year - 1 : 1970; y <= year + 1; y++) {
		uint64_t at, off;

		if (!is_date(y, mon, d) || !to_ns(days(y, mon, d), h, min, s, utc_offset_s, &at))
			continue;
		off = at > received_ns ? at - received_ns : received_ns - at;
		if (off < far) {
			far = off;
			best = at;
		}
	}
	if (far == UINT64_MAX)
		return false;
	*ret = best;
	*c = t;
	return true;
}

static bool is_tag(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' ||
	       c == '-' || c == '.' || c == '/' || c == '(' || c == ')';
}

/* "su[42]: " or "su: "; if there is none, all of it is text. */
static void tag(struct cursor *c, struct wv_syslog *m)
{
	struct cursor t = *c;
	struct wv_slice app, procid = {NULL, 0};

	while (t.p < t.end && is_tag(*t.p))
		t.p++;
	app = (struct wv_slice){c->p, (size_t)(t.p - c->p)};
	if (!app.n || app.n > TAG_MAX)
		return;
	if (take(&t, '[')) {
		const char *start = t.p;

		while (t.p<t.end && * t.p> ' ' && *t.p < 127 && *t.p != ']')
			t.p++;
		procid = (struct wv_slice){start, (size_t)(t.p - start)};
		if (procid.n > PROCID_MAX || !take(&t, ']'))
			return;
	}
	if (!take(&t, ':'))
		return;
	(void)take(&t, ' ');
	m->app = app;
	m->procid = procid;
	*c = t;
}

/* A host stands there unless the first word is a tag, which ends with a colon or has a "[". */
static void host(struct cursor *c, struct wv_syslog *m)
{
	struct cursor t = *c;
	struct wv_slice h;

	if (!field(&t, HOST_MAX, &h) || !h.n || h.p[h.n - 1] == ':' || memchr(h.p, '[', h.n) ||
	    !take(&t, ' '))
		return;
	m->host = h;
	*c = t;
}

static void parse_3164(struct cursor c, uint64_t received_ns, int32_t utc_offset_s,
		       struct wv_syslog *m)
{
	struct cursor t = c;

	if (bsd_time(&t, received_ns, utc_offset_s, &m->time_ns) || iso_time(&t, &m->time_ns)) {
		if (take(&t, ' ')) {
			m->has_time = true;
			c = t;
			host(&c, m);
		}
	}
	tag(&c, m);
	m->msg = (struct wv_slice){c.p, (size_t)(c.end - c.p)};
}

bool wv_syslog_parse(const char *text, size_t len, uint64_t received_ns, int32_t utc_offset_s,
		     struct wv_syslog *ret)
{
	struct cursor c = {text, text + len};
	struct wv_syslog m = {0}, blank;

	while (c.end > c.p && (c.end[-1] == '\n' || c.end[-1] == '\r' || c.end[-1] == '\0'))
		c.end--;
	if (!priority(&c, &m))
		return false;
	blank = m;
	if (!parse_5424(c, &m)) {
		/* it says that it is one, but it is not */
		if (c.end - c.p > 2 && c.p[0] == '1' && c.p[1] == ' ')
			return false;
		m = blank;
		parse_3164(c, received_ns, utc_offset_s, &m);
	}
	*ret = m;
	return true;
}

/* Streams --------------------------------------------------------------------------------------
 */

static int octets(const char *buf, size_t len, bool eof, struct wv_slice *ret, size_t *ret_used)
{
	size_t n = 0, i = 0;

	while (i < len && i < 7 && is_digit(buf[i]))
		n = n * 10 + (size_t)(buf[i++] - '0');
	if (i == len)
		return eof || i == 7 ? -EBADMSG : 0;
	if (i == 0 || buf[0] == '0' || buf[i] != ' ' || n > WV_SPOOL_RECORD_MAX)
		return -EBADMSG;
	if (len - i - 1 < n)
		return eof ? -EBADMSG : 0;
	*ret = (struct wv_slice){buf + i + 1, n};
	*ret_used = i + 1 + n;
	return 1;
}

int wv_framing_next(enum wv_framing framing, const char *buf, size_t len, bool eof,
		    struct wv_slice *ret, size_t *ret_used)
{
	const char *newline;

	if (!len)
		return 0;
	if (framing == WV_FRAMING_OCTET ||
	    (framing == WV_FRAMING_AUTO && buf[0] >= '1' && buf[0] <= '9'))
		return octets(buf, len, eof, ret, ret_used);
	newline = memchr(buf, '\n', len < WV_SPOOL_RECORD_MAX ? len : WV_SPOOL_RECORD_MAX);
	if (newline) {
		*ret = (struct wv_slice){buf, (size_t)(newline - buf)};
		*ret_used = ret->n + 1;
		return 1;
	}
	if (!eof && len < WV_SPOOL_RECORD_MAX)
		return 0;
	*ret = (struct wv_slice){buf, len < WV_SPOOL_RECORD_MAX ? len : WV_SPOOL_RECORD_MAX};
	*ret_used = ret->n;
	return 1;
}
