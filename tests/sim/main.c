// SPDX-License-Identifier: GPL-2.0-only
/*
 * The crash simulator: runs scenarios and prints for each what was tried and what was found.
 * Exit: 0 no violation, 1 one at least, 2 usage. docs/crash-testing.md.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/explore.h"
#include "user/core/cleanup.h"

static const struct wv_sim_scenario *const scenarios[] = {
#define X(name) &wv_sim_##name,
#include "tests/sim/scenarios.def"
#undef X
};

static const char usage[] =
	"usage: sim [OPTIONS] [SCENARIO...]\n"
	"  --list            scenarios and planted bugs\n"
	"  --states N        distinct states after which a scenario is done (20000)\n"
	"  --rounds N        runs of a scenario at most, each with another seed (1000)\n"
	"  --seed N          of the first round (1)\n"
	"  --choices N       at one point of a run (200), --nested N: of a recovery (40)\n"
	"  --depth N         power cuts in a row (3)\n"
	"  --faults N        runs of each round in which calls fail: full disk, read-only, I/O\n"
	"                    error (2)\n"
	"  --show N          violations told in full (1), --stop: at the first one\n"
	"  --plant NAME[:N]  with a planted bug\n"
	"  --planted         finds the planted bugs that each scenario is to find\n"
	"  --syncs           leaves out each fsync of a run in turn, and shows which are missed\n";

/* A child runs it: a crash of production code is a violation like others. */
static int in_child(const struct wv_sim_scenario *sc, const struct wv_sim_limits *limits,
		    struct wv_sim_result *ret)
{
	int fds[2], status = 0;
	ssize_t n;
	pid_t pid;

	*ret = (struct wv_sim_result){0};
	fflush(stdout);
	if (pipe(fds) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		int r = wv_sim_explore(sc, limits, ret);

		fflush(stdout);
		_exit(r < 0							  ? 3
		      : write(fds[1], ret, sizeof(*ret)) == (ssize_t)sizeof(*ret) ? 0
										  : 4);
	}
	close(fds[1]);
	n = read(fds[0], ret, sizeof(*ret));
	close(fds[0]);
	(void)waitpid(pid, &status, 0);
	if (WIFSIGNALED(status)) {
		ret->violations = 1;
		snprintf(ret->why, sizeof(ret->why), "the program died: %s",
			 strsignal(WTERMSIG(status)));
		return 0;
	}
	return n == (ssize_t)sizeof(*ret) ? 0 : -EPROTO;
}

static void print_header(void)
{
	printf("%-16s %7s %9s %10s %10s %10s %9s %8s %7s\n", "scenario", "runs", "ops", "tried",
	       "opened", "distinct", "nested", "us/open", "wrong");
}

static void print_result(const char *name, const struct wv_sim_result *r)
{
	printf("%-16s %7" PRIu64 " %9" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %9" PRIu64
	       " %8.0f %7" PRIu64 "\n",
	       name, r->rounds, r->ops, r->tried, r->opened, r->distinct, r->nested,
	       r->opened ? (double)r->ns / 1e3 / (double)r->opened : 0.0, r->violations);
	if (r->violations)
		printf("    first: %s%s\n", r->why,
		       r->violations == r->out_of_order ? " (only where names survive out of order)"
							: "");
	fflush(stdout);
}

static bool wanted(const struct wv_sim_scenario *sc, char **names)
{
	for (char **n = names; *n; n++)
		if (strcmp(*n, sc->name) == 0)
			return true;
	return !*names;
}

static int run_all(char **names, const struct wv_sim_limits *limits)
{
	struct wv_sim_result sum = {0};

	print_header();
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		struct wv_sim_result r;
		int e;

		if (!wanted(scenarios[i], names))
			continue;
		e = in_child(scenarios[i], limits, &r);
		if (e < 0) {
			printf("%-16s could not run: %s\n", scenarios[i]->name, strerror(-e));
			r.violations++;
		} else {
			print_result(scenarios[i]->name, &r);
		}
		sum.ops += r.ops;
		sum.rounds += r.rounds;
		sum.tried += r.tried;
		sum.opened += r.opened;
		sum.distinct += r.distinct;
		sum.nested += r.nested;
		sum.violations += r.violations;
		sum.ns += r.ns;
	}
	print_result("total", &sum);
	printf("%.1f s\n", (double)sum.ns / 1e9);
	return sum.violations ? 1 : 0;
}

/* The planted bugs that a scenario is to find. Its own row says which: a log renames no files. */
static int find_planted(const struct wv_sim_scenario *sc, const struct wv_sim_limits *limits)
{
	struct wv_sim_limits l = *limits;
	int missed = 0;

	l.stop = true;
	l.show = 0;
	for (int k = 1; k < WV_SIM_PLANT_N; k++) {
		struct wv_sim_result r;

		if (!(sc->finds & 1U << k))
			continue;
		l.plant.kind = (enum wv_sim_plant_kind)k;
		if (in_child(sc, &l, &r) < 0 || !r.violations) {
			printf("%-12s %-14s NOT FOUND in %" PRIu64 " states\n", sc->name,
			       wv_sim_plant_names[k], r.distinct);
			missed++;
		} else {
			printf("%-12s %-14s found after %" PRIu64 " states: %.70s\n", sc->name,
			       wv_sim_plant_names[k], r.distinct, r.why);
		}
	}
	return missed;
}

static int run_planted(char **names, const struct wv_sim_limits *limits)
{
	int missed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++)
		if (wanted(scenarios[i], names))
			missed += find_planted(scenarios[i], limits);
	return missed ? 1 : 0;
}

/* Each fsync of the first run left out in turn: which of them does a check miss? */
static int run_syncs(char **names, const struct wv_sim_limits *limits)
{
	struct wv_sim_limits l = *limits;

	l.stop = true;
	l.show = 0;
	l.rounds = 1;
	l.faults = 0;
	l.plant.kind = WV_SIM_PLANT_ONE_SYNC;
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		struct wv_sim_result r = {.syncs = 1};

		if (!wanted(scenarios[i], names))
			continue;
		printf("%s:", scenarios[i]->name);
		for (l.plant.nth = 1; l.plant.nth <= r.syncs; l.plant.nth++)
			if (in_child(scenarios[i], &l, &r) == 0)
				printf(r.violations ? " %u" : " (%u)", l.plant.nth);
		printf("\n");
	}
	printf("in brackets: fsyncs that were left out without a violation\n");
	return 0;
}

static int list(void)
{
	static const char *const what[WV_SIM_PLANT_N] = {
#define X(id, name, text) [WV_SIM_PLANT_##id] = (text),
		WV_SIM_PLANTS(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++)
		printf("%-14s %s\n", scenarios[i]->name, scenarios[i]->what);
	printf("planted bugs:\n");
	for (int k = 1; k < WV_SIM_PLANT_N; k++)
		printf("%-14s %s\n", wv_sim_plant_names[k], what[k]);
	return 0;
}

static int parse_plant(const char *text, struct wv_sim_plant *ret)
{
	size_t len = strcspn(text, ":");

	for (int k = 0; k < WV_SIM_PLANT_N; k++)
		if (strlen(wv_sim_plant_names[k]) == len &&
		    strncmp(text, wv_sim_plant_names[k], len) == 0) {
			ret->kind = (enum wv_sim_plant_kind)k;
			ret->nth = text[len] ? (unsigned)strtoul(text + len + 1, NULL, 10) : 0;
			return 0;
		}
	return -EINVAL;
}

int main(int argc, char **argv)
{
	enum {
		LIST = 256,
		STATES,
		ROUNDS,
		SEED,
		CHOICES,
		NESTED,
		DEPTH,
		FAULTS,
		SHOW,
		STOP,
		PLANT,
		PLANTED,
		SYNCS
	};
	static const struct option options[] = {
		{"list", no_argument, NULL, LIST},
		{"states", required_argument, NULL, STATES},
		{"rounds", required_argument, NULL, ROUNDS},
		{"seed", required_argument, NULL, SEED},
		{"choices", required_argument, NULL, CHOICES},
		{"nested", required_argument, NULL, NESTED},
		{"depth", required_argument, NULL, DEPTH},
		{"faults", required_argument, NULL, FAULTS},
		{"show", required_argument, NULL, SHOW},
		{"stop", no_argument, NULL, STOP},
		{"plant", required_argument, NULL, PLANT},
		{"planted", no_argument, NULL, PLANTED},
		{"syncs", no_argument, NULL, SYNCS},
		{0},
	};
	struct wv_sim_limits l = {.distinct = 20000,
				  .rounds = 1000,
				  .seed = 1,
				  .choices = 200,
				  .nested = 40,
				  .depth = 3,
				  .faults = 2,
				  .show = 1};
	int (*run)(char **names, const struct wv_sim_limits *limits) = run_all;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t n = optarg ? strtoull(optarg, NULL, 10) : 0;

		switch (c) {
		case LIST:
			return list();
		case STATES:
			l.distinct = n;
			break;
		case ROUNDS:
			l.rounds = n;
			break;
		case SEED:
			l.seed = n;
			break;
		case CHOICES:
			l.choices = (unsigned)n;
			break;
		case NESTED:
			l.nested = (unsigned)n;
			break;
		case DEPTH:
			l.depth = (unsigned)n;
			break;
		case FAULTS:
			l.faults = (unsigned)n;
			break;
		case SHOW:
			l.show = (unsigned)n;
			break;
		case STOP:
			l.stop = true;
			break;
		case PLANT:
			if (parse_plant(optarg, &l.plant) < 0) {
				fprintf(stderr, "sim: no planted bug %s (--list)\n", optarg);
				return 2;
			}
			break;
		case PLANTED:
			run = run_planted;
			break;
		case SYNCS:
			run = run_syncs;
			break;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	return run(argv + optind, &l);
}
