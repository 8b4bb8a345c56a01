// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/bundle_life.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "user/bundle/trial.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"

#define NAP_NS 10000000
/* How long the agent may take to start its worker. */
#define WORKER_NS 5000000000ULL

const struct wv_bundle_slot *wv_bundle_find_slot(const char *verb, const struct wv_bundle_states *s,
						 const char *text)
{
	const struct wv_bundle_slot *found = NULL;
	const char *slash = strchr(text, '/');
	char kind[16];

	snprintf(kind, sizeof(kind), "%.*s", slash ? (int)(slash - text) : 0, text);
	for (unsigned i = 0; i < s->n; i++) {
		const struct wv_bundle_slot *slot = &s->slots[i];

		if (strcmp(slot->name, slash ? slash + 1 : text) != 0 ||
		    (slash && strcmp(wv_bundle_kinds[slot->kind], kind) != 0))
			continue;
		if (found) {
			fprintf(stderr, "waveos-bpf %s: several kinds have a '%s'; say KIND/NAME\n",
				verb, text);
			return NULL;
		}
		found = slot;
	}
	if (!found)
		fprintf(stderr,
			"waveos-bpf %s: no bundle '%s' is known here; `waveos-bpf bundle status` "
			"lists them\n",
			verb, text);
	return found;
}

int wv_bundle_open_life(const char *verb, const struct wv_cli *cli, struct wv_bundles *ret)
{
	int r;

	(void)umask(022); /* what a bundle's file may be read by is its manifest's affair */
	r = wv_bundles_open(ret, &wv_io_system, &cli->paths, "", true);
	if (r < 0)
		return wv_bundle_say(verb, cli->paths.state, r, NULL);
	r = wv_bundles_settle(ret);
	if (r == 0)
		return WV_EXIT_OK;
	wv_bundles_close(ret);
	return wv_bundle_say(verb, "put in order what an earlier change left", r, NULL);
}

static void nap(void)
{
	const struct timespec t = {.tv_nsec = NAP_NS};

	(void)nanosleep(&t, NULL);
}

/* The worker's process id, 0 if it does not run. */
static uint32_t worker_pid(const struct wv_cli *cli)
{
	struct wv_view v = {0};
	uint32_t pid = 0;

	if (wv_view_read(&v, &cli->paths) == 0)
		pid = atomic_load(&v.head.workers[WV_WORKER_BUNDLE].pid);
	wv_view_done(&v);
	return pid;
}

bool wv_bundle_agent(const struct wv_cli *cli)
{
	uint64_t end = wv_view_mono_ns() + WORKER_NS;
	int pid = 0;

	if (!wv_view_agent_runs(&cli->paths, &pid) || pid <= 0)
		return false;
	if (worker_pid(cli))
		return true;
	if (kill(pid, SIGHUP) < 0)
		return false;
	for (; wv_view_mono_ns() < end; nap())
		if (worker_pid(cli))
			return true;
	return false;
}

int wv_bundle_look(const struct wv_cli *cli, enum wv_bundle_kind kind, const char *name,
		   const char *id, struct wv_bundle_end *ret)
{
	const struct wv_bundle_slot *slot;
	const struct wv_bundle_entry *e;
	struct wv_bundles b;
	int r = wv_bundles_open(&b, &wv_io_system, &cli->paths, "", false);

	*ret = (struct wv_bundle_end){.found = false};
	if (r < 0)
		return r;
	slot = wv_bundle_slot(&b.states, kind, name);
	e = wv_bundle_entry(slot, id);
	if (e) {
		ret->found = true;
		ret->state = e->state;
		snprintf(ret->cause, sizeof(ret->cause), "%s", e->cause);
	}
	for (size_t i = 0; slot && i < ARRAY_SIZE(slot->hooks); i++)
		ret->hooks |= slot->hooks[i][0] != '\0';
	wv_bundles_close(&b);
	return 0;
}

static bool is_over(const struct wv_bundle_end *e)
{
	return !e->found || (e->state != WV_BUNDLE_TRIAL && e->state != WV_BUNDLE_FAILED &&
			     e->state != WV_BUNDLE_STAGED && !e->hooks);
}

int wv_bundle_wait(const struct wv_cli *cli, enum wv_bundle_kind kind, const char *name,
		   const char *id, uint64_t timeout_ns, struct wv_bundle_end *ret)
{
	uint64_t end = wv_view_mono_ns() + timeout_ns, next = 0;
	bool agent = wv_bundle_agent(cli);
	struct wv_trial trial;
	int r, pid;

	wv_trial_init(&trial, &wv_io_system, &cli->paths, "");
	for (;;) {
		uint64_t now = wv_view_mono_ns();

		if (!agent && now >= next && wv_trial_step(&trial, &next) < 0)
			next = now + 100000000;
		r = wv_bundle_look(cli, kind, name, id, ret);
		if (r < 0 || is_over(ret))
			break;
		if (now >= end) {
			r = -ETIMEDOUT;
			break;
		}
		nap();
		if (agent && !wv_view_agent_runs(&cli->paths, &pid))
			agent = false; /* it ended: this process goes on for it */
	}
	wv_trial_done(&trial);
	return r;
}
