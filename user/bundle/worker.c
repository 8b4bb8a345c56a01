// SPDX-License-Identifier: GPL-2.0-only
/*
 * The agent's bundle worker: sleeps until a bundle changes (a name in <state>/bundles) or a look at
 * a trial is due. It holds nothing: killed at any point, the next one goes on from the states.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "user/agent/beat.h"
#include "user/agent/core.h"
#include "user/bundle/install.h"
#include "user/bundle/trial.h"
#include "user/bundle/trust.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/flow/figures.h"

struct worker {
	struct wv_trial trial;
	sd_event *loop;
	sd_event_source *timer;
	const struct wv_paths *paths;
	int control;
	bool stop;
};

/* Taking settings in means reading them and asking the kernel what it can keep. */
#define SETTINGS_TIMEOUT_MS 20000

bool wv_bundle_wanted(const struct wv_paths *paths)
{
	static const char *const folders[] = {WV_BUNDLES_DIR, WV_TRUST_DIR};
	char path[WV_PATH_SIZE + 16];

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", paths->state, folders[i]);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

/* What is watched has to be there. */
static int make_folder(const struct wv_paths *paths)
{
	struct wv_store s;
	int r = wv_store_open(&s, &wv_io_system, paths->state, true);

	if (r == 0)
		wv_store_close(&s);
	return r;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata);

/* The supervisor's answer; where it takes them in, this worker is stopped instead. */
static int take_settings(struct worker *w, char why[WV_DEED_WHY])
{
	uint64_t end = wv_io_system.mono_ns(wv_io_system.ctx) + SETTINGS_TIMEOUT_MS * 1000000ULL;
	struct pollfd p = {.fd = w->control, .events = POLLIN};
	char message = WV_CONTROL_SETTINGS;

	if (send(w->control, &message, 1, MSG_NOSIGNAL) != 1)
		return -EINTR;
	while (wv_io_system.mono_ns(wv_io_system.ctx) < end) {
		if (poll(&p, 1, 100) <= 0)
			continue;
		if (recv(w->control, &message, 1, MSG_DONTWAIT) != 1 ||
		    message == WV_CONTROL_STOP || message == WV_CONTROL_END) {
			w->stop = true;
			return -EINTR;
		}
		if (message == WV_CONTROL_IN_FORCE)
			return 0;
		if (message == WV_CONTROL_REFUSED) {
			snprintf(why, WV_DEED_WHY,
				 "the agent refused the settings; its log says why");
			return -ECANCELED;
		}
		/* anything else leads to another round, and this is one */
	}
	snprintf(why, WV_DEED_WHY, "the agent did not answer");
	return -ETIMEDOUT;
}

static int deed(void *ctx, const struct wv_bundle_hook *hook, char why[WV_DEED_WHY])
{
	struct worker *w = ctx;

	if (hook->what != WV_DO_RELOAD_CONFIG)
		return wv_bundle_deed((void *)(uintptr_t)w->paths, hook, why);
	why[0] = '\0';
	return take_settings(w, why);
}

static void show(const struct worker *w)
{
	uint64_t n[WV_BUNDLE_STATE_N] = {0};
	struct wv_bundles b;

	if (wv_bundles_open(&b, &wv_io_system, w->paths, w->trial.run_id, false) < 0)
		return;
	for (unsigned i = 0; i < b.states.n; i++)
		for (unsigned k = 0; k < b.states.slots[i].n; k++)
			n[b.states.slots[i].entries[k].state]++;
	wv_bundles_close(&b);
	wv_figure_set(WV_FIG_BUNDLES_STAGED, n[WV_BUNDLE_STAGED]);
	wv_figure_set(WV_FIG_BUNDLES_TRIAL, n[WV_BUNDLE_TRIAL]);
	wv_figure_set(WV_FIG_BUNDLES_CONFIRMED, n[WV_BUNDLE_CONFIRMED]);
	wv_figure_set(WV_FIG_BUNDLES_FAILED, n[WV_BUNDLE_FAILED]);
	wv_figure_set(WV_FIG_BUNDLES_ROLLED_BACK, n[WV_BUNDLE_ROLLED_BACK]);
}

static int step(struct worker *w)
{
	uint64_t next = UINT64_MAX;
	int r = wv_trial_step(&w->trial, &next);

	show(w);
	if (w->stop)
		return sd_event_exit(w->loop, 0);
	if (r < 0)
		(void)wv_log_errno(r, "bundle", "look after trials");
	w->timer = sd_event_source_disable_unref(w->timer);
	if (next == UINT64_MAX)
		return 0;
	return sd_event_add_time(w->loop, &w->timer, CLOCK_MONOTONIC, next / 1000 + 1, 1000,
				 on_timer, w);
}

static int on_timer(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata)
{
	return step(userdata);
}

/* The states are written anew after every change, by whoever made it. */
static int on_folder(sd_event_source *s _unused_, const struct inotify_event *event, void *userdata)
{
	return event->len && strcmp(event->name, "state.json") == 0 ? step(userdata) : 0;
}

static int on_control(sd_event_source *s, int fd, uint32_t revents _unused_, void *userdata)
{
	char message;
	ssize_t n = recv(fd, &message, 1, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n == 1 && (message == WV_CONTROL_POLICY || message == WV_CONTROL_SWITCH))
		return step(userdata);
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

int wv_bundle_run(const struct wv_worker_context *ctx)
{
	char path[WV_PATH_SIZE + 16];
	struct worker w = {.paths = ctx->paths, .control = ctx->control};
	int r = sd_event_new(&w.loop);

	wv_trial_init(&w.trial, &wv_io_system, ctx->paths, ctx->run_id);
	w.trial.deed = deed;
	w.trial.deed_ctx = &w;
	snprintf(path, sizeof(path), "%s/" WV_BUNDLES_DIR, ctx->paths->state);
	if (r >= 0)
		r = make_folder(ctx->paths);
	if (r >= 0)
		r = sd_event_add_signal(w.loop, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_io(w.loop, NULL, ctx->control, EPOLLIN, on_control, &w);
	if (r >= 0)
		r = sd_event_add_inotify(w.loop, NULL, path, IN_MOVED_TO, on_folder, &w);
	if (r >= 0)
		r = wv_beat_start(w.loop, ctx->control);
	if (r >= 0)
		r = step(&w);
	if (r >= 0 && !w.stop)
		r = sd_event_loop(w.loop);
	if (r < 0)
		(void)wv_log_errno(r, "bundle", "worker");
	wv_trial_done(&w.trial);
	sd_event_unref(w.loop);
	return r < 0 ? 1 : 0;
}
