// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/bundle/install.h"
#include "user/cmd/cmd.h"
#include "user/core/cleanup.h"

const char *const wv_origin_names[WV_ORIGIN_N] = {"default", "file", "bundle", "environment",
						  "option"};

int wv_settings_add(struct wv_settings_given *g, const char *verb, const char *value)
{
	if (g->n_sets == WV_MAX_SETS) {
		fprintf(stderr, "waveos-bpf %s: at most %d times --set\n", verb, WV_MAX_SETS);
		return WV_EXIT_USAGE;
	}
	g->sets[g->n_sets++] = value;
	return 0;
}

static int apply_set(struct wv_config *config, const char *set, struct wv_config_error *error)
{
	const char *equals = strchr(set, '=');
	char name[96];

	if (!equals || (size_t)(equals - set) >= sizeof(name)) {
		snprintf(error->text, sizeof(error->text),
			 "--set wants SECTION.KEY=VALUE, not '%.100s'", set);
		return -EINVAL;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(equals - set), set);
	return wv_config_set(config, name, equals + 1, error);
}

int wv_settings_read(const struct wv_paths *paths, const struct wv_settings_given *g,
		     struct wv_config *c, char ret_path[WV_PATH_SIZE],
		     struct wv_config_error *error)
{
	char sha256[WV_SHA256_HEX] = "";
	int r;

	if (g->config || wv_bundle_use(paths, WV_BUNDLE_CONFIG, ret_path, sha256) < 0)
		snprintf(ret_path, WV_PATH_SIZE, "%s", g->config ?: paths->config);
	r = wv_config_load(c, ret_path, error);
	if (r == 0 && sha256[0] && strcmp(c->digest, sha256) != 0)
		r = wv_config_fail(error, "%.300s is not the file that was signed", ret_path);
	if (r == -ENOENT && !g->config)
		r = 0;
	if (r == 0)
		r = wv_config_environment(c, error);
	for (unsigned i = 0; r == 0 && i < g->n_sets; i++)
		r = apply_set(c, g->sets[i], error);
	return r;
}

/* Origins -------------------------------------------------------------------------------------- */

extern char **environ;

/* NAME=VALUE of WAVEOS_SECTION_KEY in any case, the last one, or NULL. */
static const char *variable(const struct wv_setting *s)
{
	const char *found = NULL;
	char name[96];
	size_t len = (size_t)snprintf(name, sizeof(name), "WAVEOS_%s_%s=", s->section, s->key);

	for (char **e = environ; e && *e; e++)
		if (strncmp(*e, "WAVEOS_", 7) == 0 && strncasecmp(*e, name, len) == 0)
			found = *e;
	return found;
}

static const char *option(const struct wv_settings_given *g, const struct wv_setting *s)
{
	char name[96];
	size_t len = (size_t)snprintf(name, sizeof(name), "%s.%s=", s->section, s->key);

	for (unsigned i = g->n_sets; i-- > 0;)
		if (strncmp(g->sets[i], name, len) == 0)
			return g->sets[i];
	return NULL;
}

static unsigned line_of(const yaml_node_t *node)
{
	return node ? (unsigned)node->start_mark.line + 1 : 0;
}

/* Lines of the file, 0 where it does not have the setting. */
static int read_lines(const char *path, struct wv_setting_origin *list, enum wv_origin origin)
{
	struct wv_config_error error = {.text = ""};
	struct wv_yaml y = {.name = path, .error = &error};
	_cleanup_free_ char *text = NULL;
	yaml_document_t doc;
	yaml_node_t *root;
	size_t len;
	int r = wv_config_read(path, &text, &len);

	if (r == 0)
		r = wv_yaml_load(&y, &doc, text, len);
	if (r < 0)
		return r == -ENODATA ? 0 : r;
	y.doc = &doc;
	root = yaml_document_get_root_node(&doc);
	for (size_t i = 0; i < wv_settings_count + wv_lists_count; i++) {
		bool is_list = i >= wv_settings_count;
		const char *section = is_list ? wv_lists[i - wv_settings_count].name
					      : wv_settings_table[i].section;
		yaml_node_t *node = wv_yaml_get(&y, root, section);

		if (node && !is_list)
			node = node->type == YAML_MAPPING_NODE
				       ? wv_yaml_get(&y, node, wv_settings_table[i].key)
				       : NULL;
		if (node && node->type == YAML_SEQUENCE_NODE)
			list[i].items = (unsigned)(node->data.sequence.items.top -
						   node->data.sequence.items.start);
		if (node) {
			list[i].origin = origin;
			list[i].line = line_of(node);
		}
	}
	yaml_document_delete(&doc);
	return 0;
}

int wv_settings_origins(const struct wv_settings_given *g, const struct wv_config *c,
			const char *path, bool bundle, struct wv_setting_origin **ret)
{
	struct wv_setting_origin *list = calloc(wv_settings_count + wv_lists_count, sizeof(*list));
	int r = list ? 0 : -ENOMEM;

	if (r == 0 && c->source[0])
		r = read_lines(path, list, bundle ? WV_ORIGIN_BUNDLE : WV_ORIGIN_FILE);
	if (r < 0) {
		free(list);
		return r;
	}
	for (size_t i = 0; i < wv_settings_count; i++) {
		const char *set = option(g, &wv_settings_table[i]);
		const char *env = set ? NULL : variable(&wv_settings_table[i]);

		if (set || env)
			list[i] = (struct wv_setting_origin){.origin = set ? WV_ORIGIN_OPTION
									   : WV_ORIGIN_ENVIRONMENT,
							     .set = set ?: env};
	}
	*ret = list;
	return 0;
}
