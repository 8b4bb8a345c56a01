// SPDX-License-Identifier: GPL-2.0-only
#include "user/policy/lint.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "user/flow/budget.h"
#include "user/policy/policy.h"
#include "user/policy/range.h"
#include "user/policy/scope.h"

struct lint {
	const struct wv_policy *p;
	wv_lint_fn say;
	void *ctx;
};

static void say(const struct lint *l, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void say(const struct lint *l, unsigned line, const char *format, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	l->say(l->ctx, line, text);
}

static bool same_strings(const struct wv_strings *a, const struct wv_strings *b)
{
	for (size_t i = 0; i < a->n && i < b->n; i++)
		if (strcmp(a->list[i], b->list[i]) != 0)
			return false;
	return a->n == b->n;
}

static bool same_scope(const struct wv_scope *a, const struct wv_scope *b)
{
	return strcmp(a->cgroup, b->cgroup) == 0 && strcmp(a->unit, b->unit) == 0 &&
	       strcmp(a->namespace, b->namespace) == 0 && strcmp(a->pod, b->pod) == 0 &&
	       strcmp(a->container, b->container) == 0 && same_strings(&a->labels, &b->labels);
}

/* Of equal scopes the first wins everywhere. */
static void lint_domains(const struct lint *l)
{
	const struct wv_policy *p = l->p;

	for (size_t i = 0; i < p->n_domains; i++)
		for (size_t k = 0; k < i; k++)
			if (same_scope(&p->domains[i].scope, &p->domains[k].scope)) {
				say(l, p->domains[i].line,
				    "domain '%s' is never used: '%s' before it has the same scope",
				    p->domains[i].name, p->domains[k].name);
				break;
			}
}

static void lint_condition(const struct lint *l, const struct wv_rule *r)
{
	struct wv_expr_error ignored;
	struct wv_range_verdict v;
	struct wv_expr e;

	if (wv_expr_parse(&e, r->condition, &ignored) < 0)
		return; /* told when it was compiled */
	v = wv_expr_range(&e);
	if (!v.may_be_true)
		say(l, r->line, "rule '%s' can never fire: '%s' never holds", r->name,
		    r->condition);
	else if (!v.may_be_false)
		say(l, r->line, "rule '%s' always fires: '%s' always holds", r->name, r->condition);
	if (!*r->clear || wv_expr_parse(&e, r->clear, &ignored) < 0)
		return;
	v = wv_expr_range(&e);
	if (!v.may_be_true)
		say(l, r->line, "rule '%s' never ends: '%s' never holds", r->name, r->clear);
	if (strcmp(r->condition, r->clear) == 0)
		say(l, r->line, "rule '%s' contradicts itself: `clear` is its `if`", r->name);
}

static bool has_act(const struct wv_rule *r, enum wv_act act)
{
	for (size_t i = 0; i < r->actions.n; i++)
		if (r->actions.list[i].act == act)
			return true;
	return false;
}

/* Rules of the same domain on the same condition: the second adds nothing, or works against the
 * first. */
static void lint_pairs(const struct lint *l)
{
	const struct wv_policy *p = l->p;

	for (size_t i = 0; i < p->n_rules; i++)
		for (size_t k = 0; k < i; k++) {
			const struct wv_rule *a = &p->rules[k], *b = &p->rules[i];

			if (a->domain_index != b->domain_index ||
			    strcmp(a->condition, b->condition) != 0)
				continue;
			if ((has_act(a, WV_ACT_FREEZE) && has_act(b, WV_ACT_THAW)) ||
			    (has_act(a, WV_ACT_THAW) && has_act(b, WV_ACT_FREEZE)))
				say(l, b->line,
				    "rules '%s' and '%s' contradict each other: one freezes and "
				    "one "
				    "thaws on the same condition",
				    a->name, b->name);
			else if (same_strings(&a->action_texts, &b->action_texts) &&
				 b->for_ns >= a->for_ns)
				say(l, b->line,
				    "rule '%s' is shadowed by '%s': the same condition and "
				    "actions, "
				    "not sooner",
				    b->name, a->name);
		}
}

static void lint_modes(const struct lint *l)
{
	const struct wv_policy *p = l->p;

	/* those that every policy has are not asked for */
	for (size_t m = 1; m < p->n_modes; m++) {
		bool used = !p->modes[m].line;

		for (size_t i = 0; i < p->n_rules && !used; i++)
			for (size_t k = 0; k < p->rules[i].actions.n; k++)
				used |= p->rules[i].actions.list[k].act == WV_ACT_MODE &&
					p->rules[i].actions.list[k].index == m;
		for (size_t i = 0; i < p->n_chains && !used; i++)
			for (size_t k = 0; k < p->chains[i].steps.n; k++)
				used |= p->chains[i].steps.list[k].act == WV_ACT_MODE &&
					p->chains[i].steps.list[k].index == m;
		if (!used)
			say(l, p->modes[m].line, "mode '%s' is unreachable: no rule switches to it",
			    p->modes[m].name);
	}
}

static void lint_steps(const struct lint *l, unsigned line, const char *what, const char *name,
		       const struct wv_steps *steps)
{
	for (size_t i = 0; i < steps->n; i++) {
		enum wv_feature f = wv_act_feature(steps->list[i].act);

		if (f < WV_FEATURE_N && !l->p->features[f])
			say(l, line, "%s '%s': '%s' is never done: features.%s is off", what, name,
			    wv_act_names[steps->list[i].act], wv_feature_names[f]);
	}
}

static void lint_features(const struct lint *l)
{
	const struct wv_policy *p = l->p;
	const struct {
		size_t n;
		enum wv_feature feature;
		const char *what;
		unsigned line;
	} lists[] = {
		{p->n_budgets, WV_FEATURE_BUDGETS, "budgets",
		 p->n_budgets ? p->budgets[0].line : 0},
		{p->n_breakers, WV_FEATURE_BREAKERS, "breakers",
		 p->n_breakers ? p->breakers[0].line : 0},
		{p->n_gates, WV_FEATURE_GATES, "gates", p->n_gates ? p->gates[0].line : 0},
		{p->n_priorities, WV_FEATURE_PRIORITY, "priority",
		 p->n_priorities ? p->priorities[0].line : 0},
	};

	for (size_t i = 0; i < p->n_rules; i++)
		lint_steps(l, p->rules[i].line, "rule", p->rules[i].name, &p->rules[i].actions);
	for (size_t i = 0; i < p->n_chains; i++)
		lint_steps(l, p->chains[i].line, "chain", p->chains[i].name, &p->chains[i].steps);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (lists[i].n && !p->features[lists[i].feature])
			say(l, lists[i].line, "%s: none is held: features.%s is off", lists[i].what,
			    wv_feature_names[lists[i].feature]);
}

static void lint_chains(const struct lint *l)
{
	const struct wv_policy *p = l->p;

	for (size_t c = 0; c < p->n_chains; c++) {
		bool used = false;

		for (size_t i = 0; i < p->n_rules && !used; i++)
			for (size_t k = 0; k < p->rules[i].actions.n; k++)
				used |= p->rules[i].actions.list[k].act == WV_ACT_RECOVER &&
					p->rules[i].actions.list[k].index == c;
		if (!used)
			say(l, p->chains[c].line, "chain '%s' is never started by a rule",
			    p->chains[c].name);
	}
}

void wv_policy_lint(const struct wv_policy *p, wv_lint_fn fn, void *ctx)
{
	const struct lint l = {p, fn, ctx};

	lint_domains(&l);
	for (size_t i = 0; i < p->n_rules; i++)
		lint_condition(&l, &p->rules[i]);
	lint_pairs(&l);
	lint_modes(&l);
	lint_chains(&l);
	lint_features(&l);
}
