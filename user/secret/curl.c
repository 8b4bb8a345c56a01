// SPDX-License-Identifier: GPL-2.0-only
#include "user/secret/curl.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/dl.h"
#include "user/secret/secret.h"

struct wv_curl wv_curl;

static void wiping_free(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

/* A block that moves is wiped where it was. */
static void *wiping_realloc(void *p, size_t size)
{
	size_t had = p ? malloc_usable_size(p) : 0;
	void *moved;

	if (size && size <= had && had / 2 <= size)
		return p;
	moved = malloc(size ? size : 1);
	if (!moved)
		return NULL;
	if (p)
		memcpy(moved, p, had < size ? had : size);
	wiping_free(p);
	return moved;
}

int wv_secrets_load_curl(void)
{
	static const struct wv_dl_symbol symbols[] = {
#define SYMBOL(name) {#name, &wv_curl.name},
		WV_CURL_FUNCTIONS(SYMBOL)
#undef SYMBOL
			{NULL, NULL},
	};
	static bool loaded;
	int r = loaded ? 0 : wv_dl_load("libcurl.so.4", "libcurl4", symbols);

	if (r < 0 || loaded)
		return r;
	if (wv_curl.curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc,
					 strdup, calloc) != CURLE_OK)
		return -ENOMEM;
	loaded = true;
	return 0;
}

int wv_curl_header(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer;

	for (const char *p = line; *p; p++)
		if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
			return -EBADMSG;
	longer = wv_curl.curl_slist_append(*list, line);
	if (!longer)
		return -ENOMEM;
	*list = longer;
	return 0;
}

int wv_curl_error(CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
		return -EKEYREJECTED;
	case CURLE_LOGIN_DENIED:
	case CURLE_REMOTE_ACCESS_DENIED:
		return -EACCES;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return -EINVAL;
	default:
		return -EHOSTUNREACH;
	}
}
