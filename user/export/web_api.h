/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The web worker's side of the API: requests that it cannot answer itself go to the api worker
 * (user/api/wire.h) with what the client showed, and wait in a table with deadlines. A worker that
 * is slow or dead there costs its clients a 503 or 504, and this one nothing.
 */
#ifndef WV_EXPORT_WEB_API_H
#define WV_EXPORT_WEB_API_H

#include <systemd/sd-event.h>

#include "user/api/wire.h"
#include "user/export/web_answer.h"

/* Requests that wait at once: fewer than one address may have connections, so that a worker which
 * is slow takes no client the rest. */
#define WV_WEB_ASKED_MAX 12

struct wv_web_api;

/*
 * fd: to the api worker. `resumed` is called when connections have something to do again; `reload`
 * when the worker is to end for other certificates. 0 or -errno.
 */
int wv_web_api_open(struct wv_web_api **ret, struct wv_web *web, sd_event *loop, int fd,
		    void (*resumed)(void *ctx), void (*reload)(void *ctx), void *ctx);
/* All that waits gets its 503: the library must not be stopped while it does. */
void wv_web_api_cancel(struct wv_web_api *api);
/* After the library was stopped. */
void wv_web_api_close(struct wv_web_api *api);

/* What the certificates of clients are read with; before the sandbox. 0 or -errno. */
int wv_web_api_load_tls(void);

/* MHD_RequestCompletedCallback: frees what a request left in *state. */
void wv_web_completed(void *cls, struct MHD_Connection *c, void **state,
		      enum MHD_RequestTerminationCode code);

/* Parts that are tested alone. */
/* The route and number of a path: "/api/v1/events/12/proof". false: there is none. */
bool wv_web_api_route(const char *method, const char *path, enum wv_api_route *ret,
		      uint64_t *ret_number);
/* The token of an Authorization header; NULL if it has none ("Bearer", RFC 6750). */
const char *wv_web_bearer(const char *header, size_t *ret_len);
/* Whether a Host header is an address or localhost, which no name server of others can give. */
bool wv_web_host_is_literal(const char *host);
/* Whether an Origin header is this host's. */
bool wv_web_origin_is_own(const char *origin, const char *host);

#endif
