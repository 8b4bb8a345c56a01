/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HTTPS as a client, by libcurl, which is loaded when the first source is asked. Only https, no
 * redirects, TLS 1.2 or later, certificates always checked.
 */
#ifndef WV_UPDATE_HTTP_H
#define WV_UPDATE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WV_ETAG_SIZE 192

struct wv_http;

/* What holds for all requests; texts are kept by the caller, "" where there is none. */
struct wv_http_options {
	const char *ca, *cert, *key;
	uint64_t bandwidth; /* bytes a second, 0: no bound */
	/* asked about once a second and with every piece: true ends the transfer (-ECANCELED). MAY
	 * be NULL */
	bool (*interrupted)(void *ctx);
	void *ctx;
};

struct wv_http_request {
	const char *url;
	const char *if_none_match; /* ETag, NULL: none */
	uint64_t from;		   /* first byte that is wanted */
	const char *if_range;	   /* ETag of what is there already, NULL: none */
	uint64_t max;		   /* bytes of body that are taken, over it -EFBIG */
	unsigned timeout_s;	   /* for all of it; 0: only that it must not stand still */
	/*
	 * Takes the body in pieces; from: place of its first byte in the whole (0 also where a part
	 * was asked for and the source sent all). 0 or -errno, which ends the transfer.
	 */
	int (*take)(void *ctx, uint64_t from, const void *bytes, size_t len);
	void *ctx;
};

struct wv_http_answer {
	long status; /* 200, 206, 304 ... */
	char etag[WV_ETAG_SIZE];
	uint64_t retry_after_s; /* 0: not said */
	char error[256];	/* for people */
};

/* -ENOPKG: libcurl is not installed. */
int wv_http_open(struct wv_http **ret, const struct wv_http_options *options);
/*
 * 0 with any status but those of errors: -ENOENT (404, 410), -EACCES (401, 403), -EAGAIN (408, 429,
 * 5xx: later), -EREMOTEIO (other statuses), -ERANGE (416), -EHOSTUNREACH (no connection, it broke
 * or stood still), -EKEYREJECTED (TLS: its certificate or ours), and what take() returned.
 */
int wv_http_get(struct wv_http *h, const struct wv_http_request *q, struct wv_http_answer *ret);
void wv_http_close(struct wv_http *h);

#endif
