// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/health.h"

#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"

/* A trial whose rules hold and break in turn ends after the longest "within", so many times the
 * time that it would have had to be well, and this. */
#define PATIENCE 3
#define PATIENCE_NS 5000000000ULL

void wv_health_begin(struct wv_health *h, const struct wv_manifest *m, uint64_t now_ns)
{
	*h = (struct wv_health){.m = m, .begin_ns = now_ns};
}

static uint64_t deadline_ns(const struct wv_health *h)
{
	uint64_t within = 0;

	for (unsigned i = 0; i < h->m->n_health; i++)
		if (h->m->health[i].within_ns > within)
			within = h->m->health[i].within_ns;
	return h->begin_ns + within + PATIENCE * h->m->trial_ns + PATIENCE_NS;
}

static const char *const names[] = {[WV_HEALTH_SERVICE] = "service",
				    [WV_HEALTH_HTTP] = "http",
				    [WV_HEALTH_FILE_FRESH] = "file",
				    [WV_HEALTH_AGENT] = "agent"};

/* false: the trial is over. */
static bool look(struct wv_health *h, unsigned i, wv_health_probe_fn probe, void *ctx,
		 uint64_t now_ns, char why[200])
{
	const struct wv_health_rule *rule = &h->m->health[i];
	struct wv_health_one *one = &h->rules[i];
	char reason[WV_HEALTH_WHY] = "";
	int r = probe(ctx, rule, &one->memory, now_ns, reason);

	one->next_ns = now_ns + rule->every_ns;
	if (r == 0) {
		one->held = true;
		one->in_a_row = 0;
		return true;
	}
	if (r < 0 && !reason[0])
		snprintf(reason, sizeof(reason), "%s", strerror(-r));
	snprintf(one->why, sizeof(one->why), "%s", reason);
	/* what is starting may take its time */
	if (!one->held && now_ns - h->begin_ns < rule->within_ns)
		return true;
	if (++one->in_a_row < rule->failures)
		return true;
	snprintf(why, 200, "%s %.60s: %.110s%s", names[rule->kind], rule->target, reason,
		 one->held ? "" : " (never well)");
	return false;
}

enum wv_health_verdict wv_health_step(struct wv_health *h, wv_health_probe_fn probe, void *ctx,
				      uint64_t now_ns, uint64_t *ret_next_ns, char why[200])
{
	uint64_t next = deadline_ns(h);
	bool all = true;

	for (unsigned i = 0; i < h->m->n_health && i < WV_HEALTH_RULES_MAX; i++) {
		struct wv_health_one *one = &h->rules[i];

		if (now_ns >= one->next_ns && !look(h, i, probe, ctx, now_ns, why))
			return WV_HEALTH_ILL;
		all &= one->held && one->in_a_row == 0;
		next = one->next_ns < next ? one->next_ns : next;
	}
	if (!all)
		h->well_since_ns = 0;
	else if (!h->well_since_ns)
		h->well_since_ns = now_ns;
	if (h->well_since_ns && now_ns - h->well_since_ns >= h->m->trial_ns)
		return WV_HEALTH_WELL;
	if (now_ns >= deadline_ns(h)) {
		snprintf(why, 200, "timeout: not well for long enough");
		return WV_HEALTH_ILL;
	}
	if (h->well_since_ns && h->well_since_ns + h->m->trial_ns < next)
		next = h->well_since_ns + h->m->trial_ns;
	*ret_next_ns = next;
	return WV_HEALTH_WAIT;
}
