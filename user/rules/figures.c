// SPDX-License-Identifier: GPL-2.0-only
#include "user/rules/figures.h"

#include <stdio.h>
#include <string.h>

#include "user/domain/domain.h"
#include "user/flow/figures.h"

#define REST "__other__"

/* Where a rule's, or a domain's, figure stands. */
static size_t place(size_t i, size_t n, size_t max)
{
	return n > max && i >= max - 1 ? max - 1 : i;
}

void wv_rules_figures_policy(const struct wv_agent *agent)
{
	const struct wv_policy *p = agent->policy;
	struct wv_policy_figures *f = wv_policy_figures_begin();
	struct wv_rule_figure old[WV_FIGURE_RULES];
	uint32_t n_old;

	if (!f)
		return;
	n_old = f->n_rules <= WV_FIGURE_RULES ? f->n_rules : 0;
	memcpy(old, f->rules, n_old * sizeof(*old));
	memset(f->rules, 0, sizeof(f->rules));
	memset(f->domains, 0, sizeof(f->domains));
	f->dry_run = agent->dry_run;
	f->enforces = agent->config->enforce_enabled;
	f->n_rules = (uint32_t)(p->n_rules < WV_FIGURE_RULES ? p->n_rules : WV_FIGURE_RULES);
	f->n_domains =
		(uint32_t)(p->n_domains < WV_FIGURE_DOMAINS ? p->n_domains : WV_FIGURE_DOMAINS);
	for (uint32_t i = 0; i < f->n_rules; i++) {
		bool rest = p->n_rules > WV_FIGURE_RULES && i == WV_FIGURE_RULES - 1;

		snprintf(f->rules[i].name, sizeof(f->rules[i].name), "%s",
			 rest ? REST : p->rules[i].name);
		for (uint32_t k = 0; k < n_old; k++)
			if (strcmp(old[k].name, f->rules[i].name) == 0)
				f->rules[i].trips = old[k].trips;
	}
	wv_policy_figures_end();
}

/* The most severe mode of those that share an entry. */
static void take_domains(const struct wv_policy *p, struct wv_policy_figures *f)
{
	for (uint32_t i = 0; i < f->n_domains; i++)
		f->domains[i].severity = 0;
	for (uint32_t i = 0; i < p->n_domains; i++) {
		struct wv_domain_figure *d = &f->domains[place(i, p->n_domains, WV_FIGURE_DOMAINS)];
		uint32_t mode = wv_domain_mode(i);
		bool rest = p->n_domains > WV_FIGURE_DOMAINS && i >= WV_FIGURE_DOMAINS - 1;

		if (mode >= p->n_modes || mode < d->severity)
			continue;
		d->severity = mode;
		snprintf(d->name, sizeof(d->name), "%s", rest ? REST : p->domains[i].name);
		snprintf(d->mode, sizeof(d->mode), "%s", p->modes[mode].name);
	}
}

void wv_rules_figures_tick(const struct wv_agent *agent, const struct wv_engine *engine,
			   const struct wv_rule_decision *list, size_t n)
{
	const struct wv_policy *p = agent->policy;
	const struct wv_engine_state *states;
	struct wv_policy_figures *f;
	size_t n_states;

	if (!p->n_rules && !p->n_domains)
		return;
	f = wv_policy_figures_begin();
	if (!f)
		return;
	take_domains(p, f);
	for (uint32_t i = 0; i < f->n_rules; i++)
		f->rules[i].open = 0;
	states = engine ? wv_engine_states(engine, &n_states) : NULL;
	for (size_t i = 0; states && i < n_states; i++)
		f->rules[place(states[i].rule, p->n_rules, WV_FIGURE_RULES)].open++;
	for (size_t i = 0; i < n; i++)
		if (list[i].to == WV_RULE_OPEN && list[i].from != WV_RULE_OPEN)
			f->rules[place(list[i].rule, p->n_rules, WV_FIGURE_RULES)].trips++;
	wv_policy_figures_end();
}
