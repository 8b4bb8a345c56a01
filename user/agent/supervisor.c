// SPDX-License-Identifier: GPL-2.0-only
#include "user/flow/figures.h"
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
#include "user/agent/kinds.h"
#include "user/agent/policy_source.h"
#include "user/agent/prepare.h"
#include "user/agent/workers.h"
#include "user/cmd/cmd.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/memory.h"
#include "user/core/module.h"
#include "user/core/version.h"
#include "user/enforce/gate.h"
#include "user/otlp/otlp.h"
#include "user/policy/policy.h"

/* How long a worker may take to flush and end before it is killed. */
#define STOP_TIMEOUT_US 5000000
#define SERVICE_STOP_US 3500000

/* agent.on_exit */
enum { WV_ON_EXIT_AUTO, WV_ON_EXIT_KEEP, WV_ON_EXIT_DETACH };

struct supervisor {
	const struct wv_paths *paths;
	const struct wv_config *config;
	struct wv_policy *policy;
	const struct wv_attach_options *options;
	struct wv_host host;
	struct wv_bpf *bpf;
	struct wv_snapshot_map snapshot;
	char run_id[64];
	int lock_fd, listen_fd, local_fd;
	/* both ends of each stay, workers come and go */
	int service_events[2]; /* services worker -> core */
	int api[2];	       /* web worker <-> api worker */
	struct wv_guard guard;
	struct wv_turns *turns; /* of core's loop; NULL: nobody wants them */
	sd_event *loop;
	struct wv_workers workers;
	pid_t first_limits;
	bool detach, ready;
	bool again;    /* stopping only to start again with new settings */
	sigset_t kept; /* signals that came meanwhile */
};

static uint64_t mono_ns(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

/* Workers ------------------------------------------------------------------------------------- */

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
		.api = sup->api[0],
		.listen_fd = sup->listen_fd,
		.local_fd = sup->local_fd,
		.guard = control < 0 ? NULL : &sup->guard,
		.turns = sup->turns,
	};
}

/* Those that are wanted and do not run yet: at the start, and when the policy became another. */
static int start_workers(struct supervisor *sup)
{
	const struct wv_worker_context ctx = worker_context(sup, sup->bpf, -1);

	for (const struct wv_worker_kind *k = wv_worker_kinds; k < wv_worker_kinds + WV_WORKER_N;
	     k++) {
		bool wanted = (k->dry || !ctx.dry_run) && k->wanted(&ctx);
		int r = wanted ? wv_worker_start(&sup->workers, k->id) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

/* In the worker's process. */
static int run_worker(void *userdata, enum wv_worker_id id, int control)
{
	struct supervisor *sup = userdata;
	struct wv_worker_context ctx = worker_context(sup, sup->bpf, control);

	/* the lock is the supervisor's alone: when it dies, another agent may start at once */
	close(sup->lock_fd);
	wv_guard_forked(&sup->guard);
	if (id == WV_WORKER_SERVICES)
		ctx.service_events = sup->service_events[1];
	if (id == WV_WORKER_API)
		ctx.api = sup->api[1];
	for (const struct wv_worker_kind *k = wv_worker_kinds; k < wv_worker_kinds + WV_WORKER_N;
	     k++)
		if (k->id == id)
			return k->run(&ctx);
	return EXIT_FAILURE;
}

static void on_ready(void *userdata, enum wv_worker_id id)
{
	struct supervisor *sup = userdata;

	if (id != WV_WORKER_CORE || sup->ready)
		return;
	sup->ready = true;
	(void)sd_notify(0, "READY=1");
	wv_log_info(
		"supervisor", "observing; first figures after %llu ms",
		(unsigned long long)((mono_ns() - sup->snapshot.head->started_mono_ns) / 1000000));
	/* last: from here on this process sleeps, and what it used does not come back */
	wv_memory_scan();
	wv_memory_trim();
}

/* Stopping ------------------------------------------------------------------------------------ */

/* Services end with the agent only where nothing of it is to stay. */
static bool ends_services(const struct supervisor *sup)
{
	return !sup->again && (sup->detach || sup->config->agent_on_exit == WV_ON_EXIT_DETACH);
}

static int stop_workers(struct supervisor *sup)
{
	char last_words[WV_WORKER_N] = {0};
	uint64_t timeout_us = STOP_TIMEOUT_US;

	if (sup->workers.stopping)
		return 0;
	if (sup->again)
		(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
				 (unsigned long long)(mono_ns() / 1000));
	else
		(void)sd_notify(0, "STOPPING=1");
	if (ends_services(sup)) {
		last_words[WV_WORKER_SERVICES] = WV_CONTROL_END;
		/* each service may take its time */
		if (sup->workers.all[WV_WORKER_SERVICES].pid)
			timeout_us += sup->policy->n_services * SERVICE_STOP_US;
	}
	return wv_workers_stop(&sup->workers, last_words, timeout_us);
}

static int on_signal(sd_event_source *s _unused_, const struct signalfd_siginfo *si, void *userdata)
{
	struct supervisor *sup = userdata;

	if (sup->again) {
		sigaddset(&sup->kept, (int)si->ssi_signo);
		return 0;
	}
	if (si->ssi_signo == SIGUSR2)
		sup->detach = true;
	return stop_workers(sup);
}

/*
 * The owner's file is read again. A bad one leaves the policy in force as it is; a good one
 * replaces it in core between two ticks.
 */
static int reload(struct supervisor *sup)
{
	struct wv_config_error error = {.text = ""};
	struct wv_policy *next;
	int r;

	r = wv_policy_read_accepted(&next, sup->config, sup->paths, &sup->host, sup->bpf, &error);
	if (r < 0) {
		const char *why = error.text[0] ? error.text : strerror(-r);

		atomic_fetch_add(&sup->snapshot.head->policies_refused, 1);
		(void)wv_log_full(LOG_ERR, 0, "supervisor",
				  "policy not reloaded, the old one stays in force: %s", why);
		wv_policy_tell_refused(sup->paths, why);
		return r;
	}
	wv_policy_free(sup->policy);
	sup->policy = next;
	wv_workers_tell(&sup->workers, WV_CONTROL_POLICY);
	r = start_workers(sup);
	if (r < 0)
		(void)wv_log_errno(0, "supervisor", "worker: %s", strerror(-r));
	return 0;
}

static int on_reload(sd_event_source *s _unused_, const struct signalfd_siginfo *si _unused_,
		     void *userdata)
{
	struct supervisor *sup = userdata;

	if (!sup->workers.stopping)
		(void)reload(sup);
	return 0;
}

static void answer_to(struct supervisor *sup, enum wv_worker_id id, char answer)
{
	(void)send(sup->workers.all[id].control, &answer, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The worker of Kubernetes wrote another policy, or found that nobody wants this agent any more. */
static void on_kube_asked(struct supervisor *sup, char message)
{
	bool good = message == WV_CONTROL_DETACH;

	if (message == WV_CONTROL_DETACH && sup->workers.stopping)
		sup->detach = true;
	if (message == WV_CONTROL_RELOAD && !sup->workers.stopping)
		good = reload(sup) == 0;
	answer_to(sup, WV_WORKER_KUBE, good ? WV_CONTROL_IN_FORCE : WV_CONTROL_REFUSED);
}

/* Whether the settings that are active now can be taken; nothing is stopped before that is known.
 */
static int check_settings(struct supervisor *sup)
{
	struct wv_config_error error = {.text = ""};
	struct wv_policy *policy = NULL;
	int r = sup->options->settings
			? sup->options->settings(sup->options->settings_ctx, &policy, &error)
			: -EOPNOTSUPP;

	if (r > 0 &&
	    wv_policy_refused(&sup->host, sup->bpf, policy, error.text, sizeof(error.text)))
		r = -EOPNOTSUPP;
	wv_policy_free(policy);
	return r < 0 ? wv_log_full(LOG_ERR, r, "supervisor",
				   "settings not taken, the old ones stay in force: %s",
				   error.text[0] ? error.text : strerror(-r))
		     : r;
}

/* Only the bundle worker may ask: it is as privileged as this process. */
static void on_asked(void *userdata, enum wv_worker_id id, char message)
{
	struct supervisor *sup = userdata;
	int r;

	if (id == WV_WORKER_KUBE)
		on_kube_asked(sup, message);
	if (id != WV_WORKER_BUNDLE || message != WV_CONTROL_SETTINGS || sup->workers.stopping)
		return;
	r = check_settings(sup);
	if (r > 0) {
		wv_log_info("supervisor", "other settings are active: starting again in place");
		sup->again = true;
		r = stop_workers(sup);
		if (r < 0)
			(void)wv_log_errno(r, "supervisor", "stop workers");
		return;
	}
	answer_to(sup, id, r < 0 ? WV_CONTROL_REFUSED : WV_CONTROL_IN_FORCE);
}

static int on_deadline(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata)
{
	return stop_workers(userdata);
}

/* For the next image: signals are blocked, so they stay pending and it acts on them. */
static void hand_over(const struct supervisor *sup)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGUSR2};

	/* it has all of systemd's time for its start */
	(void)sd_notify(0, "WATCHDOG=1");
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigismember(&sup->kept, signals[i]))
			(void)kill(getpid(), signals[i]);
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

	if (r == WV_EXIT_OK && sup->lock_fd < 0)
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
	r = wv_agent_listen(sup->config, sup->paths, &sup->listen_fd, &sup->local_fd);
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
	    wv_policy_refused(&sup->host, sup->bpf, sup->policy, refused, sizeof(refused)) &&
	    (!wv_policy_without_cluster(&sup->policy, sup->config, sup->paths, refused) ||
	     wv_policy_refused(&sup->host, sup->bpf, sup->policy, refused, sizeof(refused)) ||
	     wv_policy_accept(sup->policy, sup->paths) < 0)) {
		(void)wv_log_full(LOG_ERR, 0, "attach", "%s: %s", sup->policy->source, refused);
		return WV_EXIT_UNSUPPORTED;
	}
	wv_guard_explain(&sup->guard, &sup->host, sup->run_id);
	if (wv_otlp_wants_turns(sup->config))
		sup->turns = wv_turns_create();
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

	wv_workers_tell(&sup->workers, WV_CONTROL_SWITCH);
}

/* What tells people about the start has told it. */
static int on_teller(sd_event_source *s, const siginfo_t *si _unused_, void *userdata _unused_)
{
	(void)sd_event_source_set_enabled(s, SD_EVENT_OFF);
	return 0;
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
	sup->workers.loop = sup->loop;
	sup->workers.head = sup->snapshot.head;
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(signals); i++)
		r = sd_event_add_signal(sup->loop, NULL, signals[i], on_signal, sup);
	if (r >= 0)
		r = sd_event_add_signal(sup->loop, NULL, SIGHUP, on_reload, sup);
	if (r >= 0 && sup->options->until_ns)
		r = sd_event_add_time(sup->loop, NULL, CLOCK_MONOTONIC,
				      sup->options->until_ns / 1000, 1000, on_deadline, sup);
	if (r >= 0 && sup->options->teller > 0)
		r = sd_event_add_child(sup->loop, NULL, sup->options->teller, WEXITED, on_teller,
				       sup);
	if (r >= 0)
		r = wv_guard_start(&sup->guard, sup->loop, on_switch, sup);
	if (r >= 0 &&
	    (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sup->service_events) < 0 ||
	     socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sup->api) < 0))
		r = -errno;
	if (r >= 0)
		r = start_workers(sup);
	return r;
}

int wv_supervisor_run(const struct wv_paths *paths, const struct wv_config *config,
		      struct wv_policy *policy, const struct wv_attach_options *options,
		      struct wv_attach_end *ret_end)
{
	struct supervisor sup = {
		.paths = paths,
		.config = config,
		.policy = policy,
		.options = options,
		.lock_fd = options->lock_fd,
		.listen_fd = -1,
		.local_fd = -1,
		.workers = {.run = run_worker,
			    .ready = on_ready,
			    .asked = on_asked,
			    .userdata = &sup},
		.service_events = {-1, -1},
		.api = {-1, -1},
	};
	uint64_t begin = mono_ns();
	int r;

	*ret_end = (struct wv_attach_end){.lock_fd = -1};
	/* threads are few and short: an arena of the heap for each would outlive them */
	(void)mallopt(M_ARENA_MAX, 1);
	/* tables are sparse: a huge page would make a row cost 2 MiB (workers inherit this) */
	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	/* before the first fork; without them only figures are missing */
	r = wv_figures_open();
	if (r < 0)
		(void)wv_log_warn(r, "supervisor", "pages for figures of workers");
	wv_workers_init(&sup.workers, config->agent_worker_silence, 10 * config->agent_tick);
	r = start(&sup, begin);
	if (r == WV_EXIT_OK) {
		r = setup_loop(&sup);
		if (r >= 0)
			r = sd_event_loop(sup.loop);
		if (r < 0)
			(void)wv_log_errno(r, "supervisor", "event loop");
		ret_end->started = true;
		ret_end->again = sup.again && r >= 0;
		/* for who looks at it, the agent runs all the time */
		if (ret_end->again)
			hand_over(&sup);
		else
			finish(&sup);
		wv_guard_close(&sup.guard, &sup.host, r >= 0);
		r = r < 0 ? WV_EXIT_INTERNAL : WV_EXIT_OK;
	}
	sd_event_unref(sup.loop);
	wv_bpf_close(sup.bpf);
	wv_snapshot_close(&sup.snapshot);
	wv_closep(&sup.listen_fd);
	wv_closep(&sup.local_fd);
	wv_closep(&sup.service_events[0]);
	wv_closep(&sup.service_events[1]);
	wv_closep(&sup.api[0]);
	wv_closep(&sup.api[1]);
	if (ret_end->again)
		ret_end->lock_fd = TAKE_FD(sup.lock_fd);
	wv_closep(&sup.lock_fd);
	wv_policy_free(sup.policy);
	return r;
}
