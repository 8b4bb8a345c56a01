// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reader of specs. It knows how things are written; whether they are right is for the parser of
 * manifests to say, which sees every manifest that is built here.
 */
#include "user/bundle/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "user/bundle/spec_files.h"
#include "user/bundle/strict.h"
#include "user/core/cleanup.h"

#define DEFAULT_TRIAL_NS (10 * 60 * 1000000000ULL)
#define DEFAULT_TRIAL_BOOTS 3
#define DEFAULT_LIFE_S (90 * WV_BUNDLE_DAY_S)

struct builder {
	struct wv_yaml y;
	const char *folder; /* of the spec */
	struct wv_manifest m;
	struct wv_spec_files files;
	uint64_t now_s;
};

/* Scalars ------------------------------------------------------------------------------------ */

/* 1: *ret is there; 0: the key is not. */
static int get_text(const struct wv_yaml *y, const yaml_node_t *map, const char *key,
		    const char **ret)
{
	yaml_node_t *node = wv_yaml_get(y, map, key);

	if (!node)
		return 0;
	*ret = wv_yaml_scalar(node);
	return *ret ? 1 : wv_yaml_error(y, node, "%s is a text, not %s", key, wv_yaml_kind(node));
}

static int get_copy(const struct wv_yaml *y, const yaml_node_t *map, const char *key, char *to,
		    size_t size, bool needed)
{
	const char *text = NULL;
	int r = get_text(y, map, key, &text);

	if (r < 0)
		return r;
	if (r == 0)
		return needed ? wv_yaml_error(y, map, "'%s' is missing", key) : 0;
	if (!*text || strlen(text) >= size)
		return wv_yaml_error(y, wv_yaml_get(y, map, key), "%s has 1 to %zu bytes", key,
				     size - 1);
	strcpy(to, text);
	return 0;
}

static int get_choice(const struct wv_yaml *y, const yaml_node_t *map, const char *key,
		      const char *const *choices, int *ret)
{
	const char *text = NULL, *near;
	int r = get_text(y, map, key, &text);

	if (r < 0)
		return r;
	if (r == 0)
		return wv_yaml_error(y, map, "'%s' is missing", key);
	*ret = wv_strict_choice(text, choices);
	if (*ret >= 0)
		return 0;
	near = wv_suggest(text, choices);
	return wv_yaml_error(y, wv_yaml_get(y, map, key), "%s '%s' is not known%s%s", key, text,
			     near ? "; did you mean " : "", near ?: "");
}

/* A number (parse is wv_parse_uint) or a duration; an absent one leaves *ret as it is. */
static int get_number(const struct wv_yaml *y, const yaml_node_t *map, const char *key,
		      int (*parse)(const char *s, uint64_t *ret), uint64_t *ret)
{
	const char *text = NULL;
	int r = get_text(y, map, key, &text);

	if (r <= 0)
		return r;
	if (parse(text, ret) < 0)
		return wv_yaml_error(y, wv_yaml_get(y, map, key), "%s: '%s' is no %s", key, text,
				     parse == wv_parse_uint ? "number" : "duration such as 90d");
	return 0;
}

/* Lists -------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A list of texts, sorted; `otherwise` where the key is absent. */
static int get_words(const struct wv_yaml *y, const yaml_node_t *map, const char *key,
		     const char *otherwise, char ***ret)
{
	yaml_node_t *node = wv_yaml_get(y, map, key);
	size_t n = 1, i = 0;
	char **words;

	if (node && node->type != YAML_SEQUENCE_NODE)
		return wv_yaml_error(y, node, "%s is a list, not %s", key, wv_yaml_kind(node));
	if (node)
		n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	words = calloc(n + 1, sizeof(*words));
	if (!words)
		return -ENOMEM;
	*ret = words;
	for (i = 0; i < n; i++) {
		yaml_node_t *item =
			node ? yaml_document_get_node(y->doc, node->data.sequence.items.start[i])
			     : NULL;
		const char *text = item ? wv_yaml_scalar(item) : otherwise;

		if (!text)
			return wv_yaml_error(y, item, "%s are texts", key);
		words[i] = strdup(text);
		if (!words[i])
			return -ENOMEM;
	}
	qsort(words, n, sizeof(*words), by_text);
	return 0;
}

/* Calls each(b, item) for every mapping of a list. */
static int each_of(struct builder *b, const yaml_node_t *map, const char *key,
		   const char *const keys[],
		   int (*each)(struct builder *b, const yaml_node_t *item))
{
	yaml_node_t *node = wv_yaml_get(&b->y, map, key);
	int r = 0;

	if (!node)
		return 0;
	if (node->type != YAML_SEQUENCE_NODE)
		return wv_yaml_error(&b->y, node, "%s is a list, not %s", key, wv_yaml_kind(node));
	for (yaml_node_item_t *i = node->data.sequence.items.start;
	     i < node->data.sequence.items.top && r == 0; i++) {
		yaml_node_t *item = yaml_document_get_node(b->y.doc, *i);

		r = wv_yaml_check_keys(&b->y, item, key, keys);
		if (r == 0)
			r = each(b, item);
	}
	return r;
}

static int add_hook(struct builder *b, const yaml_node_t *item)
{
	struct wv_bundle_hook h = {.service = ""};
	int on, what, r = get_choice(&b->y, item, "on", wv_bundle_moments, &on);

	if (r == 0)
		r = get_choice(&b->y, item, "do", wv_bundle_deeds, &what);
	if (r == 0)
		r = get_copy(&b->y, item, "service", h.service, sizeof(h.service), false);
	if (r < 0)
		return r;
	if (b->m.n_hooks == WV_BUNDLE_HOOKS_MAX)
		return wv_yaml_error(&b->y, item, "over %d hooks", WV_BUNDLE_HOOKS_MAX);
	h.on = (enum wv_bundle_moment)on;
	h.what = (enum wv_bundle_deed)what;
	b->m.hooks[b->m.n_hooks++] = h;
	return 0;
}

static int add_health(struct builder *b, const yaml_node_t *item)
{
	struct wv_health_rule h = {.within_ns = 1000000000ULL, .every_ns = 5000000000ULL};
	uint64_t failures = 3;
	int kind, r = get_choice(&b->y, item, "kind", wv_health_kinds, &kind);

	if (r == 0)
		r = get_copy(&b->y, item, "target", h.target, sizeof(h.target), false);
	if (r == 0)
		r = get_number(&b->y, item, "within", wv_parse_duration, &h.within_ns);
	if (r == 0)
		r = get_number(&b->y, item, "every", wv_parse_duration, &h.every_ns);
	if (r == 0)
		r = get_number(&b->y, item, "failures", wv_parse_uint, &failures);
	if (r < 0)
		return r;
	if (b->m.n_health == WV_BUNDLE_HEALTH_MAX || failures > 1000)
		return wv_yaml_error(&b->y, item, "over %d rules, or over 1000 failures",
				     WV_BUNDLE_HEALTH_MAX);
	h.kind = (enum wv_health_kind)kind;
	h.failures = (uint32_t)failures;
	b->m.health[b->m.n_health++] = h;
	return 0;
}

static int add_file(struct builder *b, const yaml_node_t *item)
{
	char path[WV_BUNDLE_PATH_SIZE] = "", from[WV_PATH_SIZE] = "", mode[8] = "";
	int r = get_copy(&b->y, item, "path", path, sizeof(path), true);

	if (r == 0)
		r = get_copy(&b->y, item, "from", from, sizeof(from), false);
	if (r == 0)
		r = get_copy(&b->y, item, "mode", mode, sizeof(mode), false);
	if (r < 0)
		return r;
	if (mode[0] && strcmp(mode, "0644") != 0 && strcmp(mode, "0755") != 0)
		return wv_yaml_error(&b->y, item, "mode is \"0644\" or \"0755\"");
	r = wv_spec_files_add(&b->files, b->folder, from[0] ? from : path, path,
			      !mode[0]	       ? 0
			      : mode[1] == '7' ? 0755
					       : 0644);
	return r < 0 ? wv_yaml_error(&b->y, item, "%s: %s", from[0] ? from : path, strerror(-r))
		     : 0;
}

static int add_flags(struct builder *b, const yaml_node_t *map)
{
	yaml_node_t *node = wv_yaml_get(&b->y, map, "flags");

	if (!node)
		return 0;
	if (node->type != YAML_MAPPING_NODE)
		return wv_yaml_error(&b->y, node, "flags is a mapping of names to true or false");
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
	     p++) {
		const char *name = wv_yaml_scalar(yaml_document_get_node(b->y.doc, p->key));
		yaml_node_t *value = yaml_document_get_node(b->y.doc, p->value);
		const char *text = wv_yaml_scalar(value);
		bool on;

		if (!name || !wv_bundle_is_name(name) || !text || wv_parse_bool(text, &on) < 0 ||
		    b->m.n_flags == WV_BUNDLE_FLAGS_MAX)
			return wv_yaml_error(&b->y, value,
					     "a flag is a name that is true or "
					     "false; at most %d of them",
					     WV_BUNDLE_FLAGS_MAX);
		strcpy(b->m.flags[b->m.n_flags].name, name);
		b->m.flags[b->m.n_flags++].on = on;
	}
	return 0;
}

/* The whole ---------------------------------------------------------------------------------- */

static int read_heads(struct builder *b, const yaml_node_t *root)
{
	struct wv_manifest *m = &b->m;
	uint64_t life_ns = DEFAULT_LIFE_S * 1000000000ULL;
	int kind = 0, r = get_choice(&b->y, root, "kind", wv_bundle_kinds, &kind);

	m->kind = (enum wv_bundle_kind)kind;
	if (r == 0)
		r = get_copy(&b->y, root, "name", m->name, sizeof(m->name), true);
	if (r == 0)
		r = get_copy(&b->y, root, "version", m->version, sizeof(m->version), true);
	if (r == 0)
		r = get_copy(&b->y, root, "app", m->app, sizeof(m->app), false);
	if (r == 0)
		r = get_copy(&b->y, root, "arch", m->arch, sizeof(m->arch), false);
	if (r == 0)
		r = get_copy(&b->y, root, "min_waveos", m->min_waveos, sizeof(m->min_waveos),
			     false);
	if (r == 0)
		r = get_number(&b->y, root, "counter", wv_parse_uint, &m->counter);
	if (r == 0)
		r = get_number(&b->y, root, "expires", wv_parse_duration, &life_ns);
	m->created_s = b->now_s;
	m->expires_s = b->now_s + life_ns / 1000000000ULL;
	return r;
}

static int read_trial(struct builder *b, const yaml_node_t *root)
{
	static const char *const keys[] = {"for", "boots", NULL};
	yaml_node_t *node = wv_yaml_get(&b->y, root, "trial");
	uint64_t boots = DEFAULT_TRIAL_BOOTS;
	int r;

	b->m.trial_ns = DEFAULT_TRIAL_NS;
	b->m.trial_boots = DEFAULT_TRIAL_BOOTS;
	if (!node)
		return 0;
	r = wv_yaml_check_keys(&b->y, node, "trial", keys);
	if (r == 0)
		r = get_number(&b->y, node, "for", wv_parse_duration, &b->m.trial_ns);
	if (r == 0)
		r = get_number(&b->y, node, "boots", wv_parse_uint, &boots);
	b->m.trial_boots = boots > 1000 ? 1000 : (uint32_t)boots;
	return r;
}

static int read_spec(struct builder *b, const char *tree)
{
	static const char *const keys[] = {
		"kind",		"name",	  "version", "counter",	   "expires", "devices",
		"environments", "app",	  "arch",    "min_waveos", "flags",   "trial",
		"hooks",	"health", "files",   "dir",	   NULL};
	static const char *const hook_keys[] = {"on", "do", "service", NULL};
	static const char *const health_keys[] = {"kind",  "target",   "within",
						  "every", "failures", NULL};
	static const char *const file_keys[] = {"path", "from", "mode", NULL};
	const yaml_node_t *root = yaml_document_get_root_node(b->y.doc);
	const char *dir = NULL;
	int r = wv_yaml_check_keys(&b->y, root, "the spec", keys);

	if (r == 0)
		r = read_heads(b, root);
	if (r == 0)
		r = read_trial(b, root);
	if (r == 0)
		r = get_words(&b->y, root, "devices", "*", &b->m.devices);
	if (r == 0)
		r = get_words(&b->y, root, "environments", "dev", &b->m.environments);
	if (r == 0)
		r = add_flags(b, root);
	if (r == 0)
		r = each_of(b, root, "hooks", hook_keys, add_hook);
	if (r == 0)
		r = each_of(b, root, "health", health_keys, add_health);
	if (r == 0)
		r = each_of(b, root, "files", file_keys, add_file);
	if (r == 0)
		r = get_text(&b->y, root, "dir", &dir);
	if (r > 0) {
		r = wv_spec_files_walk(&b->files, b->folder, dir);
		if (r < 0)
			return wv_yaml_error(&b->y, root, "dir %s: %s: %s", dir, b->files.at,
					     strerror(-r));
	}
	if (r == 0 && tree) {
		r = wv_spec_files_walk(&b->files, "", tree);
		if (r < 0)
			return wv_config_fail(b->y.error, "%s: %s: %s", tree, b->files.at,
					      strerror(-r));
	}
	return r;
}

static int make_manifest(struct builder *b, struct wv_manifest *ret)
{
	struct wv_manifest_error why = {.text = ""};
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = wv_spec_files_sort(&b->files);

	if (r < 0)
		return r;
	b->m.files = b->files.files;
	b->m.n_files = b->files.n;
	r = wv_manifest_text(&b->m, &text, &len);
	b->m.files = NULL;
	if (r == 0)
		r = wv_manifest_parse(text, len, ret, &why);
	if (r == -EBADMSG || r == -EFBIG) {
		(void)wv_config_fail(b->y.error, "%s: %s", b->y.name, why.text);
		return -EINVAL;
	}
	return r;
}

static int load(struct builder *b, const char *text, size_t len, const char *tree,
		struct wv_bundle_spec *ret)
{
	yaml_document_t doc;
	int r;

	b->m.flags = calloc(WV_BUNDLE_FLAGS_MAX, sizeof(*b->m.flags));
	b->m.hooks = calloc(WV_BUNDLE_HOOKS_MAX, sizeof(*b->m.hooks));
	b->m.health = calloc(WV_BUNDLE_HEALTH_MAX, sizeof(*b->m.health));
	if (!b->m.flags || !b->m.hooks || !b->m.health)
		return -ENOMEM;
	r = wv_yaml_load(&b->y, &doc, text, len);
	if (r < 0)
		return r == -ENODATA ? wv_config_fail(b->y.error, "%s is empty", b->y.name) : r;
	b->y.doc = &doc;
	r = read_spec(b, tree);
	yaml_document_delete(&doc);
	if (r == 0)
		r = make_manifest(b, &ret->manifest);
	if (r == 0)
		ret->sources = wv_spec_files_take(&b->files);
	return r;
}

int wv_bundle_spec_load(const char *spec, const char *tree, uint64_t now_s,
			struct wv_bundle_spec *ret, struct wv_config_error *error)
{
	_cleanup_free_ char *text = NULL, *folder = strdup(spec);
	struct builder b = {.y = {.name = spec, .error = error}, .now_s = now_s};
	size_t len;
	char *slash;
	int r;

	if (!folder)
		return -ENOMEM;
	slash = strrchr(folder, '/');
	*(slash ? slash + 1 : folder) = '\0';
	b.folder = folder;
	*ret = (struct wv_bundle_spec){.open = -1};
	error->text[0] = '\0';
	r = wv_config_read(spec, &text, &len);
	if (r < 0)
		return wv_config_fail(error, "%s: %s", spec, strerror(-r)), r;
	r = load(&b, text, len, tree, ret);
	wv_manifest_done(&b.m);
	wv_spec_files_done(&b.files);
	if (r < 0 && !error->text[0])
		(void)wv_config_fail(error, "%s: %s", spec, strerror(-r));
	return r;
}

ssize_t wv_bundle_spec_source(void *ctx, const struct wv_bundle_file *file, uint64_t off, void *buf,
			      size_t size)
{
	struct wv_bundle_spec *s = ctx;
	ssize_t n;

	if (off == 0) {
		wv_closep(&s->open);
		s->open = open(s->sources[file - s->manifest.files], O_RDONLY | O_CLOEXEC);
		if (s->open < 0)
			return -errno;
	}
	n = pread(s->open, buf, size, (off_t)off);
	return n < 0 ? -errno : n;
}

void wv_bundle_spec_done(struct wv_bundle_spec *s)
{
	for (char **p = s->sources; p && *p; p++)
		free(*p);
	free(s->sources);
	wv_closep(&s->open);
	wv_manifest_done(&s->manifest);
	*s = (struct wv_bundle_spec){.open = -1};
}
