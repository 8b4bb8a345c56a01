// SPDX-License-Identifier: GPL-2.0-only
/* One request to a store of secrets: answers go to locked memory, redirects are not followed (they
 * would be shown our token), certificates are always checked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/secret/curl.h"
#include "user/secret/store.h"

#define ANSWER_FIRST 16384U
#define ANSWER_MAX (1U << 20)
#define RETRY_AFTER_MAX_S 3600

struct body {
	struct wv_secret_answer *answer;
	int failed;
};

/* Room for so many bytes and a NUL. */
static int grow(struct wv_secret_answer *a, size_t len)
{
	struct wv_locked larger;
	size_t size = a->body.size ? a->body.size : ANSWER_FIRST;

	if (len + 1 <= a->body.size)
		return 0;
	if (len > ANSWER_MAX)
		return -EFBIG;
	while (size < len + 1)
		size *= 2;
	if (wv_locked_alloc(&larger, size) < 0)
		return -ENOMEM;
	if (a->len)
		memcpy(larger.p, a->body.p, a->len);
	wv_locked_free(&a->body);
	a->body = larger;
	return 0;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *userdata)
{
	struct body *b = userdata;
	size_t len = size * n;

	b->failed = grow(b->answer, b->answer->len + len);
	if (b->failed < 0)
		return CURL_WRITEFUNC_ERROR;
	memcpy(b->answer->body.p + b->answer->len, bytes, len);
	b->answer->len += len;
	return len;
}

bool wv_secret_is_address(const char *url)
{
	static const char *const here[] = {"http://127.", "http://[::1]", "http://localhost"};
	const char *host = strstr(url, "://");
	bool local = false;

	if (!host || !host[3] || strpbrk(host + 3, "@?#\\ "))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(here); i++) {
		size_t len = strlen(here[i]);

		if (strncmp(url, here[i], len) != 0)
			continue;
		local = i == 0 ? !host[3 + strspn(host + 3, "0123456789.")] ||
					 strchr(":/", host[3 + strspn(host + 3, "0123456789.")])
			       : !url[len] || strchr(":/", url[len]);
	}
	return local || strncmp(url, "https://", 8) == 0;
}

int wv_secret_escape(const char *s, char *ret, size_t size)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
	size_t at = 0;

	for (; *s; s++) {
		if (at + 4 > size)
			return -ENAMETOOLONG;
		if (strchr(plain, *s))
			ret[at++] = *s;
		else
			at += (size_t)snprintf(ret + at, size - at, "%%%02X", (unsigned char)*s);
	}
	if (at >= size)
		return -ENAMETOOLONG;
	ret[at] = '\0';
	return 0;
}

static void set_options(struct wv_secrets *s, const struct wv_secret_request *q, struct body *b)
{
	CURL *c = s->curl;
	struct curl_blob ca = {s->ca, s->ca_len, CURL_BLOB_NOCOPY};

	wv_curl.curl_easy_reset(c);
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_URL, q->url);
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_USERAGENT, "waveos-bpf/" WV_VERSION);
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_TIMEOUT_MS,
				       (long)(s->config->secrets_timeout / 1000000));
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_WRITEDATA, b);
	/* a proxy of the environment would be shown what is meant for this machine alone */
	if (strncmp(q->url, "http://", 7) == 0)
		(void)wv_curl.curl_easy_setopt(c, CURLOPT_PROXY, "");
	if (s->ca)
		(void)wv_curl.curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca);
	if (q->body)
		(void)wv_curl.curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body);
	if (!q->sigv4)
		return;
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_AWS_SIGV4, q->sigv4);
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_USERNAME, q->user);
	(void)wv_curl.curl_easy_setopt(c, CURLOPT_PASSWORD, q->password);
}

static int transfer(struct wv_secrets *s, const struct wv_secret_request *q, struct body *b,
		    struct wv_secret_fetched *f)
{
	struct curl_slist *headers = NULL;
	curl_off_t retry = 0;
	CURLcode code;
	int r = 0;

	set_options(s, q, b);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(q->headers) && q->headers[i]; i++)
		r = wv_curl_header(&headers, q->headers[i]);
	if (r < 0) {
		wv_curl.curl_slist_free_all(headers);
		return wv_secret_fail(f, r, "a token with a control character in it");
	}
	(void)wv_curl.curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, headers);
	code = wv_curl.curl_easy_perform(s->curl);
	(void)wv_curl.curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &b->answer->status);
	(void)wv_curl.curl_easy_getinfo(s->curl, CURLINFO_RETRY_AFTER, &retry);
	if (retry > 0)
		f->retry_after_s = retry < RETRY_AFTER_MAX_S ? (uint64_t)retry : RETRY_AFTER_MAX_S;
	wv_curl.curl_easy_reset(s->curl); /* nothing of ours stays with it */
	wv_curl.curl_slist_free_all(headers);
	if (b->failed < 0)
		return wv_secret_fail(f, b->failed, "an answer of more than %u bytes", ANSWER_MAX);
	if (code == CURLE_PARTIAL_FILE)
		return wv_secret_fail(f, -EBADMSG, "the answer was cut short");
	/* libcurl's own words for the code; its detailed message may name what it was sent */
	return code == CURLE_OK ? 0
				: wv_secret_fail(f, wv_curl_error(code), "%s",
						 wv_curl.curl_easy_strerror(code));
}

int wv_secret_ask(struct wv_secrets *s, const struct wv_secret_request *q,
		  struct wv_secret_answer *ret, struct wv_secret_fetched *f)
{
	struct wv_secret_answer answer = {.status = 0};
	struct body b = {.answer = &answer};
	int r;

	if (!q->plain_anywhere && !wv_secret_is_address(q->url))
		return wv_secret_fail(
			f, -EINVAL,
			"the address of the store must begin with https:// (http:// to "
			"this machine only)");
	if (!s->curl)
		s->curl = wv_secrets_load_curl() == 0 ? wv_curl.curl_easy_init() : NULL;
	if (!s->curl)
		return wv_secret_fail(f, -ENOPKG, "libcurl cannot be used");
	r = grow(&answer, 0);
	if (r == 0)
		r = transfer(s, q, &b, f);
	if (r < 0) {
		wv_locked_free(&answer.body);
		return r;
	}
	answer.body.p[answer.len] = '\0';
	*ret = answer;
	return 0;
}

int wv_secret_status_error(struct wv_secret_fetched *f, const char *who, long status)
{
	int r = -EBADMSG;

	if (status == 404 || status == 410)
		return wv_secret_fail(f, -ENOENT, "%s has no such secret (%ld)", who, status);
	if (status == 401 || status == 403)
		return wv_secret_fail(f, -EACCES, "%s refuses (%ld)", who, status);
	if (status == 408 || status == 429 || status >= 500)
		r = -EAGAIN;
	return wv_secret_fail(f, r, "%s answered %ld", who, status);
}
