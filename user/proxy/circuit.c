// SPDX-License-Identifier: GPL-2.0-only
#include "user/proxy/circuit.h"

#include <string.h>

const char *const wv_circuit_states[] = {"closed", "open", "half-open"};

/* "UP", "UP 1/3" (a probe failed), "no check"; "DOWN"; "DOWN 1/2": a probe was good. What is in
 * maintenance or draining was put there by hand: it takes no requests. */
static enum wv_circuit_state state_of(const char *status)
{
	if (strncmp(status, "UP", 2) == 0 || strcmp(status, "no check") == 0)
		return WV_CIRCUIT_CLOSED;
	return strncmp(status, "DOWN ", 5) == 0 && strchr(status, '/') ? WV_CIRCUIT_HALF_OPEN
								       : WV_CIRCUIT_OPEN;
}

static uint64_t since(uint64_t now, uint64_t before)
{
	return now >= before ? now - before : now;
}

static void sum(const struct wv_circuit *c, uint64_t from_ns, struct wv_circuit_change *ret)
{
	for (unsigned i = 0; i < WV_CIRCUIT_SAMPLES; i++)
		if (c->samples[i].at_ns && c->samples[i].at_ns >= from_ns) {
			ret->total += c->samples[i].total;
			ret->failed += c->samples[i].failed;
		}
}

struct wv_circuit_change wv_circuit_observe(struct wv_circuit *c, const struct wv_circuit_limits *l,
					    const char *status, const char *check, uint64_t total,
					    uint64_t failed, uint64_t now_ns)
{
	enum wv_circuit_state state = state_of(status);
	struct wv_circuit_change change = {.from = c->state};

	c->samples[c->next].at_ns = now_ns;
	c->samples[c->next].total = since(total, c->last_total);
	c->samples[c->next].failed = since(failed, c->last_failed);
	c->next = (c->next + 1) % WV_CIRCUIT_SAMPLES;
	c->last_total = total;
	c->last_failed = failed;
	sum(c, now_ns > l->window_ns ? now_ns - l->window_ns : 0, &change);
	if (state != c->state) {
		change.changed = true;
		change.reason = state == WV_CIRCUIT_CLOSED	? "probes are good"
				: state == WV_CIRCUIT_HALF_OPEN ? "a probe is good"
				: c->state != WV_CIRCUIT_CLOSED ? "a probe failed"
				: c->tripped			? "share of failures"
				: strcmp(check, "HANA") == 0	? "failures in a row"
								: "probes failed";
		c->opened += state != WV_CIRCUIT_CLOSED && c->state == WV_CIRCUIT_CLOSED;
		c->state = state;
		c->since_ns = now_ns;
		c->tripped = false;
		/* what was before it opened must not open it again when it closes */
		memset(c->samples, 0, sizeof(c->samples));
	} else if (state == WV_CIRCUIT_CLOSED && change.total >= l->min_requests && change.total &&
		   change.failed * 1000 >= change.total * l->error_permille) {
		change.order_down = true;
		c->tripped = true;
	}
	return change;
}
