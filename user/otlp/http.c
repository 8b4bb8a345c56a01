// SPDX-License-Identifier: GPL-2.0-only
#include "user/otlp/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/otlp/answer.h"
#include "user/secret/curl.h"
#include "user/secret/secret.h"
#include "user/spool/rights.h"

#define ANSWER_MAX (64U << 10)
#define GZIP_LEVEL 3
#define GZIP_WINDOW (15 + 16)

/* The process serves one worker, and has one connection. */
static struct {
	CURL *curl;
	const struct wv_config *config;
	struct wv_secrets *secrets;
	unsigned token, header; /* in secrets, where they are set */
	char answer[ANSWER_MAX];
	size_t answer_len;
	char error[CURL_ERROR_SIZE];
} http;

/* URLs ---------------------------------------------------------------------------------------- */

static bool is_loopback(const char *host, size_t len)
{
	struct in6_addr six;
	struct in_addr four;
	char text[64];

	if (!len || len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = '\0';
	if (text[0] == '[' && text[len - 1] == ']') {
		text[len - 1] = '\0';
		return inet_pton(AF_INET6, text + 1, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
	}
	if (inet_pton(AF_INET, text, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return strcmp(text, "localhost") == 0;
}

int wv_otlp_url(const struct wv_config *config, const char *signal, char ret[WV_OTLP_URL_SIZE],
		char why[160])
{
	const char *url = config->otlp_endpoint;
	bool plain = strncmp(url, "http://", 7) == 0;
	const char *host = url + (plain ? 7 : 8);
	size_t len, whole = strlen(url);

	if (!plain && strncmp(url, "https://", 8) != 0) {
		snprintf(why, 160, "expected https://HOST:PORT, or http:// to this machine");
		return -EINVAL;
	}
	len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
	if (!len || len > strlen(host) || strpbrk(host, "@?# ")) {
		snprintf(why, 160,
			 "expected a host, a port and maybe a path, without a user or a query");
		return -EINVAL;
	}
	if (plain && !config->otlp_insecure && !is_loopback(host, len)) {
		snprintf(why, 160,
			 "http:// to another machine can be read on the way: use https://, or set "
			 "otlp.insecure");
		return -EINVAL;
	}
	while (whole && url[whole - 1] == '/')
		whole--;
	snprintf(ret, WV_OTLP_URL_SIZE, "%.*s/v1/%s", (int)whole, url, signal);
	return 0;
}

/* In its process ------------------------------------------------------------------------------ */

/* libcurl opens these anew for each connection: a new certificate is used at once. */
static bool reads_files(const struct wv_config *c)
{
	return c->otlp_ca[0] || c->otlp_cert[0] || c->otlp_key[0] ||
	       wv_secrets_reads_files(http.secrets);
}

/* Before no code can be loaded any more. */
static int confine(void)
{
	const struct wv_config *c = http.config;
	int r = wv_secrets_load_curl();

	if (r == 0)
		r = wv_secrets_open(&http.secrets, &wv_io_system, c);
	if (r == 0 && c->otlp_token[0])
		r = wv_secrets_add(http.secrets, c->otlp_token, &http.token);
	if (r == 0 && c->otlp_header_name[0])
		r = wv_secrets_add(http.secrets, c->otlp_header_value, &http.header);
	if (r < 0)
		return r;
	http.curl = wv_curl.curl_easy_init();
	return http.curl ? wv_spool_drop_rights(reads_files(c), true) : -ENOMEM;
}

static size_t on_answer(char *data, size_t size, size_t n, void *userdata _unused_)
{
	size_t len = size * n, room = sizeof(http.answer) - http.answer_len;

	memcpy(http.answer + http.answer_len, data, len < room ? len : room);
	http.answer_len += len < room ? len : room;
	return len;
}

static int add_secret(struct curl_slist **list, const char *header, const char *prefix, unsigned id,
		      struct wv_otlp_answer *a)
{
	struct wv_secret_value v;
	struct wv_secret_state state;
	char *line = NULL;
	int r = wv_secrets_get(http.secrets, id, &v);

	if (r < 0) {
		wv_secrets_state(http.secrets, id, &state);
		snprintf(a->text, sizeof(a->text), "the secret for header %.40s: %.90s", header,
			 state.why);
		return r;
	}
	if (asprintf(&line, "%s: %s%s", header, prefix, v.text) < 0)
		return -ENOMEM;
	r = wv_curl_header(list, line);
	explicit_bzero(line, strlen(line));
	free(line);
	return r;
}

static int headers(struct curl_slist **list, bool gzip, struct wv_otlp_answer *a)
{
	const struct wv_config *c = http.config;
	int r = wv_curl_header(list, c->otlp_encoding == WV_OTLP_JSON
					     ? "Content-Type: application/json"
					     : "Content-Type: application/x-protobuf");

	if (r == 0)
		r = wv_curl_header(list, "Expect:");
	if (r == 0 && gzip)
		r = wv_curl_header(list, "Content-Encoding: gzip");
	if (r == 0 && c->otlp_token[0])
		r = add_secret(list, "Authorization", "Bearer ", http.token, a);
	if (r == 0 && c->otlp_header_name[0])
		r = add_secret(list, c->otlp_header_name, "", http.header, a);
	if (r < 0 && !a->text[0])
		snprintf(a->text, sizeof(a->text), "headers: %s", strerror(-r));
	return r;
}

/* Whether the receiver may take it with what the store has now. */
static bool is_renewed(const struct wv_otlp_answer *a)
{
	const struct wv_config *c = http.config;
	bool again = false;

	if (a->error || (a->status != 401 && a->status != 403))
		return false;
	if (c->otlp_token[0])
		again |= wv_secrets_refused(http.secrets, http.token) > 0;
	if (c->otlp_header_name[0])
		again |= wv_secrets_refused(http.secrets, http.header) > 0;
	return again;
}

static void set_options(const char *url, const char *body, size_t len)
{
	const struct wv_config *o = http.config;
	CURL *c = http.curl;

	wv_curl.curl_easy_reset(c); /* connections are kept */
	wv_curl.curl_easy_setopt(c, CURLOPT_URL, url);
	wv_curl.curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	wv_curl.curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	wv_curl.curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	wv_curl.curl_easy_setopt(c, CURLOPT_USERAGENT, "waveos-bpf/" WV_VERSION);
	wv_curl.curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (o->otlp_ca[0])
		wv_curl.curl_easy_setopt(c, CURLOPT_CAINFO, o->otlp_ca);
	if (o->otlp_cert[0])
		wv_curl.curl_easy_setopt(c, CURLOPT_SSLCERT, o->otlp_cert);
	if (o->otlp_key[0])
		wv_curl.curl_easy_setopt(c, CURLOPT_SSLKEY, o->otlp_key);
	wv_curl.curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(o->otlp_timeout / 1000000));
	wv_curl.curl_easy_setopt(c, CURLOPT_ERRORBUFFER, http.error);
	wv_curl.curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_answer);
	wv_curl.curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	wv_curl.curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
}

static void read_answer(struct wv_otlp_answer *a)
{
	const char *type = NULL;
	curl_off_t after = 0;

	wv_curl.curl_easy_getinfo(http.curl, CURLINFO_RESPONSE_CODE, &a->status);
	wv_curl.curl_easy_getinfo(http.curl, CURLINFO_RETRY_AFTER, &after);
	wv_curl.curl_easy_getinfo(http.curl, CURLINFO_CONTENT_TYPE, &type);
	a->retry_after_s = after > 0 ? (uint64_t)after : 0;
	if (type && strncmp(type, "application/json", 16) == 0)
		wv_otlp_answer_parse(a, true, http.answer, http.answer_len);
	else if (type && strncmp(type, "application/x-protobuf", 22) == 0)
		wv_otlp_answer_parse(a, false, http.answer, http.answer_len);
}

static void perform(const char *url, bool gzip, const char *body, size_t len,
		    struct wv_otlp_answer *a)
{
	struct curl_slist *list = NULL;
	CURLcode code;

	http.answer_len = 0;
	http.error[0] = '\0';
	a->error = headers(&list, gzip, a);
	if (a->error == 0) {
		set_options(url, body, len);
		wv_curl.curl_easy_setopt(http.curl, CURLOPT_HTTPHEADER, list);
		code = wv_curl.curl_easy_perform(http.curl);
		if (code == CURLE_OK) {
			read_answer(a);
		} else {
			a->error = -EHOSTUNREACH;
			snprintf(a->text, sizeof(a->text), "%.159s",
				 http.error[0] ? http.error : wv_curl.curl_easy_strerror(code));
		}
	}
	wv_curl.curl_slist_free_all(list);
}

/* The request: 't' or 'l', 'z' or '-', and the body. */
static int serve(void *ctx, const char *request, size_t len, char **ret, size_t *ret_len)
{
	struct wv_otlp_answer *a = calloc(1, sizeof(*a));
	char url[WV_OTLP_URL_SIZE], why[160];

	if (!a)
		return -ENOMEM;
	if (len < 2 || wv_otlp_url(ctx, request[0] == 'l' ? "logs" : "traces", url, why) < 0) {
		free(a);
		return -EINVAL;
	}
	perform(url, request[1] == 'z', request + 2, len - 2, a);
	if (is_renewed(a)) {
		*a = (struct wv_otlp_answer){.status = 0};
		perform(url, request[1] == 'z', request + 2, len - 2, a);
	}
	*ret = (char *)a;
	*ret_len = sizeof(*a);
	return 0;
}

void wv_otlp_http_work(struct wv_helper_work *ret, const struct wv_config *config)
{
	http.config = config;
	*ret = (struct wv_helper_work){.name = "waveos-otlphttp",
				       .confine = confine,
				       .serve = serve,
				       .ctx = (void *)(uintptr_t)config};
}

/* In the worker ------------------------------------------------------------------------------- */

int wv_otlp_post(struct wv_helper *h, bool logs, bool gzip, const char *body, size_t len,
		 struct wv_otlp_answer *ret)
{
	_cleanup_free_ char *request = malloc(len + 2), *answer = NULL;
	size_t n = 0;
	int r;

	if (!request)
		return -ENOMEM;
	request[0] = logs ? 'l' : 't';
	request[1] = gzip ? 'z' : '-';
	memcpy(request + 2, body, len);
	r = wv_helper_ask(h, request, len + 2, &answer, &n);
	if (r < 0)
		return r;
	if (n != sizeof(*ret))
		return -EPIPE;
	memcpy(ret, answer, sizeof(*ret));
	ret->text[sizeof(ret->text) - 1] = '\0';
	return 0;
}

int wv_otlp_gzip(const char *bytes, size_t len, char **ret, size_t *ret_len)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)len};
	uLong bound;
	char *out;
	int e;

	if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	bound = deflateBound(&z, len);
	out = malloc(bound);
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)bound;
	e = out ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
	(void)deflateEnd(&z);
	if (e != Z_STREAM_END) {
		free(out);
		return -ENOMEM;
	}
	*ret = out;
	*ret_len = z.total_out;
	return 0;
}
