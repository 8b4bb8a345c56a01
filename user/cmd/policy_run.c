// SPDX-License-Identifier: GPL-2.0-only
/* A policy on a stream of samples, without an agent: for test, replay and diff. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/cmd/policy_cmd.h"
#include "user/cmd/status_view.h"
#include "user/rules/store.h"

/* What the runtime told live, from the tick on at which it was told. */
static int recorded_pod(void *ctx, uint64_t key, const struct wv_identity *id,
			struct wv_pod_info *ret)
{
	const struct wv_policy_run *r = ctx;

	(void)id;
	for (size_t i = 0; i < r->n_pods; i++)
		if (r->pods[i].key == key && r->pods[i].tick <= r->tick) {
			*ret = r->pods[i].info;
			return 0;
		}
	return -ENOENT;
}

int wv_policy_run_init(struct wv_policy_run *r, const struct wv_policy *policy, uint32_t max_rows,
		       uint64_t max_gap_ns)
{
	int e;

	*r = (struct wv_policy_run){.policy = policy};
	e = wv_domains_init(&r->domains, max_rows);
	if (e == 0 && policy->n_rules)
		e = wv_engine_new(&r->engine, policy, max_rows, max_gap_ns);
	if (e < 0) {
		wv_policy_run_done(r);
		return e;
	}
	wv_domains_set_policy(&r->domains, policy);
	return 0;
}

void wv_policy_run_done(struct wv_policy_run *r)
{
	wv_engine_free(r->engine);
	wv_domains_done(&r->domains);
	json_object_put(r->states);
	*r = (struct wv_policy_run){0};
}

static int slot_in_sample(void *ctx, uint64_t key)
{
	const struct wv_sample *s = ctx;

	for (uint32_t i = 1; i < s->used_rows; i++)
		if ((s->rows[i].flags & WV_ROW_LIVE) && s->rows[i].key == key)
			return (int)i;
	return -ENOENT;
}

void wv_policy_run_put(struct wv_policy_run *r, struct json_object *states)
{
	if (!r->states)
		r->states = json_object_new_array();
	json_object_array_add(r->states, json_object_get(states));
}

size_t wv_policy_run_tick(struct wv_policy_run *r, const struct wv_sample *s,
			  const struct wv_rule_decision **ret)
{
	r->tick = s->seq;
	/* here, as the run may have moved in memory */
	r->domains.pod = recorded_pod;
	r->domains.ctx = r;
	if (!r->engine)
		return 0;
	for (size_t i = 0; r->states && i < json_object_array_length(r->states); i++)
		(void)wv_rules_states_put(r->engine, r->policy,
					  json_object_array_get_idx(r->states, i), r->boot_id,
					  slot_in_sample, (void *)(uintptr_t)s);
	json_object_put(r->states);
	r->states = NULL;
	return wv_engine_tick(r->engine, s, &r->domains, ret);
}

int wv_kept_add(struct wv_kept_list *l, const struct wv_policy *p, const struct wv_sample *s,
		const struct wv_rule_decision *d)
{
	struct wv_kept *k;

	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 64;
		struct wv_kept *bigger = reallocarray(l->list, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		l->list = bigger;
		l->room = room;
	}
	k = &l->list[l->n++];
	*k = (struct wv_kept){.tick = d->tick,
			      .at_ns = d->mono_ns,
			      .key = d->key,
			      .from = d->from,
			      .to = d->to,
			      .withheld = (uint8_t)d->withheld};
	snprintf(k->rule, sizeof(k->rule), "%s", p->rules[d->rule].name);
	snprintf(k->cgroup, sizeof(k->cgroup), "%s", s->rows[d->slot].path);
	return 0;
}

void wv_kept_done(struct wv_kept_list *l)
{
	free(l->list);
	*l = (struct wv_kept_list){0};
}

int wv_kept_compare(const struct wv_kept *a, const struct wv_kept *b)
{
	int r = strcmp(a->rule, b->rule);

	if (a->tick != b->tick)
		return a->tick < b->tick ? -1 : 1;
	if (r)
		return r;
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->to != b->to)
		return a->to < b->to ? -1 : 1;
	return (int)a->withheld - (int)b->withheld;
}

static int compare(const void *a, const void *b)
{
	return wv_kept_compare(a, b);
}

void wv_kept_sort(struct wv_kept_list *l)
{
	if (l->n)
		qsort(l->list, l->n, sizeof(*l->list), compare);
}

struct json_object *wv_kept_json(const struct wv_kept *k, uint64_t start_ns)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "at_seconds",
			       json_object_new_double((double)(k->at_ns - start_ns) / 1e9));
	wv_json_u64(o, "tick", k->tick);
	wv_json_str(o, "rule", k->rule);
	wv_json_str(o, "cgroup", k->cgroup);
	wv_json_str(o, "from", wv_rule_state_names[k->from]);
	wv_json_str(o, "to", wv_rule_state_names[k->to]);
	if (k->withheld)
		wv_json_str(o, "withheld", wv_withheld_names[k->withheld]);
	return o;
}

void wv_kept_print(FILE *f, const struct wv_kept *k, uint64_t start_ns, const char *lead)
{
	fprintf(f, "%s%8.1f s  %s on %s: %s -> %s%s%s\n", lead, (double)(k->at_ns - start_ns) / 1e9,
		k->rule, k->cgroup, wv_rule_state_names[k->from], wv_rule_state_names[k->to],
		k->withheld ? ", withheld: " : "", wv_withheld_names[k->withheld]);
}
