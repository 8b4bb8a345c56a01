// SPDX-License-Identifier: GPL-2.0-only
/* The table of verbs, and the parser of their options. */
#include "user/cmd/cmd.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

const struct wv_verb wv_verbs[] = {
#define WV_VERB(name, summary) {#name, summary, wv_cmd_##name},
#include "waveos/verbs.def"
#undef WV_VERB
};
const unsigned wv_verbs_count = ARRAY_SIZE(wv_verbs);

#define MAX_OPTIONS 32
/* Values of getopt for long options; letters stay below. */
#define FIRST_VALUE 256

const struct wv_option wv_common_options[] = {
	{"json", 0, NULL, "print JSON with schema_version instead of text"},
	{"root", 0, "DIR", "prefix of configuration, state, runtime folder and pins"},
	{"help", 'h', NULL, "print this help"},
	{0},
};

/* Set while verbs are asked what they take: see wv_cli_walk(). */
static struct {
	void (*each)(void *ctx, const struct wv_about *about);
	void *ctx;
	const char *summary; /* of the verb that is being asked */
} walk;

static void print_row(const struct wv_option *o)
{
	char left[48];

	snprintf(left, sizeof(left), "%s%c%s --%s%s%s", o->letter ? "-" : " ", o->letter ?: ' ',
		 o->letter ? "," : " ", o->name, o->argument ? " " : "", o->argument ?: "");
	printf("  %-28s %s\n", left, o->help);
}

static void print_help(const char *verb, const char *usage, const char *examples,
		       const struct wv_option *options)
{
	printf("usage: waveos-bpf %s\n\n", usage);
	for (unsigned i = 0; i < wv_verbs_count; i++)
		if (strcmp(wv_verbs[i].name, verb) == 0)
			printf("%s\n\nOptions:\n", wv_verbs[i].summary);
	for (const struct wv_option *o = options; o && o->name; o++)
		print_row(o);
	for (const struct wv_option *o = wv_common_options; o->name; o++)
		print_row(o);
	if (examples)
		printf("\nExamples:\n%s", examples);
	printf("\nExit codes: 0 ok, 1 finding, 2 usage, 3 unsupported here, 4 denied, 5 "
	       "internal\n");
}

static unsigned add_rows(struct option *longs, char *letters, const struct wv_option *rows,
			 unsigned n, int base)
{
	for (int i = 0; rows && rows[i].name && n < MAX_OPTIONS; i++) {
		longs[n++] = (struct option){rows[i].name,
					     rows[i].argument ? required_argument : no_argument,
					     NULL, base + i};
		if (rows[i].letter)
			sprintf(letters + strlen(letters), "%c%s", rows[i].letter,
				rows[i].argument ? ":" : "");
	}
	return n;
}

static const struct wv_option *row_of(int value, const struct wv_option *options)
{
	if (value >= FIRST_VALUE + MAX_OPTIONS)
		return &wv_common_options[value - FIRST_VALUE - MAX_OPTIONS];
	if (value >= FIRST_VALUE)
		return &options[value - FIRST_VALUE];
	for (const struct wv_option *o = options; o && o->name; o++)
		if (o->letter == value)
			return o;
	for (const struct wv_option *o = wv_common_options; o->name; o++)
		if (o->letter == value)
			return o;
	return NULL;
}

static int set_common(struct wv_cli *cli, const struct wv_option *o, const char *value)
{
	if (strcmp(o->name, "json") == 0)
		cli->json = true;
	else if (strcmp(o->name, "root") == 0 && wv_paths_init(&cli->paths, value) < 0) {
		fprintf(stderr, "waveos-bpf: --root is too long (at most %d bytes)\n",
			WV_PATH_SIZE / 2);
		return WV_EXIT_USAGE;
	}
	return 0;
}

int wv_cli_parse(struct wv_cli *cli, int argc, char **argv, const char *usage, const char *examples,
		 const struct wv_option *options,
		 int (*set)(void *ctx, const struct wv_option *o, const char *value), void *ctx)
{
	struct option longs[2 * MAX_OPTIONS + 1] = {0};
	char letters[4 * MAX_OPTIONS] = "";
	unsigned n;
	int value, r;

	if (walk.each) {
		walk.each(walk.ctx,
			  &(struct wv_about){argv[0], walk.summary, usage, examples, options});
		return -WV_EXIT_USAGE;
	}
	n = add_rows(longs, letters, options, 0, FIRST_VALUE);
	add_rows(longs, letters, wv_common_options, n, FIRST_VALUE + MAX_OPTIONS);
	optind = 0;
	while ((value = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct wv_option *o = value == '?' ? NULL : row_of(value, options);

		if (!o) {
			fprintf(stderr, "See: waveos-bpf %s --help\n", argv[0]);
			return -WV_EXIT_USAGE;
		}
		if (strcmp(o->name, "help") == 0) {
			print_help(argv[0], usage, examples, options);
			exit(WV_EXIT_OK);
		}
		r = o >= wv_common_options && o < wv_common_options + ARRAY_SIZE(wv_common_options)
			    ? set_common(cli, o, optarg)
			    : set(ctx, o, optarg);
		if (r)
			return -r;
	}
	return optind;
}

static int print_subverbs(FILE *f, const char *verb, const struct wv_subverb *rows,
			  const char *examples, int code)
{
	int width = 0;

	for (const struct wv_subverb *v = rows; v->name; v++)
		if ((int)strlen(v->name) > width)
			width = (int)strlen(v->name);
	fprintf(f, "usage: waveos-bpf %s SUBVERB [options]\n\n", verb);
	for (; rows->name; rows++)
		fprintf(f, "  %-*s  %s\n", width, rows->name, rows->summary);
	fprintf(f, "\nExamples:\n%s\nHelp of one: waveos-bpf %s SUBVERB --help\n", examples, verb);
	return code;
}

static void walk_subverbs(const char *verb, const struct wv_subverb *rows, const char *examples,
			  struct wv_cli *cli)
{
	char name[48], *argv[] = {name, NULL};

	walk.each(walk.ctx, &(struct wv_about){verb, walk.summary, NULL, examples, NULL});
	for (; rows->name; rows++) {
		snprintf(name, sizeof(name), "%s %s", verb, rows->name);
		walk.summary = rows->summary;
		(void)rows->run(cli, 1, argv);
	}
}

void wv_cli_walk(void (*each)(void *ctx, const struct wv_about *about), void *ctx)
{
	walk.each = each;
	walk.ctx = ctx;
	for (unsigned i = 0; i < wv_verbs_count; i++) {
		char name[48], *argv[] = {name, NULL};
		struct wv_cli cli = {0};

		snprintf(name, sizeof(name), "%s", wv_verbs[i].name);
		walk.summary = wv_verbs[i].summary;
		(void)wv_verbs[i].run(&cli, 1, argv);
	}
	walk.each = NULL;
}

int wv_cli_dispatch(const char *verb, const struct wv_subverb *rows, const char *examples,
		    struct wv_cli *cli, int argc, char **argv)
{
	char name[48];

	if (walk.each) {
		walk_subverbs(verb, rows, examples, cli);
		return WV_EXIT_USAGE;
	}
	if (argc < 2)
		return print_subverbs(stderr, verb, rows, examples, WV_EXIT_USAGE);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return print_subverbs(stdout, verb, rows, examples, WV_EXIT_OK);
	for (const struct wv_subverb *v = rows; v->name; v++)
		if (strcmp(argv[1], v->name) == 0) {
			snprintf(name, sizeof(name), "%s %s", verb, v->name);
			argv[1] = name;
			return v->run(cli, argc - 1, argv + 1);
		}
	fprintf(stderr, "waveos-bpf %s: unknown '%s'; `waveos-bpf %s --help` lists all\n", verb,
		argv[1], verb);
	return WV_EXIT_USAGE;
}
