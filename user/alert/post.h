/* SPDX-License-Identifier: GPL-2.0-only */
/* What is under way to sinks, and what comes of it. */
#ifndef WV_ALERT_POST_H
#define WV_ALERT_POST_H

#include "user/alert/alert.h"
#include "user/core/io.h"

struct wv_alert_post {
	const struct wv_io *io;
	struct wv_alerts *book;
	const char *state, *run_id;
	int dirfd, sender;
	struct {
		struct wv_alert_told *told;
		size_t n;
		uint64_t key; /* of its group */
	} under_way[WV_ALERT_SINKS_MAX];
};

/* Hands the sender what is due. *ret_wait_ns: until more may be. 0, or -EPIPE: it is gone. */
int wv_alert_post_due(struct wv_alert_post *p, int64_t *ret_wait_ns);
/* Takes in the sender's answers. 0 or -EPIPE. */
int wv_alert_post_answers(struct wv_alert_post *p);
bool wv_alert_post_busy(const struct wv_alert_post *p);
void wv_alert_post_done(struct wv_alert_post *p);

#endif
