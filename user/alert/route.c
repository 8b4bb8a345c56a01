// SPDX-License-Identifier: GPL-2.0-only
/* Which routes an alert takes, and which group of a route it is in. */
#include <fnmatch.h>
#include <string.h>

#include "user/alert/alert.h"

/* FNV-1a; a NUL ends each part, so that "ab","c" is not "a","bc". */
static uint64_t mix(uint64_t h, const char *text)
{
	do {
		h = (h ^ (unsigned char)*text) * 1099511628211ULL;
	} while (*text++);
	return h;
}

static bool fits(const char *pattern, const char *value)
{
	return !*pattern || fnmatch(pattern, value, 0) == 0;
}

static bool matches(const struct wv_alerts *a, const struct wv_alert_route_config *r,
		    const struct wv_alert *x)
{
	if (r->severities && !(r->severities & 1U << x->severity))
		return false;
	return fits(r->match.alert, x->alert) && fits(r->match.domain, x->domain) &&
	       fits(r->match.cgroup, x->cgroup) && fits(r->match.route, x->route) &&
	       fits(r->match.environment, a->environment);
}

void wv_alert_route(const struct wv_alerts *a, struct wv_alert *x)
{
	x->routes = x->sinks = 0;
	for (size_t i = 0; i < a->n_routes; i++) {
		if (!matches(a, &a->routes[i], x))
			continue;
		x->routes |= 1U << i;
		x->sinks |= a->routes[i].sinks;
		if (!a->routes[i].go_on)
			return;
	}
}

static uint64_t group_key(const struct wv_alerts *a, unsigned route, const struct wv_alert *x)
{
	uint64_t h = mix(14695981039346656037ULL, a->routes[route].name);

	for (int i = 0; i < WV_ALERT_LABELS; i++)
		if (a->routes[route].by & 1U << i)
			h = mix(h, wv_alert_label(x, (enum wv_alert_label)i));
	return h ?: 1;
}

static struct wv_alert_group *find(struct wv_alerts *a, unsigned route, uint64_t key)
{
	for (size_t i = 0; i < a->n_groups; i++)
		if (a->groups[i].key == key && a->groups[i].route == route)
			return &a->groups[i];
	return NULL;
}

bool wv_alert_group_has(const struct wv_alert_group *g, const struct wv_alert *x)
{
	return x->routes & 1U << g->route && x->keys[g->route] == g->key;
}

static void join(struct wv_alerts *a, unsigned route, struct wv_alert *x)
{
	struct wv_alert_group *g;
	uint64_t key = group_key(a, route, x);

	/* the last places are for the rests of the routes */
	if (!find(a, route, key) && a->n_groups + WV_ALERT_ROUTES_MAX >= a->max_groups)
		key = 0;
	x->keys[route] = key;
	if (find(a, route, key))
		return;
	g = &a->groups[a->n_groups++];
	*g = (struct wv_alert_group){.key = key, .route = route};
	for (int k = 0; k < WV_ALERT_SINKS_MAX; k++)
		g->told_ns[k] = INT64_MIN;
}

void wv_alert_group_add(struct wv_alerts *a, struct wv_alert *x)
{
	for (unsigned i = 0; i < a->n_routes; i++)
		if (x->routes & 1U << i)
			join(a, i, x);
	a->dirty = true;
}
