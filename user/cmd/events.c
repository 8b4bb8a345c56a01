// SPDX-License-Identifier: GPL-2.0-only
/*
 * events: records of the device's log for people, and for programs with --json as they stand.
 * Following goes over closed and compressed segments, and ends in order on SIGINT.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/cmd/cmd.h"
#include "user/cmd/top_at.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/tlog.h"

#define TAIL_RECORDS 20
#define POLL_NS 100000000L
#define MAX_TYPES 32

struct ask {
	const char *types[MAX_TYPES];
	unsigned n_types;
	const char *cgroup; /* pattern */
	uint64_t since_wall_ns, count;
	bool follow, since, counted;
};

static const struct wv_option options[] = {
	{"follow", 'f', NULL, "go on with records as they come; ends with Ctrl-C"},
	{"type", 't', "TYPE", "only records of this type (docs/events.md); may be repeated"},
	{"cgroup", 'g', "PATTERN", "only records of cgroups that match, such as '/batch.slice/*'"},
	{"since", 0, "TIME", "from this time on: 10m ago is 10m; or 2026-01-31T12:00:00Z"},
	{"lines", 'n', "N", "begin with the last N records (default: 20; all with --since)"},
	{0},
};

static const char examples[] =
	"  waveos-bpf events --follow\n"
	"  waveos-bpf events --since 10m --type decision --type outcome\n"
	"  waveos-bpf events --json --cgroup '/batch.slice/*' | jq .verdict\n";

static volatile sig_atomic_t stopped;

static void on_stop(int sig _unused_)
{
	stopped = 1;
}

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct ask *a = ctx;

	switch (o - options) {
	case 0:
		a->follow = true;
		return 0;
	case 1:
		if (a->n_types == MAX_TYPES) {
			fprintf(stderr, "waveos-bpf events: at most %d times --type\n", MAX_TYPES);
			return WV_EXIT_USAGE;
		}
		a->types[a->n_types++] = value;
		return 0;
	case 2:
		a->cgroup = value;
		return 0;
	case 3:
		a->since = true;
		if (wv_top_parse_at(value, wv_view_wall_ns(), &a->since_wall_ns) == 0)
			return 0;
		fprintf(stderr,
			"waveos-bpf events: --since wants a time such as 10m or "
			"2026-01-31T12:00:00Z, not '%s'\n",
			value);
		return WV_EXIT_USAGE;
	default:
		a->counted = true;
		if (wv_parse_uint(value, &a->count) == 0)
			return 0;
		fprintf(stderr, "waveos-bpf events: --lines wants a number, not '%s'\n", value);
		return WV_EXIT_USAGE;
	}
}

/* Which records ------------------------------------------------------------------------------- */

static bool is_type(const struct ask *a, const char *type)
{
	for (unsigned i = 0; i < a->n_types; i++)
		if (strcmp(a->types[i], type) == 0)
			return true;
	return !a->n_types;
}

static bool is_wanted(const struct ask *a, struct json_object *o)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, "type", &v) || !is_type(a, json_object_get_string(v)))
		return false;
	if (a->since && (!json_object_object_get_ex(o, "wall_ns", &v) ||
			 json_object_get_uint64(v) < a->since_wall_ns))
		return false;
	return !a->cgroup || (json_object_object_get_ex(o, "cgroup", &v) &&
			      json_object_is_type(v, json_type_string) &&
			      fnmatch(a->cgroup, json_object_get_string(v), 0) == 0);
}

/* People --------------------------------------------------------------------------------------- */

/* Fields that every record has, or that only programs want. */
static bool is_noise(const char *name)
{
	static const char *const noise[] = {
		"boot_id",   "mono_ns",	  "run_id",	    "schema_version", "seq",
		"type",	     "wall_ns",	  "cgroup",	    "cgroup_key",     "slot",
		"rule_file", "rule_line", "sample_mono_ns", "event_mono_ns",  "since_mono_ns",
		"evidence"};

	for (size_t i = 0; i < ARRAY_SIZE(noise); i++)
		if (strcmp(noise[i], name) == 0)
			return true;
	return false;
}

static const char *text_of(struct json_object *v)
{
	return json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* "12:00:01.250 #4711 decision /batch.slice verdict=apply budget=batch": one line. */
static void print_line(struct json_object *o)
{
	struct json_object *v = NULL;
	uint64_t wall = 0;
	struct tm tm;
	time_t s;
	char when[32];

	if (json_object_object_get_ex(o, "wall_ns", &v))
		wall = json_object_get_uint64(v);
	s = (time_t)(wall / 1000000000ULL);
	gmtime_r(&s, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	printf("%s.%03uZ ", when, (unsigned)(wall / 1000000 % 1000));
	printf("#%llu ", json_object_object_get_ex(o, "seq", &v)
				 ? (unsigned long long)json_object_get_uint64(v)
				 : 0);
	printf("%-14s", json_object_object_get_ex(o, "type", &v) ? json_object_get_string(v) : "?");
	if (json_object_object_get_ex(o, "cgroup", &v) && json_object_is_type(v, json_type_string))
		printf(" %s", json_object_get_string(v));
	json_object_object_foreach(o, name, value)
	{
		/* canonical JSON escapes control characters, so a text in quotes is printable */
		if (!is_noise(name))
			printf(" %s=%s", name, text_of(value));
	}
	putchar('\n');
}

static void print(const struct wv_cli *cli, struct json_object *o, const char *line)
{
	if (cli->json)
		puts(line);
	else
		print_line(o);
}

/* Reading -------------------------------------------------------------------------------------- */

/* Records ever, without the lock: as many as there are leaf hashes. */
static uint64_t count_records(const struct wv_paths *paths)
{
	char path[WV_PATH_SIZE + 32];
	_cleanup_close_ int fd = -1;
	uint64_t size = 0;

	snprintf(path, sizeof(path), "%s/" WV_TLOG_FOLDER "/" WV_TLOG_HASHES_NAME, paths->state);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	(void)wv_io_system.size(NULL, fd, &size);
	return size / WV_HASH_SIZE;
}

/* 1 with a record that is wanted, 0 at the end, -errno. */
static int next(const struct ask *a, struct wv_tlog_reader *reader, struct json_object **ret,
		const char **ret_line)
{
	uint64_t seq;
	size_t len;
	int r;

	while ((r = wv_tlog_read(reader, &seq, ret_line, &len)) == 1) {
		struct json_object *o = json_tokener_parse(*ret_line);

		if (o && is_wanted(a, o)) {
			*ret = o;
			return 1;
		}
		json_object_put(o);
	}
	return r;
}

/* 0 at the end, or -errno; -EPIPE: nobody reads on, -ENOSPC and others: it cannot be written. */
static int run(const struct wv_cli *cli, const struct ask *a, struct wv_tlog_reader *reader)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};

	while (!stopped) {
		struct json_object *o;
		const char *line;
		int r = next(a, reader, &o, &line);

		if (r == 1) {
			print(cli, o, line);
			json_object_put(o);
			if (ferror(stdout))
				return -(errno ?: EIO);
			continue;
		}
		if (fflush(stdout) != 0)
			return -errno;
		if (r < 0 || !a->follow)
			return r;
		(void)nanosleep(&pause, NULL);
	}
	return fflush(stdout) == 0 ? 0 : -errno;
}

static int open_reader(const struct wv_cli *cli, const struct ask *a, struct wv_tlog_reader **ret)
{
	uint64_t n = count_records(&cli->paths), count = a->counted ? a->count : TAIL_RECORDS;
	uint64_t from = n > count ? n - count + 1 : 1;

	if (a->since && !a->counted)
		from = 1;
	return wv_tlog_read_open(ret, &wv_io_system, cli->paths.state, from);
}

static int explain(const struct wv_cli *cli, int error)
{
	if (error == -EPIPE) /* as when `head` has seen enough */
		return WV_EXIT_OK;
	if (error == -EACCES || error == -EPERM) {
		fprintf(stderr,
			"waveos-bpf events: may not read %s/" WV_TLOG_FOLDER ": run it as root\n",
			cli->paths.state);
		return WV_EXIT_DENIED;
	}
	if (error == -ENOENT) {
		fprintf(stderr,
			"waveos-bpf events: there is no log in %s/" WV_TLOG_FOLDER
			"; start: waveos-bpf attach\n",
			cli->paths.state);
		return WV_EXIT_FINDING;
	}
	fprintf(stderr, "waveos-bpf events: %s\n", strerror(-error));
	return WV_EXIT_INTERNAL;
}

int wv_cmd_events(struct wv_cli *cli, int argc, char **argv)
{
	const struct sigaction stop = {.sa_handler = on_stop};
	struct wv_tlog_reader *reader;
	struct ask a = {0};
	int r = wv_cli_parse(cli, argc, argv,
			     "events [--follow] [--type TYPE] [--cgroup PATTERN] [--since TIME] "
			     "[--json]",
			     examples, options, set_option, &a);

	if (r < 0)
		return -r;
	if (r < argc) {
		fprintf(stderr, "waveos-bpf events: takes no operand, but got '%s'; see --help\n",
			argv[r]);
		return WV_EXIT_USAGE;
	}
	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	r = open_reader(cli, &a, &reader);
	if (r < 0)
		return explain(cli, r);
	r = run(cli, &a, reader);
	wv_tlog_read_close(reader);
	return r < 0 ? explain(cli, r) : WV_EXIT_OK;
}
