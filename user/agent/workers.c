// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/workers.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "user/agent/core.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"

/* A worker that lived this long has earned an immediate restart. */
#define STABLE_NS 10000000000ULL
/* So many restarts in a row are immediate; only then does the pause between them grow. */
#define FREE_RESTARTS 5
#define BACKOFF_FIRST_NS 50000000ULL
#define BACKOFF_MAX_NS 10000000000ULL

static const struct {
	const char *name;
	unsigned silences, memory_mib;
	bool hears;
} kinds[] = {
#define WV_WORKER(ID, name, silence, memory, hears) {#name, silence, memory, hears},
#include "waveos/workers.def"
};

static uint64_t mono_ns(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

static enum wv_worker_id id_of(const struct wv_worker *w)
{
	return (enum wv_worker_id)(w - w->set->all);
}

static const char *name_of(const struct wv_worker *w)
{
	return kinds[id_of(w)].name;
}

void wv_workers_init(struct wv_workers *set, uint64_t silence_ns, uint64_t patience_ns)
{
	for (int i = 0; i < WV_WORKER_N; i++) {
		set->all[i] = (struct wv_worker){.set = set, .control = -1};
		set->silence_ns[i] =
			kinds[i].silences ? kinds[i].silences * silence_ns + patience_ns : 0;
		set->memory_bytes[i] = (uint64_t)kinds[i].memory_mib << 20;
	}
}

/* In the child, before anything of its own. */
static void become_worker(const struct wv_worker *w)
{
	rlim_t bytes = w->set->memory_bytes[id_of(w)];
	struct rlimit data = {.rlim_cur = bytes, .rlim_max = bytes};
	char name[16];
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(name, sizeof(name), "waveos-%s", name_of(w));
	(void)prctl(PR_SET_NAME, name);
	sigemptyset(&none);
	sigaddset(&none, SIGTERM); /* sd-event takes it from here */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGINT, SIG_IGN); /* Ctrl-C goes to the whole group; the supervisor decides */
	wv_log_identity(name_of(w), NULL);
	if (bytes && setrlimit(RLIMIT_DATA, &data) < 0)
		(void)wv_log_warn(-errno, name_of(w), "memory is not bounded");
}

static int on_restart(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata)
{
	struct wv_worker *w = userdata;
	int r = wv_worker_start(w->set, id_of(w));

	if (r < 0)
		(void)wv_log_errno(r, "supervisor", "restart %s", name_of(w));
	return 0;
}

/* First pauses are none, then doubled with jitter, so that workers of many machines do not march in
 * step. */
static uint64_t backoff_ns(unsigned quick_deaths)
{
	uint64_t wait = BACKOFF_FIRST_NS, jitter;

	if (quick_deaths <= FREE_RESTARTS)
		return 0;
	for (unsigned i = FREE_RESTARTS + 1; i < quick_deaths && wait < BACKOFF_MAX_NS; i++)
		wait *= 2;
	if (wait > BACKOFF_MAX_NS)
		wait = BACKOFF_MAX_NS;
	if (wv_io_system.random(wv_io_system.ctx, &jitter, sizeof(jitter)) < 0)
		jitter = 0;
	return wait + jitter % (wait / 4);
}

static void forget(struct wv_worker *w)
{
	w->child = sd_event_source_disable_unref(w->child);
	w->io = sd_event_source_disable_unref(w->io);
	w->silence = sd_event_source_disable_unref(w->silence);
	wv_closep(&w->control);
	w->control = -1;
	w->pid = 0;
	atomic_store(&w->set->head->workers[id_of(w)].pid, 0);
}

static bool all_gone(const struct wv_workers *set)
{
	for (int i = 0; i < WV_WORKER_N; i++)
		if (set->all[i].pid)
			return false;
	return true;
}

static int on_child(sd_event_source *s _unused_, const siginfo_t *si, void *userdata)
{
	struct wv_worker *w = userdata;
	struct wv_workers *set = w->set;
	uint64_t wait;
	int r;

	forget(w);
	if (set->stopping)
		return all_gone(set) ? sd_event_exit(set->loop, 0) : 0;
	w->quick_deaths = mono_ns() - w->started_ns > STABLE_NS ? 1 : w->quick_deaths + 1;
	wait = backoff_ns(w->quick_deaths);
	(void)wv_log_full(LOG_WARNING, 0, "supervisor", "%s ended (%s %d), restart in %llu ms",
			  name_of(w), si->si_code == CLD_EXITED ? "status" : "signal",
			  si->si_status, (unsigned long long)(wait / 1000000));
	atomic_fetch_add(&set->head->workers[id_of(w)].restarts, 1);
	if (!wait) {
		r = wv_worker_start(set, id_of(w));
		if (r == 0)
			return 0;
	}
	w->restart = sd_event_source_disable_unref(w->restart);
	r = sd_event_add_time_relative(set->loop, &w->restart, CLOCK_MONOTONIC,
				       (wait ?: BACKOFF_FIRST_NS) / 1000, 1000, on_restart, w);
	return r < 0 ? wv_log_errno(r, "supervisor", "restart timer") : 0;
}

static int on_message(sd_event_source *s, int fd, uint32_t revents _unused_, void *userdata)
{
	struct wv_worker *w = userdata;
	char messages[64];
	ssize_t n = recv(fd, messages, sizeof(messages), MSG_DONTWAIT);

	if (n <= 0) /* it died; on_child does the rest */
		return sd_event_source_set_enabled(s, SD_EVENT_OFF);
	w->heard_ns = mono_ns();
	for (ssize_t i = 0; i < n; i++) {
		if (messages[i] == WV_CONTROL_READY && w->set->ready)
			w->set->ready(w->set->userdata, id_of(w));
		else if (messages[i] != WV_CONTROL_READY && messages[i] != WV_CONTROL_ALIVE &&
			 w->set->asked)
			w->set->asked(w->set->userdata, id_of(w), messages[i]);
	}
	return 0;
}

/* It holds locks, sockets or a place in a queue and does nothing with them: a new one does better.
 */
static int on_silence(sd_event_source *s, uint64_t usec _unused_, void *userdata)
{
	struct wv_worker *w = userdata;
	uint64_t quiet = mono_ns() - w->heard_ns, limit = w->set->silence_ns[id_of(w)];

	if (quiet >= limit) {
		(void)wv_log_full(LOG_ERR, 0, "supervisor", "%s hangs: silent for %llu s, killed",
				  name_of(w), (unsigned long long)(quiet / 1000000000));
		return kill(w->pid, SIGKILL) < 0 ? -errno : 0;
	}
	(void)sd_event_source_set_time_relative(s, (limit - quiet) / 1000);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int watch(struct wv_worker *w)
{
	struct wv_workers *set = w->set;
	uint64_t silence_us = set->silence_ns[id_of(w)] / 1000;
	int r = sd_event_add_child(set->loop, &w->child, w->pid, WEXITED, on_child, w);

	if (r >= 0)
		r = sd_event_add_io(set->loop, &w->io, w->control, EPOLLIN, on_message, w);
	if (r >= 0 && silence_us)
		r = sd_event_add_time_relative(set->loop, &w->silence, CLOCK_MONOTONIC, silence_us,
					       silence_us / 8, on_silence, w);
	return r < 0 ? r : 0;
}

int wv_worker_start(struct wv_workers *set, enum wv_worker_id id)
{
	struct wv_worker *w = &set->all[id];
	int pair[2], r;
	pid_t pid;

	if (w->pid)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		r = -errno;
		close(pair[0]);
		close(pair[1]);
		return r;
	}
	if (pid == 0) {
		close(pair[0]);
		become_worker(w);
		_exit(set->run(set->userdata, id, pair[1]));
	}
	close(pair[1]);
	w->pid = pid;
	w->control = pair[0];
	w->started_ns = w->heard_ns = mono_ns();
	atomic_store(&set->head->workers[id].pid, (uint32_t)pid);
	return watch(w);
}

void wv_workers_tell(struct wv_workers *set, char message)
{
	/* a worker that just died starts with the new state anyway */
	for (int i = 0; i < WV_WORKER_N; i++)
		if (set->all[i].pid && kinds[i].hears)
			(void)send(set->all[i].control, &message, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int on_stop_timeout(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata)
{
	struct wv_workers *set = userdata;

	for (int i = 0; i < WV_WORKER_N; i++)
		if (set->all[i].pid)
			(void)kill(set->all[i].pid, SIGKILL);
	return 0;
}

int wv_workers_stop(struct wv_workers *set, const char last_words[WV_WORKER_N], uint64_t timeout_us)
{
	if (set->stopping)
		return 0;
	set->stopping = true;
	for (int i = 0; i < WV_WORKER_N; i++) {
		struct wv_worker *w = &set->all[i];
		char message = last_words[i] ?: (char)WV_CONTROL_STOP;

		w->restart = sd_event_source_disable_unref(w->restart);
		if (w->pid && send(w->control, &message, 1, MSG_NOSIGNAL) < 0)
			(void)kill(w->pid, SIGTERM);
	}
	if (all_gone(set))
		return sd_event_exit(set->loop, 0);
	return sd_event_add_time_relative(set->loop, NULL, CLOCK_MONOTONIC, timeout_us, 0,
					  on_stop_timeout, set);
}
