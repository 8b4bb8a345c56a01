// SPDX-License-Identifier: GPL-2.0-only
/* bundle: the table of its subverbs, and what they share. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/cmd/bundle_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

static const struct wv_subverb subverbs[] = {
#define WV_BUNDLE_VERB(name, summary) {#name, summary, wv_bundle_##name##_cmd},
#include "user/cmd/bundle.def"
#undef WV_BUNDLE_VERB
	{NULL, NULL, NULL},
};

static const char examples[] = "  waveos-bpf bundle keygen -o alice\n"
			       "  waveos-bpf bundle build -f shop.yaml -o shop.wvb\n"
			       "  waveos-bpf bundle sign shop.wvb --key alice.pem\n"
			       "  waveos-bpf bundle verify shop.wvb --trust root.1.json\n";

int wv_cmd_bundle(struct wv_cli *cli, int argc, char **argv)
{
	return wv_cli_dispatch("bundle", subverbs, examples, cli, argc, argv);
}

int wv_bundle_say(const char *verb, const char *what, int error, const char *why)
{
	static const struct {
		int error, code;
	} codes[] = {
		{-EACCES, WV_EXIT_DENIED},	  {-EPERM, WV_EXIT_DENIED},
		{-EROFS, WV_EXIT_DENIED},	  {-ENOPKG, WV_EXIT_UNSUPPORTED},
		{-ENOMEM, WV_EXIT_INTERNAL},	  {-EIO, WV_EXIT_INTERNAL},
		{-ENOSPC, WV_EXIT_INTERNAL},	  {-EBADMSG, WV_EXIT_FINDING},
		{-EKEYREJECTED, WV_EXIT_FINDING}, {-EKEYEXPIRED, WV_EXIT_FINDING},
		{-ESTALE, WV_EXIT_FINDING},	  {-EFBIG, WV_EXIT_FINDING},
		{-EXDEV, WV_EXIT_FINDING},
	};

	fprintf(stderr, "waveos-bpf %s: %s: %s\n", verb, what,
		why && *why ? why : strerror(-error));
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].error == error)
			return codes[i].code;
	return WV_EXIT_USAGE;
}

int wv_bundle_load_file(const char *path, size_t max, char **ret, size_t *ret_len)
{
	return wv_io_read_file(&wv_io_system, AT_FDCWD, path, max, ret, ret_len);
}

int wv_bundle_load_secret(const char *path, struct wv_secret_key *ret)
{
	char *pem;
	size_t len;
	int r = wv_bundle_load_file(path, 8192, &pem, &len);

	if (r < 0)
		return r;
	r = wv_secret_key_from_pem(pem, ret);
	OPENSSL_cleanse(pem, len);
	free(pem);
	return r;
}

int wv_bundle_load_public(const char *path, struct wv_public_key *ret)
{
	_cleanup_free_ char *pem = NULL;
	int r = wv_bundle_load_file(path, 8192, &pem, NULL);

	return r < 0 ? r : wv_public_key_from_pem(pem, ret);
}

int wv_bundle_open_folder(const char *path, int *ret_dir, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder =
		slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd;

	if (!folder)
		return -ENOMEM;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_dir = fd;
	*ret_name = slash ? slash + 1 : path;
	return 0;
}

int wv_bundle_save_file(const char *path, const void *bytes, size_t len, mode_t mode)
{
	_cleanup_close_ int dir = -1;
	const char *name;
	int r = wv_bundle_open_folder(path, &dir, &name);

	return r < 0 ? r : wv_io_replace(&wv_io_system, dir, name, bytes, len, mode);
}

uint64_t wv_bundle_time_s(void)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	uint64_t s;

	if (epoch && wv_parse_uint(epoch, &s) == 0)
		return s;
	return wv_io_system.wall_ns(wv_io_system.ctx) / 1000000000ULL;
}

void wv_bundle_print_time(FILE *f, uint64_t unix_s)
{
	time_t t = (time_t)unix_s;
	char text[32] = "?";
	struct tm tm;

	if (gmtime_r(&t, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm);
	fputs(text, f);
}

void wv_bundle_print_json(struct json_object *o)
{
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

int wv_bundle_sign_with(const char *verb, const struct wv_bundle_keys *keys, struct wv_dsse *d,
			const char *type, const void *payload, size_t len)
{
	for (unsigned i = 0; i < keys->n; i++) {
		struct wv_secret_key key;
		int r = wv_bundle_load_secret(keys->paths[i], &key);

		if (r == 0)
			r = wv_dsse_sign(d, type, payload, len, &key);
		wv_secret_key_wipe(&key);
		if (r < 0)
			return wv_bundle_say(verb, keys->paths[i], r,
					     r == -EINVAL || r == -EBADMSG
						     ? "it is no Ed25519 secret key in PEM"
						     : NULL);
	}
	return WV_EXIT_OK;
}

int wv_bundle_save_envelope(const char *verb, const char *path, const char *type,
			    const char *payload, size_t len, const struct wv_bundle_keys *keys)
{
	struct wv_dsse d = {.payload = strdup(payload), .len = len};
	_cleanup_free_ char *text = NULL;
	size_t text_len;
	int code = d.payload ? wv_bundle_sign_with(verb, keys, &d, type, payload, len)
			     : WV_EXIT_INTERNAL,
	    r;

	if (code == WV_EXIT_OK) {
		r = wv_dsse_text(&d, type, &text, &text_len);
		if (r == 0)
			r = wv_bundle_save_file(path, text, text_len, 0644);
		if (r < 0)
			code = wv_bundle_say(verb, path, r, NULL);
	}
	wv_dsse_done(&d);
	return code;
}
