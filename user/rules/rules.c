// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module `rules`: runs the engine on every sample and does what it decided. Each decision is on
 * disk before anything is done about it; breakers that are open are on disk before, too, so that
 * whoever comes after a crash goes on from there.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cgroup.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/domain/domain.h"
#include "user/domain/pods.h"
#include "user/evidence/pack_due.h"
#include "user/enforce/enforce.h"
#include "user/policy/policy.h"
#include "user/policy/program.h"
#include "user/recover/recover.h"
#include "user/recover/switch.h"
#include "user/rules/figures.h"
#include "user/rules/modes.h"
#include "user/rules/rules.h"
#include "user/rules/store.h"

/* Samples further apart than this many ticks break a continuous observation. */
#define GAP_TICKS 3
/* Comparisons of a condition that a record shows. */
#define TERMS_MAX 12
/* Breakers in one record of what was taken over: some 20 KB. */
#define ADOPTED_A_RECORD 100

static struct {
	struct wv_agent *agent;
	struct wv_engine *engine;  /* NULL: the policy has no rules */
	bool armed;		   /* at the last tick; what is open then has been acted on */
	struct wv_domains domains; /* the engine's own: it must not depend on when others ask */
} rules;

static const char *const severities[] = {"info", "warning", "critical"};

/* What the runtime told is recorded: a replay on another machine has no runtime to ask. */
static int read_pod(void *ctx, uint64_t key, const struct wv_identity *id, struct wv_pod_info *ret)
{
	struct wv_agent *agent = ctx;
	struct json_object *o;
	int r = wv_pods_read(agent->paths->root, id, ret);

	if (r < 0)
		return r;
	o = json_object_new_object();
	json_object_object_add(o, "tick", json_object_new_uint64(agent->sample.seq));
	json_object_object_add(o, "cgroup_key", json_object_new_uint64(key));
	json_object_object_add(o, "namespace", json_object_new_string(ret->namespace));
	json_object_object_add(o, "pod", json_object_new_string(ret->pod));
	json_object_object_add(o, "container", json_object_new_string(ret->container));
	json_object_object_add(o, "labels", json_object_new_string(ret->labels));
	if (*ret->owner)
		json_object_object_add(o, "owner", json_object_new_string(ret->owner));
	(void)agent->record(agent, "pod", o);
	return 0;
}

static int find_slot(void *ctx, uint64_t key)
{
	const struct wv_agent *agent = ctx;

	return wv_cgroups_slot(agent->cgroups, key);
}

/* Records ---------------------------------------------------------------------------------------
 */

static struct json_object *terms_json(const struct wv_rule_decision *d)
{
	const struct wv_program_set *set = rules.agent->policy->programs;
	struct json_object *list = json_object_new_array();
	struct wv_term terms[TERMS_MAX];
	unsigned n = wv_engine_explain(rules.engine, d, terms, TERMS_MAX);
	char text[160];

	for (unsigned i = 0; i < n; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "comparison",
				       json_object_new_string(wv_program_text(set, terms[i].op,
									      text, sizeof(text))));
		if (terms[i].known) {
			/* json-c prints 17 digits: the same bits when read back */
			json_object_object_add(o, "left", json_object_new_double(terms[i].left));
			json_object_object_add(o, "right", json_object_new_double(terms[i].right));
			json_object_object_add(o, "holds", json_object_new_boolean(terms[i].holds));
		} else {
			json_object_object_add(o, "holds", NULL);
		}
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *decision_json(const struct wv_rule_decision *d)
{
	const struct wv_policy *p = rules.agent->policy;
	const struct wv_rule *rule = &p->rules[d->rule];
	struct wv_row *row = wv_sample_row(&rules.agent->sample, d->slot);
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "rule", json_object_new_string(rule->name));
	json_object_object_add(o, "rule_file", json_object_new_string(p->source));
	json_object_object_add(o, "rule_line", json_object_new_int64(rule->line));
	json_object_object_add(o, "domain", json_object_new_string(rule->domain));
	json_object_object_add(o, "cgroup", json_object_new_string(row ? row->path : ""));
	json_object_object_add(o, "cgroup_key", json_object_new_uint64(d->key));
	json_object_object_add(o, "slot", json_object_new_int64(d->slot));
	json_object_object_add(o, "verdict", json_object_new_string(wv_rule_state_names[d->to]));
	json_object_object_add(o, "from", json_object_new_string(wv_rule_state_names[d->from]));
	if (d->withheld)
		json_object_object_add(o, "withheld",
				       json_object_new_string(wv_withheld_names[d->withheld]));
	json_object_object_add(
		o, "dry_run",
		json_object_new_boolean(rules.agent->dry_run || !wv_recover_armed(rules.agent)));
	json_object_object_add(o, "tick", json_object_new_uint64(d->tick));
	json_object_object_add(o, "sample_mono_ns", json_object_new_uint64(d->mono_ns));
	json_object_object_add(o, "since_mono_ns", json_object_new_uint64(d->since_ns));
	json_object_object_add(o, "severity", json_object_new_string(severities[rule->severity]));
	json_object_object_add(o, "condition",
			       json_object_new_string(d->to == WV_RULE_OPEN || !*rule->clear
							      ? rule->condition
							      : rule->clear));
	json_object_object_add(o, "inputs", terms_json(d));
	return o;
}

static void alert(const struct wv_rule_decision *d, const char *what)
{
	const struct wv_rule *rule = &rules.agent->policy->rules[d->rule];
	struct wv_row *row = wv_sample_row(&rules.agent->sample, d->slot);
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "rule", json_object_new_string(rule->name));
	json_object_object_add(o, "what", json_object_new_string(what));
	json_object_object_add(o, "domain", json_object_new_string(rule->domain));
	json_object_object_add(o, "cgroup", json_object_new_string(row ? row->path : ""));
	json_object_object_add(o, "severity", json_object_new_string(severities[rule->severity]));
	json_object_object_add(o, "route", json_object_new_string(rule->route));
	(void)rules.agent->record(rules.agent, "alert", o);
}

/* Acting ----------------------------------------------------------------------------------------
 */

static bool may_act(const struct wv_agent *agent)
{
	return !agent->dry_run && agent->config->enforce_enabled && wv_recover_armed(agent);
}

/* What a rule does beyond modes, which follow from all rules together. */
static void act(const struct wv_rule_decision *d, struct json_object *cause)
{
	const struct wv_rule *rule = &rules.agent->policy->rules[d->rule];

	for (size_t i = 0; i < rule->actions.n; i++) {
		const struct wv_step *step = &rule->actions.list[i];

		if (step->act == WV_ACT_ALERT)
			alert(d, "tripped");
		else if (step->act == WV_ACT_MODE || !may_act(rules.agent))
			continue;
		else if (step->act == WV_ACT_RECOVER)
			(void)wv_recover_start(rules.agent, d->slot, step->index,
					       json_object_get(cause));
		else
			(void)wv_recover_act(rules.agent, d->slot, step, json_object_get(cause));
	}
}

/* Whether any rule that does more than switch modes still acts on the slot. */
static bool is_acted_on(uint32_t slot)
{
	const struct wv_policy *p = rules.agent->policy;

	for (uint32_t i = 0; i < p->n_rules; i++) {
		const struct wv_steps *steps = &p->rules[i].actions;

		for (size_t k = 0; k < steps->n; k++)
			if (steps->list[k].act != WV_ACT_ALERT &&
			    steps->list[k].act != WV_ACT_MODE &&
			    wv_engine_acting(rules.engine, i, slot))
				return true;
	}
	return false;
}

/* Evidence of the incident is made when its window is over, also by a later core (pack_due.h). */
static void ask_pack(const struct wv_rule_decision *d)
{
	struct wv_agent *agent = rules.agent;
	const struct wv_rule *rule = &agent->policy->rules[d->rule];
	struct wv_row *row = wv_sample_row(&agent->sample, d->slot);
	struct wv_pack_due due = {.before_ns = rule->pack_before_ns,
				  .after_ns = rule->pack_after_ns,
				  .at_mono_ns = agent->io->mono_ns(agent->io->ctx)};
	int r;

	if (!rule->pack)
		return;
	snprintf(due.boot_id, sizeof(due.boot_id), "%s", agent->host->boot_id);
	snprintf(due.rule, sizeof(due.rule), "%s", rule->name);
	snprintf(due.cgroup, sizeof(due.cgroup), "%s", row ? row->path : "");
	r = wv_pack_due_add(agent->io, agent->paths->state, &due);
	if (r < 0 && r != -EEXIST)
		(void)wv_log_warn(r, "rules", "ask for an evidence pack of rule '%s'", rule->name);
}

static void follow(const struct wv_rule_decision *d, struct json_object *cause)
{
	if (d->to == WV_RULE_OPEN)
		ask_pack(d);
	if (d->to == WV_RULE_OPEN && d->withheld)
		alert(d, wv_withheld_names[d->withheld]);
	else if (d->to == WV_RULE_OPEN)
		act(d, cause);
	else if (!is_acted_on(d->slot))
		wv_recover_well(rules.agent, d->slot);
}

/* All decisions of a tick are on disk, by one sync, before the first is acted on. */
static int follow_all(struct wv_agent *agent, const struct wv_rule_decision *list, size_t n)
{
	_cleanup_free_ struct json_object **causes = calloc(n, sizeof(struct json_object *));
	int r = 0;

	if (!causes)
		return -ENOMEM;
	agent->batch = true;
	for (size_t i = 0; i < n; i++) {
		causes[i] = decision_json(&list[i]);
		r = agent->record(agent, "decision", json_object_get(causes[i]));
	}
	agent->batch = false;
	r = r ?: agent->sync(agent);
	if (r < 0) /* a full disk must not keep a machine from being held */
		(void)wv_log_full(LOG_DEBUG, r, "rules", "record of a decision");
	for (size_t i = 0; i < n; i++) {
		follow(&list[i], causes[i]);
		json_object_put(causes[i]);
	}
	return 0;
}

static void switch_mode(struct wv_agent *agent, uint32_t domain, uint32_t mode)
{
	const struct wv_policy *p = agent->policy;
	struct json_object *o = json_object_new_object();
	int r;

	json_object_object_add(o, "domain", json_object_new_string(p->domains[domain].name));
	json_object_object_add(o, "from",
			       json_object_new_string(p->modes[wv_domain_mode(domain)].name));
	json_object_object_add(o, "to", json_object_new_string(p->modes[mode].name));
	(void)agent->record(agent, "mode", o);
	wv_domain_set_mode(domain, mode);
	wv_enforce_mode_changed(domain);
	r = wv_modes_write(agent->io, agent->paths->runtime, p, domain, mode);
	if (r < 0)
		(void)wv_log_warn(r, "rules", "mode of domain '%s' for applications",
				  p->domains[domain].name);
}

/* The most severe that an acting rule or a chain asks for. */
static uint32_t wanted_mode(const struct wv_agent *agent, uint32_t domain)
{
	uint32_t rule = rules.engine ? wv_engine_mode(rules.engine, domain) : 0;
	uint32_t chain = wv_recover_mode(agent->policy, domain);

	return chain > rule ? chain : rule;
}

/* Modes follow from what acts, so they need no memory of their own; while the agent may not act
 * they stay as they are. */
static void follow_modes(struct wv_agent *agent)
{
	if (!may_act(agent) || !agent->policy->features[WV_FEATURE_MODES])
		return;
	for (uint32_t d = 0; d < agent->policy->n_domains; d++) {
		uint32_t mode = wanted_mode(agent, d);

		if (mode != wv_domain_mode(d))
			switch_mode(agent, d, mode);
	}
}

/* Open breakers are on disk before anything is done about them. */
static void save(struct wv_agent *agent)
{
	struct json_object *o =
		wv_rules_states_json(rules.engine, agent->policy, agent->host->boot_id);
	int r = wv_rules_save(agent->io, agent->paths->state, o);

	json_object_put(o);
	if (r < 0)
		(void)wv_log_warn(r, "rules", "keep open breakers in %s", agent->paths->state);
}

/* The kill switch was lifted: what open rules would have done meanwhile is done now. */
static void catch_up(struct wv_agent *agent)
{
	for (uint32_t i = 0; i < agent->policy->n_rules; i++)
		for (uint32_t slot = 1; slot < agent->sample.used_rows; slot++) {
			const struct wv_row *row = &agent->sample.rows[slot];
			const struct wv_rule_decision d = {
				.rule = i,
				.slot = slot,
				.key = row->key,
				.from = WV_RULE_OPEN,
				.to = WV_RULE_OPEN,
				.tick = agent->sample.seq,
				.mono_ns = agent->sample.mono_ns,
			};
			struct json_object *cause;

			if (!wv_engine_acting(rules.engine, i, slot))
				continue;
			cause = decision_json(&d);
			act(&d, cause);
			json_object_put(cause);
		}
}

static int decide(struct wv_agent *agent)
{
	const struct wv_rule_decision *list = NULL;
	size_t n = 0;
	int r = 0;

	if (rules.engine)
		n = wv_engine_tick(rules.engine, &agent->sample, &rules.domains, &list);
	if (rules.engine && may_act(agent) && !rules.armed)
		catch_up(agent);
	rules.armed = may_act(agent);
	if (n) {
		save(agent);
		r = follow_all(agent, list, n);
	}
	follow_modes(agent);
	wv_rules_figures_tick(agent, rules.engine, list, n);
	return r;
}

uint32_t wv_rules_open(void)
{
	return rules.engine ? wv_engine_open(rules.engine) : 0;
}

/* Start and reload ------------------------------------------------------------------------------
 */

/* In parts: a record has a largest size. */
static void record_adopted(struct wv_agent *agent, struct json_object *states)
{
	struct json_object *list = json_object_object_get(states, "states"), *part, *o;
	size_t n = json_object_array_length(list), i = 0;

	do {
		o = json_object_new_object();
		part = json_object_new_array();
		json_object_object_add(o, "boot",
				       json_object_get(json_object_object_get(states, "boot")));
		if (i == 0)
			json_object_object_add(
				o, "budgets",
				json_object_get(json_object_object_get(states, "budgets")));
		for (; i < n && json_object_array_length(part) < ADOPTED_A_RECORD; i++)
			json_object_array_add(part,
					      json_object_get(json_object_array_get_idx(list, i)));
		json_object_object_add(o, "states", part);
		(void)agent->record(agent, "rules-adopted", o);
	} while (i < n);
}

/* What an agent before this one left open goes on; it is recorded, as a replay starts from it, too.
 */
static void take_over(struct wv_agent *agent, struct json_object *states)
{
	size_t n;

	if (!states)
		return;
	n = wv_rules_states_put(rules.engine, agent->policy, states, agent->host->boot_id,
				find_slot, agent);
	if (n)
		record_adopted(agent, states);
	json_object_put(states);
}

static int make_engine(struct wv_agent *agent, struct json_object *states)
{
	struct wv_engine *engine = NULL;
	int r = 0;

	if (agent->policy->n_rules)
		r = wv_engine_new(&engine, agent->policy, agent->sample.max_rows,
				  GAP_TICKS * agent->config->agent_tick);
	if (r < 0) {
		json_object_put(states);
		return r;
	}
	wv_engine_free(rules.engine);
	rules.engine = engine;
	wv_domains_set_policy(&rules.domains, agent->policy);
	if (engine)
		take_over(agent, states);
	else
		json_object_put(states);
	return 0;
}

/*
 * At the start and after a reload: domains are in the modes that open breakers want before budgets
 * are looked at, so nothing that a mode holds is let go in between.
 */
static void take_modes(struct wv_agent *agent)
{
	wv_rules_figures_policy(agent);
	if (agent->dry_run)
		return;
	wv_modes_tidy(agent->io, agent->paths->runtime, agent->policy);
	for (uint32_t d = 0; d < agent->policy->n_domains; d++) {
		if (may_act(agent) && agent->policy->features[WV_FEATURE_MODES])
			wv_domain_set_mode(d, wanted_mode(agent, d));
		(void)wv_modes_write(agent->io, agent->paths->runtime, agent->policy, d,
				     wv_domain_mode(d));
	}
}

static int policy_changed(struct wv_agent *agent)
{
	struct json_object *states = NULL;
	int r;

	/* rules of the same name go on where they are */
	if (rules.engine)
		states = wv_rules_load(agent->io, agent->paths->state);
	r = make_engine(agent, states);
	take_modes(agent);
	return r;
}

static int start(struct wv_agent *agent)
{
	int r = wv_domains_init(&rules.domains, agent->sample.max_rows);

	rules.agent = agent;
	rules.domains.pod = read_pod;
	rules.domains.ctx = agent;
	rules.armed = may_act(agent);
	if (r == 0)
		r = make_engine(agent, wv_rules_load(agent->io, agent->paths->state));
	if (r == 0)
		take_modes(agent);
	return r;
}

static int probe(const struct wv_host *host _unused_, const struct wv_bpf *bpf _unused_,
		 struct wv_capabilities *caps)
{
	return wv_capability_add(caps, "rules", "rules and modes", WV_CAP_OK, "samples", NULL);
}

static void stop(struct wv_agent *agent _unused_)
{
	wv_engine_free(rules.engine);
	rules.engine = NULL;
	wv_domains_done(&rules.domains);
}

const struct wv_module wv_module_rules = {
	.name = "rules",
	.summary = "rules of the policy on the signals of each cgroup; modes of domains",
	.probe = probe,
	.start = start,
	.decide = decide,
	.policy_changed = policy_changed,
	.stop = stop,
};
