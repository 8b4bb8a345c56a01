// SPDX-License-Identifier: GPL-2.0-only
/* update: the update agent without the agent (run), one look now (check), and what it knows
 * (status). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/cmd/bundle_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/update/update.h"

#define MAX_SETS 16

struct args {
	const char *config, *sets[MAX_SETS];
	unsigned n_sets;
};

static const struct wv_option options[] = {
	{"config", 'c', "FILE", "read this file instead of the default"},
	{"set", 's', "SECTION.KEY=VALUE", "override one setting; may be repeated"},
	{0},
};

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct args *a = ctx;

	if (o->letter == 'c')
		a->config = value;
	else if (a->n_sets < MAX_SETS)
		a->sets[a->n_sets++] = value;
	else
		return fprintf(stderr, "waveos-bpf update: at most %d times --set\n", MAX_SETS),
		       WV_EXIT_USAGE;
	return 0;
}

/* File, environment, --set: later ones win. */
static int load_config(const struct wv_cli *cli, const struct args *a, struct wv_config *c)
{
	struct wv_config_error error = {.text = ""};
	int r = wv_config_load(c, a->config ?: cli->paths.config, &error);

	if (r == -ENOENT && !a->config)
		r = 0;
	if (r == 0)
		r = wv_config_environment(c, &error);
	for (unsigned i = 0; r == 0 && i < a->n_sets; i++) {
		const char *equals = strchr(a->sets[i], '=');
		char name[96];

		if (!equals || equals - a->sets[i] >= (int)sizeof(name)) {
			r = wv_config_fail(&error, "--set wants SECTION.KEY=VALUE");
			break;
		}
		snprintf(name, sizeof(name), "%.*s", (int)(equals - a->sets[i]), a->sets[i]);
		r = wv_config_set(c, name, equals + 1, &error);
	}
	if (r == 0)
		return WV_EXIT_OK;
	fprintf(stderr, "waveos-bpf update: %s\n", error.text[0] ? error.text : strerror(-r));
	return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_USAGE;
}

/* Options, configuration, and that there is something to ask. Exit code. */
static int prepare(struct wv_cli *cli, int argc, char **argv, const char *usage,
		   const char *examples, struct wv_config *c)
{
	struct args a = {.config = NULL};
	int code, r = wv_cli_parse(cli, argc, argv, usage, examples, options, set_option, &a);

	if (r < 0)
		return -r;
	if (r < argc) {
		fprintf(stderr, "waveos-bpf %s: takes no operand\n", argv[0]);
		return WV_EXIT_USAGE;
	}
	code = load_config(cli, &a, c);
	if (code == WV_EXIT_OK && !wv_update_wanted(c)) {
		fprintf(stderr,
			"waveos-bpf %s: nothing is to be watched; set update.folder or "
			"update.url\n",
			argv[0]);
		return WV_EXIT_USAGE;
	}
	return code;
}

static void print_text(const struct wv_update_state *s)
{
	printf("last look     ");
	if (s->checked_s)
		wv_bundle_print_time(stdout, s->checked_s);
	else
		printf("never at a source");
	printf("\n");
	if (s->next_s) {
		printf("next look     ");
		wv_bundle_print_time(stdout, s->next_s);
		printf("\n");
	}
	if (s->error[0])
		printf("went wrong    %s (%u times in a row)\n", s->error, s->failures);
	printf("downloaded    %llu bytes; %llu were here already\n",
	       (unsigned long long)s->downloaded_bytes, (unsigned long long)s->resumed_bytes);
	for (unsigned i = 0; i < s->n; i++) {
		const struct wv_update_known *k = &s->known[i];

		printf("%-9s %s %s, counter %llu, from the %s%s%s\n", wv_update_results[k->result],
		       wv_bundle_kinds[k->kind], k->name, (unsigned long long)k->counter, k->from,
		       k->why[0] ? ": " : "", k->why);
	}
}

static int print(struct wv_cli *cli, const struct wv_update_state *s)
{
	struct json_object *o;

	if (!cli->json) {
		print_text(s);
		return WV_EXIT_OK;
	}
	o = wv_update_state_json(s);
	if (!o)
		return WV_EXIT_INTERNAL;
	wv_bundle_print_json(o);
	return WV_EXIT_OK;
}

static int run(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_(wv_config_done) struct wv_config c;
	int code, r;

	if (wv_config_init(&c) < 0)
		return WV_EXIT_INTERNAL;
	code = prepare(cli, argc, argv, "update run [--config FILE]",
		       "  waveos-bpf update run --set update.folder=/media/usb\n", &c);
	if (code != WV_EXIT_OK)
		return code;
	r = wv_update_loop(&cli->paths, &c, -1);
	return r < 0 ? wv_bundle_say("update run", cli->paths.state, r, NULL) : WV_EXIT_OK;
}

static int look(struct wv_cli *cli, struct wv_updater *u)
{
	int folder = 0, source = 0;
	uint64_t retry_s;

	u->state.error[0] = '\0';
	if (u->config->update_folder[0])
		folder = wv_updater_folder(u);
	if (folder < 0)
		(void)wv_bundle_say("update check", u->config->update_folder, folder,
				    u->state.error);
	if (u->config->update_url[0])
		source = wv_updater_source(u, &retry_s);
	(void)print(cli, &u->state);
	return source < 0 || folder < 0 || u->state.error[0] ? WV_EXIT_FINDING : WV_EXIT_OK;
}

static int check(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_(wv_config_done) struct wv_config c;
	_cleanup_free_ struct wv_updater *u = calloc(1, sizeof(*u));
	int code, r;

	if (!u || wv_config_init(&c) < 0)
		return WV_EXIT_INTERNAL;
	code = prepare(cli, argc, argv, "update check [--config FILE]",
		       "  waveos-bpf update check\n  waveos-bpf update check --json\n", &c);
	if (code != WV_EXIT_OK)
		return code;
	u->io = &wv_io_system;
	u->paths = &cli->paths;
	u->config = &c;
	u->sink = wv_update_sink_here(u);
	r = wv_updater_open(u);
	if (r < 0)
		return wv_bundle_say("update check", cli->paths.state, r, NULL);
	code = look(cli, u);
	wv_updater_close(u);
	return code;
}

static int status(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_free_ struct wv_update_state *s = calloc(1, sizeof(*s));
	int r = wv_cli_parse(cli, argc, argv, "update status",
			     "  waveos-bpf update status\n  waveos-bpf update status --json\n",
			     NULL, NULL, NULL),
	    dir;

	if (r < 0)
		return -r;
	if (r < argc || !s) {
		fprintf(stderr, "waveos-bpf update status: takes no operand\n");
		return s ? WV_EXIT_USAGE : WV_EXIT_INTERNAL;
	}
	dir = wv_update_open_dir(&wv_io_system, &cli->paths, false);
	if (dir < 0)
		return wv_bundle_say("update status", cli->paths.state,
				     dir == -ENOENT ? -EBADMSG : dir,
				     dir == -ENOENT ? "the update agent never ran here" : NULL);
	r = wv_update_state_load(s, &wv_io_system, dir);
	close(dir);
	return r < 0 ? wv_bundle_say("update status", cli->paths.state, r, NULL) : print(cli, s);
}

static const struct wv_subverb rows[] = {
	{"run", "watch folder and source until SIGTERM, as the agent's worker does", run},
	{"check", "look once now", check},
	{"status", "when it looked last, and what became of each bundle", status},
	{NULL, NULL, NULL},
};

static const char examples[] = "  waveos-bpf update check --set update.url=https://updates/prod\n"
			       "  waveos-bpf update status --json\n";

int wv_cmd_update(struct wv_cli *cli, int argc, char **argv)
{
	return wv_cli_dispatch("update", rows, examples, cli, argc, argv);
}
