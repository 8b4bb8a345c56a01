// SPDX-License-Identifier: GPL-2.0-only
#include "user/alert/deliver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/alert/alert.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"

#define NONE UINT32_MAX
#define CA_MAX (1U << 20)
#define API "/api/v2/alerts"

static int reference(struct wv_delivery *d, const char *text, unsigned *ret)
{
	int r = *text ? wv_secrets_add(d->secrets, text, ret) : 0;

	if (!*text)
		*ret = NONE;
	return r < 0 ? wv_log_errno(r, "alert", "%s: %s", d->sink->name, text) : 0;
}

int wv_delivery_prepare(struct wv_delivery *d, const struct wv_alert_sink_config *sink,
			struct wv_secrets *secrets, const struct wv_io *io)
{
	int r = 0;

	*d = (struct wv_delivery){.sink = sink, .secrets = secrets};
	if (*sink->ca) {
		r = wv_io_read_file(io, AT_FDCWD, sink->ca, CA_MAX, &d->ca, &d->ca_len);
		if (r < 0)
			return wv_log_errno(r, "alert", "%s: read %s", sink->name, sink->ca);
	}
	r = reference(d, sink->url_secret, &d->url_secret);
	if (r == 0)
		r = reference(d, sink->token, &d->token);
	if (r == 0)
		r = reference(d, sink->username, &d->username);
	if (r == 0)
		r = reference(d, sink->password, &d->password);
	return r;
}

static int fail(struct wv_alert_answer *a, enum wv_alert_result result, int error,
		const char *format, ...) _printf_(4, 5);
static int fail(struct wv_alert_answer *a, enum wv_alert_result result, int error,
		const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(a->why, sizeof(a->why), format, args);
	va_end(args);
	wv_make_printable(a->why);
	a->result = (int32_t)result;
	return error;
}

static size_t on_answer(char *data, size_t size, size_t n, void *userdata)
{
	struct wv_delivery *d = userdata;
	size_t len = size * n, room = sizeof(d->answer) - 1 - d->answer_len;

	memcpy(d->answer + d->answer_len, data, len < room ? len : room);
	d->answer_len += len < room ? len : room;
	return len;
}

static size_t on_read(char *to, size_t size, size_t n, void *userdata)
{
	struct wv_delivery *d = userdata;
	size_t len = d->len - d->at < size * n ? d->len - d->at : size * n;

	memcpy(to, d->body + d->at, len);
	d->at += len;
	return len;
}

/* The value of a secret, or an answer that says which could not be had. */
static int secret(struct wv_delivery *d, unsigned id, struct wv_secret_value *v,
		  struct wv_alert_answer *a)
{
	struct wv_secret_state state;
	int r = wv_secrets_get(d->secrets, id, v);

	if (r == 0)
		return 0;
	wv_secrets_state(d->secrets, id, &state);
	return fail(a, WV_ALERT_RETRY, r, "%.60s: %.60s", state.reference, state.why);
}

/* libcurl copies texts; its copies are wiped. */
static int set_credentials(struct wv_delivery *d, struct wv_alert_answer *a)
{
	struct wv_secret_value v;
	int r;

	if (d->username == NONE || (d->token != NONE && d->sink->type != WV_ALERT_SMTP))
		return 0;
	r = secret(d, d->username, &v, a);
	if (r == 0) {
		(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_USERNAME, v.text);
		r = secret(d, d->password, &v, a);
	}
	if (r == 0)
		(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_PASSWORD, v.text);
	if (r == 0 && d->sink->type != WV_ALERT_SMTP)
		(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
	return r;
}

static int set_url(struct wv_delivery *d, struct wv_alert_answer *a)
{
	const struct wv_alert_sink_config *s = d->sink;
	struct wv_secret_value v;
	char url[600];
	size_t len;
	int r;

	if (d->url_secret != NONE) {
		r = secret(d, d->url_secret, &v, a);
		if (r < 0)
			return r;
		if (strncmp(v.text, "https://", 8) != 0 &&
		    strncmp(v.text, "http://127.0.0.1:", 17) != 0)
			return fail(a, WV_ALERT_RETRY, -EINVAL,
				    "the secret address does not begin with https://");
		(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_URL, v.text);
		return 0;
	}
	len = strlen(s->url);
	if (s->type == WV_ALERT_ALERTMANAGER)
		snprintf(url, sizeof(url), "%.*s" API, (int)(len - (s->url[len - 1] == '/')),
			 s->url);
	else
		snprintf(url, sizeof(url), "%s", s->url);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_URL, url);
	if (strncmp(url, "http://", 7) == 0) /* to this machine: no proxy */
		(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_PROXY, "");
	return 0;
}

static int set_http(struct wv_delivery *d, struct wv_alert_answer *a)
{
	struct wv_secret_value v;
	struct wv_locked line;
	int r = set_url(d, a);

	if (r < 0)
		return r;
	if (wv_curl_header(&d->headers, "Content-Type: application/json") < 0 ||
	    wv_curl_header(&d->headers, "Expect:") < 0)
		return fail(a, WV_ALERT_RETRY, -ENOMEM, "no memory");
	if (d->token != NONE) {
		r = secret(d, d->token, &v, a);
		if (r < 0)
			return r;
		if (wv_locked_alloc(&line, v.len + 32) < 0)
			return fail(a, WV_ALERT_RETRY, -ENOMEM, "no memory");
		snprintf(line.p, line.size, "Authorization: Bearer %s", v.text);
		r = wv_curl_header(&d->headers, line.p);
		wv_locked_free(&line);
		if (r < 0)
			return fail(a, WV_ALERT_RETRY, r, "the token has a control character");
	}
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_HTTPHEADER, d->headers);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_POSTFIELDS, d->body);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)d->len);
	return 0;
}

static int set_mail(struct wv_delivery *d, struct wv_alert_answer *a)
{
	const struct wv_alert_sink_config *s = d->sink;
	char url[300], piece[WV_ALERT_PIECE];
	const char *rest = s->to;

	snprintf(url, sizeof(url), "%s://%s", s->tls == WV_ALERT_TLS ? "smtps" : "smtp",
		 s->address);
	while (wv_alert_piece(&rest, piece, sizeof(piece)))
		if (wv_curl_header(&d->recipients, piece) < 0)
			return fail(a, WV_ALERT_RETRY, -ENOMEM, "no memory");
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_URL, url);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	/* STARTTLS is asked for and must be there */
	if (s->tls != WV_ALERT_NO_TLS)
		(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_USE_SSL, (long)CURLUSESSL_ALL);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_MAIL_FROM, s->from);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_MAIL_RCPT, d->recipients);
	/* one that is not known does not keep it from the others */
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_UPLOAD, 1L);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_READFUNCTION, on_read);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_READDATA, d);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)d->len);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_PROXY, "");
	return 0;
}

static void set_common(struct wv_delivery *d)
{
	struct curl_blob ca = {d->ca, d->ca_len, CURL_BLOB_NOCOPY};

	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_NOSIGNAL, 1L);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_FOLLOWLOCATION, 0L);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_USERAGENT, "waveos-bpf/" WV_VERSION);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_TIMEOUT_MS,
				       (long)(d->sink->timeout_ns / 1000000));
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_FORBID_REUSE, 1L);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_WRITEFUNCTION, on_answer);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_WRITEDATA, d);
	(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_PRIVATE, d);
	if (d->ca)
		(void)wv_curl.curl_easy_setopt(d->curl, CURLOPT_CAINFO_BLOB, &ca);
}

static void release(struct wv_delivery *d)
{
	if (d->curl)
		wv_curl.curl_easy_cleanup(d->curl);
	wv_curl.curl_slist_free_all(d->headers);
	wv_curl.curl_slist_free_all(d->recipients);
	d->curl = NULL;
	d->headers = d->recipients = NULL;
	d->at = d->answer_len = 0;
}

static int set_up(struct wv_delivery *d, struct wv_alert_answer *a)
{
	int r;

	d->curl = wv_curl.curl_easy_init();
	if (!d->curl)
		return fail(a, WV_ALERT_RETRY, -ENOMEM, "no memory");
	set_common(d);
	r = d->sink->type == WV_ALERT_SMTP ? set_mail(d, a) : set_http(d, a);
	if (r == 0)
		r = set_credentials(d, a);
	if (r < 0)
		release(d);
	return r;
}

int wv_delivery_begin(struct wv_delivery *d, char *body, size_t len, struct wv_alert_answer *ret)
{
	int r;

	d->body = body;
	d->len = len;
	d->again = false;
	r = set_up(d, ret);
	if (r < 0)
		free(TAKE_PTR(d->body));
	return r;
}

/* A secret that was refused may have been replaced since. */
static bool has_new_secret(struct wv_delivery *d)
{
	const unsigned ids[] = {d->url_secret, d->token, d->username, d->password};
	bool changed = false;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		if (ids[i] != NONE)
			changed |= wv_secrets_refused(d->secrets, ids[i]) > 0;
	return changed;
}

/* Statuses that say that this very message will never be taken. What speaks of rights, of the
 * address or of load is about us: it is mended and messages go on. */
static bool is_refusal(const struct wv_delivery *d, long status)
{
	if (d->sink->type == WV_ALERT_SMTP)
		return status == 552 || status == 554;
	return status == 400 || status == 413 || status == 415 || status == 422;
}

static void judge(struct wv_delivery *d, CURLcode code, long status, struct wv_alert_answer *a)
{
	bool smtp = d->sink->type == WV_ALERT_SMTP;

	if (code == CURLE_OK && (smtp || (status >= 200 && status < 300)))
		a->result = WV_ALERT_SENT;
	else if (code == CURLE_OK || (smtp && status >= 400))
		fail(a, is_refusal(d, status) ? WV_ALERT_REFUSED : WV_ALERT_RETRY, 0,
		     "%s %ld%s%.80s", smtp ? "SMTP" : "HTTP", status,
		     d->answer_len && !smtp ? ": " : "",
		     /* what a sink behind a secret address says may name it */
		     d->url_secret == NONE && !smtp ? d->answer : "");
	else
		fail(a, WV_ALERT_RETRY, 0, "%s", wv_curl.curl_easy_strerror(code));
}

int wv_delivery_end(struct wv_delivery *d, CURLcode code, struct wv_alert_answer *ret)
{
	curl_off_t after = 0;
	long status = 0;
	bool denied;

	(void)wv_curl.curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
	(void)wv_curl.curl_easy_getinfo(d->curl, CURLINFO_RETRY_AFTER, &after);
	d->answer[d->answer_len] = '\0';
	judge(d, code, status, ret);
	ret->retry_after_s = after > 0 ? (uint64_t)after : 0;
	denied = code == CURLE_LOGIN_DENIED ||
		 (code == CURLE_OK && (status == 401 || status == 403));
	release(d);
	if (denied && !d->again && has_new_secret(d)) {
		d->again = true;
		if (set_up(d, ret) == 0)
			return 1;
	}
	free(TAKE_PTR(d->body));
	return 0;
}
