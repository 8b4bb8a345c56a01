// SPDX-License-Identifier: GPL-2.0-only
/* alert: what is going on and who was told, silences, and a test of the whole way. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/alert/state.h"
#include "user/cmd/cmd.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/evidence/event.h"

#define STATE_MAX (32U << 20)
#define SECOND UINT64_C(1000000000)

static const struct wv_io *const io = &wv_io_system;

static int say(const char *what, int r)
{
	fprintf(stderr, "waveos-bpf alert: %s: %s\n", what, strerror(-r));
	return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_INTERNAL;
}

/* Takes the reference of fields. */
static int record(const struct wv_cli *cli, const char *type, struct json_object *fields)
{
	return wv_event_device(io, &cli->paths, "", type, fields);
}

/* list ---------------------------------------------------------------------------------------- */

static const char *text_of(struct json_object *o, const char *key)
{
	return json_object_get_string(json_object_object_get(o, key)) ?: "";
}

static uint64_t number(struct json_object *o, const char *key)
{
	return json_object_get_uint64(json_object_object_get(o, key));
}

static size_t length(struct json_object *o, const char *key)
{
	struct json_object *list = json_object_object_get(o, key);

	return list ? json_object_array_length(list) : 0;
}

static void print_alert(struct json_object *o, uint64_t now_ns)
{
	uint64_t since = number(o, "starts_wall_ns");

	printf("%-8s %-9s %-18s %s\n         for %" PRIu64 " s, seen %" PRIu64
	       " times, told %zu sink(s)%s\n",
	       number(o, "ends_wall_ns") ? "resolved" : "firing", text_of(o, "severity"),
	       text_of(o, "alert"), text_of(o, "summary"),
	       now_ns > since ? (now_ns - since) / SECOND : 0, number(o, "count"),
	       length(o, "told"),
	       json_object_get_boolean(json_object_object_get(o, "silenced")) ? ", silenced" : "");
}

static void print_sink(struct json_object *o)
{
	printf("sink %-16s %s, sent %" PRIu64 ", failed %" PRIu64 ", queued %" PRIu64
	       ", dead letters %" PRIu64 "%s%s\n",
	       text_of(o, "name"), text_of(o, "type"), number(o, "sent"), number(o, "failures"),
	       number(o, "queued"), number(o, "dead"),
	       number(o, "failed_in_a_row") ? "; failing: " : "",
	       number(o, "failed_in_a_row") ? text_of(o, "error") : "");
}

static void print_silences(const struct wv_alerts *a)
{
	for (size_t i = 0; i < a->n_silences; i++) {
		const struct wv_alert_silence *s = &a->silences[i];
		uint64_t now_s = io->wall_ns(io->ctx) / SECOND;

		printf("silence %s, %" PRIu64 " s left, by %s:", s->id, s->until_s - now_s, s->by);
		for (int k = 0; k < WV_ALERT_LABELS; k++)
			if (s->match[k][0])
				printf(" %s=%s", wv_alert_labels[k], s->match[k]);
		printf("%s%s\n", *s->comment ? ": " : "", s->comment);
	}
}

static void print_text(struct json_object *o, const struct wv_alerts *a)
{
	struct json_object *alerts = json_object_object_get(o, "alerts");
	struct json_object *sinks = json_object_object_get(o, "sinks");
	uint64_t now_ns = io->wall_ns(io->ctx);

	for (size_t i = 0; i < length(o, "alerts"); i++)
		print_alert(json_object_array_get_idx(alerts, i), now_ns);
	if (!length(o, "alerts"))
		printf("no alerts\n");
	for (size_t i = 0; i < length(o, "sinks"); i++)
		print_sink(json_object_array_get_idx(sinks, i));
	print_silences(a);
}

static struct json_object *silences_json(const struct wv_alerts *a)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < a->n_silences; i++) {
		struct json_object *o = json_object_new_object();
		struct json_object *match = json_object_new_object();

		for (int k = 0; k < WV_ALERT_LABELS; k++)
			if (a->silences[i].match[k][0])
				json_object_object_add(
					match, wv_alert_labels[k],
					json_object_new_string(a->silences[i].match[k]));
		json_object_object_add(o, "id", json_object_new_string(a->silences[i].id));
		json_object_object_add(o, "match", match);
		json_object_object_add(o, "until_s",
				       json_object_new_uint64(a->silences[i].until_s));
		json_object_object_add(o, "by", json_object_new_string(a->silences[i].by));
		json_object_object_add(o, "comment",
				       json_object_new_string(a->silences[i].comment));
		json_object_array_add(list, o);
	}
	return list;
}

static int list(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_free_ struct wv_alerts *a = calloc(1, sizeof(*a));
	_cleanup_free_ char *text = NULL;
	struct json_object *o;
	int dir, r = wv_cli_parse(cli, argc, argv, "alert list", "  waveos-bpf alert list --json\n",
				  NULL, NULL, NULL);

	if (r < 0)
		return -r;
	if (!a)
		return WV_EXIT_INTERNAL;
	dir = wv_alert_open_dir(io, cli->paths.state);
	if (dir < 0)
		return say(cli->paths.state, dir);
	r = wv_io_read_file(io, dir, WV_ALERT_STATE, STATE_MAX, &text, NULL);
	if (r == 0 || r == -ENOENT)
		(void)wv_alert_silences_load(a, io, dir, io->wall_ns(io->ctx));
	(void)io->close(io->ctx, dir);
	if (r < 0 && r != -ENOENT)
		return say(WV_ALERT_STATE, r);
	o = text ? json_tokener_parse(text) : json_object_new_object();
	if (!json_object_is_type(o, json_type_object))
		return say(WV_ALERT_STATE, -EBADMSG);
	if (cli->json) {
		json_object_object_add(o, "schema_version", json_object_new_int(1));
		json_object_object_add(o, "silences", silences_json(a));
		printf("%s\n", json_object_to_json_string_ext(
				       o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	} else {
		print_text(o, a);
	}
	json_object_put(o);
	return WV_EXIT_OK;
}

/* silence, expire ----------------------------------------------------------------------------- */

struct arguments {
	struct wv_alert_silence s;
	uint64_t for_ns;
	const char *severity, *text;
};

static const struct wv_option silence_options[] = {
	{"for", 'f', "TIME", "how long (30m, 2h); needed"},
	{"alert", 'a', "PATTERN", "alerts of this name (shell pattern)"},
	{"severity", 's', "SEVERITY", "... of this severity"},
	{"domain", 'd', "PATTERN", "... of this domain"},
	{"cgroup", 'c', "PATTERN", "... of this cgroup"},
	{"name", 'n', "PATTERN", "... of this rule, breaker, program"},
	{"route", 'r', "PATTERN", "... with this route"},
	{"comment", 'C', "TEXT", "why"},
	{0},
};

static int set_silence(void *ctx, const struct wv_option *o, const char *value)
{
	struct arguments *a = ctx;
	char *to = NULL;
	size_t size = sizeof(a->s.match[0]);

	if (strcmp(o->name, "for") == 0) {
		if (wv_parse_duration(value, &a->for_ns) == 0 && a->for_ns)
			return 0;
		fprintf(stderr, "waveos-bpf alert silence: --for wants a time such as 2h\n");
		return WV_EXIT_USAGE;
	}
	for (int i = 0; i < WV_ALERT_LABELS; i++)
		if (strcmp(wv_alert_labels[i], o->name) == 0)
			to = a->s.match[i];
	if (!to) {
		to = a->s.comment;
		size = sizeof(a->s.comment);
	}
	if (strlen(value) >= size) {
		fprintf(stderr, "waveos-bpf alert silence: --%s is longer than %zu bytes\n",
			o->name, size - 1);
		return WV_EXIT_USAGE;
	}
	memcpy(to, value, strlen(value) + 1);
	wv_make_printable(to);
	return 0;
}

static int record_silence(const struct wv_cli *cli, const struct wv_alert_silence *s, bool expired)
{
	struct json_object *o = json_object_new_object(), *match = json_object_new_object();

	for (int k = 0; k < WV_ALERT_LABELS; k++)
		if (s->match[k][0])
			json_object_object_add(match, wv_alert_labels[k],
					       json_object_new_string(s->match[k]));
	json_object_object_add(o, "silence", json_object_new_string(s->id));
	json_object_object_add(o, "until_wall_ns", json_object_new_uint64(s->until_s * SECOND));
	json_object_object_add(o, "match", match);
	json_object_object_add(o, "comment", json_object_new_string(s->comment));
	json_object_object_add(o, "expired", json_object_new_boolean(expired));
	return record(cli, "alert-silence", o);
}

/* The silences, locked until *ret_lock is closed. */
static int open_silences(const struct wv_cli *cli, struct wv_alerts *a, int *ret_dir, int *ret_lock)
{
	int dir = wv_alert_open_dir(io, cli->paths.state), lock, r;

	if (dir < 0)
		return dir;
	lock = io->open(io->ctx, dir, "silences.lock", O_RDWR | O_CREAT, 0600);
	r = lock < 0 ? lock : io->lock(io->ctx, lock, true);
	if (r == 0)
		r = wv_alert_silences_load(a, io, dir, io->wall_ns(io->ctx));
	if (r < 0) {
		if (lock >= 0)
			(void)io->close(io->ctx, lock);
		(void)io->close(io->ctx, dir);
		return r;
	}
	*ret_dir = dir;
	*ret_lock = lock;
	return 0;
}

static int silence(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_free_ struct wv_alerts *book = calloc(1, sizeof(*book));
	struct arguments a = {.for_ns = 0};
	const struct passwd *p = getpwuid(getuid());
	int dir, lock,
		r = wv_cli_parse(cli, argc, argv, "alert silence --for TIME MATCHERS",
				 "  waveos-bpf alert silence --for 2h --alert 'Breaker*' "
				 "--comment 'maintenance'\n",
				 silence_options, set_silence, &a);
	bool any = false;
	uint64_t id = 0;

	if (r < 0)
		return -r;
	for (int i = 0; i < WV_ALERT_LABELS; i++)
		any |= a.s.match[i][0] != '\0';
	if (!a.for_ns || !any || r != argc || !book) {
		fprintf(stderr, "waveos-bpf alert silence: needs --for and what is to be silenced, "
				"such as --alert '*'; see --help\n");
		return WV_EXIT_USAGE;
	}
	a.s.until_s = (io->wall_ns(io->ctx) + a.for_ns) / SECOND;
	snprintf(a.s.by, sizeof(a.s.by), "%s", p ? p->pw_name : "?");
	(void)io->random(io->ctx, &id, sizeof(id));
	snprintf(a.s.id, sizeof(a.s.id), "%016" PRIx64, id);
	r = open_silences(cli, book, &dir, &lock);
	if (r < 0)
		return say("silences", r);
	if (book->n_silences >= WV_ALERT_SILENCES_MAX) {
		r = -ENOSPC;
	} else {
		book->silences[book->n_silences++] = a.s;
		/* told before it holds: there is no silence that nobody knows of */
		r = record_silence(cli, &a.s, false);
		if (r == 0)
			r = wv_alert_silences_save(book, io, dir);
	}
	(void)io->close(io->ctx, lock);
	(void)io->close(io->ctx, dir);
	if (r < 0)
		return say("the silence", r);
	printf(cli->json ? "{\"schema_version\":1,\"silence\":\"%s\"}\n" : "%s\n", a.s.id);
	return WV_EXIT_OK;
}

static int expire(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_free_ struct wv_alerts *book = calloc(1, sizeof(*book));
	int dir, lock,
		r = wv_cli_parse(cli, argc, argv, "alert expire ID",
				 "  waveos-bpf alert expire 0123456789abcdef\n", NULL, NULL, NULL);
	bool found = false;

	if (r < 0)
		return -r;
	if (argc - r != 1 || !book) {
		fprintf(stderr, "waveos-bpf alert expire: takes the id of a silence; `waveos-bpf "
				"alert list` shows them\n");
		return WV_EXIT_USAGE;
	}
	argv += r;
	r = open_silences(cli, book, &dir, &lock);
	if (r < 0)
		return say("silences", r);
	for (size_t i = 0; i < book->n_silences && !found; i++) {
		struct wv_alert_silence gone = book->silences[i];

		found = strcmp(gone.id, argv[0]) == 0;
		if (!found)
			continue;
		book->silences[i] = book->silences[--book->n_silences];
		r = wv_alert_silences_save(book, io, dir);
		if (r == 0)
			r = record_silence(cli, &gone, true);
	}
	(void)io->close(io->ctx, lock);
	(void)io->close(io->ctx, dir);
	if (r < 0)
		return say("the silence", r);
	if (found)
		return WV_EXIT_OK;
	fprintf(stderr, "waveos-bpf alert expire: there is no silence '%s'\n", argv[0]);
	return WV_EXIT_FINDING;
}

/* test ---------------------------------------------------------------------------------------- */

static const struct wv_option test_options[] = {
	{"severity", 's', "SEVERITY", "info (as by default), warning or critical"},
	{"text", 't', "TEXT", "what it says"},
	{0},
};

static int set_test(void *ctx, const struct wv_option *o, const char *value)
{
	struct arguments *a = ctx;

	if (strcmp(o->name, "text") == 0) {
		a->text = value;
		return 0;
	}
	a->severity = value;
	for (int i = 0; i < WV_ALERT_SEVERITIES; i++)
		if (strcmp(wv_alert_severities[i], value) == 0)
			return 0;
	fprintf(stderr, "waveos-bpf alert test: --severity is info, warning or critical\n");
	return WV_EXIT_USAGE;
}

static int test(struct wv_cli *cli, int argc, char **argv)
{
	struct arguments a = {.severity = "info", .text = "a test of alerts"};
	struct json_object *o;
	int pid, r = wv_cli_parse(cli, argc, argv, "alert test",
				  "  waveos-bpf alert test --severity critical\n", test_options,
				  set_test, &a);
	char text[256];

	if (r < 0)
		return -r;
	if (!wv_view_agent_runs(&cli->paths, &pid)) {
		fprintf(stderr, "waveos-bpf alert test: no agent runs (nothing holds %s/lock)\n",
			cli->paths.runtime);
		return WV_EXIT_FINDING;
	}
	snprintf(text, sizeof(text), "%s", a.text);
	wv_make_printable(text);
	o = json_object_new_object();
	json_object_object_add(o, "severity", json_object_new_string(a.severity));
	json_object_object_add(o, "text", json_object_new_string(text));
	r = record(cli, "alert-test", o);
	if (r < 0)
		return say("the log", r);
	printf(cli->json ? "{\"schema_version\":1,\"asked\":true}\n"
			 : "asked for; `waveos-bpf alert list` shows who was told\n");
	return WV_EXIT_OK;
}

static const struct wv_subverb subverbs[] = {
	{"list", "what is going on, who was told, silences", list},
	{"silence", "tell nobody of some alerts for a while", silence},
	{"expire", "end a silence", expire},
	{"test", "send an alert through rules of routing to the sinks", test},
	{0},
};

int wv_cmd_alert(struct wv_cli *cli, int argc, char **argv)
{
	return wv_cli_dispatch("alert", subverbs,
			       "  waveos-bpf alert list\n"
			       "  waveos-bpf alert silence --for 2h --cgroup '/db.slice*'\n",
			       cli, argc, argv);
}
