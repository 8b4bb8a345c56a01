// SPDX-License-Identifier: GPL-2.0-only
/*
 * The proxy worker. It has no part in the traffic: it writes HAProxy's configuration, keeps one
 * HAProxy running, asks it once a second how it is, and records what its breakers do.
 *
 *   current   serves; there is at most one
 *   next      was started with a new configuration and has not answered yet
 *   old       gave its sockets away and ends when its last connection does
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include "user/agent/beat.h"
#include "user/agent/core.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/proxy/worker.h"

#define ASK_US 1000000
#define ASK_SOON_US 50000 /* while one starts */
#define ASK_TIMEOUT_MS 1000
#define ANSWER_TIMEOUT_NS 10000000000ULL /* of one that starts */
#define STOP_MS 3000			 /* the supervisor gives us five seconds */

static void record(struct wv_proxy_worker *w, const char *type, struct json_object *fields)
{
	wv_proxy_record(w->ctx->paths, w->ctx->run_id ?: "", type, fields);
}

/* Breakers ---------------------------------------------------------------------------------------
 */

static void on_changed(void *ctx, const struct wv_proxy *p, size_t server,
		       const struct wv_proxy_server *s, const struct wv_circuit_change *change)
{
	struct wv_proxy_worker *w = ctx;
	_cleanup_free_ char *answer = NULL;
	struct json_object *o;
	char command[96];

	if (change->order_down) {
		snprintf(command, sizeof(command), "set server b_%s/u%zu health down\n", p->name,
			 server + 1);
		(void)wv_stats_ask(w->files.socket, command, ASK_TIMEOUT_MS, &answer);
		wv_proxy_look_soon(w);
	}
	if (!change->changed)
		return;
	wv_log_info(WV_PROXY_MODULE, "%s: breaker to %s is %s (%s)", p->name,
		    p->upstream.list[server], wv_circuit_states[s->circuit.state], change->reason);
	o = json_object_new_object();
	json_object_object_add(o, "proxy", json_object_new_string(p->name));
	json_object_object_add(o, "server", json_object_new_string(p->upstream.list[server]));
	json_object_object_add(o, "from", json_object_new_string(wv_circuit_states[change->from]));
	json_object_object_add(o, "to",
			       json_object_new_string(wv_circuit_states[s->circuit.state]));
	json_object_object_add(o, "reason", json_object_new_string(change->reason));
	json_object_object_add(o, "status", json_object_new_string(s->status));
	json_object_object_add(o, "probe", json_object_new_string(s->check));
	json_object_object_add(o, "window_requests", json_object_new_uint64(change->total));
	json_object_object_add(o, "window_failed", json_object_new_uint64(change->failed));
	record(w, "proxy-breaker", o);
}

/* Asking -----------------------------------------------------------------------------------------
 */

static void look(struct wv_proxy_worker *w)
{
	_cleanup_free_ char *answer = NULL;
	int r = wv_stats_ask(w->files.socket, "show info;show stat\n", ASK_TIMEOUT_MS, &answer);
	pid_t pid = r < 0 ? r : wv_stats_pid(answer);
	uint64_t patience;

	if (pid > 0 && pid == w->next.pid)
		wv_proxy_promote(w);
	if (pid > 0 && pid == w->current.pid &&
	    wv_proxy_state_take(&w->state, answer, wv_proxy_now_ns(), on_changed, w) == 0)
		w->state.answered_ns = wv_proxy_now_ns();
	else if (r == -EMSGSIZE || r == -EPROTO)
		(void)wv_log_warn(r, WV_PROXY_MODULE, "answer of haproxy");
	/* one that starts reads certificates and the like first */
	patience = w->state.answered_ns == w->current.started_ns &&
				   w->config.proxy_hang_after < ANSWER_TIMEOUT_NS
			   ? ANSWER_TIMEOUT_NS
			   : w->config.proxy_hang_after;
	if (w->current.pid && wv_proxy_now_ns() - w->state.answered_ns > patience) {
		w->state.hangs++;
		w->state.answered_ns = wv_proxy_now_ns();
		(void)wv_log_full(LOG_ERR, 0, WV_PROXY_MODULE, "haproxy %d does not answer; killed",
				  (int)w->current.pid);
		wv_proxy_signal(&w->current, SIGKILL);
	}
	if (w->next.pid && wv_proxy_now_ns() - w->next.started_ns > ANSWER_TIMEOUT_NS)
		wv_proxy_signal(&w->next, SIGKILL);
}

static int on_ask(sd_event_source *s, uint64_t usec _unused_, void *userdata)
{
	struct wv_proxy_worker *w = userdata;
	bool soon;
	int r;

	if (w->start_at_ns && wv_proxy_now_ns() >= w->start_at_ns) {
		if (w->state.refusal[0])
			wv_proxy_apply(w);
		else if (!w->current.pid)
			wv_proxy_launch_current(w);
	}
	if (w->current.pid || w->next.pid)
		look(w);
	w->state.draining = 0;
	for (size_t i = 0; i < WV_PROXY_OLD_MAX; i++)
		w->state.draining += w->old[i].pid != 0;
	wv_proxy_state_show(&w->state);
	r = wv_proxy_state_save(&w->state, w->files.dir, wv_proxy_now_ns());
	if (r < 0)
		(void)wv_log_full(LOG_DEBUG, r, WV_PROXY_MODULE, "status file");
	soon = w->next.pid ||
	       (w->start_at_ns && w->start_at_ns < wv_proxy_now_ns() + 1000000000ULL) ||
	       (w->current.pid && w->state.answered_ns == w->current.started_ns);
	(void)sd_event_source_set_time_relative(s, soon ? ASK_SOON_US : ASK_US);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* Begin and end ----------------------------------------------------------------------------------
 */

static int on_control(sd_event_source *s _unused_, int fd, uint32_t revents _unused_,
		      void *userdata)
{
	struct wv_proxy_worker *w = userdata;
	char message;
	ssize_t n = recv(fd, &message, 1, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n == 1 && message == WV_CONTROL_POLICY)
		wv_proxy_reload(w);
	else if (n != 1 || message == WV_CONTROL_STOP || message == WV_CONTROL_END)
		return sd_event_exit(w->loop, n == 1 ? 0 : 1);
	return 0;
}

static int on_hangup(sd_event_source *s _unused_, const struct signalfd_siginfo *si _unused_,
		     void *userdata)
{
	wv_proxy_reload(userdata);
	return 0;
}

static void adopt_one(struct wv_proxy_worker *w, struct wv_proxy_process *p, bool next)
{
	pid_t pid;
	int fd = wv_proxy_adopt(&w->files, next, &pid);

	if (fd < 0)
		return;
	*p = (struct wv_proxy_process){
		.pid = pid, .pidfd = fd, .output = -1, .started_ns = wv_proxy_now_ns()};
	if (wv_proxy_watch(w, p) < 0)
		(void)wv_log_full(LOG_ERR, 0, WV_PROXY_MODULE, "haproxy %d is not watched",
				  (int)pid);
	wv_log_info(WV_PROXY_MODULE, "adopted haproxy %d", (int)pid);
}

/* What a former worker left, also if it died while one took over from the other. */
static void adopt(struct wv_proxy_worker *w)
{
	adopt_one(w, &w->current, false);
	adopt_one(w, &w->next, true);
	if (!w->current.pid && w->next.pid)
		wv_proxy_move(w, &w->next, &w->current);
	w->state.haproxy = w->current.pid;
	w->state.started_ns = w->state.answered_ns = w->current.started_ns;
	/* which of the two serves is told by who answers */
	if (w->next.pid)
		look(w);
}

/* Two workers would end each other's HAProxy. Held until the process ends. */
static int take_lock(struct wv_proxy_worker *w)
{
	char path[sizeof(w->files.dir) + 8];
	int fd;

	snprintf(path, sizeof(path), "%s/lock", w->files.dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	w->lock = fd;
	return wv_io_system.lock(wv_io_system.ctx, fd, false);
}

static int set_up(struct wv_proxy_worker *w)
{
	sigset_t mask;
	int r = wv_proxy_files(&w->files, w->ctx->paths, &w->config, false);

	if (r == -ESRCH || r == -EPERM)
		return wv_log_errno(r, WV_PROXY_MODULE, "proxy.user '%s' %s", w->config.proxy_user,
				    r == -EPERM ? "is root" : "does not exist");
	if (r >= 0)
		r = take_lock(w);
	if (r < 0)
		return wv_log_errno(r, WV_PROXY_MODULE, "%s%s", w->files.dir,
				    r == -EWOULDBLOCK ? " belongs to another proxy worker" : "");
	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	if (w->ctx->control < 0)
		sigaddset(&mask, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	r = sd_event_new(&w->loop);
	if (r >= 0)
		r = sd_event_add_signal(w->loop, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(w->loop, NULL, SIGHUP, on_hangup, w);
	if (r >= 0 && w->ctx->control < 0)
		r = sd_event_add_signal(w->loop, NULL, SIGINT, NULL, NULL);
	if (r >= 0 && w->ctx->control >= 0)
		r = sd_event_add_io(w->loop, NULL, w->ctx->control, EPOLLIN, on_control, w);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, &w->ask, CLOCK_MONOTONIC, ASK_SOON_US, 0,
					       on_ask, w);
	return r < 0 ? r : wv_proxy_renew_views(w);
}

int wv_proxy_run(const struct wv_worker_context *ctx)
{
	_cleanup_free_ struct wv_proxy_worker *w = calloc(1, sizeof(*w));
	int r, exit_code = 0;

	if (!w)
		return 1;
	w->ctx = ctx;
	w->config = *ctx->config;
	w->lock = -1;
	w->current.pidfd = w->next.pidfd = w->current.output = w->next.output = -1;
	for (size_t i = 0; i < WV_PROXY_OLD_MAX; i++)
		w->old[i].pidfd = w->old[i].output = -1;
	r = set_up(w);
	if (r >= 0) {
		adopt(w);
		wv_proxy_apply(w);
		r = wv_beat_start(w->loop, ctx->control);
	}
	if (r >= 0)
		r = exit_code = sd_event_loop(w->loop);
	/* when the supervisor is gone traffic goes on, and the next one adopts it */
	if (w->loop && exit_code == 0) {
		wv_proxy_stop(&w->next, 0);
		wv_proxy_stop(&w->current, STOP_MS);
		for (size_t i = 0; i < WV_PROXY_OLD_MAX; i++)
			wv_proxy_stop(&w->old[i], 0);
		wv_proxy_forget(&w->files);
	}
	sd_event_source_unref(w->ask);
	sd_event_unref(w->loop);
	wv_closep(&w->lock);
	free(w->state.views);
	if (w->own_proxies) {
		free(w->config.proxies);
		wv_arena_done(&w->config.proxy_texts);
	}
	return r < 0 ? 1 : 0;
}

int wv_proxy_end(const struct wv_paths *paths)
{
	struct wv_proxy_files f = {.drops = false};
	int n = 0;

	snprintf(f.dir, sizeof(f.dir), "%s/" WV_PROXY_DIR, paths->runtime);
	for (int next = 0; next < 2; next++) {
		struct wv_proxy_process p = {.output = -1};

		p.pidfd = wv_proxy_adopt(&f, next, &p.pid);
		if (p.pidfd < 0)
			continue;
		wv_proxy_stop(&p, STOP_MS);
		n = 1;
	}
	if (n)
		wv_proxy_forget(&f);
	return n;
}
