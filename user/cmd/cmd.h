/* SPDX-License-Identifier: GPL-2.0-only */
/* What every verb gets and returns. One verb a file: user/cmd/<verb>.c, registered in verbs.def. */
#ifndef WV_CMD_CMD_H
#define WV_CMD_CMD_H

#include <stdbool.h>
#include <stddef.h>

#include "user/core/paths.h"

/* Exit codes, the same for every verb (docs/exit-codes.md). */
enum wv_exit {
	WV_EXIT_OK = 0,
	WV_EXIT_FINDING =
		1,	   /* what was asked for was found wanting: no agent runs, a test failed */
	WV_EXIT_USAGE = 2, /* wrong arguments or configuration */
	WV_EXIT_UNSUPPORTED = 3, /* this kernel or machine cannot */
	WV_EXIT_DENIED = 4,	 /* a right is missing, or another agent holds the lock */
	WV_EXIT_INTERNAL = 5,
};

/* Options that every verb has: --json, --root DIR, --help. Parsed before the verb's own. */
struct wv_cli {
	struct wv_paths paths;
	bool json;
};

struct wv_verb {
	const char *name, *summary;
	int (*run)(struct wv_cli *cli, int argc, char **argv);
};
extern const struct wv_verb wv_verbs[];
extern const unsigned wv_verbs_count;

/* A verb's own option: one row gives parser and help. */
struct wv_option {
	const char *name;     /* long name without dashes */
	char letter;	      /* or 0 */
	const char *argument; /* name of its argument in the help, NULL if it takes none */
	const char *help;
};
/*
 * Parses argv by rows (last has name NULL). Calls set(ctx, row, value) for each option given; set
 * returns 0 or an exit code (having said why). --help prints usage, summary, rows and examples, and
 * exits 0. Returns the index of the first operand, or -exit code.
 */
int wv_cli_parse(struct wv_cli *cli, int argc, char **argv, const char *usage, const char *examples,
		 const struct wv_option *options,
		 int (*set)(void *ctx, const struct wv_option *o, const char *value), void *ctx);

/*
 * What a verb takes, as the documents, completion and tests see it. Name and usage are valid during
 * the call, the rest is static data of the verb.
 */
struct wv_about {
	const char *name;    /* "attach", "bundle root init" */
	const char *summary; /* one line without a full stop */
	const char *usage;   /* what follows "waveos-bpf"; NULL for a verb of verbs */
	const char *examples;
	const struct wv_option *options; /* its own, the last has name NULL; NULL: none */
};
/*
 * Calls each for every verb and subverb, a verb of verbs before what is in it. Nothing is run: each
 * verb gets as far as its parser, which is asked what it knows.
 */
void wv_cli_walk(void (*each)(void *ctx, const struct wv_about *about), void *ctx);
/* The options of every verb; the last has name NULL. */
extern const struct wv_option wv_common_options[];

/* A verb of verbs: one row each, the last has name NULL. */
struct wv_subverb {
	const char *name, *summary;
	int (*run)(struct wv_cli *cli, int argc, char **argv);
};
/*
 * Runs the one that argv[1] names, with argv[0] "<verb> <name>"; without one, or with --help,
 * prints what there is, and `examples`. verb: "policy", "bundle root". Returns an exit code.
 */
int wv_cli_dispatch(const char *verb, const struct wv_subverb *rows, const char *examples,
		    struct wv_cli *cli, int argc, char **argv);

/* runs.c: folder of a recorded run, given as an id, a folder or `latest`. 0, -ENOENT,
 * -ENAMETOOLONG. */
int wv_find_run(const struct wv_paths *paths, const char *run, char *ret, size_t size);

#define WV_VERB(name, summary) int wv_cmd_##name(struct wv_cli *cli, int argc, char **argv);
#include "waveos/verbs.def"
#undef WV_VERB

#endif
