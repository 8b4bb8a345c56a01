// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/deeds.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/flow/snapshot.h"
#include "user/recover/act.h"
#include "user/recover/request.h"

/* The agent takes a request within milliseconds; a service that has to stop first may take long. */
#define SERVICE_TIMEOUT_NS 10000000000ULL
#define UNIT_TIMEOUT_NS 30000000000ULL
#define POLICY_TIMEOUT_NS 10000000000ULL
#define NAP_NS 2000000

static uint64_t now_ns(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

static void nap(void)
{
	const struct timespec t = {.tv_nsec = NAP_NS};

	(void)nanosleep(&t, NULL);
}

static int fail(char why[WV_DEED_WHY], int error, const char *text)
{
	snprintf(why, WV_DEED_WHY, "%s", text);
	return error;
}

int wv_bundle_find_service(const struct wv_paths *paths, const char *name,
			   struct wv_service_process *ret)
{
	_cleanup_close_ int dir = open(paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ struct wv_service_list *l = malloc(sizeof(*l));
	char boot[SD_ID128_UUID_STRING_MAX];
	sd_id128_t id;
	int r;

	if (!l)
		return -ENOMEM;
	if (dir < 0)
		return errno == ENOENT ? 0 : -errno;
	r = sd_id128_get_boot(&id);
	if (r < 0)
		return r;
	r = wv_services_load(l, &wv_io_system, dir, sd_id128_to_uuid_string(id, boot));
	for (size_t i = 0; r == 0 && i < l->n; i++)
		if (strcmp(l->list[i].name, name) == 0) {
			*ret = l->list[i];
			return 1;
		}
	return r;
}

/* The running agent ---------------------------------------------------------------------------- */

struct agent {
	struct wv_snapshot_map map;
	pid_t supervisor, core;
};

static int agent_open(struct agent *a, const struct wv_paths *paths)
{
	_cleanup_close_ int dir = open(paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? -errno : wv_snapshot_open(&a->map, dir);

	if (r < 0)
		return -ESRCH;
	a->supervisor = (pid_t)atomic_load(&a->map.head->supervisor_pid);
	if (a->supervisor > 0 && kill(a->supervisor, 0) == 0)
		return 0;
	wv_snapshot_close(&a->map);
	return -ESRCH;
}

static bool runs(const struct wv_service_process *p)
{
	_cleanup_close_ int fd = wv_service_open(p);

	return fd >= 0;
}

/* Another process than `old` runs (or any, where old is NULL). */
static int wait_service(const struct wv_paths *paths, const char *name,
			const struct wv_service_process *old, char why[WV_DEED_WHY])
{
	uint64_t end = now_ns() + SERVICE_TIMEOUT_NS;
	struct wv_service_process p;

	for (; now_ns() < end; nap())
		if (wv_bundle_find_service(paths, name, &p) > 0 &&
		    (!old || p.pid != old->pid || p.start_ns != old->start_ns) && runs(&p))
			return 0;
	return fail(why, -ETIMEDOUT,
		    old ? "the agent did not restart it (feature restart, budget, kill switch?)"
			: "it was not started");
}

static int service_deed(const struct wv_paths *paths, const struct wv_bundle_hook *hook,
			const struct wv_service_process *p, char why[WV_DEED_WHY])
{
	struct agent agent;
	int r;

	if (hook->what == WV_DO_STOP_SERVICE)
		return fail(why, -EOPNOTSUPP,
			    "a service of the policy ends when the policy has it no more");
	r = agent_open(&agent, paths);
	if (r < 0)
		return fail(why, r, "no agent runs that could restart it");
	wv_snapshot_close(&agent.map);
	if (hook->what == WV_DO_START_SERVICE && runs(p))
		return 0;
	r = runs(p) ? wv_request_leave(paths, p->cgroup, "step", "restart") : 0;
	if (r < 0)
		return fail(why, r, "the request could not be left for the agent");
	return wait_service(paths, hook->service, p, why);
}

static int unit_deed(const struct wv_bundle_hook *hook, char why[WV_DEED_WHY])
{
	static const char *const methods[] = {[WV_DO_RESTART_SERVICE] = "RestartUnit",
					      [WV_DO_START_SERVICE] = "StartUnit",
					      [WV_DO_STOP_SERVICE] = "StopUnit"};
	struct wv_act_result result = {0};
	int r = wv_act_unit(methods[hook->what], hook->service, UNIT_TIMEOUT_NS, &result);

	return r < 0 ? fail(why, r, result.detail) : 0;
}

/* A service of the policy, or a unit ("x.service"). */
static int any_service(const struct wv_paths *paths, const struct wv_bundle_hook *hook,
		       char why[WV_DEED_WHY])
{
	struct wv_service_process p;
	struct agent agent;
	int r = wv_bundle_find_service(paths, hook->service, &p);

	if (r < 0)
		return fail(why, r, strerror(-r));
	if (r > 0)
		return service_deed(paths, hook, &p, why);
	if (strchr(hook->service, '.'))
		return unit_deed(hook, why);
	r = agent_open(&agent, paths);
	if (r < 0)
		return fail(why, r, "no agent runs that could start it");
	wv_snapshot_close(&agent.map);
	/* it may be dying, or wait for its next start */
	return wait_service(paths, hook->service, NULL, why);
}

/* The supervisor reads the policy again; it says which one is in force, or that it refused. */
static int reload_policy(const struct wv_paths *paths, char why[WV_DEED_WHY])
{
	uint64_t end = now_ns() + POLICY_TIMEOUT_NS;
	struct agent agent;
	uint32_t refused, taken;
	int r = agent_open(&agent, paths);

	if (r < 0) /* the next one reads it anyway */
		return 0;
	refused = atomic_load(&agent.map.head->policies_refused);
	taken = atomic_load(&agent.map.head->policies_taken);
	r = kill(agent.supervisor, SIGHUP) < 0 ? -errno : -ETIMEDOUT;
	for (; r == -ETIMEDOUT && now_ns() < end; nap()) {
		if (atomic_load(&agent.map.head->policies_taken) != taken)
			r = 0;
		else if (atomic_load(&agent.map.head->policies_refused) != refused)
			r = -ECANCELED;
		else if (kill(agent.supervisor, 0) < 0)
			r = -ESRCH;
	}
	wv_snapshot_close(&agent.map);
	return r < 0 ? fail(why, r,
			    r == -ECANCELED ? "the agent refused the policy; its log says why"
					    : strerror(-r))
		     : 0;
}

int wv_bundle_deed(void *ctx, const struct wv_bundle_hook *hook, char why[WV_DEED_WHY])
{
	const struct wv_paths *paths = ctx;

	why[0] = '\0';
	switch (hook->what) {
	case WV_DO_RESTART_SERVICE:
	case WV_DO_START_SERVICE:
	case WV_DO_STOP_SERVICE:
		return any_service(paths, hook, why);
	case WV_DO_RELOAD_POLICY:
		return reload_policy(paths, why);
	case WV_DO_RELOAD_CONFIG: /* outside of the agent: read at its next start */
		return 0;
	}
	return -EOPNOTSUPP;
}
