// SPDX-License-Identifier: GPL-2.0-only
/* A manifest as canonical JSON. */
#include <errno.h>

#include "user/bundle/strict.h"
#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"

/* Members are only added; an allocation that failed shows at the end, for the text is not parsed
 * then. */
static void add_text(struct json_object *o, const char *name, const char *text)
{
	if (text[0])
		json_object_object_add(o, name, json_object_new_string(text));
}

static void add_uint(struct json_object *o, const char *name, uint64_t n)
{
	json_object_object_add(o, name, json_object_new_uint64(n));
}

static struct json_object *words(char *const *list)
{
	struct json_object *o = json_object_new_array();

	for (; list && *list; list++)
		json_object_array_add(o, json_object_new_string(*list));
	return o;
}

static struct json_object *files(const struct wv_manifest *m)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < m->n_files; i++) {
		const struct wv_bundle_file *f = &m->files[i];
		struct json_object *o = json_object_new_object();

		add_text(o, "mode", f->mode == 0755 ? "0755" : "0644");
		add_text(o, "path", f->path);
		add_text(o, "sha256", f->sha256);
		add_uint(o, "size", f->size);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *hooks(const struct wv_manifest *m)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < m->n_hooks; i++) {
		struct json_object *o = json_object_new_object();

		add_text(o, "do", wv_bundle_deeds[m->hooks[i].what]);
		add_text(o, "on", wv_bundle_moments[m->hooks[i].on]);
		add_text(o, "service", m->hooks[i].service);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *health(const struct wv_manifest *m)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < m->n_health; i++) {
		const struct wv_health_rule *h = &m->health[i];
		struct json_object *o = json_object_new_object();

		add_uint(o, "every_ns", h->every_ns);
		add_uint(o, "failures", h->failures);
		add_text(o, "kind", wv_health_kinds[h->kind]);
		add_text(o, "target", h->target);
		add_uint(o, "within_ns", h->within_ns);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *flags(const struct wv_manifest *m)
{
	struct json_object *o = json_object_new_object();

	for (unsigned i = 0; i < m->n_flags; i++)
		json_object_object_add(o, m->flags[i].name,
				       json_object_new_boolean(m->flags[i].on));
	return o;
}

int wv_manifest_text(const struct wv_manifest *m, char **ret, size_t *ret_len)
{
	struct json_object *o = json_object_new_object(), *trial = json_object_new_object();
	int r;

	add_text(o, "app", m->app);
	add_text(o, "arch", m->arch);
	add_uint(o, "counter", m->counter);
	add_uint(o, "created", m->created_s);
	json_object_object_add(o, "devices", words(m->devices));
	json_object_object_add(o, "environments", words(m->environments));
	add_uint(o, "expires", m->expires_s);
	json_object_object_add(o, "files", files(m));
	if (m->n_flags)
		json_object_object_add(o, "flags", flags(m));
	if (m->n_health)
		json_object_object_add(o, "health", health(m));
	if (m->n_hooks)
		json_object_object_add(o, "hooks", hooks(m));
	add_text(o, "kind", wv_bundle_kinds[m->kind]);
	add_text(o, "min_waveos", m->min_waveos);
	add_text(o, "name", m->name);
	add_uint(o, "schema_version", 1);
	add_uint(trial, "boots", m->trial_boots);
	add_uint(trial, "for_ns", m->trial_ns);
	json_object_object_add(o, "trial", trial);
	add_text(o, "type", "waveos-bundle");
	add_text(o, "version", m->version);
	r = o ? wv_canonical(o, ret, ret_len) : -ENOMEM;
	json_object_put(o);
	return r;
}
