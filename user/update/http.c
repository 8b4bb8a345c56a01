// SPDX-License-Identifier: GPL-2.0-only
#include "user/update/http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CURL_DISABLE_TYPECHECK /* its macros would take members for its functions */
#include <curl/curl.h>

#include "user/core/cleanup.h"
#include "user/core/dl.h"

#define CONNECT_S 30L
/* slower than this for so long is standing still */
#define SLOW_BYTES 64L
#define SLOW_S 60L

#define CURL_FUNCTIONS(F)                                                                          \
	F(curl_global_init)                                                                        \
	F(curl_easy_init)                                                                          \
	F(curl_easy_reset)                                                                         \
	F(curl_easy_setopt)                                                                        \
	F(curl_easy_perform)                                                                       \
	F(curl_easy_getinfo)                                                                       \
	F(curl_easy_cleanup)                                                                       \
	F(curl_easy_strerror)                                                                      \
	F(curl_slist_append)                                                                       \
	F(curl_slist_free_all)

static struct {
#define POINTER(name) __typeof__(name) *name;
	CURL_FUNCTIONS(POINTER)
#undef POINTER
	bool loaded;
} lib;

struct wv_http {
	struct wv_http_options options;
	CURL *curl;
	/* of the transfer that runs */
	const struct wv_http_request *q;
	struct wv_http_answer *answer;
	uint64_t from, taken;
	int failed;
	bool has_range;
	char message[CURL_ERROR_SIZE];
};

static int load(void)
{
	static const struct wv_dl_symbol symbols[] = {
#define SYMBOL(name) {#name, &lib.name},
		CURL_FUNCTIONS(SYMBOL)
#undef SYMBOL
			{NULL, NULL},
	};
	int r = lib.loaded ? 0 : wv_dl_load("libcurl.so.4", "libcurl4", symbols);

	if (r < 0 || lib.loaded)
		return r;
	if (lib.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	lib.loaded = true;
	return 0;
}

int wv_http_open(struct wv_http **ret, const struct wv_http_options *options)
{
	struct wv_http *h;
	int r = load();

	if (r < 0)
		return r;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->options = *options;
	h->curl = lib.curl_easy_init();
	if (!h->curl) {
		free(h);
		return -ENOMEM;
	}
	*ret = h;
	return 0;
}

void wv_http_close(struct wv_http *h)
{
	if (!h)
		return;
	lib.curl_easy_cleanup(h->curl);
	free(h);
}

/* One transfer ------------------------------------------------------------------------------- */

/* The value of a header line, without the space around it, if it is the one with that name. */
static bool header_value(const char *line, size_t len, const char *name, char *ret, size_t size)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return false;
	line += n + 1;
	len -= n + 1;
	while (len && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len && strchr("\r\n \t", line[len - 1]))
		len--;
	if (!len || len >= size || memchr(line, '\0', len))
		return false;
	memcpy(ret, line, len);
	ret[len] = '\0';
	return true;
}

static size_t on_header(char *line, size_t size, size_t n, void *userdata)
{
	struct wv_http *h = userdata;
	unsigned long long from;
	char value[WV_ETAG_SIZE];

	if (strncmp(line, "HTTP/", 5) == 0) { /* another answer begins, as after 100 Continue */
		h->answer->etag[0] = '\0';
		h->has_range = false;
	} else if (header_value(line, size * n, "ETag", value, sizeof(value))) {
		memcpy(h->answer->etag, value, sizeof(value));
	} else if (header_value(line, size * n, "Content-Range", value, sizeof(value)) &&
		   sscanf(value, "bytes %20llu-", &from) == 1) {
		h->from = from;
		h->has_range = true;
	}
	return size * n;
}

/* Place of the first byte of the body; -EREMOTEIO: a part that no one asked for. */
static int place(struct wv_http *h, uint64_t *ret)
{
	long status = 0;

	lib.curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	*ret = 0;
	if (status == 200)
		return 0;
	*ret = h->q->from;
	return status == 206 && h->has_range && h->from == h->q->from ? 0 : -EREMOTEIO;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *userdata)
{
	struct wv_http *h = userdata;
	size_t len = size * n;
	uint64_t from;
	long status = 0;

	lib.curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200 || status >= 300)
		return len; /* the page of an error is of no use */
	h->failed = place(h, &from);
	if (h->failed == 0 && from + h->taken + len > h->q->max)
		h->failed = -EFBIG;
	if (h->failed == 0)
		h->failed = h->q->take(h->q->ctx, from + h->taken, bytes, len);
	if (h->failed < 0)
		return CURL_WRITEFUNC_ERROR;
	h->taken += len;
	return len;
}

static int on_progress(void *userdata, curl_off_t a _unused_, curl_off_t b _unused_,
		       curl_off_t c _unused_, curl_off_t d _unused_)
{
	struct wv_http *h = userdata;

	if (!h->options.interrupted || !h->options.interrupted(h->options.ctx))
		return 0;
	h->failed = -ECANCELED;
	return 1;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
	char line[WV_ETAG_SIZE + 64];

	snprintf(line, sizeof(line), "%s: %s", name, value);
	return lib.curl_slist_append(list, line) ?: list;
}

/* libcurl takes up to 100 buffers that are there before it looks at the speed again: with small
 * ones that is at most a second's worth. */
static void set_bandwidth(CURL *c, uint64_t bandwidth)
{
	uint64_t buffer = bandwidth / 100;

	buffer = buffer < 1024 ? 1024 : buffer > 16384 ? 16384 : buffer;
	lib.curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)buffer);
	lib.curl_easy_setopt(c, CURLOPT_MAX_RECV_SPEED_LARGE, (curl_off_t)bandwidth);
}

static struct curl_slist *prepare(struct wv_http *h, const struct wv_http_request *q)
{
	const struct wv_http_options *o = &h->options;
	struct curl_slist *headers = NULL;
	char range[32];
	CURL *c = h->curl;

	lib.curl_easy_reset(c); /* connections are kept */
	lib.curl_easy_setopt(c, CURLOPT_URL, q->url);
	lib.curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
	lib.curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	lib.curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	lib.curl_easy_setopt(c, CURLOPT_USERAGENT, "waveos-bpf/" WV_VERSION);
	lib.curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	lib.curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	lib.curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	if (o->ca[0])
		lib.curl_easy_setopt(c, CURLOPT_CAINFO, o->ca);
	if (o->cert[0])
		lib.curl_easy_setopt(c, CURLOPT_SSLCERT, o->cert);
	if (o->key[0])
		lib.curl_easy_setopt(c, CURLOPT_SSLKEY, o->key);
	lib.curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	lib.curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	lib.curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, SLOW_S);
	lib.curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)q->timeout_s);
	if (o->bandwidth)
		set_bandwidth(c, o->bandwidth);
	lib.curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->message);
	lib.curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	lib.curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
	lib.curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	lib.curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
	lib.curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	lib.curl_easy_setopt(c, CURLOPT_XFERINFODATA, h);
	lib.curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	if (q->if_none_match)
		headers = add_header(headers, "If-None-Match", q->if_none_match);
	if (q->from) {
		snprintf(range, sizeof(range), "%llu-", (unsigned long long)q->from);
		lib.curl_easy_setopt(c, CURLOPT_RANGE, range); /* copied */
	}
	if (q->from && q->if_range)
		headers = add_header(headers, "If-Range", q->if_range);
	lib.curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	return headers;
}

static int status_error(long status)
{
	if ((status >= 200 && status < 300) || status == 304)
		return 0;
	if (status == 404 || status == 410)
		return -ENOENT;
	if (status == 401 || status == 403)
		return -EACCES;
	if (status == 416)
		return -ERANGE;
	return status == 408 || status == 429 || status >= 500 ? -EAGAIN : -EREMOTEIO;
}

static int transfer_error(CURLcode code)
{
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
		return -EKEYREJECTED;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return -EINVAL;
	default:
		return -EHOSTUNREACH;
	}
}

int wv_http_get(struct wv_http *h, const struct wv_http_request *q, struct wv_http_answer *ret)
{
	struct curl_slist *headers;
	curl_off_t retry = 0;
	CURLcode code;
	int r;

	*ret = (struct wv_http_answer){.status = 0};
	h->q = q;
	h->answer = ret;
	h->from = h->taken = 0;
	h->failed = 0;
	h->message[0] = '\0';
	headers = prepare(h, q);
	code = lib.curl_easy_perform(h->curl);
	lib.curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &ret->status);
	lib.curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &retry);
	ret->retry_after_s = retry > 0 ? (uint64_t)retry : 0;
	lib.curl_slist_free_all(headers);
	if (h->failed < 0) {
		snprintf(ret->error, sizeof(ret->error), "%s", strerror(-h->failed));
		return h->failed;
	}
	if (code != CURLE_OK) {
		snprintf(ret->error, sizeof(ret->error), "%s",
			 h->message[0] ? h->message : lib.curl_easy_strerror(code));
		return transfer_error(code);
	}
	r = status_error(ret->status);
	if (r < 0)
		snprintf(ret->error, sizeof(ret->error), "the source answered %ld", ret->status);
	return r;
}
