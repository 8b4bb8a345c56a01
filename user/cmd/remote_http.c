// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/remote_http.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CURL_DISABLE_TYPECHECK /* its macros would take members for its functions */
#include <curl/curl.h>

#include "user/api/wire.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/dl.h"

#define TIMEOUT_S 130L /* the slowest route, and some */

#define CURL_FUNCTIONS(F)                                                                          \
	F(curl_global_init)                                                                        \
	F(curl_easy_init)                                                                          \
	F(curl_easy_setopt)                                                                        \
	F(curl_easy_perform)                                                                       \
	F(curl_easy_getinfo)                                                                       \
	F(curl_easy_cleanup)                                                                       \
	F(curl_easy_strerror)                                                                      \
	F(curl_easy_escape)                                                                        \
	F(curl_free)                                                                               \
	F(curl_slist_append)                                                                       \
	F(curl_slist_free_all)

struct wv_remote {
#define POINTER(name) __typeof__(name) *name;
	CURL_FUNCTIONS(POINTER)
#undef POINTER
	CURL *curl;
	const char *socket;
	char why[CURL_ERROR_SIZE];
};

int wv_remote_open(struct wv_remote **ret, const char *socket)
{
	struct wv_remote *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	{
		const struct wv_dl_symbol symbols[] = {
#define SYMBOL(name) {#name, &r->name},
			CURL_FUNCTIONS(SYMBOL)
#undef SYMBOL
				{NULL, NULL},
		};

		e = wv_dl_load("libcurl.so.4", "libcurl4", symbols);
	}
	r->socket = socket;
	if (e == 0 && (r->curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
		       !(r->curl = r->curl_easy_init())))
		e = -ENOMEM;
	if (e < 0) {
		free(r);
		return e;
	}
	*ret = r;
	return 0;
}

void wv_remote_close(struct wv_remote *r)
{
	if (!r)
		return;
	r->curl_easy_cleanup(r->curl);
	free(r);
}

char *wv_remote_escape(struct wv_remote *r, const char *text)
{
	return r->curl_easy_escape(r->curl, text, 0);
}

void wv_remote_free(struct wv_remote *r, char *escaped)
{
	r->curl_free(escaped);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *userdata)
{
	struct wv_remote_answer *a = userdata;
	size_t len = size * n;
	char *more = a->len + len > WV_API_DOWNLOAD_MAX ? NULL : realloc(a->data, a->len + len + 1);

	if (!more)
		return 0;
	memcpy(more + a->len, bytes, len);
	a->data = more;
	a->len += len;
	more[a->len] = '\0';
	return len;
}

static int perform(struct wv_remote *r, struct wv_remote_answer *ret)
{
	const char *type = NULL;
	CURLcode e = r->curl_easy_perform(r->curl);
	long os = 0;

	if (e != CURLE_OK) {
		(void)r->curl_easy_getinfo(r->curl, CURLINFO_OS_ERRNO, &os);
		if (!r->why[0] || os)
			snprintf(r->why, sizeof(r->why), "%s",
				 os ? strerror((int)os) : r->curl_easy_strerror(e));
		return os == EACCES ? -EACCES : -EIO;
	}
	(void)r->curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &ret->status);
	(void)r->curl_easy_getinfo(r->curl, CURLINFO_CONTENT_TYPE, &type);
	ret->is_json = type && strncmp(type, "application/json", 16) == 0;
	return 0;
}

int wv_remote_ask(struct wv_remote *r, const char *method, const char *url, const char *upload,
		  struct wv_remote_answer *ret)
{
	struct curl_slist *headers = NULL;
	_cleanup_free_ char *body = NULL;
	size_t len = 0;
	int e;

	r->why[0] = '\0';
	if (upload) {
		e = wv_config_read(upload, &body, &len);
		if (e < 0) {
			snprintf(r->why, sizeof(r->why), "%.200s: %s", upload, strerror(-e));
			return -EIO;
		}
	}
	r->curl_easy_setopt(r->curl, CURLOPT_URL, url);
	r->curl_easy_setopt(r->curl, CURLOPT_UNIX_SOCKET_PATH, r->socket);
	r->curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
	r->curl_easy_setopt(r->curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	r->curl_easy_setopt(r->curl, CURLOPT_ERRORBUFFER, r->why);
	r->curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, on_body);
	r->curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, ret);
	if (strcmp(method, "POST") == 0) {
		headers = r->curl_slist_append(NULL, "Content-Type: application/yaml");
		/* small enough to be sent at once */
		headers = r->curl_slist_append(headers, "Expect:");
		r->curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, headers);
		r->curl_easy_setopt(r->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
		r->curl_easy_setopt(r->curl, CURLOPT_POSTFIELDS, body ?: "");
	}
	e = perform(r, ret);
	r->curl_slist_free_all(headers);
	return e;
}

const char *wv_remote_why(const struct wv_remote *r)
{
	return r->why;
}
