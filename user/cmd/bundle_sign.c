// SPDX-License-Identifier: GPL-2.0-only
/*
 * bundle sign: adds signatures to a bundle, a root or an index. It shows what is signed, for
 * whoever signs answers for it, and needs nothing but the file and the key: it works offline.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/bundle_cmd.h"
#include "user/core/cleanup.h"

#define VERB "bundle sign"

static const struct wv_option options[] = {
	{"key", 'k', "KEY", "secret key (PEM); may be repeated"},
	{0},
};

static const char examples[] = "  waveos-bpf bundle sign shop.wvb --key alice.pem\n"
			       "  waveos-bpf bundle sign root.2.json -k alice.pem -k bob.pem\n";

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value)
{
	struct wv_bundle_keys *keys = ctx;

	if (keys->n == ARRAY_SIZE(keys->paths)) {
		fprintf(stderr, "waveos-bpf " VERB ": too many keys\n");
		return WV_EXIT_USAGE;
	}
	keys->paths[keys->n++] = value;
	return 0;
}

static int done(struct wv_cli *cli, const char *path, const char *what, const char *sha256,
		unsigned n)
{
	if (cli->json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "file", json_object_new_string(path));
		json_object_object_add(o, "what", json_object_new_string(what));
		json_object_object_add(o, "sha256", json_object_new_string(sha256));
		json_object_object_add(o, "signatures", json_object_new_int((int)n));
		wv_bundle_print_json(o);
	} else {
		printf("signed %s\nsha256 of what was signed: %s\n%s has %u signatures now\n", what,
		       sha256, path, n);
	}
	return WV_EXIT_OK;
}

/* Bundles ------------------------------------------------------------------------------------ */

/* The writer asks in the order in which the reader gives. */
struct copy {
	struct wv_bundle_reader *from;
};

static ssize_t copy_source(void *ctx, const struct wv_bundle_file *file, uint64_t off, void *buf,
			   size_t size)
{
	struct copy *c = ctx;
	const struct wv_bundle_file *f;
	int r;

	if (off == 0) {
		r = wv_bundle_read_next(c->from, &f);
		if (r <= 0)
			return r < 0 ? r : -EBADMSG;
		if (strcmp(f->sha256, file->sha256) != 0)
			return -EBADMSG;
	}
	return wv_bundle_read_bytes(c->from, buf, size);
}

static int rewrite(const char *path, struct wv_bundle_reader *from, const char *signatures,
		   size_t len)
{
	const char *roots[WV_BUNDLE_ROOTS_MAX];
	size_t lens[WV_BUNDLE_ROOTS_MAX];
	uint64_t versions[WV_BUNDLE_ROOTS_MAX];
	struct wv_bundle_parts parts = {.manifest = wv_bundle_read_manifest(from),
					.signatures = signatures,
					.signatures_len = len,
					.roots = roots,
					.root_lens = lens,
					.root_versions = versions,
					.level = 9};
	struct copy c = {.from = from};
	_cleanup_close_ int dir = -1, fd = -1;
	char tmp[NAME_MAX];
	const char *name;
	int r = wv_bundle_open_folder(path, &dir, &name);

	if (r < 0)
		return r;
	while ((roots[parts.n_roots] = wv_bundle_read_root(
			from, parts.n_roots, &versions[parts.n_roots], &lens[parts.n_roots])))
		if (++parts.n_roots == WV_BUNDLE_ROOTS_MAX)
			break;
	if (snprintf(tmp, sizeof(tmp), ".%s.tmp", name) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	r = wv_bundle_write(&wv_io_system, fd, &parts, copy_source, &c);
	if (r == 0) { /* and nothing is left over in the old one */
		const struct wv_bundle_file *f;

		r = wv_bundle_read_next(from, &f);
		r = r == 1 ? -EBADMSG : r;
	}
	if (r == 0 && (fsync(fd) < 0 || renameat(dir, tmp, dir, name) < 0))
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, tmp, 0);
	return r < 0 ? r : wv_io_sync_dir(&wv_io_system, dir);
}

static int sign_bundle(struct wv_cli *cli, const char *path, int fd,
		       const struct wv_bundle_keys *keys)
{
	struct wv_manifest_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	struct wv_bundle_reader *from;
	const struct wv_manifest *m;
	struct wv_dsse d = {.n = 0};
	const char *old;
	char what[256];
	size_t len;
	int code, r = wv_bundle_read_unverified(&from, fd, &error);

	if (r < 0)
		return wv_bundle_say(VERB, path, r, error.text);
	m = wv_bundle_read_manifest(from);
	old = wv_bundle_read_signatures(from, &len);
	r = wv_dsse_parse(old, len, WV_TYPE_MANIFEST, true, &d, &error);
	code = r < 0 ? wv_bundle_say(VERB, path, r, error.text)
		     : wv_bundle_sign_with(VERB, keys, &d, WV_TYPE_MANIFEST, m->text, m->text_len);
	if (code == WV_EXIT_OK) {
		r = wv_dsse_text(&d, WV_TYPE_MANIFEST, &text, &len);
		if (r == 0)
			r = rewrite(path, from, text, len);
		snprintf(what, sizeof(what), "%s %s %s, counter %llu", wv_bundle_kinds[m->kind],
			 m->name, m->version, (unsigned long long)m->counter);
		code = r < 0 ? wv_bundle_say(VERB, path, r, wv_bundle_read_error(from))
			     : done(cli, path, what, m->id, d.n);
	}
	wv_dsse_done(&d);
	wv_bundle_read_close(from);
	return code;
}

/* Envelopes ---------------------------------------------------------------------------------- */

static int describe_root(const struct wv_dsse *d, char *what, size_t size,
			 struct wv_manifest_error *error)
{
	_cleanup_free_ struct wv_root *root = calloc(1, sizeof(*root));
	int r = root ? wv_root_parse(d->payload, d->len, root, error) : -ENOMEM;

	if (r == 0)
		snprintf(what, size, "root %llu with %u keys", (unsigned long long)root->version,
			 root->n_keys);
	return r;
}

static int describe_index(const struct wv_dsse *d, char *what, size_t size,
			  struct wv_manifest_error *error)
{
	struct wv_bundle_index index;
	int r = wv_bundle_index_parse(d->payload, d->len, &index, error);

	if (r < 0)
		return r;
	snprintf(what, size, "index %llu of channel %s with %u bundles",
		 (unsigned long long)index.version, index.channel, index.n);
	wv_bundle_index_done(&index);
	return 0;
}

static const struct {
	const char *type;
	int (*describe)(const struct wv_dsse *d, char *what, size_t size,
			struct wv_manifest_error *error);
} envelopes[] = {
	{WV_TYPE_ROOT, describe_root},
	{WV_TYPE_INDEX, describe_index},
};

static int sign_envelope(struct wv_cli *cli, const char *path, const struct wv_bundle_keys *keys)
{
	struct wv_manifest_error error = {.text = ""};
	_cleanup_free_ char *text = NULL, *out = NULL;
	struct wv_dsse d = {.n = 0};
	char what[256], sha256[WV_SHA256_HEX];
	size_t len, i = 0;
	int code, r = wv_bundle_load_file(path, WV_DSSE_MAX, &text, &len);

	if (r < 0)
		return wv_bundle_say(VERB, path, r, NULL);
	/* the error that is told is that of the last type */
	while ((r = wv_dsse_parse(text, len, envelopes[i].type, false, &d, &error)) < 0 &&
	       i + 1 < ARRAY_SIZE(envelopes))
		i++;
	if (r == 0)
		r = envelopes[i].describe(&d, what, sizeof(what), &error);
	if (r < 0) {
		wv_dsse_done(&d);
		return wv_bundle_say(VERB, path, r, error.text);
	}
	code = wv_bundle_sign_with(VERB, keys, &d, envelopes[i].type, d.payload, d.len);
	if (code == WV_EXIT_OK) {
		r = wv_dsse_text(&d, envelopes[i].type, &out, &len);
		if (r == 0)
			r = wv_bundle_save_file(path, out, len, 0644);
		wv_sha256_hex(d.payload, d.len, sha256);
		code = r < 0 ? wv_bundle_say(VERB, path, r, NULL)
			     : done(cli, path, what, sha256, d.n);
	}
	wv_dsse_done(&d);
	return code;
}

int wv_bundle_sign_cmd(struct wv_cli *cli, int argc, char **argv)
{
	struct wv_bundle_keys keys = {.n = 0};
	_cleanup_close_ int fd = -1;
	char first = 0;
	int r = wv_cli_parse(cli, argc, argv, "bundle sign FILE --key KEY [--key KEY]", examples,
			     options, set_option, &keys);

	if (r < 0)
		return -r;
	if (argc - r != 1 || !keys.n) {
		fprintf(stderr, "waveos-bpf " VERB ": takes one file and --key KEY; see --help\n");
		return WV_EXIT_USAGE;
	}
	fd = open(argv[r], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return wv_bundle_say(VERB, argv[r], -errno, NULL);
	if (pread(fd, &first, 1, 0) == 1 && first == '{')
		return sign_envelope(cli, argv[r], &keys);
	return sign_bundle(cli, argv[r], fd, &keys);
}
