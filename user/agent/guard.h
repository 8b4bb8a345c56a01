/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the supervisor watches over beside its workers: the watchdogs (systemd's and the
 * hardware's), the kill switch, and why it was started.
 */
#ifndef WV_AGENT_GUARD_H
#define WV_AGENT_GUARD_H

#include <systemd/sd-event.h>

#include "user/core/config.h"
#include "user/core/host.h"
#include "user/core/paths.h"
#include "user/flow/snapshot.h"
#include "user/recover/boot.h"
#include "user/recover/watchdog.h"

struct wv_agent;

struct wv_guard {
	const struct wv_paths *paths;
	const struct wv_config *config;
	struct wv_snapshot *head;
	/* told at every throw of the switch */
	void (*thrown)(void *ctx);
	void *ctx;
	struct wv_boot_evidence boot;
	enum wv_boot_reason reason;
	struct wv_watchdog watchdog;
	char watchdog_reason[96];
	uint64_t notify_ns;  /* interval that systemd wants; 0: none */
	enum wv_vital vital; /* as it was told last */
	sd_event_source *timer, *inotify[2], *signal;
};

/* Looks at the kill switch. Before anything acts; the rest can wait until the first limits hold. */
void wv_guard_open(struct wv_guard *g, const struct wv_paths *paths, const struct wv_config *config,
		   struct wv_snapshot *head);
/* Reads why the agent starts, removes the marker, opens the watchdog. Before any worker runs. */
void wv_guard_explain(struct wv_guard *g, const struct wv_host *host, const char *run_id);
/* Starts kicking and watching the switch; SIGUSR1 has to be blocked. 0 or -errno. */
int wv_guard_start(struct wv_guard *g, sd_event *loop, void (*thrown)(void *ctx), void *ctx);
/* In core, once a run: records `boot` and, where there is one, `watchdog`. */
void wv_guard_record(const struct wv_guard *g, struct wv_agent *agent);
/* An orderly end: writes the marker, stops the watchdog. */
void wv_guard_close(struct wv_guard *g, const struct wv_host *host, bool orderly);
/* In a worker: the watchdog is the supervisor's alone. */
void wv_guard_forked(struct wv_guard *g);

#endif
