// SPDX-License-Identifier: GPL-2.0-only
#include "user/policy/scope.h"

#include <fnmatch.h>
#include <string.h>

#define PARTS 5

static void parts_of(const struct wv_scope *s, const char *parts[PARTS])
{
	const char *all[PARTS] = {s->cgroup, s->unit, s->namespace, s->pod, s->container};

	memcpy(parts, all, sizeof(all));
}

uint32_t wv_scope_rank(const struct wv_scope *s)
{
	const char *parts[PARTS];
	uint32_t given = 0, exact = 0, literal = 0;

	parts_of(s, parts);
	for (int i = 0; i < PARTS; i++) {
		if (!*parts[i])
			continue;
		given++;
		exact += !parts[i][strcspn(parts[i], "*?[")];
		for (const char *c = parts[i]; *c; c++)
			literal += !strchr("*?[]", *c);
	}
	for (size_t i = 0; i < s->labels.n; i++) {
		given++;
		exact++;
		literal += (uint32_t)strlen(s->labels.list[i]);
	}
	return given << 24 | exact << 16 | (literal > 0xffff ? 0xffff : literal);
}

static bool has_label(const char *labels, const char *label)
{
	size_t len = strlen(label);

	for (const char *at = labels; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
		if (strncmp(at, label, len) == 0 && (at[len] == '\n' || !at[len]))
			return true;
	return false;
}

bool wv_scope_matches(const struct wv_scope *s, const struct wv_who *who)
{
	const char *parts[PARTS];
	const char *const is[PARTS] = {who->path, who->id.unit, who->pod.namespace, who->pod.pod,
				       who->pod.container};

	parts_of(s, parts);
	for (int i = 0; i < PARTS; i++)
		if (*parts[i] && (!*is[i] || fnmatch(parts[i], is[i], 0) != 0))
			return false;
	for (size_t i = 0; i < s->labels.n; i++)
		if (!has_label(who->pod.labels, s->labels.list[i]))
			return false;
	return true;
}

bool wv_scope_needs_pods(const struct wv_policy *p)
{
	for (size_t i = 0; i < p->n_domains; i++) {
		const struct wv_scope *s = &p->domains[i].scope;

		if (*s->namespace || *s->pod || *s->container || s->labels.n)
			return true;
	}
	return false;
}

uint32_t wv_scope_domain(const struct wv_policy *p, const struct wv_who *who)
{
	uint32_t best = WV_NONE, best_rank = 0;

	for (uint32_t i = 0; i < p->n_domains; i++) {
		uint32_t rank = wv_scope_rank(&p->domains[i].scope);

		if ((best == WV_NONE || rank > best_rank) &&
		    wv_scope_matches(&p->domains[i].scope, who)) {
			best = i;
			best_rank = rank;
		}
	}
	return best;
}
