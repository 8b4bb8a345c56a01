// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/drift.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/artifacts.h"

#define META_MAX (1U << 20)

const char *const wv_drift_names[WV_DRIFT_N] = {
#define X(id, name) [WV_DRIFT_##id] = name,
	WV_DRIFT_KINDS(X)
#undef X
};

struct comparison {
	void (*each)(void *ctx, const struct wv_drift *d);
	void *ctx;
	bool file_changed;
};

/* The prefix that is compared as a whole decides about the kind; the longest one comes first. */
static const struct {
	const char *path;
	enum wv_drift_kind kind;
} compared[] = {
	{"config.settings", WV_DRIFT_SETTING},	{"config", WV_DRIFT_CONFIG},
	{"policy_version", WV_DRIFT_POLICY},	{"waveos_version", WV_DRIFT_PROGRAM},
	{"bundle_id", WV_DRIFT_PROGRAM},	{"host.kernel", WV_DRIFT_KERNEL},
	{"host.kernel_build", WV_DRIFT_KERNEL}, {"host", WV_DRIFT_HOST},
};

static struct json_object *get(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	if (json_object_is_type(o, json_type_object))
		(void)json_object_object_get_ex(o, key, &v);
	return v;
}

static bool in_environment(const char *name)
{
	char variable[128];
	size_t n = (size_t)snprintf(variable, sizeof(variable), "WAVEOS_%s", name);

	for (size_t i = 0; i < n && i < sizeof(variable); i++)
		variable[i] = variable[i] == '.' ? '_' : (char)toupper((unsigned char)variable[i]);
	return getenv(variable) != NULL;
}

/* As text: defaults are written as in the file, so they are set in an empty configuration. */
static bool is_default(const char *name, struct json_object *value)
{
	const char *dot = strchr(name, '.');
	struct wv_config c;
	bool same = false;

	if (!dot || wv_config_init(&c) < 0)
		return false;
	for (size_t i = 0; i < wv_settings_count; i++) {
		const struct wv_setting *s = &wv_settings_table[i];
		const void *member = (const char *)&c + s->offset;

		if (strncmp(s->section, name, (size_t)(dot - name)) != 0 ||
		    strcmp(s->key, dot + 1) != 0)
			continue;
		if (s->type == WV_STRING || s->type == WV_SECRET || s->type == WV_CHOICE)
			same = strcmp(json_object_get_string(value) ?: "", s->def) == 0;
		else if (s->type == WV_BOOL)
			same = json_object_get_boolean(value) == *(const bool *)member;
		else
			same = json_object_get_uint64(value) == *(const uint64_t *)member;
	}
	wv_config_done(&c);
	return same;
}

/* Where a value can have come from: settings have no memory of it, so what can be ruled out is. */
static const char *origin_of(const struct comparison *c, const struct wv_drift *d)
{
	switch (d->kind) {
	case WV_DRIFT_SETTING:
		return in_environment(d->name)	       ? "environment"
		       : is_default(d->name, d->after) ? "default"
		       : c->file_changed	       ? "file"
						       : "command line";
	case WV_DRIFT_CONFIG:
	case WV_DRIFT_POLICY:
		return "file";
	case WV_DRIFT_PROGRAM:
		return "installation";
	default:
		return "machine";
	}
}

static void compare(const struct comparison *c, enum wv_drift_kind kind, const char *path,
		    struct json_object *before, struct json_object *after);

/* Every member that either of them has. */
static void compare_members(const struct comparison *c, enum wv_drift_kind kind, const char *path,
			    struct json_object *before, struct json_object *after)
{
	for (int pass = 0; pass < 2; pass++) {
		struct json_object *from = pass ? before : after;

		if (!json_object_is_type(from, json_type_object))
			continue;
		json_object_object_foreach(from, key, value)
		{
			char name[96];
			bool own = false;

			if (pass && json_object_object_get_ex(after, key, NULL))
				continue;
			snprintf(name, sizeof(name), "%s%s%s", path, *path ? "." : "", key);
			/* what has a row of its own is not part of the whole */
			for (size_t i = 0; i < ARRAY_SIZE(compared); i++)
				own = own || strcmp(compared[i].path, name) == 0;
			(void)value;
			if (!own)
				compare(c, kind, name, get(before, key), get(after, key));
		}
	}
}

static void compare(const struct comparison *c, enum wv_drift_kind kind, const char *path,
		    struct json_object *before, struct json_object *after)
{
	struct wv_drift d = {.kind = kind, .before = before, .after = after};

	if (json_object_is_type(before, json_type_object) ||
	    json_object_is_type(after, json_type_object)) {
		compare_members(c, kind, path, before, after);
		return;
	}
	if (json_object_equal(before, after))
		return;
	/* settings are named as in the file */
	snprintf(d.name, sizeof(d.name), "%s",
		 kind == WV_DRIFT_SETTING ? path + strlen("config.settings.") : path);
	d.origin = origin_of(c, &d);
	c->each(c->ctx, &d);
}

static struct json_object *at_path(struct json_object *o, const char *path)
{
	const char *dot = strchr(path, '.');
	char key[64];

	if (!dot)
		return get(o, path);
	snprintf(key, sizeof(key), "%.*s", (int)(dot - path), path);
	return at_path(get(o, key), dot + 1);
}

void wv_drift_compare(struct json_object *before, struct json_object *after,
		      void (*each)(void *ctx, const struct wv_drift *d), void *ctx)
{
	struct comparison c = {.each = each, .ctx = ctx};

	c.file_changed = !json_object_equal(at_path(before, "config.sha256"),
					    at_path(after, "config.sha256"));
	for (size_t i = 0; i < ARRAY_SIZE(compared); i++)
		compare(&c, compared[i].kind, compared[i].path, at_path(before, compared[i].path),
			at_path(after, compared[i].path));
}

#define SECOND 16 /* "20260101T000000Z" */

struct newest {
	const struct wv_io *io;
	int runs;
	const char *own;
	char name[NAME_MAX + 1];
	struct json_object *meta;
};

static int read_meta(const struct newest *n, const char *name, struct json_object **ret)
{
	_cleanup_free_ char *text = NULL;
	char path[NAME_MAX + 32];
	struct json_object *o;
	int r;

	snprintf(path, sizeof(path), "%s/" WV_META_NAME, name);
	r = wv_io_read_file(n->io, n->runs, path, META_MAX, &text, NULL);
	if (r < 0)
		return r;
	o = json_tokener_parse(text);
	if (!json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return -EBADMSG;
	}
	*ret = o;
	return 0;
}

static uint64_t started_ns(struct json_object *meta)
{
	return json_object_get_uint64(at_path(meta, "started_wall_ns"));
}

/* Names begin with the second of the start, and end by chance: within one second run_meta.json
 * tells. What cannot be read is no run to compare with. */
static int take_newer(void *userdata, const char *name)
{
	struct newest *n = userdata;
	struct json_object *meta;
	int later = strncmp(name, n->name, SECOND);

	if (name[0] == '.' || strcmp(name, n->own) == 0 || later < 0 ||
	    read_meta(n, name, &meta) < 0)
		return 0;
	if (later == 0 && started_ns(meta) <= started_ns(n->meta)) {
		json_object_put(meta);
		return 0;
	}
	json_object_put(n->meta);
	n->meta = meta;
	snprintf(n->name, sizeof(n->name), "%s", name);
	return 0;
}

int wv_drift_previous(const struct wv_io *io, const char *runs, const char *own,
		      struct json_object **ret)
{
	struct newest n = {.io = io, .own = own};
	int r;

	n.runs = io->open(io->ctx, AT_FDCWD, runs, O_RDONLY | O_DIRECTORY, 0);
	if (n.runs < 0)
		return n.runs;
	r = io->list(io->ctx, n.runs, take_newer, &n);
	(void)io->close(io->ctx, n.runs);
	if (r == 0 && n.meta)
		*ret = n.meta;
	else
		json_object_put(n.meta);
	return r < 0 ? r : n.meta ? 0 : -ENOENT;
}
