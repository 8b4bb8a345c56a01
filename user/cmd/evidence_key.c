// SPDX-License-Identifier: GPL-2.0-only
/* evidence key: what others need to check this device's signatures. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"

struct ask {
	bool create;
};

static const struct wv_option options[] = {
	{"create", 'c', NULL, "make the key if there is none yet"},
	{0},
};
static const char examples[] = "  waveos-bpf evidence key >device.vkey\n"
			       "  waveos-bpf evidence key --create --json\n";

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value _unused_)
{
	((struct ask *)ctx)->create = true;
	return 0;
}

static int print_key(struct wv_cli *cli, const struct wv_secret_key *key, const char *name)
{
	_cleanup_free_ char *vkey = NULL, *secret = NULL, *pem = NULL;
	struct wv_note_verifier v;
	struct json_object *o;
	int r;

	r = wv_note_verifier_init(&v, name, WV_NOTE_ED25519, &key->public_key);
	if (r == 0)
		r = wv_note_verifier_format(&v, &vkey);
	if (r == 0)
		r = wv_key_to_pem(key, &secret, &pem);
	if (r < 0)
		return r;
	explicit_bzero(secret, strlen(secret));
	if (!cli->json) {
		printf("%s\n%s", vkey, pem);
		return 0;
	}
	o = json_object_new_object();
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "vkey", json_object_new_string(vkey));
	json_object_object_add(o, "public_key_pem", json_object_new_string(pem));
	wv_evidence_print(o);
	return 0;
}

int wv_evidence_key(struct wv_cli *cli, int argc, char **argv)
{
	char name[WV_KEY_NAME_SIZE];
	struct wv_secret_key key;
	struct ask ask = {0};
	int r = wv_cli_parse(cli, argc, argv, "evidence key [--create]", examples, options,
			     set_option, &ask);

	if (r < 0)
		return -r;
	if (argc != r) {
		fprintf(stderr, "waveos-bpf evidence key: takes no operand; see --help\n");
		return WV_EXIT_USAGE;
	}
	r = wv_device_key(&wv_io_system, &cli->paths, ask.create, &key, name);
	if (r == -ENOENT) {
		fprintf(stderr,
			"waveos-bpf evidence key: there is none yet below %s; the agent makes it "
			"at its first start, --create now\n",
			cli->paths.state);
		return WV_EXIT_FINDING;
	}
	if (r == 0)
		r = print_key(cli, &key, name);
	wv_secret_key_wipe(&key);
	return r < 0 ? wv_evidence_failed(argv[0], "the device's key", r) : WV_EXIT_OK;
}
