/* SPDX-License-Identifier: GPL-2.0-only */
/* What a client shows of itself, as the web worker sees it; who that is, the api worker decides. */
#ifndef WV_EXPORT_WEB_CLIENT_H
#define WV_EXPORT_WEB_CLIENT_H

#include "user/export/web_answer.h"

struct wv_web_client {
	int fd;			   /* its connection; the library's */
	bool loopback;		   /* TCP from this machine */
	bool local_user;	   /* of the UNIX socket */
	bool plain_remote;	   /* another machine, without TLS */
	bool anonymous;		   /* neither token, certificate nor user */
	const char *host, *origin; /* headers, NULL if there is none */
	const char *token;	   /* "" if none */
	size_t token_len;
	const unsigned char *certificate; /* DER, NULL if none */
	size_t certificate_len;
};

void wv_web_client(const struct wv_web_request *r, struct wv_web_client *ret);
/* Names the client by what it shows: 32 bytes. false: it is not to be remembered. */
bool wv_web_client_digest(const struct wv_web_client *c, unsigned char ret[32]);

#endif
