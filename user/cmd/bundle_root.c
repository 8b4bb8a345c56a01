// SPDX-License-Identifier: GPL-2.0-only
/* bundle root: init and rotate write roots, pin and update make them this device's trust. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/root_edit.h"
#include "user/cmd/bundle_cmd.h"
#include "user/cmd/bundle_root.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

#define LISTED_MAX 64

struct edit {
	const char *output;
	const char *keys[LISTED_MAX], *roles[LISTED_MAX], *revoke[LISTED_MAX];
	unsigned n_keys, n_roles, n_revoke;
	uint64_t life_ns;
	struct wv_bundle_keys sign;
};

#define EDIT_OPTIONS                                                                               \
	{"output", 'o', "FILE", "the root, by custom root.<version>.json"},                        \
		{"key", 'k', "NAME=FILE", "a public key (PEM) and whose it is; may be repeated"},  \
		{"role", 'R', "ROLE=NAME,NAME:N",                                                  \
		 "who may sign as app, config, policy, cert, index, root or all, and how many "    \
		 "must"},                                                                          \
		{"expires", 'e', "TIME", "until when it is good from now (default 365d)"},         \
	{                                                                                          \
		"sign", 's', "KEY", "sign with this secret key; may be repeated"                   \
	}

static const struct wv_option init_options[] = {EDIT_OPTIONS, {0}};
static const struct wv_option rotate_options[] = {
	EDIT_OPTIONS,
	{"revoke", 'x', "NAME", "this key goes, and never comes back; may be repeated"},
	{0},
};

static const char init_examples[] =
	"  waveos-bpf bundle root init -o root.1.json --key alice=alice.pub.pem \\\n"
	"      --key bob=bob.pub.pem --role all=alice,bob:2\n"
	"  waveos-bpf bundle sign root.1.json --key alice.pem    # and each other person in turn\n";

static const char rotate_examples[] =
	"  waveos-bpf bundle root rotate root.1.json -o root.2.json --revoke bob \\\n"
	"      --key carol=carol.pub.pem --role all=alice,carol:2\n";

static int set_edit(void *ctx, const struct wv_option *o, const char *value)
{
	struct edit *e = ctx;
	const char **list;
	unsigned *n, max = LISTED_MAX;

	switch (o->letter) {
	case 'o':
		e->output = value;
		return 0;
	case 'e':
		if (wv_parse_duration(value, &e->life_ns) == 0)
			return 0;
		fprintf(stderr, "waveos-bpf bundle root: --expires '%s' is no time such as 365d\n",
			value);
		return WV_EXIT_USAGE;
	case 'k':
		list = e->keys;
		n = &e->n_keys;
		break;
	case 'R':
		list = e->roles;
		n = &e->n_roles;
		break;
	case 'x':
		list = e->revoke;
		n = &e->n_revoke;
		break;
	default:
		list = e->sign.paths;
		n = &e->sign.n;
		max = ARRAY_SIZE(e->sign.paths);
		break;
	}
	if (*n == max) {
		fprintf(stderr, "waveos-bpf bundle root: at most %u times --%s\n", max, o->name);
		return WV_EXIT_USAGE;
	}
	list[(*n)++] = value;
	return 0;
}

static int add_key(const char *verb, const char *text, struct wv_root *root)
{
	const char *equals = strchr(text, '=');
	char name[WV_BUNDLE_NAME_SIZE];
	struct wv_public_key key;
	int r;

	if (!equals || equals - text >= (int)sizeof(name))
		return wv_bundle_say(verb, text, -EINVAL, "--key wants NAME=FILE");
	snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
	r = wv_bundle_load_public(equals + 1, &key);
	if (r < 0)
		return wv_bundle_say(verb, equals + 1, r,
				     r == -EINVAL || r == -EBADMSG
					     ? "it is no Ed25519 public key in PEM"
					     : NULL);
	r = wv_root_add_key(root, name, &key);
	return r == 0 ? WV_EXIT_OK
		      : wv_bundle_say(verb, text, r,
				      r == -EEXIST ? "that name or key is there, or was revoked"
				      : r == -EINVAL
					      ? "the name has other letters than a-z 0-9 . _ -"
					      : NULL);
}

/* Changes in the order in which they make sense: out, in, who. */
static int apply(const char *verb, const struct edit *e, struct wv_root *root)
{
	struct wv_manifest_error error = {.text = ""};
	int r, code;

	for (unsigned i = 0; i < e->n_revoke; i++) {
		r = wv_root_revoke(root, e->revoke[i]);
		if (r < 0)
			return wv_bundle_say(verb, e->revoke[i], r,
					     r == -ENOENT ? "no key has that name" : NULL);
	}
	for (unsigned i = 0; i < e->n_keys; i++) {
		code = add_key(verb, e->keys[i], root);
		if (code != WV_EXIT_OK)
			return code;
	}
	for (unsigned i = 0; i < e->n_roles; i++) {
		r = wv_root_set_role(root, e->roles[i], &error);
		if (r < 0)
			return wv_bundle_say(verb, e->roles[i], r, error.text);
	}
	root->created_s = wv_bundle_time_s();
	root->expires_s = root->created_s + e->life_ns / 1000000000ULL;
	return WV_EXIT_OK;
}

static int write_root(struct wv_cli *cli, const char *verb, const struct edit *e,
		      const struct wv_root *root)
{
	struct wv_manifest_error error = {.text = ""};
	_cleanup_free_ struct wv_root *again = calloc(1, sizeof(*again));
	_cleanup_free_ char *payload = NULL;
	size_t len;
	int code, r = again ? wv_root_text(root, &payload, &len) : -ENOMEM;

	if (r == 0)
		r = wv_root_parse(payload, len, again, &error);
	if (r == -EBADMSG) /* the owner asked for it */
		return wv_bundle_say(verb, e->output, -EINVAL, error.text);
	if (r < 0)
		return wv_bundle_say(verb, e->output, r, NULL);
	code = wv_bundle_save_envelope(verb, e->output, WV_TYPE_ROOT, payload, len, &e->sign);
	if (code == WV_EXIT_OK && !cli->json)
		printf("%s: root %llu with %u keys, %u signatures\nnext: waveos-bpf bundle sign %s "
		       "--key KEY, each person in turn; then bundle root show\n",
		       e->output, (unsigned long long)root->version, root->n_keys, e->sign.n,
		       e->output);
	return code == WV_EXIT_OK && cli->json ? wv_root_print(cli, e->output, NULL) : code;
}

static int init(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_free_ struct wv_root *root = calloc(1, sizeof(*root));
	struct edit e = {.life_ns = 365 * WV_BUNDLE_DAY_S * 1000000000ULL};
	int code, r = wv_cli_parse(cli, argc, argv,
				   "bundle root init -o FILE --key NAME=FILE [--role ...]",
				   init_examples, init_options, set_edit, &e);

	if (r < 0)
		return -r;
	if (!root)
		return WV_EXIT_INTERNAL;
	if (!e.output || !e.n_keys || r < argc) {
		fprintf(stderr,
			"waveos-bpf bundle root init: takes -o FILE and --key NAME=FILE; see "
			"--help\n");
		return WV_EXIT_USAGE;
	}
	root->version = 1;
	code = apply("bundle root init", &e, root);
	if (code != WV_EXIT_OK)
		return code;
	/* who was not named: a majority of all, so that no one decides alone by oversight */
	for (int role = 0; role < WV_ROLES; role++)
		if (!root->roles[role].threshold)
			root->roles[role] = (struct wv_root_role){
				.keys = root->n_keys == 64 ? ~0ULL : (1ULL << root->n_keys) - 1,
				.threshold = root->n_keys / 2 + 1};
	return write_root(cli, "bundle root init", &e, root);
}

static int rotate(struct wv_cli *cli, int argc, char **argv)
{
	static const char verb[] = "bundle root rotate";
	_cleanup_free_ struct wv_root *root = calloc(1, sizeof(*root));
	struct wv_manifest_error error = {.text = ""};
	struct edit e = {.life_ns = 365 * WV_BUNDLE_DAY_S * 1000000000ULL};
	_cleanup_free_ char *text = NULL;
	size_t len;
	int code, r = wv_cli_parse(cli, argc, argv, "bundle root rotate OLD -o FILE [options]",
				   rotate_examples, rotate_options, set_edit, &e);
	const char *old;

	if (r < 0)
		return -r;
	if (!root)
		return WV_EXIT_INTERNAL;
	if (!e.output || argc - r != 1) {
		fprintf(stderr, "waveos-bpf %s: takes the root before it and -o FILE; see --help\n",
			verb);
		return WV_EXIT_USAGE;
	}
	old = argv[r];
	r = wv_bundle_load_file(old, WV_ROOT_MAX, &text, &len);
	if (r == 0)
		r = wv_root_open(NULL, text, len, root, &error);
	if (r < 0)
		return wv_bundle_say(verb, old, r, error.text);
	root->version++;
	code = apply(verb, &e, root);
	return code == WV_EXIT_OK ? write_root(cli, verb, &e, root) : code;
}

static const struct wv_subverb rows[] = {
	{"init", "write the first root", init},
	{"rotate", "write the root that follows another one", rotate},
	{"show", "what a root says and who signed it", wv_root_show},
	{"pin", "make a root the first that this device trusts", wv_root_pin},
	{"update", "take the next roots, after the one in use", wv_root_update},
	{NULL, NULL, NULL},
};

static const char examples[] =
	"  waveos-bpf bundle root init -o root.1.json --key alice=alice.pub.pem\n"
	"  waveos-bpf bundle root show root.1.json\n"
	"  waveos-bpf bundle root pin root.1.json\n";

int wv_bundle_root_cmd(struct wv_cli *cli, int argc, char **argv)
{
	return wv_cli_dispatch("bundle root", rows, examples, cli, argc, argv);
}
