// SPDX-License-Identifier: GPL-2.0-only
/*
 * bundle verify: reads a bundle twice from one descriptor, first to tell what it says of itself and
 * who signed it, then as an installer would; only the second decides.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/target.h"
#include "user/cmd/bundle_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

#define VERB "bundle verify"

struct args {
	const char *root;
	bool here;
};

static const struct wv_option options[] = {
	{"trust", 't', "FILE", "trust this root instead of the one that is pinned here"},
	{"here", 'H', NULL, "that it is not for this device is a finding, too"},
	{0},
};

static const char examples[] = "  waveos-bpf bundle verify shop.wvb\n"
			       "  waveos-bpf bundle verify shop.wvb --trust root.1.json --json\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct args *a = ctx;

	if (o->letter == 'H')
		a->here = true;
	else
		a->root = value;
	return 0;
}

struct seen {
	struct wv_bundle_reader *first;
	const struct wv_manifest *m;
	struct wv_dsse d;
	uint64_t signers; /* of the root in use after it took the roots in the bundle */
	int verified, fits;
	struct wv_manifest_error why, unfit;
};

static int open_trust(struct wv_cli *cli, const struct args *a, struct wv_trust **ret)
{
	struct wv_manifest_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	if (!a->root) {
		r = wv_trust_open_to_look(ret, &wv_io_system, &cli->paths);
		if (r == -ENOENT)
			return wv_bundle_say(VERB, cli->paths.state, -EKEYREJECTED,
					     "no root is pinned here; --trust FILE, or bundle root "
					     "pin");
		return r < 0 ? wv_bundle_say(VERB, cli->paths.state, r, NULL) : WV_EXIT_OK;
	}
	r = wv_bundle_load_file(a->root, WV_ROOT_MAX, &text, &len);
	if (r == 0)
		r = wv_trust_of_root(ret, &wv_io_system, text, len, &error);
	return r < 0 ? wv_bundle_say(VERB, a->root, r, error.text) : WV_EXIT_OK;
}

/* The decision: everything is read, and nothing of it is kept. */
static int verify(struct seen *s, int fd, struct wv_trust *trust)
{
	struct wv_bundle_reader *r;
	const struct wv_bundle_file *f;
	int n;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	n = wv_bundle_read_open(&r, fd, trust, wv_io_system.wall_ns(NULL) / 1000000000ULL, &s->why);
	if (n < 0)
		return n;
	do
		n = wv_bundle_read_next(r, &f);
	while (n > 0);
	if (n < 0)
		(void)wv_manifest_fail(&s->why, "%s", wv_bundle_read_error(r));
	else if (strcmp(wv_bundle_read_manifest(r)->id, s->m->id) != 0)
		n = wv_manifest_fail(&s->why, "it changed while it was read");
	wv_bundle_read_close(r);
	return n;
}

static void look_at_signers(struct seen *s, struct wv_trust *trust)
{
	size_t len;
	const char *text = wv_bundle_read_signatures(s->first, &len);
	struct wv_manifest_error error = {.text = ""};

	if (wv_dsse_parse(text, len, WV_TYPE_MANIFEST, true, &s->d, &error) == 0)
		(void)wv_root_signers(wv_trust_root(trust), (enum wv_role)s->m->kind, &s->d,
				      WV_TYPE_MANIFEST, s->m->text, s->m->text_len, &s->signers);
}

static void look_at_device(struct wv_cli *cli, struct seen *s)
{
	struct wv_config_error error = {.text = ""};
	struct wv_bundle_here here;
	struct wv_config config;

	if (wv_config_init(&config) < 0)
		return;
	(void)wv_config_load(&config, cli->paths.config, &error);
	s->fits = wv_bundle_here(&here, &wv_io_system, &cli->paths,
				 wv_bundle_environments[config.update_environment], false);
	if (s->fits == 0)
		s->fits = wv_manifest_fits(s->m, &here.target, &s->unfit);
	wv_config_done(&config);
}

/* One word for a signature; name: whose, or "". */
static const char *judge(const struct seen *s, const struct wv_root *root, unsigned i,
			 const char **ret_name)
{
	const struct wv_dsse_signature *sig = &s->d.signatures[i];
	const struct wv_root_key *k = wv_root_key_of(root, sig->key_id);

	*ret_name = k ? k->name : "";
	for (unsigned n = 0; n < i; n++)
		if (strcmp(s->d.signatures[n].key_id, sig->key_id) == 0)
			return "again";
	for (unsigned n = 0; n < root->n_revoked; n++)
		if (strcmp(root->revoked[n], sig->key_id) == 0)
			return "revoked key";
	if (!k)
		return "unknown key";
	if (!(root->roles[s->m->kind].keys >> (k - root->keys) & 1))
		return "not of this role";
	return s->signers >> (k - root->keys) & 1 ? "good" : "bad";
}

static void print_words(const char *label, char *const *words)
{
	printf("%s", label);
	for (; *words; words++)
		printf(" %s", *words);
	printf("\n");
}

static void print_text(const struct seen *s, const struct wv_trust *trust)
{
	const struct wv_manifest *m = s->m;
	const struct wv_root *root = wv_trust_root(trust);
	uint64_t bytes = 0;
	const char *name;

	for (unsigned i = 0; i < m->n_files; i++)
		bytes += m->files[i].size;
	printf("%s %s %s, counter %llu\nid            %s\nmade          ", wv_bundle_kinds[m->kind],
	       m->name, m->version, (unsigned long long)m->counter, m->id);
	wv_bundle_print_time(stdout, m->created_s);
	printf("\ngood until    ");
	wv_bundle_print_time(stdout, m->expires_s);
	printf("\nfiles         %u, %llu bytes\n", m->n_files, (unsigned long long)bytes);
	print_words("devices      ", m->devices);
	print_words("environments ", m->environments);
	for (unsigned i = 0; i < s->d.n; i++) {
		const char *word = judge(s, root, i, &name);

		printf("signature     %.16s %-16s %s\n", s->d.signatures[i].key_id, name, word);
	}
	printf("threshold     %d of %u, role %s of root %llu\n", __builtin_popcountll(s->signers),
	       root->roles[m->kind].threshold, wv_role_names[m->kind],
	       (unsigned long long)root->version);
	printf("this device   %s\n", s->fits ? s->unfit.text : "fits");
	printf("%s\n", s->verified ? s->why.text : "verified");
}

static struct json_object *signatures_json(const struct seen *s, const struct wv_root *root)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < s->d.n; i++) {
		struct json_object *o = json_object_new_object();
		const char *name, *word = judge(s, root, i, &name);

		json_object_object_add(o, "key_id",
				       json_object_new_string(s->d.signatures[i].key_id));
		json_object_object_add(o, "name", json_object_new_string(name));
		json_object_object_add(o, "result", json_object_new_string(word));
		json_object_array_add(list, o);
	}
	return list;
}

static void print_json(const struct seen *s, const struct wv_trust *trust)
{
	struct json_object *o = json_object_new_object();
	const struct wv_root *root = wv_trust_root(trust);

	json_object_object_add(o, "verified", json_object_new_boolean(!s->verified));
	if (s->verified)
		json_object_object_add(o, "why", json_object_new_string(s->why.text));
	json_object_object_add(o, "fits", json_object_new_boolean(!s->fits));
	if (s->fits)
		json_object_object_add(o, "why_not_here", json_object_new_string(s->unfit.text));
	json_object_object_add(o, "bundle_id", json_object_new_string(s->m->id));
	json_object_object_add(o, "manifest", json_tokener_parse(s->m->text));
	json_object_object_add(o, "signatures", signatures_json(s, root));
	json_object_object_add(o, "threshold",
			       json_object_new_int((int)root->roles[s->m->kind].threshold));
	json_object_object_add(o, "good_signatures",
			       json_object_new_int(__builtin_popcountll(s->signers)));
	json_object_object_add(o, "root_version", json_object_new_uint64(root->version));
	wv_bundle_print_json(o);
}

static int run(struct wv_cli *cli, const struct args *a, const char *path, int fd, struct seen *s)
{
	struct wv_manifest_error error = {.text = ""};
	struct wv_trust *trust = NULL;
	int r, code = open_trust(cli, a, &trust);

	if (code != WV_EXIT_OK)
		return code;
	r = wv_bundle_read_unverified(&s->first, fd, &error);
	if (r < 0) {
		wv_trust_close(trust);
		return wv_bundle_say(VERB, path, r, error.text);
	}
	s->m = wv_bundle_read_manifest(s->first);
	s->verified = verify(s, fd, trust);
	look_at_signers(s, trust);
	look_at_device(cli, s);
	if (cli->json)
		print_json(s, trust);
	else
		print_text(s, trust);
	wv_trust_close(trust);
	return s->verified || (a->here && s->fits) ? WV_EXIT_FINDING : WV_EXIT_OK;
}

int wv_bundle_verify_cmd(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_free_ struct seen *s = calloc(1, sizeof(*s));
	struct args a = {.root = NULL};
	_cleanup_close_ int fd = -1;
	int code, r = wv_cli_parse(cli, argc, argv, "bundle verify FILE [--trust ROOT] [--here]",
				   examples, options, set_option, &a);

	if (r < 0)
		return -r;
	if (argc - r != 1 || !s) {
		fprintf(stderr, "waveos-bpf " VERB ": takes one file; see --help\n");
		return s ? WV_EXIT_USAGE : WV_EXIT_INTERNAL;
	}
	fd = open(argv[r], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return wv_bundle_say(VERB, argv[r], -errno, NULL);
	code = run(cli, &a, argv[r], fd, s);
	wv_dsse_done(&s->d);
	wv_bundle_read_close(s->first);
	return code;
}
