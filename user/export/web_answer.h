/* SPDX-License-Identifier: GPL-2.0-only */
/* What the web worker answers. Internal to it. */
#ifndef WV_EXPORT_WEB_ANSWER_H
#define WV_EXPORT_WEB_ANSWER_H

#include "user/export/openmetrics.h"
#include "user/export/web_mhd.h"

/*
 * Bodies of scrapes that may be alive at once. Every client of one tick shares one; a slow client
 * keeps its own alive, and when that many are held, others are told to come back (503).
 */
#define WV_WEB_BODIES 4

struct wv_web {
	struct wv_mhd mhd;
	const struct wv_snapshot_map *snapshot;
	struct wv_metrics *metrics;
	uint32_t max_series;
	/* the newest body, by format and encoding; all of the tick `tick` */
	struct MHD_Response *cached[WV_METRICS_FORMATS][2];
	uint64_t tick;
	unsigned bodies;
};

/* MHD_AccessHandlerCallback; cls is the struct wv_web. */
enum MHD_Result wv_web_answer(void *cls, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **state);
/* Lets go of the newest bodies (those still being sent live until they are sent). */
void wv_web_forget(struct wv_web *w);
bool wv_web_holds(const struct wv_web *w);

/* Parts that are tested alone. */
enum wv_metrics_format wv_web_negotiate(const char *accept);
bool wv_web_accepts_gzip(const char *accept_encoding);

#endif
