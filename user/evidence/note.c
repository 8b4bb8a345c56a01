// SPDX-License-Identifier: GPL-2.0-only
/*
 * Notes are strict on both sides: what is not written exactly as the specification has it is no
 * note, so that nobody can say the same thing in two texts. A text is told from its signatures by
 * the last empty line.
 */
#include "user/evidence/note.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "user/core/base64.h"
#include "user/core/cleanup.h"
#include "user/evidence/utf8.h"

#define DASH "\xe2\x80\x94 "
#define DASH_SIZE (sizeof(DASH) - 1)
#define ID_SIZE 4
#define TIME_SIZE 8
#define COSIGNATURE_SIZE (TIME_SIZE + WV_SIGNATURE_SIZE)
/* of the algorithms of others, up to those after quantum computers */
#define SIGNATURE_MAX 8192

static void put_be(unsigned char *to, uint64_t v, unsigned n)
{
	while (n--) {
		to[n] = (unsigned char)v;
		v >>= 8;
	}
}

static uint64_t get_be(const unsigned char *from, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *from++;
	return v;
}

static bool name_ok(const char *name, size_t len)
{
	return len > 0 && !memchr(name, '+', len) && wv_utf8_is_word(name, len);
}

static uint32_t key_id(const char *name, enum wv_note_algorithm algorithm,
		       const struct wv_public_key *key)
{
	unsigned char hash[SHA256_DIGEST_LENGTH], in[WV_KEY_NAME_SIZE * 2 + 2 + WV_PUBLIC_KEY_SIZE];
	size_t len = (size_t)snprintf((char *)in, sizeof(in), "%s\n", name);

	in[len++] = (unsigned char)algorithm;
	memcpy(in + len, key->bytes, sizeof(key->bytes));
	SHA256(in, len + sizeof(key->bytes), hash);
	return (uint32_t)get_be(hash, ID_SIZE);
}

int wv_note_verifier_init(struct wv_note_verifier *v, const char *name,
			  enum wv_note_algorithm algorithm, const struct wv_public_key *key)
{
	if (strlen(name) >= sizeof(v->name) || !name_ok(name, strlen(name)))
		return -EINVAL;
	memset(v, 0, sizeof(*v));
	memcpy(v->name, name, strlen(name));
	v->algorithm = algorithm;
	v->key = *key;
	v->id = key_id(name, algorithm, key);
	return 0;
}

int wv_note_verifier_parse(const char *vkey, struct wv_note_verifier *ret)
{
	const char *id = strchr(vkey, '+'), *encoded = id ? strchr(id + 1, '+') : NULL;
	unsigned char bytes[1 + WV_PUBLIC_KEY_SIZE];
	char name[sizeof(ret->name)], hex[9];
	struct wv_public_key key;
	struct wv_note_verifier v;
	int r;

	if (!encoded || (size_t)(id - vkey) >= sizeof(name) || encoded - id != 1 + 8)
		return -EINVAL;
	encoded++;
	if (wv_base64_decode(encoded, strlen(encoded), bytes, sizeof(bytes)) != sizeof(bytes))
		return -EINVAL;
	if (bytes[0] != WV_NOTE_ED25519 && bytes[0] != WV_NOTE_COSIGNATURE_V1)
		return -EINVAL;
	memcpy(name, vkey, (size_t)(id - vkey));
	name[id - vkey] = '\0';
	memcpy(key.bytes, bytes + 1, sizeof(key.bytes));
	r = wv_note_verifier_init(&v, name, bytes[0], &key);
	if (r < 0)
		return r;
	snprintf(hex, sizeof(hex), "%08" PRIx32, v.id);
	if (memcmp(hex, id + 1, 8) != 0)
		return -EINVAL;
	*ret = v;
	return 0;
}

int wv_note_verifier_format(const struct wv_note_verifier *v, char **ret)
{
	unsigned char bytes[1 + WV_PUBLIC_KEY_SIZE];
	char encoded[WV_BASE64_LENGTH(sizeof(bytes)) + 1], *text;

	bytes[0] = (unsigned char)v->algorithm;
	memcpy(bytes + 1, v->key.bytes, sizeof(v->key.bytes));
	wv_base64_encode(bytes, sizeof(bytes), encoded);
	if (asprintf(&text, "%s+%08" PRIx32 "+%s", v->name, v->id, encoded) < 0)
		return -ENOMEM;
	*ret = text;
	return 0;
}

/* A text that may be signed: ends in a newline, no control characters, UTF-8. */
static bool text_ok(const char *text, size_t len)
{
	size_t i;

	if (!len || text[len - 1] != '\n')
		return false;
	for (i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 && text[i] != '\n')
			return false;
	return wv_utf8_valid(text, len);
}

/* "- name base64(id signature)\n", to be freed. */
static int signature_line(const char *name, uint32_t id, const unsigned char *signature, size_t len,
			  char **ret)
{
	unsigned char bytes[ID_SIZE + COSIGNATURE_SIZE];
	char encoded[WV_BASE64_LENGTH(sizeof(bytes)) + 1], *line;

	put_be(bytes, id, ID_SIZE);
	memcpy(bytes + ID_SIZE, signature, len);
	wv_base64_encode(bytes, ID_SIZE + len, encoded);
	if (asprintf(&line, DASH "%s %s\n", name, encoded) < 0)
		return -ENOMEM;
	*ret = line;
	return 0;
}

int wv_note_sign(const char *text, const char *name, const struct wv_secret_key *key, char **ret)
{
	_cleanup_free_ char *line = NULL;
	unsigned char signature[WV_SIGNATURE_SIZE];
	struct wv_note_verifier v;
	char *note;
	int r;

	r = wv_note_verifier_init(&v, name, WV_NOTE_ED25519, &key->public_key);
	if (r < 0 || !text_ok(text, strlen(text)))
		return -EINVAL;
	r = wv_sign(key, text, strlen(text), signature);
	if (r == 0)
		r = signature_line(name, v.id, signature, sizeof(signature), &line);
	if (r < 0)
		return r;
	if (asprintf(&note, "%s\n%s", text, line) < 0)
		return -ENOMEM;
	*ret = note;
	return 0;
}

/* What a witness signs; to be freed. */
static int cosigned_message(const char *text, size_t text_len, uint64_t unix_s, char **ret)
{
	return asprintf(ret, "cosignature/v1\ntime %" PRIu64 "\n%.*s", unix_s, (int)text_len, text);
}

int wv_note_cosign(const char *text, const char *name, const struct wv_secret_key *key,
		   uint64_t unix_s, char **ret_line)
{
	unsigned char signature[COSIGNATURE_SIZE];
	_cleanup_free_ char *message = NULL;
	struct wv_note_verifier v;
	int r, len;

	r = wv_note_verifier_init(&v, name, WV_NOTE_COSIGNATURE_V1, &key->public_key);
	if (r < 0 || unix_s > INT64_MAX || strlen(text) > WV_NOTE_MAX ||
	    !text_ok(text, strlen(text)))
		return -EINVAL;
	len = cosigned_message(text, strlen(text), unix_s, &message);
	if (len < 0)
		return -ENOMEM;
	put_be(signature, unix_s, TIME_SIZE);
	r = wv_sign(key, message, (size_t)len, signature + TIME_SIZE);
	return r < 0 ? r : signature_line(name, v.id, signature, sizeof(signature), ret_line);
}

struct signature {
	const char *name;
	size_t name_len, len;
	uint32_t id;
	unsigned char bytes[SIGNATURE_MAX];
};

/* One line without its newline. */
static int parse_signature(const char *line, size_t len, struct signature *ret)
{
	unsigned char bytes[ID_SIZE + SIGNATURE_MAX];
	const char *space;
	ssize_t n;

	if (len < DASH_SIZE || memcmp(line, DASH, DASH_SIZE) != 0)
		return -EPROTO;
	line += DASH_SIZE;
	len -= DASH_SIZE;
	space = memchr(line, ' ', len);
	if (!space || !name_ok(line, (size_t)(space - line)))
		return -EPROTO;
	ret->name = line;
	ret->name_len = (size_t)(space - line);
	len -= ret->name_len + 1;
	n = wv_base64_decode(space + 1, len, bytes, sizeof(bytes));
	if (n <= ID_SIZE)
		return -EPROTO;
	ret->id = (uint32_t)get_be(bytes, ID_SIZE);
	ret->len = (size_t)n - ID_SIZE;
	memcpy(ret->bytes, bytes + ID_SIZE, ret->len);
	return 0;
}

static int check_signature(const struct wv_note_verifier *v, const struct signature *s,
			   const char *text, size_t text_len, uint64_t *ret_time)
{
	_cleanup_free_ char *message = NULL;
	uint64_t unix_s;
	int len, r;

	if (v->algorithm == WV_NOTE_ED25519)
		return s->len == WV_SIGNATURE_SIZE
			       ? wv_sign_check(&v->key, text, text_len, s->bytes)
			       : -EBADMSG;
	if (s->len != COSIGNATURE_SIZE)
		return -EBADMSG;
	unix_s = get_be(s->bytes, TIME_SIZE);
	if (unix_s > INT64_MAX)
		return -EBADMSG;
	len = cosigned_message(text, text_len, unix_s, &message);
	if (len < 0)
		return -ENOMEM;
	r = wv_sign_check(&v->key, message, (size_t)len, s->bytes + TIME_SIZE);
	if (r == 0 && ret_time)
		*ret_time = unix_s;
	return r;
}

static bool is_of(const struct wv_note_verifier *v, const struct signature *s)
{
	return v->id == s->id && strlen(v->name) == s->name_len &&
	       memcmp(v->name, s->name, s->name_len) == 0;
}

int wv_note_open(const char *note, size_t len, const struct wv_note_verifier *verifiers, unsigned n,
		 uint64_t *ret_signed, uint64_t *times, size_t *ret_text_len)
{
	const char *line, *end = note + len, *next;
	unsigned i, signatures = 0;
	uint64_t by = 0;
	struct signature s;
	size_t text_len;
	int r;

	if (n > 64)
		return -EINVAL;
	if (len > WV_NOTE_MAX || !text_ok(note, len))
		return -EPROTO;
	for (text_len = len - 1; text_len > 0; text_len--)
		if (note[text_len] == '\n' && note[text_len - 1] == '\n')
			break;
	if (!text_len || text_len + 1 >= len)
		return -EPROTO;
	for (line = note + text_len + 1; line < end; line = next + 1) {
		next = memchr(line, '\n', (size_t)(end - line));
		if (++signatures > WV_NOTE_SIGNATURES_MAX ||
		    parse_signature(line, (size_t)(next - line), &s) < 0)
			return -EPROTO;
		for (i = 0; i < n; i++) {
			if (!is_of(&verifiers[i], &s))
				continue;
			r = check_signature(&verifiers[i], &s, note, text_len,
					    times ? &times[i] : NULL);
			if (r < 0)
				return r;
			by |= 1ULL << i;
		}
	}
	*ret_signed = by;
	*ret_text_len = text_len;
	return 0;
}
