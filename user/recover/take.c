// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes the steps: intent durable, action, outcome. What may wait runs in a process of its own
 * (actor.c); the rest is done here.
 */
#include <errno.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/enforce/cgroupfs.h"
#include "user/enforce/enforce.h"
#include "user/flow/budget.h"
#include "user/policy/policy.h"
#include "user/recover/boot.h"
#include "user/recover/isolate.h"
#include "user/recover/recover.h"
#include "user/recover/recoverer.h"

/* How long an action may take, and its process on top of that. */
#define GRACE_NS 2000000000ULL

static uint64_t timeout_ns(enum wv_act act)
{
	switch (act) {
	case WV_ACT_RESTART:
		return 90000000000ULL; /* systemd's own default for a start */
	case WV_ACT_REBOOT:
		return 30000000000ULL;
	default:
		return 5000000000ULL;
	}
}

static void fill_request(const struct wv_recoverer *x, const struct wv_recovery *r,
			 struct wv_act_request *q)
{
	const struct wv_policy *p = x->agent->policy;

	*q = (struct wv_act_request){
		.act = r->flight.step.act,
		.host = x->agent->host,
		.key = r->key,
		.intent_boot_ns = r->flight.intent_boot_ns,
		.timeout_ns = timeout_ns(r->flight.step.act),
		.resumed = r->flight.resumed,
		.protect = {getpid(), getppid()},
	};
	memcpy(q->path, r->path, sizeof(q->path));
	for (size_t i = 0; p && i < p->n_services; i++)
		if (strcmp(p->services[i].cgroup, r->path) == 0)
			snprintf(q->service, sizeof(q->service), "%s", p->services[i].name);
}

/* Records ---------------------------------------------------------------------------------------
 */

static struct json_object *action_fields(const struct wv_recoverer *x, const struct wv_recovery *r)
{
	struct json_object *o = wv_recoverer_fields(r);
	const struct wv_flight *f = &r->flight;

	json_object_object_add(o, "id", json_object_new_string(f->id));
	json_object_object_add(o, "act", json_object_new_string(wv_act_names[f->step.act]));
	if (f->at != WV_NONE)
		json_object_object_add(o, "step", json_object_new_int64(f->at));
	if (f->step.act == WV_ACT_THROTTLE)
		json_object_object_add(o, "cpu_ppm", json_object_new_uint64(f->step.cpu_ppm));
	json_object_object_add(o, "dry_run", json_object_new_boolean(x->dry_run));
	return o;
}

static int record_intent(struct wv_recoverer *x, const struct wv_recovery *r)
{
	struct json_object *o = action_fields(x, r);

	json_object_object_add(o, "resumed", json_object_new_boolean(r->flight.resumed));
	json_object_object_add(o, "loops", json_object_new_int64(r->run.loops));
	if (r->cause)
		json_object_object_add(o, "cause", json_object_get(r->cause));
	return x->agent->record(x->agent, "action", o);
}

static void record_outcome(struct wv_recoverer *x, const struct wv_recovery *r,
			   const struct wv_act_result *result)
{
	struct json_object *o = action_fields(x, r);
	uint64_t now = x->agent->io->mono_ns(x->agent->io->ctx);

	json_object_object_add(o, "outcome",
			       json_object_new_string(result->error ? "failed" : "done"));
	if (result->error)
		json_object_object_add(o, "errno", json_object_new_int(-result->error));
	if (result->how[0])
		json_object_object_add(o, "how", json_object_new_string(result->how));
	if (result->detail[0])
		json_object_object_add(o, "detail", json_object_new_string(result->detail));
	if (result->count)
		json_object_object_add(o, "processes", json_object_new_int64(result->count));
	json_object_object_add(o, "took_ns",
			       json_object_new_uint64(now > r->flight.started_mono_ns
							      ? now - r->flight.started_mono_ns
							      : 0));
	(void)x->agent->record(x->agent, "action-outcome", o);
	if (result->error)
		(void)wv_log_full(LOG_WARNING, 0, "recover", "%s of %s failed: %s",
				  wv_act_names[r->flight.step.act], r->path, result->detail);
	else
		wv_log_info("recover", "%s of %s: %s", wv_act_names[r->flight.step.act], r->path,
			    result->how[0] ? result->how : "done");
}

/* Outcome ---------------------------------------------------------------------------------------
 */

static void note_hold(struct wv_recovery *r, const struct wv_step *step)
{
	switch (step->act) {
	case WV_ACT_FREEZE:
		r->holds |= WV_HOLD_FROZEN;
		break;
	case WV_ACT_THAW:
		r->holds &= ~(uint32_t)WV_HOLD_FROZEN;
		break;
	case WV_ACT_ISOLATE:
		r->holds |= WV_HOLD_ISOLATED;
		break;
	case WV_ACT_THROTTLE:
		r->holds |= WV_HOLD_THROTTLED;
		r->throttle_ppm = step->cpu_ppm;
		break;
	case WV_ACT_MODE:
		r->holds |= WV_HOLD_MODE;
		break;
	default:
		break;
	}
}

static void complete(struct wv_recoverer *x, struct wv_recovery *r,
		     const struct wv_act_result *result)
{
	uint32_t at = r->flight.at;

	record_outcome(x, r, result);
	if (result->error && r->flight.step.act == WV_ACT_REBOOT)
		wv_marker_remove(x->agent->io, x->agent->paths->state);
	if (!result->error && !x->dry_run)
		note_hold(r, &r->flight.step);
	else if (r->flight.step.act == WV_ACT_FREEZE && !x->dry_run)
		r->holds |= WV_HOLD_FROZEN; /* some of it may be: thawed with the rest */
	r->flight.id[0] = '\0';
	x->state.dirty = true;
	if (at != WV_NONE)
		wv_recoverer_feed(x, r, result->error ? WV_CHAIN_EV_FAILED : WV_CHAIN_EV_DONE);
	if (r->n_pending && !r->flight.id[0]) {
		struct wv_step next = r->pending[0];

		memmove(&r->pending[0], &r->pending[1], --r->n_pending * sizeof(next));
		wv_recoverer_take(x, r, &next, WV_NONE);
	}
}

static void finish_actor(struct wv_recoverer *x, struct wv_recovery *r)
{
	struct wv_act_result result;

	r->source = sd_event_source_disable_unref(r->source);
	wv_actor_finish(&r->actor, &result);
	complete(x, r, &result);
}

static int on_actor(sd_event_source *s _unused_, int fd _unused_, uint32_t revents _unused_,
		    void *userdata)
{
	struct wv_recoverer *x = &wv_recoverer;

	finish_actor(x, userdata);
	wv_recoverer_pump(x);
	return 0;
}

void wv_recoverer_check(struct wv_recoverer *x, struct wv_recovery *r, uint64_t now_ns)
{
	if (r->actor.pid && now_ns >= r->actor_due_ns)
		finish_actor(x, r);
}

/* Actions ---------------------------------------------------------------------------------------
 */

/* Enforcement holds it from the next pass on; whether this machine can is known beforehand. */
static int throttle(const struct wv_recoverer *x, const struct wv_recovery *r, uint64_t cpu_ppm,
		    struct wv_act_result *ret)
{
	struct wv_cgfile files[WV_CGFILES_MAX];
	struct wv_want want;
	size_t n;
	int e;

	wv_want_init(&want);
	wv_throttle_want(cpu_ppm, &want);
	n = wv_cgroupfs_plan(x->agent->host, r->key, r->path, &want, files);
	for (size_t i = 0; i < n; i++)
		if (files[i].reason[0])
			return wv_act_fail(ret, -EOPNOTSUPP, "%.150s", files[i].reason);
	e = wv_enforce_throttle(r->key, cpu_ppm);
	snprintf(ret->how, sizeof(ret->how), "CPU quota, held like a budget");
	x->agent->want_tick = true;
	return e < 0 ? wv_act_fail(ret, e, "throttle: %s", strerror(-e)) : 0;
}

/* The mode is held here; whoever switches modes takes the most severe of all that are asked for. */
static int switch_mode(const struct wv_recoverer *x, struct wv_recovery *r, uint32_t mode,
		       struct wv_act_result *ret)
{
	const struct wv_policy *p = x->agent->policy;

	if (!wv_recoverer_domain(x, r->domain) || mode >= p->n_modes)
		return wv_act_fail(ret, -EINVAL,
				   "it belongs to no domain, or there is no such mode");
	snprintf(r->mode, sizeof(r->mode), "%s", p->modes[mode].name);
	x->agent->want_tick = true;
	snprintf(ret->how, sizeof(ret->how), "domain is asked into mode %.60s", r->mode);
	return 0;
}

uint32_t wv_recover_mode(const struct wv_policy *p, uint32_t domain)
{
	const struct wv_recover_state *s = &wv_recoverer.state;
	uint32_t mode = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct wv_recovery *r = s->list[i];

		if (!(r->holds & WV_HOLD_MODE) || strcmp(r->domain, p->domains[domain].name) != 0)
			continue;
		for (uint32_t m = mode + 1; m < p->n_modes; m++)
			if (strcmp(p->modes[m].name, r->mode) == 0)
				mode = m;
	}
	return mode;
}

/* What needs no process of its own. */
static int act_here(struct wv_recoverer *x, struct wv_recovery *r, struct wv_act_result *ret)
{
	struct wv_agent *a = x->agent;
	int e;

	switch (r->flight.step.act) {
	case WV_ACT_ALERT:
		snprintf(ret->how, sizeof(ret->how), "recorded");
		return 0;
	case WV_ACT_THROTTLE:
		return throttle(x, r, r->flight.step.cpu_ppm, ret);
	case WV_ACT_MODE:
		return switch_mode(x, r, r->flight.step.index, ret);
	case WV_ACT_ISOLATE:
		snprintf(ret->how, sizeof(ret->how), "all packets dropped but over loopback");
		e = wv_isolate(a->bpf, a->paths, a->host, r->key, r->path, ret->detail,
			       sizeof(ret->detail));
		ret->error = e;
		return e;
	default:
		return wv_act_fail(ret, -EOPNOTSUPP, "not possible from here");
	}
}

/* Whether a reboot may be asked for; then the marker says that it was meant. */
static int prepare_reboot(struct wv_recoverer *x, const struct wv_recovery *r,
			  struct wv_act_result *ret)
{
	struct wv_agent *a = x->agent;
	int e;

	if (r->flight.resumed)
		return 0; /* only its outcome is told */
	e = x->state_error ?: wv_recover_note_reboot(&x->state, a->io->wall_ns(a->io->ctx));
	if (e == -EBUSY)
		return wv_act_fail(ret, e, "%d reboots within an hour already", WV_REBOOTS_MAX);
	if (e == 0)
		e = wv_marker_write(a->io, a->paths->state, a->host->boot_id, "reboot",
				    r->flight.id);
	return e < 0 ? wv_act_fail(ret, e, "the reboot could not be noted: %s", strerror(-e)) : 0;
}

/* Makes the intent durable: in the file, and in the log. One of them has to be possible. */
static int make_durable(struct wv_recoverer *x, const struct wv_recovery *r,
			struct wv_act_result *ret)
{
	int saved = x->state_error ?: wv_recover_state_save(&x->state);
	int recorded = record_intent(x, r);

	if (saved < 0 && recorded < 0)
		return wv_act_fail(ret, saved, "the intent could not be made durable: %s",
				   strerror(-saved));
	return 0;
}

static void launch(struct wv_recoverer *x, struct wv_recovery *r)
{
	struct wv_act_result result = {0};
	struct wv_act_request q;
	sd_event_source *source = NULL;
	int e;

	fill_request(x, r, &q);
	if (x->act) {
		(void)x->act(&q, &r->flight.step, &result);
		complete(x, r, &result);
		return;
	}
	if (!wv_actor_takes(q.act)) {
		(void)act_here(x, r, &result);
		complete(x, r, &result);
		return;
	}
	e = wv_actor_start(&r->actor, &q);
	if (e == 0)
		e = sd_event_add_io(x->agent->loop, &source, r->actor.fd, EPOLLIN, on_actor, r);
	if (e < 0) {
		if (r->actor.pid)
			wv_actor_finish(&r->actor, &result);
		(void)wv_act_fail(&result, e, "start its process: %s", strerror(-e));
		complete(x, r, &result);
		return;
	}
	r->source = source;
	r->actor_due_ns = x->agent->io->mono_ns(x->agent->io->ctx) + q.timeout_ns + GRACE_NS;
}

static void note_restart(struct wv_recoverer *x, const struct wv_recovery *r)
{
	struct wv_restarts *budget = r->domain[0] ? wv_recover_budget(&x->state, r->domain) : NULL;

	if (budget && r->flight.step.act == WV_ACT_RESTART)
		wv_restarts_note(budget, r->flight.started_mono_ns);
}

static void ask(struct wv_recoverer *x, struct wv_recovery *r)
{
	struct wv_act_result result = {0};
	int e = 0;

	r->flight.started_mono_ns = x->agent->io->mono_ns(x->agent->io->ctx);
	if (x->dry_run) {
		(void)record_intent(x, r);
		snprintf(result.how, sizeof(result.how), "dry run: nothing was done");
		complete(x, r, &result);
		return;
	}
	if (!r->flight.resumed)
		note_restart(x, r);
	if (r->flight.step.act == WV_ACT_REBOOT)
		e = prepare_reboot(x, r, &result);
	if (e == 0)
		e = make_durable(x, r, &result);
	if (e < 0)
		complete(x, r, &result);
	else
		launch(x, r);
}

void wv_recoverer_take(struct wv_recoverer *x, struct wv_recovery *r, const struct wv_step *step,
		       uint32_t at)
{
	r->flight = (struct wv_flight){.step = *step, .at = at, .intent_boot_ns = wv_boot_ns()};
	snprintf(r->flight.id, sizeof(r->flight.id), "%.63s-%llu", x->agent->run_id,
		 (unsigned long long)++x->state.actions);
	x->state.dirty = true;
	ask(x, r);
}

void wv_recoverer_resume(struct wv_recoverer *x, struct wv_recovery *r)
{
	r->flight.resumed = true;
	ask(x, r);
}

void wv_recoverer_throttles(struct wv_recoverer *x)
{
	for (size_t i = 0; i < x->state.n; i++) {
		const struct wv_recovery *r = x->state.list[i];

		if (r->holds & WV_HOLD_THROTTLED)
			(void)wv_enforce_throttle(r->key, r->throttle_ppm);
	}
}

/* Letting go ------------------------------------------------------------------------------------
 */

static int thaw(const struct wv_recoverer *x, const struct wv_recovery *r,
		struct wv_act_result *ret)
{
	struct wv_act_request q;

	fill_request(x, r, &q);
	q.act = WV_ACT_THAW;
	q.timeout_ns = 50000000; /* told at once; the kernel has no reason to wait */
	return wv_act_freeze(&q, false, ret);
}

void wv_recoverer_release(struct wv_recoverer *x, struct wv_recovery *r)
{
	struct json_object *o = json_object_new_object();
	uint32_t failed = 0;

	if (r->holds & WV_HOLD_FROZEN) {
		struct wv_act_result result = {0};

		if (x->act)
			(void)x->act(NULL, &(struct wv_step){.act = WV_ACT_THAW}, &result);
		else if (thaw(x, r, &result) < 0 && result.error != -ENOENT)
			failed |= WV_HOLD_FROZEN;
		json_object_object_add(o, "thawed", json_object_new_boolean(!result.error));
	}
	if (r->holds & WV_HOLD_ISOLATED) {
		uint64_t drops = wv_isolate_drops(x->agent->bpf, r->key);

		if (wv_isolate_release(x->agent->paths, r->key) < 0)
			failed |= WV_HOLD_ISOLATED;
		json_object_object_add(o, "isolated_drops", json_object_new_uint64(drops));
	}
	if (r->holds & WV_HOLD_THROTTLED) {
		(void)wv_enforce_throttle(r->key, WV_UNSET);
		x->agent->want_tick = true;
		json_object_object_add(o, "throttle_lifted", json_object_new_boolean(true));
	}
	if (r->holds & WV_HOLD_MODE) {
		x->agent->want_tick = true;
		json_object_object_add(o, "mode", json_object_new_string(r->mode));
	}
	if (r->holds) {
		x->state.dirty = true;
		wv_recoverer_tell(x, r, "released", json_object_get(o));
	}
	r->holds &= failed;
	json_object_put(o);
}
