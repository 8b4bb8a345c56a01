// SPDX-License-Identifier: GPL-2.0-only
/* Batches by HTTP POST: NDJSON, or OTLP/HTTP logs in JSON. libcurl is loaded when there is such an
 * output. Files with secrets are read before rights are given up. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/dl.h"
#include "user/core/log.h"
#include "user/spool/encode.h"
#include "user/spool/sink.h"

#define SECRET_MAX (64U << 10)
#define ANSWER_MAX 4096
#define RETRY_AFTER_MAX_S 3600
/* How long a request in flight may go on when we are told to stop. */
#define STOP_NS 1500000000ULL

static CURLcode (*global_init)(long flags);
static CURL *(*easy_init)(void);
static CURLcode (*easy_setopt)(CURL *c, CURLoption option, ...);
static CURLcode (*easy_perform)(CURL *c);
static CURLcode (*easy_getinfo)(CURL *c, CURLINFO info, ...);
static void (*easy_cleanup)(CURL *c);
static const char *(*easy_strerror)(CURLcode code);
static struct curl_slist *(*slist_append)(struct curl_slist *list, const char *s);
static void (*slist_free_all)(struct curl_slist *list);

static const struct wv_dl_symbol symbols[] = {
	{"curl_global_init", &global_init},	  {"curl_easy_init", &easy_init},
	{"curl_easy_setopt", &easy_setopt},	  {"curl_easy_perform", &easy_perform},
	{"curl_easy_getinfo", &easy_getinfo},	  {"curl_easy_cleanup", &easy_cleanup},
	{"curl_easy_strerror", &easy_strerror},	  {"curl_slist_append", &slist_append},
	{"curl_slist_free_all", &slist_free_all}, {0}};

struct http {
	CURL *curl;
	struct wv_sink *sink;
	char *token;
	char answer[ANSWER_MAX + 1], curl_error[CURL_ERROR_SIZE];
	size_t answer_len;
	uint64_t stop_ns;
	struct {
		char *text;
		size_t len;
	} ca, cert, key;
};

static size_t on_answer(char *data, size_t size, size_t n, void *userdata)
{
	struct http *h = userdata;
	size_t len = size * n;
	size_t room = ANSWER_MAX - h->answer_len;

	memcpy(h->answer + h->answer_len, data, len < room ? len : room);
	h->answer_len += len < room ? len : room;
	return len;
}

static int on_progress(void *userdata, curl_off_t a _unused_, curl_off_t b _unused_,
		       curl_off_t c _unused_, curl_off_t d _unused_)
{
	struct http *h = userdata;
	uint64_t now;

	if (!h->sink->is_stopping(h->sink->ctx))
		return 0;
	now = h->sink->io->mono_ns(h->sink->io->ctx);
	if (!h->stop_ns)
		h->stop_ns = now + STOP_NS;
	return now >= h->stop_ns;
}

static int secret(struct wv_sink *k, const char *path, char **ret, size_t *ret_len)
{
	int r = *path ? wv_io_read_file(k->io, AT_FDCWD, path, SECRET_MAX, ret, ret_len) : 0;

	return r < 0 ? wv_log_errno(r, "spool", "output %s: read %s", k->config->name, path) : 0;
}

static void set_blob(struct http *h, CURLoption option, const char *text, size_t len)
{
	struct curl_blob blob = {(void *)(uintptr_t)text, len, CURL_BLOB_NOCOPY};

	if (text)
		(void)easy_setopt(h->curl, option, &blob);
}

static void set_options(struct wv_sink *k)
{
	const struct wv_spool_output_config *c = k->config;
	struct http *h = k->state;
	long seconds = (long)(c->timeout_ns / 1000000000);

	(void)easy_setopt(h->curl, CURLOPT_URL, c->url);
	(void)easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
	(void)easy_setopt(h->curl, CURLOPT_USERAGENT, "waveos-spool/" WV_VERSION);
	(void)easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(c->timeout_ns / 1000000));
	/* nothing moves for so long: a slow receiver is waited for, one that hangs is not */
	(void)easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void)easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, seconds ? seconds : 1L);
	(void)easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_answer);
	(void)easy_setopt(h->curl, CURLOPT_WRITEDATA, h);
	(void)easy_setopt(h->curl, CURLOPT_NOPROGRESS, 0L);
	(void)easy_setopt(h->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	(void)easy_setopt(h->curl, CURLOPT_XFERINFODATA, h);
	(void)easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->curl_error);
	(void)easy_setopt(h->curl, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
	set_blob(h, CURLOPT_CAINFO_BLOB, h->ca.text, h->ca.len);
	set_blob(h, CURLOPT_SSLCERT_BLOB, h->cert.text, h->cert.len);
	set_blob(h, CURLOPT_SSLKEY_BLOB, h->key.text, h->key.len);
}

static int http_open(struct wv_sink *k)
{
	const struct wv_spool_output_config *c = k->config;
	struct http *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	k->state = h;
	h->sink = k;
	r = wv_dl_load("libcurl.so.4", "libcurl4", symbols);
	if (r == 0)
		r = secret(k, c->ca, &h->ca.text, &h->ca.len);
	if (r == 0)
		r = secret(k, c->cert, &h->cert.text, &h->cert.len);
	if (r == 0)
		r = secret(k, c->key, &h->key.text, &h->key.len);
	if (r == 0)
		r = secret(k, c->token_file, &h->token, NULL);
	if (r < 0)
		return r;
	h->curl = global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? easy_init() : NULL;
	if (!h->curl)
		return -ENOMEM;
	set_options(k);
	return 0;
}

/* A new one may have been put there. */
static struct curl_slist *headers(struct wv_sink *k)
{
	struct http *h = k->state;
	_cleanup_free_ char *line = NULL;
	char *fresh = NULL;
	struct curl_slist *list = slist_append(
		NULL, k->config->format == WV_FORMAT_OTLP ? "Content-Type: application/json"
							  : "Content-Type: application/x-ndjson");

	list = slist_append(list, "Expect:");
	if (!h->token)
		return list;
	if (wv_io_read_file(k->io, AT_FDCWD, k->config->token_file, SECRET_MAX, &fresh, NULL) ==
	    0) {
		free(h->token);
		h->token = fresh;
	}
	h->token[strcspn(h->token, "\r\n")] = '\0';
	if (asprintf(&line, "Authorization: Bearer %s", h->token) >= 0)
		list = slist_append(list, line);
	return list;
}

/* OTLP: {"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"..."}}; not to be retried. */
static uint64_t rejected(const struct http *h)
{
	struct json_object *o = json_tokener_parse(h->answer), *partial, *n;
	int64_t v = 0;

	if (o && json_object_object_get_ex(o, "partialSuccess", &partial) &&
	    json_object_object_get_ex(partial, "rejectedLogRecords", &n))
		v = json_object_get_int64(n); /* a number or, as in proto3 JSON, its text */
	json_object_put(o);
	return v > 0 ? (uint64_t)v : 0;
}

/*
 * Which answers mean that these bytes will never be taken. What speaks of rights, of the address or
 * of load is about us and not about the records: it is mended and they go on.
 */
static bool is_refusal(long code)
{
	static const short ours[] = {401, 402, 403, 404, 405, 407, 408, 409, 421, 423, 425, 429};

	if (code < 400 || code > 499)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (ours[i] == code)
			return false;
	return true;
}

static enum wv_send http_send(struct wv_sink *k, const char *body, size_t len)
{
	struct http *h = k->state;
	struct curl_slist *list = headers(k);
	curl_off_t after = 0;
	CURLcode result;
	long code = 0;

	h->answer_len = 0;
	h->curl_error[0] = '\0';
	h->stop_ns = 0;
	(void)easy_setopt(h->curl, CURLOPT_HTTPHEADER, list);
	(void)easy_setopt(h->curl, CURLOPT_POSTFIELDS, body);
	(void)easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	result = easy_perform(h->curl);
	slist_free_all(list);
	h->answer[h->answer_len] = '\0';
	if (result != CURLE_OK)
		return wv_sink_failed(k, "%s",
				      *h->curl_error ? h->curl_error : easy_strerror(result));
	(void)easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &code);
	if (code >= 200 && code < 300) {
		if (k->config->format == WV_FORMAT_OTLP && h->answer_len)
			k->rejected = rejected(h);
		return WV_SEND_OK;
	}
	if (easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &after) == CURLE_OK && after > 0)
		k->retry_after_ns =
			(uint64_t)(after < RETRY_AFTER_MAX_S ? after : RETRY_AFTER_MAX_S) *
			1000000000ULL;
	wv_sink_failed(k, "HTTP %ld: %.120s", code, h->answer);
	wv_make_printable(k->error);
	return is_refusal(code) ? WV_SEND_REFUSED : WV_SEND_RETRY;
}

static void http_close(struct wv_sink *k)
{
	struct http *h = k->state;

	if (!h)
		return;
	if (h->curl)
		easy_cleanup(h->curl);
	free(h->ca.text);
	free(h->cert.text);
	free(h->key.text);
	free(h->token);
	free(h);
	k->state = NULL;
}

const struct wv_sink_ops wv_sink_http = {.open = http_open, .send = http_send, .close = http_close};
