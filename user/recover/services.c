// SPDX-License-Identifier: GPL-2.0-only
#include "user/recover/services.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include "user/agent/core.h"
#include "user/agent/policy_source.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/paths.h"
#include "user/flow/figures.h"
#include "user/policy/policy.h"
#include "user/recover/act.h"

/* A service that ran this long has earned an immediate restart. */
#define STABLE_NS 10000000000ULL
#define STOP_MS 2000

enum state { DOWN, RUNNING, PAUSED, HELD };

struct service {
	struct worker *worker;
	const struct wv_service *def; /* NULL: the policy has it no more, it is being stopped */
	char name[WV_POLICY_NAME], cgroup[256];
	enum state state;
	pid_t pid;
	int pidfd;
	uint64_t started_ns, died_ns;
	unsigned in_a_row; /* quick ends */
	uint32_t restarts;
	sd_event_source *ended, *timer;
};

struct worker {
	const struct wv_worker_context *ctx;
	const struct wv_policy *policy;
	struct wv_policy *reloaded;
	sd_event *loop;
	int dir;
	struct wv_service_list known;
	struct service *services[WV_SERVICES_MAX];
	size_t n;
	uint64_t lost; /* events that core did not take */
	bool end;      /* stop the services, too */
};

static uint64_t now_ns(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

static void show(const struct worker *w)
{
	uint64_t n[HELD + 1] = {0};

	for (size_t i = 0; i < w->n; i++)
		n[w->services[i]->state]++;
	wv_figure_set(WV_FIG_SERVICES_RUNNING, n[RUNNING]);
	wv_figure_set(WV_FIG_SERVICES_PAUSED, n[PAUSED]);
	wv_figure_set(WV_FIG_SERVICES_HELD, n[HELD]);
	wv_figure_set(WV_FIG_SERVICES_DOWN, n[DOWN]);
}

static void tell(struct worker *w, const struct service *s, struct wv_service_event event)
{
	show(w);
	snprintf(event.name, sizeof(event.name), "%s", s->name);
	event.restarts = s->restarts;
	event.lost = w->lost;
	if (send(w->ctx->service_events, &event, sizeof(event), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		w->lost++;
	else
		w->lost = 0;
}

static void save(struct worker *w)
{
	int r = wv_services_save(&w->known, &wv_io_system, w->dir, w->ctx->host->boot_id);

	if (r < 0)
		(void)wv_log_errno(r, "services", "%s/" WV_SERVICES_FILE, w->ctx->paths->runtime);
}

/* Starting --------------------------------------------------------------------------------------
 */

static void start_service(struct service *s);
static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static bool may_restart(const struct worker *w)
{
	return !atomic_load(&w->ctx->snapshot->head->disarmed) &&
	       w->policy->features[WV_FEATURE_RESTART];
}

static int on_pause_over(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	start_service(userdata);
	return 0;
}

/* After an end, or a start that failed: when it is tried again. */
static void plan_restart(struct service *s)
{
	uint64_t random = 0, pause;

	if (!s->def)
		return;
	if (!may_restart(s->worker)) {
		s->state = HELD;
		tell(s->worker, s,
		     (struct wv_service_event){.type = WV_SERVICE_HELD,
					       .detail = "kill switch, or feature restart is off"});
		return;
	}
	(void)wv_io_system.random(wv_io_system.ctx, &random, sizeof(random));
	pause = wv_service_backoff(s->def, s->in_a_row, random);
	if (!pause) {
		start_service(s);
		return;
	}
	s->state = PAUSED;
	tell(s->worker, s, (struct wv_service_event){.type = WV_SERVICE_PAUSED, .wait_ns = pause});
	s->timer = sd_event_source_disable_unref(s->timer);
	if (sd_event_add_time_relative(s->worker->loop, &s->timer, CLOCK_MONOTONIC, pause / 1000,
				       1000, on_pause_over, s) < 0)
		s->state = DOWN;
}

static void failed(struct service *s, int error)
{
	s->state = DOWN;
	s->died_ns = now_ns();
	s->in_a_row += s->in_a_row < 1000;
	if (s->in_a_row < 2)
		s->in_a_row = 2; /* never again at once */
	tell(s->worker, s, (struct wv_service_event){.type = WV_SERVICE_FAILED, .error = -error});
	(void)wv_log_full(LOG_WARNING, error, "services", "start %s", s->name);
	plan_restart(s);
}

static int watch(struct service *s)
{
	int r = sd_event_add_io(s->worker->loop, &s->ended, s->pidfd, EPOLLIN, on_ended, s);

	return r < 0 ? r : sd_event_source_set_priority(s->ended, -10);
}

static void forget_process(struct service *s)
{
	s->ended = sd_event_source_disable_unref(s->ended);
	wv_closep(&s->pidfd);
	s->pidfd = -1;
	s->pid = 0;
}

static void start_service(struct service *s)
{
	struct worker *w = s->worker;
	struct wv_service_process p = {0};
	struct wv_service_start start;
	bool again = s->died_ns;
	int r;

	s->timer = sd_event_source_disable_unref(s->timer);
	r = wv_service_prepare(&start, s->def, w->ctx->host->cgroup2);
	if (r < 0) {
		failed(s, r);
		return;
	}
	memcpy(p.name, s->name, sizeof(p.name));
	memcpy(p.cgroup, s->cgroup, sizeof(p.cgroup));
	p.pid = start.pid;
	p.start_ns = wv_process_start_ns(start.pid);
	wv_services_put(&w->known, &p);
	r = wv_services_save(&w->known, &wv_io_system, w->dir, w->ctx->host->boot_id);
	if (r < 0) { /* unknown to the next agent it would be started twice */
		close(start.go);
		close(start.status);
		start.go = -1;
	} else {
		r = wv_service_go(&start);
	}
	s->pid = start.pid;
	s->pidfd = start.pidfd;
	if (r < 0) {
		(void)waitpid(start.pid, NULL, 0);
		wv_services_drop(&w->known, s->name);
		save(w);
		forget_process(s);
		failed(s, r);
		return;
	}
	s->state = RUNNING;
	s->restarts += again;
	wv_figure_add(WV_FIG_SERVICE_RESTARTS, again);
	s->started_ns = now_ns();
	tell(w, s,
	     (struct wv_service_event){.type = WV_SERVICE_STARTED,
				       .pid = s->pid,
				       .wait_ns = again ? s->started_ns - s->died_ns : 0});
	if (watch(s) < 0)
		(void)wv_log_full(LOG_ERR, 0, "services", "%s is not watched", s->name);
}

/* Whether no other service lives in the same cgroup. */
static bool is_alone(const struct service *s)
{
	const struct worker *w = s->worker;

	for (size_t i = 0; i < w->n; i++)
		if (w->services[i] != s && strcmp(w->services[i]->cgroup, s->cgroup) == 0)
			return false;
	return true;
}

static int on_ended(sd_event_source *source _unused_, int fd, uint32_t revents _unused_,
		    void *userdata)
{
	struct service *s = userdata;
	struct wv_service_event event = {.type = WV_SERVICE_EXITED, .pid = s->pid};
	siginfo_t si = {0};

	s->died_ns = now_ns();
	/* one that was adopted is not our child: how it ended is not known */
	if (waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG) == 0) {
		event.code = si.si_code;
		event.status = si.si_status;
	}
	forget_process(s);
	if (is_alone(s))
		wv_service_kill_rest(s->worker->ctx->host->cgroup2, s->cgroup);
	s->state = DOWN;
	s->in_a_row = s->died_ns - s->started_ns > STABLE_NS ? 1 : s->in_a_row + 1;
	wv_services_drop(&s->worker->known, s->name);
	plan_restart(s); /* first of all; it saves the list, too */
	if (s->state != RUNNING)
		save(s->worker);
	tell(s->worker, s, event);
	return 0;
}

/* The set of services ---------------------------------------------------------------------------
 */

static struct service *find(struct worker *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->services[i]->name, name) == 0)
			return w->services[i];
	return NULL;
}

static struct service *add(struct worker *w, const struct wv_service *def, const char *name,
			   const char *cgroup)
{
	struct service *s = w->n < WV_SERVICES_MAX ? calloc(1, sizeof(*s)) : NULL;

	if (!s)
		return NULL;
	*s = (struct service){.worker = w, .def = def, .pidfd = -1};
	snprintf(s->name, sizeof(s->name), "%s", name);
	snprintf(s->cgroup, sizeof(s->cgroup), "%s", cgroup);
	w->services[w->n++] = s;
	return s;
}

static void remove_service(struct worker *w, struct service *s)
{
	s->timer = sd_event_source_disable_unref(s->timer);
	if (s->pidfd >= 0) {
		pid_t pid = s->pid;

		s->ended = sd_event_source_disable_unref(s->ended);
		wv_service_end(s->pidfd, w->ctx->host->cgroup2, is_alone(s) ? s->cgroup : "",
			       STOP_MS);
		tell(w, s, (struct wv_service_event){.type = WV_SERVICE_STOPPED, .pid = pid});
	}
	forget_process(s);
	wv_services_drop(&w->known, s->name);
	for (size_t i = 0; i < w->n; i++)
		if (w->services[i] == s) {
			memmove(&w->services[i], &w->services[i + 1],
				(w->n - i - 1) * sizeof(w->services[0]));
			w->n--;
			break;
		}
	free(s);
}

/* What a former worker started and still runs. */
static void adopt(struct worker *w)
{
	struct wv_service_list alive = {.n = 0};

	for (size_t i = 0; i < w->known.n; i++) {
		const struct wv_service_process *p = &w->known.list[i];
		int pidfd = wv_service_open(p);
		struct service *s = pidfd < 0 ? NULL : add(w, NULL, p->name, p->cgroup);

		if (!s)
			continue;
		s->pidfd = pidfd;
		s->pid = p->pid;
		s->state = RUNNING;
		s->started_ns = now_ns();
		wv_services_put(&alive, p);
		tell(w, s, (struct wv_service_event){.type = WV_SERVICE_ADOPTED, .pid = p->pid});
		if (watch(s) < 0)
			(void)wv_log_full(LOG_ERR, 0, "services", "%s is not watched", s->name);
	}
	w->known = alive;
}

/* Another command line or cgroup is another service of the same name: it is replaced. */
static bool same_service(const struct wv_service *a, const struct wv_service *b)
{
	if (!a || strcmp(a->cgroup, b->cgroup) != 0 || a->command.n != b->command.n)
		return false;
	for (size_t i = 0; i < a->command.n; i++)
		if (strcmp(a->command.list[i], b->command.list[i]) != 0)
			return false;
	return true;
}

/* Brings the services to a policy: those that it has no more end, in reverse; new ones start, in
 * order; the others just go on. */
static void take_policy(struct worker *w, const struct wv_policy *p)
{
	uint32_t order[WV_SERVICES_MAX];
	size_t n = p->n_services < WV_SERVICES_MAX ? p->n_services : WV_SERVICES_MAX;
	bool first = !w->policy;

	for (size_t i = w->n; i-- > 0;) {
		struct service *s = w->services[i];
		const struct wv_service *next = NULL;

		for (size_t k = 0; k < n && !next; k++)
			if (strcmp(p->services[k].name, s->name) == 0)
				next = &p->services[k];
		/* of an adopted one nothing but its cgroup is known */
		if (next &&
		    (first ? strcmp(s->cgroup, next->cgroup) == 0 : same_service(s->def, next)))
			s->def = next;
		else
			remove_service(w, s);
	}
	w->policy = p;
	wv_services_order(p->services, n, order);
	for (size_t i = 0; i < n; i++) {
		const struct wv_service *def = &p->services[order[i]];
		struct service *s = find(w, def->name);

		if (s)
			continue;
		s = add(w, def, def->name, def->cgroup);
		if (s)
			start_service(s);
	}
	save(w);
}

static void reload(struct worker *w)
{
	struct wv_config_error error = {.text = ""};
	struct wv_policy *next, *old = w->reloaded;
	int r = wv_policy_accepted(&next, w->ctx->config, w->ctx->paths, &error);

	if (r < 0) {
		(void)wv_log_errno(r, "services", "accepted policy: %s", error.text);
		return;
	}
	take_policy(w, next);
	w->reloaded = next;
	wv_policy_free(old);
}

/* The kill switch was thrown: what was held back starts now. */
static void look_at_switch(struct worker *w)
{
	for (size_t i = 0; i < w->n; i++) {
		struct service *s = w->services[i];

		if (s->state == PAUSED && !may_restart(w)) {
			s->timer = sd_event_source_disable_unref(s->timer);
			s->state = HELD;
		} else if (s->state == HELD && may_restart(w)) {
			start_service(s);
		}
	}
}

static int on_control(sd_event_source *source _unused_, int fd, uint32_t revents _unused_,
		      void *userdata)
{
	struct worker *w = userdata;
	char message;
	ssize_t n = recv(fd, &message, 1, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n == 1 && message == WV_CONTROL_POLICY) {
		reload(w);
	} else if (n == 1 && message == WV_CONTROL_SWITCH) {
		look_at_switch(w);
	} else {
		w->end = n == 1 && message == WV_CONTROL_END;
		return sd_event_exit(w->loop, 0);
	}
	return 0;
}

int wv_services_run(const struct wv_worker_context *ctx)
{
	_cleanup_free_ struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return 1;
	(void)signal(SIGPIPE, SIG_IGN); /* a service that is killed before it runs */
	w->ctx = ctx;
	w->dir = open(ctx->paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = w->dir < 0 ? -errno
		       : wv_services_load(&w->known, &wv_io_system, w->dir, ctx->host->boot_id);
	if (r < 0) /* rather none than one twice */
		return wv_log_errno(1, "services", "%s/" WV_SERVICES_FILE " cannot be read: %s",
				    ctx->paths->runtime, strerror(-r));
	r = sd_event_new(&w->loop);
	if (r >= 0)
		r = sd_event_add_signal(w->loop, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_io(w->loop, NULL, ctx->control, EPOLLIN, on_control, w);
	if (r >= 0) {
		adopt(w);
		take_policy(w, ctx->policy);
		r = sd_event_loop(w->loop);
	}
	while (w->end && w->n)
		remove_service(w, w->services[w->n - 1]);
	if (w->end)
		save(w);
	return r < 0 ? 1 : 0;
}
