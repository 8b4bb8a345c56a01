// SPDX-License-Identifier: GPL-2.0-only
/* attach: runs the agent in the foreground. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/access/certificate.h"
#include "user/agent/again.h"
#include "user/agent/packs.h"
#include "user/agent/policy_source.h"
#include "user/agent/prepare.h"
#include "user/agent/supervisor.h"
#include "user/bundle/install.h"
#include "user/cmd/cmd.h"
#include "user/cmd/evidence_cmd.h"
#include "user/cmd/first_run.h"
#include "user/cmd/settings.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"

struct attach {
	struct wv_attach_options options;
	uint64_t for_ns;
	struct wv_again before; /* what the former image of this process left */
	struct wv_settings_given given;
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
		if (wv_parse_duration(value, &a->for_ns) < 0 || !a->for_ns) {
			fprintf(stderr,
				"waveos-bpf attach: --for wants a time such as 30s or 5m, not "
				"'%s'\n",
				value);
			return WV_EXIT_USAGE;
		}
	} else if (strcmp(o->name, "config") == 0) {
		a->given.config = value;
	} else if (strcmp(o->name, "dry-run") == 0) {
		a->options.dry_run = true;
	} else if (strcmp(o->name, "settings") == 0) {
		a->settings = true;
	} else {
		return wv_settings_add(&a->given, "attach", value);
	}
	return 0;
}

static int load_config(const struct wv_cli *cli, const struct attach *a, struct wv_config *config)
{
	struct wv_config_error error = {.text = ""};
	char path[WV_PATH_SIZE];
	int r = wv_settings_read(&cli->paths, &a->given, config, path, &error);

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

	if (a->options.dry_run ||
	    (a->before.lock_fd < 0 && wv_view_agent_runs(&cli->paths, &pid)) ||
	    wv_make_run_id(run, sizeof(run)) < 0)
		return;
	r = wv_bundle_recover(&wv_io_system, &cli->paths, run);
	/* who may not look there has no bundle to use either, and is told so by the pre-flight */
	if (r < 0 && r != -EACCES)
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

/* For the supervisor: what a start would use now. See wv_settings_fn. */
struct settings {
	const struct wv_cli *cli;
	const struct attach *attach;
	const struct wv_config *force;
};

static int look_at_settings(void *ctx, struct wv_policy **ret_policy, struct wv_config_error *error)
{
	const struct settings *s = ctx;
	_cleanup_(wv_config_done) struct wv_config config;
	char path[WV_PATH_SIZE], sha256[WV_SHA256_HEX];
	int r = wv_config_init(&config);

	if (r < 0)
		return r;
	if (s->attach->given.config &&
	    wv_bundle_use(&s->cli->paths, WV_BUNDLE_CONFIG, path, sha256) == 0) {
		snprintf(error->text, sizeof(error->text),
			 "the agent was started with --config %.300s, which a bundle does not "
			 "replace",
			 s->attach->given.config);
		return -EOPNOTSUPP;
	}
	r = wv_settings_read(&s->cli->paths, &s->attach->given, &config, path, error);
	if (r < 0)
		return r;
	if (strcmp(config.source, s->force->source) == 0 &&
	    strcmp(config.digest, s->force->digest) == 0)
		return 0;
	r = wv_access_check(&config, error->text, sizeof(error->text));
	if (r == 0)
		r = wv_policy_read(ret_policy, &config, &s->cli->paths, error);
	return r < 0 ? r : 1;
}

static int log_priority(int level)
{
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

	return priorities[level];
}

static int start_again(const struct wv_again *a)
{
	int r = wv_again_exec(a);

	(void)wv_log_errno(r, "attach", "start again in place");
	return WV_EXIT_INTERNAL;
}

/*
 * New settings were read without an error, and the agent does not start with them all the same (a
 * port that is taken): back to the former ones, once. result: an exit code.
 */
static int start_failed(const struct wv_cli *cli, const struct attach *a, int lock_fd, int result)
{
	const struct wv_again again = {.lock_fd = lock_fd, .until_ns = a->before.until_ns};

	if (!a->before.reloaded || wv_bundle_take_back(&cli->paths, WV_BUNDLE_CONFIG,
						       "the agent does not start with it") <= 0)
		return result;
	return start_again(&again);
}

static int run(const struct wv_cli *cli, struct attach *a, const struct wv_config *config,
	       struct wv_policy *policy)
{
	struct settings settings = {.cli = cli, .attach = a, .force = config};
	struct wv_attach_end end;
	struct wv_again again;
	int r;

	a->options.settings = look_at_settings;
	a->options.settings_ctx = &settings;
	a->options.lock_fd = a->before.lock_fd;
	a->options.until_ns = a->before.until_ns;
	if (!a->options.until_ns && a->for_ns)
		a->options.until_ns = wv_io_system.mono_ns(wv_io_system.ctx) + a->for_ns;
	r = wv_supervisor_run(&cli->paths, config, policy, &a->options, &end);
	if (!end.again)
		return end.started ? r : start_failed(cli, a, -1, r);
	again = (struct wv_again){
		.reloaded = true, .lock_fd = end.lock_fd, .until_ns = a->options.until_ns};
	return start_again(&again);
}

/* What people are told at a first start, not when settings are changed in place. An exit code. */
static int begin(const struct wv_cli *cli, struct attach *a, uint64_t began_ns)
{
	bool people = wv_first_run_people();

	if (a->before.reloaded)
		return WV_EXIT_OK;
	if (!wv_first_run_preflight(&cli->paths, people, began_ns))
		return WV_EXIT_DENIED;
	if (people)
		a->options.teller = wv_first_run_tell(&cli->paths, began_ns);
	return WV_EXIT_OK;
}

int wv_cmd_attach(struct wv_cli *cli, int argc, char **argv)
{
	struct attach a = {0};
	_cleanup_(wv_config_done) struct wv_config config;
	struct wv_policy *policy = NULL;
	uint64_t began_ns = wv_view_mono_ns();
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
	wv_again_take(&a.before, &cli->paths);
	recover_bundles(cli, &a);
	r = load_config(cli, &a, &config);
	if (r == WV_EXIT_DENIED)
		(void)begin(cli, &a, began_ns);
	if (r != WV_EXIT_OK)
		return start_failed(cli, &a, a.before.lock_fd, r);
	wv_log_init((enum wv_log_format)config.agent_log_format,
		    log_priority(config.agent_log_level));
	r = begin(cli, &a, began_ns);
	if (r != WV_EXIT_OK)
		return r;
	r = load_policy(cli, &config, &policy);
	if (r != WV_EXIT_OK)
		return start_failed(cli, &a, a.before.lock_fd, r);
	wv_packs_summary = wv_report_page;
	return run(cli, &a, &config, policy);
}
