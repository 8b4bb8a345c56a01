// SPDX-License-Identifier: GPL-2.0-only
#include "user/update/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/strict.h"
#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"

#define STATE_FILE "state.json"
#define STATE_MAX (1U << 20)

const char *const wv_update_results[] = {"installed", "old", "refused", "failed", NULL};

int wv_update_open_dir(const struct wv_io *io, const struct wv_paths *paths, bool create)
{
	char path[WV_PATH_SIZE + sizeof("/" WV_UPDATE_DIR)];
	int r;

	snprintf(path, sizeof(path), "%s/" WV_UPDATE_DIR, paths->state);
	r = create ? wv_io_mkdirs(io, path, 0755) : 0;
	return r < 0 ? r : io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

/* Writing ------------------------------------------------------------------------------------ */

static struct json_object *known_json(const struct wv_update_known *k)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "at", json_object_new_uint64(k->at_s));
	json_object_object_add(o, "counter", json_object_new_uint64(k->counter));
	json_object_object_add(o, "from", json_object_new_string(k->from));
	json_object_object_add(o, "id", json_object_new_string(k->id));
	json_object_object_add(o, "kind", json_object_new_string(wv_bundle_kinds[k->kind]));
	json_object_object_add(o, "name", json_object_new_string(k->name));
	json_object_object_add(o, "result", json_object_new_string(wv_update_results[k->result]));
	if (k->why[0])
		json_object_object_add(o, "why", json_object_new_string(k->why));
	return o;
}

struct json_object *wv_update_state_json(const struct wv_update_state *s)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	for (unsigned i = 0; i < s->n; i++)
		json_object_array_add(list, known_json(&s->known[i]));
	json_object_object_add(o, "bundles", list);
	json_object_object_add(o, "checked", json_object_new_uint64(s->checked_s));
	json_object_object_add(o, "downloaded_bytes", json_object_new_uint64(s->downloaded_bytes));
	if (s->error[0])
		json_object_object_add(o, "error", json_object_new_string(s->error));
	if (s->etag[0])
		json_object_object_add(o, "etag", json_object_new_string(s->etag));
	json_object_object_add(o, "failures", json_object_new_uint64(s->failures));
	json_object_object_add(o, "next", json_object_new_uint64(s->next_s));
	json_object_object_add(o, "resumed_bytes", json_object_new_uint64(s->resumed_bytes));
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	return o;
}

int wv_update_state_save(const struct wv_update_state *s, const struct wv_io *io, int dir)
{
	struct json_object *o = wv_update_state_json(s);
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = o ? wv_canonical(o, &text, &len) : -ENOMEM;

	json_object_put(o);
	return r < 0 ? r : wv_io_replace(io, dir, STATE_FILE, text, len, 0644);
}

/* Reading ------------------------------------------------------------------------------------ */

struct known_row {
	struct wv_update_known k;
	int kind, result;
};

static const struct wv_strict_field known_fields[] = {
	{"at", WV_STRICT_UINT, WV_STRICT_AT(struct known_row, k.at_s), .max = WV_STRICT_UINT_MAX},
	{"counter", WV_STRICT_UINT, WV_STRICT_AT(struct known_row, k.counter),
	 .max = WV_STRICT_UINT_MAX},
	{"from", WV_STRICT_TEXT, WV_STRICT_AT(struct known_row, k.from)},
	{"id", WV_STRICT_TEXT, WV_STRICT_AT(struct known_row, k.id)},
	{"kind", WV_STRICT_CHOICE, WV_STRICT_AT(struct known_row, kind),
	 .choices = wv_bundle_kinds},
	{"name", WV_STRICT_TEXT, WV_STRICT_AT(struct known_row, k.name)},
	{"result", WV_STRICT_CHOICE, WV_STRICT_AT(struct known_row, result),
	 .choices = wv_update_results},
	{"why", WV_STRICT_TEXT, .optional = true, WV_STRICT_AT(struct known_row, k.why)},
	{0},
};

struct whole {
	struct wv_update_state *s;
	uint64_t checked_s, next_s, schema_version, downloaded, resumed;
	uint32_t failures;
	char error[256], etag[WV_ETAG_SIZE];
	struct json_object *bundles;
};

static const struct wv_strict_field fields[] = {
	{"bundles", WV_STRICT_LIST, WV_STRICT_AT(struct whole, bundles),
	 .max = WV_UPDATE_KNOWN_MAX},
	{"checked", WV_STRICT_UINT, WV_STRICT_AT(struct whole, checked_s),
	 .max = WV_STRICT_UINT_MAX},
	{"downloaded_bytes", WV_STRICT_UINT, WV_STRICT_AT(struct whole, downloaded),
	 .max = WV_STRICT_UINT_MAX},
	{"error", WV_STRICT_TEXT, .optional = true, WV_STRICT_AT(struct whole, error)},
	{"etag", WV_STRICT_TEXT, .optional = true, WV_STRICT_AT(struct whole, etag)},
	{"failures", WV_STRICT_UINT32, WV_STRICT_AT(struct whole, failures), .max = 1000000},
	{"next", WV_STRICT_UINT, WV_STRICT_AT(struct whole, next_s), .max = WV_STRICT_UINT_MAX},
	{"resumed_bytes", WV_STRICT_UINT, WV_STRICT_AT(struct whole, resumed),
	 .max = WV_STRICT_UINT_MAX},
	{"schema_version", WV_STRICT_UINT, WV_STRICT_AT(struct whole, schema_version), .min = 1,
	 .max = 1},
	{0},
};

static int read_state(struct json_object *o, struct wv_update_state *s,
		      struct wv_manifest_error *error)
{
	struct whole w = {.error = ""};
	int r = wv_strict_read(o, STATE_FILE, fields, &w, error);

	for (size_t i = 0; r == 0 && i < json_object_array_length(w.bundles); i++) {
		struct known_row row = {.kind = 0};

		r = wv_strict_read(json_object_array_get_idx(w.bundles, i), "bundles", known_fields,
				   &row, error);
		row.k.kind = (enum wv_bundle_kind)row.kind;
		row.k.result = (enum wv_update_result)row.result;
		s->known[s->n++] = row.k;
	}
	s->checked_s = w.checked_s;
	s->next_s = w.next_s;
	s->failures = w.failures;
	s->downloaded_bytes = w.downloaded;
	s->resumed_bytes = w.resumed;
	memcpy(s->error, w.error, sizeof(s->error));
	memcpy(s->etag, w.etag, sizeof(s->etag));
	return r;
}

int wv_update_state_load(struct wv_update_state *s, const struct wv_io *io, int dir)
{
	struct wv_manifest_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	struct json_object *o;
	size_t len;
	int r = wv_io_read_file(io, dir, STATE_FILE, STATE_MAX, &text, &len);

	memset(s, 0, sizeof(*s));
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = wv_strict_parse(text, len, STATE_MAX, &o, &error);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	r = read_state(o, s, &error);
	json_object_put(o);
	if (r < 0)
		memset(s, 0, sizeof(*s));
	return 0;
}

const struct wv_update_known *wv_update_find(const struct wv_update_state *s,
					     enum wv_bundle_kind kind, const char *name)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->known[i].kind == kind && strcmp(s->known[i].name, name) == 0)
			return &s->known[i];
	return NULL;
}

void wv_update_note(struct wv_update_state *s, const struct wv_update_known *k)
{
	const struct wv_update_known *old = wv_update_find(s, k->kind, k->name);
	unsigned at = old ? (unsigned)(old - s->known) : 0;

	if (!old && s->n < WV_UPDATE_KNOWN_MAX) {
		s->known[s->n++] = *k;
		return;
	}
	for (unsigned i = 0; !old && i < s->n; i++)
		if (s->known[i].at_s < s->known[at].at_s)
			at = i;
	s->known[at] = *k;
}
