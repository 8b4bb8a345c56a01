// SPDX-License-Identifier: GPL-2.0-only
/* spool: runs log spools by hand, tells about them, empties them. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "user/cmd/cmd.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/spool/spool.h"

#define STATUS_MAX (1U << 20)
#define LOOK_NS 100000000L

struct arguments {
	const char *config;
	bool keep_rights;
	uint64_t for_ns;
};

static const struct wv_option options[] = {
	{"config", 'c', "FILE", "read this file instead of the default"},
	{"keep-rights", 0, NULL, "stay the user that we are, without a sandbox"},
	{"for", 0, "TIME", "drain: give up after this time (30s, 5m)"},
	{0},
};

static const char examples[] = "  waveos-bpf spool run\n"
			       "  app | waveos-bpf spool run --config app-spool.yaml\n"
			       "  waveos-bpf spool status --json\n"
			       "  waveos-bpf spool drain --for 5m logs\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct arguments *a = ctx;

	if (strcmp(o->name, "config") == 0) {
		a->config = value;
	} else if (strcmp(o->name, "keep-rights") == 0) {
		a->keep_rights = true;
	} else if (wv_parse_duration(value, &a->for_ns) < 0 || !a->for_ns) {
		fprintf(stderr,
			"waveos-bpf spool: --for wants a time such as 30s or 5m, not '%s'\n",
			value);
		return WV_EXIT_USAGE;
	}
	return 0;
}

static int load_config(const struct wv_cli *cli, const struct arguments *a, struct wv_config *c)
{
	struct wv_config_error error = {.text = ""};
	int r = wv_config_load(c, a->config ?: cli->paths.config, &error);

	if (r == 0)
		return WV_EXIT_OK;
	fprintf(stderr, "waveos-bpf spool: %s\n", error.text[0] ? error.text : strerror(-r));
	return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_USAGE;
}

/* Status ---------------------------------------------------------------------------------------
 */

/* Whether a process works on this folder. */
static bool is_running(int dir)
{
	_cleanup_close_ int fd = openat(dir, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && wv_io_system.lock(wv_io_system.ctx, fd, false) == -EWOULDBLOCK;
}

/* The last that the spool said about itself, NULL if nothing. */
static struct json_object *read_status(const struct wv_spool_config *c,
				       const struct wv_paths *paths)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int dir = -1;
	struct json_object *o;
	char path[512];

	if (wv_spool_folder(c, paths, path, sizeof(path)) < 0)
		return NULL;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 ||
	    wv_io_read_file(&wv_io_system, dir, "status.json", STATUS_MAX, &text, NULL) < 0)
		return NULL;
	o = json_tokener_parse(text);
	if (o)
		json_object_object_add(o, "running", json_object_new_boolean(is_running(dir)));
	return o;
}

static uint64_t number(struct json_object *o, const char *key)
{
	return json_object_get_uint64(json_object_object_get(o, key));
}

static const char *text_of(struct json_object *o, const char *key)
{
	return json_object_get_string(json_object_object_get(o, key)) ?: "";
}

static void print_one(const char *name, struct json_object *o)
{
	struct json_object *list;

	if (!o) {
		printf("%s: never ran\n", name);
		return;
	}
	printf("%s: %s, %llu of %llu bytes in use%s%s\n", name,
	       json_object_get_boolean(json_object_object_get(o, "running")) ? "running"
									     : "not running",
	       (unsigned long long)number(o, "used_bytes"),
	       (unsigned long long)number(o, "max_bytes"), *text_of(o, "disk_error") ? ", " : "",
	       text_of(o, "disk_error"));
	list = json_object_object_get(o, "inputs");
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *in = json_object_array_get_idx(list, i);

		printf("  in  %-16s received %llu, dropped %llu\n", text_of(in, "name"),
		       (unsigned long long)number(in, "received_records"),
		       (unsigned long long)number(in, "dropped_records"));
	}
	list = json_object_object_get(o, "outputs");
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *out = json_object_array_get_idx(list, i);

		printf("  out %-16s delivered %llu, buffered %llu, dropped %llu, damaged %llu, "
		       "dead %llu%s%s\n",
		       text_of(out, "name"), (unsigned long long)number(out, "delivered_records"),
		       (unsigned long long)number(out, "buffered_records"),
		       (unsigned long long)number(out, "dropped_records"),
		       (unsigned long long)number(out, "damaged_records"),
		       (unsigned long long)number(out, "dead_records"),
		       number(out, "failures_in_a_row") ? "; failing: " : "",
		       number(out, "failures_in_a_row") ? text_of(out, "last_error") : "");
	}
}

static int status(const struct wv_cli *cli, const struct arguments *a _unused_,
		  const struct wv_config *config, const char *only)
{
	struct json_object *all = json_object_new_object(), *list = json_object_new_array();
	size_t found = 0;

	for (size_t i = 0; i < config->n_spools; i++) {
		struct json_object *o;

		if (only && strcmp(only, config->spools[i].name) != 0)
			continue;
		found++;
		o = read_status(&config->spools[i], &cli->paths);
		if (!cli->json)
			print_one(config->spools[i].name, o);
		if (o)
			json_object_array_add(list, o);
	}
	json_object_object_add(all, "schema_version", json_object_new_int(1));
	json_object_object_add(all, "spools", list);
	if (cli->json)
		printf("%s\n",
		       json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN |
								   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(all);
	if (found || !only)
		return WV_EXIT_OK;
	fprintf(stderr, "waveos-bpf spool status: the configuration has no spool '%s'\n", only);
	return WV_EXIT_USAGE;
}

/* Drain ----------------------------------------------------------------------------------------
 */

/* Records that outputs have not got. */
static uint64_t buffered(struct json_object *o)
{
	struct json_object *list = json_object_object_get(o, "outputs");
	uint64_t n = 0;

	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		n += number(json_object_array_get_idx(list, i), "buffered_records");
	return n;
}

/* The agent works on it: waits until it has delivered all. */
static uint64_t watch(const struct wv_spool_config *c, const struct wv_paths *paths,
		      uint64_t for_ns)
{
	const struct timespec look = {.tv_nsec = LOOK_NS};
	uint64_t until = wv_io_system.mono_ns(wv_io_system.ctx) + for_ns, left = 1;

	for (;;) {
		struct json_object *o = read_status(c, paths);

		left = o ? buffered(o) : left;
		json_object_put(o);
		if (!left || (for_ns && wv_io_system.mono_ns(wv_io_system.ctx) >= until))
			return left;
		(void)nanosleep(&look, NULL);
	}
}

static int drain_one(const struct wv_cli *cli, const struct arguments *a,
		     const struct wv_config *config, const struct wv_spool_config *c)
{
	struct wv_spool_run_options run = {.config = config,
					   .paths = &cli->paths,
					   .control = -1,
					   .only = c->name,
					   .drain = true,
					   .drain_for_ns = a->for_ns,
					   .keep_rights = a->keep_rights};
	struct json_object *o = read_status(c, &cli->paths);
	bool running = o && json_object_get_boolean(json_object_object_get(o, "running"));
	uint64_t left = 0;
	int r;

	json_object_put(o);
	run.left = &left;
	if (running)
		left = watch(c, &cli->paths, a->for_ns);
	else if ((r = wv_spool_run_alone(&run)) != WV_EXIT_OK)
		return r;
	if (left)
		fprintf(stderr,
			"waveos-bpf spool drain: %s still has %llu records; `waveos-bpf spool "
			"status` says why\n",
			c->name, (unsigned long long)left);
	return left ? WV_EXIT_FINDING : WV_EXIT_OK;
}

/* Each gives up its rights, which the next one needs to start. */
static int in_child(const struct wv_cli *cli, const struct arguments *a,
		    const struct wv_config *config, const struct wv_spool_config *c)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(drain_one(cli, a, config, c));
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return WV_EXIT_INTERNAL;
	return WEXITSTATUS(status);
}

static int drain(const struct wv_cli *cli, const struct arguments *a,
		 const struct wv_config *config, const char *only)
{
	int worst = WV_EXIT_OK;
	bool found = false;

	for (size_t i = 0; i < config->n_spools; i++) {
		int r;

		if (only && strcmp(only, config->spools[i].name) != 0)
			continue;
		found = true;
		r = in_child(cli, a, config, &config->spools[i]);
		worst = r > worst ? r : worst;
	}
	if (found)
		return worst;
	fprintf(stderr, "waveos-bpf spool drain: the configuration has no spool%s%s\n",
		only ? " " : "", only ?: "");
	return WV_EXIT_USAGE;
}

static int run(const struct wv_cli *cli, const struct arguments *a, const struct wv_config *config,
	       const char *only)
{
	const struct wv_spool_run_options o = {.config = config,
					       .paths = &cli->paths,
					       .control = -1,
					       .only = only,
					       .keep_rights = a->keep_rights};

	return wv_spool_run_alone(&o);
}

typedef int (*spool_fn)(const struct wv_cli *cli, const struct arguments *a,
			const struct wv_config *config, const char *only);

static int with_config(struct wv_cli *cli, int argc, char **argv, const char *usage, spool_fn what)
{
	_cleanup_(wv_config_done) struct wv_config config = {.n_spools = 0};
	struct arguments a = {0};
	int r;

	if (wv_config_init(&config) < 0)
		return WV_EXIT_INTERNAL;
	r = wv_cli_parse(cli, argc, argv, usage, examples, options, set_option, &a);
	if (r < 0)
		return -r;
	if (argc - r > 1) {
		fprintf(stderr, "waveos-bpf %s: takes the name of one spool at most\n", argv[0]);
		return WV_EXIT_USAGE;
	}
	argv += r;
	r = load_config(cli, &a, &config);
	if (r != WV_EXIT_OK)
		return r;
	wv_log_identity("spool", NULL);
	return what(cli, &a, &config, argv[0]);
}

static int run_cmd(struct wv_cli *cli, int argc, char **argv)
{
	return with_config(cli, argc, argv, "spool run [options] [SPOOL]", run);
}

static int status_cmd(struct wv_cli *cli, int argc, char **argv)
{
	return with_config(cli, argc, argv, "spool status [options] [SPOOL]", status);
}

static int drain_cmd(struct wv_cli *cli, int argc, char **argv)
{
	return with_config(cli, argc, argv, "spool drain [options] [SPOOL]", drain);
}

static const struct wv_subverb subverbs[] = {
	{"run", "run the spools of the configuration in the foreground", run_cmd},
	{"status", "what each spool holds, has delivered, dropped and lost", status_cmd},
	{"drain", "deliver what is buffered, then end; 1 if something is left", drain_cmd},
	{0},
};

int wv_cmd_spool(struct wv_cli *cli, int argc, char **argv)
{
	return wv_cli_dispatch("spool", subverbs, examples, cli, argc, argv);
}
