// SPDX-License-Identifier: GPL-2.0-only
/* bundle confirm: the owner's word instead of the health rules'. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/bundle_life.h"
#include "user/core/cleanup.h"

#define VERB "bundle confirm"

static const struct wv_option options[] = {{0}};
static const char examples[] = "  waveos-bpf bundle confirm app/shop\n";

static int confirm(struct wv_cli *cli, const char *what)
{
	const struct wv_bundle_slot *slot;
	struct wv_bundles b;
	int r = wv_bundle_open_life(VERB, cli, &b);

	if (r != WV_EXIT_OK)
		return r;
	slot = wv_bundle_find_slot(VERB, &b.states, what);
	if (!slot) {
		r = WV_EXIT_USAGE;
	} else {
		r = wv_bundles_confirm(&b, slot->kind, slot->name, "by hand");
		if (r == -ENOENT) {
			fprintf(stderr, "waveos-bpf " VERB ": %s: nothing is in trial\n", what);
			r = WV_EXIT_FINDING;
		} else if (r < 0) {
			r = wv_bundle_say(VERB, what, r, NULL);
		}
	}
	wv_bundles_close(&b);
	if (r == WV_EXIT_OK)
		(void)wv_bundle_agent(cli);
	return r;
}

int wv_bundle_confirm_cmd(struct wv_cli *cli, int argc, char **argv)
{
	int r = wv_cli_parse(cli, argc, argv, "bundle confirm KIND/NAME", examples, options, NULL,
			     NULL);

	if (r < 0)
		return -r;
	if (argc - r != 1) {
		fprintf(stderr, "waveos-bpf " VERB ": wants KIND/NAME\n");
		return WV_EXIT_USAGE;
	}
	return confirm(cli, argv[r]);
}
