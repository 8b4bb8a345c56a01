/* SPDX-License-Identifier: GPL-2.0-only */
/* What the otlp worker says of itself: <runtime>/otlp.json, which `status` shows. */
#ifndef WV_OTLP_STATUS_H
#define WV_OTLP_STATUS_H

#include "user/core/config.h"
#include "user/core/paths.h"
#include "user/otlp/pipe.h"

struct wv_otlp_status {
	int dirfd; /* -1: nothing is written */
	const struct wv_config *config;
	char *last; /* what is in the file */
	/* what the figures of the metrics endpoint have: of traces, logs, turns */
	struct wv_otlp_counts told[2];
	uint64_t told_turns[2]; /* dropped, missed */
};

void wv_otlp_status_open(struct wv_otlp_status *s, const struct wv_paths *paths,
			 const struct wv_config *config);
/* Writes it if anything changed. missed: turns that were overwritten before they were read. */
void wv_otlp_status_write(struct wv_otlp_status *s, const struct wv_otlp_pipe *pipes, unsigned n,
			  const struct wv_otlp_turn_list *turns, uint64_t missed);
void wv_otlp_status_close(struct wv_otlp_status *s);

/* For `status`: the file as an object, NULL if there is none. */
struct json_object *wv_otlp_status_read(const struct wv_paths *paths);
/* Two or three lines of it. */
void wv_otlp_status_print(FILE *f, struct json_object *o);

#endif
