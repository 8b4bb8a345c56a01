/* SPDX-License-Identifier: GPL-2.0-only */
/* Where an output delivers to. One thread uses a sink; calls may block as long as its timeout. */
#ifndef WV_SPOOL_SINK_H
#define WV_SPOOL_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "user/core/io.h"
#include "user/spool/config.h"

enum wv_send {
	WV_SEND_OK,	 /* all of it was acknowledged */
	WV_SEND_RETRY,	 /* none of it may have arrived */
	WV_SEND_REFUSED, /* it will never be taken: dead letters */
};

struct wv_sink {
	const struct wv_sink_ops *ops;
	const struct wv_spool_output_config *config;
	const struct wv_io *io;
	bool (*is_stopping)(void *ctx); /* asked while a call waits */
	void *ctx;
	void *state;
	/* of the last send */
	char error[200];	 /* why not */
	uint64_t retry_after_ns; /* what the destination asked for, 0: nothing */
	uint64_t rejected;	 /* records that it took but said to have thrown away */
};

struct wv_sink_ops {
	/* MUST: before rights are given up; loads libraries and secrets that never change */
	int (*open)(struct wv_sink *k);
	/* MUST */
	enum wv_send (*send)(struct wv_sink *k, const char *body, size_t len);
	/* MAY: makes what was sent durable, where that is ours to do; 0 or -errno */
	int (*flush)(struct wv_sink *k);
	/* MUST */
	void (*close)(struct wv_sink *k);
};

extern const struct wv_sink_ops wv_sink_file, wv_sink_tls, wv_sink_http;

/* Fills k->error and returns RETRY. */
enum wv_send wv_sink_failed(struct wv_sink *k, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
