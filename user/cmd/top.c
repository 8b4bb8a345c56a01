// SPDX-License-Identifier: GPL-2.0-only
/* top: live figures of every cgroup. This file: options, and the modes without a terminal. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/cmd/gpu_line.h"
#include "user/cmd/cmd.h"
#include "user/cmd/top_at.h"
#include "user/cmd/top_print.h"
#include "user/cmd/top_screen.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

struct plan {
	struct wv_top_options options;
	uint64_t interval_ns; /* 0: every tick */
	uint64_t count, limit;
	bool once, json, counted, tree, flat, at;
	uint64_t at_wall_ns;
};

static const struct wv_option options[] = {
	{"once", '1', NULL, "print one table and exit; needs no terminal"},
	{"sort", 's', "KEY", "cpu, runq, mem, io, rx, tx, tasks, psi or name (default: cpu)"},
	{"filter", 'f', "TEXT", "only cgroups whose path contains this"},
	{"limit", 'l', "N", "at most N rows"},
	{"flat", 0, NULL, "rows by their own tasks (default with --once and --json)"},
	{"tree", 0, NULL, "a tree with sums of the descendants (default on a terminal)"},
	{"interval", 'i', "TIME", "time between two outputs (default: the agent's tick)"},
	{"count", 'n', "N", "this many outputs, then exit (0: until interrupted)"},
	{"at", 0, "TIME", "as it was: so long ago (-3m), or at a time (2026-01-31T12:00:00Z)"},
	{0},
};

static const char examples[] =
	"  waveos-bpf top\n"
	"  waveos-bpf top --once --sort mem --limit 10\n"
	"  waveos-bpf top --at -3m --sort psi\n"
	"  waveos-bpf top --json --interval 5s --count 0 | jq '.rows[0].cgroup'\n";

static int bad(const char *option, const char *wants, const char *value)
{
	fprintf(stderr, "waveos-bpf top: --%s wants %s, not '%s'\n", option, wants, value);
	return WV_EXIT_USAGE;
}

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct plan *p = ctx;
	int sort;

	switch (o - options) {
	case 0:
		p->once = true;
		return 0;
	case 1:
		sort = wv_top_sort_by_name(value);
		if (sort < 0)
			return bad(o->name, "one of cpu runq mem io rx tx tasks psi name", value);
		p->options.sort = (unsigned)sort;
		return 0;
	case 2:
		snprintf(p->options.filter, sizeof(p->options.filter), "%s", value);
		return 0;
	case 3:
		return wv_parse_uint(value, &p->limit) < 0 ? bad(o->name, "a number", value) : 0;
	case 4:
		p->flat = true;
		return 0;
	case 5:
		p->tree = true;
		return 0;
	case 6:
		return wv_parse_duration(value, &p->interval_ns) < 0
			       ? bad(o->name, "a time such as 2s", value)
			       : 0;
	case 8:
		p->at = true;
		return wv_top_parse_at(value, wv_view_wall_ns(), &p->at_wall_ns) < 0
			       ? bad(o->name, "a time such as -3m or 2026-01-31T12:00:00Z", value)
			       : 0;
	default:
		p->counted = true;
		return wv_parse_uint(value, &p->count) < 0 ? bad(o->name, "a number", value) : 0;
	}
}

/* {"gpu": ...} where the agent watches GPUs. */
static struct json_object *more_of(const struct wv_paths *paths)
{
	struct json_object *gpus = wv_gpu_line_json(paths), *o = NULL;

	if (gpus) {
		o = json_object_new_object();
		json_object_object_add(o, "gpu", gpus);
	}
	return o;
}

static void print_gpus(const struct wv_paths *paths)
{
	char line[512];

	if (wv_gpu_line(paths, line, sizeof(line)))
		puts(line);
}

static int run_plain(const struct plan *p, const struct wv_paths *paths)
{
	struct wv_snapshot before_head;
	struct wv_sample before = {0};
	struct wv_view v = {0};
	struct wv_top t = {0};
	uint64_t done = 0, after = p->interval_ns;
	int r = wv_view_next(&v, paths, 0);

	/* a little less, so that an interval of n ticks is met by the n-th */
	if (after > v.head.tick_interval_ns / 2)
		after -= v.head.tick_interval_ns / 2;
	while (r == 0 && (!p->count || done < p->count)) {
		struct wv_sample swap = before;

		before_head = v.head;
		before = v.sample;
		v.sample = swap;
		if (v.sample.max_rows < before.max_rows) {
			wv_sample_done(&v.sample);
			r = wv_sample_init(&v.sample, before.max_rows);
		}
		if (r == 0)
			r = wv_view_next(&v, paths, after);
		if (r == 0)
			r = wv_top_build(&t, &v.sample, &before);
		if (r == 0)
			r = wv_top_arrange(&t, &p->options, &(struct wv_top_folds){0});
		if (r < 0)
			break;
		if (p->json)
			wv_top_print_json(&t, &v.head, &before_head, (unsigned)p->limit,
					  more_of(paths));
		if (!p->json) {
			print_gpus(paths);
			wv_top_print_table(&t, &v.head, &before_head, &p->options,
					   (unsigned)p->limit);
		}
		done++;
		r = ferror(stdout) ? -EPIPE : 0;
	}
	wv_top_done(&t);
	wv_sample_done(&before);
	wv_view_done(&v);
	return r < 0 && r != -EPIPE ? wv_view_explain("top", paths, r) : WV_EXIT_OK;
}

int wv_cmd_top(struct wv_cli *cli, int argc, char **argv)
{
	struct plan p = {.count = 1};
	int r = wv_cli_parse(cli, argc, argv, "top [--once] [--sort KEY] [--filter TEXT] [--json]",
			     examples, options, set_option, &p);

	if (r < 0)
		return -r;
	if (r < argc) {
		fprintf(stderr, "waveos-bpf top: takes no operand, but got '%s'; see --filter\n",
			argv[r]);
		return WV_EXIT_USAGE;
	}
	p.json = cli->json;
	p.options.flat = !p.tree;
	if (p.at)
		return wv_top_at(&cli->paths, &p.options, p.at_wall_ns, (unsigned)p.limit, p.json);
	if (!p.json && !p.once && !p.counted && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO)) {
		p.options.flat = p.flat;
		return wv_top_screen(&cli->paths, &p.options, p.interval_ns);
	}
	return run_plain(&p, &cli->paths);
}
