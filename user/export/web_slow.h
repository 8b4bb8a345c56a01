/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Clients that take their time. The library ends a connection on which nothing moves; one byte now
 * and then keeps it. Here a request's head, and all of a request with its answer, have a time to be
 * done in, however busy the connection looks.
 */
#ifndef WV_EXPORT_WEB_SLOW_H
#define WV_EXPORT_WEB_SLOW_H

#include <stdint.h>
#include <systemd/sd-event.h>

#include "user/export/web_mhd.h"

#define WV_WEB_HEAD_NS 15000000000ULL
/* longer than any answer of the API may take, and its way */
#define WV_WEB_WHOLE_NS 180000000000ULL

struct wv_web_connection;

struct wv_web_connections {
	const struct wv_mhd *mhd;
	struct wv_web_connection *first;
	sd_event_source *timer;
	uint64_t ended; /* that took too long */
};

/* The timer; before the library is started. 0 or -errno. */
int wv_web_slow_open(struct wv_web_connections *w, sd_event *loop, const struct wv_mhd *mhd);
void wv_web_slow_close(struct wv_web_connections *w);
/* MHD_NotifyConnectionCallback; cls is the struct wv_web_connections. */
void wv_web_slow_connection(void *cls, struct MHD_Connection *c, void **state,
			    enum MHD_ConnectionNotificationCode code);
/* The head of a request is there; the request is over. */
void wv_web_slow_head(const struct wv_mhd *mhd, struct MHD_Connection *c);
void wv_web_slow_done(const struct wv_mhd *mhd, struct MHD_Connection *c);

#endif
