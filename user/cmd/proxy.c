// SPDX-License-Identifier: GPL-2.0-only
/* proxy: the proxies of the configuration, run without an agent, checked, shown. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "user/agent/core.h"
#include "user/cmd/cmd.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/proxy/program.h"
#include "user/proxy/view.h"

/* A status file that is older tells of a worker that hangs. */
#define STALE_NS 15000000000ULL

static const struct wv_option options[] = {
	{"config", 'c', "FILE", "read this file instead of the default"},
	{0},
};

static const char examples[] = "  waveos-bpf proxy check --config waveos.yaml\n"
			       "  waveos-bpf proxy show        what HAProxy is told\n"
			       "  waveos-bpf proxy run         until SIGTERM; SIGHUP reads the "
			       "configuration again\n"
			       "  waveos-bpf proxy status --json\n";

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value)
{
	*(const char **)ctx = value;
	return 0;
}

static int fail(const char *what, int r, const struct wv_config_error *error)
{
	fprintf(stderr, "waveos-bpf proxy: %s%s%s\n", what, *what ? ": " : "",
		*error->text ? error->text : strerror(-r));
	return r == -EACCES || r == -EPERM || r == -EWOULDBLOCK ? WV_EXIT_DENIED
	       : r == -ENOPKG					? WV_EXIT_UNSUPPORTED
	       : *error->text || r == -ENOENT || r == -ESRCH	? WV_EXIT_USAGE
								: WV_EXIT_INTERNAL;
}

static int load(const struct wv_cli *cli, const char *path, struct wv_config *config)
{
	struct wv_config_error error = {.text = ""};
	int r;

	path = path ?: cli->paths.config;
	r = wv_config_load(config, path, &error);
	if (r == 0)
		r = wv_config_environment(config, &error);
	if (r < 0)
		return fail(*error.text ? "" : path, r, &error);
	if (!config->n_proxies) {
		fprintf(stderr,
			"waveos-bpf proxy: %s declares no proxies (list `proxies`, "
			"docs/proxy.md)\n",
			path);
		return WV_EXIT_USAGE;
	}
	wv_log_init((enum wv_log_format)config->agent_log_format, LOG_INFO);
	return WV_EXIT_OK;
}

static int files_failed(int r, const struct wv_config *config)
{
	struct wv_config_error error = {.text = ""};

	if (r == -ESRCH || r == -EPERM)
		(void)wv_config_fail(&error, "proxy.user '%s' %s", config->proxy_user,
				     r == -ESRCH ? "does not exist; HAProxy's package makes "
						   "'haproxy'"
						 : "is root; give it a user without rights");
	return fail("", r, &error);
}

static int show(const struct wv_cli *cli, const struct wv_config *config)
{
	struct wv_config_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	struct wv_proxy_files files;
	int r = wv_proxy_files(&files, &cli->paths, config, true);

	if (r < 0)
		return files_failed(r, config);
	r = wv_proxy_files_translate(&files, config, &text, &error);
	if (r < 0)
		return fail("", r, &error);
	fputs(text, stdout);
	return WV_EXIT_OK;
}

static void remove_folder(const struct wv_proxy_files *files, const char *dir)
{
	(void)unlink(files->next);
	(void)rmdir(files->empty);
	(void)rmdir(files->dir);
	(void)rmdir(dir);
}

/* In a folder of its own: the one of a worker that runs is not touched. */
static int check(const struct wv_cli *cli, const struct wv_config *config)
{
	struct wv_config_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	struct wv_proxy_files files;
	struct wv_paths paths = cli->paths;
	int r = wv_proxy_installed(config, &error);

	if (r < 0)
		return fail("", r, &error);
	snprintf(paths.runtime, sizeof(paths.runtime), "/tmp/waveos-proxy.XXXXXX");
	if (!mkdtemp(paths.runtime))
		return fail(paths.runtime, -errno, &error);
	r = wv_proxy_files(&files, &paths, config, false);
	if (r < 0) {
		remove_folder(&files, paths.runtime);
		return files_failed(r, config);
	}
	r = wv_proxy_files_translate(&files, config, &text, &error);
	if (r == 0)
		r = wv_proxy_check(&files, config, text, &error);
	remove_folder(&files, paths.runtime);
	if (r < 0)
		return fail("", r, &error);
	if (cli->json)
		printf("{\"schema_version\": 1, \"proxies\": %zu, \"accepted\": true}\n",
		       config->n_proxies);
	else
		printf("%zu %s: accepted by %s\n", config->n_proxies,
		       config->n_proxies == 1 ? "proxy" : "proxies", config->proxy_program);
	return WV_EXIT_OK;
}

static int run(const struct wv_cli *cli, const struct wv_config *config)
{
	struct wv_config_error error = {.text = ""};
	const struct wv_worker_context ctx = {
		.config = config, .paths = &cli->paths, .run_id = "", .control = -1};
	int r = wv_proxy_installed(config, &error);

	if (r < 0)
		return fail("", r, &error);
	wv_log_identity("proxy", NULL);
	return wv_proxy_run(&ctx) == 0 ? WV_EXIT_OK : WV_EXIT_INTERNAL;
}

/* Status -----------------------------------------------------------------------------------------
 */

static const char *text_of(struct json_object *o, const char *key)
{
	return json_object_get_string(json_object_object_get(o, key)) ?: "";
}

static unsigned long long number_of(struct json_object *o, const char *key)
{
	return json_object_get_uint64(json_object_object_get(o, key));
}

static void print_proxy(struct json_object *p)
{
	struct json_object *clients = json_object_object_get(p, "clients");
	struct json_object *requests = json_object_object_get(p, "requests");
	struct json_object *servers = json_object_object_get(p, "servers");

	printf("%s (%s on %s): %llu connections now, %llu in all, %llu requests refused, %llu "
	       "wait\n",
	       text_of(p, "name"), text_of(p, "mode"), text_of(p, "listen"),
	       number_of(clients, "connections"), number_of(clients, "connections_total"),
	       number_of(requests, "requests_refused_total"), number_of(requests, "queue"));
	for (size_t i = 0; i < json_object_array_length(servers); i++) {
		struct json_object *s = json_object_array_get_idx(servers, i);
		struct json_object *f = json_object_object_get(s, "figures");

		printf("  %-24s breaker %s, opened %llu times; %s %s; %llu connections, %llu "
		       "failed to connect, %llu answers 5xx\n",
		       text_of(s, "address"), text_of(s, "breaker"),
		       number_of(s, "breaker_opened_total"), text_of(s, "status"),
		       text_of(s, "probe"), number_of(f, "connections_total"),
		       number_of(f, "connect_errors_total"), number_of(f, "responses_5xx_total"));
	}
}

static void print_status(struct json_object *o, bool stale)
{
	struct json_object *h = json_object_object_get(o, "haproxy");
	struct json_object *proxies = json_object_object_get(o, "proxies");

	if (stale)
		printf("No worker writes this any more; it is what the last one said.\n");
	printf("HAProxy %llu, restarted %llu times, %llu reloads, %llu draining\n",
	       number_of(h, "pid"), number_of(h, "restarts_total"), number_of(h, "reloads_total"),
	       number_of(h, "draining"));
	if (*text_of(h, "refusal"))
		printf("The newest configuration is not in force: %s\n", text_of(h, "refusal"));
	for (size_t i = 0; i < json_object_array_length(proxies); i++)
		print_proxy(json_object_array_get_idx(proxies, i));
}

static int status(const struct wv_cli *cli)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o;
	uint64_t now = wv_io_system.mono_ns(wv_io_system.ctx);
	int r = wv_proxy_state_read(&cli->paths, &text);
	bool stale;

	o = r < 0 ? NULL : json_tokener_parse(text);
	if (!o) {
		fprintf(stderr, "waveos-bpf proxy: no proxy runs (%s/" WV_PROXY_DIR ": %s)\n",
			cli->paths.runtime, strerror(r < 0 ? -r : EPROTO));
		return WV_EXIT_FINDING;
	}
	stale = now - number_of(o, "mono_ns") > STALE_NS;
	json_object_object_add(o, "stale", json_object_new_boolean(stale));
	if (cli->json)
		printf("%s\n",
		       json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		print_status(o, stale);
	json_object_put(o);
	return stale ? WV_EXIT_FINDING : WV_EXIT_OK;
}

int wv_cmd_proxy(struct wv_cli *cli, int argc, char **argv)
{
	static const char usage[] = "proxy run|check|show|status [--config FILE] [--json]";
	_cleanup_(wv_config_done) struct wv_config config;
	const char *path = NULL;
	int r;

	if (wv_config_init(&config) < 0)
		return WV_EXIT_INTERNAL;
	r = wv_cli_parse(cli, argc, argv, usage, examples, options, set_option, &path);
	if (r < 0)
		return -r;
	if (argc - r != 1) {
		fprintf(stderr, "waveos-bpf proxy: takes one of run, check, show, status; see "
				"--help\n");
		return WV_EXIT_USAGE;
	}
	if (strcmp(argv[r], "status") == 0)
		return status(cli);
	if (strcmp(argv[r], "run") != 0 && strcmp(argv[r], "check") != 0 &&
	    strcmp(argv[r], "show") != 0) {
		fprintf(stderr, "waveos-bpf proxy: no such command '%.40s'; see --help\n", argv[r]);
		return WV_EXIT_USAGE;
	}
	return load(cli, path, &config)
		       ?: strcmp(argv[r], "run") == 0 ? run(cli, &config)
		  : strcmp(argv[r], "check") == 0     ? check(cli, &config)
						      : show(cli, &config);
}
