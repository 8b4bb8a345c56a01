// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/supervisor.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "user/agent/core.h"
#include "user/agent/guard.h"
#include "user/agent/policy_source.h"
#include "user/agent/prepare.h"
#include "user/cmd/cmd.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/memory.h"
#include "user/core/module.h"
#include "user/core/version.h"
#include "user/enforce/gate.h"
#include "user/export/web.h"
#include "user/policy/policy.h"
#include "user/recover/services.h"

/* A worker that lived this long has earned an immediate restart. */
#define STABLE_NS 10000000000ULL
/* So many restarts in a row are immediate; only then does the pause between them grow. */
#define FREE_RESTARTS 5
#define BACKOFF_FIRST_NS 50000000ULL
#define BACKOFF_MAX_NS 10000000000ULL
/* How long a worker may take to flush and end before it is killed. */
#define STOP_TIMEOUT_US 5000000
#define SERVICE_STOP_US 3500000

/* agent.on_exit */
enum { WV_ON_EXIT_AUTO, WV_ON_EXIT_KEEP, WV_ON_EXIT_DETACH };

enum worker_id { CORE, WEB, SERVICES, N_WORKERS };

struct worker {
	struct supervisor *sup;
	const char *name;
	pid_t pid;
	int control;
	uint64_t started_ns;
	unsigned quick_deaths;
	sd_event_source *child, *io, *restart;
	bool wanted;
};

struct supervisor {
	const struct wv_paths *paths;
	const struct wv_config *config;
	struct wv_policy *policy;
	const struct wv_attach_options *options;
	struct wv_host host;
	struct wv_bpf *bpf;
	struct wv_snapshot_map snapshot;
	char run_id[64];
	int lock_fd, listen_fd;
	int service_events[2]; /* services worker -> core; both ends stay, workers come and go */
	struct wv_guard guard;
	sd_event *loop;
	struct worker workers[N_WORKERS];
	pid_t first_limits;
	bool stopping, detach, ready;
};

static uint64_t mono_ns(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

/* Workers ------------------------------------------------------------------------------------- */

static int worker_spawn(struct worker *w);
static int start_services(struct supervisor *sup);

static struct wv_worker_context worker_context(struct supervisor *sup, struct wv_bpf *bpf,
					       int control)
{
	return (struct wv_worker_context){
		.host = &sup->host,
		.config = sup->config,
		.policy = sup->policy,
		.paths = sup->paths,
		.bpf = bpf,
		.snapshot = &sup->snapshot,
		.run_id = sup->run_id,
		.dry_run = sup->options->dry_run,
		.control = control,
		.service_events = sup->service_events[0],
		.guard = control < 0 ? NULL : &sup->guard,
	};
}

/* Where the snapshot has a worker's process id, or its restarts. */
static _Atomic uint32_t *published(struct worker *w, bool restarts)
{
	struct wv_snapshot *h = w->sup->snapshot.head;
	_Atomic uint32_t *all[][2] = {{&h->core_pid, &h->core_restarts},
				      {&h->web_pid, &h->web_restarts},
				      {&h->services_pid, &h->services_restarts}};

	return all[w - w->sup->workers][restarts];
}

static int worker_main(struct worker *w, int control)
{
	struct supervisor *sup = w->sup;
	struct wv_worker_context ctx = worker_context(sup, sup->bpf, control);
	sigset_t none;
	char name[16];

	/* the lock is the supervisor's alone: when it dies, another agent may start at once */
	close(sup->lock_fd);
	wv_guard_forked(&sup->guard);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(name, sizeof(name), "waveos-%s", w->name);
	(void)prctl(PR_SET_NAME, name);
	sigemptyset(&none);
	sigaddset(&none, SIGTERM); /* sd-event takes it from here */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGINT, SIG_IGN); /* Ctrl-C goes to the whole group; the supervisor decides */
	wv_log_identity(w->name, NULL);
	if (w == &sup->workers[CORE])
		return wv_core_run(&ctx);
	ctx.service_events = sup->service_events[1];
	if (w == &sup->workers[SERVICES])
		return wv_services_run(&ctx);
	return wv_web_run(sup->config, &sup->snapshot, sup->listen_fd, control);
}

static int on_restart(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata)
{
	struct worker *w = userdata;
	int r = worker_spawn(w);

	if (r < 0)
		(void)wv_log_errno(r, "supervisor", "restart %s", w->name);
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

static void worker_forget(struct worker *w)
{
	w->child = sd_event_source_disable_unref(w->child);
	w->io = sd_event_source_disable_unref(w->io);
	wv_closep(&w->control);
	w->control = -1;
	w->pid = 0;
}

static int on_child(sd_event_source *s _unused_, const siginfo_t *si, void *userdata)
{
	struct worker *w = userdata;
	struct supervisor *sup = w->sup;
	bool all_gone = true;
	uint64_t wait;
	int r;

	worker_forget(w);
	if (sup->stopping) {
		for (int i = 0; i < N_WORKERS; i++)
			all_gone &= sup->workers[i].pid == 0;
		return all_gone ? sd_event_exit(sup->loop, 0) : 0;
	}
	w->quick_deaths = mono_ns() - w->started_ns > STABLE_NS ? 1 : w->quick_deaths + 1;
	wait = backoff_ns(w->quick_deaths);
	(void)wv_log_full(LOG_WARNING, 0, "supervisor", "%s ended (%s %d), restart in %llu ms",
			  w->name, si->si_code == CLD_EXITED ? "status" : "signal", si->si_status,
			  (unsigned long long)(wait / 1000000));
	atomic_fetch_add(published(w, true), 1);
	if (!wait) {
		r = worker_spawn(w);
		if (r == 0)
			return 0;
	}
	w->restart = sd_event_source_disable_unref(w->restart);
	r = sd_event_add_time_relative(sup->loop, &w->restart, CLOCK_MONOTONIC,
				       (wait ?: BACKOFF_FIRST_NS) / 1000, 1000, on_restart, w);
	return r < 0 ? wv_log_errno(r, "supervisor", "restart timer") : 0;
}

static int on_worker_message(sd_event_source *s, int fd, uint32_t revents _unused_, void *userdata)
{
	struct worker *w = userdata;
	char message;

	if (recv(fd, &message, 1, MSG_DONTWAIT) <= 0) /* it died; on_child does the rest */
		return sd_event_source_set_enabled(s, SD_EVENT_OFF);
	if (message == WV_CONTROL_READY && !w->sup->ready) {
		w->sup->ready = true;
		(void)sd_notify(0, "READY=1");
		wv_log_info(
			"supervisor", "observing; first figures after %llu ms",
			(unsigned long long)((mono_ns() - w->sup->snapshot.head->started_mono_ns) /
					     1000000));
		/* last: from here on this process sleeps, and what it used does not come back */
		wv_memory_scan();
		wv_memory_trim();
	}
	return 0;
}

static int worker_spawn(struct worker *w)
{
	struct supervisor *sup = w->sup;
	int pair[2], r;
	pid_t pid;

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
		_exit(worker_main(w, pair[1]));
	}
	close(pair[1]);
	w->pid = pid;
	w->control = pair[0];
	w->started_ns = mono_ns();
	atomic_store(published(w, false), (uint32_t)pid);
	r = sd_event_add_child(sup->loop, &w->child, pid, WEXITED, on_child, w);
	if (r >= 0)
		r = sd_event_add_io(sup->loop, &w->io, w->control, EPOLLIN, on_worker_message, w);
	return r < 0 ? r : 0;
}

/* Stopping ------------------------------------------------------------------------------------ */

static int on_stop_timeout(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata)
{
	struct supervisor *sup = userdata;

	for (int i = 0; i < N_WORKERS; i++)
		if (sup->workers[i].pid)
			(void)kill(sup->workers[i].pid, SIGKILL);
	return 0;
}

/* Services end with the agent only where nothing of it is to stay. */
static bool ends_services(const struct supervisor *sup)
{
	return sup->detach || sup->config->agent_on_exit == WV_ON_EXIT_DETACH;
}

static int stop_workers(struct supervisor *sup)
{
	uint64_t timeout_us = STOP_TIMEOUT_US;
	bool any = false;

	if (sup->stopping)
		return 0;
	sup->stopping = true;
	(void)sd_notify(0, "STOPPING=1");
	for (int i = 0; i < N_WORKERS; i++) {
		struct worker *w = &sup->workers[i];
		char message =
			i == SERVICES && ends_services(sup) ? WV_CONTROL_END : WV_CONTROL_STOP;

		w->restart = sd_event_source_disable_unref(w->restart);
		if (!w->pid)
			continue;
		any = true;
		if (message == WV_CONTROL_END) /* each service may take its time */
			timeout_us += sup->policy->n_services * SERVICE_STOP_US;
		if (send(w->control, &message, 1, MSG_NOSIGNAL) < 0)
			(void)kill(w->pid, SIGTERM);
	}
	if (!any)
		return sd_event_exit(sup->loop, 0);
	return sd_event_add_time_relative(sup->loop, NULL, CLOCK_MONOTONIC, timeout_us, 0,
					  on_stop_timeout, sup);
}

static int on_signal(sd_event_source *s _unused_, const struct signalfd_siginfo *si, void *userdata)
{
	struct supervisor *sup = userdata;

	if (si->ssi_signo == SIGUSR2)
		sup->detach = true;
	return stop_workers(sup);
}

/*
 * The owner's file is read again. A bad one leaves the policy in force as it is; a good one
 * replaces it in core between two ticks.
 */
static int on_reload(sd_event_source *s _unused_, const struct signalfd_siginfo *si _unused_,
		     void *userdata)
{
	struct supervisor *sup = userdata;
	struct wv_config_error error = {.text = ""};
	char message = WV_CONTROL_POLICY;
	struct wv_policy *next;
	int r = wv_policy_read_accepted(&next, sup->config, sup->paths, &sup->host, sup->bpf,
					&error);

	if (r < 0) {
		atomic_fetch_add(&sup->snapshot.head->policies_refused, 1);
		return wv_log_full(LOG_ERR, 0, "supervisor",
				   "policy not reloaded, the old one stays in force: %s",
				   error.text[0] ? error.text : strerror(-r));
	}
	wv_policy_free(sup->policy);
	sup->policy = next;
	/* a worker that just died starts with the new policy anyway */
	for (int i = 0; i < N_WORKERS; i++)
		if (sup->workers[i].pid && i != WEB)
			(void)send(sup->workers[i].control, &message, 1, MSG_NOSIGNAL);
	if (!sup->workers[SERVICES].pid)
		r = start_services(sup);
	return r < 0 ? wv_log_errno(0, "supervisor", "services: %s", strerror(-r)) : 0;
}

static int on_deadline(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata)
{
	return stop_workers(userdata);
}

/* What an orderly exit leaves behind: see agent.on_exit. */
static void finish(struct supervisor *sup)
{
	struct wv_snapshot *head = sup->snapshot.head;
	bool remove_all = sup->detach || sup->config->agent_on_exit == WV_ON_EXIT_DETACH ||
			  (sup->config->agent_on_exit == WV_ON_EXIT_AUTO && head &&
			   head->n_budgets_in_force == 0 && head->n_breakers_in_force == 0 &&
			   head->n_held == 0 && !wv_gates_in_force(sup->paths));
	int r;

	if (head) {
		atomic_store(&head->core_pid, 0);
		atomic_store(&head->web_pid, 0);
		atomic_store(&head->services_pid, 0);
		atomic_store(&head->supervisor_pid, 0);
	}
	if (!remove_all) {
		wv_log_info("supervisor", "budgets, breakers and gates stay in force; `waveos-bpf "
					  "detach` removes them");
		return;
	}
	if (!sup->options->dry_run)
		wv_agent_let_go(sup->paths, &sup->host);
	wv_bpf_close(sup->bpf);
	sup->bpf = NULL;
	r = wv_bpf_unpin_all(sup->paths);
	if (r < 0)
		(void)wv_log_errno(r, "supervisor", "remove pins below %s", sup->paths->pins);
}

/* Starting ------------------------------------------------------------------------------------ */

/* Budgets without a condition need not wait until all observers are loaded. */
static void spawn_first_limits(void *userdata, struct wv_bpf *bpf)
{
	struct supervisor *sup = userdata;
	struct wv_worker_context ctx = worker_context(sup, bpf, -1);

	if (!sup->policy->n_budgets || sup->options->dry_run)
		return;
	wv_agent_name_version(sup->snapshot.head, sup->config,
			      sup->policy); /* one thread is left: fork takes no other along */
	sup->first_limits = fork();
	if (sup->first_limits != 0) /* on failure core applies them a little later */
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	wv_log_identity("first-limits", NULL);
	close(sup->lock_fd);
	_exit(wv_core_first_limits(&ctx));
}

static void probe_hooks(void *userdata)
{
	struct supervisor *sup = userdata;

	wv_host_probe_hooks(&sup->host);
	wv_host_choose_hooks(&sup->host, (enum wv_hooks)sup->config->collect_hooks);
	wv_log_debug("supervisor", "hooks are probed");
}

static int open_bpf(struct supervisor *sup)
{
	const struct wv_bpf_steps steps = {
		.early = spawn_first_limits, .probe_hooks = probe_hooks, .ctx = sup};
	const struct wv_object *objects[WV_MAX_MODULES];
	size_t n = 0;
	int r;

	for (size_t i = 0; i < wv_modules_count && n < WV_MAX_MODULES; i++)
		for (const struct wv_object *o = wv_modules[i]->object; o; o = o->also)
			if (n < ARRAY_SIZE(objects))
				objects[n++] = o;
	wv_version_begin();
	r = wv_bpf_open(&sup->bpf, sup->paths, &sup->host, sup->config, objects, n, &steps);
	/* core opens the same journal and run: one at a time */
	if (sup->first_limits > 0)
		(void)waitpid(sup->first_limits, NULL, 0);
	wv_agent_name_version(sup->snapshot.head, sup->config, sup->policy);
	return r;
}

/* Everything that may fail, before the first worker starts. Returns an exit code. */
static int start(struct supervisor *sup, uint64_t begin)
{
	char refused[320];
	int r = wv_agent_folders(sup->paths);

	if (r == WV_EXIT_OK)
		r = wv_agent_take_lock(sup->paths, &sup->lock_fd);
	if (r != WV_EXIT_OK)
		return r;
	r = wv_make_run_id(sup->run_id, sizeof(sup->run_id));
	if (r < 0)
		return wv_log_errno(WV_EXIT_INTERNAL, "attach", "no random numbers");
	wv_log_identity("supervisor", sup->run_id);
	r = wv_policy_accept(sup->policy, sup->paths);
	if (r < 0) {
		(void)wv_log_errno(r, "attach", "keep the policy in %s", sup->paths->runtime);
		return WV_EXIT_INTERNAL;
	}
	r = wv_agent_listen(sup->config, &sup->listen_fd);
	if (r != WV_EXIT_OK)
		return r;
	wv_host_probe_cgroups(&sup->host);
	if (!sup->host.bpf_syscall) {
		(void)wv_log_errno(
			0, "attach",
			"the bpf system call is refused: run as root, or give the binary CAP_BPF, "
			"CAP_PERFMON and CAP_NET_ADMIN (below 5.8: CAP_SYS_ADMIN)");
		return WV_EXIT_DENIED;
	}
	r = wv_agent_open_snapshot(&sup->snapshot, sup->paths, sup->config, &sup->host,
				   sup->run_id);
	if (r < 0) {
		(void)wv_log_errno(r, "attach", "snapshot in %s", sup->paths->runtime);
		return WV_EXIT_INTERNAL;
	}
	sup->snapshot.head->started_mono_ns = begin;
	sup->snapshot.head->started_wall_ns =
		wv_io_system.wall_ns(wv_io_system.ctx) - (mono_ns() - begin);
	wv_guard_open(&sup->guard, sup->paths, sup->config, sup->snapshot.head);
	r = open_bpf(sup);
	if (r < 0) {
		(void)wv_log_errno(r, "attach", "load BPF programs");
		return r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_INTERNAL;
	}
	if (!sup->options->dry_run &&
	    wv_policy_refused(&sup->host, sup->bpf, sup->policy, refused, sizeof(refused))) {
		(void)wv_log_full(LOG_ERR, 0, "attach", "%s: %s", sup->policy->source, refused);
		return WV_EXIT_UNSUPPORTED;
	}
	wv_guard_explain(&sup->guard, &sup->host, sup->run_id);
	/* figures about events are those of the maps, and these are new */
	if (!wv_bpf_adopted(sup->bpf)) {
		memset(&sup->snapshot.head->self, 0, sizeof(sup->snapshot.head->self));
		memset(sup->snapshot.head->events_consumed, 0,
		       sizeof(sup->snapshot.head->events_consumed));
	}
	wv_log_info("supervisor", "%s BPF programs (%s), run %s",
		    wv_bpf_adopted(sup->bpf) ? "adopted running" : "loaded",
		    sup->host.flavour == WV_FLAVOUR_BTF	  ? "BTF tracepoints"
		    : sup->host.flavour == WV_FLAVOUR_RAW ? "raw tracepoints"
							  : "files only",
		    sup->run_id);
	return WV_EXIT_OK;
}

/* The kill switch was thrown: who acts looks at it now. */
static void on_switch(void *userdata)
{
	struct supervisor *sup = userdata;
	char message = WV_CONTROL_SWITCH;

	for (int i = 0; i < N_WORKERS; i++)
		if (i != WEB && sup->workers[i].pid)
			(void)send(sup->workers[i].control, &message, 1, MSG_NOSIGNAL);
}

/* With services to run, or some left that have to be ended. */
static int start_services(struct supervisor *sup)
{
	char path[WV_PATH_SIZE + 32];

	snprintf(path, sizeof(path), "%s/" WV_SERVICES_FILE, sup->paths->runtime);
	if (sup->options->dry_run || sup->workers[SERVICES].pid ||
	    (!sup->policy->n_services && access(path, F_OK) < 0))
		return 0;
	return worker_spawn(&sup->workers[SERVICES]);
}

static int setup_loop(struct supervisor *sup)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGUSR2};
	sigset_t mask;
	int r;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGHUP);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&mask, signals[i]);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	r = sd_event_new(&sup->loop);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(signals); i++)
		r = sd_event_add_signal(sup->loop, NULL, signals[i], on_signal, sup);
	if (r >= 0)
		r = sd_event_add_signal(sup->loop, NULL, SIGHUP, on_reload, sup);
	if (r >= 0 && sup->options->for_ns)
		r = sd_event_add_time_relative(sup->loop, NULL, CLOCK_MONOTONIC,
					       sup->options->for_ns / 1000, 1000, on_deadline, sup);
	if (r >= 0)
		r = wv_guard_start(&sup->guard, sup->loop, on_switch, sup);
	if (r >= 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sup->service_events) < 0)
		r = -errno;
	if (r >= 0)
		r = start_services(sup); /* before core: they need none of it */
	if (r >= 0)
		r = worker_spawn(&sup->workers[CORE]);
	if (r >= 0 && sup->listen_fd >= 0)
		r = worker_spawn(&sup->workers[WEB]);
	return r;
}

int wv_supervisor_run(const struct wv_paths *paths, const struct wv_config *config,
		      struct wv_policy *policy, const struct wv_attach_options *options)
{
	struct supervisor sup = {
		.paths = paths,
		.config = config,
		.policy = policy,
		.options = options,
		.lock_fd = -1,
		.listen_fd = -1,
		.workers = {[CORE] = {.name = "core", .control = -1},
			    [WEB] = {.name = "web", .control = -1},
			    [SERVICES] = {.name = "services", .control = -1}},
		.service_events = {-1, -1},
	};
	uint64_t begin = mono_ns();
	int r;

	/* threads are few and short: an arena of the heap for each would outlive them */
	(void)mallopt(M_ARENA_MAX, 1);
	/* tables are sparse: a huge page would make a row cost 2 MiB (workers inherit this) */
	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	for (int i = 0; i < N_WORKERS; i++)
		sup.workers[i].sup = &sup;
	r = start(&sup, begin);
	if (r == WV_EXIT_OK) {
		r = setup_loop(&sup);
		if (r >= 0)
			r = sd_event_loop(sup.loop);
		if (r < 0)
			(void)wv_log_errno(r, "supervisor", "event loop");
		finish(&sup);
		wv_guard_close(&sup.guard, &sup.host, r >= 0);
		r = r < 0 ? WV_EXIT_INTERNAL : WV_EXIT_OK;
	}
	sd_event_unref(sup.loop);
	wv_bpf_close(sup.bpf);
	wv_snapshot_close(&sup.snapshot);
	wv_closep(&sup.listen_fd);
	wv_closep(&sup.service_events[0]);
	wv_closep(&sup.service_events[1]);
	wv_closep(&sup.lock_fd);
	wv_policy_free(sup.policy);
	return r;
}
