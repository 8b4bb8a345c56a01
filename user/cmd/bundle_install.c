// SPDX-License-Identifier: GPL-2.0-only
/* bundle install: from a file to a trial, and with --wait to its end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/bundle/install.h"
#include "user/cmd/bundle_life.h"
#include "user/cmd/progress.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

#define VERB "bundle install"

struct args {
	bool wait, again;
	uint64_t timeout_ns, reserve_bytes;
};

static const struct wv_option options[] = {
	{"wait", 'w', NULL, "until the trial has ended: 0 confirmed, 1 rolled back"},
	{"timeout", 't', "TIME", "how long --wait waits (default 1h)"},
	{"again", 0, NULL, "also a bundle that was rolled back before"},
	{"reserve", 0, "BYTES", "space that stays free on the disk (default 16M)"},
	{0},
};

static const char examples[] = "  waveos-bpf bundle install shop.wvb\n"
			       "  waveos-bpf bundle install --wait shop.wvb\n"
			       "  curl -s https://host/shop.wvb | waveos-bpf bundle install -\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct args *a = ctx;
	int r = 0;

	if (strcmp(o->name, "wait") == 0)
		a->wait = true;
	else if (strcmp(o->name, "again") == 0)
		a->again = true;
	else if (strcmp(o->name, "timeout") == 0)
		r = wv_parse_duration(value, &a->timeout_ns);
	else
		r = wv_parse_bytes(value, &a->reserve_bytes);
	if (r == 0)
		return 0;
	fprintf(stderr, "waveos-bpf " VERB ": --%s does not take '%s'; see --help\n", o->name,
		value);
	return WV_EXIT_USAGE;
}

static const char *environment_of(const struct wv_cli *cli)
{
	struct wv_config_error error = {.text = ""};
	struct wv_config config;
	const char *name = "";

	if (wv_config_init(&config) < 0)
		return name;
	(void)wv_config_load(&config, cli->paths.config, &error);
	(void)wv_config_environment(&config, &error);
	name = wv_bundle_environments[config.update_environment];
	wv_config_done(&config);
	return name;
}

static void tell_json(const struct wv_installed *i, const struct wv_bundle_end *end, uint64_t took)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	wv_json_str(o, "bundle_id", i->id);
	wv_json_str(o, "kind", wv_bundle_kinds[i->kind]);
	wv_json_str(o, "name", i->name);
	wv_json_str(o, "version", i->version);
	wv_json_u64(o, "counter", i->counter);
	wv_json_u64(o, "written_bytes", i->staged.written_bytes);
	wv_json_u64(o, "kept_bytes", i->staged.kept_bytes);
	wv_json_u64(o, "took_ns", took);
	wv_json_str(o, "state", wv_bundle_state_names[end->state]);
	if (end->cause[0])
		wv_json_str(o, "cause", end->cause);
	wv_bundle_print_json(o);
}

static int tell(const struct wv_cli *cli, const struct wv_installed *i,
		const struct wv_bundle_end *end, uint64_t took, bool agent)
{
	if (cli->json) {
		tell_json(i, end, took);
	} else {
		printf("%s %s %s (%.12s) is %s", wv_bundle_kinds[i->kind], i->name, i->version,
		       i->id, wv_bundle_state_names[end->state]);
		printf(end->cause[0] && end->state != WV_BUNDLE_CONFIRMED ? ": %s\n" : "\n",
		       end->cause);
		if (end->state == WV_BUNDLE_TRIAL && !agent)
			printf("no agent runs here: the trial goes on when one starts, or with "
			       "--wait\n");
	}
	return end->state == WV_BUNDLE_ROLLED_BACK || end->state == WV_BUNDLE_FAILED
		       ? WV_EXIT_FINDING
		       : WV_EXIT_OK;
}

static int install(struct wv_cli *cli, const struct args *a, const char *path)
{
	_cleanup_close_ int fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
	struct wv_install_options o = {.environment = environment_of(cli),
				       .again = a->again,
				       .reserve_bytes = a->reserve_bytes};
	struct wv_bundle_end end = {.state = WV_BUNDLE_TRIAL};
	struct wv_manifest_error error = {.text = ""};
	uint64_t begin = wv_view_mono_ns();
	struct wv_progress progress;
	struct wv_installed got;
	bool agent;
	int r;

	if (fd < 0)
		return wv_bundle_say(VERB, path, -errno, NULL);
	progress = wv_progress_begin(VERB, strcmp(path, "-") == 0 ? NULL : path);
	r = wv_bundle_install(&wv_io_system, &cli->paths, fd, &o, &got, &error);
	wv_progress_end(&progress);
	if (r < 0) {
		int code = wv_bundle_say(VERB, path, r, error.text);

		/* the bundle is right, and this is not its time */
		return r == -EALREADY || r == -EEXIST || r == -EBUSY ? WV_EXIT_FINDING : code;
	}
	agent = wv_bundle_agent(cli);
	if (a->wait) {
		r = wv_bundle_wait(cli, got.kind, got.name, got.id, a->timeout_ns, &end);
		if (r < 0 && r != -ETIMEDOUT)
			return wv_bundle_say(VERB, path, r, NULL);
	}
	return tell(cli, &got, &end, wv_view_mono_ns() - begin, agent);
}

int wv_bundle_install_cmd(struct wv_cli *cli, int argc, char **argv)
{
	struct args a = {.timeout_ns = 3600ULL * 1000000000ULL};
	int r = wv_cli_parse(cli, argc, argv, "bundle install FILE|- [--wait] [options]", examples,
			     options, set_option, &a);

	if (r < 0)
		return -r;
	if (argc - r != 1) {
		fprintf(stderr, "waveos-bpf " VERB ": wants one bundle\n");
		return WV_EXIT_USAGE;
	}
	(void)umask(022); /* what a bundle's file may be read by is its manifest's affair */
	return install(cli, &a, argv[r]);
}
