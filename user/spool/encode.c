// SPDX-License-Identifier: GPL-2.0-only
#include "user/spool/encode.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/spool/syslog.h"

#define LITERAL(t, s) wv_text_add((t), (s), sizeof(s) - 1)
#define OWN_NAME "waveos-spool"

size_t wv_rfc3339(uint64_t wall_ns, char ret[WV_TIME_SIZE])
{
	time_t s = (time_t)(wall_ns / 1000000000);
	struct tm tm;

	gmtime_r(&s, &tm);
	return (size_t)snprintf(ret, WV_TIME_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
				(unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_mon + 1,
				(unsigned)tm.tm_mday, (unsigned)tm.tm_hour, (unsigned)tm.tm_min,
				(unsigned)tm.tm_sec, (unsigned)(wall_ns % 1000000000 / 1000));
}

static void number(struct wv_text *t, uint64_t v)
{
	char buf[20];
	size_t i = sizeof(buf);

	do
		buf[--i] = (char)('0' + v % 10);
	while (v /= 10);
	wv_text_add(t, buf + i, sizeof(buf) - i);
}

/* Length of the UTF-8 sequence at s, 0 if it is none (Unicode 15 table 3-7). */
static size_t utf8(const unsigned char *s, size_t left)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	if (!n || n > left)
		return 0;
	low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : low;
	high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : high;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

#define EACH 0x0101010101010101ULL
#define HIGH 0x8080808080808080ULL

/* Bytes from s that need no escape, eight at a time: no control, quote, backslash, nor above 127.
 */
static size_t plain(const unsigned char *s, size_t len)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t w, quote, slash;

		memcpy(&w, s + i, 8);
		quote = w ^ EACH * '"';
		slash = w ^ EACH * '\\';
		if ((w | (w - EACH * 0x20) | ((quote - EACH) & ~quote) |
		     ((slash - EACH) & ~slash)) &
		    HIGH)
			break;
	}
	while (i < len && s[i] >= 0x20 && s[i] != '"' && s[i] != '\\' && s[i] < 0x80)
		i++;
	return i;
}

static void escape(struct wv_text *t, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	const char *short_form = c == '"'    ? "\\\""
				 : c == '\\' ? "\\\\"
				 : c == '\n' ? "\\n"
				 : c == '\t' ? "\\t"
				 : c == '\r' ? "\\r"
					     : NULL;
	char buf[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

	if (short_form)
		wv_text_add(t, short_form, 2);
	else
		wv_text_add(t, buf, sizeof(buf));
}

bool wv_json_text(struct wv_text *t, const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	bool foreign = false;

	while (len) {
		size_t n = plain(p, len);

		wv_text_add(t, (const char *)p, n);
		p += n;
		len -= n;
		if (!len)
			break;
		n = 1;
		if (*p < 0x80) {
			escape(t, *p);
		} else {
			n = utf8(p, len);
			wv_text_add(t, n ? (const char *)p : "\xef\xbf\xbd", n ?: 3);
			foreign |= !n;
			n = n ?: 1;
		}
		p += n;
		len -= n;
	}
	return foreign;
}

static void base64(struct wv_text *t, const char *s, size_t len)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)s;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0) |
			     (i + 2 < len ? p[i + 2] : 0);
		char out[4] = {digit[v >> 18], digit[v >> 12 & 63],
			       i + 1 < len ? digit[v >> 6 & 63] : '=',
			       i + 2 < len ? digit[v & 63] : '='};

		wv_text_add(t, out, 4);
	}
}

static void json_member(struct wv_text *t, const char *name, const char *s, size_t len)
{
	if (!len)
		return;
	LITERAL(t, "\",\"");
	wv_text_str(t, name);
	LITERAL(t, "\":\"");
	(void)wv_json_text(t, s, len);
}

/* A value as it was sent: \" \\ \] stand for the second character. */
static void sd_value(struct wv_text *t, struct wv_slice v)
{
	for (size_t i = 0, from = 0; i <= v.n; i++) {
		bool escaped = i + 1 < v.n && v.p[i] == '\\' &&
			       (v.p[i + 1] == '"' || v.p[i + 1] == '\\' || v.p[i + 1] == ']');

		if (i < v.n && !escaped)
			continue;
		(void)wv_json_text(t, v.p + from, i - from);
		from = i + 1;
		i += escaped;
	}
}

/* "structured_data":{"id":{"name":"value"}}; the quotes of the member before are still open. */
static void sd_object(struct wv_text *t, struct wv_slice sd)
{
	struct wv_slice id = {NULL, 0}, name, value;
	const char *open_id = NULL;
	size_t pos = 0;

	if (!sd.n)
		return;
	LITERAL(t, "\",\"structured_data\":{");
	while (wv_syslog_sd_next(sd, &pos, &id, &name, &value)) {
		if (id.p != open_id) {
			wv_text_str(t, open_id ? "},\"" : "\"");
			(void)wv_json_text(t, id.p, id.n);
			LITERAL(t, "\":{");
			open_id = id.p;
		} else {
			LITERAL(t, ",");
		}
		if (!name.n)
			continue;
		LITERAL(t, "\"");
		(void)wv_json_text(t, name.p, name.n);
		LITERAL(t, "\":\"");
		sd_value(t, value);
		LITERAL(t, "\"");
	}
	LITERAL(t, "}}");
}

static void json_record(struct wv_encoder *e, struct wv_text *t, uint64_t seq, const char *s,
			size_t len, const struct wv_syslog *m)
{
	char when[WV_TIME_SIZE];
	bool foreign;

	wv_text_add(t, e->prefix, e->prefix_len);
	number(t, seq);
	if (m) {
		LITERAL(t, ",\"facility\":\"");
		wv_text_str(t, wv_syslog_facilities[m->facility]);
		LITERAL(t, "\",\"severity\":\"");
		wv_text_str(t, wv_syslog_severities[m->severity]);
		if (m->has_time)
			json_member(t, "time", when, wv_rfc3339(m->time_ns, when));
		json_member(t, "host", m->host.p, m->host.n);
		json_member(t, "app", m->app.p, m->app.n);
		json_member(t, "procid", m->procid.p, m->procid.n);
		json_member(t, "msgid", m->msgid.p, m->msgid.n);
		sd_object(t, m->sd);
		wv_text_str(t, m->sd.n ? ",\"message\":\"" : "\",\"message\":\"");
		foreign = wv_json_text(t, m->msg.p, m->msg.n);
	} else {
		if (e->frame->format == WV_RECORD_SYSLOG)
			LITERAL(t, ",\"raw\":true");
		LITERAL(t, ",\"message\":\"");
		foreign = wv_json_text(t, s, len);
	}
	if (foreign) {
		LITERAL(t, "\",\"bytes_base64\":\"");
		base64(t, s, len);
	}
	LITERAL(t, "\"}\n");
}

/* Syslog severities in OpenTelemetry's numbers (logs data model, appendix B). */
static const struct {
	int number;
	const char *text;
} otel[8] = {{21, "FATAL"}, {19, "ERROR3"}, {18, "ERROR2"}, {17, "ERROR"},
	     {13, "WARN"},  {10, "INFO2"},  {9, "INFO"},    {5, "DEBUG"}};

static void otlp_attribute(struct wv_text *t, const char *key, const char *s, size_t len)
{
	if (!len)
		return;
	LITERAL(t, ",{\"key\":\"");
	wv_text_str(t, key);
	LITERAL(t, "\",\"value\":{\"stringValue\":\"");
	(void)wv_json_text(t, s, len);
	LITERAL(t, "\"}}");
}

static void otlp_record(struct wv_encoder *e, struct wv_text *t, uint64_t seq, const char *s,
			size_t len, const struct wv_syslog *m)
{
	struct wv_slice id, name, value;
	size_t pos = 0;

	wv_text_str(t, e->records ? ",{" : "{");
	if (m && m->has_time) {
		LITERAL(t, "\"timeUnixNano\":\"");
		number(t, m->time_ns);
		LITERAL(t, "\",");
	}
	LITERAL(t, "\"observedTimeUnixNano\":\"");
	number(t, e->frame->wall_ns);
	if (m) {
		LITERAL(t, "\",\"severityNumber\":");
		number(t, (uint64_t)otel[m->severity].number);
		LITERAL(t, ",\"severityText\":\"");
		wv_text_str(t, wv_syslog_severities[m->severity]);
	}
	LITERAL(t, "\",\"body\":{\"stringValue\":\"");
	(void)wv_json_text(t, m ? m->msg.p : s, m ? m->msg.n : len);
	LITERAL(t, "\"},\"attributes\":[{\"key\":\"waveos.spool.seq\",\"value\":{\"intValue\":\"");
	number(t, seq);
	LITERAL(t, "\"}}");
	otlp_attribute(t, "waveos.spool.input", e->input, strlen(e->input));
	if (m) {
		otlp_attribute(t, "syslog.facility", wv_syslog_facilities[m->facility],
			       strlen(wv_syslog_facilities[m->facility]));
		otlp_attribute(t, "host.name", m->host.p, m->host.n);
		otlp_attribute(t, "syslog.appname", m->app.p, m->app.n);
		otlp_attribute(t, "syslog.procid", m->procid.p, m->procid.n);
		otlp_attribute(t, "syslog.msgid", m->msgid.p, m->msgid.n);
		while (m->sd.n && wv_syslog_sd_next(m->sd, &pos, &id, &name, &value)) {
			LITERAL(t, ",{\"key\":\"syslog.sd.");
			(void)wv_json_text(t, id.p, id.n);
			LITERAL(t, ".");
			(void)wv_json_text(t, name.p, name.n);
			LITERAL(t, "\",\"value\":{\"stringValue\":\"");
			sd_value(t, value);
			LITERAL(t, "\"}}");
		}
	}
	LITERAL(t, "]}");
}

/* A line of its own whatever is in it: newlines as \n, as other controls are harmless in a file. */
static void raw_record(struct wv_text *t, const char *s, size_t len)
{
	const char *newline;

	while ((newline = memchr(s, '\n', len))) {
		wv_text_add(t, s, (size_t)(newline - s));
		LITERAL(t, "\\n");
		len -= (size_t)(newline - s) + 1;
		s = newline + 1;
	}
	wv_text_add(t, s, len);
	LITERAL(t, "\n");
}

static void syslog_field(struct wv_text *t, struct wv_slice s)
{
	LITERAL(t, " ");
	if (s.n)
		wv_text_add(t, s.p, s.n);
	else
		LITERAL(t, "-");
}

/* What came as RFC 5424 is sent as it came; the rest is brought into that form. */
static void syslog_record(struct wv_encoder *e, struct wv_text *t, const char *s, size_t len,
			  const struct wv_syslog *m)
{
	struct wv_text one = {.max = 4 * WV_SPOOL_RECORD_MAX};
	char when[WV_TIME_SIZE];

	while (len && (s[len - 1] == '\n' || s[len - 1] == '\r' || s[len - 1] == '\0'))
		len--;
	if (m && m->rfc5424) {
		wv_text_add(&one, s, len);
	} else {
		struct wv_slice host = {e->host ?: "", strlen(e->host ?: "")};
		struct wv_slice input = {e->input, strlen(e->input)}, none = {"", 0};

		LITERAL(&one, "<");
		number(&one, m ? m->facility * 8U + m->severity : 13);
		LITERAL(&one, ">1 ");
		wv_text_add(&one, when,
			    wv_rfc3339(m && m->has_time ? m->time_ns : e->frame->wall_ns, when));
		syslog_field(&one, m && m->host.n ? m->host : host);
		syslog_field(&one, m && m->app.n && m->app.n <= 48 ? m->app : input);
		syslog_field(&one, m ? m->procid : none);
		LITERAL(&one, " - - ");
		wv_text_add(&one, m ? m->msg.p : s, m ? m->msg.n : len);
	}
	if (!one.error) {
		number(t, one.len);
		LITERAL(t, " ");
		wv_text_add(t, one.data, one.len);
	} else if (!t->error) {
		t->error = one.error;
	}
	wv_text_done(&one);
}

void wv_encode_begin(struct wv_encoder *e, struct wv_text *t)
{
	e->records = 0;
	if (e->format != WV_FORMAT_OTLP)
		return;
	LITERAL(t, "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"host.name\","
		   "\"value\":{\"stringValue\":\"");
	(void)wv_json_text(t, e->host ?: "", strlen(e->host ?: ""));
	LITERAL(t, "\"}}]},\"scopeLogs\":[{\"scope\":{\"name\":\"" OWN_NAME
		   "\",\"version\":\"" WV_VERSION "\"},\"logRecords\":[");
}

void wv_encode_frame(struct wv_encoder *e, const struct wv_frame *f)
{
	char when[WV_TIME_SIZE];

	e->frame = f;
	snprintf(e->input, sizeof(e->input), "%.*s", f->name_len, (const char *)f->payload);
	wv_rfc3339(f->wall_ns, when);
	/* names of inputs need no escape: the configuration allows letters, digits, - and _ */
	e->prefix_len =
		(size_t)snprintf(e->prefix, sizeof(e->prefix),
				 "{\"received\":\"%s\",\"input\":\"%s\",\"seq\":", when, e->input);
}

void wv_encode_record(struct wv_encoder *e, struct wv_text *t, uint64_t seq, const char *text,
		      size_t len)
{
	struct wv_syslog m;
	bool parsed = e->format != WV_FORMAT_RAW && e->frame->format == WV_RECORD_SYSLOG &&
		      wv_syslog_parse(text, len, e->frame->wall_ns, e->utc_offset_s, &m);

	switch (e->format) {
	case WV_FORMAT_RAW:
		raw_record(t, text, len);
		break;
	case WV_FORMAT_OTLP:
		otlp_record(e, t, seq, text, len, parsed ? &m : NULL);
		break;
	case WV_FORMAT_SYSLOG:
		syslog_record(e, t, text, len, parsed ? &m : NULL);
		break;
	default:
		json_record(e, t, seq, text, len, parsed ? &m : NULL);
		break;
	}
	e->records++;
}

void wv_encode_loss(struct wv_encoder *e, struct wv_text *t, uint64_t count, const char *why,
		    uint64_t wall_ns)
{
	const struct wv_frame frame = {.wall_ns = wall_ns,
				       .type = WV_FRAME_LINES,
				       .format = WV_RECORD_SYSLOG,
				       .name_len = 5,
				       .len = 5,
				       .payload = (const uint8_t *)"spool"};
	char line[160];
	int n = snprintf(line, sizeof(line),
			 "<44>1 - - " OWN_NAME " - lost - %llu records are missing here: %s",
			 (unsigned long long)count, why);

	wv_encode_frame(e, &frame);
	wv_encode_record(e, t, 0, line, (size_t)n);
}

void wv_encode_end(struct wv_encoder *e, struct wv_text *t)
{
	if (e->format == WV_FORMAT_OTLP)
		LITERAL(t, "]}]}]}");
	e->frame = NULL;
}
