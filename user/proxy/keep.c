// SPDX-License-Identifier: GPL-2.0-only
/* HAProxy's processes as the worker sees them: started, watched, replaced, retired. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/proxy/worker.h"

#define ASK_SOON_US 50000
#define STABLE_NS 10000000000ULL
#define BACKOFF_FIRST_NS 100000000ULL
#define BACKOFF_MAX_NS 10000000000ULL
/* Of what HAProxy says on standard error so much is logged; then it is read no more. */
#define LINES_MAX 20
#define OUTPUT_MAX 65536

uint64_t wv_proxy_now_ns(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

void wv_proxy_let_go(struct wv_proxy_process *p)
{
	p->ended = sd_event_source_disable_unref(p->ended);
	p->said = sd_event_source_disable_unref(p->said);
	wv_closep(&p->pidfd);
	wv_closep(&p->output);
	p->pidfd = p->output = -1;
	p->pid = 0;
}

void wv_proxy_signal(const struct wv_proxy_process *p, int signal)
{
	if (p->pid)
		(void)syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0);
}

static int on_said(sd_event_source *s, int fd, uint32_t revents _unused_, void *userdata)
{
	struct wv_proxy_process *p = userdata;
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
		wv_log_info(WV_PROXY_MODULE, "haproxy %d: %.300s", (int)p->pid, line);
	}
	return 0;
}

static int on_ended(sd_event_source *s, int fd, uint32_t revents, void *userdata);

int wv_proxy_watch(struct wv_proxy_worker *w, struct wv_proxy_process *p)
{
	int r = sd_event_add_io(w->loop, &p->ended, p->pidfd, EPOLLIN, on_ended, p);

	p->worker = w;
	if (r >= 0 && p->output >= 0)
		r = sd_event_add_io(w->loop, &p->said, p->output, EPOLLIN, on_said, p);
	return r;
}

void wv_proxy_move(struct wv_proxy_worker *w, struct wv_proxy_process *from,
		   struct wv_proxy_process *to)
{
	from->ended = sd_event_source_disable_unref(from->ended);
	from->said = sd_event_source_disable_unref(from->said);
	*to = *from;
	*from = (struct wv_proxy_process){.pidfd = -1, .output = -1};
	if (wv_proxy_watch(w, to) < 0)
		(void)wv_log_full(LOG_ERR, 0, WV_PROXY_MODULE, "haproxy %d is not watched",
				  (int)to->pid);
}

void wv_proxy_look_soon(struct wv_proxy_worker *w)
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

int wv_proxy_launch(struct wv_proxy_worker *w, struct wv_proxy_process *p, bool take_over)
{
	*p = (struct wv_proxy_process){.pidfd = -1, .output = -1};
	p->pid = wv_proxy_start(&w->files, &w->config, take_over ? w->current.pid : 0, &p->output);
	if (p->pid < 0) {
		int r = (int)p->pid;

		p->pid = 0;
		return r;
	}
	p->started_ns = wv_proxy_now_ns();
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd < 0 || wv_proxy_watch(w, p) < 0) {
		(void)kill(p->pid, SIGKILL);
		(void)waitpid(p->pid, NULL, 0);
		wv_proxy_let_go(p);
		return -EIO;
	}
	wv_proxy_look_soon(w);
	return 0;
}

void wv_proxy_launch_current(struct wv_proxy_worker *w)
{
	int r = wv_proxy_launch(w, &w->current, false);

	w->start_at_ns = 0;
	if (r == 0) {
		wv_proxy_state_anew(&w->state);
		w->state.haproxy = w->current.pid;
		w->state.started_ns = w->state.answered_ns = w->current.started_ns;
		return;
	}
	(void)wv_log_errno(r, WV_PROXY_MODULE, "start %s", w->config.proxy_program);
	wv_proxy_signal(&w->current, SIGKILL);
	w->quick += 2;
	w->start_at_ns = wv_proxy_now_ns() + pause_ns(w->quick);
}

static int on_ended(sd_event_source *s _unused_, int fd, uint32_t revents _unused_, void *userdata)
{
	struct wv_proxy_process *p = userdata;
	struct wv_proxy_worker *w = p->worker;
	siginfo_t si = {0};
	uint64_t wait;

	/* one that was adopted is not our child: how it ended is not known */
	(void)waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG);
	if (p == &w->current) {
		w->quick = wv_proxy_now_ns() - p->started_ns > STABLE_NS ? 1 : w->quick + 1;
		wait = pause_ns(w->quick);
		w->state.restarts++;
		w->state.haproxy = 0;
		(void)wv_log_full(LOG_WARNING, 0, WV_PROXY_MODULE,
				  "haproxy %d ended (%s %d), restart in %llu ms", (int)p->pid,
				  si.si_code == CLD_EXITED ? "status" : "signal", si.si_status,
				  (unsigned long long)(wait / 1000000));
		wv_proxy_let_go(p);
		if (w->next.pid) /* it has the sockets, or is about to ask for them in vain */
			return 0;
		if (!wait)
			wv_proxy_launch_current(w);
		else
			w->start_at_ns = wv_proxy_now_ns() + wait;
		return 0;
	}
	if (p == &w->next) {
		snprintf(w->state.refusal, sizeof(w->state.refusal),
			 "haproxy with the new configuration ended (%s %d)",
			 si.si_code == CLD_EXITED ? "status" : "signal", si.si_status);
		w->state.refused++;
		(void)wv_log_full(LOG_ERR, 0, WV_PROXY_MODULE, "%s; the old one goes on",
				  w->state.refusal);
	}
	wv_proxy_let_go(p);
	return 0;
}

struct wv_proxy_process *wv_proxy_free_old(struct wv_proxy_worker *w)
{
	struct wv_proxy_process *oldest = &w->old[0];

	for (size_t i = 0; i < WV_PROXY_OLD_MAX; i++) {
		if (!w->old[i].pid)
			return &w->old[i];
		if (w->old[i].started_ns < oldest->started_ns)
			oldest = &w->old[i];
	}
	wv_proxy_signal(oldest, SIGKILL);
	(void)waitid(P_PIDFD, (id_t)oldest->pidfd, &(siginfo_t){0}, WEXITED);
	wv_proxy_let_go(oldest);
	return oldest;
}

/* The new one answers: it has the sockets, the old one ends when its connections do. */
void wv_proxy_promote(struct wv_proxy_worker *w)
{
	struct wv_proxy_process *old = wv_proxy_free_old(w);
	int r;

	/* first: one that was not told and that nobody knows any more would listen for ever */
	wv_proxy_signal(&w->current, SIGUSR1);
	r = wv_proxy_remember(&w->files, w->next.pid, 0);
	if (r < 0)
		(void)wv_log_errno(r, WV_PROXY_MODULE, "remember haproxy %d", (int)w->next.pid);
	if (w->current.pid)
		wv_proxy_move(w, &w->current, old);
	wv_proxy_move(w, &w->next, &w->current);
	wv_proxy_state_anew(&w->state);
	w->state.haproxy = w->current.pid;
	w->state.started_ns = w->current.started_ns;
	w->state.answered_ns = wv_proxy_now_ns();
	w->state.reloads++;
	w->start_at_ns = 0;
	wv_log_info(WV_PROXY_MODULE, "haproxy %d serves the new configuration",
		    (int)w->current.pid);
}

/* Asks it to finish what it has, then ends it. */
void wv_proxy_stop(struct wv_proxy_process *p, int timeout_ms)
{
	struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};

	if (!p->pid)
		return;
	wv_proxy_signal(p, SIGUSR1);
	if (poll(&fd, 1, timeout_ms) != 1)
		wv_proxy_signal(p, SIGKILL);
	(void)waitid(P_PIDFD, (id_t)p->pidfd, &(siginfo_t){0}, WEXITED);
	wv_proxy_let_go(p);
}
