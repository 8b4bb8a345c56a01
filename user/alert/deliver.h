/* SPDX-License-Identifier: GPL-2.0-only */
/* One delivery to one sink by libcurl: HTTP or SMTP. In the sender alone. */
#ifndef WV_ALERT_DELIVER_H
#define WV_ALERT_DELIVER_H

#include "user/alert/config.h"
#include "user/alert/sender.h"
#include "user/secret/curl.h"
#include "user/secret/secret.h"

struct wv_delivery {
	const struct wv_alert_sink_config *sink;
	struct wv_secrets *secrets;
	unsigned url_secret, token, username, password; /* ids; UINT32_MAX: none */
	char *ca;					/* PEM */
	size_t ca_len;
	/* of the one under way */
	CURL *curl;
	struct curl_slist *headers, *recipients;
	char *body;
	size_t len, at;
	bool again; /* it is the second attempt, with a new secret */
	char answer[256];
	size_t answer_len;
};

/* References and files, before rights are given up. 0 or -errno, which was logged. */
int wv_delivery_prepare(struct wv_delivery *d, const struct wv_alert_sink_config *sink,
			struct wv_secrets *secrets, const struct wv_io *io);
/* Sets up a transfer of these bytes, which it takes. 0 with d->curl, to be performed, or -errno
 * with an answer: nothing could be tried. */
int wv_delivery_begin(struct wv_delivery *d, char *body, size_t len, struct wv_alert_answer *ret);
/* What came of it. 1: it is to be tried once more at once (begun again already), 0: done. */
int wv_delivery_end(struct wv_delivery *d, CURLcode code, struct wv_alert_answer *ret);

#endif
