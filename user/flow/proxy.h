/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A proxy as the configuration declares it: rows `proxies` of include/waveos/lists.def. Every text
 * was checked by wv_proxies_parse() against the alphabet that its place in HAProxy's configuration
 * can hold.
 */
#ifndef WV_FLOW_PROXY_H
#define WV_FLOW_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "user/flow/policy.h"

#define WV_PROXIES_MAX 32
#define WV_PROXY_NAME 32

enum wv_proxy_mode { WV_PROXY_HTTP, WV_PROXY_TCP };
enum wv_proxy_framing { WV_PROXY_STRICT, WV_PROXY_NORMALISE };
enum wv_proxy_send { WV_PROXY_SEND_NONE, WV_PROXY_SEND_V1, WV_PROXY_SEND_V2 };

struct wv_proxy {
	char name[WV_PROXY_NAME];
	char listen[64]; /* address:port */
	int mode;	 /* enum wv_proxy_mode */
	struct wv_strings upstream, proxy_from;
	int send_proxy; /* enum wv_proxy_send */
	struct {
		char cert[256], client_ca[256]; /* cert "": no TLS */
		int min;			/* 0: 1.2, 1: 1.3 */
	} tls;
	struct {
		char ca[256], cert[256], name[128]; /* ca "": no TLS */
		int min;
	} upstream_tls;
	struct {
		int framing; /* enum wv_proxy_framing */
		struct wv_strings methods, hosts, content_types;
		uint64_t uri_max, headers_max, header_bytes, body_max;
		bool chunked;
	} request;
	struct {
		struct wv_strings deny, allow, values;
	} headers;
	struct {
		bool on;
		uint64_t depth;
		struct wv_strings required;
	} json;
	struct {
		uint64_t connections, requests, bytes, table; /* bytes 0: no budget */
	} client;
	struct {
		uint64_t connections, requests, upstream, queue, queue_timeout_ns;
	} total;
	struct {
		uint64_t header_ns, body_ns, idle_ns, connect_ns, response_ns;
	} timeout;
	struct {
		uint64_t errors, error_permille, min_requests, window_ns;
		char probe[128];
		uint64_t probe_every_ns, probes;
	} breaker;
};

#endif
