// SPDX-License-Identifier: GPL-2.0-only
/* Records of bundles and the fold of them as JSON, both ways. Reading is strict about what counts:
 * an id is an id, a state is one of ours. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/bundle/state.h"
#include "user/bundle/store.h"
#include "user/core/cleanup.h"

static const char *const moments[3] = {
	[WV_ON_ACTIVATE] = "activate", [WV_ON_CONFIRM] = "confirm", [WV_ON_ROLLBACK] = "rollback"};
static const char *const outcomes[] = {[WV_PHASE_DONE] = "done", [WV_PHASE_FAILED] = "failed"};

static void put_str(struct json_object *o, const char *key, const char *v)
{
	json_object_object_add(o, key, json_object_new_string(v));
}

static void put_u64(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static const char *get_str(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : "";
}

static uint64_t get_u64(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

static bool get_bool(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_get_boolean(v);
}

/* Index of the text in a list of n, or -1. */
static int index_of(const char *text, const char *const list[], int n)
{
	for (int i = 0; i < n; i++)
		if (list[i] && strcmp(list[i], text) == 0)
			return i;
	return -1;
}

static bool is_id(const char *text)
{
	return strlen(text) == WV_SHA256_HEX - 1 &&
	       strspn(text, "0123456789abcdef") == WV_SHA256_HEX - 1;
}

/* Ids that may be empty. */
static int get_id(struct json_object *o, const char *key, char ret[WV_SHA256_HEX])
{
	const char *text = get_str(o, key);

	if (*text && !is_id(text))
		return -EBADMSG;
	snprintf(ret, WV_SHA256_HEX, "%s", text);
	return 0;
}

/* Records ------------------------------------------------------------------------------------- */

const char *wv_bundle_record_type(const struct wv_bundle_record *r)
{
	return r->phase == WV_PHASE_INTENT ? WV_BUNDLE_INTENT : WV_BUNDLE_OUTCOME;
}

struct json_object *wv_bundle_record_fields(const struct wv_bundle_record *r)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	put_str(o, "deed", wv_bundle_deed_names[r->deed]);
	put_str(o, "kind", wv_bundle_kinds[r->kind]);
	put_str(o, "name", r->name);
	put_str(o, "bundle", r->id);
	if (r->phase != WV_PHASE_INTENT)
		put_str(o, "outcome", outcomes[r->phase]);
	if (r->version[0])
		put_str(o, "version", r->version);
	if (r->counter)
		put_u64(o, "counter", r->counter);
	if (r->deed == WV_DEED_ROLLBACK)
		put_str(o, "target", r->target);
	if (r->deed == WV_DEED_BOOT)
		put_str(o, "start", r->run);
	if (r->deed == WV_DEED_HOOKS)
		put_str(o, "moment", moments[r->moment]);
	if (r->cause[0])
		put_str(o, "cause", r->cause);
	if (r->error) {
		json_object_object_add(o, "errno", json_object_new_int(r->error));
		put_str(o, "error", strerror(r->error));
	}
	return o;
}

static int parse_record(struct json_object *o, bool intent, struct wv_bundle_record *r)
{
	int deed = index_of(get_str(o, "deed"), wv_bundle_deed_names, WV_DEED_N);
	int kind = wv_bundle_kind_by_name(get_str(o, "kind"));
	int outcome = index_of(get_str(o, "outcome"), outcomes, ARRAY_SIZE(outcomes));
	int moment = index_of(get_str(o, "moment"), moments, ARRAY_SIZE(moments));

	if (deed <= WV_DEED_NONE || kind < 0 || (!intent && outcome < 0) ||
	    !is_id(get_str(o, "bundle")) || (deed == WV_DEED_HOOKS && moment < 0))
		return -EBADMSG;
	r->deed = (enum wv_bundle_deed_id)deed;
	r->kind = (enum wv_bundle_kind)kind;
	r->phase = intent ? WV_PHASE_INTENT : (enum wv_bundle_phase)outcome;
	r->moment = moment < 0 ? WV_ON_ACTIVATE : (enum wv_bundle_moment)moment;
	snprintf(r->name, sizeof(r->name), "%s", get_str(o, "name"));
	snprintf(r->id, sizeof(r->id), "%s", get_str(o, "bundle"));
	snprintf(r->version, sizeof(r->version), "%s", get_str(o, "version"));
	snprintf(r->run, sizeof(r->run), "%s", get_str(o, "start"));
	snprintf(r->cause, sizeof(r->cause), "%s", get_str(o, "cause"));
	r->counter = get_u64(o, "counter");
	r->error = (int)get_u64(o, "errno");
	r->seq = get_u64(o, "seq");
	r->wall_ns = get_u64(o, "wall_ns");
	return get_id(o, "target", r->target);
}

int wv_bundle_record_parse(const char *line, struct wv_bundle_record *ret,
			   struct wv_bundle_states *ret_snapshot)
{
	struct json_object *o;
	const char *type;
	int r;

	/* nearly all records are of others: those are not parsed */
	if (!strstr(line, "\"bundle-"))
		return 0;
	o = json_tokener_parse(line);
	if (!o)
		return -EBADMSG;
	type = get_str(o, "type");
	if (strcmp(type, WV_BUNDLE_STATE) == 0) {
		r = wv_bundle_states_parse(o, ret_snapshot);
		if (r == 0) {
			ret_snapshot->seq = ret_snapshot->snapshot_seq = get_u64(o, "seq");
			r = 2;
		}
	} else if (strcmp(type, WV_BUNDLE_INTENT) == 0 || strcmp(type, WV_BUNDLE_OUTCOME) == 0) {
		struct wv_bundle_record record = {0};

		r = parse_record(o, strcmp(type, WV_BUNDLE_INTENT) == 0, &record);
		if (r == 0) {
			*ret = record;
			r = 1;
		}
	} else {
		r = 0;
	}
	json_object_put(o);
	return r;
}

/* The fold ------------------------------------------------------------------------------------ */

static struct json_object *entry_fields(const struct wv_bundle_entry *e)
{
	struct json_object *o = json_object_new_object();

	put_str(o, "bundle", e->id);
	put_str(o, "version", e->version);
	put_str(o, "state", wv_bundle_state_names[e->state]);
	put_u64(o, "counter", e->counter);
	put_u64(o, "since_wall_ns", e->since_wall_ns);
	put_u64(o, "confirmed_seq", e->confirmed_seq);
	json_object_object_add(o, "pinned", json_object_new_boolean(e->pinned));
	put_str(o, "cause", e->cause);
	return o;
}

static struct json_object *slot_fields(const struct wv_bundle_slot *slot)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct json_object *hooks = json_object_new_object();

	put_str(o, "kind", wv_bundle_kinds[slot->kind]);
	put_str(o, "name", slot->name);
	put_u64(o, "highest", slot->highest);
	put_u64(o, "boots", slot->boots);
	put_str(o, "start", slot->run);
	put_str(o, "pending", wv_bundle_deed_names[slot->pending]);
	put_str(o, "pending_bundle", slot->pending_id);
	for (size_t i = 0; i < ARRAY_SIZE(moments); i++)
		put_str(hooks, moments[i], slot->hooks[i]);
	json_object_object_add(o, "hooks", hooks);
	for (unsigned i = 0; i < slot->n; i++)
		json_object_array_add(list, entry_fields(&slot->entries[i]));
	json_object_object_add(o, "bundles", list);
	return o;
}

struct json_object *wv_bundle_states_fields(const struct wv_bundle_states *s)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	for (unsigned i = 0; i < s->n; i++)
		json_object_array_add(list, slot_fields(&s->slots[i]));
	json_object_object_add(o, "slots", list);
	put_u64(o, "refused", s->refused);
	put_u64(o, "folded_seq", s->seq);
	put_u64(o, "snapshot_seq", s->snapshot_seq);
	return o;
}

static int parse_entry(struct json_object *o, struct wv_bundle_entry *e)
{
	int state = index_of(get_str(o, "state"), wv_bundle_state_names, WV_BUNDLE_STATE_N);

	if (state <= WV_BUNDLE_ABSENT || !is_id(get_str(o, "bundle")))
		return -EBADMSG;
	*e = (struct wv_bundle_entry){.state = (enum wv_bundle_state)state,
				      .counter = get_u64(o, "counter"),
				      .since_wall_ns = get_u64(o, "since_wall_ns"),
				      .confirmed_seq = get_u64(o, "confirmed_seq"),
				      .pinned = get_bool(o, "pinned")};
	snprintf(e->id, sizeof(e->id), "%s", get_str(o, "bundle"));
	snprintf(e->version, sizeof(e->version), "%s", get_str(o, "version"));
	snprintf(e->cause, sizeof(e->cause), "%s", get_str(o, "cause"));
	return 0;
}

static int parse_slot(struct json_object *o, struct wv_bundle_slot *slot)
{
	int kind = wv_bundle_kind_by_name(get_str(o, "kind"));
	int pending = index_of(get_str(o, "pending"), wv_bundle_deed_names, WV_DEED_N);
	struct json_object *list, *hooks;
	size_t n;
	int r;

	*slot = (struct wv_bundle_slot){.highest = get_u64(o, "highest"),
					.boots = (uint32_t)get_u64(o, "boots")};
	if (kind < 0 || pending < 0 || !json_object_object_get_ex(o, "bundles", &list) ||
	    !json_object_is_type(list, json_type_array) ||
	    !json_object_object_get_ex(o, "hooks", &hooks))
		return -EBADMSG;
	slot->kind = (enum wv_bundle_kind)kind;
	slot->pending = (enum wv_bundle_deed_id)pending;
	snprintf(slot->name, sizeof(slot->name), "%s", get_str(o, "name"));
	snprintf(slot->run, sizeof(slot->run), "%s", get_str(o, "start"));
	r = get_id(o, "pending_bundle", slot->pending_id);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(moments); i++)
		r = get_id(hooks, moments[i], slot->hooks[i]);
	n = json_object_array_length(list);
	if (r < 0 || n > WV_BUNDLE_ENTRIES_MAX)
		return -EBADMSG;
	slot->entries = calloc(n + 1, sizeof(*slot->entries));
	if (!slot->entries)
		return -ENOMEM;
	for (; r == 0 && slot->n < n; slot->n++)
		r = parse_entry(json_object_array_get_idx(list, slot->n), &slot->entries[slot->n]);
	return r;
}

int wv_bundle_states_parse(struct json_object *o, struct wv_bundle_states *ret)
{
	struct wv_bundle_states s = {.refused = get_u64(o, "refused"),
				     .seq = get_u64(o, "folded_seq"),
				     .snapshot_seq = get_u64(o, "snapshot_seq")};
	struct json_object *list;
	size_t n;
	int r = 0;

	if (!json_object_object_get_ex(o, "slots", &list) ||
	    !json_object_is_type(list, json_type_array))
		return -EBADMSG;
	n = json_object_array_length(list);
	if (n > WV_BUNDLE_SLOTS_MAX)
		return -EBADMSG;
	s.slots = calloc(n + 1, sizeof(*s.slots));
	if (!s.slots)
		return -ENOMEM;
	for (; r == 0 && s.n < n; s.n++)
		r = parse_slot(json_object_array_get_idx(list, s.n), &s.slots[s.n]);
	if (r < 0) {
		wv_bundle_states_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}
