// SPDX-License-Identifier: GPL-2.0-only
/* attach: runs the agent in the foreground. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/agent/packs.h"
#include "user/agent/policy_source.h"
#include "user/agent/prepare.h"
#include "user/agent/supervisor.h"
#include "user/bundle/install.h"
#include "user/cmd/cmd.h"
#include "user/cmd/evidence_cmd.h"
#include "user/cmd/status_view.h"
#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"

#define MAX_SETS 32

struct attach {
	struct wv_attach_options options;
	const char *config; /* --config; NULL: the default place, if there is one */
	const char *sets[MAX_SETS];
	unsigned n_sets;
	bool settings; /* --settings: print the table and exit */
};

static const struct wv_option options[] = {
	{"for", 0, "TIME", "end by itself after this time (30s, 5m)"},
	{"config", 'c', "FILE", "read this file instead of the default"},
	{"set", 's', "SECTION.KEY=VALUE", "override one setting; may be repeated"},
	{"dry-run", 'n', NULL, "observe and decide, but change nothing"},
	{"settings", 0, NULL, "list all settings with defaults and exit"},
	{0},
};

static const char examples[] = "  waveos-bpf attach\n"
			       "  waveos-bpf attach --for 30s --set agent.tick=250ms\n"
			       "  waveos-bpf attach --config batch.yaml --dry-run\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct attach *a = ctx;

	if (strcmp(o->name, "for") == 0) {
		if (wv_parse_duration(value, &a->options.for_ns) < 0 || !a->options.for_ns) {
			fprintf(stderr,
				"waveos-bpf attach: --for wants a time such as 30s or 5m, not "
				"'%s'\n",
				value);
			return WV_EXIT_USAGE;
		}
	} else if (strcmp(o->name, "config") == 0) {
		a->config = value;
	} else if (strcmp(o->name, "dry-run") == 0) {
		a->options.dry_run = true;
	} else if (strcmp(o->name, "settings") == 0) {
		a->settings = true;
	} else if (a->n_sets == MAX_SETS) {
		fprintf(stderr, "waveos-bpf attach: at most %d times --set\n", MAX_SETS);
		return WV_EXIT_USAGE;
	} else {
		a->sets[a->n_sets++] = value;
	}
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

/* File, environment, --set: later ones win. */
static int load_config(const struct wv_cli *cli, const struct attach *a, struct wv_config *config)
{
	struct wv_config_error error = {.text = ""};
	char bundled[WV_PATH_SIZE], sha256[WV_SHA256_HEX] = "";
	const char *path = a->config ?: cli->paths.config;
	int r;

	if (!a->config && wv_bundle_use(&cli->paths, WV_BUNDLE_CONFIG, bundled, sha256) == 0)
		path = bundled;
	r = wv_config_load(config, path, &error);
	if (r == 0 && sha256[0] && strcmp(config->digest, sha256) != 0)
		r = wv_config_fail(&error, "%.300s is not the file that was signed", path);
	if (r == -ENOENT && !a->config)
		r = 0;
	if (r == 0)
		r = wv_config_environment(config, &error);
	for (unsigned i = 0; r == 0 && i < a->n_sets; i++)
		r = apply_set(config, a->sets[i], &error);
	if (r == 0)
		return WV_EXIT_OK;
	if (error.text[0])
		fprintf(stderr, "waveos-bpf attach: %s\n", error.text);
	else
		fprintf(stderr, "waveos-bpf attach: cannot read %s: %s\n", path, strerror(-r));
	return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_USAGE;
}

/*
 * Before any file of a bundle is used: what a crash left is put in order, this start is counted for
 * one in trial, and what is damaged is rolled back. Not while another agent runs: that one did, and
 * this one will not start.
 */
static void recover_bundles(const struct wv_cli *cli, const struct attach *a)
{
	char run[64];
	int pid, r;

	if (a->options.dry_run || wv_view_agent_runs(&cli->paths, &pid) ||
	    wv_make_run_id(run, sizeof(run)) < 0)
		return;
	r = wv_bundle_recover(&wv_io_system, &cli->paths, run);
	if (r < 0)
		(void)wv_log_errno(r, "attach", "put bundles in %s in order", cli->paths.state);
}

static int load_policy(const struct wv_cli *cli, const struct wv_config *config,
		       struct wv_policy **ret)
{
	struct wv_config_error error = {.text = ""};
	int r = wv_policy_read(ret, config, &cli->paths, &error);

	if (r == 0)
		return WV_EXIT_OK;
	fprintf(stderr, "waveos-bpf attach: %s\n", error.text[0] ? error.text : strerror(-r));
	return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_USAGE;
}

static int log_priority(int level)
{
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

	return priorities[level];
}

int wv_cmd_attach(struct wv_cli *cli, int argc, char **argv)
{
	struct attach a = {0};
	_cleanup_(wv_config_done) struct wv_config config;
	struct wv_policy *policy = NULL;
	int r;

	if (wv_config_init(&config) < 0)
		return WV_EXIT_INTERNAL;
	r = wv_cli_parse(cli, argc, argv, "attach [--for TIME] [--config FILE] [--dry-run]",
			 examples, options, set_option, &a);
	if (r < 0)
		return -r;
	if (r < argc) {
		fprintf(stderr, "waveos-bpf attach: takes no operand, but got '%s'\n", argv[r]);
		return WV_EXIT_USAGE;
	}
	if (a.settings) {
		wv_config_print_help(stdout);
		return WV_EXIT_OK;
	}
	recover_bundles(cli, &a);
	r = load_config(cli, &a, &config);
	if (r != WV_EXIT_OK)
		return r;
	wv_log_init((enum wv_log_format)config.agent_log_format,
		    log_priority(config.agent_log_level));
	r = load_policy(cli, &config, &policy);
	if (r != WV_EXIT_OK)
		return r;
	wv_packs_summary = wv_report_page;
	return wv_supervisor_run(&cli->paths, &config, policy, &a.options);
}
