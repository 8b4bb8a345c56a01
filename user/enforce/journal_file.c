// SPDX-License-Identifier: GPL-2.0-only
/* Text of the journal: JSON, schema_version 1 (docs/enforcement.md). */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/enforce/journal.h"

#define SCHEMA_VERSION 1

static void putp(struct json_object **o)
{
	json_object_put(*o);
}

static struct json_object *entry_json(const struct wv_journal_entry *e)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "key", json_object_new_uint64(e->key));
	json_object_object_add(o, "folder", json_object_new_uint64(e->folder));
	json_object_object_add(o, "item", json_object_new_string(wv_item_names[e->item]));
	json_object_object_add(o, "form", json_object_new_int(e->form));
	json_object_object_add(o, "path", json_object_new_string(e->path));
	json_object_object_add(o, "device", json_object_new_string(e->device));
	json_object_object_add(o, "old", json_object_new_string(e->old));
	json_object_object_add(o, "ours", json_object_new_string(e->ours));
	json_object_object_add(o, "want", json_object_new_string(e->want));
	return o;
}

char *wv_journal_print(const struct wv_journal *j)
{
	_cleanup_(putp) struct json_object *o = json_object_new_object();
	struct json_object *files = json_object_new_array(), *force = json_object_new_array();

	json_object_object_add(o, "schema_version", json_object_new_int(SCHEMA_VERSION));
	json_object_object_add(o, "boot_id", json_object_new_string(j->boot_id));
	json_object_object_add(o, "run_id", json_object_new_string(j->run_id));
	for (size_t i = 0; i < j->n_entries; i++)
		json_object_array_add(files, entry_json(&j->entries[i]));
	json_object_object_add(o, "files", files);
	for (size_t i = 0; i < j->n_force; i++) {
		struct json_object *f = json_object_new_object();

		json_object_object_add(f, "budget", json_object_new_string(j->force[i].budget));
		json_object_object_add(f, "key", json_object_new_uint64(j->force[i].key));
		json_object_array_add(force, f);
	}
	json_object_object_add(o, "in_force", force);
	return strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
}

/* Copies a string member that must be there and fit. */
static int get_string(struct json_object *o, const char *name, char *ret, size_t size)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_string) ||
	    (size_t)json_object_get_string_len(v) >= size)
		return -EBADMSG;
	memcpy(ret, json_object_get_string(v), (size_t)json_object_get_string_len(v) + 1);
	return 0;
}

static int get_uint(struct json_object *o, const char *name, uint64_t *ret)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_int))
		return -EBADMSG;
	*ret = json_object_get_uint64(v);
	return 0;
}

static int parse_entry(struct json_object *o, struct wv_journal_entry *e)
{
	uint64_t form = 0;
	char item[32];
	int r;

	r = get_uint(o, "key", &e->key);
	r = r ?: get_uint(o, "folder", &e->folder);
	r = r ?: get_uint(o, "form", &form);
	r = r ?: get_string(o, "item", item, sizeof(item));
	r = r ?: get_string(o, "path", e->path, sizeof(e->path));
	r = r ?: get_string(o, "device", e->device, sizeof(e->device));
	r = r ?: get_string(o, "old", e->old, sizeof(e->old));
	r = r ?: get_string(o, "ours", e->ours, sizeof(e->ours));
	r = r ?: get_string(o, "want", e->want, sizeof(e->want));
	if (r < 0 || form > WV_FORM_DEVICE)
		return -EBADMSG;
	e->form = (enum wv_cgfile_form)form;
	for (e->item = 0; e->item < WV_ITEM_N; e->item++)
		if (strcmp(item, wv_item_names[e->item]) == 0)
			return 0;
	return -EBADMSG;
}

static int parse_lists(struct wv_journal *j, struct json_object *files, struct json_object *force)
{
	for (size_t i = 0; i < json_object_array_length(files); i++) {
		struct wv_journal_entry *e = wv_journal_add(j);
		int r = e ? parse_entry(json_object_array_get_idx(files, i), e) : -ENOMEM;

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < json_object_array_length(force); i++) {
		struct json_object *o = json_object_array_get_idx(force, i);
		struct wv_journal_force f;
		int r = get_string(o, "budget", f.budget, sizeof(f.budget));

		r = r ?: get_uint(o, "key", &f.key);
		r = r ?: wv_journal_set_force(j, f.budget, f.key, true);
		if (r < 0)
			return r;
	}
	return 0;
}

int wv_journal_parse(struct wv_journal *j, const char *text)
{
	_cleanup_(putp) struct json_object *o = json_tokener_parse(text);
	struct json_object *files, *force;
	uint64_t version;
	char boot_id[40];

	if (!json_object_is_type(o, json_type_object) ||
	    get_uint(o, "schema_version", &version) < 0 || version != SCHEMA_VERSION ||
	    get_string(o, "boot_id", boot_id, sizeof(boot_id)) < 0 ||
	    !json_object_object_get_ex(o, "files", &files) ||
	    !json_object_is_type(files, json_type_array) ||
	    !json_object_object_get_ex(o, "in_force", &force) ||
	    !json_object_is_type(force, json_type_array))
		return -EBADMSG;
	if (strcmp(boot_id, j->boot_id) != 0) {
		j->dirty = json_object_array_length(files) || json_object_array_length(force);
		return 0;
	}
	if (get_string(o, "run_id", j->run_id, sizeof(j->run_id)) < 0)
		return -EBADMSG;
	return parse_lists(j, files, force);
}
