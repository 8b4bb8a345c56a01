// SPDX-License-Identifier: GPL-2.0-only
/* top: live figures of every cgroup. This file: options, and the modes without a terminal. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/cmd/cmd.h"
#include "user/cmd/top_print.h"
#include "user/cmd/top_screen.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

/* How often a new tick is looked for. */
#define POLL_NS 20000000L
/* How much longer than its tick the agent may take before it counts as stuck. */
#define PATIENCE_NS 5000000000ULL

struct plan {
	struct wv_top_options options;
	uint64_t interval_ns; /* 0: every tick */
	uint64_t count, limit;
	bool once, json, counted, tree, flat;
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
	{0},
};

static const char examples[] =
	"  waveos-bpf top\n"
	"  waveos-bpf top --once --sort mem --limit 10\n"
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
	default:
		p->counted = true;
		return wv_parse_uint(value, &p->count) < 0 ? bad(o->name, "a number", value) : 0;
	}
}

/* Says why there is nothing to show; an exit code. */
static int explain(const struct wv_paths *paths, int error)
{
	int pid;

	if (error == -EACCES || error == -EPERM) {
		fprintf(stderr, "waveos-bpf top: may not read %s: run it as root\n",
			paths->runtime);
		return WV_EXIT_DENIED;
	}
	if (error == -EPROTO)
		fprintf(stderr,
			"waveos-bpf top: the agent is of another version than this program\n");
	else if (!wv_view_agent_runs(paths, &pid))
		fprintf(stderr,
			"waveos-bpf top: no agent runs (nothing holds %s/lock). Start: waveos-bpf "
			"attach\n",
			paths->runtime);
	else
		fprintf(stderr, "waveos-bpf top: agent %d publishes no sample: %s\n", pid,
			strerror(-error));
	return WV_EXIT_FINDING;
}

/* Waits until a sample is at least `after_ns` newer than the last one. */
static int next_sample(struct wv_view *v, const struct wv_paths *paths, uint64_t after_ns)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	uint64_t seen = v->head.mono_ns, start = wv_view_mono_ns();
	uint64_t patience = PATIENCE_NS + after_ns + 2 * v->head.tick_interval_ns;

	for (;;) {
		const struct wv_snapshot *h = v->map.head;
		int pid, r;

		/* a look at the published time; the sample is copied once it is new enough */
		if (!h || h->mono_ns > seen + after_ns) {
			r = wv_view_read(v, paths);
			if (r < 0)
				return r;
			if (v->head.mono_ns > seen + after_ns)
				return 0;
		}
		if (!wv_view_agent_runs(paths, &pid))
			return -ENOENT;
		if (wv_view_mono_ns() - start > patience)
			return -ETIMEDOUT;
		(void)nanosleep(&pause, NULL);
	}
}

static int run_plain(const struct plan *p, const struct wv_paths *paths)
{
	struct wv_snapshot before_head;
	struct wv_sample before = {0};
	struct wv_view v = {0};
	struct wv_top t = {0};
	uint64_t done = 0, after = p->interval_ns;
	int r = next_sample(&v, paths, 0);

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
			r = next_sample(&v, paths, after);
		if (r == 0)
			r = wv_top_build(&t, &v.sample, &before);
		if (r == 0)
			r = wv_top_arrange(&t, &p->options, &(struct wv_top_folds){0});
		if (r < 0)
			break;
		if (p->json)
			wv_top_print_json(&t, &v.head, &before_head, (unsigned)p->limit);
		else
			wv_top_print_table(&t, &v.head, &before_head, &p->options,
					   (unsigned)p->limit);
		done++;
		r = ferror(stdout) ? -EPIPE : 0;
	}
	wv_top_done(&t);
	wv_sample_done(&before);
	wv_view_done(&v);
	return r < 0 && r != -EPIPE ? explain(paths, r) : WV_EXIT_OK;
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
	if (!p.json && !p.once && !p.counted && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO)) {
		p.options.flat = p.flat;
		return wv_top_screen(&cli->paths, &p.options, p.interval_ns);
	}
	p.options.flat = !p.tree;
	return run_plain(&p, &cli->paths);
}
