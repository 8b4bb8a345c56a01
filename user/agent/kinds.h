/* SPDX-License-Identifier: GPL-2.0-only */
/* The kinds of workers: which of them this machine's settings want, and what each does. */
#ifndef WV_AGENT_KINDS_H
#define WV_AGENT_KINDS_H

#include "user/agent/core.h"

struct wv_worker_kind {
	enum wv_worker_id id;
	bool dry; /* runs with --dry-run, too: it changes nothing */
	bool (*wanted)(const struct wv_worker_context *ctx);
	int (*run)(const struct wv_worker_context *ctx); /* in its process; its exit status */
};

/* One of each, in the order in which they are started. */
extern const struct wv_worker_kind wv_worker_kinds[WV_WORKER_N];

#endif
