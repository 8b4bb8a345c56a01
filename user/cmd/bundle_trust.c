// SPDX-License-Identifier: GPL-2.0-only
/* bundle root show, pin and update. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/bundle_cmd.h"
#include "user/cmd/bundle_root.h"
#include "user/core/cleanup.h"

/* show --------------------------------------------------------------------------------------- */

struct shown {
	struct wv_root root, old;
	struct wv_dsse d;
	struct wv_manifest_error error;
	bool has_old;
	int good; /* 0, or why it is not */
};

static int load(const char *path, const char *old, struct shown *s)
{
	_cleanup_free_ char *text = NULL, *old_text = NULL;
	size_t len, old_len;
	int r = wv_bundle_load_file(path, WV_ROOT_MAX, &text, &len);

	if (r == 0 && old) {
		s->has_old = true;
		r = wv_bundle_load_file(old, WV_ROOT_MAX, &old_text, &old_len);
		if (r == 0)
			r = wv_root_open(NULL, old_text, old_len, &s->old, &s->error);
	}
	if (r == 0)
		r = wv_dsse_parse(text, len, WV_TYPE_ROOT, false, &s->d, &s->error);
	if (r == 0)
		r = wv_root_parse(s->d.payload, s->d.len, &s->root, &s->error);
	if (r == 0)
		s->good = wv_root_open(old ? &s->old : NULL, text, len, &s->root, &s->error);
	return r;
}

static uint64_t signers(const struct shown *s, const struct wv_root *root)
{
	uint64_t mask = 0;

	(void)wv_root_signers(root, WV_ROLE_ROOT, &s->d, WV_TYPE_ROOT, s->d.payload, s->d.len,
			      &mask);
	return mask;
}

static void print_text(const struct shown *s)
{
	const struct wv_root *root = &s->root;
	uint64_t mask = signers(s, root);

	printf("root %llu, made ", (unsigned long long)root->version);
	wv_bundle_print_time(stdout, root->created_s);
	printf(", good until ");
	wv_bundle_print_time(stdout, root->expires_s);
	printf("\n\nkeys\n");
	for (unsigned i = 0; i < root->n_keys; i++)
		printf("  %-16s %s%s\n", root->keys[i].name, root->keys[i].id,
		       mask >> i & 1 ? "  signed" : "");
	printf("roles\n");
	for (int role = 0; role < WV_ROLES; role++) {
		const char *separator = "";

		printf("  %-8s %u of ", wv_role_names[role], root->roles[role].threshold);
		for (unsigned i = 0; i < root->n_keys; i++)
			if (root->roles[role].keys >> i & 1) {
				printf("%s%s", separator, root->keys[i].name);
				separator = ", ";
			}
		printf("\n");
	}
	for (unsigned i = 0; i < root->n_revoked; i++)
		printf("%s  %s\n", i ? "" : "revoked\n", root->revoked[i]);
	if (s->has_old)
		printf("signed by %d of %u of root %llu\n",
		       __builtin_popcountll(signers(s, &s->old)),
		       s->old.roles[WV_ROLE_ROOT].threshold, (unsigned long long)s->old.version);
	printf("signed by %d of %u of its own: %s\n", __builtin_popcountll(mask),
	       root->roles[WV_ROLE_ROOT].threshold, s->good ? s->error.text : "good");
}

static void print_json(const struct shown *s)
{
	struct json_object *o = json_object_new_object(), *signed_by = json_object_new_array();
	uint64_t mask = signers(s, &s->root);

	for (unsigned i = 0; i < s->root.n_keys; i++)
		if (mask >> i & 1)
			json_object_array_add(signed_by,
					      json_object_new_string(s->root.keys[i].name));
	json_object_object_add(o, "root", json_tokener_parse(s->d.payload));
	json_object_object_add(o, "signed_by", signed_by);
	json_object_object_add(o, "good", json_object_new_boolean(!s->good));
	if (s->good)
		json_object_object_add(o, "why", json_object_new_string(s->error.text));
	wv_bundle_print_json(o);
}

int wv_root_print(struct wv_cli *cli, const char *path, const char *old)
{
	_cleanup_free_ struct shown *s = calloc(1, sizeof(*s));
	int r = s ? load(path, old, s) : -ENOMEM;

	if (r < 0) {
		if (s)
			wv_dsse_done(&s->d);
		return wv_bundle_say("bundle root show", path, r, s ? s->error.text : NULL);
	}
	if (cli->json)
		print_json(s);
	else
		print_text(s);
	wv_dsse_done(&s->d);
	return s->good ? WV_EXIT_FINDING : WV_EXIT_OK;
}

static const struct wv_option show_options[] = {
	{"after", 'a', "OLD", "whether it follows that root, too"},
	{0},
};

static int set_show(void *ctx, const struct wv_option *o _unused_, const char *value)
{
	*(const char **)ctx = value;
	return 0;
}

static const char show_examples[] =
	"  waveos-bpf bundle root show root.1.json\n"
	"  waveos-bpf bundle root show root.2.json --after root.1.json\n"
	"  waveos-bpf bundle root show    # the one that this device uses\n";

int wv_root_show(struct wv_cli *cli, int argc, char **argv)
{
	const char *old = NULL;
	char path[WV_PATH_SIZE + 32];
	int r = wv_cli_parse(cli, argc, argv, "bundle root show [FILE] [--after OLD]",
			     show_examples, show_options, set_show, &old);

	if (r < 0)
		return -r;
	if (argc - r > 1) {
		fprintf(stderr, "waveos-bpf bundle root show: takes one file; see --help\n");
		return WV_EXIT_USAGE;
	}
	snprintf(path, sizeof(path), "%s/" WV_TRUST_DIR "/root.json", cli->paths.state);
	return wv_root_print(cli, r < argc ? argv[r] : path, old);
}

/* pin, update -------------------------------------------------------------------------------- */

static const char pin_examples[] = "  waveos-bpf bundle root pin root.1.json\n";
static const char update_examples[] = "  waveos-bpf bundle root update root.2.json root.3.json\n";

int wv_root_pin(struct wv_cli *cli, int argc, char **argv)
{
	struct wv_manifest_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = wv_cli_parse(cli, argc, argv, "bundle root pin FILE", pin_examples, NULL, NULL,
			     NULL);
	const char *path;

	if (r < 0)
		return -r;
	if (argc - r != 1) {
		fprintf(stderr, "waveos-bpf bundle root pin: takes one file; see --help\n");
		return WV_EXIT_USAGE;
	}
	path = argv[r];
	r = wv_bundle_load_file(path, WV_ROOT_MAX, &text, &len);
	if (r == 0)
		r = wv_trust_pin(&wv_io_system, &cli->paths, text, len, &error);
	if (r < 0)
		return wv_bundle_say("bundle root pin", path, r, error.text);
	return wv_root_show(cli, 1, argv);
}

int wv_root_update(struct wv_cli *cli, int argc, char **argv)
{
	static const char verb[] = "bundle root update";
	struct wv_trust *t = NULL;
	int first = wv_cli_parse(cli, argc, argv, "bundle root update FILE...", update_examples,
				 NULL, NULL, NULL),
	    r, code = WV_EXIT_OK;

	if (first < 0)
		return -first;
	if (first == argc) {
		fprintf(stderr, "waveos-bpf %s: takes the next roots in order; see --help\n", verb);
		return WV_EXIT_USAGE;
	}
	r = wv_trust_open(&t, &wv_io_system, &cli->paths);
	if (r < 0)
		return wv_bundle_say(verb, cli->paths.state, r,
				     r == -ENOENT ? "no root is pinned here: bundle root pin"
						  : NULL);
	for (int i = first; i < argc && code == WV_EXIT_OK; i++) {
		struct wv_manifest_error error = {.text = ""};
		_cleanup_free_ char *text = NULL;
		size_t len;

		r = wv_bundle_load_file(argv[i], WV_ROOT_MAX, &text, &len);
		if (r == 0)
			r = wv_trust_update(t, text, len, &error);
		if (r < 0)
			code = wv_bundle_say(verb, argv[i], r, error.text);
	}
	wv_trust_close(t);
	return code == WV_EXIT_OK ? wv_root_show(cli, 1, argv) : code;
}
