// SPDX-License-Identifier: GPL-2.0-only
#include "user/export/web_slow.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "user/core/cleanup.h"

#define LOOK_US 2000000

struct wv_web_connection {
	struct wv_web_connection *next, **at; /* at: what points to it */
	int fd;				      /* the library's */
	uint64_t since_ns; /* its first byte could come, or the last request was over */
	bool head, ended;
};

static uint64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* The library finds the connection closed, and does the rest. */
static int on_look(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct wv_web_connections *w = userdata;
	uint64_t now = mono_ns();

	for (struct wv_web_connection *k = w->first; k; k = k->next) {
		uint64_t limit = k->head ? WV_WEB_WHOLE_NS : WV_WEB_HEAD_NS;

		if (k->ended || now - k->since_ns < limit)
			continue;
		k->ended = true;
		w->ended++;
		(void)shutdown(k->fd, SHUT_RDWR);
	}
	if (!w->first)
		return sd_event_source_set_enabled(s, SD_EVENT_OFF);
	(void)sd_event_source_set_time(s, usec + LOOK_US);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

int wv_web_slow_open(struct wv_web_connections *w, sd_event *loop, const struct wv_mhd *mhd)
{
	int r = sd_event_add_time_relative(loop, &w->timer, CLOCK_MONOTONIC, LOOK_US, 500000,
					   on_look, w);

	w->mhd = mhd;
	return r < 0 ? r : sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
}

void wv_web_slow_close(struct wv_web_connections *w)
{
	w->timer = sd_event_source_disable_unref(w->timer);
}

static void add(struct wv_web_connections *w, struct MHD_Connection *c, void **state)
{
	const union MHD_ConnectionInfo *info =
		w->mhd->get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct wv_web_connection *k = info ? calloc(1, sizeof(*k)) : NULL;
	int armed = SD_EVENT_OFF;

	*state = k;
	if (!k)
		return;
	k->fd = info->connect_fd;
	k->since_ns = mono_ns();
	k->next = w->first;
	k->at = &w->first;
	if (k->next)
		k->next->at = &k->next;
	w->first = k;
	(void)sd_event_source_get_enabled(w->timer, &armed);
	if (armed != SD_EVENT_OFF)
		return;
	(void)sd_event_source_set_time_relative(w->timer, LOOK_US);
	(void)sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

void wv_web_slow_connection(void *cls, struct MHD_Connection *c, void **state,
			    enum MHD_ConnectionNotificationCode code)
{
	struct wv_web_connection *k = *state;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		add(cls, c, state);
		return;
	}
	if (!k)
		return;
	*k->at = k->next;
	if (k->next)
		k->next->at = k->at;
	free(k);
	*state = NULL;
}

static struct wv_web_connection *find(const struct wv_mhd *mhd, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
		mhd->get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void wv_web_slow_head(const struct wv_mhd *mhd, struct MHD_Connection *c)
{
	struct wv_web_connection *k = find(mhd, c);

	if (k)
		k->head = true;
}

void wv_web_slow_done(const struct wv_mhd *mhd, struct MHD_Connection *c)
{
	struct wv_web_connection *k = find(mhd, c);

	if (!k)
		return;
	k->head = false;
	k->since_ns = mono_ns();
}
