// SPDX-License-Identifier: GPL-2.0-only
/* config: what a start would use and where each value comes from; whether a file is right; what
 * differs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/access/certificate.h"
#include "user/agent/policy_source.h"
#include "user/bundle/install.h"
#include "user/cmd/cmd.h"
#include "user/cmd/settings.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/evidence/meta.h"
#include "user/evidence/redact.h"
#include "user/policy/policy.h"

struct ask {
	const char *verb;
	struct wv_settings_given given;
	bool origin, running;
};

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct ask *a = ctx;

	if (strcmp(o->name, "config") == 0)
		a->given.config = value;
	else if (strcmp(o->name, "origin") == 0)
		a->origin = true;
	else if (strcmp(o->name, "running") == 0)
		a->running = true;
	else
		return wv_settings_add(&a->given, a->verb, value);
	return 0;
}

#define OPTION_CONFIG                                                                              \
	{                                                                                          \
		"config", 'c', "FILE", "look at this file instead of the default"                  \
	}
#define OPTION_SET                                                                                 \
	{                                                                                          \
		"set", 's', "SECTION.KEY=VALUE",                                                   \
			"override one setting as attach would; may be repeated"                    \
	}

static int failed(const struct ask *a, const char *path, int error,
		  const struct wv_config_error *text)
{
	if (text->text[0])
		fprintf(stderr, "waveos-bpf %s: %s\n", a->verb, text->text);
	else
		fprintf(stderr, "waveos-bpf %s: cannot read %s: %s\n", a->verb, path,
			strerror(-error));
	return error == -EACCES || error == -EPERM ? WV_EXIT_DENIED : WV_EXIT_USAGE;
}

/* Show ----------------------------------------------------------------------------------------- */

/* The value of a setting as the object of its section has it, redacted; to be put by the caller. */
static struct json_object *value_of(struct json_object *all, const struct wv_setting *s,
				    struct wv_redactor *redactor)
{
	struct json_object *section, *value = NULL;
	char name[96], *masked = NULL;

	if (!json_object_object_get_ex(all, s->section, &section) ||
	    !json_object_object_get_ex(section, s->key, &value))
		return NULL;
	snprintf(name, sizeof(name), "%s_%s", s->section, s->key);
	if (!json_object_is_type(value, json_type_string) ||
	    wv_redact_text(redactor, name, json_object_get_string(value), &masked) <= 0)
		return json_object_get(value);
	value = json_object_new_string(masked);
	free(masked);
	return value;
}

/* Durations and sizes as people write them. */
static const char *text_of(const struct wv_setting *s, struct json_object *value, char buf[300])
{
	uint64_t v = json_object_get_uint64(value);

	if (s->type == WV_DURATION && v % 1000000000ULL == 0)
		snprintf(buf, 300, "%llus", (unsigned long long)(v / 1000000000ULL));
	else if (s->type == WV_DURATION)
		snprintf(buf, 300, "%llums", (unsigned long long)(v / 1000000));
	else if ((s->type == WV_BYTES || s->type == WV_POW2) && v && v % (1U << 20) == 0)
		snprintf(buf, 300, "%lluM", (unsigned long long)(v >> 20));
	else if ((s->type == WV_BYTES || s->type == WV_POW2) && v && v % 1024 == 0)
		snprintf(buf, 300, "%lluK", (unsigned long long)(v >> 10));
	else
		snprintf(buf, 300, "%s", json_object_get_string(value) ?: "");
	return buf;
}

/* "default", "file /etc/waveos/waveos.yaml:12", "environment WAVEOS_AGENT_TICK", "option --set". */
static const char *place_of(const struct wv_setting_origin *o, const char *path, char buf[640])
{
	buf[0] = '\0';
	if (o->origin == WV_ORIGIN_FILE || o->origin == WV_ORIGIN_BUNDLE)
		snprintf(buf, 640, "%s:%u", path, o->line);
	else if (o->origin == WV_ORIGIN_ENVIRONMENT)
		snprintf(buf, 640, "%.*s", (int)strcspn(o->set, "="), o->set);
	else if (o->origin == WV_ORIGIN_OPTION)
		snprintf(buf, 640, "--set");
	return buf;
}

static void show_text(const struct ask *a, const struct wv_config *c, const char *path,
		      const struct wv_setting_origin *origins, struct json_object *values)
{
	struct wv_redactor redactor;
	char buf[300], place[640];

	wv_redactor_records(&redactor);
	printf("# %s%s\n", c->source[0] ? c->source : path, c->source[0] ? "" : " does not exist");
	for (size_t i = 0; i < wv_settings_count + wv_lists_count; i++) {
		bool is_list = i >= wv_settings_count;
		const struct wv_setting *s = &wv_settings_table[i];
		struct json_object *value = NULL;
		char name[96];

		if (is_list) {
			snprintf(name, sizeof(name), "%s", wv_lists[i - wv_settings_count].name);
			snprintf(buf, sizeof(buf), "%u item(s)", origins[i].items);
		} else {
			snprintf(name, sizeof(name), "%s.%s", s->section, s->key);
			value = value_of(values, s, &redactor);
			text_of(s, value, buf);
		}
		json_object_put(value);
		if (!a->origin) {
			printf("%s = %s\n", name, buf);
			continue;
		}
		place_of(&origins[i], path, place);
		printf("%-28s %-24s %s%s%s\n", name, buf, wv_origin_names[origins[i].origin],
		       place[0] ? " " : "", place);
	}
}

static void show_json(const struct wv_config *c, const char *path,
		      const struct wv_setting_origin *origins, struct json_object *values)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct json_object *lists = json_object_new_array();
	struct wv_redactor redactor;
	char place[640], name[96];

	wv_redactor_records(&redactor);
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	wv_json_str(o, "file", c->source);
	wv_json_str(o, "sha256", c->digest);
	for (size_t i = 0; i < wv_settings_count + wv_lists_count; i++) {
		bool is_list = i >= wv_settings_count;
		const struct wv_setting *s = &wv_settings_table[i];
		struct json_object *item = json_object_new_object();

		if (is_list)
			snprintf(name, sizeof(name), "%s", wv_lists[i - wv_settings_count].name);
		else
			snprintf(name, sizeof(name), "%s.%s", s->section, s->key);
		wv_json_str(item, "name", name);
		if (is_list)
			wv_json_u64(item, "items", origins[i].items);
		else
			json_object_object_add(item, "value", value_of(values, s, &redactor));
		wv_json_str(item, "origin", wv_origin_names[origins[i].origin]);
		wv_json_str(item, "place", place_of(&origins[i], path, place));
		if (!is_list)
			wv_json_str(item, "default", s->def);
		json_object_array_add(is_list ? lists : list, item);
	}
	json_object_object_add(o, "settings", list);
	json_object_object_add(o, "lists", lists);
	wv_json_print(o);
	json_object_put(o);
}

static int show(struct wv_cli *cli, int argc, char **argv)
{
	static const struct wv_option options[] = {
		OPTION_CONFIG,
		OPTION_SET,
		{"origin", 'o', NULL, "tell where each value comes from"},
		{0},
	};
	_cleanup_(wv_config_done) struct wv_config c = {.n_budgets = 0};
	_cleanup_free_ struct wv_setting_origin *origins = NULL;
	struct wv_config_error error = {.text = ""};
	struct ask a = {.verb = "config show"};
	char path[WV_PATH_SIZE], unused[WV_PATH_SIZE], sha256[WV_SHA256_HEX];
	struct json_object *values;
	bool bundle;
	int r = wv_cli_parse(
		cli, argc, argv, "config show [--origin] [--config FILE] [--json]",
		"  waveos-bpf config show --origin\n"
		"  waveos-bpf config show --json | jq '.settings[] | select(.origin != "
		"\"default\")'\n",
		options, set_option, &a);

	if (r < 0)
		return -r;
	if (r < argc) {
		fprintf(stderr, "waveos-bpf config show: takes no operand; see --config\n");
		return WV_EXIT_USAGE;
	}
	if (wv_config_init(&c) < 0)
		return WV_EXIT_INTERNAL;
	r = wv_settings_read(&cli->paths, &a.given, &c, path, &error);
	if (r < 0)
		return failed(&a, path, r, &error);
	bundle = !a.given.config &&
		 wv_bundle_use(&cli->paths, WV_BUNDLE_CONFIG, unused, sha256) == 0;
	r = wv_settings_origins(&a.given, &c, path, bundle, &origins);
	if (r < 0)
		return failed(&a, path, r, &error);
	values = wv_meta_settings(&c);
	if (cli->json)
		show_json(&c, path, origins, values);
	else
		show_text(&a, &c, path, origins, values);
	json_object_put(values);
	return WV_EXIT_OK;
}

/* Validate ------------------------------------------------------------------------------------- */

static int validate(struct wv_cli *cli, int argc, char **argv)
{
	static const struct wv_option options[] = {OPTION_SET, {0}};
	_cleanup_(wv_config_done) struct wv_config c = {.n_budgets = 0};
	_cleanup_(wv_policy_freep) struct wv_policy *policy = NULL;
	struct wv_config_error error = {.text = ""};
	struct ask a = {.verb = "config validate"};
	char path[WV_PATH_SIZE];
	struct json_object *o;
	int r = wv_cli_parse(cli, argc, argv, "config validate [FILE] [--json]",
			     "  waveos-bpf config validate /etc/waveos/waveos.yaml\n", options,
			     set_option, &a);

	if (r < 0)
		return -r;
	if (argc - r > 1) {
		fprintf(stderr, "waveos-bpf config validate: takes one file at most\n");
		return WV_EXIT_USAGE;
	}
	a.given.config = r < argc ? argv[r] : NULL;
	if (wv_config_init(&c) < 0)
		return WV_EXIT_INTERNAL;
	r = wv_settings_read(&cli->paths, &a.given, &c, path, &error);
	/* what attach would refuse to start with: the policy that it names belongs to that */
	if (r == 0)
		r = wv_access_check(&c, error.text, sizeof(error.text));
	if (r == 0)
		r = wv_policy_read(&policy, &c, &cli->paths, &error);
	if (cli->json) {
		o = json_object_new_object();
		json_object_object_add(o, "schema_version", json_object_new_int(1));
		wv_json_str(o, "file", path);
		json_object_object_add(o, "exists", json_object_new_boolean(c.source[0] != '\0'));
		json_object_object_add(o, "valid", json_object_new_boolean(r == 0));
		wv_json_str(o, "error", r == 0 ? "" : error.text[0] ? error.text : strerror(-r));
		wv_json_print(o);
		json_object_put(o);
	}
	if (r < 0)
		return failed(&a, path, r, &error);
	if (!cli->json)
		printf("%s: %s\n", path,
		       c.source[0] ? "valid" : "does not exist; a start uses the defaults");
	return WV_EXIT_OK;
}

/* Diff ----------------------------------------------------------------------------------------- */

/* The settings of the agent that runs, from its run's meta data. Freed with json_object_put(). */
static struct json_object *running_settings(const struct wv_paths *paths)
{
	struct json_object *meta, *config, *settings = NULL;
	char path[sizeof(((struct wv_snapshot *)0)->run_dir) + 16];
	struct wv_view v = {0};
	int pid;

	if (!wv_view_agent_runs(paths, &pid) || wv_view_read(&v, paths) < 0) {
		wv_view_done(&v);
		return NULL;
	}
	snprintf(path, sizeof(path), "%s/run_meta.json", v.head.run_dir);
	wv_view_done(&v);
	meta = json_object_from_file(path);
	if (meta && json_object_object_get_ex(meta, "config", &config) &&
	    json_object_object_get_ex(config, "settings", &settings))
		json_object_get(settings);
	json_object_put(meta);
	return settings;
}

static unsigned compare(struct json_object *left, struct json_object *right,
			struct json_object *out)
{
	struct wv_redactor redactor;
	char from[300], to[300];
	unsigned n = 0;

	wv_redactor_records(&redactor);
	for (size_t i = 0; i < wv_settings_count; i++) {
		const struct wv_setting *s = &wv_settings_table[i];
		struct json_object *a = value_of(left, s, &redactor);
		struct json_object *b = value_of(right, s, &redactor);

		if (!json_object_equal(a, b)) {
			n++;
			if (out) {
				struct json_object *item = json_object_new_object();
				char name[96];

				snprintf(name, sizeof(name), "%s.%s", s->section, s->key);
				wv_json_str(item, "name", name);
				json_object_object_add(item, "from", json_object_get(a));
				json_object_object_add(item, "to", json_object_get(b));
				json_object_array_add(out, item);
			} else {
				printf("%s.%s: %s -> %s\n", s->section, s->key, text_of(s, a, from),
				       text_of(s, b, to));
			}
		}
		json_object_put(a);
		json_object_put(b);
	}
	return n;
}

/* Settings of a file (NULL: as a start would use them); NULL with *ret_code. */
static struct json_object *file_settings(const struct wv_cli *cli, struct ask *a, const char *file,
					 int *ret_code)
{
	_cleanup_(wv_config_done) struct wv_config c = {.n_budgets = 0};
	struct wv_config_error error = {.text = ""};
	char path[WV_PATH_SIZE];
	int r = wv_config_init(&c);

	if (r == 0 && file) {
		snprintf(path, sizeof(path), "%s", file);
		r = wv_config_load(&c, file, &error);
	} else if (r == 0) {
		r = wv_settings_read(&cli->paths, &a->given, &c, path, &error);
	}
	if (r == 0)
		return wv_meta_settings(&c);
	*ret_code = failed(a, path, r, &error);
	return NULL;
}

static int diff(struct wv_cli *cli, int argc, char **argv)
{
	static const struct wv_option options[] = {
		OPTION_CONFIG,
		OPTION_SET,
		{"running", 'r', NULL, "from the settings of the agent that runs"},
		{0},
	};
	struct ask a = {.verb = "config diff"};
	struct json_object *from = NULL, *to = NULL, *out = NULL, *o;
	int code = WV_EXIT_OK;
	unsigned n = 0;
	int r = wv_cli_parse(
		cli, argc, argv,
		"config diff [FILE [FILE]] [--json]\n"
		"       waveos-bpf config diff --running",
		"  waveos-bpf config diff                # what is not the default\n"
		"  waveos-bpf config diff new.yaml       # against what a start would use\n"
		"  waveos-bpf config diff --running      # what a restart would change\n",
		options, set_option, &a);

	if (r < 0)
		return -r;
	if (argc - r > (a.running ? 0 : 2)) {
		fprintf(stderr, "waveos-bpf config diff: too many operands; see --help\n");
		return WV_EXIT_USAGE;
	}
	if (a.running) {
		from = running_settings(&cli->paths);
		if (!from) {
			fprintf(stderr, "waveos-bpf config diff: no agent runs whose settings "
					"could be read; start: waveos-bpf attach\n");
			return WV_EXIT_FINDING;
		}
		to = file_settings(cli, &a, NULL, &code);
	} else if (argc - r == 0) {
		_cleanup_(wv_config_done) struct wv_config c = {.n_budgets = 0};

		from = wv_config_init(&c) == 0 ? wv_meta_settings(&c) : NULL;
		to = file_settings(cli, &a, NULL, &code);
	} else {
		from = file_settings(cli, &a, argc - r == 2 ? argv[r] : NULL, &code);
		to = from ? file_settings(cli, &a, argv[argc - 1], &code) : NULL;
	}
	if (from && to) {
		out = cli->json ? json_object_new_array() : NULL;
		n = compare(from, to, out);
		code = n ? WV_EXIT_FINDING : WV_EXIT_OK;
	}
	if (from && to && cli->json) {
		o = json_object_new_object();
		json_object_object_add(o, "schema_version", json_object_new_int(1));
		json_object_object_add(o, "differences", out);
		wv_json_print(o);
		json_object_put(o);
	}
	json_object_put(from);
	json_object_put(to);
	return code;
}

static const struct wv_subverb subverbs[] = {
	{"show", "every setting with its value, and where it comes from", show},
	{"validate", "whether a file, and the policy that it names, are right", validate},
	{"diff", "what differs: from the defaults, between files, from the agent that runs", diff},
	{0},
};

int wv_cmd_config(struct wv_cli *cli, int argc, char **argv)
{
	return wv_cli_dispatch("config", subverbs,
			       "  waveos-bpf config show --origin\n"
			       "  waveos-bpf config validate new.yaml\n"
			       "  waveos-bpf config diff --running\n",
			       cli, argc, argv);
}
