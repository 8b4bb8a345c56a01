/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests to the API server, several at a time, by libcurl. The token is read anew for each one,
 * as the kubelet replaces it before it expires. Only https; plain http to a loopback address alone
 * (`kubectl proxy`). No redirects: the token is for this server.
 */
#ifndef WV_KUBE_CLIENT_H
#define WV_KUBE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wv_kube_client;

struct wv_kube_client_options {
	const char *server; /* "https://10.96.0.1:443" */
	const char *token;  /* file, "": none */
	const char *ca;	    /* file, "": the system's */
};

/* One request. It belongs to the caller and stays where it is until over() was called. */
struct wv_kube_request {
	/* Bytes of the answer; negative ends it. MUST */
	int (*take)(void *ctx, long status, const char *bytes, size_t len);
	/* It is over, however it ended; the request may be used again. error: NULL, or why it
	 * broke. MUST */
	void (*over)(void *ctx, long status, const char *error, uint64_t retry_after_s);
	void *ctx;
	/* private */
	void *handle, *headers;
	struct wv_kube_client *client;
	bool running;
	char message[256];
};

/* The file descriptors that are waited for beside the transfers; as poll(2)'s. */
struct wv_kube_wait {
	int fd;
	bool ready;
};

/* Loads what TLS and name resolution load, too, so that no code is loaded later. 0, -ENOPKG,
 * -EINVAL: the server's address is none, or -ENOMEM. */
int wv_kube_client_open(struct wv_kube_client **ret, const struct wv_kube_client_options *o);
/* Ends all transfers without telling. */
void wv_kube_client_close(struct wv_kube_client *c);
/*
 * Starts a request. path: from the first slash on, with its query. body: NULL for GET, else the
 * JSON merge patch (RFC 7386) of a PATCH, copied. timeout_s: for all of it. 0 or -errno: then
 * over() is not called.
 */
int wv_kube_request(struct wv_kube_client *c, struct wv_kube_request *q, const char *path,
		    const char *body, unsigned timeout_s);
/* Does what can be done, calling take() and over(); waits at most so long for more, or until an fd
 * of wait is readable. 0 or -errno. */
int wv_kube_client_turn(struct wv_kube_client *c, struct wv_kube_wait *wait, size_t n,
			int timeout_ms);

#endif
