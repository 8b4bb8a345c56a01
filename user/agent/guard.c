// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/guard.h"

#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <systemd/sd-daemon.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"
#include "user/recover/switch.h"

/* Without any watchdog the vitals are looked at this often, to say so in the log. */
#define LOOK_NS 5000000000ULL

static uint64_t mono_ns(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

/* Why --------------------------------------------------------------------------------------------
 */

static void open_watchdog(struct wv_guard *g)
{
	const char *device = g->config->watchdog_device, *reason;
	int r;

	if (!device[0])
		return;
	r = wv_watchdog_open(&g->watchdog, &wv_io_system, device, g->config->watchdog_timeout,
			     g->config->watchdog_pretimeout, &reason);
	snprintf(g->watchdog_reason, sizeof(g->watchdog_reason), "%.95s", reason);
	if (r < 0) {
		(void)wv_log_errno(r, "watchdog", "watchdog.device=%s: %s", device, reason);
		return;
	}
	g->boot.watchdog_flags |= g->watchdog.bootstatus;
	wv_log_info("watchdog", "%s (%s): %d s, pretimeout %d s%s%s", device, g->watchdog.identity,
		    g->watchdog.timeout_s, g->watchdog.pretimeout_s, reason[0] ? "; " : "", reason);
}

void wv_guard_open(struct wv_guard *g, const struct wv_paths *paths, const struct wv_config *config,
		   struct wv_snapshot *head)
{
	*g = (struct wv_guard){
		.paths = paths, .config = config, .head = head, .watchdog = {.fd = -1}};
	atomic_store(&head->disarmed, wv_switch_is_on(paths, NULL, 0));
	atomic_store(&head->disarmed_mono_ns, mono_ns());
}

void wv_guard_explain(struct wv_guard *g, const struct wv_host *host, const char *run_id)
{
	const struct wv_boot_places places = {
		.state = g->paths->state,
		.pstore = "/sys/fs/pstore",
		.watchdog_class = "/sys/class/watchdog",
		.boot_id = host->boot_id,
		.own_run = run_id,
	};
	uint64_t usec = 0;

	wv_boot_gather(&wv_io_system, &places, &g->boot);
	open_watchdog(g);
	g->reason = wv_boot_classify(&g->boot);
	wv_marker_remove(&wv_io_system, g->paths->state);
	wv_log_info("supervisor", "why it starts: %s", wv_boot_reason_names[g->reason]);
	if (sd_watchdog_enabled(0, &usec) > 0)
		g->notify_ns = usec * 1000;
}

void wv_guard_record(const struct wv_guard *g, struct wv_agent *agent)
{
	struct json_object *o;

	(void)agent->record(agent, "boot", wv_boot_json(&g->boot, g->reason));
	if (!g->config->watchdog_device[0] && !g->notify_ns)
		return;
	o = json_object_new_object();
	json_object_object_add(o, "device", json_object_new_string(g->config->watchdog_device));
	json_object_object_add(o, "identity", json_object_new_string(g->watchdog.identity));
	json_object_object_add(o, "timeout_s", json_object_new_int(g->watchdog.timeout_s));
	json_object_object_add(o, "pretimeout_s", json_object_new_int(g->watchdog.pretimeout_s));
	json_object_object_add(o, "bootstatus", json_object_new_int64(g->watchdog.bootstatus));
	json_object_object_add(o, "reason", json_object_new_string(g->watchdog_reason));
	json_object_object_add(o, "systemd_interval_ns", json_object_new_uint64(g->notify_ns));
	(void)agent->record(agent, "watchdog", o);
}

/* Vitals -----------------------------------------------------------------------------------------
 */

static uint64_t interval_ns(const struct wv_guard *g)
{
	uint64_t interval = LOOK_NS;

	if (g->notify_ns && g->notify_ns / 3 < interval)
		interval = g->notify_ns / 3;
	if (g->watchdog.fd >= 0 && wv_watchdog_interval_ns(&g->watchdog) < interval)
		interval = wv_watchdog_interval_ns(&g->watchdog);
	return interval;
}

static enum wv_vital look(const struct wv_guard *g)
{
	const struct wv_snapshot *h = g->head;
	struct wv_vitals v = {
		.now_ns = mono_ns(),
		.started_ns = h->started_mono_ns,
		.tick_ns = h->mono_ns >= h->started_mono_ns ? h->mono_ns : 0,
		.tick_interval_ns = g->config->agent_tick,
		.log_ok = !atomic_load(&h->log_errno),
		.enforcement_ok = !atomic_load(&h->enforce_errno),
		.needs_log = g->config->watchdog_needs_log,
	};

	return wv_vitals_check(&v);
}

static int on_timer(sd_event_source *s, uint64_t usec _unused_, void *userdata)
{
	struct wv_guard *g = userdata;
	enum wv_vital vital = look(g);
	bool kicks = g->watchdog.fd >= 0 || g->notify_ns;

	if (vital != g->vital && vital != WV_VITAL_ALL)
		(void)wv_log_full(LOG_ERR, 0, "watchdog", "%s%s", wv_vital_texts[vital],
				  kicks ? ": the watchdog is not kicked" : "");
	else if (vital != g->vital)
		wv_log_info("watchdog", "all is alive again");
	g->vital = vital;
	if (vital == WV_VITAL_ALL) {
		if (g->notify_ns)
			(void)sd_notify(0, "WATCHDOG=1");
		if (g->watchdog.fd >= 0)
			(void)wv_watchdog_kick(&g->watchdog);
	}
	(void)sd_event_source_set_time_relative(s, interval_ns(g) / 1000);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* Kill switch ------------------------------------------------------------------------------------
 */

static void look_at_switch(struct wv_guard *g)
{
	char which[WV_PATH_SIZE + 16] = "";
	bool on = wv_switch_is_on(g->paths, which, sizeof(which));

	if (on == (atomic_load(&g->head->disarmed) != 0))
		return;
	atomic_store(&g->head->disarmed_mono_ns, mono_ns());
	atomic_store(&g->head->disarmed, on);
	(void)wv_log_full(LOG_WARNING, 0, "supervisor", "kill switch %s%s",
			  on ? "on: observing only; " : "off: armed again", which);
	g->thrown(g->ctx);
}

static int on_folder(sd_event_source *s _unused_, const struct inotify_event *event _unused_,
		     void *userdata)
{
	look_at_switch(userdata);
	return 0;
}

static int on_signal(sd_event_source *s _unused_, const struct signalfd_siginfo *si _unused_,
		     void *userdata)
{
	struct wv_guard *g = userdata;
	bool on;
	int r = wv_switch_toggle(g->paths, &on);

	if (r < 0)
		(void)wv_log_errno(r, "supervisor", "kill switch by signal");
	look_at_switch(g);
	return 0;
}

int wv_guard_start(struct wv_guard *g, sd_event *loop, void (*thrown)(void *ctx), void *ctx)
{
	char folders[2][WV_PATH_SIZE];
	int r, s;

	g->thrown = thrown;
	g->ctx = ctx;
	wv_switch_folders(g->paths, folders[0], folders[1]);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		s = sd_event_add_inotify(loop, &g->inotify[i], folders[i],
					 IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM,
					 on_folder, g);
		if (s < 0 && i == 0) /* the other one need not exist */
			(void)wv_log_warn(s, "supervisor", "watch %s for the kill switch",
					  folders[i]);
	}
	r = sd_event_add_signal(loop, &g->signal, SIGUSR1, on_signal, g);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &g->timer, CLOCK_MONOTONIC, 0, 1000, on_timer,
					       g);
	look_at_switch(g); /* it may have changed since it was looked at */
	return r < 0 ? r : 0;
}

void wv_guard_forked(struct wv_guard *g)
{
	/* the magic close is the supervisor's: a plain close of a copy does nothing */
	if (g->watchdog.fd >= 0)
		close(g->watchdog.fd);
	g->watchdog.fd = -1;
}

void wv_guard_close(struct wv_guard *g, const struct wv_host *host, bool orderly)
{
	g->timer = sd_event_source_disable_unref(g->timer);
	g->signal = sd_event_source_disable_unref(g->signal);
	for (size_t i = 0; i < ARRAY_SIZE(g->inotify); i++)
		g->inotify[i] = sd_event_source_disable_unref(g->inotify[i]);
	if (!g->paths)
		return;
	if (orderly &&
	    wv_marker_write(&wv_io_system, g->paths->state, host->boot_id, "stop", "") < 0)
		(void)wv_log_full(LOG_DEBUG, 0, "supervisor", "no orderly marker");
	wv_watchdog_close(&g->watchdog);
}
