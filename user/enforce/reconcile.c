// SPDX-License-Identifier: GPL-2.0-only
/*
 * Brings what is in force to what is wanted. Network limits first (they need no journal and hold
 * within microseconds), then all cgroup files in one batch (two saves of the journal, however many
 * files), then what is no longer wanted is put back. Every action ends in an `outcome` record.
 */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/domain/domain.h"
#include "user/enforce/enforce.h"
#include "user/enforce/enforcer.h"

const char *wv_enforcer_held_back(const struct wv_enforcer *e, uint32_t budget)
{
	const struct wv_policy *p = e->agent->policy;
	const struct wv_budget *b = &p->budgets[budget];

	/* the configuration's budgets come first; features are the policy's */
	if (budget >= e->agent->config->n_budgets && !p->features[WV_FEATURE_BUDGETS])
		return "feature";
	if (b->modes && !(b->modes & 1ULL << wv_domain_mode(b->domain_index)))
		return "mode";
	return NULL;
}

bool wv_enforcer_holds(const struct wv_enforcer *e, uint32_t slot, uint32_t budget)
{
	return wv_enforcer_matches(e, slot, budget) &&
	       wv_eval_in_force(&e->eval, budget, slot, e->holds[slot].key) &&
	       !wv_enforcer_held_back(e, budget);
}

unsigned wv_enforcer_want(const struct wv_enforcer *e, uint32_t slot, struct wv_want *ret)
{
	const struct wv_policy *c = e->agent->policy;
	struct wv_budget resolved;
	unsigned n = 0;

	wv_want_init(ret);
	if (e->released)
		return 0;
	n = wv_throttle_want(wv_throttle_of(e->holds[slot].key), ret);
	for (uint32_t i = 0; i < c->n_budgets; i++) {
		if (!wv_enforcer_holds(e, slot, i))
			continue;
		if (e->holds[slot].shares)
			wv_budget_resolve(&c->budgets[i], &e->holds[slot].parent, &resolved);
		wv_want_merge(ret, e->holds[slot].shares ? &resolved : &c->budgets[i]);
		n++;
	}
	return n;
}

/* Outcome records -------------------------------------------------------------------------------
 */

static void add_string(struct json_object *o, const char *name, const char *value)
{
	if (value && value[0])
		json_object_object_add(o, name, json_object_new_string(value));
}

struct json_object *wv_outcome_new(const struct wv_enforcer *e, uint32_t slot)
{
	const struct wv_policy *c = e->agent->policy;
	struct json_object *o = json_object_new_object(), *names = json_object_new_array();
	struct json_object *shares = NULL;
	struct wv_row *row = wv_sample_row(&e->agent->sample, slot);

	json_object_object_add(o, "cgroup", json_object_new_string(row ? row->path : ""));
	json_object_object_add(o, "cgroup_key", json_object_new_uint64(e->holds[slot].key));
	json_object_object_add(o, "slot", json_object_new_int64(slot));
	for (uint32_t i = 0; i < c->n_budgets; i++) {
		if (!wv_enforcer_holds(e, slot, i))
			continue;
		json_object_array_add(names, json_object_new_string(c->budgets[i].name));
		wv_shares_tell(e, slot, i, &shares);
	}
	json_object_object_add(o, "budgets", names);
	if (shares)
		json_object_object_add(o, "shares", shares);
	json_object_object_add(o, "actions", json_object_new_array());
	return o;
}

void wv_outcome_add(struct json_object *outcome, struct json_object *action)
{
	json_object_array_add(json_object_object_get(outcome, "actions"), action);
}

static struct json_object *file_action(enum wv_item item, const char *path,
				       const struct wv_file_result *result, const char *reason)
{
	struct json_object *o = json_object_new_object();

	add_string(o, "item", wv_item_names[item]);
	add_string(o, "outcome", wv_outcome_names[result->outcome]);
	add_string(o, "file", path);
	add_string(o, "before", result->before);
	add_string(o, "after", result->after);
	add_string(o, "reason",
		   reason && reason[0] ? reason
		   : result->error     ? strerror(-result->error)
				       : NULL);
	return o;
}

static struct json_object *net_action(const struct wv_enforcer *e, const struct wv_want *want,
				      enum wv_outcome outcome, const char *reason)
{
	static const char *const texts[] = {
#define X(id, text, unit) [WV_LIMIT_##id] = text,
		WV_LIMITS(X)
#undef X
	};
	struct json_object *o = json_object_new_object(), *limits = json_object_new_object();

	add_string(o, "item", "network");
	add_string(o, "outcome", wv_outcome_names[outcome]);
	for (int i = 0; i < WV_LIMIT_N; i++)
		if (want->net[i] != WV_UNSET)
			json_object_object_add(limits, texts[i],
					       json_object_new_uint64(want->net[i]));
	json_object_object_add(o, "limits", limits);
	if (outcome == WV_OUTCOME_CHANGED || outcome == WV_OUTCOME_ALREADY)
		add_string(o, "mode",
			   e->net.pace ? "paced on devices with fq, else policed" : "policed");
	add_string(o, "reason", reason);
	return o;
}

void wv_outcome_send(struct wv_enforcer *e, struct json_object *outcome)
{
	if (!json_object_array_length(json_object_object_get(outcome, "actions"))) {
		json_object_put(outcome);
		return;
	}
	(void)e->agent->record(e->agent, "outcome", outcome);
}

/* Actions ---------------------------------------------------------------------------------------
 */

void wv_hold_applied(struct wv_enforcer *e, struct wv_hold *h)
{
	h->held = true;
	if (!e->first_applied_ns)
		e->first_applied_ns = e->agent->io->mono_ns(e->agent->io->ctx);
}

/* Why the network of this cgroup cannot be limited, or NULL. */
static const char *net_obstacle(const struct wv_enforcer *e, const struct wv_row *row)
{
	if (row->key & WV_KEY_V1)
		return "network limits need a cgroup of the v2 hierarchy";
	if (e->net_error)
		return e->net_reason;
	if (row->flags & WV_ROW_CUT)
		return "the cgroup's path is too long";
	return NULL;
}

static void hold_net(struct wv_enforcer *e, const struct wv_row *row, struct wv_hold *h,
		     const struct wv_want *want, struct json_object *outcome)
{
	const char *obstacle = net_obstacle(e, row);
	enum wv_outcome result;
	char reason[120] = "";
	int r;

	if (!wv_want_net(want)) {
		if (!h->net)
			return;
		r = wv_netlimit_release(&e->net, h->key);
		h->net = r < 0;
		if (r)
			wv_outcome_add(outcome,
				       net_action(e, want,
						  r < 0 ? WV_OUTCOME_FAILED : WV_OUTCOME_RESTORED,
						  r < 0 ? strerror(-r) : NULL));
		return;
	}
	if (obstacle) {
		wv_outcome_add(outcome, net_action(e, want, WV_OUTCOME_NOT_ENFORCED, obstacle));
		return;
	}
	r = wv_netlimit_apply(&e->net, h->key, row->path, want, reason, sizeof(reason));
	result = r < 0 ? WV_OUTCOME_FAILED : r ? WV_OUTCOME_CHANGED : WV_OUTCOME_ALREADY;
	wv_outcome_add(outcome, net_action(e, want, result, reason));
	h->net = true; /* also after a failure: some of its links may be in force and must go some
			  day */
	if (r >= 0)
		wv_hold_applied(e, h);
}

static int plan_files(struct wv_enforcer *e, uint32_t slot, const struct wv_row *row,
		      const struct wv_want *want)
{
	size_t n;

	if (e->room_files - e->n_files < WV_CGFILES_MAX) {
		size_t room = e->room_files ? e->room_files * 2 : 4 * WV_CGFILES_MAX;
		struct wv_cgfile *files = reallocarray(e->files, room, sizeof(*files));
		uint32_t *slots;

		if (!files)
			return -ENOMEM;
		e->files = files;
		slots = reallocarray(e->file_slots, room, sizeof(*slots));
		if (!slots)
			return -ENOMEM;
		e->file_slots = slots;
		e->room_files = room;
	}
	if (row->flags & WV_ROW_CUT)
		return 0;
	n = wv_cgroupfs_plan(e->agent->host, row->key, row->path, want, &e->files[e->n_files]);
	n += wv_shares_missing(e, slot, &e->files[e->n_files + n]);
	for (; n; n--)
		e->file_slots[e->n_files++] = slot;
	return 0;
}

static bool file_is_wanted(const struct wv_enforcer *e, const struct wv_journal_entry *entry)
{
	for (size_t i = 0; i < e->n_files; i++)
		if (e->files[i].key == entry->key && strcmp(e->files[i].path, entry->path) == 0 &&
		    strcmp(e->files[i].device, entry->device) == 0)
			return true;
	return false;
}

/* Puts back what no budget in force wants any more. Latest change first. */
static void revert_unwanted(struct wv_enforcer *e, struct json_object **outcomes)
{
	for (size_t i = e->journal.n_entries; i-- > 0;) {
		const struct wv_journal_entry entry = e->journal.entries[i];
		int slot = wv_cgroups_slot(e->agent->cgroups, entry.key);
		struct wv_file_result result;

		if (slot < 0 ? !e->sweep : !e->holds[slot].changed || file_is_wanted(e, &entry))
			continue;
		wv_journal_revert(&e->journal, i, &result);
		if (slot >= 0)
			wv_outcome_add(outcomes[slot],
				       file_action(entry.item, entry.path, &result, NULL));
	}
}

static void report_files(struct wv_enforcer *e, const struct wv_file_result *results,
			 struct json_object **outcomes, int journal_error)
{
	for (size_t i = 0; i < e->n_files; i++) {
		struct wv_hold *h = &e->holds[e->file_slots[i]];
		const struct wv_cgfile *f = &e->files[i];
		const struct wv_file_result *r = &results[i];
		const char *reason = f->reason;

		if (r->outcome == WV_OUTCOME_CHANGED || r->outcome == WV_OUTCOME_ALREADY) {
			wv_hold_applied(e, h);
			if (f->weaker)
				reason = "v1 soft limit: reclaimed first under pressure, not "
					 "slowed down";
		} else if (journal_error && r->outcome == WV_OUTCOME_FAILED) {
			reason = "the old value could not be made durable, so nothing was changed";
		}
		wv_outcome_add(outcomes[e->file_slots[i]],
			       file_action(f->item, f->path, r, reason));
	}
}

static int hold_files(struct wv_enforcer *e, struct json_object **outcomes)
{
	_cleanup_free_ struct wv_file_result *results = calloc(e->n_files + 1, sizeof(*results));
	int r;

	if (!results)
		return -ENOMEM;
	if (e->journal_error) {
		for (size_t i = 0; i < e->n_files; i++)
			results[i] = (struct wv_file_result){.outcome = WV_OUTCOME_FAILED,
							     .error = e->journal_error};
		report_files(e, results, outcomes, e->journal_error);
		return 0;
	}
	r = wv_journal_apply(&e->journal, e->files, e->n_files, results);
	for (size_t i = 0; i < e->n_files; i++)
		/* it may be an ancestor of a share, which was resolved before */
		e->agent->want_tick |= e->has_shares && results[i].outcome == WV_OUTCOME_CHANGED;
	report_files(e, results, outcomes, r);
	revert_unwanted(e, outcomes);
	if (e->journal.dirty) {
		int s = wv_journal_save(&e->journal);

		r = r ?: s;
	}
	return r;
}

/* The outcome of a slot goes out, or, for a repeated failure, away. */
static void finish_slot(struct wv_enforcer *e, uint32_t slot, struct json_object *outcome,
			int error)
{
	struct wv_hold *h = &e->holds[slot];
	bool again = h->retry;

	h->changed = h->retry = error < 0;
	if (error < 0 && again)
		json_object_put(outcome);
	else
		wv_outcome_send(e, outcome);
}

int wv_enforcer_reconcile(struct wv_enforcer *e)
{
	struct wv_sample *s = &e->agent->sample;
	_cleanup_free_ struct json_object **outcomes = NULL;
	bool any = e->sweep || e->journal.dirty;
	int r = 0, s_open;

	if (e->waiting)
		return 0;
	for (uint32_t slot = 0; slot < s->used_rows && !any; slot++)
		any = e->holds[slot].changed;
	if (!any)
		return wv_openfiles_tick(e);
	e->recount = true;
	outcomes = calloc(s->max_rows, sizeof(struct json_object *));
	if (!outcomes)
		return -ENOMEM;
	e->n_files = 0;
	wv_sample_for_each (s, slot, row) {
		struct wv_hold *h = &e->holds[slot];
		struct wv_want want;

		if (!h->changed || r < 0)
			continue;
		wv_enforcer_want(e, slot, &want);
		outcomes[slot] = wv_outcome_new(e, slot);
		h->held = false;
		hold_net(e, row, h, &want, outcomes[slot]);
		wv_openfiles_plan(e, slot, row, &want);
		r = plan_files(e, slot, row, &want);
	}
	if (r == 0)
		r = hold_files(e, outcomes);
	for (uint32_t slot = 0; slot < s->max_rows; slot++)
		if (outcomes[slot])
			finish_slot(e, slot, outcomes[slot], r);
	s_open = wv_openfiles_tick(e);
	e->sweep = false;
	return r ?: s_open;
}

/*
 * The kernel's counters start anew with a new storage (an upgrade of the programs); what was shown
 * before is added, so that a counter never goes back.
 */
void wv_enforcer_figures(struct wv_enforcer *e)
{
	static const enum wv_signal signals[] = {WV_SIG_LIMIT_EGRESS_DROPS,
						 WV_SIG_LIMIT_INGRESS_DROPS,
						 WV_SIG_LIMIT_CONNECTS_DENIED, WV_SIG_LIMIT_PACED};
	struct wv_sample *s = &e->agent->sample;

	_Static_assert(ARRAY_SIZE(signals) == ARRAY_SIZE(((struct wv_hold *)0)->base),
		       "one base each");
	wv_sample_for_each (s, slot, row) {
		struct wv_hold *h = &e->holds[slot];
		struct wv_limit_state state;
		uint64_t now[ARRAY_SIZE(signals)];

		if (!h->net || wv_netlimit_read(&e->net, h->key, &state) < 0)
			continue;
		now[0] = state.egress.drop_packets;
		now[1] = state.ingress.drop_packets;
		now[2] = state.denied;
		now[3] = state.paced_ns;
		for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
			uint64_t shown = row->f.v[signals[i]];

			if (row->flags & WV_ROW_BASE)
				shown -= s->base[slot].v[signals[i]];
			if (now[i] + h->base[i] < shown)
				h->base[i] = shown - now[i];
			wv_sample_set(s, slot, signals[i], now[i] + h->base[i]);
		}
	}
}
