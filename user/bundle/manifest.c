// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parsing of manifests. Lists that are sets must be sorted, so that one set has one form and what
 * is named twice stands side by side.
 */
#include "user/bundle/manifest.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "user/bundle/strict.h"
#include "user/core/cleanup.h"

#define MODE_PLAIN 0644
#define MODE_EXECUTABLE 0755
#define PATH_DEPTH_MAX 16

const char *const wv_bundle_kinds[] = {"app", "config", "policy", "cert", NULL};
const char *const wv_bundle_moments[] = {"activate", "confirm", "rollback", NULL};
const char *const wv_bundle_deeds[] = {"restart-service", "start-service", "stop-service",
				       "reload-policy",	  "reload-config", NULL};
const char *const wv_health_kinds[] = {"service", "http", "file-fresh", "agent", NULL};
const char *const wv_bundle_environments[] = {"dev", "prod", "staging", NULL};
static const char *const types[] = {"waveos-bundle", NULL};
static const char *const modes[] = {"0644", "0755", NULL};

/* Texts -------------------------------------------------------------------------------------- */

bool wv_bundle_is_name(const char *text)
{
	size_t len = strlen(text);

	return len && len < WV_BUNDLE_NAME_SIZE && !strchr("._-", text[0]) &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

bool wv_bundle_is_path(const char *text)
{
	unsigned depth = 0;

	if (strlen(text) >= WV_BUNDLE_PATH_SIZE)
		return false;
	for (const char *p = text; *p; p++)
		if (*p < 0x20 || *p > 0x7e || *p == '\\')
			return false;
	for (const char *p = text;; p++) {
		size_t len = strcspn(p, "/");

		if (!len || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.') ||
		    ++depth > PATH_DEPTH_MAX)
			return false;
		p += len;
		if (!*p)
			return true;
	}
}

static bool is_hash(const char *text)
{
	return wv_strict_is_hex(text, WV_SHA256_HEX - 1);
}

static bool is_word(const char *text)
{
	for (const char *p = text; *p; p++)
		if (*p <= 0x20 || *p > 0x7e)
			return false;
	return *text;
}

static bool is_service(const char *text)
{
	return text[0] != '.' && text[0] != '-' &&
	       strspn(text,
		      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.@-") ==
		       strlen(text);
}

/* A health rule never asks another machine, also not one that is written as a user's name. */
static bool is_local_url(const char *text)
{
	static const char *const begins[] = {"http://127.0.0.1",  "http://localhost",
					     "http://[::1]",	  "https://127.0.0.1",
					     "https://localhost", "https://[::1]"};

	for (size_t i = 0; i < ARRAY_SIZE(begins); i++) {
		size_t n = strlen(begins[i]);

		if (strncmp(text, begins[i], n) != 0)
			continue;
		text += n;
		if (*text == ':')
			text += 1 + strspn(text + 1, "0123456789");
		return (*text == '\0' || *text == '/') && is_word(text[0] ? text : "/");
	}
	return false;
}

static bool is_absolute_path(const char *text)
{
	return text[0] == '/' && wv_bundle_is_path(text + 1);
}

/* Lists -------------------------------------------------------------------------------------- */

static int read_words(struct json_object *list, const char *where, const char *const *choices,
		      char ***ret, struct wv_manifest_error *error)
{
	size_t n = json_object_array_length(list);
	char **words = calloc(n + 1, sizeof(*words));

	if (!words)
		return -ENOMEM;
	*ret = words;
	for (size_t i = 0; i < n; i++) {
		const char *text = wv_strict_string(json_object_array_get_idx(list, i));

		if (!text || !is_word(text) || strlen(text) >= WV_BUNDLE_NAME_SIZE ||
		    (choices && wv_strict_choice(text, choices) < 0))
			return wv_manifest_fail(error, "%s has '%.64s', which is none", where,
						text ?: "?");
		if (i && strcmp(words[i - 1], text) >= 0)
			return wv_manifest_fail(error, "%s are not sorted, or '%.64s' is twice",
						where, text);
		words[i] = strdup(text);
		if (!words[i])
			return -ENOMEM;
	}
	return 0;
}

struct file_row {
	struct wv_bundle_file file;
	int mode;
};

static const struct wv_strict_field file_fields[] = {
	{"mode", WV_STRICT_CHOICE, WV_STRICT_AT(struct file_row, mode), .choices = modes},
	{"path", WV_STRICT_TEXT, WV_STRICT_AT(struct file_row, file.path), .ok = wv_bundle_is_path,
	 .want = "a relative path without . or .."},
	{"sha256", WV_STRICT_TEXT, WV_STRICT_AT(struct file_row, file.sha256), .ok = is_hash,
	 .want = "64 hex digits"},
	{"size", WV_STRICT_UINT, WV_STRICT_AT(struct file_row, file.size),
	 .max = WV_BUNDLE_FILE_BYTES_MAX},
	{0},
};

static int by_hash(const void *a, const void *b)
{
	const struct wv_bundle_file *const *x = a, *const *y = b;

	return strcmp((*x)->sha256, (*y)->sha256);
}

/* The same content under two names has one size, or the archive could not be read. */
static int check_contents(const struct wv_manifest *m, struct wv_manifest_error *error)
{
	_cleanup_free_ const struct wv_bundle_file **sorted = calloc(m->n_files, sizeof(*sorted));
	uint64_t sum = 0;

	if (!sorted)
		return -ENOMEM;
	for (unsigned i = 0; i < m->n_files; i++)
		sorted[i] = &m->files[i];
	qsort(sorted, m->n_files, sizeof(*sorted), by_hash);
	for (unsigned i = 0; i < m->n_files; i++) {
		sum += sorted[i]->size;
		if (i && strcmp(sorted[i]->sha256, sorted[i - 1]->sha256) == 0 &&
		    sorted[i]->size != sorted[i - 1]->size)
			return wv_manifest_fail(error, "files: %.80s has another size elsewhere",
						sorted[i]->path);
	}
	if (sum > WV_BUNDLE_BYTES_MAX)
		return wv_manifest_fail(error, "files: over %llu bytes together",
					WV_BUNDLE_BYTES_MAX);
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct wv_bundle_file *)a)->path,
		      ((const struct wv_bundle_file *)b)->path);
}

/* A file cannot be a folder of another one, too. */
static int check_folders(const struct wv_manifest *m, const struct wv_bundle_file *f,
			 struct wv_manifest_error *error)
{
	struct wv_bundle_file parent = {.size = 0};

	for (const char *slash = strchr(f->path, '/'); slash; slash = strchr(slash + 1, '/')) {
		memcpy(parent.path, f->path, (size_t)(slash - f->path));
		parent.path[slash - f->path] = '\0';
		if (bsearch(&parent, m->files, m->n_files, sizeof(*m->files), by_path))
			return wv_manifest_fail(error, "files: %.80s is a file and a folder",
						parent.path);
	}
	return 0;
}

static int read_files(struct json_object *list, struct wv_manifest *m,
		      struct wv_manifest_error *error)
{
	size_t n = json_object_array_length(list);
	int r = 0;

	m->files = calloc(n, sizeof(*m->files));
	if (!m->files)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct file_row row = {0};

		r = wv_strict_read(json_object_array_get_idx(list, i), "files", file_fields, &row,
				   error);
		if (r < 0)
			return r;
		row.file.mode = row.mode ? MODE_EXECUTABLE : MODE_PLAIN;
		if (i && strcmp(m->files[i - 1].path, row.file.path) >= 0)
			return wv_manifest_fail(error, "files are not sorted, or %.80s is twice",
						row.file.path);
		m->files[m->n_files++] = row.file;
	}
	for (unsigned i = 0; i < m->n_files && r == 0; i++)
		r = check_folders(m, &m->files[i], error);
	return r < 0 ? r : check_contents(m, error);
}

static int read_flags(struct json_object *flags, struct wv_manifest *m,
		      struct wv_manifest_error *error)
{
	m->flags = calloc((size_t)json_object_object_length(flags), sizeof(*m->flags));
	if (!m->flags)
		return -ENOMEM;
	json_object_object_foreach(flags, name, value)
	{
		if (!wv_bundle_is_name(name) || !json_object_is_type(value, json_type_boolean))
			return wv_manifest_fail(error,
						"flags: '%.64s' is no name that is true or "
						"false",
						name);
		strcpy(m->flags[m->n_flags].name, name);
		m->flags[m->n_flags++].on = json_object_get_boolean(value);
	}
	return 0;
}

struct hook_row {
	struct wv_bundle_hook hook;
	int on, what;
};

static const struct wv_strict_field hook_fields[] = {
	{"do", WV_STRICT_CHOICE, WV_STRICT_AT(struct hook_row, what), .choices = wv_bundle_deeds},
	{"on", WV_STRICT_CHOICE, WV_STRICT_AT(struct hook_row, on), .choices = wv_bundle_moments},
	{"service", WV_STRICT_TEXT, .optional = true, WV_STRICT_AT(struct hook_row, hook.service),
	 .ok = is_service, .want = "the name of a service"},
	{0},
};

static int read_hooks(struct json_object *list, struct wv_manifest *m,
		      struct wv_manifest_error *error)
{
	size_t n = json_object_array_length(list);

	m->hooks = calloc(n, sizeof(*m->hooks));
	if (!m->hooks)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct hook_row row = {0};
		int r = wv_strict_read(json_object_array_get_idx(list, i), "hooks", hook_fields,
				       &row, error);

		if (r < 0)
			return r;
		row.hook.on = (enum wv_bundle_moment)row.on;
		row.hook.what = (enum wv_bundle_deed)row.what;
		if ((row.what <= WV_DO_STOP_SERVICE) != (row.hook.service[0] != '\0'))
			return wv_manifest_fail(error, "hooks: %s takes %s service",
						wv_bundle_deeds[row.what],
						row.what <= WV_DO_STOP_SERVICE ? "a" : "no");
		m->hooks[m->n_hooks++] = row.hook;
	}
	return 0;
}

struct health_row {
	struct wv_health_rule rule;
	int kind;
};

static const struct wv_strict_field health_fields[] = {
	{"every_ns", WV_STRICT_UINT, WV_STRICT_AT(struct health_row, rule.every_ns),
	 .min = 10000000, .max = WV_BUNDLE_SPAN_MAX_NS},
	{"failures", WV_STRICT_UINT32, WV_STRICT_AT(struct health_row, rule.failures), .min = 1,
	 .max = 1000},
	{"kind", WV_STRICT_CHOICE, WV_STRICT_AT(struct health_row, kind),
	 .choices = wv_health_kinds},
	{"target", WV_STRICT_TEXT, .optional = true, WV_STRICT_AT(struct health_row, rule.target)},
	{"within_ns", WV_STRICT_UINT, WV_STRICT_AT(struct health_row, rule.within_ns),
	 .min = 1000000, .max = WV_BUNDLE_SPAN_MAX_NS},
	{0},
};

static int read_health(struct json_object *list, struct wv_manifest *m,
		       struct wv_manifest_error *error)
{
	static const struct {
		bool (*ok)(const char *text);
		const char *want;
	} targets[] = {
		[WV_HEALTH_SERVICE] = {is_service, "the name of a service"},
		[WV_HEALTH_HTTP] = {is_local_url, "a URL of this machine's loopback"},
		[WV_HEALTH_FILE_FRESH] = {is_absolute_path, "an absolute path"},
		[WV_HEALTH_AGENT] = {NULL, NULL},
	};
	size_t n = json_object_array_length(list);

	m->health = calloc(n, sizeof(*m->health));
	if (!m->health)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct health_row row = {0};
		int r = wv_strict_read(json_object_array_get_idx(list, i), "health", health_fields,
				       &row, error);

		if (r < 0)
			return r;
		if (targets[row.kind].ok ? !targets[row.kind].ok(row.rule.target)
					 : row.rule.target[0] != '\0')
			return wv_manifest_fail(error, "health: target of %s is %s",
						wv_health_kinds[row.kind],
						targets[row.kind].want ?: "none");
		row.rule.kind = (enum wv_health_kind)row.kind;
		m->health[m->n_health++] = row.rule;
	}
	return 0;
}

/* The whole ---------------------------------------------------------------------------------- */

struct whole {
	struct wv_manifest m;
	int kind, type;
	uint64_t schema_version;
	struct json_object *devices, *environments, *files, *flags, *hooks, *health, *trial;
};

static const struct wv_strict_field fields[] = {
	{"app", WV_STRICT_TEXT, .optional = true, WV_STRICT_AT(struct whole, m.app),
	 .ok = wv_bundle_is_name, .want = "a name"},
	{"arch", WV_STRICT_TEXT, .optional = true, WV_STRICT_AT(struct whole, m.arch),
	 .ok = wv_bundle_is_name, .want = "an architecture"},
	{"counter", WV_STRICT_UINT, WV_STRICT_AT(struct whole, m.counter), .min = 1,
	 .max = WV_STRICT_UINT_MAX},
	{"created", WV_STRICT_UINT, WV_STRICT_AT(struct whole, m.created_s), .min = 1,
	 .max = WV_BUNDLE_TIME_MAX_S},
	{"devices", WV_STRICT_LIST, WV_STRICT_AT(struct whole, devices), .min = 1,
	 .max = WV_BUNDLE_DEVICES_MAX},
	{"environments", WV_STRICT_LIST, WV_STRICT_AT(struct whole, environments), .min = 1,
	 .max = 3},
	{"expires", WV_STRICT_UINT, WV_STRICT_AT(struct whole, m.expires_s), .min = 1,
	 .max = WV_BUNDLE_TIME_MAX_S},
	{"files", WV_STRICT_LIST, WV_STRICT_AT(struct whole, files), .min = 1,
	 .max = WV_BUNDLE_FILES_MAX},
	{"flags", WV_STRICT_OBJECT, .optional = true, WV_STRICT_AT(struct whole, flags), .min = 1,
	 .max = WV_BUNDLE_FLAGS_MAX},
	{"health", WV_STRICT_LIST, .optional = true, WV_STRICT_AT(struct whole, health), .min = 1,
	 .max = WV_BUNDLE_HEALTH_MAX},
	{"hooks", WV_STRICT_LIST, .optional = true, WV_STRICT_AT(struct whole, hooks), .min = 1,
	 .max = WV_BUNDLE_HOOKS_MAX},
	{"kind", WV_STRICT_CHOICE, WV_STRICT_AT(struct whole, kind), .choices = wv_bundle_kinds},
	{"min_waveos", WV_STRICT_TEXT, .optional = true, WV_STRICT_AT(struct whole, m.min_waveos),
	 .ok = wv_semver_is, .want = "a semantic version"},
	{"name", WV_STRICT_TEXT, WV_STRICT_AT(struct whole, m.name), .ok = wv_bundle_is_name,
	 .want = "a name"},
	{"schema_version", WV_STRICT_UINT, WV_STRICT_AT(struct whole, schema_version), .min = 1,
	 .max = 1},
	{"trial", WV_STRICT_OBJECT, WV_STRICT_AT(struct whole, trial), .min = 2, .max = 2},
	{"type", WV_STRICT_CHOICE, WV_STRICT_AT(struct whole, type), .choices = types},
	{"version", WV_STRICT_TEXT, WV_STRICT_AT(struct whole, m.version), .ok = wv_semver_is,
	 .want = "a semantic version"},
	{0},
};

static const struct wv_strict_field trial_fields[] = {
	{"boots", WV_STRICT_UINT32, WV_STRICT_AT(struct wv_manifest, trial_boots), .min = 1,
	 .max = 100},
	{"for_ns", WV_STRICT_UINT, WV_STRICT_AT(struct wv_manifest, trial_ns), .min = 0,
	 .max = WV_BUNDLE_SPAN_MAX_NS},
	{0},
};

static int read_parts(struct whole *w, struct wv_manifest_error *error)
{
	struct wv_manifest *m = &w->m;
	int r;

	if (m->expires_s <= m->created_s || m->expires_s - m->created_s > WV_BUNDLE_LIFE_MAX_S)
		return wv_manifest_fail(error, "expires is not after created, or over %llu days",
					WV_BUNDLE_LIFE_MAX_S / WV_BUNDLE_DAY_S);
	r = wv_strict_read(w->trial, "trial", trial_fields, m, error);
	if (r == 0)
		r = read_words(w->devices, "devices", NULL, &m->devices, error);
	if (r == 0)
		r = read_words(w->environments, "environments", wv_bundle_environments,
			       &m->environments, error);
	if (r == 0)
		r = read_files(w->files, m, error);
	if (r == 0 && w->flags)
		r = read_flags(w->flags, m, error);
	if (r == 0 && w->hooks)
		r = read_hooks(w->hooks, m, error);
	if (r == 0 && w->health)
		r = read_health(w->health, m, error);
	return r;
}

int wv_manifest_parse(const char *text, size_t len, struct wv_manifest *ret,
		      struct wv_manifest_error *error)
{
	struct whole w = {0};
	struct json_object *o;
	int r = wv_strict_parse(text, len, WV_MANIFEST_MAX, &o, error);

	if (r < 0)
		return r;
	r = wv_strict_read(o, "manifest", fields, &w, error);
	w.m.kind = (enum wv_bundle_kind)w.kind;
	if (r == 0)
		r = read_parts(&w, error);
	json_object_put(o);
	if (r == 0) {
		w.m.text = malloc(len + 1);
		r = w.m.text ? 0 : -ENOMEM;
	}
	if (r < 0) {
		wv_manifest_done(&w.m);
		return r;
	}
	memcpy(w.m.text, text, len);
	w.m.text[len] = '\0';
	w.m.text_len = len;
	wv_sha256_hex(text, len, w.m.id);
	if (!w.m.id[0]) {
		wv_manifest_done(&w.m);
		return -ENOMEM;
	}
	*ret = w.m;
	return 0;
}

static void free_words(char **words)
{
	for (char **w = words; w && *w; w++)
		free(*w);
	free(words);
}

void wv_manifest_done(struct wv_manifest *m)
{
	free_words(m->devices);
	free_words(m->environments);
	free(m->flags);
	free(m->files);
	free(m->hooks);
	free(m->health);
	free(m->text);
	*m = (struct wv_manifest){0};
}
