// SPDX-License-Identifier: GPL-2.0-only
/*
 * A turn: who has ended, who has to be told to end, who may start. It is taken when a request came
 * or a job ended, and once a second while there are jobs; it begins with what the files say, so
 * that a worker that was started anew takes the same one.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "gpu/topo/nvml_topo.h"
#include "user/agent/beat.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/log.h"
#include "user/core/memory.h"
#include "user/export/sandbox.h"
#include "user/jobs/jobs.h"

#define TURN_US 1000000
#define QUICK_US 100000	       /* while one is to end */
#define TERM_NS 10000000000ULL /* after SIGTERM comes SIGKILL */
#define TOPOLOGY_MAX (1U << 20)
#define DECISIONS 32
#define LOST_STARTS 5 /* a job whose keeper dies again and again is not begun again */

bool wv_jobs_wanted(const struct wv_config *config)
{
	return config->gpu_jobs;
}

/* Ends ----------------------------------------------------------------------------------------- */

static bool ends(const struct wv_job *j)
{
	return j->state == WV_JOB_PREEMPTING || j->state == WV_JOB_CANCELLING;
}

/* The keeper is gone without a word: what it kept goes, too, then the job is lost. */
static void lose(struct wv_jobs_worker *w, const struct wv_job *j)
{
	struct wv_job_event e = {.id = j->id, .type = WV_JOB_EV_LOST};
	struct wv_job_process p = {0};

	(void)wv_job_process_read(w->dir, j->id, w->ctx->host->boot_id, &p);
	wv_pin_kill(p.cgroup, p.cpuset);
	if (p.pid) {
		wv_job_signal(&p, SIGKILL, true);
		return; /* looked at again by the next turn */
	}
	wv_pin_remove(p.cgroup, p.cpuset);
	/* one that is not written down never ran: nothing is done twice when it is begun now */
	e.flag = (j->spec.preemptible || p.start != j->starts) &&
		 j->starts - j->preemptions <= LOST_STARTS;
	(void)wv_log_warn(0, "jobs", "job %llu is lost%s", (unsigned long long)j->id,
			  e.flag ? ", and waits again" : "");
	(void)wv_jobs_note(w, &e, NULL);
}

static void look(struct wv_jobs_worker *w, const struct wv_job *j)
{
	struct wv_job_note note = {0};
	struct wv_job_event e;
	int r = wv_job_exit_read(w->dir, j->id, j->starts, &note.exit);

	if (r < 0) {
		if (wv_keeper_lives(w->dir, j->id) != 0)
			return;
		/* it may have ended between these two */
		if (wv_job_exit_read(w->dir, j->id, j->starts, &note.exit) < 0) {
			lose(w, j);
			return;
		}
	}
	wv_job_verdict(j, &note.exit, &e);
	(void)wv_jobs_note(w, &e, &note);
}

/* SIGUSR1 (preempted), SIGTERM, SIGKILL, each after its time. One that was told by a worker before
 * this one is told again, and has all of its time again. */
static void tell(struct wv_jobs_worker *w, const struct wv_job *j)
{
	struct wv_jobs_live *l = wv_jobs_live_of(w, j->id);
	uint64_t now = w->io->mono_ns(w->io->ctx);
	bool saves = j->state == WV_JOB_PREEMPTING;
	struct wv_job_process p;

	if (!l || (l->told && now < l->deadline_ns) ||
	    wv_job_process_read(w->dir, j->id, w->ctx->host->boot_id, &p) < 0 || !p.pid)
		return;
	if (!l->told && saves) {
		wv_job_signal(&p, SIGUSR1, false);
		l->deadline_ns = now + w->rules.grace_ns;
		l->told = 1;
	} else if (l->told <= 1) {
		wv_job_signal(&p, SIGTERM, true);
		l->deadline_ns = now + TERM_NS;
		l->told = 2;
	} else {
		wv_job_signal(&p, SIGKILL, true);
		l->deadline_ns = now + TERM_NS;
	}
}

/* Starts --------------------------------------------------------------------------------------- */

static void start(struct wv_jobs_worker *w, uint64_t id)
{
	const struct wv_job *j = wv_jobs_find(w->state, id);
	const struct wv_jobs_live *l = wv_jobs_live_of(w, id);
	struct wv_job_note note = {.exit = {.status = 126}};
	struct wv_job_event e = {.id = id, .type = WV_JOB_EV_ENDED};
	struct wv_keep k = {.ctx = w->ctx, .topo = w->topo, .dir = w->dir, .id = id};
	int r = -ENODATA;

	if (l && l->task) {
		k.gpus = j->gpus;
		k.start = j->starts;
		k.task = l->task;
		r = wv_keeper_start(&k);
	}
	if (r == 0)
		return;
	snprintf(note.exit.why, sizeof(note.exit.why), "cannot be started: %s", strerror(-r));
	(void)wv_log_warn(r, "jobs", "job %llu cannot be started", (unsigned long long)id);
	(void)wv_jobs_note(w, &e, &note);
}

static void decide(struct wv_jobs_worker *w)
{
	struct wv_job_event e[DECISIONS];
	unsigned n =
		wv_jobs_decide(w->state, w->topo, ~0ULL, &w->rules, wv_jobs_now(w), e, DECISIONS);

	for (unsigned i = 0; i < n; i++) {
		if (wv_jobs_note(w, &e[i], NULL) < 0)
			return; /* undone is what was not written: it is decided again */
		if (e[i].type == WV_JOB_EV_STARTED)
			start(w, e[i].id);
	}
}

void wv_jobs_turn(struct wv_jobs_worker *w)
{
	uint64_t next_us = 0;

	for (unsigned i = 0; i < WV_JOBS_MAX; i++)
		if (w->state->job[i].gpus)
			look(w, &w->state->job[i]);
	decide(w);
	for (unsigned i = 0; i < WV_JOBS_MAX; i++) {
		const struct wv_job *j = &w->state->job[i];

		if (ends(j))
			tell(w, j);
		if (ends(j))
			next_us = QUICK_US;
		else if (!next_us && j->state != WV_JOB_NONE && j->state != WV_JOB_HELD)
			next_us = TURN_US;
	}
	if (next_us && sd_event_source_set_time_relative(w->turn, next_us) >= 0)
		(void)sd_event_source_set_enabled(w->turn, SD_EVENT_ONESHOT);
}

static int on_turn(sd_event_source *s _unused_, uint64_t at _unused_, void *userdata)
{
	wv_jobs_turn(userdata);
	return 0;
}

/* A keeper wrote something down. */
static int on_folder(sd_event_source *s _unused_, int fd, uint32_t events _unused_, void *userdata)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	while (read(fd, buf, sizeof(buf)) > 0)
		; /* which file does not matter */
	wv_jobs_turn(userdata);
	return 0;
}

/* Requests ------------------------------------------------------------------------------------- */

static void serve(struct wv_jobs_worker *w, int fd)
{
	static char message[WV_JOBS_MESSAGE_MAX + 1];
	struct json_object *request, *answer;
	struct ucred who;
	gid_t groups[256];
	socklen_t len = sizeof(who), n_groups = sizeof(groups);
	const char *text;
	ssize_t n;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n_groups) < 0)
		n_groups = 0; /* Linux before 4.13: its own group alone */
	n = recv(fd, message, sizeof(message), MSG_DONTWAIT);
	if (n <= 0 || n > WV_JOBS_MESSAGE_MAX)
		return;
	message[n] = '\0';
	request = json_tokener_parse(message);
	explicit_bzero(message, (size_t)n); /* environments have secrets in them */
	answer = wv_jobs_answer(w, request, &who, groups, n_groups / sizeof(*groups));
	text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
	json_object_put(request);
	json_object_put(answer);
}

static void hang_up(struct wv_jobs_client *c)
{
	c->source = sd_event_source_disable_unref(c->source);
	wv_closep(&c->fd);
	c->fd = -1;
}

static int on_request(sd_event_source *s _unused_, int fd, uint32_t events _unused_, void *userdata)
{
	struct wv_jobs_client *c = userdata;
	struct wv_jobs_worker *w = c->worker;

	serve(w, fd);
	hang_up(c);
	wv_jobs_turn(w);
	return 0;
}

static int on_client(sd_event_source *s _unused_, int fd, uint32_t events _unused_, void *userdata)
{
	struct wv_jobs_worker *w = userdata;
	struct wv_jobs_client *c = &w->client[w->next_client];
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	if (client < 0)
		return 0;
	/* nobody is waited for: who says nothing is in nobody's way */
	w->next_client = (w->next_client + 1) % WV_JOBS_CLIENTS;
	hang_up(c);
	c->worker = w;
	c->fd = client;
	if (sd_event_add_io(w->loop, &c->source, client, EPOLLIN, on_request, c) < 0)
		hang_up(c);
	return 0;
}

static int listen_at(struct wv_jobs_worker *w)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/" WV_JOBS_SOCKET,
			 w->ctx->paths->runtime);

	if (n >= (int)sizeof(a.sun_path))
		return -ENAMETOOLONG;
	w->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->socket < 0 || (unlink(a.sun_path) < 0 && errno != ENOENT) ||
	    bind(w->socket, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    /* every user has jobs; who it is the kernel says */
	    chmod(a.sun_path, 0666) < 0 || listen(w->socket, 64) < 0)
		return -errno;
	return 0;
}

/* Start ---------------------------------------------------------------------------------------- */

/* Declared by gpu.topology, else this machine's. None: the worker answers, and nothing fits. */
static void read_topology(struct wv_jobs_worker *w)
{
	const char *file = w->ctx->config->gpu_topology;
	_cleanup_free_ char *text = NULL;
	char why[96] = "";
	int r;

	if (!file[0]) {
		r = wv_topo_read(w->topo);
	} else {
		r = wv_io_read_file(w->io, AT_FDCWD, file, TOPOLOGY_MAX, &text, NULL);
		if (r == 0)
			r = wv_topo_parse(text, w->topo, why);
	}
	if (r == 0)
		return;
	w->topo->n = 0;
	(void)wv_log_warn(r, "jobs", "no GPUs are known here%s%s: no job can start",
			  why[0] ? ": " : "", why);
}

static void set_rules(struct wv_jobs_worker *w)
{
	const struct wv_config *c = w->ctx->config;

	w->rules = (struct wv_jobs_rules){.starve_ns = c->gpu_jobs_starve,
					  .grace_ns = c->gpu_jobs_grace,
					  .min_run_ns = c->gpu_jobs_min_run,
					  .preempt_wait_ns = c->gpu_jobs_grace,
					  .preemptions = (unsigned)c->gpu_jobs_preemptions,
					  .reservations = 1,
					  .user_gpus = (unsigned)c->gpu_jobs_user_gpus};
	wv_jobs_init(w->state, c->gpu_jobs_half_life);
}

static int set_up(struct wv_jobs_worker *w)
{
	const int kept[] = {w->ctx->control};
	char folder[WV_PATH_SIZE + 16];
	int r = wv_sandbox_close_fds(kept, w->ctx->control >= 0 ? 1 : 0);

	w->state = calloc(1, sizeof(*w->state));
	w->scratch = calloc(1, sizeof(*w->scratch));
	w->topo = calloc(1, sizeof(*w->topo));
	if (r < 0 || !w->state || !w->scratch || !w->topo)
		return r < 0 ? r : -ENOMEM;
	set_rules(w);
	read_topology(w);
	snprintf(folder, sizeof(folder), "%s/" WV_JOBS_FOLDER, w->ctx->paths->state);
	r = wv_jobs_recall(w, folder);
	if (r < 0)
		return wv_log_errno(r, "jobs", "%s", folder);
	(void)signal(SIGCHLD, SIG_IGN); /* a keeper's end is no news: it wrote it down */
	w->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->inotify < 0 || inotify_add_watch(w->inotify, folder, IN_MOVED_TO) < 0)
		return -errno;
	r = wv_beat_loop(&w->loop, w->ctx->control);
	if (r >= 0)
		r = listen_at(w);
	if (r >= 0)
		r = sd_event_add_io(w->loop, NULL, w->socket, EPOLLIN, on_client, w);
	if (r >= 0)
		r = sd_event_add_io(w->loop, NULL, w->inotify, EPOLLIN, on_folder, w);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, &w->turn, CLOCK_MONOTONIC, 0, 1, on_turn,
					       w);
	if (r >= 0)
		r = wv_beat_start(w->loop, w->ctx->control);
	return r < 0 ? wv_log_errno(r, "jobs", "cannot set up the loop") : 0;
}

int wv_jobs_run(const struct wv_worker_context *ctx)
{
	struct wv_jobs_worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return EXIT_FAILURE;
	w->ctx = ctx;
	w->io = &wv_io_system;
	w->dir = w->socket = w->inotify = w->journal.fd = -1;
	for (unsigned i = 0; i < WV_JOBS_CLIENTS; i++)
		w->client[i].fd = -1;
	r = set_up(w);
	if (r == 0) {
		wv_memory_trim();
		r = sd_event_loop(w->loop);
	}
	for (unsigned i = 0; i < WV_JOBS_CLIENTS; i++)
		hang_up(&w->client[i]);
	sd_event_source_unref(w->turn);
	sd_event_unref(w->loop);
	wv_lines_close(&w->journal);
	wv_closep(&w->dir);
	wv_closep(&w->socket);
	wv_closep(&w->inotify);
	for (unsigned i = 0; i < WV_JOBS_MAX; i++)
		json_object_put(w->live[i].task);
	free(w->state);
	free(w->scratch);
	free(w->topo);
	free(w);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
