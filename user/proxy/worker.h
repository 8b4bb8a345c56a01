/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the parts of the proxy worker: worker.c, keep.c (processes), renew.c (configurations).
 */
#ifndef WV_PROXY_WORKER_H
#define WV_PROXY_WORKER_H

#include <systemd/sd-event.h>

#include "user/proxy/program.h"
#include "user/proxy/view.h"

#define WV_PROXY_MODULE "proxy"
#define WV_PROXY_OLD_MAX 8

struct wv_proxy_process {
	struct wv_proxy_worker *worker;
	pid_t pid;
	int pidfd, output;
	uint64_t started_ns;
	size_t lines, bytes;
	sd_event_source *ended, *said;
};

struct wv_proxy_worker {
	const struct wv_worker_context *ctx;
	struct wv_config config; /* settings of the context, proxies of the newest file */
	bool own_proxies;	 /* the lists of config are ours to free */
	struct wv_proxy_files files;
	struct wv_proxy_state state;
	int lock;
	sd_event *loop;
	sd_event_source *ask;
	struct wv_proxy_process current, next, old[WV_PROXY_OLD_MAX];
	unsigned quick;
	uint64_t start_at_ns; /* 0: nothing is to be started */
};

/* keep.c: one HAProxy at least, while one is wanted. */
uint64_t wv_proxy_now_ns(void);
/* Gives back its descriptors; the process is somebody's who knows that it ended. */
void wv_proxy_let_go(struct wv_proxy_process *p);
void wv_proxy_signal(const struct wv_proxy_process *p, int signal);
int wv_proxy_watch(struct wv_proxy_worker *w, struct wv_proxy_process *p);
/* The worker looks at its HAProxy soon instead of in a second. */
void wv_proxy_look_soon(struct wv_proxy_worker *w);
int wv_proxy_launch(struct wv_proxy_worker *w, struct wv_proxy_process *p, bool take_over);
/* Starts the current one; what fails is tried again later. */
void wv_proxy_launch_current(struct wv_proxy_worker *w);
/* A place in w->old; the oldest one that still drains is ended for it where there is none. */
struct wv_proxy_process *wv_proxy_free_old(struct wv_proxy_worker *w);
/* A process becomes another member of the worker. */
void wv_proxy_move(struct wv_proxy_worker *w, struct wv_proxy_process *from,
		   struct wv_proxy_process *to);
/* `next` answers: it has the sockets and is the current one from here on. */
void wv_proxy_promote(struct wv_proxy_worker *w);
/* Asks it to finish within that time, then ends it. */
void wv_proxy_stop(struct wv_proxy_process *p, int timeout_ms);

/* renew.c */
/* Views of the proxies of w->config; figures of those that were there before go on. 0, -ENOMEM. */
int wv_proxy_renew_views(struct wv_proxy_worker *w);
/* Brings HAProxy to w->config; leaves it alone where nothing is different. */
void wv_proxy_apply(struct wv_proxy_worker *w);
/* Reads the configuration's file again, and applies it. */
void wv_proxy_reload(struct wv_proxy_worker *w);

#endif
