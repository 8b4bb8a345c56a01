// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/index.h"

#include <errno.h>
#include <string.h>

#include "user/bundle/strict.h"
#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"

static const char *const types[] = {"waveos-index", NULL};

struct row {
	struct wv_bundle_index_entry entry;
	int kind;
};

static bool is_hash(const char *text)
{
	return wv_strict_is_hex(text, WV_SHA256_HEX - 1);
}

static const struct wv_strict_field entry_fields[] = {
	{"counter", WV_STRICT_UINT, WV_STRICT_AT(struct row, entry.counter), .min = 1,
	 .max = WV_STRICT_UINT_MAX},
	{"file", WV_STRICT_TEXT, WV_STRICT_AT(struct row, entry.file), .ok = wv_bundle_is_path,
	 .want = "a relative path without . or .."},
	{"id", WV_STRICT_TEXT, WV_STRICT_AT(struct row, entry.id), .ok = is_hash,
	 .want = "64 hex digits"},
	{"kind", WV_STRICT_CHOICE, WV_STRICT_AT(struct row, kind), .choices = wv_bundle_kinds},
	{"name", WV_STRICT_TEXT, WV_STRICT_AT(struct row, entry.name), .ok = wv_bundle_is_name,
	 .want = "a name"},
	{"sha256", WV_STRICT_TEXT, WV_STRICT_AT(struct row, entry.sha256), .ok = is_hash,
	 .want = "64 hex digits"},
	{"size", WV_STRICT_UINT, WV_STRICT_AT(struct row, entry.size), .min = 1,
	 .max = WV_BUNDLE_BYTES_MAX},
	{0},
};

static int by_kind_and_name(const void *a, const void *b)
{
	const struct wv_bundle_index_entry *x = a, *y = b;

	return strcmp(wv_bundle_kinds[x->kind], wv_bundle_kinds[y->kind])
		       ?: strcmp(x->name, y->name);
}

static int read_entries(struct json_object *list, struct wv_bundle_index *index,
			struct wv_manifest_error *error)
{
	size_t n = json_object_array_length(list);

	index->entries = calloc(n ?: 1, sizeof(*index->entries));
	if (!index->entries)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct row row = {0};
		int r = wv_strict_read(json_object_array_get_idx(list, i), "bundles", entry_fields,
				       &row, error);

		if (r < 0)
			return r;
		row.entry.kind = (enum wv_bundle_kind)row.kind;
		if (i && by_kind_and_name(&index->entries[i - 1], &row.entry) >= 0)
			return wv_manifest_fail(error, "bundles are not sorted, or %s is twice",
						row.entry.name);
		index->entries[index->n++] = row.entry;
	}
	return 0;
}

struct whole {
	struct wv_bundle_index index;
	uint64_t schema_version;
	int type;
	struct json_object *bundles;
};

static const struct wv_strict_field fields[] = {
	{"bundles", WV_STRICT_LIST, WV_STRICT_AT(struct whole, bundles),
	 .max = WV_BUNDLE_INDEX_ENTRIES_MAX},
	{"channel", WV_STRICT_TEXT, WV_STRICT_AT(struct whole, index.channel),
	 .ok = wv_bundle_is_name, .want = "a name"},
	{"created", WV_STRICT_UINT, WV_STRICT_AT(struct whole, index.created_s), .min = 1,
	 .max = WV_BUNDLE_TIME_MAX_S},
	{"expires", WV_STRICT_UINT, WV_STRICT_AT(struct whole, index.expires_s), .min = 1,
	 .max = WV_BUNDLE_TIME_MAX_S},
	{"schema_version", WV_STRICT_UINT, WV_STRICT_AT(struct whole, schema_version), .min = 1,
	 .max = 1},
	{"type", WV_STRICT_CHOICE, WV_STRICT_AT(struct whole, type), .choices = types},
	{"version", WV_STRICT_UINT, WV_STRICT_AT(struct whole, index.version), .min = 1,
	 .max = WV_STRICT_UINT_MAX},
	{0},
};

int wv_bundle_index_parse(const char *payload, size_t len, struct wv_bundle_index *ret,
			  struct wv_manifest_error *error)
{
	struct whole w = {.bundles = NULL};
	struct json_object *o;
	int r = wv_strict_parse(payload, len, WV_BUNDLE_INDEX_MAX, &o, error);

	if (r < 0)
		return r;
	r = wv_strict_read(o, "index", fields, &w, error);
	if (r == 0 && (w.index.expires_s <= w.index.created_s ||
		       w.index.expires_s - w.index.created_s > WV_BUNDLE_INDEX_LIFE_MAX_S))
		r = wv_manifest_fail(error, "expires is not after created, or over %llu days",
				     WV_BUNDLE_INDEX_LIFE_MAX_S / WV_BUNDLE_DAY_S);
	if (r == 0)
		r = read_entries(w.bundles, &w.index, error);
	json_object_put(o);
	if (r < 0) {
		wv_bundle_index_done(&w.index);
		return r;
	}
	*ret = w.index;
	return 0;
}

int wv_bundle_index_text(struct wv_bundle_index *index, char **ret, size_t *ret_len)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	int r;

	if (index->n)
		qsort(index->entries, index->n, sizeof(*index->entries), by_kind_and_name);
	for (unsigned i = 0; i < index->n; i++) {
		const struct wv_bundle_index_entry *e = &index->entries[i];
		struct json_object *b = json_object_new_object();

		json_object_object_add(b, "counter", json_object_new_uint64(e->counter));
		json_object_object_add(b, "file", json_object_new_string(e->file));
		json_object_object_add(b, "id", json_object_new_string(e->id));
		json_object_object_add(b, "kind", json_object_new_string(wv_bundle_kinds[e->kind]));
		json_object_object_add(b, "name", json_object_new_string(e->name));
		json_object_object_add(b, "sha256", json_object_new_string(e->sha256));
		json_object_object_add(b, "size", json_object_new_uint64(e->size));
		json_object_array_add(list, b);
	}
	json_object_object_add(o, "bundles", list);
	json_object_object_add(o, "channel", json_object_new_string(index->channel));
	json_object_object_add(o, "created", json_object_new_uint64(index->created_s));
	json_object_object_add(o, "expires", json_object_new_uint64(index->expires_s));
	json_object_object_add(o, "schema_version", json_object_new_uint64(1));
	json_object_object_add(o, "type", json_object_new_string(types[0]));
	json_object_object_add(o, "version", json_object_new_uint64(index->version));
	r = o ? wv_canonical(o, ret, ret_len) : -ENOMEM;
	json_object_put(o);
	return r;
}

const struct wv_bundle_index_entry *wv_bundle_index_find(const struct wv_bundle_index *index,
							 enum wv_bundle_kind kind, const char *name)
{
	for (unsigned i = 0; i < index->n; i++)
		if (index->entries[i].kind == kind && strcmp(index->entries[i].name, name) == 0)
			return &index->entries[i];
	return NULL;
}

void wv_bundle_index_done(struct wv_bundle_index *index)
{
	free(index->entries);
	*index = (struct wv_bundle_index){0};
}
