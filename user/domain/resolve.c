// SPDX-License-Identifier: GPL-2.0-only
#include "user/domain/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A runtime writes its state file before it starts the container, but the pod's cgroup may be
 * older: so often it is asked, once a tick. */
#define POD_TRIES 30
/* Afterwards one of so many times: the API server of Kubernetes may have been away. */
#define POD_SLOW 16
/* Deeper trees do not inherit from so far up. */
#define MAX_DEPTH 64

int wv_domains_init(struct wv_domains *d, uint32_t max_rows)
{
	*d = (struct wv_domains){.max_rows = max_rows};
	d->places = calloc(max_rows, sizeof(*d->places));
	return d->places ? 0 : -ENOMEM;
}

void wv_domains_done(struct wv_domains *d)
{
	free(d->places);
	*d = (struct wv_domains){0};
}

void wv_domains_set_policy(struct wv_domains *d, const struct wv_policy *policy)
{
	d->policy = policy;
	d->generation++;
	d->needs_pods = wv_scope_needs_pods(policy);
}

static uint32_t match(struct wv_domains *d, const struct wv_row *row, bool *ret_pending)
{
	struct wv_who who = {.path = row->path};

	*ret_pending = false;
	if (row->flags & WV_ROW_CUT) /* the start of its path is not known */
		return WV_NONE;
	wv_identity_parse(row->path, &who.id);
	if (d->needs_pods && *who.id.container_id)
		*ret_pending = !d->pod || d->pod(d->ctx, row->key, &who.id, &who.pod) < 0;
	return wv_scope_domain(d->policy, &who);
}

/* The place of a live row, brought up to date; NULL if the slot is not in use. */
static const struct wv_domain_place *place_of(struct wv_domains *d, const struct wv_sample *s,
					      uint32_t slot, unsigned depth)
{
	const struct wv_row *row = &s->rows[slot];
	struct wv_domain_place *p = &d->places[slot];
	const struct wv_domain_place *parent = NULL;
	uint32_t own;
	bool same;

	if (slot == WV_SLOT_OTHER || slot >= d->max_rows || !(row->flags & WV_ROW_LIVE))
		return NULL;
	same = p->key == row->key && p->generation == d->generation;
	if (same && !p->pending)
		return p;
	if (same && p->tries >= POD_TRIES) {
		p->tries = p->tries + 1 < POD_TRIES + POD_SLOW ? p->tries + 1 : POD_TRIES;
		if (p->tries != POD_TRIES)
			return p;
	}
	if (!same)
		*p = (struct wv_domain_place){.key = row->key, .own = WV_NONE};
	if (p->tries < POD_TRIES)
		p->tries++;
	own = match(d, row, &p->pending);
	if (same && own != p->own)
		d->generation++; /* what is below it may have inherited something else */
	p->own = own;
	p->generation = d->generation;
	if (own == WV_NONE && row->parent_slot != slot && depth < MAX_DEPTH)
		parent = place_of(d, s, row->parent_slot, depth + 1);
	p->domain = own != WV_NONE ? own : parent ? parent->domain : WV_NONE;
	return p;
}

uint32_t wv_domains_of(struct wv_domains *d, const struct wv_sample *s, uint32_t slot)
{
	const struct wv_domain_place *p;

	if (!d->policy || !d->policy->n_domains)
		return WV_NONE;
	p = place_of(d, s, slot, 0);
	return p ? p->domain : WV_NONE;
}

bool wv_domains_root(struct wv_domains *d, const struct wv_sample *s, uint32_t slot)
{
	uint32_t domain = wv_domains_of(d, s, slot), parent = s->rows[slot].parent_slot;

	return domain != WV_NONE && (parent == slot || wv_domains_of(d, s, parent) != domain);
}
