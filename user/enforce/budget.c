// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module `budget`: budgets of the configuration on the cgroups of this machine. Evaluates
 * conditions, records each decision before it acts, and hands what is wanted to reconcile.c.
 */
#include <errno.h>
#include <fnmatch.h>
#include <json-c/json.h>
#include <string.h>

#include "waveos/limit.h"
#include "skel/limit.btf.skel.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/domain/domain.h"
#include "user/enforce/enforce.h"
#include "user/enforce/enforcer.h"
#include "user/recover/switch.h"

/* Pairs of budget and cgroup that are evaluated at most (72 bytes each, touched as they are used).
 */
#define MAX_PAIRS 65536
/* Samples further apart than this many ticks break a run of samples. */
#define GAP_TICKS 3
/* Decisions of one pass; what is over is decided in the next. */
#define MAX_DECISIONS 256

static struct wv_enforcer enforcer;

size_t wv_enforce_in_force(void)
{
	return enforcer.n_in_force;
}

uint64_t wv_enforce_first_applied_mono_ns(void)
{
	return enforcer.first_applied_ns;
}

/* A budget of a domain holds the domain's topmost cgroups, each for its subtree. */
static bool applies(const struct wv_enforcer *e, const struct wv_budget *b, uint32_t slot,
		    const struct wv_row *row)
{
	if (*b->domain)
		return wv_domain_of(e->agent, slot) == b->domain_index &&
		       wv_domain_root(e->agent, slot);
	return fnmatch(b->cgroup, row->path, 0) == 0;
}

void wv_enforce_mode_changed(uint32_t domain)
{
	struct wv_enforcer *e = &enforcer;

	for (uint32_t slot = 1; e->agent && slot < e->agent->sample.used_rows; slot++)
		if (wv_domain_of(e->agent, slot) == domain)
			e->holds[slot].changed = true;
}

/* Whether it belongs elsewhere than when it was matched. What held it there is let go by
 * reconcile.c. */
static bool moved(struct wv_enforcer *e, uint32_t slot, struct wv_hold *h)
{
	uint32_t domain;
	bool root;

	if (!e->agent->policy->n_domains)
		return false;
	domain = wv_domain_of(e->agent, slot);
	root = domain != WV_NONE && wv_domain_root(e->agent, slot);
	if (h->domain == domain && h->root == root)
		return false;
	h->domain = domain;
	h->root = root;
	return true;
}

/* The hold of a live row, matched against all budgets when its cgroup is new or is known for what
 * it is. */
static struct wv_hold *hold_of(struct wv_enforcer *e, uint32_t slot, const struct wv_row *row)
{
	const struct wv_policy *c = e->agent->policy;
	struct wv_hold *h = &e->holds[slot];
	uint64_t *words = &e->matches[slot * e->words_per_slot];
	bool same = h->known && h->key == row->key;

	if (same && !moved(e, slot, h))
		return h;
	h->changed |= same;
	if (h->key == row->key) { /* another policy: what is in force on it stays known */
		h->known = true;
		h->matched = false;
	} else {
		*h = (struct wv_hold){.key = row->key, .known = true};
	}
	(void)moved(e, slot, h);
	memset(words, 0, e->words_per_slot * sizeof(*words));
	for (size_t i = 0; i < c->n_budgets; i++) {
		if (!applies(e, &c->budgets[i], slot, row))
			continue;
		words[i / 64] |= 1ULL << i % 64;
		h->matched = true;
	}
	wv_shares_match(e, slot, row);
	return h;
}

/* Records a decision and notes it for the next agent; the hold is brought up to it by reconcile.c.
 */
static void take_decision(struct wv_enforcer *e, struct wv_decision *d)
{
	d->dry_run = e->dry_run || !wv_recover_armed(e->agent);
	wv_record_decision(e, d);
	e->holds[d->slot].changed = true;
	if (!e->dry_run && !e->journal_error)
		(void)wv_journal_set_force(&e->journal, e->agent->policy->budgets[d->budget].name,
					   d->key, d->verdict == WV_VERDICT_APPLY);
}

/* Evaluates all budgets on one row; decisions go to the record, changes are marked. */
static void evaluate_row(struct wv_enforcer *e, uint32_t slot, const struct wv_row *row,
			 uint64_t now_ns)
{
	const struct wv_policy *c = e->agent->policy;
	struct wv_hold *h = hold_of(e, slot, row);
	uint64_t buf[WV_SIG_N];
	const uint64_t *own;
	struct wv_decision d;

	if (!h->matched)
		return;
	own = wv_sample_own(&e->agent->sample, slot, buf);
	for (uint32_t i = 0; i < c->n_budgets; i++) {
		if (!wv_enforcer_matches(e, slot, i) ||
		    wv_eval_step(&e->eval, i, slot, row->key, now_ns, own, &d) == WV_VERDICT_NONE)
			continue;
		take_decision(e, &d);
	}
}

static void say_overflow(struct wv_enforcer *e)
{
	struct json_object *o;

	if (e->eval.overflow == e->overflow_said)
		return;
	if (!e->overflow_said)
		(void)wv_log_warn(0, "budget",
				  "more than %d pairs of budget and cgroup: the rest is not held",
				  MAX_PAIRS);
	e->overflow_said = e->eval.overflow;
	o = json_object_new_object();
	json_object_object_add(o, "steps", json_object_new_uint64(e->eval.overflow));
	(void)e->agent->record(e->agent, "budget-overflow", o);
}

/* Budgets that are in force on a cgroup where something is enforced. */
static void count_in_force(struct wv_enforcer *e)
{
	_cleanup_free_ uint64_t *seen = NULL;

	if (!e->recount)
		return;
	seen = calloc(e->words_per_slot, sizeof(*seen));
	e->recount = !seen;
	e->n_in_force = 0;
	for (size_t i = 0; seen && i < e->eval.capacity; i++) {
		const struct wv_eval_state *s = &e->eval.states[i];

		if (s->used && s->in_force && e->holds[s->slot].held &&
		    e->holds[s->slot].key == s->key)
			seen[s->budget / 64] |= 1ULL << s->budget % 64;
	}
	for (size_t i = 0; seen && i < e->words_per_slot; i++)
		e->n_in_force += (size_t)__builtin_popcountll(seen[i]);
}

static int pass(struct wv_enforcer *e)
{
	struct wv_agent *agent = e->agent;
	int r;

	wv_shares_refresh(e);
	wv_sample_for_each (&agent->sample, slot, row) {
		if (slot != WV_SLOT_OTHER && !(row->flags & WV_ROW_GONE))
			evaluate_row(e, slot, row, agent->sample.mono_ns);
	}
	say_overflow(e);
	r = e->dry_run ? 0 : wv_enforcer_reconcile(e);
	return r;
}

/*
 * Conditional budgets that a former agent left in force stay so until their condition clears. Those
 * without a condition are decided anew by a new run, once: not by another process of the same run.
 */
static void restore_force(struct wv_enforcer *e)
{
	const struct wv_policy *c = e->agent->policy;
	bool same_run = strcmp(e->journal.run_id, e->agent->run_id) == 0;

	for (size_t i = e->journal.n_force; i-- > 0;) {
		const struct wv_journal_force f = e->journal.force[i];
		int slot = wv_cgroups_slot(e->agent->cgroups, f.key);
		struct wv_row *row =
			slot > 0 ? wv_sample_row(&e->agent->sample, (uint32_t)slot) : NULL;
		bool taken = false;

		for (uint32_t b = 0; row && b < c->n_budgets && !taken; b++) {
			if (strcmp(c->budgets[b].name, f.budget) != 0 ||
			    (c->budgets[b].when.signal < 0 && !same_run))
				continue;
			hold_of(e, (uint32_t)slot, row)->changed = true;
			taken = wv_enforcer_matches(e, (uint32_t)slot, b) &&
				wv_eval_restore(&e->eval, b, (uint32_t)slot, f.key) == 0;
		}
		if (!taken) /* the budget or the cgroup is no more */
			(void)wv_journal_set_force(&e->journal, f.budget, f.key, false);
	}
	snprintf(e->journal.run_id, sizeof(e->journal.run_id), "%s", e->agent->run_id);
}

static int mark_pin(void *ctx, uint64_t key, enum wv_hook hook _unused_)
{
	struct wv_enforcer *e = ctx;
	int slot = wv_cgroups_slot(e->agent->cgroups, key);
	struct wv_row *row = slot > 0 ? wv_sample_row(&e->agent->sample, (uint32_t)slot) : NULL;

	if (row) {
		struct wv_hold *h = hold_of(e, (uint32_t)slot, row);

		h->net = h->changed = e->adopted = true;
		return 0;
	}
	(void)wv_netlimit_release(&e->net, key); /* of a cgroup that is gone */
	return 0;
}

static void look_at(struct wv_enforcer *e, uint64_t key)
{
	int slot = wv_cgroups_slot(e->agent->cgroups, key);
	struct wv_row *row = slot > 0 ? wv_sample_row(&e->agent->sample, (uint32_t)slot) : NULL;

	if (row)
		hold_of(e, (uint32_t)slot, row)->changed = true;
}

/* What a former agent left: intents are resolved by the journal, everything else is looked at once.
 */
static void adopt(struct wv_enforcer *e)
{
	if (!e->net_error)
		(void)wv_netlimit_each(e->agent->paths, mark_pin, e);
	if (e->journal_error)
		return;
	e->adopted |= e->journal.n_entries || e->journal.n_force;
	restore_force(e);
	for (size_t i = 0; i < e->journal.n_entries; i++)
		look_at(e, e->journal.entries[i].key);
	for (size_t i = 0; i < e->open_files.n_caps; i++)
		look_at(e, e->open_files.caps[i].key);
	e->sweep = true;
}

static int open_parts(struct wv_enforcer *e)
{
	struct wv_agent *agent = e->agent;

	e->net_error = wv_netlimit_init(&e->net, agent->bpf, agent->paths, agent->host);
	if (e->net_error) {
		snprintf(e->net_reason, sizeof(e->net_reason), "%.150s",
			 agent->host->cgroup2[0] ? wv_bpf_reason(agent->bpf, "limit")
						 : "no cgroup v2 hierarchy is mounted");
	} else {
		e->n_pacers = wv_pacers_refresh(&e->net, NULL, 0);
	}
	e->journal_error =
		wv_journal_open(&e->journal, agent->io, agent->paths->state, agent->host->boot_id);
	if (e->journal_error)
		(void)wv_log_errno(e->journal_error, "budget",
				   "journal below %s/" WV_JOURNAL_DIR
				   ": cgroup files will not be changed",
				   agent->paths->state);
	wv_openfiles_start(e);
	return 0;
}

/*
 * Budgets without a condition hold before the first sample. The first cgroup does not wait for the
 * records of all others, unless a former agent left something in force: that must not be looked at
 * before all is decided.
 */
static void apply_unconditional(struct wv_enforcer *e, uint64_t now_ns)
{
	const struct wv_policy *c = e->agent->policy;
	struct wv_decision d;

	wv_sample_for_each (&e->agent->sample, slot, row) {
		struct wv_hold *h = NULL;

		if (slot != WV_SLOT_OTHER && !(row->flags & WV_ROW_GONE))
			h = hold_of(e, slot, row);

		for (uint32_t i = 0; h && h->matched && i < c->n_budgets; i++) {
			if (!wv_enforcer_matches(e, slot, i) || c->budgets[i].when.signal >= 0 ||
			    wv_eval_step(&e->eval, i, slot, row->key, now_ns, row->f.v, &d) ==
				    WV_VERDICT_NONE)
				continue;
			take_decision(e, &d);
		}
		if (h && h->changed && !e->adopted && !e->first_applied_ns)
			(void)wv_enforcer_reconcile(e);
	}
}

/* Room for the policy's budgets, none of them in force. */
static int take_budgets(struct wv_enforcer *e)
{
	const struct wv_policy *p = e->agent->policy;
	size_t pairs = p->n_budgets * e->agent->sample.max_rows;
	uint64_t *matches;

	e->words_per_slot = (p->n_budgets + 63) / 64 ?: 1;
	matches = calloc(e->agent->sample.max_rows * e->words_per_slot, sizeof(*matches));
	if (!matches)
		return -ENOMEM;
	free(e->matches);
	e->matches = matches;
	wv_eval_done(&e->eval);
	return wv_eval_init(&e->eval, p->budgets, p->n_budgets,
			    pairs < MAX_PAIRS ? pairs : MAX_PAIRS,
			    GAP_TICKS * e->agent->config->agent_tick);
}

/*
 * Another policy. Budgets that it has too, by name, stay in force where they were; what the old one
 * held and the new one does not is released in the pass that follows, and nothing in between.
 */
static int policy_changed(struct wv_agent *agent)
{
	struct wv_enforcer *e = &enforcer;
	int r = take_budgets(e);

	if (r < 0)
		return r;
	for (uint32_t slot = 0; slot < agent->sample.max_rows; slot++)
		e->holds[slot].known = false;
	if (!e->dry_run && !e->journal_error)
		restore_force(e);
	wv_sample_for_each (&agent->sample, slot, row) {
		if (slot != WV_SLOT_OTHER && !(row->flags & WV_ROW_GONE))
			hold_of(e, slot, row)->changed = true;
	}
	if (e->dry_run)
		return 0;
	apply_unconditional(e, agent->io->mono_ns(agent->io->ctx));
	e->sweep = true;
	return wv_enforcer_reconcile(e);
}

static int start(struct wv_agent *agent)
{
	struct wv_enforcer *e = &enforcer;
	const struct wv_config *c = agent->config;
	int r;

	*e = (struct wv_enforcer){
		.agent = agent, .journal = {.dir = -1}, .open_files = {.dir = -1}};
	e->dry_run = agent->dry_run || !c->enforce_enabled;
	e->holds = calloc(agent->sample.max_rows, sizeof(*e->holds));
	if (!e->holds)
		return -ENOMEM;
	r = take_budgets(e);
	if (r < 0 || e->dry_run) /* nothing of a former agent is touched either */
		return r;
	r = open_parts(e);
	if (r < 0)
		return r;
	e->released = wv_recover_released(agent);
	e->waiting = !wv_recover_armed(agent) && !e->released;
	e->throttles_seen = wv_throttle_changes();
	adopt(e);
	if (wv_throttle_any())
		wv_sample_for_each (&agent->sample, slot, row)
			if (wv_throttle_of(row->key) != WV_UNSET)
				hold_of(e, slot, row)->changed = true;
	apply_unconditional(e, agent->io->mono_ns(agent->io->ctx));
	wv_enforcer_unmatched(e);
	r = wv_enforcer_reconcile(e);
	if (r < 0)
		(void)wv_log_warn(r, "budget", "apply");
	count_in_force(e);
	return 0;
}

static int sense(struct wv_agent *agent _unused_)
{
	if (!enforcer.dry_run)
		wv_enforcer_figures(&enforcer);
	return 0;
}

/* Where pacing became possible or impossible, every limit has to know. */
static void refresh_pacers(struct wv_enforcer *e)
{
	bool paced = e->net.pace;

	e->n_pacers = wv_pacers_refresh(&e->net, NULL, 0);
	if (e->net.pace == paced)
		return;
	wv_log_info("budget", "egress limits: %s",
		    e->net.pace ? "paced where a device has fq" : "policed");
	for (uint32_t slot = 0; slot < e->agent->sample.used_rows; slot++)
		e->holds[slot].changed |= e->holds[slot].net;
}

/* Looks at all cgroups anew: the kill switch was thrown, or recovery throttles another one. */
static void look_around(struct wv_enforcer *e)
{
	bool released = wv_recover_released(e->agent);
	bool waiting = !wv_recover_armed(e->agent) && !released;
	uint64_t throttles = wv_throttle_changes();

	if (e->dry_run ||
	    (released == e->released && waiting == e->waiting && throttles == e->throttles_seen))
		return;
	e->released = released;
	e->waiting = waiting;
	e->throttles_seen = throttles;
	wv_sample_for_each (&e->agent->sample, slot, row) {
		if (slot != WV_SLOT_OTHER && !(row->flags & WV_ROW_GONE))
			hold_of(e, slot, row)->changed = true;
	}
}

int wv_enforce_error(void)
{
	const struct wv_enforcer *e = &enforcer;

	if (!e->agent || e->dry_run || (!e->agent->policy->n_budgets && !wv_throttle_any()))
		return 0;
	if (e->journal_error)
		return e->journal_error;
	for (uint32_t slot = 0; slot < e->agent->sample.used_rows; slot++)
		if (e->holds[slot].retry)
			return -EIO;
	return 0;
}

static int decide(struct wv_agent *agent)
{
	struct wv_enforcer *e = &enforcer;
	bool any_net = false;
	int r;

	look_around(e);
	for (uint32_t slot = 0; slot < agent->sample.used_rows && !any_net; slot++)
		any_net = e->holds[slot].changed;
	if (!agent->policy->n_budgets && !e->sweep && !any_net)
		return 0;
	any_net = false;
	for (uint32_t slot = 0; slot < agent->sample.used_rows && !any_net; slot++)
		any_net = e->holds[slot].net;
	if (any_net && !e->net_error)
		refresh_pacers(e);
	r = pass(e);
	if (!e->dry_run)
		count_in_force(e);
	return r;
}

/* A new cgroup is held at once, not at the next tick. */
static void on_event(struct wv_agent *agent, const struct wv_event *event)
{
	struct wv_enforcer *e = &enforcer;
	struct wv_row *row;
	int slot;

	if (event->type == WV_EV_LIMIT_TRIP) {
		wv_enforcer_trip(agent, event);
		return;
	}
	if (!agent->policy->n_budgets)
		return;
	slot = wv_cgroups_slot(agent->cgroups, event->key);
	row = slot > 0 ? wv_sample_row(&agent->sample, (uint32_t)slot) : NULL;
	if (!row || !hold_of(e, (uint32_t)slot, row)->matched)
		return;
	agent->want_tick = true;
}

static void slot_gone(struct wv_agent *agent, uint32_t slot)
{
	struct wv_enforcer *e = &enforcer;
	struct wv_hold *h = &e->holds[slot];

	wv_eval_forget(&e->eval, slot);
	e->recount = true;
	if (h->known)
		wv_throttle_forget(h->key);
	if (!h->known)
		return;
	if (!e->dry_run) {
		if (h->net)
			(void)wv_netlimit_release(&e->net, h->key);
		wv_openfiles_forget(&e->open_files, h->key);
		for (size_t i = 0; !e->journal_error && i < agent->policy->n_budgets; i++)
			(void)wv_journal_set_force(&e->journal, agent->policy->budgets[i].name,
						   h->key, false);
		for (size_t i = e->journal.n_entries; i-- > 0;) {
			struct wv_file_result result;

			if (e->journal.entries[i].key == h->key)
				wv_journal_revert(&e->journal, i, &result); /* finds it gone */
		}
	}
	*h = (struct wv_hold){0};
}

static void stop(struct wv_agent *agent _unused_)
{
	struct wv_enforcer *e = &enforcer;

	if (!e->dry_run && !e->journal_error) {
		if (e->journal.dirty)
			(void)wv_journal_save(&e->journal);
		wv_journal_close(&e->journal);
	}
	wv_openfiles_close(&e->open_files);
	wv_eval_done(&e->eval);
	free(e->holds);
	free(e->matches);
	free(e->files);
	free(e->file_slots);
	*e = (struct wv_enforcer){0};
}

static const void *elf(size_t *size)
{
	return limit_btf__elf_bytes(size);
}

static int configure(struct bpf_object *obj, const struct wv_host *host _unused_,
		     const struct wv_config *config)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj, "limit_rates");

	if (!map)
		return -ENOENT;
	return bpf_map__set_max_entries(map, (__u32)config->collect_max_cgroups);
}

static const struct wv_object object = {
	.early = true,
	.name = "limit",
	.elf_btf = elf, /* no tracepoints: one build for every kernel */
	.configure = configure,
};

const struct wv_module wv_module_budget = {
	.early = true,
	.name = "budget",
	.summary =
		"budgets of cgroups: limits through cgroup files and in the kernel's network path",
	.object = &object,
	.probe = wv_enforce_probe,
	.start = start,
	.sense = sense,
	.decide = decide,
	.event = on_event,
	.events = 1u << WV_EV_CGROUP_NEW | 1u << WV_EV_LIMIT_TRIP,
	.policy_changed = policy_changed,
	.slot_gone = slot_gone,
	.stop = stop,
};
