// SPDX-License-Identifier: GPL-2.0-only
/* The one place of the log that talks HTTP, by libcurl. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/dl.h"
#include "user/core/log.h"
#include "user/evidence/witness.h"

#define TIMEOUT_S 15L
#define ANSWER_MAX (64U << 10)

static __typeof__(curl_easy_init) *easy_init;
static __typeof__(curl_easy_perform) *easy_perform;
static __typeof__(curl_easy_cleanup) *easy_cleanup;
static __typeof__(curl_easy_strerror) *easy_strerror;
/* the header wraps these two in macros that check types at compile time */
static CURLcode (*easy_setopt)(CURL *h, CURLoption o, ...);
static CURLcode (*easy_getinfo)(CURL *h, CURLINFO i, ...);

static const struct wv_dl_symbol symbols[] = {
	{"curl_easy_init", &easy_init},
	{"curl_easy_perform", &easy_perform},
	{"curl_easy_cleanup", &easy_cleanup},
	{"curl_easy_strerror", &easy_strerror},
	{"curl_easy_setopt", &easy_setopt},
	{"curl_easy_getinfo", &easy_getinfo},
	{0},
};

struct answer {
	char *text;
	size_t len;
};

static size_t on_bytes(char *bytes, size_t size, size_t n, void *userdata)
{
	struct answer *a = userdata;
	char *more;

	n *= size;
	if (a->len + n > ANSWER_MAX)
		return 0;
	more = realloc(a->text, a->len + n + 1);
	if (!more)
		return 0;
	memcpy(more + a->len, bytes, n);
	a->text = more;
	a->len += n;
	a->text[a->len] = '\0';
	return n;
}

static int perform(CURL *h, const char *url, const char *body, struct answer *a)
{
	char error[CURL_ERROR_SIZE] = "";
	long status = 0;
	CURLcode c;

	(easy_setopt)(h, CURLOPT_URL, url);
	(easy_setopt)(h, CURLOPT_PROTOCOLS_STR, "http,https");
	(easy_setopt)(h, CURLOPT_POSTFIELDS, body);
	(easy_setopt)(h, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
	(easy_setopt)(h, CURLOPT_TIMEOUT, TIMEOUT_S);
	(easy_setopt)(h, CURLOPT_NOSIGNAL, 1L);
	(easy_setopt)(h, CURLOPT_USERAGENT, "waveos-bpf/" WV_VERSION);
	(easy_setopt)(h, CURLOPT_ERRORBUFFER, error);
	(easy_setopt)(h, CURLOPT_WRITEFUNCTION, on_bytes);
	(easy_setopt)(h, CURLOPT_WRITEDATA, a);
	c = easy_perform(h);
	if (c != CURLE_OK)
		return wv_log_errno(-EHOSTUNREACH, "witness", "%s: %s", url,
				    error[0] ? error : easy_strerror(c));
	(easy_getinfo)(h, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

int wv_witness_post_load(void)
{
	int r = wv_dl_load("libcurl.so.4", "libcurl4", symbols);
	CURL *h;

	if (r < 0)
		return r;
	/* the first handle initialises the library and that of TLS */
	h = easy_init();
	if (!h)
		return -ENOMEM;
	easy_cleanup(h);
	return 0;
}

int wv_witness_post(void *ctx _unused_, const char *url, const char *body, char **ret)
{
	_cleanup_free_ char *whole = NULL;
	struct answer a = {0};
	size_t len = strlen(url);
	CURL *h;
	int r;

	r = wv_dl_load("libcurl.so.4", "libcurl4", symbols);
	if (r < 0)
		return r;
	while (len && url[len - 1] == '/')
		len--;
	if (asprintf(&whole, "%.*s/add-checkpoint", (int)len, url) < 0)
		return -ENOMEM;
	h = easy_init();
	if (!h)
		return -ENOMEM;
	r = perform(h, whole, body, &a);
	easy_cleanup(h);
	if (r < 0) {
		free(a.text);
		return r;
	}
	*ret = a.text;
	return r;
}
