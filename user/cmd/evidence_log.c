// SPDX-License-Identifier: GPL-2.0-only
/* evidence tail, hold, retain: the device's log at a terminal. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "user/bundle/lifecycle.h"
#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/event.h"
#include "user/evidence/retain.h"

#define TAIL_RECORDS 10
#define POLL_US 200000

struct ask {
	const char *from, *to, *type, *reason, *keep_age, *keep_size;
	bool follow;
};

/* One setter for all: by the option's name. */
static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct ask *a = ctx;
	const struct {
		const char *name, **to;
	} texts[] = {{"from", &a->from},	 {"to", &a->to},
		     {"type", &a->type},	 {"reason", &a->reason},
		     {"keep-age", &a->keep_age}, {"keep-size", &a->keep_size}};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (strcmp(o->name, texts[i].name) == 0)
			*texts[i].to = value;
	if (strcmp(o->name, "follow") == 0)
		a->follow = true;
	return 0;
}

static int parse_seq(const char *verb, const char *text, uint64_t *ret)
{
	if (!text || wv_parse_uint(text, ret) == 0)
		return 0;
	fprintf(stderr, "waveos-bpf %s: '%s' is no number of a record\n", verb, text);
	return WV_EXIT_USAGE;
}

static int open_device(const char *verb, const struct wv_cli *cli, struct wv_tlog **ret)
{
	int r = wv_tlog_open_device(ret, &wv_io_system, &cli->paths);

	return r < 0 ? wv_evidence_failed(verb, "the device's log", r) : 0;
}

/* --- tail */

/* Records ever, without the lock: as many as there are leaf hashes. */
static uint64_t count_records(const struct wv_paths *paths)
{
	char path[WV_PATH_SIZE + 32];
	uint64_t size = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/" WV_TLOG_FOLDER "/" WV_TLOG_HASHES_NAME, paths->state);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	(void)wv_io_system.size(NULL, fd, &size);
	close(fd);
	return size / WV_HASH_SIZE;
}

static bool is_wanted(const struct ask *a, const char *line, size_t len)
{
	const char *type;
	size_t n;

	return !a->type || (wv_record_member(line, len, "type", &type, &n) == 0 &&
			    n == strlen(a->type) + 2 && memcmp(type + 1, a->type, n - 2) == 0);
}

static int print_records(const struct ask *a, struct wv_tlog_reader *reader)
{
	const char *line;
	uint64_t seq;
	size_t len;
	int r;

	for (;;) {
		r = wv_tlog_read(reader, &seq, &line, &len);
		if (r == 1 && is_wanted(a, line, len) && puts(line) < 0)
			return 0; /* nobody reads on */
		if (r == 1)
			continue;
		if (fflush(stdout) != 0 || r < 0 || !a->follow)
			return r;
		usleep(POLL_US);
	}
}

int wv_evidence_tail(struct wv_cli *cli, int argc, char **argv)
{
	static const struct wv_option options[] = {
		{"follow", 'f', NULL, "go on with records as they come"},
		{"from", 0, "SEQ", "begin with this record (default: the last 10)"},
		{"type", 't', "TYPE", "only records of this type"},
		{0},
	};
	struct ask a = {0};
	struct wv_tlog_reader *reader;
	uint64_t from = 0, n;
	int r = wv_cli_parse(cli, argc, argv, "evidence tail [--follow] [--from SEQ] [--type TYPE]",
			     "  waveos-bpf evidence tail --follow --type decision\n"
			     "  waveos-bpf evidence tail --from 1 | jq .type\n",
			     options, set_option, &a);

	if (r < 0)
		return -r;
	if (argc != r) {
		fprintf(stderr, "waveos-bpf evidence tail: takes no operand; see --help\n");
		return WV_EXIT_USAGE;
	}
	r = parse_seq(argv[0], a.from, &from);
	if (r)
		return r;
	n = count_records(&cli->paths);
	if (!a.from)
		from = n > TAIL_RECORDS ? n - TAIL_RECORDS + 1 : 1;
	r = wv_tlog_read_open(&reader, &wv_io_system, cli->paths.state, from);
	if (r < 0)
		return wv_evidence_failed(argv[0], "the device's log", r);
	r = print_records(&a, reader);
	wv_tlog_read_close(reader);
	return r < 0 ? wv_evidence_failed(argv[0], "the device's log", r) : WV_EXIT_OK;
}

/* --- hold */

static int list_holds(struct wv_cli *cli, const char *verb)
{
	struct json_object *o, *list;
	struct wv_holds h;
	int r = wv_holds_read(&wv_io_system, cli->paths.state, &h);

	if (r < 0)
		return wv_evidence_failed(verb, "the device's log", r);
	list = json_object_new_array();
	for (size_t i = 0; i < h.n; i++) {
		const struct wv_hold *hold = &h.holds[i];

		o = json_object_new_object();
		json_object_object_add(o, "hold", json_object_new_string(hold->name));
		json_object_object_add(o, "first", json_object_new_uint64(hold->first));
		json_object_object_add(o, "last", json_object_new_uint64(hold->last));
		json_object_object_add(o, "reason", json_object_new_string(hold->reason));
		json_object_object_add(o, "seq", json_object_new_uint64(hold->seq));
		json_object_array_add(list, o);
		if (cli->json)
			continue;
		printf("%-24s from %" PRIu64, hold->name, hold->first);
		if (hold->last)
			printf(" to %" PRIu64, hold->last);
		printf(": %s (record %" PRIu64 ")\n", hold->reason, hold->seq);
	}
	if (cli->json) {
		o = json_object_new_object();
		json_object_object_add(o, "schema_version", json_object_new_int(1));
		json_object_object_add(o, "holds", list);
		wv_evidence_print(o);
	} else {
		if (!h.n)
			printf("no hold is in force\n");
		json_object_put(list);
	}
	wv_holds_done(&h);
	return WV_EXIT_OK;
}

static int change_hold(struct wv_cli *cli, const char *verb, const struct ask *a, const char *name,
		       bool place)
{
	uint64_t from = 1, to = 0;
	struct wv_tlog *l;
	int r = parse_seq(verb, a->from, &from);

	r = r ?: parse_seq(verb, a->to, &to);
	if (!r && !a->reason) {
		fprintf(stderr, "waveos-bpf %s: --reason is missing: it goes into the log\n", verb);
		r = WV_EXIT_USAGE;
	}
	r = r ?: open_device(verb, cli, &l);
	if (r)
		return r;
	r = place ? wv_hold_place(l, &wv_io_system, cli->paths.state, name, from, to, a->reason)
		  : wv_hold_release(l, &wv_io_system, cli->paths.state, name, a->reason);
	wv_tlog_close(l);
	if (r == -EINVAL)
		fprintf(stderr,
			"waveos-bpf %s: a name has 1 to %d printable ASCII characters, a reason "
			"1 to %d, and --to is not before --from\n",
			verb, WV_HOLD_NAME_SIZE - 1, WV_HOLD_REASON_SIZE - 1);
	else if (r == -EEXIST || r == -ENOENT)
		fprintf(stderr,
			"waveos-bpf %s: a hold '%s' is %s; `evidence hold list` shows all\n", verb,
			name, r == -EEXIST ? "in force already" : "not in force");
	else if (r < 0)
		return wv_evidence_failed(verb, "the device's log", r);
	return r == -EINVAL ? WV_EXIT_USAGE : r < 0 ? WV_EXIT_FINDING : WV_EXIT_OK;
}

int wv_evidence_hold(struct wv_cli *cli, int argc, char **argv)
{
	static const struct wv_option options[] = {
		{"from", 0, "SEQ", "first record that is held (default: 1)"},
		{"to", 0, "SEQ", "last one (default: all that come, too)"},
		{"reason", 'r', "TEXT", "why; it is recorded"},
		{0},
	};
	struct ask a = {0};
	int r = wv_cli_parse(
		cli, argc, argv,
		"evidence hold place|release NAME --reason TEXT [--from SEQ] [--to SEQ]\n"
		"       waveos-bpf evidence hold list",
		"  waveos-bpf evidence hold place case-7 --from 100 --to 900 --reason "
		"'incident of May'\n"
		"  waveos-bpf evidence hold list --json\n",
		options, set_option, &a);

	if (r < 0)
		return -r;
	if (argc == r + 1 && strcmp(argv[r], "list") == 0)
		return list_holds(cli, argv[0]);
	if (argc == r + 2 && strcmp(argv[r], "place") == 0)
		return change_hold(cli, argv[0], &a, argv[r + 1], true);
	if (argc == r + 2 && strcmp(argv[r], "release") == 0)
		return change_hold(cli, argv[0], &a, argv[r + 1], false);
	fprintf(stderr, "waveos-bpf evidence hold: expected place NAME, release NAME or list; see "
			"--help\n");
	return WV_EXIT_USAGE;
}

/* --- retain */

static int retention(struct wv_cli *cli, const char *verb, const struct ask *a,
		     struct wv_retention *ret)
{
	struct wv_config_error error = {.text = ""};
	struct wv_config config;
	int r = wv_config_init(&config);

	if (r == 0)
		r = wv_config_load(&config, cli->paths.config, &error);
	*ret = (struct wv_retention){.keep_ns = config.evidence_keep_age,
				     .keep_bytes = config.evidence_keep_size};
	wv_config_done(&config);
	if (r < 0 && r != -ENOENT) { /* nothing is removed by a guess */
		fprintf(stderr, "waveos-bpf %s: %s\n", verb,
			r == -EINVAL ? error.text : strerror(-r));
		return WV_EXIT_USAGE;
	}
	if ((a->keep_age && wv_parse_duration(a->keep_age, &ret->keep_ns) < 0) ||
	    (a->keep_size && wv_parse_bytes(a->keep_size, &ret->keep_bytes) < 0)) {
		fprintf(stderr, "waveos-bpf %s: --keep-age is like 720h, --keep-size like 500M\n",
			verb);
		return WV_EXIT_USAGE;
	}
	return 0;
}

int wv_evidence_retain(struct wv_cli *cli, int argc, char **argv)
{
	static const struct wv_option options[] = {
		{"keep-age", 0, "TIME", "instead of evidence.keep_age"},
		{"keep-size", 0, "BYTES", "instead of evidence.keep_size"},
		{0},
	};
	struct wv_retained done = {0};
	struct wv_bundles_at bundles = {.io = &wv_io_system, .state = cli->paths.state};
	struct wv_retention keep;
	struct json_object *o;
	struct wv_tlog *l;
	struct ask a = {0};
	int r = wv_cli_parse(
		cli, argc, argv, "evidence retain [--keep-age TIME] [--keep-size BYTES]",
		"  waveos-bpf evidence retain --keep-size 500M\n", options, set_option, &a);

	if (r < 0)
		return -r;
	if (argc != r) {
		fprintf(stderr, "waveos-bpf evidence retain: takes no operand; see --help\n");
		return WV_EXIT_USAGE;
	}
	r = retention(cli, argv[0], &a, &keep);
	keep.restate = wv_bundles_restate;
	keep.ctx = &bundles;
	r = r ?: open_device(argv[0], cli, &l);
	if (r)
		return r;
	do
		r = wv_tlog_compress(l);
	while (r == 1);
	r = r ?: wv_tlog_retain(l, &wv_io_system, cli->paths.state, &keep, &done);
	wv_tlog_close(l);
	if (r < 0)
		return wv_evidence_failed(argv[0], "the device's log", r);
	if (cli->json) {
		o = json_object_new_object();
		json_object_object_add(o, "schema_version", json_object_new_int(1));
		json_object_object_add(o, "segments", json_object_new_uint64(done.segments));
		json_object_object_add(o, "records", json_object_new_uint64(done.records));
		json_object_object_add(o, "bytes", json_object_new_uint64(done.bytes));
		json_object_object_add(o, "held", json_object_new_uint64(done.held));
		wv_evidence_print(o);
	} else {
		printf("%" PRIu64 " segments retired (%" PRIu64 " records, %" PRIu64
		       " bytes); %" PRIu64 " kept by holds\n",
		       done.segments, done.records, done.bytes, done.held);
	}
	return WV_EXIT_OK;
}
