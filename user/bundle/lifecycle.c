// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/lifecycle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/lifecycle_internal.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/event.h"

#define CACHE "state.json"
#define CACHE_MAX (4U << 20)
#define SCHEMA_VERSION 1
/* So many records of others behind the last bundle-state, and it is written anew: retention of the
 * log then always finds a newer one. */
#define SNAPSHOT_EVERY 20000

/* Folding ------------------------------------------------------------------------------------- */

static void load_cache(struct wv_bundles *b)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o;

	if (wv_io_read_file(b->io, b->store.dir, CACHE, CACHE_MAX, &text, NULL) < 0)
		return;
	o = json_tokener_parse(text);
	if (o && wv_bundle_states_parse(o, &b->states) < 0)
		(void)wv_log_full(LOG_WARNING, 0, "bundle",
				  "%s/" WV_BUNDLES_DIR "/" CACHE " is unreadable; the log is read",
				  b->paths->state);
	json_object_put(o);
}

/* Only what was committed is in the cache, so a log that is shorter was lost or replaced: what is
 * known is kept, and told to the new log. */
static bool log_is_short(const struct wv_bundles *b)
{
	return b->log && b->states.seq > wv_tlog_size(b->log);
}

static int fold(struct wv_bundles *b)
{
	uint64_t from = b->states.seq + 1, seq;
	struct wv_tlog_reader *reader;
	const char *line;
	size_t len;
	int r;

	r = wv_tlog_read_open(&reader, b->io, b->paths->state, from);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while ((r = wv_tlog_read(reader, &seq, &line, &len)) > 0) {
		struct wv_bundle_states snapshot;
		struct wv_bundle_record record;
		int found = wv_bundle_record_parse(line, &record, &snapshot);

		if (seq <= b->states.seq && found != 2)
			continue;
		if (found == 2) {
			wv_bundle_states_done(&b->states);
			b->states = snapshot;
		} else if (found == 1) {
			found = wv_bundle_apply(&b->states, &record);
			if (found == -ENOMEM)
				break;
		} else if (found == -EBADMSG) {
			b->states.refused++;
		}
		b->states.seq = seq;
	}
	wv_tlog_read_close(reader);
	return r;
}

static void save(struct wv_bundles *b)
{
	struct json_object *o = wv_bundle_states_fields(&b->states);
	const char *text;
	int r;

	if (!o)
		return;
	json_object_object_add(o, "schema_version", json_object_new_int(SCHEMA_VERSION));
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	r = text ? wv_io_replace(b->io, b->store.dir, CACHE, text, strlen(text), 0644) : -ENOMEM;
	if (r < 0) /* the next one reads a little more of the log */
		(void)wv_log_full(LOG_DEBUG, r, "bundle", "write " CACHE);
	json_object_put(o);
}

int wv_bundles_open(struct wv_bundles *ret, const struct wv_io *io, const struct wv_paths *paths,
		    const char *run_id, bool change)
{
	struct wv_bundles b = {.io = io, .paths = paths};
	int r = wv_store_open(&b.store, io, paths->state, change);

	if (r < 0)
		return r;
	snprintf(b.run_id, sizeof(b.run_id), "%s", run_id ?: "");
	r = change ? wv_tlog_open_device(&b.log, io, paths) : 0;
	if (r == 0) {
		load_cache(&b);
		if (log_is_short(&b))
			r = wv_bundles_snapshot(&b);
		else
			r = fold(&b);
	}
	if (r < 0) {
		wv_bundles_close(&b);
		return r;
	}
	*ret = b;
	return 0;
}

void wv_bundles_close(struct wv_bundles *b)
{
	wv_bundle_states_done(&b->states);
	if (b->log)
		wv_tlog_close(b->log);
	b->log = NULL;
	wv_store_close(&b->store);
}

int wv_bundles_snapshot(struct wv_bundles *b)
{
	struct json_object *o = wv_bundle_states_fields(&b->states);
	uint64_t seq;
	int r = o ? wv_event(b->log, b->io, b->run_id, WV_BUNDLE_STATE, o, true, &seq) : -ENOMEM;

	if (r < 0)
		return r;
	b->states.seq = b->states.snapshot_seq = seq;
	save(b);
	return 0;
}

int wv_bundles_restate(void *ctx, struct wv_tlog *l, uint64_t first, uint64_t last)
{
	const struct wv_bundles_at *at = ctx;
	struct wv_paths paths = {.state = ""};
	struct json_object *o;
	struct wv_bundles b;
	int r;

	(void)first; /* the newest one is all that counts */
	snprintf(paths.state, sizeof(paths.state), "%s", at->state);
	r = wv_bundles_open(&b, at->io, &paths, "", false);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (b.states.n && b.states.snapshot_seq <= last) {
		o = wv_bundle_states_fields(&b.states);
		r = o ? wv_event(l, at->io, "", WV_BUNDLE_STATE, o, true, NULL) : -ENOMEM;
	}
	wv_bundles_close(&b);
	return r;
}

int wv_bundles_refresh(struct wv_bundles *b)
{
	return b->states.n && wv_tlog_size(b->log) - b->states.snapshot_seq > SNAPSHOT_EVERY
		       ? wv_bundles_snapshot(b)
		       : 0;
}

/* Records ------------------------------------------------------------------------------------- */

int wv_bundles_emit(struct wv_bundles *b, struct wv_bundle_record *record)
{
	struct json_object *fields;
	int r = wv_bundle_may(&b->states, record);

	if (r < 0)
		return r;
	fields = wv_bundle_record_fields(record);
	if (!fields)
		return -ENOMEM;
	record->wall_ns = b->io->wall_ns(b->io->ctx);
	r = wv_event(b->log, b->io, b->run_id, wv_bundle_record_type(record), fields, true,
		     &record->seq);
	if (r < 0)
		return r;
	r = wv_bundle_apply(&b->states, record);
	if (r == 0 && record->phase != WV_PHASE_INTENT)
		save(b);
	return r;
}

struct wv_bundle_record wv_bundles_record(const struct wv_bundle_slot *slot,
					  const struct wv_bundle_entry *e,
					  enum wv_bundle_deed_id deed, enum wv_bundle_phase phase)
{
	struct wv_bundle_record r = {
		.deed = deed, .phase = phase, .kind = slot->kind, .counter = e->counter};

	snprintf(r.name, sizeof(r.name), "%s", slot->name);
	snprintf(r.id, sizeof(r.id), "%s", e->id);
	snprintf(r.version, sizeof(r.version), "%s", e->version);
	return r;
}

static struct wv_bundle_record record_of(const struct wv_manifest *m, enum wv_bundle_deed_id deed,
					 enum wv_bundle_phase phase)
{
	struct wv_bundle_record r = {
		.deed = deed, .phase = phase, .kind = m->kind, .counter = m->counter};

	snprintf(r.name, sizeof(r.name), "%s", m->name);
	snprintf(r.id, sizeof(r.id), "%s", m->id);
	snprintf(r.version, sizeof(r.version), "%s", m->version);
	return r;
}

/* Records how a deed ended and passes its error on. */
static int end_deed(struct wv_bundles *b, struct wv_bundle_record *record, int error)
{
	int r;

	record->phase = error < 0 ? WV_PHASE_FAILED : WV_PHASE_DONE;
	record->error = -error;
	r = wv_bundles_emit(b, record);
	return error < 0 ? error : r;
}

/* Deeds --------------------------------------------------------------------------------------- */

int wv_bundles_stage(struct wv_bundles *b, const struct wv_store_source *from,
		     struct wv_store_staged *ret)
{
	struct wv_bundle_record record = record_of(from->manifest, WV_DEED_STAGE, WV_PHASE_INTENT);
	int r = wv_bundles_emit(b, &record);

	if (r < 0)
		return r;
	r = wv_store_stage(&b->store, from, ret);
	return end_deed(b, &record, r);
}

/* All that is to be active, with one of them replaced: id NULL as it is, "" nothing. */
int wv_bundles_switch(struct wv_bundles *b, const struct wv_bundle_slot *changed, const char *id)
{
	struct wv_store_link links[WV_BUNDLE_SLOTS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < b->states.n; i++) {
		const struct wv_bundle_slot *slot = &b->states.slots[i];
		const struct wv_bundle_entry *active = wv_bundle_active(slot);
		const char *to = slot == changed && id ? id : active ? active->id : "";

		if (*to)
			links[n++] = (struct wv_store_link){
				.kind = slot->kind, .name = slot->name, .id = to};
	}
	return wv_store_switch(&b->store, links, n);
}

int wv_bundles_check(struct wv_bundles *b, const char *id, char bad[WV_BUNDLE_PATH_SIZE])
{
	struct wv_manifest m;
	int r = wv_store_manifest(&b->store, id, &m);

	bad[0] = '\0';
	if (r < 0) {
		snprintf(bad, WV_BUNDLE_PATH_SIZE, WV_BUNDLE_MANIFEST);
		return r == -ENOENT ? -EBADMSG : r;
	}
	r = wv_store_verify(&b->store, &m, bad);
	wv_manifest_done(&m);
	return r;
}

int wv_bundles_activate(struct wv_bundles *b, enum wv_bundle_kind kind, const char *name,
			const char *id)
{
	const struct wv_bundle_slot *slot = wv_bundle_slot(&b->states, kind, name);
	const struct wv_bundle_entry *e = wv_bundle_entry(slot, id);
	char bad[WV_BUNDLE_PATH_SIZE];
	struct wv_bundle_record record;
	int r;

	if (!e)
		return -ENOENT;
	if (wv_bundle_in(slot, WV_BUNDLE_TRIAL) || wv_bundle_in(slot, WV_BUNDLE_FAILED))
		return -EBUSY;
	r = wv_bundles_check(b, id, bad);
	if (r < 0)
		return r;
	r = wv_store_keep_ballast(&b->store);
	if (r < 0) /* it would not be there when the rollback needs it */
		return r;
	record = wv_bundles_record(slot, e, WV_DEED_ACTIVATE, WV_PHASE_INTENT);
	r = wv_bundles_emit(b, &record);
	if (r < 0)
		return r;
	r = wv_bundles_switch(b, slot, id);
	/* an error after the rename: only recovery can tell which set is active */
	if (r < 0)
		return r;
	return end_deed(b, &record, 0);
}

int wv_bundles_confirm(struct wv_bundles *b, enum wv_bundle_kind kind, const char *name,
		       const char *cause)
{
	const struct wv_bundle_slot *slot = wv_bundle_slot(&b->states, kind, name);
	const struct wv_bundle_entry *e = wv_bundle_in(slot, WV_BUNDLE_TRIAL);
	struct wv_bundle_record record;

	if (!e)
		return -ENOENT;
	record = wv_bundles_record(slot, e, WV_DEED_CONFIRM, WV_PHASE_DONE);
	snprintf(record.cause, sizeof(record.cause), "%s", cause);
	return wv_bundles_emit(b, &record);
}

/* The last known good that is whole; those that are not are told so. 0 with *ret NULL: none. */
static int find_target(struct wv_bundles *b, const struct wv_bundle_slot *slot,
		       const struct wv_bundle_entry **ret)
{
	const struct wv_bundle_entry *good;
	char bad[WV_BUNDLE_PATH_SIZE];

	while ((good = wv_bundle_good(slot))) {
		struct wv_bundle_record record;
		int r = wv_bundles_check(b, good->id, bad);

		if (r == 0)
			break;
		if (r != -EBADMSG)
			return r;
		record = wv_bundles_record(slot, good, WV_DEED_DAMAGE, WV_PHASE_DONE);
		snprintf(record.cause, sizeof(record.cause), "damaged: %.180s", bad);
		(void)wv_log_full(LOG_ERR, 0, "bundle", "%s %s: the last known good is damaged: %s",
				  wv_bundle_kinds[slot->kind], slot->name, bad);
		r = wv_bundles_emit(b, &record);
		if (r < 0)
			return r;
	}
	*ret = good;
	return 0;
}

/* From failed to rolled back. target: whole; NULL: to nothing. */
static int finish_rollback(struct wv_bundles *b, struct wv_bundle_slot *slot,
			   const struct wv_bundle_entry *target)
{
	const struct wv_bundle_entry *failed = wv_bundle_in(slot, WV_BUNDLE_FAILED);
	struct wv_bundle_record record;
	int r;

	if (!failed)
		return 0;
	r = wv_bundles_switch(b, slot, target ? target->id : "");
	if (r < 0)
		return r;
	record = wv_bundles_record(slot, failed, WV_DEED_ROLLBACK, WV_PHASE_DONE);
	snprintf(record.target, sizeof(record.target), "%s", target ? target->id : "");
	snprintf(record.cause, sizeof(record.cause), "%s", failed->cause);
	(void)wv_log_full(LOG_WARNING, 0, "bundle", "%s %s: rolled back from %.12s to %.12s: %s",
			  wv_bundle_kinds[slot->kind], slot->name, failed->id,
			  target ? target->id : "nothing", failed->cause);
	return wv_bundles_emit(b, &record);
}

/* With records: that it failed, the switch, that it was made. */
static int roll_back(struct wv_bundles *b, struct wv_bundle_slot *slot,
		     const struct wv_bundle_entry *e, const struct wv_bundle_entry *target,
		     const char *cause)
{
	if (e->state != WV_BUNDLE_FAILED) {
		struct wv_bundle_record record =
			wv_bundles_record(slot, e, WV_DEED_FAIL, WV_PHASE_DONE);
		int r;

		snprintf(record.cause, sizeof(record.cause), "%s", cause);
		r = wv_bundles_emit(b, &record);
		if (r < 0)
			return r;
	}
	return finish_rollback(b, slot, target);
}

/*
 * The log cannot be written. Being well comes before being recorded: the switch is made, and the
 * next recovery finds a trial that is not linked and records the rollback then.
 */
static void switch_unrecorded(struct wv_bundles *b, const struct wv_bundle_slot *slot,
			      const struct wv_bundle_entry *target, const char *cause)
{
	int r = wv_bundles_switch(b, slot, target ? target->id : "");

	(void)wv_log_full(LOG_ERR, r, "bundle",
			  "%s %s: rolled back without a record, for the log cannot be written: %s",
			  wv_bundle_kinds[slot->kind], slot->name, cause);
}

int wv_bundles_roll_back(struct wv_bundles *b, enum wv_bundle_kind kind, const char *name,
			 const char *cause, bool needs_target)
{
	struct wv_bundle_slot *slot = wv_bundle_slot(&b->states, kind, name);
	const struct wv_bundle_entry *e = wv_bundle_active(slot), *target = NULL;
	int r;

	if (!e)
		return -ENOENT;
	r = find_target(b, slot, &target);
	if (r < 0)
		return r;
	if (needs_target && !target)
		return -ENODATA;
	r = roll_back(b, slot, e, target, cause);
	if (r == -ENOSPC || r == -EDQUOT) {
		(void)wv_store_drop_ballast(&b->store);
		r = roll_back(b, slot, e, target, cause);
	}
	if (r < 0)
		switch_unrecorded(b, slot, target, cause);
	return r;
}

int wv_bundles_hooks_done(struct wv_bundles *b, enum wv_bundle_kind kind, const char *name,
			  enum wv_bundle_moment moment, int error, const char *detail)
{
	const struct wv_bundle_slot *slot = wv_bundle_slot(&b->states, kind, name);
	const struct wv_bundle_entry *e = slot ? wv_bundle_entry(slot, slot->hooks[moment]) : NULL;
	struct wv_bundle_record record;

	if (!e)
		return -ENOENT;
	record = wv_bundles_record(slot, e, WV_DEED_HOOKS, error ? WV_PHASE_FAILED : WV_PHASE_DONE);
	record.moment = moment;
	record.error = error;
	snprintf(record.cause, sizeof(record.cause), "%s", detail);
	return wv_bundles_emit(b, &record);
}

int wv_bundles_pin(struct wv_bundles *b, enum wv_bundle_kind kind, const char *name, const char *id,
		   bool pin)
{
	const struct wv_bundle_slot *slot = wv_bundle_slot(&b->states, kind, name);
	const struct wv_bundle_entry *e = wv_bundle_entry(slot, id);
	struct wv_bundle_record record;

	if (!e)
		return -ENOENT;
	record = wv_bundles_record(slot, e, pin ? WV_DEED_PIN : WV_DEED_UNPIN, WV_PHASE_DONE);
	return wv_bundles_emit(b, &record);
}

static int collect_one(struct wv_bundles *b, const struct wv_bundle_slot *slot,
		       const struct wv_bundle_entry *e)
{
	struct wv_bundle_record record =
		wv_bundles_record(slot, e, WV_DEED_COLLECT, WV_PHASE_INTENT);
	int r = wv_bundles_emit(b, &record);

	r = r ?: wv_store_remove(&b->store, record.id);
	return r < 0 ? r : end_deed(b, &record, 0);
}

int wv_bundles_collect(struct wv_bundles *b, bool dry_run, wv_bundles_collected_fn tell, void *ctx)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < b->states.n; i++) {
		struct wv_bundle_slot *slot = &b->states.slots[i];

		for (unsigned k = slot->n; r == 0 && k-- > 0;) {
			const struct wv_bundle_entry *e = &slot->entries[k];

			if (wv_bundle_kept(slot, e))
				continue;
			if (tell)
				tell(ctx, slot, e);
			r = dry_run ? 0 : collect_one(b, slot, e);
		}
	}
	if (r == 0 && !dry_run)
		r = wv_store_clean(&b->store, true);
	return r == 0 && !dry_run ? wv_bundles_refresh(b) : r;
}
