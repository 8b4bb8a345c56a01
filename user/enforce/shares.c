// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shares of the parent, in the enforcer: what each cgroup with such a budget has above it is read
 * when the cgroup is first matched and once a pass; where it changed, the cgroup is brought up to
 * it by the pass that runs.
 */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/share.h"
#include "user/enforce/enforcer.h"

static int read_parent(struct wv_enforcer *e, const struct wv_row *row, struct wv_parent *ret)
{
	if (row->flags & WV_ROW_CUT) {
		*ret = (struct wv_parent){.limit = {WV_UNSET, WV_UNSET, WV_UNSET},
					  .error = -ENAMETOOLONG};
		return -ENAMETOOLONG;
	}
	return wv_parent_read(e->agent->host, e->agent->io, &e->machine, row->key, row->path, ret);
}

void wv_shares_match(struct wv_enforcer *e, uint32_t slot, const struct wv_row *row)
{
	const struct wv_policy *c = e->agent->policy;
	struct wv_hold *h = &e->holds[slot];

	h->shares = false;
	for (uint32_t i = 0; i < c->n_budgets && !h->shares; i++)
		h->shares = wv_enforcer_matches(e, slot, i) && wv_budget_has_share(&c->budgets[i]);
	if (!h->shares)
		return;
	e->has_shares = true;
	if (!e->machine.limit[WV_PARENT_CPU]) /* never read */
		(void)wv_parent_machine(e->agent->io, &e->machine);
	(void)read_parent(e, row, &h->parent);
}

void wv_shares_refresh(struct wv_enforcer *e)
{
	bool read = false;

	wv_sample_for_each (&e->agent->sample, slot, row) {
		struct wv_hold *h = &e->holds[slot];
		struct wv_parent now;

		if (!h->shares || h->key != row->key || row->flags & WV_ROW_GONE)
			continue;
		if (!read)
			(void)wv_parent_machine(e->agent->io, &e->machine);
		read = true;
		(void)read_parent(e, row, &now);
		if (memcmp(now.limit, h->parent.limit, sizeof(now.limit)) != 0)
			h->changed = true;
		h->parent = now;
	}
	e->has_shares = read;
}

static struct json_object *share_json(const struct wv_budget *b, const struct wv_share_row *row,
				      const struct wv_hold *h, const struct wv_row *cgroup)
{
	struct json_object *o = json_object_new_object();
	uint64_t value = wv_share_limit(b, row, &h->parent);
	int from = h->parent.from[row->of];

	json_object_object_add(o, "budget", json_object_new_string(b->name));
	json_object_object_add(o, "item", json_object_new_string(wv_item_names[row->item]));
	json_object_object_add(o, "share_ppm",
			       json_object_new_uint64(wv_share_ppm(wv_budget_limit(b, row))));
	if (value == WV_UNSET) {
		json_object_object_add(o, "reason",
				       json_object_new_string(strerror(-h->parent.error)));
		return o;
	}
	if (row->of == WV_PARENT_CPU)
		value = (uint64_t)((unsigned __int128)value * 1000000 / b->cpu_period_us);
	json_object_object_add(o, "of",
			       from ? json_object_new_string_len(cgroup->path, from)
				    : json_object_new_string("machine"));
	json_object_object_add(o, "parent", json_object_new_uint64(h->parent.limit[row->of]));
	json_object_object_add(o, "value", json_object_new_uint64(value));
	json_object_object_add(o, "unit", json_object_new_string(wv_parent_units[row->of]));
	return o;
}

void wv_shares_tell(const struct wv_enforcer *e, uint32_t slot, uint32_t budget,
		    struct json_object **list)
{
	const struct wv_budget *b = &e->agent->policy->budgets[budget];
	const struct wv_row *row = wv_sample_row(&e->agent->sample, slot);

	for (size_t i = 0; row && e->holds[slot].shares && i < WV_SHARE_ROWS; i++) {
		if (!wv_is_share(wv_budget_limit(b, &wv_share_rows[i])))
			continue;
		*list = *list ?: json_object_new_array();
		json_object_array_add(*list,
				      share_json(b, &wv_share_rows[i], &e->holds[slot], row));
	}
}

/* Whether a budget in force says this limit as a share. */
static bool is_wanted(const struct wv_enforcer *e, uint32_t slot, const struct wv_share_row *row)
{
	const struct wv_policy *c = e->agent->policy;

	for (uint32_t i = 0; i < c->n_budgets; i++)
		if (wv_is_share(wv_budget_limit(&c->budgets[i], row)) &&
		    wv_enforcer_holds(e, slot, i))
			return true;
	return false;
}

size_t wv_shares_missing(const struct wv_enforcer *e, uint32_t slot, struct wv_cgfile *files)
{
	const struct wv_hold *h = &e->holds[slot];
	size_t n = 0;

	for (size_t i = 0; h->shares && h->parent.error && i < WV_SHARE_ROWS; i++) {
		if (!is_wanted(e, slot, &wv_share_rows[i]))
			continue;
		files[n] = (struct wv_cgfile){.key = h->key,
					      .item = (enum wv_item)wv_share_rows[i].item};
		snprintf(files[n].reason, sizeof(files[n].reason),
			 "what the parent has cannot be read: %s", strerror(-h->parent.error));
		n++;
	}
	return n;
}
