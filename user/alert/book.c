// SPDX-License-Identifier: GPL-2.0-only
/* The book of alerts: one place for each thing that is wrong, however often it is told of. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/alert/alert.h"
#include "user/core/cleanup.h"
#include "user/core/sha256.h"

/* Places that only critical ones may take. */
#define RESERVED(max) ((max) / 8)
#define STORM "AlertStorm"

static const char *const environments[] = {"dev", "prod", "staging"};

int wv_alerts_init(struct wv_alerts *a, const struct wv_config *config, const char *host)
{
	*a = (struct wv_alerts){.config = config, .max = config->alerting_max_active};
	snprintf(a->host, sizeof(a->host), "%s", host);
	wv_make_printable(a->host);
	snprintf(a->environment, sizeof(a->environment), "%s",
		 environments[config->update_environment]);
	a->all = (struct wv_alert_route_config){.name = "all",
						.sinks = (1U << config->n_alerts) - 1,
						.by = 1U << WV_LABEL_ALERT | 1U << WV_LABEL_DOMAIN,
						.group_wait_ns = 30000000000ULL,
						.group_interval_ns = 300000000000ULL,
						.repeat_interval_ns = 14400000000000ULL};
	a->routes = config->n_alert_routes ? config->alert_routes : &a->all;
	a->n_routes = config->n_alert_routes ?: 1;
	a->max_groups = a->max + WV_ALERT_ROUTES_MAX;
	a->list = calloc(a->max, sizeof(*a->list));
	a->groups = calloc(a->max_groups, sizeof(*a->groups));
	if (a->list && a->groups)
		return 0;
	wv_alerts_done(a);
	return -ENOMEM;
}

void wv_alerts_done(struct wv_alerts *a)
{
	free(a->list);
	free(a->groups);
	a->list = NULL;
	a->groups = NULL;
	a->n = a->n_groups = 0;
}

uint64_t wv_alert_fingerprint(const char *host, const struct wv_alert_event *e)
{
	char text[sizeof(e->alert) + sizeof(e->cgroup) + sizeof(e->name) + 80];
	char hex[65], first[17];
	/* no label has a control character in it */
	int len =
		snprintf(text, sizeof(text), "%s\n%s\n%s\n%s", host, e->alert, e->cgroup, e->name);

	wv_sha256_hex(text, (size_t)len, hex);
	memcpy(first, hex, 16);
	first[16] = '\0';
	return strtoull(first, NULL, 16);
}

const char *wv_alert_label(const struct wv_alert *x, enum wv_alert_label label)
{
	switch (label) {
	case WV_LABEL_ALERT:
		return x->alert;
	case WV_LABEL_SEVERITY:
		return wv_alert_severities[x->severity];
	case WV_LABEL_DOMAIN:
		return x->domain;
	case WV_LABEL_CGROUP:
		return x->cgroup;
	case WV_LABEL_NAME:
		return x->name;
	case WV_LABEL_ROUTE:
		return x->route;
	default:
		return "";
	}
}

static struct wv_alert *find(struct wv_alerts *a, uint64_t fingerprint)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->list[i].fingerprint == fingerprint)
			return &a->list[i];
	return NULL;
}

/* A place for a new one, or NULL: the book is full for its severity. */
static struct wv_alert *place(struct wv_alerts *a, const struct wv_alert_event *e)
{
	size_t room = a->max - 1; /* one for the storm itself */

	if (e->severity < WV_ALERT_CRITICAL)
		room -= RESERVED(a->max);
	return a->n < room || strcmp(e->alert, STORM) == 0 ? &a->list[a->n++] : NULL;
}

static void begin(struct wv_alerts *a, struct wv_alert *x, const struct wv_alert_event *e,
		  int64_t now_ns)
{
	x->starts_ns = e->wall_ns;
	x->ends_ns = 0;
	x->changed_ns = now_ns;
	x->told = x->told_over = 0;
	x->count = 0;
	x->severity = e->severity;
	memcpy(x->route, e->route, sizeof(x->route));
	wv_alert_route(a, x);
	wv_alert_group_add(a, x);
}

static void see(struct wv_alerts *a, struct wv_alert *x, const struct wv_alert_event *e,
		int64_t now_ns)
{
	if (x->ends_ns)
		begin(a, x, e, now_ns); /* again */
	x->count++;
	x->seq = e->seq;
	x->seen_ns = now_ns;
	memcpy(x->summary, e->summary, sizeof(x->summary));
	if (e->severity <= x->severity)
		return;
	/* worse than what was told */
	x->severity = e->severity;
	x->told = 0;
	x->changed_ns = now_ns;
	wv_alert_route(a, x);
	wv_alert_group_add(a, x);
}

static void storm(struct wv_alerts *a, const struct wv_alert_event *lost, int64_t now_ns)
{
	struct wv_alert_event e = {.edge = WV_EDGE_EVENT,
				   .severity = lost->severity == WV_ALERT_CRITICAL
						       ? WV_ALERT_CRITICAL
						       : WV_ALERT_WARNING,
				   .seq = lost->seq,
				   .wall_ns = lost->wall_ns,
				   .alert = STORM};
	struct wv_alert *x;
	uint64_t n;

	a->suppressed++;
	x = find(a, wv_alert_fingerprint(a->host, &e));
	n = x && !x->ends_ns ? x->count + 1 : 1;
	snprintf(e.summary, sizeof(e.summary),
		 "more than %zu alerts at once: %llu were not taken in, the last one %s of %.100s",
		 a->max, (unsigned long long)n, lost->alert, lost->cgroup);
	wv_alerts_take(a, &e, now_ns);
}

void wv_alerts_take(struct wv_alerts *a, const struct wv_alert_event *e, int64_t now_ns)
{
	uint64_t fingerprint = wv_alert_fingerprint(a->host, e);
	struct wv_alert *x = find(a, fingerprint);

	a->taken++;
	a->dirty = true;
	if (e->edge == WV_EDGE_RESOLVED) {
		if (x && !x->ends_ns) {
			x->ends_ns = e->wall_ns > x->starts_ns ? e->wall_ns : x->starts_ns + 1;
			x->changed_ns = x->seen_ns = now_ns;
			x->seq = e->seq;
		}
		return;
	}
	if (!x) {
		x = place(a, e);
		if (!x) {
			storm(a, e, now_ns);
			return;
		}
		*x = (struct wv_alert){.fingerprint = fingerprint,
				       .timed = e->edge == WV_EDGE_EVENT};
		memcpy(x->alert, e->alert, sizeof(x->alert));
		memcpy(x->domain, e->domain, sizeof(x->domain));
		memcpy(x->cgroup, e->cgroup, sizeof(x->cgroup));
		memcpy(x->name, e->name, sizeof(x->name));
		begin(a, x, e, now_ns);
	}
	see(a, x, e, now_ns);
}

bool wv_alert_silence_matches(const struct wv_alert_silence *s, const struct wv_alert *x)
{
	for (int i = 0; i < WV_ALERT_LABELS; i++)
		if (s->match[i][0] &&
		    fnmatch(s->match[i], wv_alert_label(x, (enum wv_alert_label)i), 0) != 0)
			return false;
	return true;
}

static bool is_silenced(const struct wv_alerts *a, const struct wv_alert *x, uint64_t wall_ns)
{
	for (size_t i = 0; i < a->n_silences; i++)
		if (a->silences[i].until_s > wall_ns / 1000000000ULL &&
		    wv_alert_silence_matches(&a->silences[i], x))
			return true;
	return false;
}

/* Whether nobody is still to be told of it. */
static bool is_settled(const struct wv_alerts *a, const struct wv_alert *x)
{
	uint32_t want = 0;

	if (!x->ends_ns)
		return false;
	for (size_t i = 0; i < a->config->n_alerts; i++)
		if (x->sinks & 1U << i && (a->config->alerts[i].resolved || !(x->told & 1U << i)))
			want |= 1U << i;
	return !(want & ~x->told_over);
}

static void forget_groups(struct wv_alerts *a, int64_t now_ns)
{
	for (size_t i = 0; i < a->n_groups;) {
		struct wv_alert_group *g = &a->groups[i];
		int64_t interval = (int64_t)a->routes[g->route].group_interval_ns;
		bool used = false;

		for (size_t k = 0; !used && k < a->config->n_alerts; k++)
			used = g->told_ns[k] != INT64_MIN && now_ns - g->told_ns[k] < interval;
		for (size_t k = 0; !used && k < a->n; k++)
			used = wv_alert_group_has(g, &a->list[k]);
		if (used)
			i++;
		else
			*g = a->groups[--a->n_groups];
	}
}

void wv_alerts_tidy(struct wv_alerts *a, int64_t now_ns, uint64_t wall_ns)
{
	int64_t after = (int64_t)a->config->alerting_resolve_after;
	bool gone = false;

	for (size_t i = 0; i < a->n;) {
		struct wv_alert *x = &a->list[i];

		if (x->timed && !x->ends_ns && now_ns - x->seen_ns >= after) {
			x->ends_ns = wall_ns > x->starts_ns ? wall_ns : x->starts_ns + 1;
			x->changed_ns = now_ns;
			a->dirty = true;
		}
		x->silenced = is_silenced(a, x, wall_ns);
		/* it came and went while nobody wanted to hear of it */
		if (x->silenced && x->ends_ns && (x->sinks & ~x->told_over)) {
			a->suppressed++;
			x->told_over = x->sinks;
		}
		if (!is_settled(a, x)) {
			i++;
			continue;
		}
		*x = a->list[--a->n];
		gone = a->dirty = true;
	}
	if (gone || a->n_groups > a->n)
		forget_groups(a, now_ns);
}
