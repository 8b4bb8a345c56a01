// SPDX-License-Identifier: GPL-2.0-only
/* References between the parts of a policy: names become indices, or an error with a place. */
#include <errno.h>
#include <string.h>

#include "user/core/arena.h"
#include "user/core/cleanup.h"
#include "user/core/fields.h"
#include "user/flow/budget.h"
#include "user/policy/policy.h"
#include "user/policy/program.h"

/* Node of the i-th item of a list; the list was parsed, so it is there. */
static const yaml_node_t *item_node(const struct wv_yaml *y, const yaml_node_t *root,
				    const char *list, size_t i)
{
	const yaml_node_t *node = wv_yaml_get(y, root, list);

	return yaml_document_get_node(y->doc, node->data.sequence.items.start[i]);
}

/* Finds a name in an array of items that start with their names. */
static int find(const struct wv_yaml *y, const yaml_node_t *at, const char *what, const char *name,
		const void *items, size_t n, size_t size, uint32_t *ret)
{
	_cleanup_free_ const char **names = NULL;
	const char *near;

	for (size_t i = 0; i < n; i++)
		if (strcmp((const char *)items + i * size, name) == 0) {
			*ret = (uint32_t)i;
			return 0;
		}
	names = calloc(n + 1, sizeof(*names));
	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		names[i] = (const char *)items + i * size;
	near = wv_suggest(name, names);
	return wv_yaml_error(y, at, "no %s is named '%.60s'%s%s%s", what, name,
			     near ? "; did you mean '" : "", near ?: "", near ? "'?" : "");
}
#define FIND(y, at, what, name, items, n, ret)                                                     \
	find(y, at, what, name, items, n, sizeof(*(items)), ret)

_Static_assert(offsetof(struct wv_domain, name) == 0 && offsetof(struct wv_mode, name) == 0 &&
		       offsetof(struct wv_chain, name) == 0 &&
		       offsetof(struct wv_service, name) == 0 &&
		       offsetof(struct wv_budget, name) == 0,
	       "find() takes the name from the start of an item");

static int link_domain(const struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *item,
		       const char *name, uint32_t *ret)
{
	return FIND(y, wv_fields_node(y, item, "", "domain"), "domain", name, p->domains,
		    p->n_domains, ret);
}

/* Whether following `after` from i comes back to i. */
static bool is_cyclic(uint32_t *const *after, const size_t *n, size_t count, uint32_t from,
		      uint32_t at, size_t depth)
{
	if (depth > count)
		return false; /* a cycle, but of others: it is found from there */
	for (size_t k = 0; k < n[at]; k++)
		if (after[at][k] == from ||
		    is_cyclic(after, n, count, from, after[at][k], depth + 1))
			return true;
	return false;
}

/* Resolves `after` of each item of a list and refuses cycles. */
static int link_after(const struct wv_yaml *y, const yaml_node_t *root, const char *list,
		      const char *what, const void *items, size_t count, size_t size,
		      size_t after_offset, size_t index_offset)
{
	_cleanup_free_ uint32_t **after = calloc(count + 1, sizeof(*after));
	_cleanup_free_ size_t *n = calloc(count + 1, sizeof(*n));
	int r = 0;

	if (!after || !n)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const char *item = (const char *)items + i * size;
		const struct wv_strings *names = (const void *)(item + after_offset);
		uint32_t *index = wv_arena_alloc(y->arena, names->n + 1, sizeof(*index));
		const yaml_node_t *at;

		if (!index)
			return -ENOMEM;
		for (size_t k = 0; r == 0 && k < names->n; k++) {
			at = wv_fields_node(y, item_node(y, root, list, i), "", "after");
			r = find(y, at, what, names->list[k], items, count, size, &index[k]);
		}
		if (r < 0)
			return r;
		*(uint32_t **)(item + index_offset) = after[i] = index;
		n[i] = names->n;
	}
	for (size_t i = 0; i < count; i++)
		if (is_cyclic(after, n, count, (uint32_t)i, (uint32_t)i, 0))
			return wv_yaml_error(y, item_node(y, root, list, i),
					     "after: %s '%s' waits for itself", what,
					     (const char *)items + i * size);
	return 0;
}

int wv_step_parse(const char *text, struct wv_step *ret, char *ret_name, size_t size,
		  char expected[WV_EXPECTED_SIZE])
{
	static const bool takes[WV_ACT_N] = {
#define X(id, word, feature, argument) argument,
		WV_ACTS(X)
#undef X
	};
	struct wv_step s = {.index = WV_NONE};
	char buf[128], *save = NULL, *word, *argument = NULL;
	const char *near, *names[WV_ACT_N + 1] = {NULL};

	ret_name[0] = '\0';
	snprintf(buf, sizeof(buf), "%s", text);
	word = strtok_r(buf, " ", &save);
	for (int i = 0; i < WV_ACT_N; i++)
		names[i] = wv_act_names[i];
	for (s.act = 0; word && s.act < WV_ACT_N && strcmp(word, wv_act_names[s.act]) != 0; s.act++)
		;
	if (!word || s.act == WV_ACT_N) {
		near = word ? wv_suggest(word, names) : NULL;
		snprintf(expected, WV_EXPECTED_SIZE,
			 "expected alert, mode NAME, recover CHAIN, throttle 20%%, freeze, thaw, "
			 "isolate, restart, kill or reboot%s%s%s",
			 near ? "; did you mean '" : "", near ?: "", near ? "'?" : "");
		return -EINVAL;
	}
	snprintf(expected, WV_EXPECTED_SIZE, "expected %s%s, then nothing or `wait 30s`",
		 wv_act_names[s.act],
		 !takes[s.act]		    ? ""
		 : s.act == WV_ACT_THROTTLE ? " and a share of CPU time such as 20%"
					    : " and a name");
	if (takes[s.act]) {
		argument = strtok_r(NULL, " ", &save);
		if (!argument || strlen(argument) >= size)
			return -EINVAL;
		if (s.act == WV_ACT_THROTTLE && wv_parse_cpus(argument, &s.cpu_ppm) < 0)
			return -EINVAL;
	}
	word = strtok_r(NULL, " ", &save);
	if (word) {
		const char *time = strtok_r(NULL, " ", &save);

		if (strcmp(word, "wait") != 0 || !time || wv_parse_duration(time, &s.wait_ns) < 0 ||
		    strtok_r(NULL, " ", &save))
			return -EINVAL;
		s.has_wait = true;
	}
	if (argument && s.act != WV_ACT_THROTTLE)
		snprintf(ret_name, size, "%s", argument);
	*ret = s;
	return 0;
}

static int link_steps(const struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *at,
		      const struct wv_strings *texts, bool chain, struct wv_steps *ret)
{
	char name[WV_POLICY_NAME], expected[WV_EXPECTED_SIZE];
	int r = 0;

	ret->list = wv_arena_alloc(y->arena, texts->n + 1, sizeof(*ret->list));
	if (!ret->list)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < texts->n; i++) {
		struct wv_step *s = &ret->list[i];

		if (wv_step_parse(texts->list[i], s, name, sizeof(name), expected) < 0)
			return wv_yaml_error(y, at, "'%.60s': %s", texts->list[i], expected);
		if (!chain && s->has_wait)
			return wv_yaml_error(y, at, "'%.60s': only steps of a recovery chain wait",
					     texts->list[i]);
		if (chain && s->act == WV_ACT_RECOVER)
			return wv_yaml_error(y, at, "'%.60s': a chain cannot start a chain",
					     texts->list[i]);
		if (s->act == WV_ACT_MODE)
			r = FIND(y, at, "mode", name, p->modes, p->n_modes, &s->index);
		else if (s->act == WV_ACT_RECOVER)
			r = FIND(y, at, "recovery chain", name, p->chains, p->n_chains, &s->index);
	}
	ret->n = texts->n;
	return r;
}

/* Compiles a condition; what is wrong in it is told with the place in the file. */
static int link_condition(struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *node,
			  uint32_t rule, const char *text, uint32_t *ret)
{
	struct wv_expr_error error;
	yaml_node_t at = *node;
	int r = wv_program_add(p->programs, rule, text, &error);

	if (r >= 0) {
		*ret = (uint32_t)r;
		return 0;
	}
	if (r == -ENOMEM)
		return r;
	/* a text in quotes begins behind them; one that is folded over lines has only a start */
	if (node->start_mark.line == node->end_mark.line)
		at.start_mark.column +=
			error.offset + (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE);
	return wv_yaml_error(y, &at, "%s", error.text);
}

static int link_conditions(struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *item,
			   uint32_t i)
{
	struct wv_rule *rule = &p->rules[i];
	const yaml_node_t *clear = wv_fields_node(y, item, "", "clear");
	int r = link_condition(p, y, wv_fields_node(y, item, "", "if"), i, rule->condition,
			       &rule->condition_program);

	rule->clear_program = WV_NONE;
	if (r == 0 && clear)
		r = link_condition(p, y, clear, i, rule->clear, &rule->clear_program);
	return r;
}

static int link_rules(struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *root)
{
	int r = wv_program_set_init(p->programs);

	for (size_t i = 0; r == 0 && i < p->n_rules; i++) {
		struct wv_rule *rule = &p->rules[i];
		const yaml_node_t *item = item_node(y, root, "rules", i);

		if (!rule->action_texts.n)
			return wv_yaml_error(y, item,
					     "rule '%s': then is empty; expected an action, "
					     "such as alert",
					     rule->name);
		r = link_domain(p, y, item, rule->domain, &rule->domain_index);
		if (r == 0)
			r = link_steps(p, y, wv_fields_node(y, item, "", "then"),
				       &rule->action_texts, false, &rule->actions);
		r = r ?: link_conditions(p, y, item, (uint32_t)i);
	}
	return r ?: wv_program_finish(p->programs);
}

static int link_chains(struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *root)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n_chains; i++) {
		const yaml_node_t *item = item_node(y, root, "recovery", i);

		if (!p->chains[i].step_texts.n)
			return wv_yaml_error(y, item, "chain '%s': expected at least one step",
					     p->chains[i].name);
		r = link_steps(p, y, wv_fields_node(y, item, "", "steps"), &p->chains[i].step_texts,
			       true, &p->chains[i].steps);
	}
	return r;
}

/* A budget that a mode names is in force in those modes only. */
static int link_budgets(struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *root)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n_budgets; i++)
		if (p->budgets[i].domain[0])
			r = link_domain(p, y, item_node(y, root, "budgets", i),
					p->budgets[i].domain, &p->budgets[i].domain_index);
	for (size_t m = 0; r == 0 && m < p->n_modes; m++)
		for (size_t k = 0; r == 0 && k < p->modes[m].budgets.n; k++) {
			const yaml_node_t *item = item_node(y, root, "modes", m);
			uint32_t b = 0;

			r = FIND(y, wv_fields_node(y, item, "", "budgets"), "budget",
				 p->modes[m].budgets.list[k], p->budgets, p->n_budgets, &b);
			if (r == 0 && !p->budgets[b].domain[0])
				return wv_yaml_error(
					y, wv_fields_node(y, item, "", "budgets"),
					"budget '%s' has a cgroup pattern; only a budget of a "
					"domain can depend on its mode",
					p->budgets[b].name);
			if (r == 0)
				p->budgets[b].modes |= 1ULL << m;
		}
	return r;
}

/*
 * A rate as a breaker. Closed it admits the rate; over it, a tenth of a second's worth at once and
 * then nothing for as long as that would have taken, so the average over any longer time is the
 * rate again.
 */
static void rate_breaker(const struct wv_budget *b, int kind, const char *suffix,
			 uint64_t per_second, struct wv_breaker *ret)
{
	uint64_t burst = per_second / 10 ?: 1, probes = per_second / 100 ?: 1;

	*ret = (struct wv_breaker){
		.domain_index = b->domain_index,
		.kind = kind,
		.action = WV_BREAKER_DENY,
		.limit = per_second,
		.per_ns = 1000000000,
		.burst = burst,
		.open_ns = burst * 1000000000 / per_second,
		.half_open_ns = probes * 1000000000 / per_second ?: 1,
		.probes = probes,
		.line = b->line,
	};
	snprintf(ret->name, sizeof(ret->name), "%.*s/%s",
		 (int)(sizeof(ret->name) - strlen(suffix) - 2), b->name, suffix);
	snprintf(ret->domain, sizeof(ret->domain), "%s", b->domain);
}

/* Fork and exec rates of budgets, after the breakers of the file. */
static int add_rate_breakers(struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *root)
{
	struct wv_breaker *all = calloc(p->n_breakers + 2 * p->n_budgets + 1, sizeof(*all));
	size_t n = p->n_breakers;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		all[i] = p->breakers[i];
	for (size_t i = 0; i < p->n_budgets; i++) {
		const struct wv_budget *b = &p->budgets[i];

		if ((b->forks_ps != WV_UNSET || b->execs_ps != WV_UNSET) && b->modes) {
			free(all);
			return wv_yaml_error(y, item_node(y, root, "budgets", i),
					     "budget '%s': rates are always in force, they cannot "
					     "depend on a mode",
					     b->name);
		}
		if (b->forks_ps != WV_UNSET)
			rate_breaker(b, WV_BREAKER_FORKS, "forks", b->forks_ps, &all[n++]);
		if (b->execs_ps != WV_UNSET)
			rate_breaker(b, WV_BREAKER_EXECS, "execs", b->execs_ps, &all[n++]);
	}
	free(p->breakers);
	p->breakers = all;
	p->n_breakers = n;
	return 0;
}

#define LINK_LIST(p, y, root, list, member)                                                        \
	({                                                                                         \
		int r_ = 0;                                                                        \
                                                                                                   \
		for (size_t i_ = 0; r_ == 0 && i_ < (p)->n_##member; i_++)                         \
			r_ = link_domain(p, y, item_node(y, root, list, i_),                       \
					 (p)->member[i_].domain, &(p)->member[i_].domain_index);   \
		r_;                                                                                \
	})

int wv_policy_link(struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *root)
{
	int r = link_after(y, root, "domains", "domain", p->domains, p->n_domains,
			   sizeof(struct wv_domain), offsetof(struct wv_domain, after),
			   offsetof(struct wv_domain, after_index));

	r = r
		    ?: link_after(y, root, "services", "service", p->services, p->n_services,
				  sizeof(struct wv_service), offsetof(struct wv_service, after),
				  offsetof(struct wv_service, after_index));
	r = r ?: LINK_LIST(p, y, root, "breakers", breakers);
	r = r ?: LINK_LIST(p, y, root, "gates", gates);
	r = r ?: LINK_LIST(p, y, root, "priority", priorities);
	r = r ?: link_budgets(p, y, root);
	r = r ?: add_rate_breakers(p, y, root);
	r = r ?: link_rules(p, y, root);
	return r ?: link_chains(p, y, root);
}
