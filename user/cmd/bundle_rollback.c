// SPDX-License-Identifier: GPL-2.0-only
/* bundle rollback: back to the last known good, and waits until it is in use. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/bundle_life.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"

#define VERB "bundle rollback"
#define WAIT_NS 30000000000ULL

struct args {
	bool nothing;
};

static const struct wv_option options[] = {
	{"to-nothing", 0, NULL, "also where nothing is left to go back to"},
	{0},
};
static const char examples[] = "  waveos-bpf bundle rollback app/shop\n"
			       "  waveos-bpf bundle rollback policy/web --to-nothing\n";

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value _unused_)
{
	((struct args *)ctx)->nothing = true;
	return 0;
}

struct done {
	enum wv_bundle_kind kind;
	char name[WV_BUNDLE_NAME_SIZE], from[WV_SHA256_HEX], to[WV_SHA256_HEX];
};

static int switch_back(struct wv_cli *cli, const struct args *a, const char *what, struct done *ret)
{
	const struct wv_bundle_entry *from = NULL, *to;
	const struct wv_bundle_slot *slot;
	struct wv_bundles b;
	int r = wv_bundle_open_life(VERB, cli, &b);

	if (r != WV_EXIT_OK)
		return r;
	slot = wv_bundle_find_slot(VERB, &b.states, what);
	if (!slot) {
		wv_bundles_close(&b);
		return WV_EXIT_USAGE;
	}
	from = wv_bundle_active(slot);
	if (from) {
		ret->kind = slot->kind;
		snprintf(ret->name, sizeof(ret->name), "%s", slot->name);
		snprintf(ret->from, sizeof(ret->from), "%s", from->id);
	}
	r = wv_bundles_roll_back(&b, slot->kind, slot->name, "by hand", !a->nothing);
	to = r == 0 ? wv_bundle_active(slot) : NULL;
	snprintf(ret->to, sizeof(ret->to), "%s", to ? to->id : "");
	wv_bundles_close(&b);
	if (r == -ENOENT || r == -ENODATA) {
		fprintf(stderr, "waveos-bpf " VERB ": %s: %s\n", what,
			r == -ENOENT ? "nothing is in use"
				     : "there is no last known good; --to-nothing stops using it");
		return WV_EXIT_FINDING;
	}
	return r < 0 ? wv_bundle_say(VERB, what, r, NULL) : WV_EXIT_OK;
}

static int roll_back(struct wv_cli *cli, const struct args *a, const char *what)
{
	uint64_t begin = wv_view_mono_ns(), took;
	struct wv_bundle_end end;
	struct done done = {.kind = WV_BUNDLE_APP};
	int r = switch_back(cli, a, what, &done);

	if (r != WV_EXIT_OK)
		return r;
	r = wv_bundle_wait(cli, done.kind, done.name, done.from, WAIT_NS, &end);
	took = wv_view_mono_ns() - begin;
	if (r < 0)
		return wv_bundle_say(VERB, "hooks of the rollback", r, NULL);
	if (cli->json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "schema_version", json_object_new_int(1));
		wv_json_str(o, "kind", wv_bundle_kinds[done.kind]);
		wv_json_str(o, "name", done.name);
		wv_json_str(o, "from", done.from);
		wv_json_str(o, "to", done.to);
		wv_json_u64(o, "took_ns", took);
		wv_bundle_print_json(o);
	} else {
		printf("%s/%s: %.12s -> %.12s in %.0f ms\n", wv_bundle_kinds[done.kind], done.name,
		       done.from, done.to[0] ? done.to : "nothing", (double)took / 1e6);
	}
	return WV_EXIT_OK;
}

int wv_bundle_rollback_cmd(struct wv_cli *cli, int argc, char **argv)
{
	struct args a = {.nothing = false};
	int r = wv_cli_parse(cli, argc, argv, "bundle rollback KIND/NAME [--to-nothing]", examples,
			     options, set_option, &a);

	if (r < 0)
		return -r;
	if (argc - r != 1) {
		fprintf(stderr, "waveos-bpf " VERB ": wants KIND/NAME\n");
		return WV_EXIT_USAGE;
	}
	return roll_back(cli, &a, argv[r]);
}
