/* SPDX-License-Identifier: GPL-2.0-only */
/* What the worker knows of its proxies, for the status file and for records. */
#ifndef WV_PROXY_VIEW_H
#define WV_PROXY_VIEW_H

#include <sys/types.h>

#include "user/proxy/circuit.h"
#include "user/proxy/proxy.h"
#include "user/proxy/stats.h"

#define WV_PROXY_SERVERS_MAX 8
#define WV_PROXY_STATUS_FILE "status.json" /* in <runtime>/proxy */

/* Counters that go on when HAProxy starts anew. */
struct wv_proxy_counts {
	uint64_t last[WV_STATS_N], sum[WV_STATS_N];
};

struct wv_proxy_server {
	struct wv_proxy_counts counts;
	struct wv_circuit circuit;
	char status[32], check[16];
};

struct wv_proxy_view {
	const struct wv_proxy *proxy;
	struct wv_proxy_counts front, back;
	struct wv_proxy_server servers[WV_PROXY_SERVERS_MAX];
};

struct wv_proxy_state {
	struct wv_proxy_view *views; /* one a proxy */
	size_t n;
	pid_t haproxy;
	uint64_t started_ns, answered_ns;
	uint64_t restarts, hangs, reloads, refused;
	unsigned draining;
	char refusal[512]; /* why the newest configuration is not in force, "" if it is */
};

/* A server's breaker changed. */
typedef void (*wv_proxy_changed_fn)(void *ctx, const struct wv_proxy *p, size_t server,
				    const struct wv_proxy_server *s,
				    const struct wv_circuit_change *change);
/* Takes HAProxy's answer in. -EPROTO: it is none. */
int wv_proxy_state_take(struct wv_proxy_state *s, const char *answer, uint64_t now_ns,
			wv_proxy_changed_fn changed, void *ctx);
/* From here on answers are of another process, which counts from zero. */
void wv_proxy_state_anew(struct wv_proxy_state *s);

/* Sums over all proxies, as figures of the metrics endpoint. */
void wv_proxy_state_show(const struct wv_proxy_state *s);
/* status.json, atomically and not synced: it means nothing after the machine's own end. */
int wv_proxy_state_save(const struct wv_proxy_state *s, const char *dir, uint64_t now_ns);
/* The file as text, to be freed; -ENOENT: no proxy ever ran here. */
int wv_proxy_state_read(const struct wv_paths *paths, char **ret);

/* record.c: a line in the device's log. Takes the reference of fields. */
struct json_object;
void wv_proxy_record(const struct wv_paths *paths, const char *run_id, const char *type,
		     struct json_object *fields);

#endif
