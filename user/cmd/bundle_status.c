// SPDX-License-Identifier: GPL-2.0-only
/* bundle status: what is installed and in which state. Looks only; needs no agent. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/bundle_life.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"

#define VERB "bundle status"

static const struct wv_option options[] = {{0}};
static const char examples[] =
	"  waveos-bpf bundle status\n"
	"  waveos-bpf bundle status --json | jq '.slots[] | select(.active)'\n";

/* What the links say, which is what is used. */
static void linked(const struct wv_bundles *b, const struct wv_bundle_slot *slot,
		   char ret[WV_SHA256_HEX])
{
	ret[0] = '\0';
	(void)wv_store_current(&b->store, slot->kind, slot->name, ret);
}

static void print_json(const struct wv_bundles *b)
{
	struct json_object *o = wv_bundle_states_fields(&b->states), *slots, *slot;

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_get_ex(o, "slots", &slots);
	for (unsigned i = 0; i < b->states.n; i++) {
		const struct wv_bundle_entry *good = wv_bundle_good(&b->states.slots[i]);
		char id[WV_SHA256_HEX];

		slot = json_object_array_get_idx(slots, i);
		linked(b, &b->states.slots[i], id);
		wv_json_str(slot, "active", id);
		wv_json_str(slot, "last_known_good", good ? good->id : "");
	}
	wv_bundle_print_json(o);
}

static void print_text(const struct wv_bundles *b)
{
	for (unsigned i = 0; i < b->states.n; i++) {
		const struct wv_bundle_slot *slot = &b->states.slots[i];
		const struct wv_bundle_entry *good = wv_bundle_good(slot);
		char id[WV_SHA256_HEX];

		linked(b, slot, id);
		printf("%s/%s\n", wv_bundle_kinds[slot->kind], slot->name);
		for (unsigned k = 0; k < slot->n; k++) {
			const struct wv_bundle_entry *e = &slot->entries[k];

			printf("  %.12s  %-12s counter %-6llu %s", e->id, e->version,
			       (unsigned long long)e->counter, wv_bundle_state_names[e->state]);
			if (e->state == WV_BUNDLE_TRIAL)
				printf(" (start %u)", slot->boots);
			printf("%s%s%s", strcmp(e->id, id) == 0 ? ", in use" : "",
			       e == good ? ", last known good" : "", e->pinned ? ", pinned" : "");
			printf(e->cause[0] && e->state == WV_BUNDLE_ROLLED_BACK ? ": %s\n" : "\n",
			       e->cause);
		}
	}
}

int wv_bundle_status_cmd(struct wv_cli *cli, int argc, char **argv)
{
	struct wv_bundles b;
	int r = wv_cli_parse(cli, argc, argv, "bundle status", examples, options, NULL, NULL);

	if (r < 0)
		return -r;
	if (argc != r) {
		fprintf(stderr, "waveos-bpf " VERB ": takes no operand\n");
		return WV_EXIT_USAGE;
	}
	r = wv_bundles_open(&b, &wv_io_system, &cli->paths, "", false);
	if (r == -ENOENT) {
		printf(cli->json ? "{\"schema_version\":1,\"slots\":[]}\n"
				 : "no bundle was ever installed here\n");
		return WV_EXIT_OK;
	}
	if (r < 0)
		return wv_bundle_say(VERB, cli->paths.state, r, NULL);
	if (cli->json)
		print_json(&b);
	else
		print_text(&b);
	wv_bundles_close(&b);
	return WV_EXIT_OK;
}
