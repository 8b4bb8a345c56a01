// SPDX-License-Identifier: GPL-2.0-only
/* What others ask of recovery: a chain, one action, or that it is no longer needed. */
#include <errno.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/domain/domain.h"
#include "user/policy/policy.h"
#include "user/policy/scope.h"
#include "user/recover/recover.h"
#include "user/recover/recoverer.h"
#include "user/recover/switch.h"

/* Where something is to be recovered. */
struct place {
	uint64_t key;
	const char *path;
	uint32_t domain; /* WV_NONE: none */
};

static bool place_of_slot(struct wv_recoverer *x, uint32_t slot, struct place *ret)
{
	struct wv_row *row = wv_sample_row(&x->agent->sample, slot);

	if (!row || row->flags & WV_ROW_CUT)
		return false;
	*ret = (struct place){row->key, row->path, wv_domain_of(x->agent, slot)};
	return true;
}

static struct place place_of_path(struct wv_recoverer *x, const char *path)
{
	struct wv_who who = {.path = path};

	wv_identity_parse(path, &who.id);
	return (struct place){0, path, wv_scope_domain(x->agent->policy, &who)};
}

static struct wv_recovery *recovery_in(struct wv_recoverer *x, const struct place *at)
{
	const struct wv_policy *p = x->agent->policy;

	return wv_recover_add(&x->state, at->key, at->path,
			      at->domain < p->n_domains ? p->domains[at->domain].name : "");
}

/* No new action while the kill switch is on. */
static int refuse(struct wv_recoverer *x, const char *path, const char *reason, int error,
		  struct json_object *cause)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "event", json_object_new_string("refused"));
	json_object_object_add(o, "reason", json_object_new_string(reason));
	json_object_object_add(o, "cgroup", json_object_new_string(path));
	if (cause)
		json_object_object_add(o, "cause", cause);
	(void)x->agent->record(x->agent, "recovery", o);
	return error;
}

static int start_at(struct wv_recoverer *x, const struct place *at, uint32_t chain,
		    struct json_object *cause)
{
	const struct wv_policy *p = x->agent->policy;
	struct wv_recovery *r;

	if (!wv_recover_armed(x->agent))
		return refuse(x, at->path, "the kill switch is on", -ECANCELED, cause);
	if (chain >= p->n_chains)
		return refuse(x, at->path, "there is no such chain", -ENOENT, cause);
	r = recovery_in(x, at);
	if (!r)
		return refuse(x, at->path, "too many recoveries", -ENOSPC, cause);
	if (r->run.state == WV_CHAIN_IDLE) {
		json_object_put(r->cause);
		r->cause = cause;
		r->chain_index = chain;
		snprintf(r->chain, sizeof(r->chain), "%s", p->chains[chain].name);
	} else {
		json_object_put(cause);
	}
	r->well = false;
	wv_recoverer_feed(x, r, WV_CHAIN_EV_NEED);
	wv_recoverer_pump(x);
	return 0;
}

int wv_recover_start(struct wv_agent *agent _unused_, uint32_t slot, uint32_t chain,
		     struct json_object *cause)
{
	struct wv_recoverer *x = &wv_recoverer;
	struct place at;

	if (!place_of_slot(x, slot, &at))
		return refuse(x, "", "its path is not known", -ENOENT, cause);
	return start_at(x, &at, chain, cause);
}

int wv_recover_start_at(struct wv_agent *agent _unused_, const char *path, uint32_t chain,
			struct json_object *cause)
{
	struct place at = place_of_path(&wv_recoverer, path);

	return start_at(&wv_recoverer, &at, chain, cause);
}

void wv_recover_well(struct wv_agent *agent _unused_, uint32_t slot)
{
	struct wv_recoverer *x = &wv_recoverer;
	struct wv_recovery *r;
	struct place at;

	r = place_of_slot(x, slot, &at) ? wv_recover_find(&x->state, at.key, at.path) : NULL;
	if (!r)
		return;
	r->key = at.key;
	if (r->run.state == WV_CHAIN_ACTING)
		r->well = true;
	else if (r->run.state != WV_CHAIN_IDLE)
		wv_recoverer_feed(x, r, WV_CHAIN_EV_WELL);
	else
		wv_recoverer_release(x, r);
	wv_recoverer_pump(x);
}

/* Why a rule's own action is not taken, or NULL. */
static const char *obstacle(struct wv_recoverer *x, const struct wv_recovery *r,
			    const struct wv_step *step)
{
	const struct wv_domain *d = wv_recoverer_domain(x, r->domain);
	enum wv_feature f = wv_act_feature(step->act);
	struct wv_restarts *budget;

	if (f != WV_FEATURE_N && !x->agent->policy->features[f])
		return wv_chain_skip_texts[WV_SKIP_FEATURE];
	if (r->n_pending == WV_PENDING_MAX)
		return "too many actions wait already";
	if (step->act != WV_ACT_RESTART || !d)
		return NULL;
	budget = wv_recover_budget(&x->state, r->domain);
	if (budget && !wv_restarts_left(budget, d->max_restarts, d->restart_window_ns,
					x->agent->io->mono_ns(x->agent->io->ctx)))
		return wv_chain_skip_texts[WV_SKIP_BUDGET];
	return NULL;
}

static int act_at(struct wv_recoverer *x, const struct place *at, const struct wv_step *step,
		  struct json_object *cause)
{
	struct wv_recovery *r;
	const char *why;

	if (step->act == WV_ACT_RECOVER)
		return start_at(x, at, step->index, cause);
	if (!wv_recover_armed(x->agent))
		return refuse(x, at->path, "the kill switch is on", -ECANCELED, cause);
	r = recovery_in(x, at);
	if (!r)
		return refuse(x, at->path, "too many recoveries", -ENOSPC, cause);
	why = obstacle(x, r, step);
	if (why) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "act", json_object_new_string(wv_act_names[step->act]));
		json_object_object_add(o, "reason", json_object_new_string(why));
		if (cause)
			json_object_object_add(o, "cause", cause);
		wv_recoverer_tell(x, r, "skipped", o);
		wv_recoverer_pump(x);
		return -EPERM;
	}
	if (r->run.state == WV_CHAIN_IDLE) {
		json_object_put(r->cause);
		r->cause = cause;
	} else {
		json_object_put(cause);
	}
	if (r->flight.id[0])
		r->pending[r->n_pending++] = *step;
	else
		wv_recoverer_take(x, r, step, WV_NONE);
	wv_recoverer_pump(x);
	return 0;
}

int wv_recover_act(struct wv_agent *agent _unused_, uint32_t slot, const struct wv_step *step,
		   struct json_object *cause)
{
	struct wv_recoverer *x = &wv_recoverer;
	struct place at;

	if (!place_of_slot(x, slot, &at))
		return refuse(x, "", "its path is not known", -ENOENT, cause);
	return act_at(x, &at, step, cause);
}

int wv_recover_act_at(struct wv_agent *agent _unused_, const char *path, const struct wv_step *step,
		      struct json_object *cause)
{
	struct place at = place_of_path(&wv_recoverer, path);

	return act_at(&wv_recoverer, &at, step, cause);
}
