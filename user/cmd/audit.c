// SPDX-License-Identifier: GPL-2.0-only
/* audit: records of access in the log, who did what and who was refused. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/access/access.h"
#include "user/cmd/audit_print.h"
#include "user/cmd/cmd.h"
#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/tlog.h"

#define LIST_DEFAULT 100
#define TAIL_DEFAULT 10
#define LIMIT_MAX 100000
#define POLL_NS 200000000L

struct arguments {
	uint64_t limit;
	bool follow;
};

static const struct wv_option options[] = {
	{"limit", 'n', "N", "so many records at most, the newest"},
	{"follow", 'f', NULL, "go on with records as they come"},
	{0},
};

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct arguments *a = ctx;

	if (o == &options[1]) {
		a->follow = true;
		return 0;
	}
	if (wv_parse_uint(value, &a->limit) < 0 || !a->limit || a->limit > LIMIT_MAX) {
		fprintf(stderr, "waveos-bpf audit: --limit: expected a number up to %d\n",
			LIMIT_MAX);
		return WV_EXIT_USAGE;
	}
	return 0;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) ?: "" : "";
}

void wv_audit_print(const char *line, bool json)
{
	struct json_object *o = json ? NULL : json_tokener_parse(line);
	const char *type = text_of(o, "type");
	char at[32] = "";
	time_t t;
	struct tm tm;

	if (!o) {
		printf("%s\n", line);
		return;
	}
	t = (time_t)(strtoull(text_of(o, "wall_ns"), NULL, 10) / 1000000000ULL);
	gmtime_r(&t, &tm);
	strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", &tm);
	printf("%s %6s %-15s ", at, text_of(o, "seq"), type);
	if (strncmp(type, "token-", 6) == 0)
		printf("%s (%s) role %s by %s", text_of(o, "name"), text_of(o, "token_id"),
		       text_of(o, "role"), text_of(o, "by"));
	else
		printf("%s [%s] from %s: %s", text_of(o, "identity"), text_of(o, "roles"),
		       text_of(o, "peer"), text_of(o, "permission"));
	if (*text_of(o, "count"))
		printf(" x%s", text_of(o, "count"));
	if (*text_of(o, "reason"))
		printf(" (%s)", text_of(o, "reason"));
	if (*text_of(o, "exit_code"))
		printf(" exit %s, HTTP %s", text_of(o, "exit_code"), text_of(o, "status"));
	printf("\n");
	json_object_put(o);
}

/* The newest `limit` lines, in a ring. */
struct ring {
	char **lines;
	size_t n, next, limit;
};

static int keep(struct ring *r, const char *line, size_t len)
{
	char *copy = strndup(line, len);

	if (!copy)
		return -ENOMEM;
	free(r->lines[r->next]);
	r->lines[r->next] = copy;
	r->next = (r->next + 1) % r->limit;
	r->n += r->n < r->limit;
	return 0;
}

static bool is_audit(const char *line, size_t len)
{
	const char *type;
	size_t n;

	return wv_record_member(line, len, "type", &type, &n) == 0 && n > 2 &&
	       wv_access_is_audit(type + 1, n - 2);
}

static int read_all(struct wv_tlog_reader *reader, struct ring *ring)
{
	const char *line;
	uint64_t seq;
	size_t len;
	int r;

	while ((r = wv_tlog_read(reader, &seq, &line, &len)) == 1)
		if (is_audit(line, len) && keep(ring, line, len) < 0)
			return -ENOMEM;
	return r;
}

static int follow(struct wv_tlog_reader *reader, bool json)
{
	const struct timespec nap = {.tv_nsec = POLL_NS};
	const char *line;
	uint64_t seq;
	size_t len;
	int r;

	for (;;) {
		while ((r = wv_tlog_read(reader, &seq, &line, &len)) == 1)
			if (is_audit(line, len))
				wv_audit_print(line, json);
		if (r < 0 || fflush(stdout) != 0)
			return r;
		(void)nanosleep(&nap, NULL);
	}
}

static int show(const char *verb, const struct wv_cli *cli, const struct arguments *a)
{
	struct ring ring = {.lines = calloc(a->limit, sizeof(char *)), .limit = a->limit};
	struct wv_tlog_reader *reader;
	int r;

	if (!ring.lines)
		return WV_EXIT_INTERNAL;
	r = wv_tlog_read_open(&reader, &wv_io_system, cli->paths.state, 1);
	if (r == 0) {
		r = read_all(reader, &ring);
		for (size_t i = 0; i < ring.n; i++)
			wv_audit_print(
				ring.lines[(ring.next + ring.limit - ring.n + i) % ring.limit],
				cli->json);
		if (r == 0 && a->follow)
			r = follow(reader, cli->json);
		wv_tlog_read_close(reader);
	}
	for (size_t i = 0; i < ring.limit; i++)
		free(ring.lines[i]);
	free(ring.lines);
	return r < 0 ? wv_evidence_failed(verb, "the device's log", r) : WV_EXIT_OK;
}

static int run(struct wv_cli *cli, int argc, char **argv, uint64_t limit, const char *usage)
{
	struct arguments a = {.limit = limit};
	int r = wv_cli_parse(cli, argc, argv, usage,
			     "  waveos-bpf audit list --json | jq .identity\n"
			     "  waveos-bpf audit tail --follow\n",
			     options, set_option, &a);

	if (r < 0)
		return -r;
	if (argc != r) {
		fprintf(stderr, "waveos-bpf %s: takes no operand; see --help\n", argv[0]);
		return WV_EXIT_USAGE;
	}
	return show(argv[0], cli, &a);
}

static int list(struct wv_cli *cli, int argc, char **argv)
{
	return run(cli, argc, argv, LIST_DEFAULT, "audit list [--limit N] [--json]");
}

static int tail(struct wv_cli *cli, int argc, char **argv)
{
	return run(cli, argc, argv, TAIL_DEFAULT, "audit tail [--follow] [--limit N] [--json]");
}

static const struct wv_subverb subverbs[] = {
	{"list", "records of access, the newest 100", list},
	{"tail", "the newest 10, and those that come", tail},
	{0},
};

int wv_cmd_audit(struct wv_cli *cli, int argc, char **argv)
{
	return wv_cli_dispatch("audit", subverbs,
			       "  waveos-bpf audit list\n  waveos-bpf audit tail --follow\n", cli,
			       argc, argv);
}
