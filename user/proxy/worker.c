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
#include "user/proxy/program.h"
#include "user/proxy/view.h"

#define MODULE "proxy"
#define ASK_US 1000000
#define ASK_SOON_US 50000 /* while one starts */
#define ASK_TIMEOUT_MS 1000
#define ANSWER_TIMEOUT_NS 10000000000ULL /* of one that starts */
#define STABLE_NS 10000000000ULL
#define BACKOFF_FIRST_NS 100000000ULL
#define BACKOFF_MAX_NS 10000000000ULL
#define STOP_MS 3000 /* the supervisor gives us five seconds */
#define OLD_MAX 8
#define REFUSED_RETRY_NS 30000000000ULL
/* Of what HAProxy says on standard error so much is logged; then it is read no more. */
#define LINES_MAX 20
#define OUTPUT_MAX 65536

struct process {
	struct worker *worker;
	pid_t pid;
	int pidfd, output;
	uint64_t started_ns;
	size_t lines, bytes;
	sd_event_source *ended, *said;
};

struct worker {
	const struct wv_worker_context *ctx;
	struct wv_config config; /* settings of the context, proxies of the newest file */
	bool own_proxies;	 /* the lists of config are ours to free */
	struct wv_proxy_files files;
	struct wv_proxy_state state;
	int lock;
	sd_event *loop;
	sd_event_source *ask;
	struct process current, next, old[OLD_MAX];
	unsigned quick;
	uint64_t start_at_ns; /* 0: nothing is to be started */
};

static uint64_t now_ns(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

static void record(struct worker *w, const char *type, struct json_object *fields)
{
	wv_proxy_record(w->ctx->paths, w->ctx->run_id ?: "", type, fields);
}

/* A process --------------------------------------------------------------------------------------
 */

static void forget(struct process *p)
{
	p->ended = sd_event_source_disable_unref(p->ended);
	p->said = sd_event_source_disable_unref(p->said);
	wv_closep(&p->pidfd);
	wv_closep(&p->output);
	p->pidfd = p->output = -1;
	p->pid = 0;
}

static void end_now(const struct process *p, int signal)
{
	if (p->pid)
		(void)syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0);
}

static int on_said(sd_event_source *s, int fd, uint32_t revents _unused_, void *userdata)
{
	struct process *p = userdata;
	char buf[4096], *save = NULL;
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	if (n < 0 && errno == EAGAIN)
		return 0;
	p->bytes += n > 0 ? (size_t)n : 0;
	/* whoever floods us is not listened to; a write of it then fails, and it does not wait */
	if (n <= 0 || p->bytes > OUTPUT_MAX) {
		wv_closep(&p->output);
		p->output = -1;
		return sd_event_source_set_enabled(s, SD_EVENT_OFF);
	}
	buf[n] = '\0';
	for (char *line = strtok_r(buf, "\n", &save); line && p->lines < LINES_MAX;
	     line = strtok_r(NULL, "\n", &save), p->lines++) {
		wv_make_printable(line);
		wv_log_info(MODULE, "haproxy %d: %.300s", (int)p->pid, line);
	}
	return 0;
}

static int on_ended(sd_event_source *s, int fd, uint32_t revents, void *userdata);

static int watch(struct worker *w, struct process *p)
{
	int r = sd_event_add_io(w->loop, &p->ended, p->pidfd, EPOLLIN, on_ended, p);

	p->worker = w;
	if (r >= 0 && p->output >= 0)
		r = sd_event_add_io(w->loop, &p->said, p->output, EPOLLIN, on_said, p);
	return r;
}

static void move(struct worker *w, struct process *from, struct process *to)
{
	from->ended = sd_event_source_disable_unref(from->ended);
	from->said = sd_event_source_disable_unref(from->said);
	*to = *from;
	*from = (struct process){.pidfd = -1, .output = -1};
	if (watch(w, to) < 0)
		(void)wv_log_full(LOG_ERR, 0, MODULE, "haproxy %d is not watched", (int)to->pid);
}

static void ask_soon(struct worker *w)
{
	(void)sd_event_source_set_time_relative(w->ask, ASK_SOON_US);
	(void)sd_event_source_set_enabled(w->ask, SD_EVENT_ONESHOT);
}

static uint64_t pause_ns(unsigned quick)
{
	uint64_t wait = BACKOFF_FIRST_NS;

	if (quick < 2)
		return 0;
	for (unsigned i = 2; i < quick && wait < BACKOFF_MAX_NS; i++)
		wait *= 2;
	return wait < BACKOFF_MAX_NS ? wait : BACKOFF_MAX_NS;
}

static int start(struct worker *w, struct process *p, bool take_over)
{
	*p = (struct process){.pidfd = -1, .output = -1};
	p->pid = wv_proxy_start(&w->files, &w->config, take_over, &p->output);
	if (p->pid < 0) {
		int r = (int)p->pid;

		p->pid = 0;
		return r;
	}
	p->started_ns = now_ns();
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd < 0 || watch(w, p) < 0) {
		(void)kill(p->pid, SIGKILL);
		(void)waitpid(p->pid, NULL, 0);
		forget(p);
		return -EIO;
	}
	ask_soon(w);
	return 0;
}

static void start_current(struct worker *w)
{
	int r = start(w, &w->current, false);

	w->start_at_ns = 0;
	if (r == 0)
		r = wv_proxy_remember(&w->files, w->current.pid);
	if (r == 0) {
		wv_proxy_state_anew(&w->state);
		w->state.haproxy = w->current.pid;
		w->state.started_ns = w->state.answered_ns = w->current.started_ns;
		return;
	}
	(void)wv_log_errno(r, MODULE, "start %s", w->config.proxy_program);
	end_now(&w->current, SIGKILL);
	w->quick += 2;
	w->start_at_ns = now_ns() + pause_ns(w->quick);
}

static int on_ended(sd_event_source *s _unused_, int fd, uint32_t revents _unused_, void *userdata)
{
	struct process *p = userdata;
	struct worker *w = p->worker;
	siginfo_t si = {0};
	uint64_t wait;

	/* one that was adopted is not our child: how it ended is not known */
	(void)waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG);
	if (p == &w->current) {
		w->quick = now_ns() - p->started_ns > STABLE_NS ? 1 : w->quick + 1;
		wait = pause_ns(w->quick);
		w->state.restarts++;
		w->state.haproxy = 0;
		(void)wv_log_full(LOG_WARNING, 0, MODULE,
				  "haproxy %d ended (%s %d), restart in %llu ms", (int)p->pid,
				  si.si_code == CLD_EXITED ? "status" : "signal", si.si_status,
				  (unsigned long long)(wait / 1000000));
		forget(p);
		if (!wait)
			start_current(w);
		else
			w->start_at_ns = now_ns() + wait;
		return 0;
	}
	if (p == &w->next) {
		snprintf(w->state.refusal, sizeof(w->state.refusal),
			 "haproxy with the new configuration ended (%s %d)",
			 si.si_code == CLD_EXITED ? "status" : "signal", si.si_status);
		w->state.refused++;
		(void)wv_log_full(LOG_ERR, 0, MODULE, "%s; the old one goes on", w->state.refusal);
	}
	forget(p);
	return 0;
}

/* Breakers ---------------------------------------------------------------------------------------
 */

static void on_changed(void *ctx, const struct wv_proxy *p, size_t server,
		       const struct wv_proxy_server *s, const struct wv_circuit_change *change)
{
	struct worker *w = ctx;
	_cleanup_free_ char *answer = NULL;
	struct json_object *o;
	char command[96];

	if (change->order_down) {
		snprintf(command, sizeof(command), "set server b_%s/u%zu health down\n", p->name,
			 server + 1);
		(void)wv_stats_ask(w->files.socket, command, ASK_TIMEOUT_MS, &answer);
		ask_soon(w);
	}
	if (!change->changed)
		return;
	wv_log_info(MODULE, "%s: breaker to %s is %s (%s)", p->name, p->upstream.list[server],
		    wv_circuit_states[s->circuit.state], change->reason);
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

static struct process *free_old(struct worker *w)
{
	struct process *oldest = &w->old[0];

	for (size_t i = 0; i < OLD_MAX; i++) {
		if (!w->old[i].pid)
			return &w->old[i];
		if (w->old[i].started_ns < oldest->started_ns)
			oldest = &w->old[i];
	}
	end_now(oldest, SIGKILL);
	(void)waitid(P_PIDFD, (id_t)oldest->pidfd, &(siginfo_t){0}, WEXITED);
	forget(oldest);
	return oldest;
}

/* The new one answers: it has the sockets, the old one ends when its connections do. */
static void promote(struct worker *w)
{
	struct process *old = free_old(w);
	int r = wv_proxy_remember(&w->files, w->next.pid);

	if (r < 0)
		(void)wv_log_errno(r, MODULE, "remember haproxy %d", (int)w->next.pid);
	if (w->current.pid) {
		end_now(&w->current, SIGUSR1);
		move(w, &w->current, old);
	}
	move(w, &w->next, &w->current);
	wv_proxy_state_anew(&w->state);
	w->state.haproxy = w->current.pid;
	w->state.started_ns = w->current.started_ns;
	w->state.answered_ns = now_ns();
	w->state.reloads++;
	w->start_at_ns = 0;
	wv_log_info(MODULE, "haproxy %d serves the new configuration", (int)w->current.pid);
}

static void look(struct worker *w)
{
	_cleanup_free_ char *answer = NULL;
	int r = wv_stats_ask(w->files.socket, "show info;show stat\n", ASK_TIMEOUT_MS, &answer);
	pid_t pid = r < 0 ? r : wv_stats_pid(answer);
	uint64_t patience;

	if (pid > 0 && pid == w->next.pid)
		promote(w);
	if (pid > 0 && pid == w->current.pid &&
	    wv_proxy_state_take(&w->state, answer, now_ns(), on_changed, w) == 0)
		w->state.answered_ns = now_ns();
	else if (r == -EMSGSIZE || r == -EPROTO)
		(void)wv_log_warn(r, MODULE, "answer of haproxy");
	/* one that starts reads certificates and the like first */
	patience = w->state.answered_ns == w->current.started_ns &&
				   w->config.proxy_hang_after < ANSWER_TIMEOUT_NS
			   ? ANSWER_TIMEOUT_NS
			   : w->config.proxy_hang_after;
	if (w->current.pid && now_ns() - w->state.answered_ns > patience) {
		w->state.hangs++;
		w->state.answered_ns = now_ns();
		(void)wv_log_full(LOG_ERR, 0, MODULE, "haproxy %d does not answer; killed",
				  (int)w->current.pid);
		end_now(&w->current, SIGKILL);
	}
	if (w->next.pid && now_ns() - w->next.started_ns > ANSWER_TIMEOUT_NS)
		end_now(&w->next, SIGKILL);
}

static void apply(struct worker *w);

static int on_ask(sd_event_source *s, uint64_t usec _unused_, void *userdata)
{
	struct worker *w = userdata;
	bool soon;
	int r;

	if (w->start_at_ns && now_ns() >= w->start_at_ns) {
		if (w->state.refusal[0])
			apply(w);
		else if (!w->current.pid)
			start_current(w);
	}
	if (w->current.pid || w->next.pid)
		look(w);
	w->state.draining = 0;
	for (size_t i = 0; i < OLD_MAX; i++)
		w->state.draining += w->old[i].pid != 0;
	r = wv_proxy_state_save(&w->state, w->files.dir, now_ns());
	if (r < 0)
		(void)wv_log_full(LOG_DEBUG, r, MODULE, "status file");
	soon = w->next.pid || (w->start_at_ns && w->start_at_ns < now_ns() + 1000000000ULL) ||
	       (w->current.pid && w->state.answered_ns == w->current.started_ns);
	(void)sd_event_source_set_time_relative(s, soon ? ASK_SOON_US : ASK_US);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* Configuration ----------------------------------------------------------------------------------
 */

/* Views of the proxies that are in force now; figures of those that were there before go on. */
static int renew_views(struct worker *w)
{
	struct wv_proxy_view *views = calloc(w->config.n_proxies ?: 1, sizeof(*views));

	if (!views)
		return -ENOMEM;
	for (size_t i = 0; i < w->config.n_proxies; i++) {
		for (size_t k = 0; k < w->state.n; k++)
			if (strcmp(w->state.views[k].proxy->name, w->config.proxies[i].name) == 0)
				views[i] = w->state.views[k];
		views[i].proxy = &w->config.proxies[i];
	}
	free(w->state.views);
	w->state.views = views;
	w->state.n = w->config.n_proxies;
	return 0;
}

static bool in_force(const struct worker *w, const char *text)
{
	_cleanup_free_ char *old = NULL;
	size_t len;

	return wv_io_read_file(&wv_io_system, AT_FDCWD, w->files.config, 1U << 22, &old, &len) ==
		       0 &&
	       strcmp(old, text) == 0;
}

static void refuse(struct worker *w, int r, const char *why)
{
	snprintf(w->state.refusal, sizeof(w->state.refusal), "%s", *why ? why : strerror(-r));
	w->state.refused++;
	/* a certificate that is missing now may be there later */
	w->start_at_ns = now_ns() + REFUSED_RETRY_NS;
	(void)wv_log_full(LOG_ERR, 0, MODULE, "configuration not in force: %s%s", w->state.refusal,
			  w->current.pid ? "; the old one goes on" : "");
}

/* Brings HAProxy to the configuration; leaves it alone where nothing is different. */
static void apply(struct worker *w)
{
	struct wv_config_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	int r = wv_proxy_installed(&w->config, &error);

	if (r == 0)
		r = wv_proxy_files_translate(&w->files, &w->config, &text, &error);
	if (r == 0 && w->current.pid && in_force(w, text)) {
		w->state.refusal[0] = '\0';
		return;
	}
	if (r == 0)
		r = wv_proxy_check(&w->files, &w->config, text, &error);
	if (r == 0)
		r = wv_proxy_accept(&w->files);
	if (r < 0) {
		refuse(w, r, error.text);
		return;
	}
	w->state.refusal[0] = '\0';
	end_now(&w->next, SIGKILL);
	if (!w->current.pid) {
		start_current(w);
		return;
	}
	if (w->next.pid) {
		(void)waitid(P_PIDFD, (id_t)w->next.pidfd, &(siginfo_t){0}, WEXITED);
		forget(&w->next);
	}
	r = start(w, &w->next, true);
	if (r < 0)
		refuse(w, r, "");
}

static void reload(struct worker *w)
{
	struct wv_config_error error = {.text = ""};
	struct wv_config fresh, old = w->config;
	bool free_old_lists = w->own_proxies;
	int r = wv_config_init(&fresh);

	if (r == 0 && *w->ctx->config->source)
		r = wv_config_load(&fresh, w->ctx->config->source, &error);
	if (r < 0) {
		refuse(w, r, error.text);
		wv_config_done(&fresh);
		return;
	}
	w->config = *w->ctx->config;
	w->config.proxies = fresh.proxies;
	w->config.n_proxies = fresh.n_proxies;
	w->config.proxy_texts = fresh.proxy_texts;
	fresh.proxies = NULL;
	fresh.proxy_texts = (struct wv_arena){NULL};
	wv_config_done(&fresh);
	w->own_proxies = true;
	if (renew_views(w) < 0)
		w->state.n = 0;
	if (free_old_lists) {
		free(old.proxies);
		wv_arena_done(&old.proxy_texts);
	}
	apply(w);
}

/* Begin and end ----------------------------------------------------------------------------------
 */

static int on_control(sd_event_source *s _unused_, int fd, uint32_t revents _unused_,
		      void *userdata)
{
	struct worker *w = userdata;
	char message;
	ssize_t n = recv(fd, &message, 1, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n == 1 && message == WV_CONTROL_POLICY)
		reload(w);
	else if (n != 1 || message == WV_CONTROL_STOP || message == WV_CONTROL_END)
		return sd_event_exit(w->loop, n == 1 ? 0 : 1);
	return 0;
}

static int on_hangup(sd_event_source *s _unused_, const struct signalfd_siginfo *si _unused_,
		     void *userdata)
{
	reload(userdata);
	return 0;
}

/* Asks it to finish what it has, then ends it. */
static void stop(struct process *p, int timeout_ms)
{
	struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};

	if (!p->pid)
		return;
	end_now(p, SIGUSR1);
	if (poll(&fd, 1, timeout_ms) != 1)
		end_now(p, SIGKILL);
	(void)waitid(P_PIDFD, (id_t)p->pidfd, &(siginfo_t){0}, WEXITED);
	forget(p);
}

static void adopt(struct worker *w)
{
	struct process *p = &w->current;
	pid_t pid;
	int fd = wv_proxy_adopt(&w->files, &pid);

	if (fd < 0)
		return;
	*p = (struct process){.pid = pid, .pidfd = fd, .output = -1, .started_ns = now_ns()};
	w->state.haproxy = pid;
	w->state.started_ns = w->state.answered_ns = now_ns();
	if (watch(w, p) < 0)
		(void)wv_log_full(LOG_ERR, 0, MODULE, "haproxy %d is not watched", (int)pid);
	wv_log_info(MODULE, "adopted haproxy %d", (int)pid);
}

/* Two workers would end each other's HAProxy. Held until the process ends. */
static int take_lock(struct worker *w)
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

static int set_up(struct worker *w)
{
	sigset_t mask;
	int r = wv_proxy_files(&w->files, w->ctx->paths, &w->config, false);

	if (r == -ESRCH || r == -EPERM)
		return wv_log_errno(r, MODULE, "proxy.user '%s' %s", w->config.proxy_user,
				    r == -EPERM ? "is root" : "does not exist");
	if (r >= 0)
		r = take_lock(w);
	if (r < 0)
		return wv_log_errno(r, MODULE, "%s%s", w->files.dir,
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
	return r < 0 ? r : renew_views(w);
}

int wv_proxy_run(const struct wv_worker_context *ctx)
{
	_cleanup_free_ struct worker *w = calloc(1, sizeof(*w));
	int r, exit_code = 0;

	if (!w)
		return 1;
	w->ctx = ctx;
	w->config = *ctx->config;
	w->lock = -1;
	w->current.pidfd = w->next.pidfd = w->current.output = w->next.output = -1;
	for (size_t i = 0; i < OLD_MAX; i++)
		w->old[i].pidfd = w->old[i].output = -1;
	r = set_up(w);
	if (r >= 0) {
		adopt(w);
		apply(w);
		r = wv_beat_start(w->loop, ctx->control);
	}
	if (r >= 0)
		r = exit_code = sd_event_loop(w->loop);
	/* when the supervisor is gone traffic goes on, and the next one adopts it */
	if (w->loop && exit_code == 0) {
		stop(&w->next, 0);
		stop(&w->current, STOP_MS);
		for (size_t i = 0; i < OLD_MAX; i++)
			stop(&w->old[i], 0);
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
	struct process p = {.output = -1};

	snprintf(f.dir, sizeof(f.dir), "%s/" WV_PROXY_DIR, paths->runtime);
	p.pidfd = wv_proxy_adopt(&f, &p.pid);
	if (p.pidfd < 0)
		return 0;
	stop(&p, STOP_MS);
	wv_proxy_forget(&f);
	return 1;
}
