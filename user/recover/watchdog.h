/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hardware watchdog: owned by the supervisor, kicked only while the agent does its work.
 * Whoever is alive is decided by a pure function over what core publishes.
 */
#ifndef WV_RECOVER_WATCHDOG_H
#define WV_RECOVER_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

#include "user/core/io.h"

/* What has to be alive. Row: (id, text) */
#define WV_VITALS(X)                                                                               \
	X(ALL, "alive")                                                                            \
	X(LOOP, "the loop of core is late")                                                        \
	X(LOG, "the log cannot be written")                                                        \
	X(ENFORCEMENT, "enforcement fails")
enum wv_vital {
#define X(id, text) WV_VITAL_##id,
	WV_VITALS(X)
#undef X
		WV_VITAL_N
};
extern const char *const wv_vital_texts[WV_VITAL_N];

/* After the start this long nothing has to be alive yet. */
#define WV_VITAL_GRACE_NS 60000000000ULL

struct wv_vitals {
	uint64_t now_ns;     /* monotonic */
	uint64_t started_ns; /* of the agent */
	uint64_t tick_ns;    /* of core's last tick in this run; 0: none yet */
	uint64_t tick_interval_ns;
	bool log_ok, enforcement_ok;
	bool needs_log;
};
/* WV_VITAL_ALL, or the first that is not alive. */
enum wv_vital wv_vitals_check(const struct wv_vitals *v);

struct wv_watchdog {
	const struct wv_io *io;
	int fd; /* -1: none */
	char identity[33];
	uint32_t options;	     /* WDIOF_* that it supports */
	uint32_t bootstatus;	     /* WDIOF_* of this boot */
	int timeout_s, pretimeout_s; /* in force; 0: none */
};

/*
 * Opens the device, which starts it, and sets its times. *ret_reason (a static text) says what did
 * not work. 0 or -errno; then it is not running because of us.
 */
int wv_watchdog_open(struct wv_watchdog *w, const struct wv_io *io, const char *device,
		     uint64_t timeout_ns, uint64_t pretimeout_ns, const char **ret_reason);
int wv_watchdog_kick(struct wv_watchdog *w);
/* Stops it with the magic character, where the driver allows that. */
void wv_watchdog_close(struct wv_watchdog *w);
/* How often it has to be kicked. */
uint64_t wv_watchdog_interval_ns(const struct wv_watchdog *w);

#endif
