// SPDX-License-Identifier: GPL-2.0-only
/*
 * minisign's files. A signature file is four lines: a comment that nothing protects, base64 of
 * "ED" || id || Ed25519(BLAKE2b-512(message)), a trusted comment, and base64 of the signature over
 * that signature and the trusted comment. A public key file is a comment and base64 of
 * "Ed" || id || key. Only prehashed signatures are taken; that is all that minisign has written
 * since 0.11.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "user/core/base64.h"
#include "user/core/cleanup.h"
#include "user/evidence/sign.h"

#define UNTRUSTED "untrusted comment: "
#define TRUSTED "trusted comment: "
#define ID_SIZE 8
#define DIGEST_SIZE 64
/* as minisign itself limits it */
#define COMMENT_MAX 8192

struct signed_line {
	char algorithm[2];
	unsigned char id[ID_SIZE];
	unsigned char signature[WV_SIGNATURE_SIZE];
};
struct key_line {
	char algorithm[2];
	unsigned char id[ID_SIZE];
	struct wv_public_key key;
};
_Static_assert(sizeof(struct signed_line) == 74, "minisign's signature");
_Static_assert(sizeof(struct key_line) == 42, "minisign's key");

static int digest(const void *message, size_t len, unsigned char ret[DIGEST_SIZE])
{
	return EVP_Digest(message, len, ret, NULL, EVP_blake2b512(), NULL) == 1 ? 0 : -ENOMEM;
}

/* The second signature is over the first and the trusted comment. *ret is to be freed. */
static int global_message(const unsigned char signature[WV_SIGNATURE_SIZE], const char *comment,
			  size_t comment_len, unsigned char **ret, size_t *ret_len)
{
	unsigned char *m = malloc(WV_SIGNATURE_SIZE + comment_len);

	if (!m)
		return -ENOMEM;
	memcpy(m, signature, WV_SIGNATURE_SIZE);
	memcpy(m + WV_SIGNATURE_SIZE, comment, comment_len);
	*ret = m;
	*ret_len = WV_SIGNATURE_SIZE + comment_len;
	return 0;
}

int wv_minisign_sign(const struct wv_secret_key *key, const unsigned char id[8],
		     const void *message, size_t len, const char *trusted_comment, char **ret_text)
{
	_cleanup_free_ unsigned char *global = NULL;
	char line[WV_BASE64_LENGTH(sizeof(struct signed_line)) + 1];
	char global_line[WV_BASE64_LENGTH(WV_SIGNATURE_SIZE) + 1];
	unsigned char hash[DIGEST_SIZE], global_signature[WV_SIGNATURE_SIZE];
	struct signed_line s = {.algorithm = {'E', 'D'}};
	size_t global_len;
	char *text;
	int r;

	if (strpbrk(trusted_comment, "\r\n") || strlen(trusted_comment) > COMMENT_MAX)
		return -EINVAL;
	memcpy(s.id, id, ID_SIZE);
	r = digest(message, len, hash);
	if (r == 0)
		r = wv_sign(key, hash, sizeof(hash), s.signature);
	if (r == 0)
		r = global_message(s.signature, trusted_comment, strlen(trusted_comment), &global,
				   &global_len);
	if (r == 0)
		r = wv_sign(key, global, global_len, global_signature);
	if (r < 0)
		return r;
	wv_base64_encode(&s, sizeof(s), line);
	wv_base64_encode(global_signature, sizeof(global_signature), global_line);
	if (asprintf(&text, UNTRUSTED "signature by waveos-bpf\n%s\n" TRUSTED "%s\n%s\n", line,
		     trusted_comment, global_line) < 0)
		return -ENOMEM;
	*ret_text = text;
	return 0;
}

int wv_minisign_public(const struct wv_public_key *key, const unsigned char id[8], char **ret_text)
{
	struct key_line k = {.algorithm = {'E', 'd'}, .key = *key};
	char line[WV_BASE64_LENGTH(sizeof(struct key_line)) + 1], *text;
	unsigned long long shown = 0;
	int i;

	memcpy(k.id, id, ID_SIZE);
	/* minisign shows an id as a little-endian number */
	for (i = ID_SIZE - 1; i >= 0; i--)
		shown = shown << 8 | id[i];
	wv_base64_encode(&k, sizeof(k), line);
	if (asprintf(&text, UNTRUSTED "minisign public key %016llX\n%s\n", shown, line) < 0)
		return -ENOMEM;
	*ret_text = text;
	return 0;
}

/* The next line of *text without its end; *text moves behind it. NULL at the end. */
static const char *next_line(const char **text, size_t *ret_len)
{
	const char *line = *text;
	size_t len = strcspn(line, "\n");

	if (!*line)
		return NULL;
	*text += len + (line[len] == '\n');
	/* files that went through other systems */
	*ret_len = len && line[len - 1] == '\r' ? len - 1 : len;
	return line;
}

/* Line that begins with prefix: what follows it. */
static const char *comment_line(const char **text, const char *prefix, size_t *ret_len)
{
	const char *line = next_line(text, ret_len);
	size_t skip = strlen(prefix);

	if (!line || *ret_len < skip || memcmp(line, prefix, skip) != 0)
		return NULL;
	*ret_len -= skip;
	return line + skip;
}

static int decoded_line(const char **text, void *ret, size_t size)
{
	size_t len;
	const char *line = next_line(text, &len);

	return line && wv_base64_decode(line, len, ret, size) == (ssize_t)size ? 0 : -EINVAL;
}

int wv_minisign_parse_public(const char *text, struct wv_public_key *ret, unsigned char ret_id[8])
{
	struct key_line k;
	size_t len;

	/* the bare base64 line is how such keys stand in documents */
	if (strncmp(text, UNTRUSTED, strlen(UNTRUSTED)) == 0 &&
	    !comment_line(&text, UNTRUSTED, &len))
		return -EINVAL;
	if (decoded_line(&text, &k, sizeof(k)) < 0 || memcmp(k.algorithm, "Ed", 2) != 0 || *text)
		return -EINVAL;
	*ret = k.key;
	memcpy(ret_id, k.id, ID_SIZE);
	return 0;
}

int wv_minisign_check(const struct wv_public_key *key, const void *message, size_t len,
		      const char *signature_text)
{
	_cleanup_free_ unsigned char *global = NULL;
	unsigned char hash[DIGEST_SIZE], global_signature[WV_SIGNATURE_SIZE];
	size_t comment_len, global_len;
	struct signed_line s;
	const char *comment;
	int r;

	if (!comment_line(&signature_text, UNTRUSTED, &comment_len) ||
	    decoded_line(&signature_text, &s, sizeof(s)) < 0 || memcmp(s.algorithm, "ED", 2) != 0)
		return -EBADMSG;
	comment = comment_line(&signature_text, TRUSTED, &comment_len);
	if (!comment || comment_len > COMMENT_MAX ||
	    decoded_line(&signature_text, global_signature, sizeof(global_signature)) < 0 ||
	    *signature_text)
		return -EBADMSG;
	r = digest(message, len, hash);
	if (r == 0)
		r = wv_sign_check(key, hash, sizeof(hash), s.signature);
	if (r == 0)
		r = global_message(s.signature, comment, comment_len, &global, &global_len);
	if (r == 0)
		r = wv_sign_check(key, global, global_len, global_signature);
	return r;
}
