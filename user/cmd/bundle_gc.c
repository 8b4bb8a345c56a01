// SPDX-License-Identifier: GPL-2.0-only
/* bundle gc: removes what nothing needs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/bundle_life.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"

#define VERB "bundle gc"

struct args {
	bool dry_run, pin;
	const char *id; /* to pin or unpin */
};

static const struct wv_option options[] = {
	{"dry-run", 'n', NULL, "tell what would be removed, remove nothing"},
	{"pin", 0, "ID", "keep this bundle until it is unpinned, and remove nothing now"},
	{"unpin", 0, "ID", "the contrary"},
	{0},
};
static const char examples[] = "  waveos-bpf bundle gc --dry-run\n"
			       "  waveos-bpf bundle gc --pin 3f2a9c\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct args *a = ctx;

	if (strcmp(o->name, "dry-run") == 0) {
		a->dry_run = true;
		return 0;
	}
	a->pin = strcmp(o->name, "pin") == 0;
	a->id = value;
	return 0;
}

struct told {
	struct wv_bundles *b;
	struct json_object *list; /* NULL: text */
	bool dry_run;
	unsigned n;
	uint64_t bytes;
};

static void tell(void *ctx, const struct wv_bundle_slot *slot, const struct wv_bundle_entry *e)
{
	struct told *t = ctx;
	struct wv_manifest m;
	uint64_t bytes = 0;

	if (wv_store_manifest(&t->b->store, e->id, &m) == 0) {
		bytes = wv_bundle_bytes(&m);
		wv_manifest_done(&m);
	}
	t->n++;
	t->bytes += bytes;
	if (!t->list) {
		printf("%s %s/%s %s (%.12s, %s)\n", t->dry_run ? "would remove" : "remove",
		       wv_bundle_kinds[slot->kind], slot->name, e->version, e->id,
		       wv_bundle_state_names[e->state]);
		return;
	}
	json_object_array_add(t->list, json_object_new_string(e->id));
}

/* The bundle whose id begins with the text. */
static int set_pin(struct wv_bundles *b, const struct args *a)
{
	const struct wv_bundle_slot *slot = NULL;
	const struct wv_bundle_entry *e = NULL;
	unsigned found = 0;

	for (unsigned i = 0; i < b->states.n; i++)
		for (unsigned k = 0; k < b->states.slots[i].n; k++)
			if (strncmp(b->states.slots[i].entries[k].id, a->id, strlen(a->id)) == 0) {
				slot = &b->states.slots[i];
				e = &slot->entries[k];
				found++;
			}
	if (found != 1) {
		fprintf(stderr, "waveos-bpf " VERB ": %u bundles have an id that begins with %s\n",
			found, a->id);
		return WV_EXIT_USAGE;
	}
	found = (unsigned)-wv_bundles_pin(b, slot->kind, slot->name, e->id, a->pin);
	return found ? wv_bundle_say(VERB, a->id, -(int)found, NULL) : WV_EXIT_OK;
}

static int collect(const struct wv_cli *cli, struct wv_bundles *b, const struct args *a)
{
	struct told t = {.b = b, .dry_run = a->dry_run};
	struct json_object *o;
	int r;

	t.list = cli->json ? json_object_new_array() : NULL;
	r = wv_bundles_collect(b, a->dry_run, tell, &t);
	if (r < 0) {
		json_object_put(t.list);
		return wv_bundle_say(VERB, cli->paths.state, r, NULL);
	}
	if (!t.list) {
		printf("%u bundles, %.1f MiB\n", t.n, (double)t.bytes / (1 << 20));
		return WV_EXIT_OK;
	}
	o = json_object_new_object();
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(o, "dry_run", json_object_new_boolean(a->dry_run));
	json_object_object_add(o, "bundles", t.list);
	wv_json_u64(o, "bytes", t.bytes);
	wv_bundle_print_json(o);
	return WV_EXIT_OK;
}

int wv_bundle_gc_cmd(struct wv_cli *cli, int argc, char **argv)
{
	struct args a = {.id = NULL};
	struct wv_bundles b;
	int r = wv_cli_parse(cli, argc, argv, "bundle gc [--dry-run] [--pin ID] [--unpin ID]",
			     examples, options, set_option, &a);

	if (r < 0)
		return -r;
	if (argc != r) {
		fprintf(stderr, "waveos-bpf " VERB ": takes no operand\n");
		return WV_EXIT_USAGE;
	}
	r = wv_bundle_open_life(VERB, cli, &b);
	if (r != WV_EXIT_OK)
		return r;
	r = a.id ? set_pin(&b, &a) : collect(cli, &b, &a);
	wv_bundles_close(&b);
	return r;
}
