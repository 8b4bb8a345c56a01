// SPDX-License-Identifier: GPL-2.0-only
/* evidence export: an evidence pack by hand. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/evidence_cmd.h"
#include "user/cmd/progress.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/pack_device.h"

struct arguments {
	struct wv_pack_query query;
	const char *output, *run;
	enum wv_redact_profile profile;
	bool has_profile;
	unsigned ways; /* of saying which records */
};

static const struct wv_option options[] = {
	{"run", 0, "RUN", "all records of a run: its id, or `latest`"},
	{"from", 0, "SEQ", "records from this one on ..."},
	{"to", 0, "SEQ", "... to this one (default: the end)"},
	{"incident", 0, "SEQ", "what was around this record, such as a decision"},
	{"before", 0, "TIME", "so long before it (default 5m)"},
	{"after", 0, "TIME", "so long after it (default 1m)"},
	{"since", 0, "TIME", "records of the last so long: 10m, 2h"},
	{"output", 'o', "FILE", "where the pack goes (.tar.zst)"},
	{"profile", 0, "NAME", "what is left out: internal or external (default: redact.profile)"},
	{0},
};
static const char examples[] =
	"  waveos-bpf evidence export --run latest -o run.tar.zst\n"
	"  waveos-bpf evidence export --since 10m --profile external -o for-them.tar.zst\n"
	"  waveos-bpf evidence export --incident 4711 --before 10m -o incident.tar.zst\n";

static int wrong(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "waveos-bpf evidence export: --%s %s: expected %s\n", option, value,
		expected);
	return WV_EXIT_USAGE;
}

static int set_number(struct arguments *a, const char *name, const char *value)
{
	uint64_t n;

	if (wv_parse_uint(value, &n) < 0 || !n)
		return wrong(name, value, "the number of a record");
	if (strcmp(name, "to") == 0) {
		a->query.to = n;
		return 0;
	}
	*(strcmp(name, "from") == 0 ? &a->query.from : &a->query.incident) = n;
	a->ways++;
	return 0;
}

static int set_time(struct arguments *a, const char *name, const char *value)
{
	uint64_t ns, now = wv_io_system.wall_ns(wv_io_system.ctx);

	if (wv_parse_duration(value, &ns) < 0)
		return wrong(name, value, "a time such as 30s, 10m, 2h");
	if (strcmp(name, "since") == 0) {
		a->query.since_wall_ns = now > ns ? now - ns : 1;
		a->ways++;
	} else {
		*(strcmp(name, "before") == 0 ? &a->query.before_ns : &a->query.after_ns) = ns;
	}
	return 0;
}

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct arguments *a = ctx;

	if (strcmp(o->name, "run") == 0) {
		a->run = value;
		a->ways++;
	} else if (strcmp(o->name, "output") == 0) {
		a->output = value;
	} else if (strcmp(o->name, "profile") == 0) {
		for (int i = 0; i < WV_PROFILE_N; i++)
			if (strcmp(value, wv_profile_names[i]) == 0) {
				a->profile = (enum wv_redact_profile)i;
				a->has_profile = true;
				return 0;
			}
		return wrong(o->name, value, "internal or external");
	} else if (strcmp(o->argument, "SEQ") == 0) {
		return set_number(a, o->name, value);
	} else {
		return set_time(a, o->name, value);
	}
	return 0;
}

/* The id of a run that was named in any way that other verbs take. */
static int run_id(const struct wv_paths *paths, const char *run, char ret[64])
{
	char dir[2 * WV_PATH_SIZE];
	int r = wv_find_run(paths, run, dir, sizeof(dir));
	size_t len = strlen(dir);

	while (r == 0 && len > 1 && dir[len - 1] == '/')
		dir[--len] = '\0';
	if (r < 0 ||
	    (size_t)snprintf(ret, 64, "%s", strrchr(dir, '/') ? strrchr(dir, '/') + 1 : dir) >= 64)
		return -ENOENT;
	return 0;
}

static int say(const struct wv_pack_result *res, int error)
{
	fprintf(stderr, "waveos-bpf evidence export: %s\n",
		res->error[0] ? res->error : strerror(-error));
	return error == -EACCES || error == -EPERM    ? WV_EXIT_DENIED
	       : error == -ENOPKG		      ? WV_EXIT_UNSUPPORTED
	       : error == -EINVAL || error == -ERANGE ? WV_EXIT_USAGE
	       : error == -ENOENT || error == -ENODATA || error == -EBADMSG ||
			       error == -EKEYREJECTED
		       ? WV_EXIT_FINDING
		       : WV_EXIT_INTERNAL;
}

static void print(const struct wv_cli *cli, const char *output, const struct wv_pack_range *g,
		  const struct wv_pack_result *res)
{
	struct json_object *o;

	if (!cli->json) {
		printf("%s: records %" PRIu64 " to %" PRIu64 ", %" PRIu64
		       " of them redacted; %" PRIu64 " bytes\nsha256 %s\n",
		       output, g->first_seq, g->last_seq, res->redacted, res->bytes, res->sha256);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	wv_json_str(o, "file", output);
	wv_json_str(o, "sha256", res->sha256);
	wv_json_u64(o, "bytes", res->bytes);
	wv_json_u64(o, "first_seq", g->first_seq);
	wv_json_u64(o, "last_seq", g->last_seq);
	wv_json_u64(o, "records", res->records);
	wv_json_u64(o, "redacted", res->redacted);
	wv_json_str(o, "run_id", g->run_id);
	wv_json_print(o);
	json_object_put(o);
}

int wv_evidence_export(struct wv_cli *cli, int argc, char **argv)
{
	struct arguments a = {.query = {.before_ns = 300000000000ULL, .after_ns = 60000000000ULL}};
	struct wv_pack_result res = {0};
	struct wv_config_error error = {.text = ""};
	struct wv_pack_range range;
	struct wv_progress progress;
	struct wv_config config;
	char id[64];
	int r = wv_cli_parse(cli, argc, argv,
			     "evidence export (--run RUN | --from SEQ [--to SEQ] | --incident SEQ "
			     "| --since TIME) -o FILE",
			     examples, options, set_option, &a);

	if (r < 0)
		return -r;
	if (argc != r || a.ways != 1 || !a.output || (a.query.to && !a.query.from)) {
		fprintf(stderr, "waveos-bpf evidence export: wants -o FILE and one of --run, "
				"--from, --incident, "
				"--since; --help has examples\n");
		return WV_EXIT_USAGE;
	}
	if (a.run && run_id(&cli->paths, a.run, id) < 0) {
		fprintf(stderr, "waveos-bpf evidence export: no run '%s'; runs are in %s/runs\n",
			a.run, cli->paths.state);
		return WV_EXIT_FINDING;
	}
	a.query.run_id = a.run ? id : NULL;
	r = wv_config_init(&config);
	if (r == 0)
		r = wv_config_load(&config, cli->paths.config, &error);
	if (r == -EINVAL) {
		fprintf(stderr, "waveos-bpf evidence export: %s\n", error.text);
		return WV_EXIT_USAGE;
	}
	if (r < 0 && r != -ENOENT)
		return say(&res, r);
	if (!a.has_profile)
		a.profile = (enum wv_redact_profile)config.redact_profile;
	progress = wv_progress_begin("evidence export", NULL);
	r = wv_pack_export(&wv_io_system, &cli->paths, &config,
			   &(struct wv_pack_order){.query = &a.query,
						   .profile = a.profile,
						   .output = a.output,
						   .reason = "manual",
						   .summary = wv_report_page},
			   &range, &res);
	wv_progress_end(&progress);
	wv_config_done(&config);
	if (r < 0)
		return say(&res, r);
	print(cli, a.output, &range, &res);
	return WV_EXIT_OK;
}
