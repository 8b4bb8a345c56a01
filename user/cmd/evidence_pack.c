// SPDX-License-Identifier: GPL-2.0-only
/* evidence verify FILE.tar.zst: an evidence pack, offline. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/evidence_cmd.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/evidence/pack.h"

static const struct wv_option options[] = {
	{"key", 'k', "FILE",
	 "public key of the device that must have signed: PEM, minisign's, or a verifier key"},
	{0},
};
static const char examples[] =
	"  waveos-bpf evidence verify incident.tar.zst --key device.pem\n"
	"  waveos-bpf evidence verify incident.tar.zst --json | jq .findings\n";

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value)
{
	*(const char **)ctx = value;
	return 0;
}

bool wv_evidence_names_pack(int argc, char **argv)
{
	static const char end[] = ".tar.zst";

	for (int i = 1; i < argc; i++) {
		size_t len = strlen(argv[i]);

		if (len > strlen(end) && strcmp(argv[i] + len - strlen(end), end) == 0)
			return true;
	}
	return false;
}

/* A file in any of the forms that public keys have, or a verifier key itself. */
static int read_key(const char *file, struct wv_public_key *ret)
{
	_cleanup_free_ char *text = NULL;
	struct wv_note_verifier v;
	unsigned char id[8];
	int r;

	if (wv_note_verifier_parse(file, &v) == 0) {
		*ret = v.key;
		return 0;
	}
	r = wv_io_read_file(&wv_io_system, AT_FDCWD, file, 64U << 10, &text, NULL);
	if (r < 0)
		return r;
	if (strcspn(text, "\n") < WV_NOTE_MAX && !strchr(text, ' ')) {
		text[strcspn(text, "\n")] = '\0';
		if (wv_note_verifier_parse(text, &v) == 0) {
			*ret = v.key;
			return 0;
		}
	}
	return wv_public_key_from_pem(text, ret) == 0 ? 0 : wv_minisign_parse_public(text, ret, id);
}

static void take_finding(void *ctx, const char *what, const char *where, const char *text)
{
	struct json_object *o = json_object_new_object();

	wv_json_str(o, "what", what);
	wv_json_str(o, "where", where);
	wv_json_str(o, "text", text);
	json_object_array_add(ctx, o);
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return o && json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) ?: "" : "";
}

/* This machine's own key, where the verb runs on the device that made the pack. */
static bool own_key(const struct wv_cli *cli, struct wv_public_key *ret)
{
	char name[WV_KEY_NAME_SIZE];
	struct wv_secret_key key;

	if (wv_device_key(&wv_io_system, &cli->paths, false, &key, name) < 0)
		return false;
	*ret = key.public_key;
	wv_secret_key_wipe(&key);
	return true;
}

static void print_text(const char *file, const struct wv_pack_verdict *v,
		       struct json_object *findings, bool trusted)
{
	struct json_object *log = NULL, *missing = NULL;

	for (size_t i = 0; i < json_object_array_length(findings); i++) {
		struct json_object *f = json_object_array_get_idx(findings, i);

		printf("%s: %s%s%s\n", text_of(f, "what"), text_of(f, "where"),
		       *text_of(f, "where") ? ": " : "", text_of(f, "text"));
	}
	if (v->findings) {
		printf("%s does not verify: %u findings\n", file, v->findings);
		return;
	}
	if (v->manifest)
		(void)json_object_object_get_ex(v->manifest, "log", &log);
	printf("%s is whole: %" PRIu64 " files; records %s to %s of %s, all in its log; %" PRIu64
	       " redacted (%s)\n",
	       file, v->files, text_of(log, "first_seq"), text_of(log, "last_seq"),
	       text_of(log, "origin"), v->redacted, text_of(v->manifest, "profile"));
	if (json_object_object_get_ex(v->manifest, "missing", &missing))
		for (size_t i = 0; i < json_object_array_length(missing); i++)
			printf("not in it: %s\n",
			       json_object_get_string(json_object_array_get_idx(missing, i)));
	if (trusted)
		printf("signed by the key that you trust\n");
	else
		printf("signed by the key that is in it: who made it is not shown. Give the "
		       "device's public key "
		       "with --key\n");
}

static void print_json(const char *file, const struct wv_pack_verdict *v,
		       struct json_object *findings, bool trusted)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	wv_json_str(o, "file", file);
	json_object_object_add(o, "ok", json_object_new_boolean(!v->findings));
	json_object_object_add(o, "trusted", json_object_new_boolean(trusted));
	wv_json_u64(o, "files", v->files);
	wv_json_u64(o, "records", v->records);
	wv_json_u64(o, "redacted", v->redacted);
	json_object_object_add(o, "findings", json_object_get(findings));
	json_object_object_add(o, "manifest", json_object_get(v->manifest));
	wv_json_print(o);
	json_object_put(o);
}

int wv_evidence_verify_pack(struct wv_cli *cli, int argc, char **argv)
{
	struct wv_pack_verdict v = {0};
	struct json_object *findings;
	struct wv_public_key key;
	const char *key_file = NULL;
	bool has_key, trusted;
	int fd, r = wv_cli_parse(cli, argc, argv, "evidence verify FILE.tar.zst [--key FILE]",
				 examples, options, set_option, &key_file);

	if (r < 0)
		return -r;
	if (argc - r != 1) {
		fprintf(stderr,
			"waveos-bpf evidence verify: wants one evidence pack (FILE.tar.zst)\n");
		return WV_EXIT_USAGE;
	}
	if (key_file) {
		int e = read_key(key_file, &key);

		if (e < 0) {
			fprintf(stderr, "waveos-bpf evidence verify: %s: %s\n", key_file,
				e == -ENOENT || e == -EACCES
					? strerror(-e)
					: "no Ed25519 public key in PEM or minisign's form");
			return WV_EXIT_USAGE;
		}
	}
	has_key = key_file || own_key(cli, &key);
	fd = open(argv[r], O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "waveos-bpf evidence verify: %s: %s\n", argv[r], strerror(errno));
		return errno == EACCES ? WV_EXIT_DENIED : WV_EXIT_USAGE;
	}
	findings = json_object_new_array();
	/* a pack of another device is no finding where no key was asked for */
	r = wv_pack_verify(fd,
			   &(struct wv_pack_check){.trusted = key_file ? &key : NULL,
						   .finding = take_finding,
						   .ctx = findings},
			   &v);
	close(fd);
	if (r < 0) {
		fprintf(stderr, "waveos-bpf evidence verify: %s: %s\n", argv[argc - 1],
			r == -EBADMSG ? "no evidence pack (.tar.zst), or one that is damaged or "
					"cut off near its beginning"
			: r == -ENOPKG
				? "libarchive cannot be loaded: install the package libarchive13"
				: strerror(-r));
		json_object_put(findings);
		return r == -EBADMSG  ? WV_EXIT_FINDING
		       : r == -ENOPKG ? WV_EXIT_UNSUPPORTED
				      : WV_EXIT_INTERNAL;
	}
	trusted = !v.findings && has_key && memcmp(key.bytes, v.key.bytes, sizeof(key.bytes)) == 0;
	if (cli->json)
		print_json(argv[argc - 1], &v, findings, trusted);
	else
		print_text(argv[argc - 1], &v, findings, trusted);
	json_object_put(findings);
	json_object_put(v.manifest);
	return v.findings || !trusted ? WV_EXIT_FINDING : WV_EXIT_OK;
}
