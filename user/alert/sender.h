/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The process that talks to sinks: nobody, with network and secrets but without a file of ours; the
 * worker, which has those, has no network. One delivery a sink at a time, all sinks at once.
 */
#ifndef WV_ALERT_SENDER_H
#define WV_ALERT_SENDER_H

#include "user/core/config.h"
#include "user/core/io.h"

#define WV_ALERT_MESSAGE_MAX (2U << 20)

/* In the order of increasing hopelessness. */
enum wv_alert_result { WV_ALERT_SENT, WV_ALERT_RETRY, WV_ALERT_REFUSED };

struct wv_alert_answer {
	uint32_t sink;
	int32_t result; /* enum wv_alert_result */
	uint64_t retry_after_s;
	char why[128]; /* printable, without a secret */
};

/* Forks it. *ret_fd: our end of its socket. 0 or -errno; that rights could not be given up ends it
 * at once. */
int wv_alert_sender_start(const struct wv_io *io, const struct wv_config *config, int *ret_fd);
/* A message for a sink that has none under way. 0, or -EPIPE: the sender is gone. */
int wv_alert_sender_put(int fd, unsigned sink, const char *bytes, size_t len);
/* 1 with an answer, 0: there is none yet, -EPIPE. */
int wv_alert_sender_get(int fd, struct wv_alert_answer *ret);

#endif
