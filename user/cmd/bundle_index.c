// SPDX-License-Identifier: GPL-2.0-only
/* bundle index: the newest bundles of a channel, for a source of updates. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/bundle_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

#define VERB "bundle index"

struct args {
	const char *output, *channel;
	uint64_t version, life_ns;
	struct wv_bundle_keys sign;
};

static const struct wv_option options[] = {
	{"output", 'o', "FILE", "the index; by custom index.json beside the bundles"},
	{"channel", 'c', "NAME", "what devices follow (update.channel; default stable)"},
	{"version", 'v', "N", "higher than that of any index before it (default: the time)"},
	{"expires", 'e', "TIME", "until when it is good from now, at most 90d (default 7d)"},
	{"sign", 'k', "KEY", "sign with this secret key; may be repeated"},
	{0},
};

static const char examples[] =
	"  waveos-bpf bundle index -o index.json --channel stable shop.wvb shop-config.wvb\n"
	"  waveos-bpf bundle sign index.json --key release.pem\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct args *a = ctx;

	if (o->letter == 'o')
		a->output = value;
	else if (o->letter == 'c')
		a->channel = value;
	else if (o->letter == 'k' && a->sign.n < ARRAY_SIZE(a->sign.paths))
		a->sign.paths[a->sign.n++] = value;
	else if (!((o->letter == 'v' && wv_parse_uint(value, &a->version) == 0) ||
		   (o->letter == 'e' && wv_parse_duration(value, &a->life_ns) == 0))) {
		fprintf(stderr, "waveos-bpf " VERB ": --%s %s: too many, or no such value\n",
			o->name, value);
		return WV_EXIT_USAGE;
	}
	return 0;
}

static int hash_file(int fd, struct wv_bundle_index_entry *e)
{
	struct wv_sha256 sum;
	char buf[16384];
	ssize_t n;

	wv_sha256_init(&sum);
	e->size = 0;
	while ((n = pread(fd, buf, sizeof(buf), (off_t)e->size)) > 0) {
		wv_sha256_add(&sum, buf, (size_t)n);
		e->size += (uint64_t)n;
	}
	wv_sha256_end(&sum, e->sha256);
	return n < 0 ? -errno : 0;
}

/* One row of a bundle, all of which is read: an index names nothing that is broken. */
static int add_bundle(const char *path, struct wv_bundle_index *index,
		      struct wv_manifest_error *error)
{
	struct wv_bundle_index_entry *e = &index->entries[index->n];
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct wv_manifest *m;
	const struct wv_bundle_file *f;
	struct wv_bundle_reader *reader;
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int r = fd < 0 ? -errno : hash_file(fd, e);

	if (r == 0)
		r = wv_bundle_read_unverified(&reader, fd, error);
	if (r < 0)
		return r;
	m = wv_bundle_read_manifest(reader);
	e->kind = m->kind;
	e->counter = m->counter;
	strcpy(e->name, m->name);
	strcpy(e->id, m->id);
	do
		r = wv_bundle_read_next(reader, &f);
	while (r > 0);
	if (r < 0)
		(void)wv_manifest_fail(error, "%s", wv_bundle_read_error(reader));
	wv_bundle_read_close(reader);
	if (r == 0 && strlen(name) >= sizeof(e->file))
		return -ENAMETOOLONG;
	if (r == 0) {
		strcpy(e->file, name);
		index->n++;
	}
	return r;
}

static int write_index(const struct args *a, struct wv_bundle_index *index)
{
	struct wv_manifest_error error = {.text = ""};
	struct wv_bundle_index again;
	_cleanup_free_ char *payload = NULL;
	size_t len;
	int r = wv_bundle_index_text(index, &payload, &len);

	if (r == 0)
		r = wv_bundle_index_parse(payload, len, &again, &error);
	if (r < 0)
		return wv_bundle_say(VERB, a->output, r == -EBADMSG ? -EINVAL : r, error.text);
	wv_bundle_index_done(&again);
	return wv_bundle_save_envelope(VERB, a->output, WV_TYPE_INDEX, payload, len, &a->sign);
}

int wv_bundle_index_cmd(struct wv_cli *cli, int argc, char **argv)
{
	struct args a = {.channel = "stable", .life_ns = 7 * WV_BUNDLE_DAY_S * 1000000000ULL};
	struct wv_bundle_index index = {.n = 0};
	int first = wv_cli_parse(cli, argc, argv, "bundle index -o FILE [options] BUNDLE...",
				 examples, options, set_option, &a),
	    code = WV_EXIT_OK;

	if (first < 0)
		return -first;
	if (!a.output || first == argc || argc - first > WV_BUNDLE_INDEX_ENTRIES_MAX ||
	    strlen(a.channel) >= sizeof(index.channel)) {
		fprintf(stderr, "waveos-bpf " VERB ": takes -o FILE and bundles; see --help\n");
		return WV_EXIT_USAGE;
	}
	index.entries = calloc((size_t)(argc - first), sizeof(*index.entries));
	if (!index.entries)
		return WV_EXIT_INTERNAL;
	index.created_s = wv_bundle_time_s();
	index.expires_s = index.created_s + a.life_ns / 1000000000ULL;
	index.version = a.version ?: index.created_s;
	strcpy(index.channel, a.channel);
	for (int i = first; i < argc && code == WV_EXIT_OK; i++) {
		struct wv_manifest_error error = {.text = ""};
		int r = add_bundle(argv[i], &index, &error);

		if (r < 0)
			code = wv_bundle_say(VERB, argv[i], r, error.text);
	}
	if (code == WV_EXIT_OK)
		code = write_index(&a, &index);
	if (code == WV_EXIT_OK && cli->json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "file", json_object_new_string(a.output));
		json_object_object_add(o, "version", json_object_new_uint64(index.version));
		json_object_object_add(o, "bundles", json_object_new_int((int)index.n));
		wv_bundle_print_json(o);
	} else if (code == WV_EXIT_OK) {
		printf("%s: index %llu of %s with %u bundles, %u signatures\n", a.output,
		       (unsigned long long)index.version, index.channel, index.n, a.sign.n);
	}
	wv_bundle_index_done(&index);
	return code;
}
