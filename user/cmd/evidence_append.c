// SPDX-License-Identifier: GPL-2.0-only
/* evidence append: records from standard input, by group commit. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"
#include "user/evidence/event.h"
#include "user/evidence/group.h"

#define TYPE_MAX 64

struct ask {
	const char *type;
	uint64_t refused;
	int error; /* of an acknowledgement */
};

static const struct wv_option options[] = {
	{"type", 't', "TYPE", "type of the records (default: note)"},
	{0},
};
static const char examples[] = "  echo '{\"operator\":\"jo\",\"text\":\"fan replaced\"}' | "
			       "waveos-bpf evidence append --type "
			       "maintenance\n"
			       "  some-program | waveos-bpf evidence append --type some-program\n";

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value)
{
	((struct ask *)ctx)->type = value;
	return 0;
}

/* Those that the log itself is kept by come from their own sub-verbs. */
static bool is_fit(const char *type)
{
	size_t len = strlen(type);

	for (size_t i = 0; i < len; i++)
		if (!islower((unsigned char)type[i]) && !isdigit((unsigned char)type[i]) &&
		    type[i] != '-')
			return false;
	return len && len <= TYPE_MAX && strncmp(type, "hold-", 5) != 0 &&
	       strncmp(type, "segment-", 8) != 0 && strncmp(type, "segments-", 9) != 0 &&
	       strcmp(type, "transformation") != 0;
}

/* The members of a JSON object, or the text as `message`. */
static struct json_object *parse_line(const char *line, size_t len)
{
	struct json_tokener *t = json_tokener_new();
	struct json_object *o = t ? json_tokener_parse_ex(t, line, (int)len + 1) : NULL;

	json_tokener_free(t);
	if (json_object_is_type(o, json_type_object))
		return o;
	json_object_put(o);
	o = json_object_new_object();
	json_object_object_add(o, "message", json_object_new_string_len(line, (int)len));
	return o;
}

static void on_acknowledged(void *ctx, uint64_t first, uint64_t n, int error)
{
	struct ask *ask = ctx;

	if (error) {
		ask->refused += n;
		ask->error = error;
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		printf("%" PRIu64 "\n", first + i);
	(void)fflush(stdout);
}

static int submit(struct wv_group *g, const char *type, const char *line, size_t len)
{
	struct json_object *o = parse_line(line, len);
	int r = o ? wv_event_common(o, &wv_io_system, "", type) : -ENOMEM;

	if (r == 0)
		r = wv_group_submit(g, wv_event_compose, o, NULL, NULL);
	json_object_put(o);
	return r;
}

static int append_lines(struct ask *ask, struct wv_tlog *l)
{
	struct wv_group_options o = {.acknowledged = on_acknowledged, .ctx = ask};
	_cleanup_free_ char *line = NULL;
	uint64_t number = 0, unfit = 0;
	struct wv_group *g;
	size_t size = 0;
	ssize_t n;
	int r = wv_group_open(&g, l, &o);

	if (r < 0)
		return r;
	while (r == 0 && (n = getline(&line, &size, stdin)) > 0) {
		number++;
		if (line[n - 1] == '\n')
			line[--n] = '\0';
		if (!n)
			continue;
		r = submit(g, ask->type, line, (size_t)n);
		if (r == -EINVAL || r == -EMSGSIZE) { /* the line's fault: the others go on */
			fprintf(stderr,
				"waveos-bpf evidence append: line %" PRIu64 " is no record: %s\n",
				number,
				r == -EMSGSIZE ? "it is too long"
					       : "a member has the name of a field that all have");
			unfit++;
			r = 0;
		}
	}
	wv_group_close(g);
	if (r < 0 || ask->error)
		return r ?: ask->error;
	return unfit ? 1 : 0;
}

int wv_evidence_append(struct wv_cli *cli, int argc, char **argv)
{
	struct ask ask = {.type = "note"};
	struct wv_tlog *l;
	int r = wv_cli_parse(cli, argc, argv, "evidence append [--type TYPE] <LINES", examples,
			     options, set_option, &ask);

	if (r < 0)
		return -r;
	if (argc != r || !is_fit(ask.type)) {
		fprintf(stderr, "waveos-bpf evidence append: %s; see --help\n",
			argc != r
				? "takes no operand"
				: "a type is of small letters, digits and '-', at most 64; hold-*, "
				  "segment-*, segments-* and transformation are the log's own");
		return WV_EXIT_USAGE;
	}
	r = wv_tlog_open_device(&l, &wv_io_system, &cli->paths);
	if (r < 0)
		return wv_evidence_failed(argv[0], "the device's log", r);
	r = append_lines(&ask, l);
	wv_tlog_close(l);
	if (ask.refused)
		fprintf(stderr,
			"waveos-bpf evidence append: %" PRIu64 " records were not written\n",
			ask.refused);
	if (r < 0)
		return wv_evidence_failed(argv[0], "the device's log", r);
	return r ? WV_EXIT_FINDING : WV_EXIT_OK;
}
