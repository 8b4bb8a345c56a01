// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

const char *const wv_bundle_state_names[WV_BUNDLE_STATE_N] = {
#define X(id, name) [WV_BUNDLE_##id] = name,
	WV_BUNDLE_STATES(X)
#undef X
};

const char *const wv_bundle_deed_names[WV_DEED_N] = {
#define X(id, name) [WV_DEED_##id] = name,
	WV_BUNDLE_DEEDS(X)
#undef X
};

/* 0 (ABSENT) only by COLLECTED; +1, so that what is not in the table is refused. */
#define TO(state) (WV_BUNDLE_##state + 1)
#define ON(event) [WV_BUNDLE_EV_##event]
static const unsigned char actions[WV_BUNDLE_STATE_N][WV_BUNDLE_EVENT_N] = {
	[WV_BUNDLE_ABSENT] = {ON(STAGED) = TO(STAGED)},
	[WV_BUNDLE_STAGED] = {ON(STAGED) = TO(STAGED), ON(ACTIVATED) = TO(TRIAL),
			      ON(COLLECTED) = TO(ABSENT)},
	[WV_BUNDLE_TRIAL] = {ON(STAGED) = TO(TRIAL), /* it was mended */
			     ON(BOOTED) = TO(TRIAL), ON(CONFIRMED) = TO(CONFIRMED),
			     ON(FAILED) = TO(FAILED)},
	[WV_BUNDLE_CONFIRMED] = {ON(STAGED) = TO(CONFIRMED),
				 ON(FAILED) = TO(FAILED), /* by hand, or damaged */
				 ON(RESTORED) = TO(CONFIRMED), ON(SUPERSEDED) = TO(SUPERSEDED),
				 ON(DAMAGED) = TO(ROLLED_BACK)},
	/* the only way out is the rollback: it is never used again by accident */
	[WV_BUNDLE_FAILED] = {ON(STAGED) = TO(FAILED), ON(ROLLED_BACK) = TO(ROLLED_BACK)},
	[WV_BUNDLE_ROLLED_BACK] = {ON(STAGED) = TO(ROLLED_BACK),
				   ON(ACTIVATED) = TO(TRIAL), /* tried again, by hand */
				   ON(COLLECTED) = TO(ABSENT)},
	[WV_BUNDLE_SUPERSEDED] = {ON(STAGED) = TO(SUPERSEDED), ON(RESTORED) = TO(CONFIRMED),
				  ON(DAMAGED) = TO(ROLLED_BACK), ON(COLLECTED) = TO(ABSENT)},
};

int wv_bundle_next(enum wv_bundle_state state, enum wv_bundle_event event)
{
	return actions[state][event] - 1;
}

void wv_bundle_states_done(struct wv_bundle_states *s)
{
	for (unsigned i = 0; i < s->n; i++)
		free(s->slots[i].entries);
	free(s->slots);
	*s = (struct wv_bundle_states){0};
}

struct wv_bundle_slot *wv_bundle_slot(const struct wv_bundle_states *s, enum wv_bundle_kind kind,
				      const char *name)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->slots[i].kind == kind && strcmp(s->slots[i].name, name) == 0)
			return &s->slots[i];
	return NULL;
}

struct wv_bundle_entry *wv_bundle_entry(const struct wv_bundle_slot *slot, const char *id)
{
	for (unsigned i = 0; slot && i < slot->n; i++)
		if (strcmp(slot->entries[i].id, id) == 0)
			return &slot->entries[i];
	return NULL;
}

struct wv_bundle_entry *wv_bundle_in(const struct wv_bundle_slot *slot, enum wv_bundle_state state)
{
	for (unsigned i = 0; slot && i < slot->n; i++)
		if (slot->entries[i].state == state)
			return &slot->entries[i];
	return NULL;
}

struct wv_bundle_entry *wv_bundle_active(const struct wv_bundle_slot *slot)
{
	return wv_bundle_in(slot, WV_BUNDLE_TRIAL)
		       ?: wv_bundle_in(slot, WV_BUNDLE_FAILED)
				  ?: wv_bundle_in(slot, WV_BUNDLE_CONFIRMED);
}

struct wv_bundle_entry *wv_bundle_good(const struct wv_bundle_slot *slot)
{
	const struct wv_bundle_entry *active = wv_bundle_active(slot);
	struct wv_bundle_entry *confirmed = wv_bundle_in(slot, WV_BUNDLE_CONFIRMED), *best = NULL;

	if (confirmed && confirmed != active)
		return confirmed;
	for (unsigned i = 0; slot && i < slot->n; i++) {
		struct wv_bundle_entry *e = &slot->entries[i];

		if (e->state == WV_BUNDLE_SUPERSEDED &&
		    (!best || e->confirmed_seq > best->confirmed_seq))
			best = e;
	}
	return best;
}

bool wv_bundle_kept(const struct wv_bundle_slot *slot, const struct wv_bundle_entry *e)
{
	return e->pinned || e == wv_bundle_active(slot) || e == wv_bundle_good(slot) ||
	       e->state == WV_BUNDLE_CONFIRMED || e->state == WV_BUNDLE_FAILED ||
	       (slot->pending != WV_DEED_NONE && strcmp(slot->pending_id, e->id) == 0 &&
		slot->pending != WV_DEED_COLLECT);
}

/* Folding ------------------------------------------------------------------------------------- */

static const int event_of[WV_DEED_N] = {
	[WV_DEED_NONE] = -1,
	[WV_DEED_STAGE] = WV_BUNDLE_EV_STAGED,
	[WV_DEED_ACTIVATE] = WV_BUNDLE_EV_ACTIVATED,
	[WV_DEED_BOOT] = WV_BUNDLE_EV_BOOTED,
	[WV_DEED_CONFIRM] = WV_BUNDLE_EV_CONFIRMED,
	[WV_DEED_FAIL] = WV_BUNDLE_EV_FAILED,
	[WV_DEED_ROLLBACK] = WV_BUNDLE_EV_ROLLED_BACK,
	[WV_DEED_DAMAGE] = WV_BUNDLE_EV_DAMAGED,
	[WV_DEED_COLLECT] = WV_BUNDLE_EV_COLLECTED,
	[WV_DEED_HOOKS] = -1,
	[WV_DEED_PIN] = -1,
	[WV_DEED_UNPIN] = -1,
};

/* What the table cannot see: the rest of the slot. */
static bool slot_allows(const struct wv_bundle_slot *slot, const struct wv_bundle_record *r,
			const struct wv_bundle_entry *e)
{
	const struct wv_bundle_entry *target;

	switch (r->deed) {
	case WV_DEED_ACTIVATE: /* one at a time */
		return !wv_bundle_in(slot, WV_BUNDLE_TRIAL) &&
		       !wv_bundle_in(slot, WV_BUNDLE_FAILED);
	case WV_DEED_FAIL: /* a confirmed one under a trial is not in use */
		return e == wv_bundle_active(slot);
	case WV_DEED_ROLLBACK:
		target = r->target[0] ? wv_bundle_entry(slot, r->target) : NULL;
		return !r->target[0] ||
		       (target && wv_bundle_next(target->state, WV_BUNDLE_EV_RESTORED) >= 0 &&
			(target->state == WV_BUNDLE_CONFIRMED ||
			 !wv_bundle_in(slot, WV_BUNDLE_CONFIRMED)));
	case WV_DEED_DAMAGE:
		return e != wv_bundle_active(slot);
	case WV_DEED_COLLECT:
		return !wv_bundle_kept(slot, e);
	default:
		return true;
	}
}

int wv_bundle_may(const struct wv_bundle_states *s, const struct wv_bundle_record *r)
{
	const struct wv_bundle_slot *slot = wv_bundle_slot(s, r->kind, r->name);
	const struct wv_bundle_entry *e = wv_bundle_entry(slot, r->id);

	if (r->deed == WV_DEED_STAGE && !e) {
		if (slot ? slot->n >= WV_BUNDLE_ENTRIES_MAX : s->n >= WV_BUNDLE_SLOTS_MAX)
			return -ENOSPC;
		return r->id[0] && r->name[0] ? 0 : -EINVAL;
	}
	if (r->phase == WV_PHASE_FAILED)
		return slot ? 0 : -EINVAL;
	if (!e)
		return -EINVAL;
	if (event_of[r->deed] >= 0 &&
	    wv_bundle_next(e->state, (enum wv_bundle_event)event_of[r->deed]) < 0)
		return -EINVAL;
	return slot_allows(slot, r, e) ? 0 : -EINVAL;
}

static struct wv_bundle_slot *add_slot(struct wv_bundle_states *s, const struct wv_bundle_record *r)
{
	struct wv_bundle_slot *more = realloc(s->slots, (s->n + 1) * sizeof(*more));

	if (!more)
		return NULL;
	s->slots = more;
	more[s->n] = (struct wv_bundle_slot){.kind = r->kind};
	snprintf(more[s->n].name, sizeof(more[s->n].name), "%s", r->name);
	return &more[s->n++];
}

static struct wv_bundle_entry *add_entry(struct wv_bundle_slot *slot,
					 const struct wv_bundle_record *r)
{
	struct wv_bundle_entry *more = realloc(slot->entries, (slot->n + 1) * sizeof(*more)), *e;

	if (!more)
		return NULL;
	slot->entries = more;
	e = &more[slot->n++];
	*e = (struct wv_bundle_entry){.counter = r->counter, .since_wall_ns = r->wall_ns};
	snprintf(e->id, sizeof(e->id), "%s", r->id);
	snprintf(e->version, sizeof(e->version), "%s", r->version);
	return e;
}

static void drop_entry(struct wv_bundle_slot *slot, struct wv_bundle_entry *e)
{
	size_t i = (size_t)(e - slot->entries);

	memmove(e, e + 1, (slot->n - i - 1) * sizeof(*e));
	slot->n--;
}

static void enter(struct wv_bundle_entry *e, enum wv_bundle_event event,
		  const struct wv_bundle_record *r)
{
	int next = wv_bundle_next(e->state, event);

	if (next < 0)
		return;
	if (e->state != (enum wv_bundle_state)next)
		e->since_wall_ns = r->wall_ns;
	e->state = (enum wv_bundle_state)next;
	if (event == WV_BUNDLE_EV_CONFIRMED || event == WV_BUNDLE_EV_RESTORED)
		e->confirmed_seq = r->seq;
	if (event == WV_BUNDLE_EV_FAILED || event == WV_BUNDLE_EV_DAMAGED)
		snprintf(e->cause, sizeof(e->cause), "%s", r->cause);
}

static void set_hook(struct wv_bundle_slot *slot, enum wv_bundle_moment moment, const char *id)
{
	snprintf(slot->hooks[moment], sizeof(slot->hooks[moment]), "%s", id);
}

static void set_pending(struct wv_bundle_slot *slot, enum wv_bundle_deed_id deed, const char *id)
{
	slot->pending = deed;
	snprintf(slot->pending_id, sizeof(slot->pending_id), "%s", id);
}

static void confirmed(struct wv_bundle_slot *slot, struct wv_bundle_entry *e,
		      const struct wv_bundle_record *r)
{
	for (unsigned i = 0; i < slot->n; i++)
		if (&slot->entries[i] != e)
			enter(&slot->entries[i], WV_BUNDLE_EV_SUPERSEDED, r);
	set_hook(slot, WV_ON_CONFIRM, r->id);
}

static void rolled_back(struct wv_bundle_slot *slot, const struct wv_bundle_record *r)
{
	struct wv_bundle_entry *target = r->target[0] ? wv_bundle_entry(slot, r->target) : NULL;

	if (target)
		enter(target, WV_BUNDLE_EV_RESTORED, r);
	set_hook(slot, WV_ON_ACTIVATE, target ? target->id : "");
	set_hook(slot, WV_ON_CONFIRM, "");
	set_hook(slot, WV_ON_ROLLBACK, r->id);
}

/* A deed that was done. */
static void done(struct wv_bundle_slot *slot, struct wv_bundle_entry *e,
		 const struct wv_bundle_record *r)
{
	if (event_of[r->deed] >= 0)
		enter(e, (enum wv_bundle_event)event_of[r->deed], r);
	if (slot->pending == r->deed)
		set_pending(slot, WV_DEED_NONE, "");
	switch (r->deed) {
	case WV_DEED_STAGE:
		slot->highest = r->counter > slot->highest ? r->counter : slot->highest;
		break;
	case WV_DEED_ACTIVATE:
		slot->boots = 0;
		slot->run[0] = '\0';
		set_hook(slot, WV_ON_ACTIVATE, r->id);
		set_hook(slot, WV_ON_CONFIRM, "");
		set_hook(slot, WV_ON_ROLLBACK, "");
		break;
	case WV_DEED_BOOT:
		slot->boots++;
		snprintf(slot->run, sizeof(slot->run), "%s", r->run);
		break;
	case WV_DEED_CONFIRM:
		confirmed(slot, e, r);
		break;
	case WV_DEED_FAIL:
		set_pending(slot, WV_DEED_ROLLBACK, r->id);
		break;
	case WV_DEED_ROLLBACK:
		rolled_back(slot, r);
		break;
	case WV_DEED_HOOKS:
		if (strcmp(slot->hooks[r->moment], r->id) == 0)
			set_hook(slot, r->moment, "");
		break;
	case WV_DEED_PIN:
	case WV_DEED_UNPIN:
		e->pinned = r->deed == WV_DEED_PIN;
		break;
	default:
		break;
	}
	if (e->state == WV_BUNDLE_ABSENT)
		drop_entry(slot, e);
}

/* A deed whose outcome is a failure leaves the bundle as it was; hooks are not run twice. */
static void not_done(struct wv_bundle_slot *slot, const struct wv_bundle_record *r)
{
	if (slot->pending == r->deed && r->deed != WV_DEED_ROLLBACK)
		set_pending(slot, WV_DEED_NONE, "");
	if (r->deed == WV_DEED_HOOKS && strcmp(slot->hooks[r->moment], r->id) == 0)
		set_hook(slot, r->moment, "");
}

int wv_bundle_apply(struct wv_bundle_states *s, const struct wv_bundle_record *r)
{
	struct wv_bundle_slot *slot;
	struct wv_bundle_entry *e;
	int may = wv_bundle_may(s, r);

	if (r->seq > s->seq)
		s->seq = r->seq;
	if (may < 0) {
		s->refused++;
		return may;
	}
	slot = wv_bundle_slot(s, r->kind, r->name) ?: add_slot(s, r);
	if (!slot)
		return -ENOMEM;
	if (r->phase == WV_PHASE_INTENT) {
		set_pending(slot, r->deed, r->id);
		return 0;
	}
	if (r->phase == WV_PHASE_FAILED) {
		not_done(slot, r);
		return 0;
	}
	e = wv_bundle_entry(slot, r->id) ?: add_entry(slot, r);
	if (!e)
		return -ENOMEM;
	done(slot, e, r);
	return 0;
}
