// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two processes. This one reads the log and writes below <state>: it keeps its user, who owns that,
 * but no capability, and cannot open a socket to another machine. Who talks to sinks (sender.c) is
 * nobody, without a file of ours.
 *
 * A record is taken into the book, the book is saved, and only then does the cursor move: what a
 * crash undoes is read again, and the book knows by seq what it has.
 */
#include "user/alert/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "user/agent/beat.h"
#include "user/alert/post.h"
#include "user/alert/sender.h"
#include "user/alert/state.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/event.h"
#include "user/evidence/follow.h"
#include "user/export/sandbox.h"
#include "user/flow/figures.h"
#include "user/spool/rights.h"

#define CURSOR "alert"
#define TURN_NS 250000000ULL
#define SAVE_NS 1000000000ULL
#define SILENCES_NS 1000000000ULL
#define RECORDS_A_TURN 5000
#define STOP_NS 1500000000ULL
/* Who never followed the log begins with its end, and with what a start of the agent just said. */
#define FIRST_RECORDS 500
#define FIRST_NS 120000000000ULL

struct worker {
	const struct wv_io *io;
	const struct wv_config *config;
	const char *state;
	struct wv_alerts book;
	struct wv_alert_post post;
	struct wv_follow *follow;
	sd_event *loop;
	sd_event_source *turn;
	int control;
	uint64_t read_seq, skip_to, skip_before_ns; /* records up to skip_to older than that */
	uint64_t missed, saved_ns, silences_ns, silences_taken, stop_ns;
};

bool wv_alert_wanted(const struct wv_config *config)
{
	return config->n_alerts > 0;
}

/* Reading ------------------------------------------------------------------------------------- */

static void take(struct worker *w, const struct wv_alert_event *e, int n, uint64_t seq)
{
	/* in the book before the worker was restarted */
	if (seq <= w->book.seq)
		return;
	for (int i = 0; i < n; i++)
		if (seq > w->skip_to || e[i].wall_ns >= w->skip_before_ns)
			wv_alerts_take(&w->book, &e[i], (int64_t)w->io->mono_ns(w->io->ctx));
	w->book.seq = seq;
}

static void tell_missed(struct worker *w)
{
	struct wv_alert_event e = {.edge = WV_EDGE_EVENT,
				   .severity = WV_ALERT_CRITICAL,
				   .wall_ns = w->io->wall_ns(w->io->ctx),
				   .alert = "RecordsMissed"};

	if (wv_follow_missed(w->follow) == w->missed)
		return;
	snprintf(e.summary, sizeof(e.summary),
		 "%llu records were retired before alerts could be made of them",
		 (unsigned long long)(wv_follow_missed(w->follow) - w->missed));
	w->missed = wv_follow_missed(w->follow);
	wv_alerts_take(&w->book, &e, (int64_t)w->io->mono_ns(w->io->ctx));
}

/* Whether there may be more. */
static bool read_records(struct worker *w)
{
	struct wv_alert_event events[WV_ALERT_EVENTS];
	const char *line;
	uint64_t seq;
	size_t len;
	int r = 1;

	for (int i = 0; r > 0 && i < RECORDS_A_TURN; i++) {
		r = wv_follow_next(w->follow, &seq, &line, &len);
		if (r <= 0)
			break;
		w->read_seq = seq;
		take(w, events, wv_alert_from_record(line, len, events), seq);
	}
	if (r < 0)
		(void)wv_log_warn(r, "alert", "the log cannot be read");
	tell_missed(w);
	return r > 0;
}

static void tell_figures(const struct worker *w)
{
	uint64_t active = 0, queued = 0, sent = 0, failed = 0, dead = 0;

	for (size_t i = 0; i < w->book.n; i++)
		active += !w->book.list[i].ends_ns;
	for (unsigned i = 0; i < w->config->n_alerts; i++) {
		queued += wv_alert_queued(&w->book, i);
		sent += w->book.sinks[i].sent;
		failed += w->book.sinks[i].failures;
		dead += w->book.sinks[i].dead;
	}
	wv_figure_set(WV_FIG_ALERTS_ACTIVE, active);
	wv_figure_set(WV_FIG_ALERTS_QUEUED, queued);
	wv_figure_set(WV_FIG_ALERT_EVENTS, w->book.taken);
	wv_figure_set(WV_FIG_ALERT_SENT, sent);
	wv_figure_set(WV_FIG_ALERT_FAILED, failed);
	wv_figure_set(WV_FIG_ALERT_SUPPRESSED, w->book.suppressed);
	wv_figure_set(WV_FIG_ALERT_DEAD, dead);
}

static int save(struct worker *w)
{
	uint64_t now = w->io->mono_ns(w->io->ctx);
	int r = 0;

	if (now - w->saved_ns < SAVE_NS)
		return 0;
	tell_figures(w);
	if (w->book.dirty)
		r = wv_alert_save(&w->book, w->io, w->post.dirfd);
	if (r == 0) {
		w->book.dirty = false;
		r = wv_follow_done(w->follow, w->read_seq);
	}
	w->saved_ns = now;
	return r < 0 ? wv_log_warn(r, "alert", "%s/" WV_ALERT_FOLDER, w->state) : 0;
}

/* After the records: a silence that was there before one of them holds for it. */
static void read_silences(struct worker *w)
{
	uint64_t now = w->io->mono_ns(w->io->ctx);
	int r;

	if (w->silences_ns && now - w->silences_ns < SILENCES_NS &&
	    w->silences_taken == w->book.taken)
		return;
	w->silences_ns = now;
	w->silences_taken = w->book.taken;
	r = wv_alert_silences_load(&w->book, w->io, w->post.dirfd, w->io->wall_ns(w->io->ctx));
	if (r < 0)
		(void)wv_log_warn(r, "alert", WV_ALERT_SILENCES);
}

/* The loop ------------------------------------------------------------------------------------ */

static int gone(struct worker *w)
{
	(void)wv_log_full(LOG_ERR, 0, "alert", "the sender is gone");
	w->saved_ns = 0;
	(void)save(w);
	return sd_event_exit(w->loop, EXIT_FAILURE);
}

static int end(struct worker *w)
{
	w->saved_ns = 0;
	(void)save(w);
	return sd_event_exit(w->loop, 0);
}

static int on_turn(sd_event_source *s, uint64_t usec _unused_, void *userdata)
{
	struct worker *w = userdata;
	uint64_t now = w->io->mono_ns(w->io->ctx);
	int64_t wait = 0;
	bool more = false;

	if (w->stop_ns && (now >= w->stop_ns || !wv_alert_post_busy(&w->post)))
		return end(w);
	if (!w->stop_ns) {
		more = read_records(w);
		read_silences(w);
		wv_alerts_tidy(&w->book, (int64_t)now, w->io->wall_ns(w->io->ctx));
		/* of a storm all is seen before anything is told */
		if (!more && wv_alert_post_due(&w->post, &wait) < 0)
			return gone(w);
	}
	(void)save(w);
	(void)sd_event_source_set_time_relative(s, more ? 0 : TURN_NS / 1000);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int on_answer(sd_event_source *s _unused_, int fd _unused_, uint32_t events _unused_,
		     void *userdata)
{
	struct worker *w = userdata;

	if (wv_alert_post_answers(&w->post) < 0)
		return gone(w);
	/* what was told is durable before anything else is */
	w->saved_ns = 0;
	(void)save(w);
	return 0;
}

static int stop(struct worker *w)
{
	w->stop_ns = w->io->mono_ns(w->io->ctx) + STOP_NS;
	return 0;
}

static int on_control(sd_event_source *s, int fd, uint32_t events _unused_, void *userdata)
{
	char message;
	ssize_t n = recv(fd, &message, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n == 1 && message != WV_CONTROL_STOP && message != WV_CONTROL_END)
		return 0;
	(void)sd_event_source_set_enabled(s, SD_EVENT_OFF);
	return stop(userdata);
}

static int on_term(sd_event_source *s _unused_, const struct signalfd_siginfo *si _unused_,
		   void *userdata)
{
	return stop(userdata);
}

/* Starting ------------------------------------------------------------------------------------ */

/* Where a sink without a cursor begins. */
static int first_record(struct worker *w, uint64_t *ret)
{
	const struct wv_tlog_options none = {.key = NULL};
	struct wv_tlog *l;
	uint64_t size;
	int r = wv_tlog_open(&l, w->io, w->state, &none, NULL);

	if (r < 0)
		return r;
	size = wv_tlog_size(l);
	wv_tlog_close(l);
	*ret = size > FIRST_RECORDS ? size - FIRST_RECORDS : 1;
	w->skip_to = size;
	w->skip_before_ns = w->io->wall_ns(w->io->ctx) - FIRST_NS;
	return 0;
}

static int open_book(struct worker *w)
{
	char host[65] = "";
	uint64_t first = 1;
	int r;

	(void)gethostname(host, sizeof(host) - 1);
	r = wv_alerts_init(&w->book, w->config, host);
	if (r < 0)
		return r;
	w->post.dirfd = wv_alert_open_dir(w->io, w->state);
	if (w->post.dirfd < 0)
		return w->post.dirfd;
	r = wv_alert_load(&w->book, w->io, w->post.dirfd);
	if (r < 0)
		(void)wv_log_warn(r, "alert",
				  "%s/" WV_ALERT_FOLDER "/" WV_ALERT_STATE
				  " cannot be read: who was told of what is not known",
				  w->state);
	if (r == 0) {
		r = first_record(w, &first);
		if (r < 0)
			return wv_log_errno(r, "alert", "the log");
		w->book.dirty = true; /* from here on it did follow */
	}
	r = wv_follow_open(&w->follow, w->io, w->state, CURSOR, first);
	return r < 0 ? wv_log_errno(r, "alert", "the cursor") : 0;
}

static int set_up(struct worker *w)
{
	sigset_t term;
	int r = wv_sandbox_close_fds(&w->control, w->control >= 0);

	if (r == 0)
		r = wv_alert_sender_start(w->io, w->config, &w->post.sender);
	if (r == 0)
		r = open_book(w);
	if (r < 0)
		return r;
	r = wv_spool_drop_powers(w->control >= 0);
	if (r < 0)
		return wv_log_errno(r, "alert", "cannot give up rights");
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL);
	r = sd_event_new(&w->loop);
	if (r >= 0)
		r = sd_event_add_signal(w->loop, NULL, SIGTERM, on_term, w);
	if (r >= 0 && w->control >= 0)
		r = sd_event_add_io(w->loop, NULL, w->control, EPOLLIN, on_control, w);
	if (r >= 0)
		r = sd_event_add_io(w->loop, NULL, w->post.sender, EPOLLIN, on_answer, w);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, &w->turn, CLOCK_MONOTONIC, 0, 1000, on_turn,
					       w);
	if (r >= 0)
		r = wv_beat_start(w->loop, w->control);
	return r < 0 ? r : 0;
}

int wv_alert_run(const struct wv_worker_context *ctx)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return EXIT_FAILURE;
	*w = (struct worker){.io = &wv_io_system,
			     .config = ctx->config,
			     .state = ctx->paths->state,
			     .control = ctx->control};
	w->post = (struct wv_alert_post){.io = w->io,
					 .book = &w->book,
					 .state = w->state,
					 .run_id = ctx->run_id,
					 .dirfd = -1,
					 .sender = -1};
	if (ctx->snapshot && ctx->snapshot->head)
		(void)munmap(ctx->snapshot->head, ctx->snapshot->bytes);
	r = set_up(w);
	if (r == 0) {
		wv_log_info("alert", "%zu sink(s), %zu alert(s) go on", w->config->n_alerts,
			    w->book.n);
		r = sd_event_loop(w->loop);
	}
	if (r < 0)
		(void)wv_log_errno(r, "alert", "ended");
	wv_alert_post_done(&w->post);
	wv_follow_close(w->follow);
	wv_alerts_done(&w->book);
	sd_event_source_unref(w->turn);
	sd_event_unref(w->loop);
	wv_closep(&w->post.sender);
	wv_closep(&w->post.dirfd);
	free(w);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
