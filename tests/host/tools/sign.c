// SPDX-License-Identifier: GPL-2.0-only
/*
 * The agent's signatures at a command line, for the test against other tools.
 *   sign keygen SECRET.pem PUBLIC.pem PUBLIC.minisign
 *   sign sign SECRET.pem FILE RAW.sig FILE.minisig
 *   sign raw PUBLIC.pem FILE RAW.sig          exit 0: holds, 1: does not
 *   sign minisign PUBLIC.minisign FILE FILE.minisig
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/sign.h"

static const unsigned char id[8] = {0xd0, 1, 2, 3, 4, 5, 6, 0xfe};

static char *slurp(const char *path, size_t *ret_len)
{
	char *text = NULL;
	size_t len = 0;

	if (wv_io_read_file(&wv_io_system, AT_FDCWD, path, 1 << 20, &text, &len) < 0) {
		fprintf(stderr, "cannot read %s\n", path);
		exit(2);
	}
	if (ret_len)
		*ret_len = len;
	return text;
}

static void spill(const char *path, const void *bytes, size_t len)
{
	if (wv_io_replace(&wv_io_system, AT_FDCWD, path, bytes, len, 0600) < 0) {
		fprintf(stderr, "cannot write %s\n", path);
		exit(2);
	}
}

static int keygen(char **argv)
{
	_cleanup_free_ char *secret = NULL, *public = NULL, *minisign = NULL;
	struct wv_secret_key key;

	if (wv_key_generate(&wv_io_system, &key) < 0 || wv_key_to_pem(&key, &secret, &public) < 0 ||
	    wv_minisign_public(&key.public_key, id, &minisign) < 0)
		return 2;
	spill(argv[0], secret, strlen(secret));
	spill(argv[1], public, strlen(public));
	spill(argv[2], minisign, strlen(minisign));
	return 0;
}

static int sign(char **argv)
{
	_cleanup_free_ char *pem = slurp(argv[0], NULL), *message = NULL, *text = NULL;
	unsigned char signature[WV_SIGNATURE_SIZE];
	struct wv_secret_key key;
	size_t len;

	message = slurp(argv[1], &len);
	if (wv_secret_key_from_pem(pem, &key) < 0 || wv_sign(&key, message, len, signature) < 0 ||
	    wv_minisign_sign(&key, id, message, len, "signed for a test", &text) < 0)
		return 2;
	spill(argv[2], signature, sizeof(signature));
	spill(argv[3], text, strlen(text));
	return 0;
}

static int raw(char **argv)
{
	_cleanup_free_ char *pem = slurp(argv[0], NULL), *message = NULL, *signature = NULL;
	struct wv_public_key key;
	size_t len, n;

	message = slurp(argv[1], &len);
	signature = slurp(argv[2], &n);
	if (wv_public_key_from_pem(pem, &key) < 0 || n != WV_SIGNATURE_SIZE)
		return 2;
	return wv_sign_check(&key, message, len, (unsigned char *)signature) < 0;
}

static int minisign(char **argv)
{
	_cleanup_free_ char *text = slurp(argv[0], NULL), *message = NULL, *signature = NULL;
	struct wv_public_key key;
	unsigned char key_id[8];
	size_t len;

	message = slurp(argv[1], &len);
	signature = slurp(argv[2], NULL);
	if (wv_minisign_parse_public(text, &key, key_id) < 0)
		return 2;
	return wv_minisign_check(&key, message, len, signature) < 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int arguments, (*run)(char **argv);
	} verbs[] = {
		{"keygen", 3, keygen},
		{"sign", 4, sign},
		{"raw", 3, raw},
		{"minisign", 3, minisign},
	};

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (argc == verbs[i].arguments + 2 && strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argv + 2);
	return 2;
}
