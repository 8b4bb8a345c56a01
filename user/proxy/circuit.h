/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The breaker of one server. HAProxy opens it at once after so many failures in a row or failed
 * probes and closes it after so many good probes; here the third reason is added, the share of
 * failures in a window, and all of it becomes one state machine whose changes are recorded. Pure.
 */
#ifndef WV_PROXY_CIRCUIT_H
#define WV_PROXY_CIRCUIT_H

#include <stdbool.h>
#include <stdint.h>

#define WV_CIRCUIT_SAMPLES 64

enum wv_circuit_state { WV_CIRCUIT_CLOSED, WV_CIRCUIT_OPEN, WV_CIRCUIT_HALF_OPEN };
extern const char *const wv_circuit_states[]; /* "closed", ... */

struct wv_circuit_limits {
	uint64_t error_permille, min_requests, window_ns;
};

struct wv_circuit {
	enum wv_circuit_state state;
	uint64_t since_ns, opened; /* monotonic; times it opened */
	bool tripped;		   /* by the share; the answer to the order is not there yet */
	uint64_t last_total, last_failed;
	struct {
		uint64_t at_ns, total, failed; /* since the look before */
	} samples[WV_CIRCUIT_SAMPLES];
	unsigned next;
};

struct wv_circuit_change {
	bool changed, order_down; /* order_down: HAProxy is to take the server out now */
	enum wv_circuit_state from;
	const char *reason;
	uint64_t total, failed; /* in the window */
};

/*
 * One look: HAProxy's words for the server's state and for what judged it last, and how many
 * requests it had and failed since HAProxy's start (smaller than before: it was started anew).
 */
struct wv_circuit_change wv_circuit_observe(struct wv_circuit *c, const struct wv_circuit_limits *l,
					    const char *status, const char *check, uint64_t total,
					    uint64_t failed, uint64_t now_ns);

#endif
