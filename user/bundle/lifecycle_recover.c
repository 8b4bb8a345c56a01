// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a start finds. Each step can itself be interrupted anywhere: everything is decided from the
 * log and from what is on disk, and doing a step again does nothing more.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/lifecycle_internal.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"

/* What became of a deed whose intent is recorded. */
static int end_interrupted(struct wv_bundles *b, const struct wv_bundle_slot *slot,
			   const struct wv_manifest *m, bool done)
{
	struct wv_bundle_record record = {.deed = slot->pending,
					  .phase = done ? WV_PHASE_DONE : WV_PHASE_FAILED,
					  .kind = slot->kind,
					  .error = done ? 0 : ECANCELED};

	snprintf(record.name, sizeof(record.name), "%s", slot->name);
	snprintf(record.id, sizeof(record.id), "%s", slot->pending_id);
	snprintf(record.cause, sizeof(record.cause), "interrupted");
	if (m) {
		record.counter = m->counter;
		snprintf(record.version, sizeof(record.version), "%s", m->version);
	}
	return wv_bundles_emit(b, &record);
}

static int finish_stage(struct wv_bundles *b, struct wv_bundle_slot *slot)
{
	struct wv_manifest m;
	int r = wv_store_manifest(&b->store, slot->pending_id, &m), whole;

	if (r == -ENOENT || r == -EBADMSG)
		return end_interrupted(b, slot, NULL, false);
	if (r < 0)
		return r;
	whole = wv_store_verify(&b->store, &m, NULL);
	if (whole == 0) /* the name may not be on disk yet; what hangs on it is */
		whole = wv_io_sync_dir(b->io, b->store.dir);
	r = whole == 0 || whole == -EBADMSG ? end_interrupted(b, slot, &m, whole == 0) : whole;
	wv_manifest_done(&m);
	return r;
}

static int finish_activate(struct wv_bundles *b, struct wv_bundle_slot *slot)
{
	char id[WV_SHA256_HEX] = "";
	int r = wv_store_current(&b->store, slot->kind, slot->name, id);

	if (r < 0 && r != -ENOENT && r != -EBADMSG)
		return r;
	r = wv_io_sync_dir(b->io, b->store.dir);
	return r ?: end_interrupted(b, slot, NULL, strcmp(id, slot->pending_id) == 0);
}

static int finish_collect(struct wv_bundles *b, struct wv_bundle_slot *slot)
{
	int r = wv_store_remove(&b->store, slot->pending_id);

	return r ?: end_interrupted(b, slot, NULL, true);
}

static int finish_pending(struct wv_bundles *b, struct wv_bundle_slot *slot)
{
	switch (slot->pending) {
	case WV_DEED_NONE:
		return 0;
	case WV_DEED_STAGE:
		return finish_stage(b, slot);
	case WV_DEED_ACTIVATE:
		return finish_activate(b, slot);
	case WV_DEED_COLLECT:
		return finish_collect(b, slot);
	default: /* a rollback: the state says so, too */
		return 0;
	}
}

static int roll_back(struct wv_bundles *b, const struct wv_bundle_slot *slot, const char *cause)
{
	return wv_bundles_roll_back(b, slot->kind, slot->name, cause, false);
}

/*
 * The bytes that will be used are hashed; what is not whole is not used. A trial that is not linked
 * was taken back while the log could not be written (wv_bundles_roll_back).
 */
static int check_active(struct wv_bundles *b, struct wv_bundle_slot *slot)
{
	const struct wv_bundle_entry *e = wv_bundle_active(slot);
	char bad[WV_BUNDLE_PATH_SIZE], cause[WV_BUNDLE_PATH_SIZE + 32], id[WV_SHA256_HEX] = "";
	int r = e ? wv_bundles_check(b, e->id, bad) : 0;

	(void)wv_store_current(&b->store, slot->kind, slot->name, id);
	if (r == 0 && e && e->state == WV_BUNDLE_TRIAL && strcmp(id, e->id) != 0)
		return roll_back(b, slot, "it is not linked: taken back without a record");
	if (r != -EBADMSG)
		return r;
	snprintf(cause, sizeof(cause), "damaged: %s", bad);
	return roll_back(b, slot, cause);
}

/* A start of the agent in trial counts once, and before anything of the bundle is used. */
static int count_boot(struct wv_bundles *b, struct wv_bundle_slot *slot, const char *run)
{
	const struct wv_bundle_entry *e = wv_bundle_in(slot, WV_BUNDLE_TRIAL);
	struct wv_bundle_record record;
	struct wv_manifest m;
	uint32_t allowed;
	char cause[96];
	int r;

	if (!e || strcmp(slot->run, run) == 0)
		return 0;
	r = wv_store_manifest(&b->store, e->id, &m);
	if (r < 0)
		return r;
	allowed = m.trial_boots;
	wv_manifest_done(&m);
	record = wv_bundles_record(slot, e, WV_DEED_BOOT, WV_PHASE_DONE);
	snprintf(record.run, sizeof(record.run), "%s", run);
	r = wv_bundles_emit(b, &record);
	if (r < 0 || slot->boots <= allowed)
		return r;
	snprintf(cause, sizeof(cause), "boot loop: start %u of the agent in trial, %u are allowed",
		 slot->boots, allowed);
	return roll_back(b, slot, cause);
}

static bool links_are_right(const struct wv_bundles *b)
{
	for (unsigned i = 0; i < b->states.n; i++) {
		const struct wv_bundle_slot *slot = &b->states.slots[i];
		const struct wv_bundle_entry *e = wv_bundle_active(slot);
		char id[WV_SHA256_HEX] = "";

		(void)wv_store_current(&b->store, slot->kind, slot->name, id);
		if (strcmp(id, e ? e->id : "") != 0)
			return false;
	}
	return true;
}

static int settle_slot(struct wv_bundles *b, struct wv_bundle_slot *slot)
{
	int r = finish_pending(b, slot);

	return r == 0 && wv_bundle_in(slot, WV_BUNDLE_FAILED) ? roll_back(b, slot, "") : r;
}

int wv_bundles_settle(struct wv_bundles *b)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < b->states.n; i++)
		r = settle_slot(b, &b->states.slots[i]);
	return r ?: wv_store_clean(&b->store, false);
}

/* One slot that cannot be looked after does not keep the others from it. */
static int recover_slot(struct wv_bundles *b, struct wv_bundle_slot *slot, const char *run)
{
	int r = settle_slot(b, slot);

	r = r ?: check_active(b, slot);
	if (r == 0 && run)
		r = count_boot(b, slot, run);
	if (r < 0)
		(void)wv_log_errno(r, "bundle", "look after %s %s", wv_bundle_kinds[slot->kind],
				   slot->name);
	return r;
}

int wv_bundles_recover(struct wv_bundles *b, const char *run)
{
	bool trial = false;
	int first = 0, r = 0;

	for (unsigned i = 0; i < b->states.n; i++) {
		r = recover_slot(b, &b->states.slots[i], run);
		first = first ?: r;
		trial |= wv_bundle_in(&b->states.slots[i], WV_BUNDLE_TRIAL) != NULL;
	}
	if (first == 0 && !links_are_right(b))
		first = wv_bundles_switch(b, NULL, NULL);
	/* convenience from here on: no reason to fail a start */
	r = trial ? wv_store_keep_ballast(&b->store) : wv_store_drop_ballast(&b->store);
	r = r ?: wv_store_clean(&b->store, false);
	r = r ?: wv_bundles_refresh(b);
	if (r < 0)
		(void)wv_log_warn(r, "bundle", "clean %s/" WV_BUNDLES_DIR, b->paths->state);
	return first;
}

int wv_bundle_recover(const struct wv_io *io, const struct wv_paths *paths, const char *run)
{
	struct wv_bundles b;
	struct wv_store look;
	int r = wv_store_open(&look, io, paths->state, false);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	wv_store_close(&look);
	r = wv_bundles_open(&b, io, paths, run, true);
	if (r < 0)
		return r;
	r = wv_bundles_recover(&b, run);
	wv_bundles_close(&b);
	return r;
}
