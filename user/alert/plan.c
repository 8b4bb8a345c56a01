// SPDX-License-Identifier: GPL-2.0-only
/* When who is told of what: groups wait for more, sinks have a rate, failures make pauses, and the
 * most severe goes first. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/alert/alert.h"

#define SECOND 1000000000LL
#define WHOLE 1000 /* thousandths of a message */
/* Alertmanager forgets what it is not told again of; it groups by itself, so it is told at once. */
#define ALERTMANAGER_REPEAT_NS (60 * SECOND)
#define RETRY_AFTER_MAX_NS (3600 * SECOND)

struct timing {
	int64_t wait, critical_wait, interval, repeat;
};

/* What one group has for one sink. */
struct due {
	size_t n_new, n;
	int severity; /* of the worst that is new; of all if nothing is */
	int64_t since_ns, changed_ns, critical_ns;
	bool firing;
};

static struct timing timing_of(const struct wv_alerts *a, unsigned sink, unsigned route)
{
	const struct wv_alert_route_config *r = &a->routes[route];

	if (a->config->alerts[sink].type == WV_ALERT_ALERTMANAGER)
		return (struct timing){.repeat = ALERTMANAGER_REPEAT_NS};
	return (struct timing){(int64_t)r->group_wait_ns, (int64_t)r->critical_wait_ns,
			       (int64_t)r->group_interval_ns, (int64_t)r->repeat_interval_ns};
}

/* Whether the sink is still to be told of it, or of its end. */
static bool is_new(const struct wv_alerts *a, unsigned sink, const struct wv_alert *x)
{
	uint32_t bit = 1U << sink;

	if (x->silenced || !(x->sinks & bit))
		return false;
	if (!x->ends_ns)
		return !(x->told & bit);
	return !(x->told_over & bit) && (a->config->alerts[sink].resolved || !(x->told & bit));
}

size_t wv_alert_queued(const struct wv_alerts *a, unsigned sink)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++)
		n += is_new(a, sink, &a->list[i]);
	return n;
}

static bool is_part(const struct wv_alerts *a, unsigned sink, const struct wv_alert_group *g,
		    const struct wv_alert *x)
{
	if (x->silenced || !(x->sinks & 1U << sink) || !(a->routes[g->route].sinks & 1U << sink))
		return false;
	return (!x->ends_ns || is_new(a, sink, x)) && wv_alert_group_has(g, x);
}

static struct due look_at(const struct wv_alerts *a, unsigned sink, const struct wv_alert_group *g)
{
	struct due d = {.severity = -1,
			.since_ns = INT64_MAX,
			.changed_ns = INT64_MAX,
			.critical_ns = INT64_MAX};
	int worst = -1;

	for (size_t i = 0; i < a->n; i++) {
		const struct wv_alert *x = &a->list[i];

		if (!is_part(a, sink, g, x))
			continue;
		d.n++;
		d.firing |= !x->ends_ns;
		worst = x->severity > worst ? x->severity : worst;
		if (!is_new(a, sink, x))
			continue;
		d.n_new++;
		d.severity = x->severity > d.severity ? x->severity : d.severity;
		if (x->changed_ns < d.since_ns)
			d.since_ns = x->changed_ns;
		/* of an end nobody need be told at once */
		if (x->severity == WV_ALERT_CRITICAL && !x->ends_ns &&
		    x->changed_ns < d.critical_ns)
			d.critical_ns = x->changed_ns;
	}
	if (!d.n_new)
		d.severity = worst;
	return d;
}

/* When a message of this group is due; INT64_MAX: never. */
static int64_t due_at(const struct timing *t, const struct due *d, int64_t told_ns)
{
	int64_t at = INT64_MAX;

	if (d->n_new) {
		at = d->since_ns + t->wait;
		if (told_ns != INT64_MIN && at < told_ns + t->interval)
			at = told_ns + t->interval;
		if (d->critical_ns != INT64_MAX && at > d->critical_ns + t->critical_wait)
			at = d->critical_ns + t->critical_wait;
		return at;
	}
	return d->firing && told_ns != INT64_MIN ? told_ns + t->repeat : INT64_MAX;
}

/* Whether the sink's rate has room for a message; a critical one may run into debt by as much as
 * the bucket holds. */
static bool has_tokens(struct wv_alert_sink *s, uint64_t rate, int severity, int64_t now_ns,
		       int64_t *ret_at)
{
	int64_t per_message = 60 * SECOND / (int64_t)rate;
	int64_t full = (int64_t)(rate / 4 + 1) * WHOLE;
	int64_t floor = severity == WV_ALERT_CRITICAL ? WHOLE - full : WHOLE;
	int64_t more = (now_ns - s->filled_ns) * WHOLE / per_message;

	if (!s->filled_ns || more > 2 * full) {
		s->tokens_milli = full;
		s->filled_ns = now_ns;
	} else if (more > 0) {
		s->tokens_milli += more;
		s->filled_ns += more * per_message / WHOLE;
		if (s->tokens_milli > full)
			s->tokens_milli = full;
	}
	if (s->tokens_milli >= floor)
		return true;
	*ret_at = now_ns + (floor - s->tokens_milli) * per_message / WHOLE + 1;
	return false;
}

struct order {
	size_t index;
	bool is_new, over;
	int severity;
	int64_t changed_ns;
};

static int compare(const void *left, const void *right)
{
	const struct order *l = left, *r = right;

	if (l->is_new != r->is_new)
		return l->is_new ? -1 : 1;
	if (l->over != r->over)
		return l->over ? 1 : -1;
	if (l->severity != r->severity)
		return l->severity > r->severity ? -1 : 1;
	return l->changed_ns < r->changed_ns ? -1 : l->changed_ns > r->changed_ns;
}

static bool belongs(const struct wv_alerts *a, const struct wv_alert_message *m,
		    const struct wv_alert *x, int64_t now_ns)
{
	if (!is_part(a, m->sink, &a->groups[m->group], x))
		return false;
	/* dead letters: what is too old, and nothing else of its group */
	return !m->expired ||
	       (is_new(a, m->sink, x) &&
		now_ns - x->changed_ns >= (int64_t)a->config->alerts[m->sink].max_age_ns);
}

static int collect(const struct wv_alerts *a, const struct due *d, int64_t now_ns,
		   struct wv_alert_message *m)
{
	unsigned sink = m->sink;
	int type = a->config->alerts[sink].type;
	struct order *order = calloc(d->n ? d->n : 1, sizeof(*order));
	size_t n = 0;

	m->alerts = order ? calloc(d->n ? d->n : 1, sizeof(*m->alerts)) : NULL;
	if (!m->alerts) {
		free(order);
		return -ENOMEM;
	}
	for (size_t i = 0; i < a->n && n < d->n; i++)
		if (belongs(a, m, &a->list[i], now_ns))
			order[n++] = (struct order){i, is_new(a, sink, &a->list[i]),
						    a->list[i].ends_ns != 0, a->list[i].severity,
						    a->list[i].changed_ns};
	qsort(order, n, sizeof(*order), compare);
	/* machines get every one, in the next message if need be; people are told how many */
	m->n_more = 0;
	if (!m->expired && (type == WV_ALERT_ALERTMANAGER || type == WV_ALERT_WEBHOOK) &&
	    n > WV_ALERT_CHUNK) {
		m->n_more = n - WV_ALERT_CHUNK;
		n = WV_ALERT_CHUNK;
	}
	for (size_t i = 0; i < n; i++)
		m->alerts[i] = order[i].index;
	free(order);
	m->n = n;
	m->n_new = d->n_new;
	m->pending_since_ns = d->n_new ? d->since_ns : INT64_MAX;
	return 0;
}

int wv_alert_next(struct wv_alerts *a, unsigned sink, int64_t now_ns, struct wv_alert_message *ret,
		  int64_t *ret_wait_ns)
{
	const struct wv_alert_sink_config *c = &a->config->alerts[sink];
	struct wv_alert_sink *s = &a->sinks[sink];
	struct due best = {.severity = -1};
	int64_t soonest = now_ns + 60 * SECOND, at;
	unsigned group = 0;
	int r;

	for (unsigned i = 0; i < a->n_groups && !s->busy; i++) {
		struct wv_alert_group *g = &a->groups[i];
		struct timing t = timing_of(a, sink, g->route);
		struct due d;

		if (!(a->routes[g->route].sinks & 1U << sink))
			continue;
		d = look_at(a, sink, g);
		at = d.n ? due_at(&t, &d, g->told_ns[sink]) : INT64_MAX;
		if (at > now_ns) {
			soonest = at < soonest ? at : soonest;
			continue;
		}
		/* new before repeated, worse before better, older before younger */
		if (best.n && (best.n_new != 0) > (d.n_new != 0))
			continue;
		if (best.n && (best.n_new != 0) == (d.n_new != 0) &&
		    (best.severity > d.severity ||
		     (best.severity == d.severity && best.since_ns <= d.since_ns)))
			continue;
		best = d;
		group = i;
	}
	*ret_wait_ns = soonest - now_ns;
	if (s->busy || !best.n)
		return 0;
	*ret = (struct wv_alert_message){.sink = sink,
					 .group = group,
					 .expired = best.n_new && now_ns - best.since_ns >=
									  (int64_t)c->max_age_ns};
	at = s->next_ns;
	if (!ret->expired &&
	    (now_ns < s->next_ns || !has_tokens(s, c->rate, best.severity, now_ns, &at))) {
		s->limited += now_ns >= s->next_ns;
		*ret_wait_ns = at - now_ns;
		return 0;
	}
	r = collect(a, &best, now_ns, ret);
	if (r < 0)
		return r;
	if (!ret->expired)
		s->tokens_milli -= WHOLE;
	return 1;
}

void wv_alert_done(struct wv_alerts *a, unsigned sink, uint64_t group_key,
		   const struct wv_alert_told *told, size_t n, bool delivered, int64_t now_ns)
{
	struct wv_alert_sink *s = &a->sinks[sink];

	if (delivered) {
		s->failed = 0;
		s->next_ns = 0;
	}
	a->dirty = true;
	for (size_t i = 0; i < a->n_groups; i++)
		if (a->groups[i].key == group_key)
			a->groups[i].told_ns[sink] = now_ns;
	for (size_t k = 0; k < n; k++)
		for (size_t i = 0; i < a->n; i++) {
			struct wv_alert *x = &a->list[i];

			if (x->fingerprint != told[k].fingerprint)
				continue;
			/* what ended or began again meanwhile is still to be told */
			if (told[k].over && x->ends_ns)
				x->told_over |= 1U << sink;
			if (!told[k].over)
				x->told |= 1U << sink;
			break;
		}
}

void wv_alert_failed(struct wv_alerts *a, unsigned sink, uint64_t retry_after_ns, uint64_t random,
		     int64_t now_ns)
{
	const struct wv_alert_sink_config *c = &a->config->alerts[sink];
	struct wv_alert_sink *s = &a->sinks[sink];
	uint64_t bound = c->retry_min_ns, wait;

	for (unsigned i = 0; i < s->failed && bound < c->retry_max_ns; i++)
		bound *= 2;
	if (bound > c->retry_max_ns)
		bound = c->retry_max_ns;
	s->failed++;
	s->failures++;
	/* full jitter, but no busy loop */
	wait = c->retry_min_ns / 10 + random % (bound + 1);
	if (retry_after_ns > RETRY_AFTER_MAX_NS)
		retry_after_ns = RETRY_AFTER_MAX_NS;
	if (retry_after_ns > wait)
		wait = retry_after_ns + random % (retry_after_ns / 10 + 1);
	s->next_ns = now_ns + (int64_t)wait;
}
