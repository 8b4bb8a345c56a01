// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/trial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"

/* So soon a round is tried again whose records could not be written; then half as often each time.
 */
#define RETRY_NS 1000000000ULL
#define RETRY_SHIFT_MAX 6
/* Hooks of a rollback may make more hooks due; a round takes at most so many. */
#define ROUNDS 8

struct wv_watched {
	enum wv_bundle_kind kind;
	char name[WV_BUNDLE_NAME_SIZE], id[WV_SHA256_HEX];
	struct wv_manifest m;
	struct wv_health health;
	bool seen;
};

void wv_trial_init(struct wv_trial *t, const struct wv_io *io, const struct wv_paths *paths,
		   const char *run_id)
{
	*t = (struct wv_trial){.io = io,
			       .paths = paths,
			       .run_id = run_id,
			       .probe = wv_health_probe,
			       .probe_ctx = (void *)(uintptr_t)paths,
			       .deed = wv_bundle_deed,
			       .deed_ctx = (void *)(uintptr_t)paths};
}

static void forget(struct wv_trial *t, unsigned i)
{
	wv_manifest_done(&t->watched[i]->m);
	free(t->watched[i]);
	t->watched[i] = t->watched[--t->n];
}

void wv_trial_done(struct wv_trial *t)
{
	while (t->n)
		forget(t, t->n - 1);
}

static uint64_t now_ns(const struct wv_trial *t)
{
	return t->io->mono_ns(t->io->ctx);
}

/* Changes are short: the lock is held only for a record, never while a hook runs. */
static int change(struct wv_trial *t, struct wv_bundles *b)
{
	return wv_bundles_open(b, t->io, t->paths, t->run_id, true);
}

static int roll_back(struct wv_trial *t, enum wv_bundle_kind kind, const char *name, const char *id,
		     const char *cause)
{
	const struct wv_bundle_entry *e;
	struct wv_bundles b;
	int r = change(t, &b);

	if (r < 0)
		return r;
	/* somebody may have confirmed or replaced it meanwhile */
	e = wv_bundle_active(wv_bundle_slot(&b.states, kind, name));
	if (e && strcmp(e->id, id) == 0 &&
	    (e->state == WV_BUNDLE_TRIAL || e->state == WV_BUNDLE_FAILED))
		r = wv_bundles_roll_back(&b, kind, name, cause, false);
	wv_bundles_close(&b);
	return r;
}

static int confirm(struct wv_trial *t, const struct wv_watched *w)
{
	const struct wv_bundle_entry *e;
	struct wv_bundles b;
	int r = change(t, &b);

	if (r < 0)
		return r;
	e = wv_bundle_in(wv_bundle_slot(&b.states, w->kind, w->name), WV_BUNDLE_TRIAL);
	if (e && strcmp(e->id, w->id) == 0)
		r = wv_bundles_confirm(&b, w->kind, w->name, "its health rules held");
	wv_bundles_close(&b);
	if (r == 0)
		wv_log_info("bundle", "%s %s %.12s is confirmed", wv_bundle_kinds[w->kind], w->name,
			    w->id);
	return r;
}

/* Hooks --------------------------------------------------------------------------------------- */

struct due {
	enum wv_bundle_kind kind;
	enum wv_bundle_moment moment;
	char name[WV_BUNDLE_NAME_SIZE], id[WV_SHA256_HEX];
	bool trial;
};

/* The first moment with hooks to run; what a rollback takes back comes before what it puts there.
 */
static bool find_due(const struct wv_bundles *b, struct due *ret)
{
	static const enum wv_bundle_moment order[] = {WV_ON_ROLLBACK, WV_ON_ACTIVATE,
						      WV_ON_CONFIRM};

	for (unsigned i = 0; i < b->states.n; i++) {
		const struct wv_bundle_slot *slot = &b->states.slots[i];

		for (size_t k = 0; k < ARRAY_SIZE(order); k++) {
			const char *id = slot->hooks[order[k]];
			const struct wv_bundle_entry *e = wv_bundle_entry(slot, id);

			if (!e)
				continue;
			*ret = (struct due){.kind = slot->kind,
					    .moment = order[k],
					    .trial = e->state == WV_BUNDLE_TRIAL};
			snprintf(ret->name, sizeof(ret->name), "%s", slot->name);
			snprintf(ret->id, sizeof(ret->id), "%s", id);
			return true;
		}
	}
	return false;
}

/* A policy and a configuration are read again whenever it is another one, declared or not. */
static int implied(struct wv_trial *t, const struct due *due, char why[WV_DEED_WHY])
{
	const struct wv_bundle_hook reload = {
		.what = due->kind == WV_BUNDLE_CONFIG ? WV_DO_RELOAD_CONFIG : WV_DO_RELOAD_POLICY};

	if ((due->kind != WV_BUNDLE_POLICY && due->kind != WV_BUNDLE_CONFIG) ||
	    due->moment == WV_ON_CONFIRM)
		return 0;
	return t->deed(t->deed_ctx, &reload, why);
}

static int run_hooks(struct wv_trial *t, const struct wv_manifest *m, const struct due *due,
		     char detail[200])
{
	char why[WV_DEED_WHY] = "";
	int first = implied(t, due, why), r;

	if (first < 0)
		snprintf(detail, 200, "reload-%s: %.150s", wv_bundle_kinds[due->kind], why);
	if (first == -EINTR)
		return first;
	for (unsigned i = 0; i < m->n_hooks; i++) {
		const struct wv_bundle_hook *hook = &m->hooks[i];

		if (hook->on != due->moment)
			continue;
		r = t->deed(t->deed_ctx, hook, why);
		if (r == -EINTR)
			return r;
		if (r == 0 || first < 0)
			continue;
		first = r;
		snprintf(detail, 200, "%.20s %.40s: %.120s", wv_bundle_deeds[hook->what],
			 hook->service, why);
	}
	return first;
}

/* Runs what is due and records it; a hook that fails ends a trial. */
static int do_due(struct wv_trial *t, const struct due *due)
{
	char detail[200] = "";
	struct wv_manifest m;
	struct wv_bundles b;
	struct wv_store s;
	int r = wv_store_open(&s, t->io, t->paths->state, false), done;

	if (r < 0)
		return r;
	r = wv_store_manifest(&s, due->id, &m);
	wv_store_close(&s);
	done = r < 0 ? r : run_hooks(t, &m, due, detail);
	if (r == 0)
		wv_manifest_done(&m);
	if (done == -EINTR) /* they stay due: the next agent runs them */
		return done;
	if (done < 0)
		(void)wv_log_warn(done, "bundle", "hooks of %s %s: %s", wv_bundle_kinds[due->kind],
				  due->name, detail);
	r = change(t, &b);
	if (r < 0)
		return r;
	r = wv_bundles_hooks_done(&b, due->kind, due->name, due->moment, -done, detail);
	wv_bundles_close(&b);
	if (r == -ENOENT || r == -EINVAL)
		r = 0; /* it was replaced meanwhile */
	if (r == 0 && done < 0 && due->trial && due->moment == WV_ON_ACTIVATE)
		r = roll_back(t, due->kind, due->name, due->id, detail);
	return r;
}

/* Trials -------------------------------------------------------------------------------------- */

static struct wv_watched *find(const struct wv_trial *t, const struct wv_bundle_slot *slot)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->watched[i]->kind == slot->kind &&
		    strcmp(t->watched[i]->name, slot->name) == 0)
			return t->watched[i];
	return NULL;
}

static int watch(struct wv_trial *t, const struct wv_bundles *b, const struct wv_bundle_slot *slot,
		 const struct wv_bundle_entry *e, struct wv_watched **ret)
{
	struct wv_watched *w = find(t, slot);
	int r;

	if (w && strcmp(w->id, e->id) == 0) {
		*ret = w;
		return 0;
	}
	if (!w && t->n == ARRAY_SIZE(t->watched))
		return -ENOSPC;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	r = wv_store_manifest(&b->store, e->id, &w->m);
	if (r < 0) {
		free(w);
		return r;
	}
	w->kind = slot->kind;
	snprintf(w->name, sizeof(w->name), "%s", slot->name);
	snprintf(w->id, sizeof(w->id), "%s", e->id);
	wv_health_begin(&w->health, &w->m, now_ns(t));
	t->watched[t->n++] = w;
	*ret = w;
	return 0;
}

/* Settings take effect at a start of the agent: before one there is nothing to watch. */
static bool waits_for_start(const struct wv_bundle_slot *slot)
{
	return slot->kind == WV_BUNDLE_CONFIG && slot->boots == 0;
}

struct end {
	enum wv_health_verdict verdict;
	enum wv_bundle_kind kind;
	char name[WV_BUNDLE_NAME_SIZE], id[WV_SHA256_HEX];
	char why[200];
};

/* Looks at one trial; *end is filled when it is over. */
static int look(struct wv_trial *t, const struct wv_bundles *b, const struct wv_bundle_slot *slot,
		const struct wv_bundle_entry *e, struct end *end, uint64_t *next)
{
	char id[WV_SHA256_HEX] = "";
	uint64_t due = UINT64_MAX;
	struct wv_watched *w;
	int r = watch(t, b, slot, e, &w);

	end->verdict = WV_HEALTH_WAIT;
	if (r < 0)
		return r;
	w->seen = true;
	if (waits_for_start(slot)) {
		wv_health_begin(&w->health, &w->m, now_ns(t));
		return 0;
	}
	(void)wv_store_current(&b->store, slot->kind, slot->name, id);
	if (strcmp(id, e->id) != 0) {
		snprintf(end->why, sizeof(end->why),
			 "it is not linked: taken back without a record");
		end->verdict = WV_HEALTH_ILL;
	} else {
		end->verdict = wv_health_step(&w->health, t->probe, t->probe_ctx, now_ns(t), &due,
					      end->why);
	}
	end->kind = slot->kind;
	snprintf(end->name, sizeof(end->name), "%s", slot->name);
	snprintf(end->id, sizeof(end->id), "%s", e->id);
	*next = due < *next ? due : *next;
	return 0;
}

static int end_trial(struct wv_trial *t, const struct end *end)
{
	struct wv_watched w = {.kind = end->kind};

	if (end->verdict == WV_HEALTH_ILL)
		return roll_back(t, end->kind, end->name, end->id, end->why);
	snprintf(w.name, sizeof(w.name), "%s", end->name);
	snprintf(w.id, sizeof(w.id), "%s", end->id);
	return confirm(t, &w);
}

/* 1: something was done, and there may be more; 0: nothing to do before *next. */
static int round_of(struct wv_trial *t, uint64_t *next)
{
	struct end end = {.verdict = WV_HEALTH_WAIT};
	struct due due;
	struct wv_bundles b;
	bool hooks;
	int r = wv_bundles_open(&b, t->io, t->paths, t->run_id, false);

	*next = UINT64_MAX;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	hooks = find_due(&b, &due);
	for (unsigned i = 0; i < t->n; i++)
		t->watched[i]->seen = false;
	for (unsigned i = 0; !hooks && r == 0 && end.verdict == WV_HEALTH_WAIT && i < b.states.n;
	     i++) {
		const struct wv_bundle_slot *slot = &b.states.slots[i];
		const struct wv_bundle_entry *e = wv_bundle_in(slot, WV_BUNDLE_TRIAL);

		if (e)
			r = look(t, &b, slot, e, &end, next);
	}
	wv_bundles_close(&b);
	if (hooks) {
		r = do_due(t, &due);
		return r < 0 ? r : 1;
	}
	if (r == 0 && end.verdict != WV_HEALTH_WAIT) {
		r = end_trial(t, &end);
		return r < 0 ? r : 1;
	}
	for (unsigned i = t->n; r == 0 && i-- > 0;)
		if (!t->watched[i]->seen)
			forget(t, i);
	return r;
}

int wv_trial_step(struct wv_trial *t, uint64_t *ret_next_ns)
{
	uint64_t next = UINT64_MAX;
	int r = 1;

	for (int i = 0; r > 0 && i < ROUNDS; i++)
		r = round_of(t, &next);
	t->errors = r < 0 ? t->errors + (t->errors < RETRY_SHIFT_MAX) : 0;
	if (r != 0)
		next = now_ns(t) + (RETRY_NS << t->errors) / 2;
	*ret_next_ns = next;
	return r < 0 ? r : 0;
}
