/* SPDX-License-Identifier: GPL-2.0-only */
/* Who talks to the receiver: a process of the otlp worker without any right but the network. */
#ifndef WV_OTLP_HTTP_H
#define WV_OTLP_HTTP_H

#include "user/core/config.h"
#include "user/evidence/anchor_helper.h"
#include "user/otlp/pipe.h"

#define WV_OTLP_URL_SIZE 320

/*
 * URL of a signal by the endpoint: `signal` is "traces" or "logs". -EINVAL with why: no URL that
 * may be used (http:// to another machine, a name and password in it).
 */
int wv_otlp_url(const struct wv_config *config, const char *signal, char ret[WV_OTLP_URL_SIZE],
		char why[160]);

/* What its process does; config must outlive it. */
void wv_otlp_http_work(struct wv_helper_work *ret, const struct wv_config *config);
/* Asks it. 0 with *ret filled (whatever the receiver said), or what wv_helper_ask() says of a
 * helper that is gone: -EPIPE, -ETIMEDOUT, -ECANCELED. */
int wv_otlp_post(struct wv_helper *h, bool logs, bool gzip, const char *body, size_t len,
		 struct wv_otlp_answer *ret);
/* gzip (RFC 1952); *ret to be freed. 0 or -ENOMEM. */
int wv_otlp_gzip(const char *bytes, size_t len, char **ret, size_t *ret_len);

#endif
