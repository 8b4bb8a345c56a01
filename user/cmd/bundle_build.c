// SPDX-License-Identifier: GPL-2.0-only
/* bundle keygen and bundle build. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/bundle/spec.h"
#include "user/cmd/bundle_cmd.h"
#include "user/core/cleanup.h"

/* keygen ------------------------------------------------------------------------------------- */

struct keygen {
	const char *name;
};

static const struct wv_option keygen_options[] = {
	{"output", 'o', "NAME", "writes NAME.pem (mode 0600) and NAME.pub.pem"},
	{0},
};

static const char keygen_examples[] =
	"  waveos-bpf bundle keygen -o alice\n"
	"  openssl pkey -pubin -in alice.pub.pem -outform DER | sha256sum    # the key's id\n";

static int set_keygen(void *ctx, const struct wv_option *o _unused_, const char *value)
{
	struct keygen *k = ctx;

	k->name = value;
	return 0;
}

/* A key that is there is never overwritten. */
static int write_new(const char *path, const char *text, mode_t mode)
{
	_cleanup_close_ int fd =
		open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	int r;

	if (fd < 0)
		return -errno;
	r = wv_io_write_all(&wv_io_system, fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(path);
	return r;
}

int wv_bundle_keygen_cmd(struct wv_cli *cli, int argc, char **argv)
{
	char secret_path[WV_PATH_SIZE], public_path[WV_PATH_SIZE], id[WV_SHA256_HEX];
	char *secret = NULL;
	_cleanup_free_ char *public = NULL;
	struct keygen k = {.name = NULL};
	struct wv_secret_key key;
	const char *at = secret_path;
	int r = wv_cli_parse(cli, argc, argv, "bundle keygen -o NAME", keygen_examples,
			     keygen_options, set_keygen, &k);

	if (r < 0)
		return -r;
	if (!k.name || r < argc ||
	    snprintf(public_path, sizeof(public_path), "%s.pub.pem", k.name) >=
		    (int)sizeof(public_path)) {
		fprintf(stderr, "waveos-bpf bundle keygen: takes -o NAME only; see --help\n");
		return WV_EXIT_USAGE;
	}
	snprintf(secret_path, sizeof(secret_path), "%s.pem", k.name);
	r = wv_key_generate(&wv_io_system, &key);
	if (r == 0)
		r = wv_key_to_pem(&key, &secret, &public);
	if (r == 0)
		r = write_new(secret_path, secret, 0600);
	if (r == 0) {
		at = public_path;
		r = write_new(public_path, public, 0644);
	}
	if (secret)
		OPENSSL_cleanse(secret, strlen(secret));
	free(secret);
	wv_key_id(&key.public_key, id);
	wv_secret_key_wipe(&key);
	if (r < 0)
		return wv_bundle_say("bundle keygen", at, r, NULL);
	if (cli->json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "key_id", json_object_new_string(id));
		json_object_object_add(o, "secret", json_object_new_string(secret_path));
		json_object_object_add(o, "public", json_object_new_string(public_path));
		wv_bundle_print_json(o);
	} else {
		printf("key %s\nsecret: %s (keep it offline)\npublic: %s\n", id, secret_path,
		       public_path);
	}
	return WV_EXIT_OK;
}

/* build -------------------------------------------------------------------------------------- */

struct build {
	const char *spec, *dir, *output;
	uint64_t level;
	struct wv_bundle_keys sign;
	const char *roots[WV_BUNDLE_ROOTS_MAX];
	unsigned n_roots;
};

static const struct wv_option build_options[] = {
	{"file", 'f', "SPEC", "what to build (docs/bundles.md)"},
	{"dir", 'd', "DIR", "the spec is DIR/bundle.yaml, the files are all below DIR/files"},
	{"output", 'o', "FILE", "the bundle, by custom *.wvb"},
	{"carry", 'r', "ROOT", "a root to carry along, oldest first; may be repeated"},
	{"sign", 'k', "KEY", "sign with this secret key; may be repeated"},
	{"level", 'l', "N", "compression, 1 to 19 (default 9)"},
	{0},
};

static const char build_examples[] =
	"  waveos-bpf bundle build -f shop.yaml -o shop.wvb\n"
	"  waveos-bpf bundle build --dir shop/ -o shop.wvb --carry root.2.json --sign alice.pem\n"
	"  SOURCE_DATE_EPOCH=1750000000 waveos-bpf bundle build -f shop.yaml -o shop.wvb\n";

static int set_build(void *ctx, const struct wv_option *o, const char *value)
{
	struct build *b = ctx;

	switch (o->letter) {
	case 'f':
		b->spec = value;
		return 0;
	case 'd':
		b->dir = value;
		return 0;
	case 'o':
		b->output = value;
		return 0;
	case 'k':
		if (b->sign.n < ARRAY_SIZE(b->sign.paths)) {
			b->sign.paths[b->sign.n++] = value;
			return 0;
		}
		break;
	case 'r':
		if (b->n_roots < ARRAY_SIZE(b->roots)) {
			b->roots[b->n_roots++] = value;
			return 0;
		}
		break;
	default:
		if (wv_parse_uint(value, &b->level) == 0 && b->level >= 1 && b->level <= 19)
			return 0;
		break;
	}
	fprintf(stderr, "waveos-bpf bundle build: --%s %s: too many, or out of range\n", o->name,
		value);
	return WV_EXIT_USAGE;
}

struct roots {
	char *texts[WV_BUNDLE_ROOTS_MAX];
	size_t lens[WV_BUNDLE_ROOTS_MAX];
	uint64_t versions[WV_BUNDLE_ROOTS_MAX];
	unsigned n;
};

static void roots_done(struct roots *r)
{
	for (unsigned i = 0; i < r->n; i++)
		free(r->texts[i]);
}

static int load_roots(const struct build *b, struct roots *ret)
{
	_cleanup_free_ struct wv_root *root = calloc(1, sizeof(*root));

	if (!root)
		return WV_EXIT_INTERNAL;
	for (unsigned i = 0; i < b->n_roots; i++) {
		struct wv_manifest_error error = {.text = ""};
		int r = wv_bundle_load_file(b->roots[i], WV_ROOT_MAX, &ret->texts[i],
					    &ret->lens[i]);

		if (r == 0) {
			ret->n++;
			r = wv_root_open(NULL, ret->texts[i], ret->lens[i], root, &error);
		}
		if (r == 0 && i && root->version <= ret->versions[i - 1])
			r = wv_manifest_fail(&error, "the oldest root comes first");
		if (r < 0)
			return wv_bundle_say("bundle build", b->roots[i], r, error.text);
		ret->versions[i] = root->version;
	}
	return WV_EXIT_OK;
}

/* Written beside its place and renamed: what has the name is whole. */
static int write_bundle(const char *output, const struct wv_bundle_parts *parts,
			wv_bundle_source_fn source, void *ctx)
{
	_cleanup_close_ int dir = -1, fd = -1;
	char tmp[NAME_MAX];
	const char *name;
	int r = wv_bundle_open_folder(output, &dir, &name);

	if (r < 0)
		return r;
	if (snprintf(tmp, sizeof(tmp), ".%s.tmp", name) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	r = wv_bundle_write(&wv_io_system, fd, parts, source, ctx);
	if (r == 0 && (fsync(fd) < 0 || renameat(dir, tmp, dir, name) < 0))
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, tmp, 0);
	return r < 0 ? r : wv_io_sync_dir(&wv_io_system, dir);
}

static int build(struct wv_cli *cli, const struct build *b, struct wv_bundle_spec *spec,
		 const struct roots *roots)
{
	const struct wv_manifest *m = &spec->manifest;
	struct wv_dsse d = {.n = 0};
	_cleanup_free_ char *signatures = NULL;
	struct wv_bundle_parts parts = {.manifest = m,
					.roots = (const char *const *)roots->texts,
					.root_lens = roots->lens,
					.root_versions = roots->versions,
					.n_roots = roots->n,
					.level = (int)b->level};
	int r, code = wv_bundle_sign_with("bundle build", &b->sign, &d, WV_TYPE_MANIFEST, m->text,
					  m->text_len);

	if (code != WV_EXIT_OK)
		return code;
	r = wv_dsse_text(&d, WV_TYPE_MANIFEST, &signatures, &parts.signatures_len);
	parts.signatures = signatures;
	if (r == 0)
		r = write_bundle(b->output, &parts, wv_bundle_spec_source, spec);
	if (r < 0)
		return wv_bundle_say("bundle build", b->output, r,
				     r == -EBADMSG ? "a file changed while it was read" : NULL);
	if (cli->json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "bundle_id", json_object_new_string(m->id));
		json_object_object_add(o, "file", json_object_new_string(b->output));
		json_object_object_add(o, "signatures", json_object_new_int((int)d.n));
		wv_bundle_print_json(o);
	} else {
		printf("%s: %s %s %s, counter %llu, %u files, %u signatures\nid %s\n", b->output,
		       wv_bundle_kinds[m->kind], m->name, m->version,
		       (unsigned long long)m->counter, m->n_files, d.n, m->id);
	}
	return WV_EXIT_OK;
}

int wv_bundle_build_cmd(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_free_ struct roots *roots = calloc(1, sizeof(*roots));
	char spec_path[WV_PATH_SIZE], tree[WV_PATH_SIZE];
	struct wv_config_error error = {.text = ""};
	struct build b = {.level = 9};
	struct wv_bundle_spec spec;
	int r = wv_cli_parse(cli, argc, argv, "bundle build -f SPEC | --dir DIR -o FILE [options]",
			     build_examples, build_options, set_build, &b),
	    code;

	if (r < 0)
		return -r;
	if (!roots)
		return WV_EXIT_INTERNAL;
	if (!b.output || !b.spec == !b.dir || r < argc) {
		fprintf(stderr, "waveos-bpf bundle build: takes -o FILE and one of -f SPEC and "
				"--dir DIR; see --help\n");
		return WV_EXIT_USAGE;
	}
	if (b.dir) {
		snprintf(spec_path, sizeof(spec_path), "%s/bundle.yaml", b.dir);
		snprintf(tree, sizeof(tree), "%s/files", b.dir);
		b.spec = spec_path;
	}
	r = wv_bundle_spec_load(b.spec, b.dir ? tree : NULL, wv_bundle_time_s(), &spec, &error);
	if (r < 0) {
		fprintf(stderr, "waveos-bpf bundle build: %s\n", error.text);
		return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED
		       : r == -ENOMEM		   ? WV_EXIT_INTERNAL
						   : WV_EXIT_USAGE;
	}
	code = load_roots(&b, roots);
	if (code == WV_EXIT_OK)
		code = build(cli, &b, &spec, roots);
	roots_done(roots);
	wv_bundle_spec_done(&spec);
	return code;
}
