// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loop: a timer for the source, inotify for the folder, the supervisor's socket. A download is
 * cut short when any of the others has something to say; it goes on where it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "user/agent/beat.h"
#include "user/core/cleanup.h"
#include "user/core/dl.h"
#include "user/core/log.h"
#include "user/flow/figures.h"
#include "user/spool/rights.h"
#include "user/update/backoff.h"
#include "user/update/update.h"

/* A folder that is not there (a stick that is not in) is looked for so often, and one that is
 * there is looked at again so often, for what inotify cannot tell (NFS). */
#define FOLDER_LOOK_US (60 * 1000000ULL)

struct loop {
	struct wv_updater u;
	sd_event *event;
	int control, inotify;
	sd_event_source *source_timer, *folder_timer;
};

bool wv_update_wanted(const struct wv_config *config)
{
	return config->update_folder[0] || config->update_url[0];
}

int wv_updater_open(struct wv_updater *u)
{
	int r;

	u->http = NULL;
	u->seen = NULL;
	u->n_seen = 0;
	u->partial = -1;
	u->dir = wv_update_open_dir(u->io, u->paths, true);
	if (u->dir < 0)
		return u->dir;
	r = wv_update_state_load(&u->state, u->io, u->dir);
	if (r == 0)
		r = u->io->mkdir(u->io->ctx, u->dir, "partial", 0755);
	if (r == 0 || r == -EEXIST)
		r = u->partial =
			u->io->open(u->io->ctx, u->dir, "partial", O_RDONLY | O_DIRECTORY, 0);
	if (r >= 0)
		return 0;
	wv_updater_close(u);
	return r;
}

void wv_updater_close(struct wv_updater *u)
{
	wv_http_close(u->http);
	free(u->seen);
	u->http = NULL;
	u->seen = NULL;
	if (u->partial >= 0)
		(void)u->io->close(u->io->ctx, u->partial);
	if (u->dir >= 0)
		(void)u->io->close(u->io->ctx, u->dir);
	u->partial = u->dir = -1;
}

static bool interrupted(void *ctx)
{
	const struct loop *l = ctx;
	struct pollfd fds[] = {{.fd = l->control, .events = POLLIN},
			       {.fd = l->inotify, .events = POLLIN}};
	sigset_t pending;

	if (poll(fds, ARRAY_SIZE(fds), 0) > 0)
		return true;
	return sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 1;
}

static void show(const struct wv_updater *u)
{
	uint64_t refused = 0;

	for (unsigned i = 0; i < u->state.n; i++)
		refused += u->state.known[i].result == WV_UPDATE_REFUSED ||
			   u->state.known[i].result == WV_UPDATE_FAILED;
	wv_figure_set(WV_FIG_UPDATE_CHECKED, u->state.checked_s);
	wv_figure_set(WV_FIG_UPDATE_FAILURES, u->state.failures);
	wv_figure_set(WV_FIG_UPDATE_BYTES, u->state.downloaded_bytes);
	wv_figure_set(WV_FIG_UPDATE_REFUSED, refused);
}

/* The source --------------------------------------------------------------------------------- */

static int on_source(sd_event_source *s, uint64_t usec _unused_, void *userdata)
{
	struct loop *l = userdata;
	struct wv_updater *u = &l->u;
	uint64_t retry_s = 0, random = 0, wait_ns;
	int r = wv_updater_source(u, &retry_s);

	(void)u->io->random(u->io->ctx, &random, sizeof(random));
	wait_ns = r == -ECANCELED ? 0
				  : wv_update_wait_ns(u->config->update_interval, u->state.failures,
						      retry_s, random);
	u->state.next_s = (u->io->wall_ns(u->io->ctx) + wait_ns) / 1000000000ULL;
	r = wv_update_state_save(&u->state, u->io, u->dir);
	if (r < 0)
		(void)wv_log_warn(r, "update", "%s/" WV_UPDATE_DIR, u->paths->state);
	show(u);
	r = sd_event_source_set_time_relative(s, wait_ns / 1000);
	return r < 0 ? r : sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* The folder --------------------------------------------------------------------------------- */

static int on_inotify(sd_event_source *s _unused_, int fd, uint32_t revents _unused_,
		      void *userdata);

static void watch(struct loop *l)
{
	if (l->inotify >= 0 &&
	    inotify_add_watch(l->inotify, l->u.config->update_folder,
			      IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR) < 0 &&
	    errno != ENOENT)
		(void)wv_log_warn(-errno, "update", "%s is not watched",
				  l->u.config->update_folder);
}

static void look_at_folder(struct loop *l)
{
	int r = wv_updater_folder(&l->u);

	if (r < 0 && r != -ENOENT)
		(void)wv_log_warn(r, "update", "%s", l->u.config->update_folder);
	show(&l->u);
}

static int on_inotify(sd_event_source *s _unused_, int fd, uint32_t revents _unused_,
		      void *userdata)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	while (read(fd, events, sizeof(events)) > 0)
		; /* what it was does not matter: the folder is read */
	look_at_folder(userdata);
	return 0;
}

static int on_folder(sd_event_source *s, uint64_t usec _unused_, void *userdata)
{
	struct loop *l = userdata;
	int r;

	watch(l); /* first, so that nothing falls between */
	look_at_folder(l);
	r = sd_event_source_set_time_relative(s, FOLDER_LOOK_US);
	return r < 0 ? r : sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* The loop ----------------------------------------------------------------------------------- */

static int add_sources(struct loop *l)
{
	const struct wv_config *c = l->u.config;
	int r = 0;

	if (c->update_folder[0]) {
		l->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (l->inotify < 0)
			return -errno;
		r = sd_event_add_io(l->event, NULL, l->inotify, EPOLLIN, on_inotify, l);
		if (r >= 0)
			r = sd_event_add_time_relative(l->event, &l->folder_timer, CLOCK_MONOTONIC,
						       0, 0, on_folder, l);
	}
	if (r >= 0 && c->update_url[0])
		r = sd_event_add_time_relative(l->event, &l->source_timer, CLOCK_MONOTONIC, 0, 0,
					       on_source, l);
	/* the folder and the supervisor come before a long download */
	if (r >= 0 && l->source_timer)
		r = sd_event_source_set_priority(l->source_timer, 10);
	return r;
}

static int loop(struct loop *l)
{
	int r = wv_beat_loop(&l->event, l->control);

	if (r >= 0)
		r = add_sources(l);
	if (r >= 0 && l->control >= 0 &&
	    send(l->control, &(char){WV_CONTROL_READY}, 1, MSG_NOSIGNAL) < 0)
		r = -errno;
	if (r >= 0)
		r = sd_event_loop(l->event);
	l->source_timer = sd_event_source_unref(l->source_timer);
	l->folder_timer = sd_event_source_unref(l->folder_timer);
	sd_event_unref(l->event);
	wv_closep(&l->inotify);
	return r < 0 ? r : 0;
}

int wv_update_loop(const struct wv_paths *paths, const struct wv_config *config, int control)
{
	_cleanup_free_ struct loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->control = control;
	l->inotify = -1;
	l->u.io = &wv_io_system;
	l->u.paths = paths;
	l->u.config = config;
	l->u.sink = wv_update_sink_here(&l->u);
	l->u.interrupted = interrupted;
	l->u.ctx = l;
	r = wv_updater_open(&l->u);
	if (r < 0)
		return wv_log_errno(r, "update", "%s/" WV_UPDATE_DIR, paths->state);
	r = loop(l);
	wv_updater_close(&l->u);
	return r;
}

/*
 * It stays root, who owns the store and the keys, but has no capability, starts no program and
 * loads no code: a fault in what reads a stranger's answer meets those. So the libraries come
 * before.
 */
static int confine(const struct wv_worker_context *ctx)
{
	static const struct wv_dl_symbol nothing[] = {{NULL, NULL}};

	/* what is missing is told when it is used */
	if (ctx->config->update_url[0])
		(void)wv_dl_load("libcurl.so.4", "libcurl4", nothing);
	(void)wv_dl_load("libarchive.so.13", "libarchive13", nothing);
	return wv_spool_drop_powers_online(ctx->control >= 0);
}

int wv_update_run(const struct wv_worker_context *ctx)
{
	int r = confine(ctx);

	if (r < 0) {
		(void)wv_log_errno(r, "update", "rights cannot be given up");
		return 1;
	}
	return wv_update_loop(ctx->paths, ctx->config, ctx->control) < 0 ? 1 : 0;
}
