// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module `recover`: runs the chains. Each cgroup has one machine (chain.c); this file feeds it with
 * time, needs and outcomes, tells what became of it, and keeps it in a file. Loaded before budgets
 * start, because a throttle is theirs to hold.
 */
#include "user/recover/recover.h"

#include <errno.h>
#include <string.h>

#include "skel/isolate.btf.skel.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/policy/policy.h"
#include "user/recover/isolate.h"
#include "user/recover/recoverer.h"
#include "user/recover/switch.h"

/* Events that a machine may take in one go; more would be a loop. */
#define PUMP_MAX 64

struct wv_recoverer wv_recoverer;

static uint64_t now_ns(const struct wv_recoverer *x)
{
	return x->agent->io->mono_ns(x->agent->io->ctx);
}

/* Records ---------------------------------------------------------------------------------------
 */

struct json_object *wv_recoverer_fields(const struct wv_recovery *r)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "cgroup", json_object_new_string(r->path));
	json_object_object_add(o, "cgroup_key", json_object_new_uint64(r->key));
	json_object_object_add(o, "domain", json_object_new_string(r->domain));
	json_object_object_add(o, "chain", json_object_new_string(r->chain));
	return o;
}

void wv_recoverer_tell(struct wv_recoverer *x, const struct wv_recovery *r, const char *event,
		       struct json_object *more)
{
	struct json_object *o = wv_recoverer_fields(r);

	json_object_object_add(o, "event", json_object_new_string(event));
	json_object_object_add(o, "dry_run", json_object_new_boolean(x->dry_run));
	if (more) {
		json_object_object_foreach(more, key, value)
		{
			json_object_object_add(o, key, json_object_get(value));
		}
		json_object_put(more);
	}
	(void)x->agent->record(x->agent, "recovery", o);
}

static const struct wv_chain *chain_of(const struct wv_recoverer *x, const struct wv_recovery *r)
{
	const struct wv_policy *p = x->agent->policy;

	return p && r->chain_index < p->n_chains ? &p->chains[r->chain_index] : NULL;
}

static void tell_skipped(struct wv_recoverer *x, const struct wv_recovery *r,
			 const struct wv_chain *chain, const struct wv_chain_out *out)
{
	for (uint32_t i = 0; i < WV_CHAIN_STEPS_MAX && i < chain->steps.n; i++) {
		struct json_object *o;

		if (out->skipped[i] == WV_SKIP_NONE)
			continue;
		o = json_object_new_object();
		json_object_object_add(o, "step", json_object_new_int64(i));
		json_object_object_add(
			o, "act", json_object_new_string(wv_act_names[chain->steps.list[i].act]));
		json_object_object_add(
			o, "reason", json_object_new_string(wv_chain_skip_texts[out->skipped[i]]));
		wv_recoverer_tell(x, r, "skipped", o);
	}
}

static struct json_object *about_step(const struct wv_chain *chain, const struct wv_recovery *r,
				      const struct wv_chain_out *out)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "step", json_object_new_int64(out->step));
	json_object_object_add(
		o, "act", json_object_new_string(wv_act_names[chain->steps.list[out->step].act]));
	json_object_object_add(o, "pause_ns", json_object_new_uint64(out->pause_ns));
	json_object_object_add(o, "loops", json_object_new_int64(r->run.loops));
	return o;
}

static struct json_object *about_cause(const struct wv_recovery *r)
{
	struct json_object *o = json_object_new_object();

	if (r->cause)
		json_object_object_add(o, "cause", json_object_get(r->cause));
	return o;
}

/* Machines --------------------------------------------------------------------------------------
 */

const struct wv_domain *wv_recoverer_domain(const struct wv_recoverer *x, const char *name)
{
	const struct wv_policy *p = x->agent->policy;

	for (size_t i = 0; p && i < p->n_domains; i++)
		if (strcmp(p->domains[i].name, name) == 0)
			return &p->domains[i];
	return NULL;
}

static void fill_env(struct wv_recoverer *x, const struct wv_recovery *r,
		     const struct wv_chain *chain, struct wv_chain_env *env)
{
	const struct wv_domain *d = wv_recoverer_domain(x, r->domain);

	*env = (struct wv_chain_env){
		.chain = chain,
		.features = x->agent->policy->features,
		.now_ns = now_ns(x),
	};
	(void)x->agent->io->random(x->agent->io->ctx, &env->random, sizeof(env->random));
	if (d) {
		env->budget = wv_recover_budget(&x->state, r->domain);
		env->max_restarts = d->max_restarts;
		env->restart_window_ns = d->restart_window_ns;
	}
}

static void save(struct wv_recoverer *x)
{
	if (x->state.dirty && !x->state_error && !x->dry_run)
		(void)wv_recover_state_save(&x->state);
}

static void forget_chain(struct wv_recovery *r)
{
	r->chain[0] = '\0';
	r->chain_index = WV_NONE;
	json_object_put(r->cause);
	r->cause = NULL;
}

/* What the machine's answer means for the world. */
static void follow(struct wv_recoverer *x, struct wv_recovery *r, const struct wv_chain *chain,
		   const struct wv_chain_out *out)
{
	switch (out->action) {
	case WV_CHAIN_DO_BEGIN:
		wv_recoverer_tell(x, r, "started", about_cause(r));
		break;
	case WV_CHAIN_DO_PAUSE:
		wv_recoverer_tell(x, r, out->from == WV_CHAIN_COOLING ? "crash-loop" : "next-step",
				  about_step(chain, r, out));
		break;
	case WV_CHAIN_DO_ACT:
		wv_recoverer_take(x, r, &chain->steps.list[out->step], out->step);
		break;
	case WV_CHAIN_DO_COOL:
		wv_recoverer_tell(x, r, "recovered", NULL);
		break;
	case WV_CHAIN_DO_GIVE_UP:
		wv_recoverer_tell(x, r, "given-up", NULL);
		(void)wv_log_warn(0, "recover", "%s: chain '%s' is at its end and did not help",
				  r->path, r->chain);
		break;
	case WV_CHAIN_DO_END:
		wv_recoverer_tell(x, r, "ended", NULL);
		wv_recoverer_release(x, r);
		forget_chain(r);
		break;
	default:
		break;
	}
}

void wv_recoverer_feed(struct wv_recoverer *x, struct wv_recovery *r, enum wv_chain_event event)
{
	static const struct wv_chain none; /* of a policy that is no more */
	const struct wv_chain *chain = event == WV_CHAIN_EV_GONE ? &none : chain_of(x, r);
	struct wv_chain_out out;
	struct wv_chain_env env;

	if (!chain || !wv_chain_possible(r->run.state, event))
		return;
	fill_env(x, r, chain, &env);
	if (wv_chain_step(&r->run, event, &env, &out) < 0 || out.action == WV_CHAIN_DO_NONE)
		return;
	x->state.dirty = true;
	tell_skipped(x, r, chain, &out);
	follow(x, r, chain, &out);
	save(x);
}

/* Whether no domain that comes before this one is being recovered. */
static bool is_free(const struct wv_recoverer *x, const struct wv_recovery *r)
{
	const struct wv_domain *d = wv_recoverer_domain(x, r->domain);

	for (size_t a = 0; d && a < d->after.n; a++)
		for (size_t i = 0; i < x->state.n; i++) {
			const struct wv_recovery *other = x->state.list[i];
			enum wv_chain_state s = other->run.state;

			if (other != r && strcmp(other->domain, d->after.list[a]) == 0 &&
			    s != WV_CHAIN_IDLE && s != WV_CHAIN_COOLING && s != WV_CHAIN_SPENT)
				return false;
		}
	return true;
}

static bool is_due(const struct wv_recovery *r, uint64_t now)
{
	return r->run.due_ns && now >= r->run.due_ns && r->run.state != WV_CHAIN_ACTING;
}

/* One look at one machine; true if anything changed. */
static bool pump_one(struct wv_recoverer *x, struct wv_recovery *r, uint64_t now)
{
	enum wv_chain_state before = r->run.state;

	wv_recoverer_check(x, r, now);
	if (x->disarmed && wv_chain_possible(r->run.state, WV_CHAIN_EV_DISARM))
		wv_recoverer_feed(x, r, WV_CHAIN_EV_DISARM);
	else if (r->run.state == WV_CHAIN_HELD && is_free(x, r))
		wv_recoverer_feed(x, r, WV_CHAIN_EV_FREE);
	else if (is_due(r, now))
		wv_recoverer_feed(x, r, WV_CHAIN_EV_DUE);
	return r->run.state != before;
}

static void schedule(struct wv_recoverer *x, uint64_t now);

void wv_recoverer_pump(struct wv_recoverer *x)
{
	uint64_t now = now_ns(x);
	bool changed = true;

	/* one machine's change may free another one */
	for (int i = 0; i < PUMP_MAX && changed; i++) {
		changed = false;
		for (size_t k = 0; k < x->state.n; k++)
			changed |= pump_one(x, x->state.list[k], now);
	}
	wv_recover_sweep(&x->state);
	save(x);
	schedule(x, now);
}

static int on_timer(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata)
{
	wv_recoverer_pump(userdata);
	return 0;
}

/* Chains do not wait for the next tick. */
static void schedule(struct wv_recoverer *x, uint64_t now)
{
	uint64_t due = UINT64_MAX;

	if (!x->agent->loop)
		return;
	for (size_t i = 0; i < x->state.n; i++) {
		const struct wv_recovery *r = x->state.list[i];

		if (r->run.due_ns && r->run.state != WV_CHAIN_ACTING && r->run.due_ns < due)
			due = r->run.due_ns;
		if (r->actor.pid && r->actor_due_ns < due)
			due = r->actor_due_ns;
	}
	if (due < now)
		due = now;
	if (!x->timer && due != UINT64_MAX)
		(void)sd_event_add_time(x->agent->loop, &x->timer, CLOCK_MONOTONIC, 0, 1000,
					on_timer, x);
	if (!x->timer)
		return;
	(void)sd_event_source_set_time(x->timer, due / 1000 + 1);
	(void)sd_event_source_set_enabled(x->timer,
					  due == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

size_t wv_recover_holding(void)
{
	size_t n = 0;

	for (size_t i = 0; i < wv_recoverer.state.n; i++)
		n += wv_recoverer.state.list[i]->holds != 0;
	return n;
}

/* The module ------------------------------------------------------------------------------------
 */

/* Chains are known by name: a policy has its own numbers. */
static void match_chains(struct wv_recoverer *x)
{
	const struct wv_policy *p = x->agent->policy;

	for (size_t i = 0; i < x->state.n; i++) {
		struct wv_recovery *r = x->state.list[i];

		if (!r->chain[0])
			continue;
		r->chain_index = WV_NONE;
		for (uint32_t c = 0; p && c < p->n_chains; c++)
			if (strcmp(p->chains[c].name, r->chain) == 0)
				r->chain_index = c;
		if (r->chain_index != WV_NONE)
			continue;
		r->flight.at = WV_NONE; /* its outcome concerns no chain any more */
		wv_recoverer_feed(x, r, WV_CHAIN_EV_GONE);
	}
}

static int start(struct wv_agent *agent)
{
	struct wv_recoverer *x = &wv_recoverer;

	*x = (struct wv_recoverer){.agent = agent, .state = {.dir = -1}};
	x->dry_run = agent->dry_run;
	if (x->dry_run)
		return 0;
	x->state_error = wv_recover_state_open(&x->state, agent->io, agent->paths->state,
					       agent->host->boot_id);
	if (x->state_error)
		(void)wv_log_errno(x->state_error, "recover",
				   "%s/" WV_RECOVER_DIR "/" WV_RECOVER_FILE
				   ": recovery is not resumed after a crash",
				   agent->paths->state);
	wv_recoverer_throttles(x);
	return 0;
}

/* The switch was thrown: told once, and what is held goes if it is to be. */
static void look_at_switch(struct wv_recoverer *x)
{
	bool disarmed = !wv_recover_armed(x->agent);
	struct json_object *o;

	if (disarmed == x->disarmed)
		return;
	x->disarmed = disarmed;
	o = json_object_new_object();
	json_object_object_add(o, "armed", json_object_new_boolean(!disarmed));
	json_object_object_add(o, "release",
			       json_object_new_boolean(wv_recover_released(x->agent)));
	(void)x->agent->record(x->agent, "kill-switch", o);
	if (!wv_recover_released(x->agent))
		return;
	for (size_t i = 0; i < x->state.n; i++)
		wv_recoverer_release(x, x->state.list[i]);
}

/* What a former agent left: once, when everything else has started. */
static void take_up(struct wv_recoverer *x)
{
	x->resumed = true;
	match_chains(x);
	for (size_t i = 0; i < x->state.n; i++)
		if (x->state.list[i]->flight.id[0])
			wv_recoverer_resume(x, x->state.list[i]);
	if (x->state.rebooted_id[0]) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "id", json_object_new_string(x->state.rebooted_id));
		json_object_object_add(o, "act", json_object_new_string("reboot"));
		json_object_object_add(o, "outcome", json_object_new_string("done"));
		(void)x->agent->record(x->agent, "action-outcome", o);
		x->state.rebooted_id[0] = '\0';
		x->state.dirty = true;
	}
	if (wv_recoverer_listen(x) < 0)
		(void)wv_log_warn(0, "recover", "no requests by hand");
}

static int decide(struct wv_agent *agent _unused_)
{
	struct wv_recoverer *x = &wv_recoverer;

	look_at_switch(x);
	if (!x->resumed)
		take_up(x);
	wv_recoverer_requests(x);
	wv_recoverer_pump(x);
	return 0;
}

static int policy_changed(struct wv_agent *agent _unused_)
{
	match_chains(&wv_recoverer);
	wv_recoverer_pump(&wv_recoverer);
	return 0;
}

/* A chain goes on: a restarted unit comes back in another cgroup. What was held went with this one.
 */
static void slot_gone(struct wv_agent *agent, uint32_t slot)
{
	struct wv_recoverer *x = &wv_recoverer;
	const struct wv_row *row = &agent->sample.rows[slot];
	struct wv_recovery *r = wv_recover_find(&x->state, row->key, row->path);

	if (!r || r->key != row->key)
		return;
	if (r->holds & WV_HOLD_ISOLATED)
		(void)wv_isolate_release(agent->paths, r->key);
	x->state.dirty |= r->holds != 0;
	r->holds &= WV_HOLD_MODE; /* that is the domain's */
}

static void stop(struct wv_agent *agent _unused_)
{
	struct wv_recoverer *x = &wv_recoverer;

	/* an action that is under way is broken off and found again by the next agent */
	save(x);
	for (size_t i = 0; i < x->state.n; i++) {
		struct wv_recovery *r = x->state.list[i];
		struct wv_act_result ignored;

		r->source = sd_event_source_disable_unref(r->source);
		if (r->actor.pid)
			wv_actor_finish(&r->actor, &ignored);
	}
	sd_event_source_disable_unref(x->timer);
	sd_event_source_disable_unref(x->inotify);
	wv_recover_state_close(&x->state);
	*x = (struct wv_recoverer){.state = {.dir = -1}};
}

static const void *elf(size_t *size)
{
	return isolate_btf__elf_bytes(size);
}

static const struct wv_object object = {
	.name = "isolate", .elf_btf = elf, /* no tracepoints: one build for every kernel */
};

const struct wv_module wv_module_recover = {
	.early = true, /* before budgets: a throttle must hold with the first of them */
	.name = "recover",
	.summary = "recovery: chains of restart, kill, freeze, throttle, isolation and reboot",
	.object = &object,
	.probe = wv_recoverer_probe,
	.start = start,
	.decide = decide,
	.policy_changed = policy_changed,
	.slot_gone = slot_gone,
	.stop = stop,
};
