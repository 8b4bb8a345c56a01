// SPDX-License-Identifier: GPL-2.0-only
/* waveos-bpf: one binary, one verb a file. This only dispatches. */
#include <stdio.h>
#include <string.h>

#include "user/cmd/cmd.h"
#include "user/cmd/guard.h"

static int usage(FILE *f, int exit_code)
{
	fprintf(f, "usage: waveos-bpf VERB [options]\n\nKeeps this machine inside a declared "
		   "safety envelope.\n\n");
	for (unsigned i = 0; i < wv_verbs_count; i++)
		fprintf(f, "  %-12s %s\n", wv_verbs[i].name, wv_verbs[i].summary);
	fprintf(f, "\nStart with: sudo waveos-bpf attach     Help of a verb: waveos-bpf VERB "
		   "--help\n");
	return exit_code;
}

int main(int argc, char **argv)
{
	struct wv_cli cli = {0};
	int code;

	if (argc < 2)
		return usage(stderr, WV_EXIT_USAGE);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0)
		return usage(stdout, WV_EXIT_OK);
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = (char[]){"version"};
	if (wv_paths_init(&cli.paths, NULL) < 0)
		return WV_EXIT_INTERNAL;
	if (wv_guard_verb(&cli, argc, argv, &code))
		return code;
	for (unsigned i = 0; i < wv_verbs_count; i++)
		if (strcmp(argv[1], wv_verbs[i].name) == 0)
			return wv_verbs[i].run(&cli, argc - 1, argv + 1);
	fprintf(stderr, "waveos-bpf: unknown verb '%s'; `waveos-bpf --help` lists all\n", argv[1]);
	return WV_EXIT_USAGE;
}
