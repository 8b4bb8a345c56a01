// SPDX-License-Identifier: GPL-2.0-only
/* Messages for people: Slack and mail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/alert/render.h"
#include "user/core/base64.h"
#include "user/core/cleanup.h"

void wv_alert_title(const struct wv_alerts *a, const struct wv_alert_message *m, char *ret,
		    size_t size)
{
	const struct wv_alert *first = &a->list[m->alerts[0]];
	size_t firing = 0;
	bool same = true;

	for (size_t i = 0; i < m->n; i++) {
		firing += !a->list[m->alerts[i]].ends_ns;
		same = same && strcmp(a->list[m->alerts[i]].alert, first->alert) == 0;
	}
	snprintf(ret, size, "[%s:%zu] %s%s (%s) on %s", firing ? "FIRING" : "RESOLVED",
		 firing ?: m->n, first->alert, same ? "" : " and others",
		 wv_alert_severities[first->severity], a->host);
}

static void print_alert(FILE *f, const struct wv_alert *x)
{
	char time[WV_ALERT_TIME_SIZE];

	wv_alert_time(x->starts_ns, time);
	fprintf(f, "%s %s, %s\n  %s\n  since %s", x->ends_ns ? "RESOLVED" : "FIRING", x->alert,
		wv_alert_severities[x->severity], x->summary, time);
	if (x->ends_ns) {
		wv_alert_time(x->ends_ns, time);
		fprintf(f, " until %s", time);
	}
	fprintf(f, ", seen %llu time%s, last record %llu\n", (unsigned long long)x->count,
		x->count == 1 ? "" : "s", (unsigned long long)x->seq);
	for (int i = WV_LABEL_DOMAIN; i < WV_ALERT_LABELS; i++)
		if (*wv_alert_label(x, (enum wv_alert_label)i))
			fprintf(f, "  %s: %s\n", wv_alert_labels[i],
				wv_alert_label(x, (enum wv_alert_label)i));
	fprintf(f, "  fingerprint: %016llx\n\n", (unsigned long long)x->fingerprint);
}

char *wv_alert_text(const struct wv_alerts *a, const struct wv_alert_message *m)
{
	size_t shown = m->n < WV_ALERT_SHOWN ? m->n : WV_ALERT_SHOWN, len;
	char *text = NULL;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (size_t i = 0; i < shown; i++)
		print_alert(f, &a->list[m->alerts[i]]);
	if (m->n > shown)
		fprintf(f, "and %zu more\n\n", m->n - shown);
	fprintf(f, "host: %s, environment: %s\n", a->host, a->environment);
	if (*a->config->alerting_external_url)
		fprintf(f, "%s\n", a->config->alerting_external_url);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

/* Mail (RFC 5322, 2045, 2047) ------------------------------------------------------------------ */

static void print_base64(FILE *f, const char *text, size_t len)
{
	char line[WV_BASE64_LENGTH(57) + 1];

	for (size_t at = 0; at < len; at += 57) {
		wv_base64_encode(text + at, len - at < 57 ? len - at : 57, line);
		fprintf(f, "%s\r\n", line);
	}
}

/*
 * A header of free text: plain if it is short printable ASCII, else in encoded words of at most 75
 * characters. No byte of the text can end the header.
 */
static void print_header(FILE *f, const char *name, const char *text)
{
	char word[WV_BASE64_LENGTH(42) + 1];
	size_t len = strlen(text), n;
	bool plain = len < 70 && !strstr(text, "=?");

	for (size_t i = 0; i < len; i++)
		plain = plain && text[i] >= ' ' && text[i] < 0x7f;
	fprintf(f, "%s:", name);
	if (plain)
		fprintf(f, " %s\r\n", text);
	for (size_t at = 0; !plain && at < len; at += n) {
		n = len - at < 42 ? len - at : 42;
		/* a word holds whole characters */
		while (at + n < len && n > 38 && ((unsigned char)text[at + n] & 0xc0) == 0x80)
			n--;
		wv_base64_encode(text + at, n, word);
		/* a line that begins with a blank goes on with this header */
		fprintf(f, " =?utf-8?B?%s?=\r\n", word);
	}
}

static void print_recipients(FILE *f, const char *rest)
{
	char piece[WV_ALERT_PIECE];
	bool first = true;

	fputs("To:", f);
	while (wv_alert_piece(&rest, piece, sizeof(piece))) {
		fprintf(f, "%s %s", first ? "" : ",\r\n", piece);
		first = false;
	}
	fputs("\r\n", f);
}

char *wv_alert_mail(const struct wv_alerts *a, const struct wv_alert_message *m, uint64_t wall_ns,
		    uint64_t random, size_t *ret_len)
{
	const struct wv_alert_sink_config *c = &a->config->alerts[m->sink];
	_cleanup_free_ char *body = wv_alert_text(a, m);
	time_t s = (time_t)(wall_ns / 1000000000ULL);
	char title[256], date[64], *mail = NULL;
	struct tm tm;
	FILE *f = body ? open_memstream(&mail, ret_len) : NULL;

	if (!f)
		return NULL;
	wv_alert_title(a, m, title, sizeof(title));
	gmtime_r(&s, &tm);
	/* the locale is never set: names of days are English */
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
	fprintf(f, "Date: %s\r\nFrom: %s\r\n", date, c->from);
	print_recipients(f, c->to);
	print_header(f, "Subject", title);
	fprintf(f,
		"Message-ID: <%llx.%llx@%s>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
		"charset=utf-8\r\nContent-Transfer-Encoding: base64\r\nAuto-Submitted: "
		"auto-generated\r\n\r\n",
		(unsigned long long)wall_ns, (unsigned long long)random, strchr(c->from, '@') + 1);
	print_base64(f, body, strlen(body));
	if (fclose(f) == 0)
		return mail;
	free(mail);
	return NULL;
}

/* Slack -----------------------------------------------------------------------------------------
 */

/* Text in mrkdwn: &, < and > are its markup; what would be emphasis is put in a code span, where
 * only a backquote means something. */
static void print_mrkdwn(FILE *f, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '`':
			fputc('\'', f);
			break;
		default:
			fputc(*text, f);
		}
}

static struct json_object *attachment(const struct wv_alert *x)
{
	static const char *const colors[WV_ALERT_SEVERITIES] = {"#439fe0", "warning", "danger"};
	struct json_object *o = json_object_new_object(), *in = json_object_new_array();
	_cleanup_free_ char *text = NULL;
	char time[WV_ALERT_TIME_SIZE];
	size_t len;
	FILE *f = open_memstream(&text, &len);

	json_object_object_add(o, "color",
			       json_object_new_string(x->ends_ns ? "good" : colors[x->severity]));
	json_object_array_add(in, json_object_new_string("text"));
	json_object_object_add(o, "mrkdwn_in", in);
	if (!f)
		return o;
	fprintf(f, "*%s* %s%s\n`", x->alert, wv_alert_severities[x->severity],
		x->ends_ns ? ", resolved" : "");
	print_mrkdwn(f, x->summary);
	wv_alert_time(x->starts_ns, time);
	fprintf(f, "`\nsince %s", time);
	if (x->ends_ns) {
		wv_alert_time(x->ends_ns, time);
		fprintf(f, " until %s", time);
	}
	fprintf(f, ", seen %llu times, fingerprint %016llx", (unsigned long long)x->count,
		(unsigned long long)x->fingerprint);
	if (fclose(f) == 0)
		json_object_object_add(o, "text", json_object_new_string(text));
	return o;
}

struct json_object *wv_alert_slack(const struct wv_alerts *a, const struct wv_alert_message *m)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	size_t shown = m->n < WV_ALERT_SHOWN_SLACK ? m->n : WV_ALERT_SHOWN_SLACK;
	_cleanup_free_ char *text = NULL;
	char title[256];
	size_t len;
	FILE *f = open_memstream(&text, &len);

	wv_alert_title(a, m, title, sizeof(title));
	if (f) {
		print_mrkdwn(f, title);
		if (m->n > shown)
			fprintf(f, " and %zu more", m->n - shown);
		if (fclose(f) == 0)
			json_object_object_add(o, "text", json_object_new_string(text));
	}
	for (size_t i = 0; i < shown; i++)
		json_object_array_add(list, attachment(&a->list[m->alerts[i]]));
	json_object_object_add(o, "attachments", list);
	return o;
}
