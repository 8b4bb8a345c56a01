// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/dsse.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/strict.h"
#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"

#define BASE64_LEN(n) (((n) + 2) / 3 * 4)

void wv_key_id(const struct wv_public_key *key, char ret[WV_SHA256_HEX])
{
	/* RFC 8410: SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING } */
	static const unsigned char prefix[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
					       0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
	unsigned char der[sizeof(prefix) + WV_PUBLIC_KEY_SIZE];

	memcpy(der, prefix, sizeof(prefix));
	memcpy(der + sizeof(prefix), key->bytes, sizeof(key->bytes));
	wv_sha256_hex(der, sizeof(der), ret);
}

int wv_dsse_pae(const char *type, const void *payload, size_t len, char **ret, size_t *ret_len)
{
	char head[160];
	int n = snprintf(head, sizeof(head), "DSSEv1 %zu %s %zu ", strlen(type), type, len);
	char *pae;

	if (n < 0 || n >= (int)sizeof(head))
		return -EINVAL;
	pae = malloc((size_t)n + len + 1);
	if (!pae)
		return -ENOMEM;
	memcpy(pae, head, (size_t)n);
	memcpy(pae + n, payload, len);
	pae[(size_t)n + len] = '\0';
	*ret = pae;
	*ret_len = (size_t)n + len;
	return 0;
}

static char *to_base64(const void *bytes, size_t len)
{
	char *text = malloc(BASE64_LEN(len) + 1);

	if (text)
		EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
	return text;
}

/* OpenSSL forgives much, and one thing must have one form: what it read is written again. */
static int from_base64(const char *text, size_t len, unsigned char **ret, size_t *ret_len)
{
	_cleanup_free_ unsigned char *bytes = malloc(len / 4 * 3 + 1);
	_cleanup_free_ char *again = NULL;
	int n;

	if (!bytes)
		return -ENOMEM;
	n = len % 4 ? -1 : EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len);
	if (n < 0)
		return -EBADMSG;
	for (size_t i = len; i > 0 && text[i - 1] == '=' && n > 0; i--)
		n--;
	again = to_base64(bytes, (size_t)n);
	if (!again)
		return -ENOMEM;
	if (strlen(again) != len || memcmp(again, text, len) != 0)
		return -EBADMSG;
	bytes[n] = '\0';
	*ret = TAKE_PTR(bytes);
	*ret_len = (size_t)n;
	return 0;
}

struct row {
	char key_id[WV_SHA256_HEX], sig[BASE64_LEN(WV_SIGNATURE_SIZE) + 1];
};

static bool is_id(const char *text)
{
	return wv_strict_is_hex(text, WV_SHA256_HEX - 1);
}

static const struct wv_strict_field signature_fields[] = {
	{"keyid", WV_STRICT_TEXT, WV_STRICT_AT(struct row, key_id), .ok = is_id,
	 .want = "64 hex digits"},
	{"sig", WV_STRICT_TEXT, WV_STRICT_AT(struct row, sig)},
	{0},
};

static int read_signatures(struct json_object *list, struct wv_dsse *d,
			   struct wv_manifest_error *error)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct wv_dsse_signature *s = &d->signatures[d->n];
		_cleanup_free_ unsigned char *bytes = NULL;
		struct row row;
		size_t len;
		int r = wv_strict_read(json_object_array_get_idx(list, i), "signatures",
				       signature_fields, &row, error);

		if (r == 0)
			r = from_base64(row.sig, strlen(row.sig), &bytes, &len);
		if (r == -ENOMEM)
			return r;
		if (r < 0 || len != WV_SIGNATURE_SIZE)
			return wv_manifest_fail(error, "signatures: one is no Ed25519 signature");
		memcpy(s->key_id, row.key_id, sizeof(s->key_id));
		memcpy(s->bytes, bytes, WV_SIGNATURE_SIZE);
		d->n++;
	}
	return 0;
}

struct envelope {
	char type[80];
	struct json_object *signatures, *payload;
};

static int read_envelope(struct json_object *o, const char *type, bool detached, struct wv_dsse *d,
			 struct wv_manifest_error *error)
{
	static const struct wv_strict_field fields[] = {
		{"payloadType", WV_STRICT_TEXT, WV_STRICT_AT(struct envelope, type)},
		{"signatures", WV_STRICT_LIST, WV_STRICT_AT(struct envelope, signatures),
		 .max = WV_DSSE_SIGNATURES_MAX},
		{0},
	};
	struct envelope e = {.type = ""};
	const char *text;
	int r;

	if (json_object_object_get_ex(o, "payload", &e.payload)) {
		text = wv_strict_string(e.payload);
		if (detached || !text)
			return wv_manifest_fail(error, "an envelope with a payload inside");
		r = from_base64(text, strlen(text), (unsigned char **)&d->payload, &d->len);
		if (r < 0)
			return r == -ENOMEM ? r : wv_manifest_fail(error, "payload is no base64");
		json_object_object_del(o, "payload");
	} else if (!detached) {
		return wv_manifest_fail(error, "an envelope without payload");
	}
	r = wv_strict_read(o, "envelope", fields, &e, error);
	if (r < 0)
		return r;
	if (strcmp(e.type, type) != 0)
		return wv_manifest_fail(error, "it is signed as %.80s, not as %s", e.type, type);
	return read_signatures(e.signatures, d, error);
}

int wv_dsse_parse(const char *text, size_t len, const char *type, bool detached,
		  struct wv_dsse *ret, struct wv_manifest_error *error)
{
	_cleanup_free_ struct wv_dsse *d = calloc(1, sizeof(*d));
	struct json_object *o;
	int r;

	if (!d)
		return -ENOMEM;
	r = wv_strict_parse(text, len, detached ? WV_SIGNATURES_MAX : WV_DSSE_MAX, &o, error);
	if (r < 0)
		return r;
	r = read_envelope(o, type, detached, d, error);
	json_object_put(o);
	if (r < 0) {
		wv_dsse_done(d);
		return r;
	}
	*ret = *d;
	return 0;
}

int wv_dsse_text(const struct wv_dsse *d, const char *type, char **ret, size_t *ret_len)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	int r = o && list ? 0 : -ENOMEM;

	if (d->payload && r == 0) {
		_cleanup_free_ char *payload = to_base64(d->payload, d->len);

		if (payload)
			json_object_object_add(o, "payload", json_object_new_string(payload));
		else
			r = -ENOMEM;
	}
	json_object_object_add(o, "payloadType", json_object_new_string(type));
	for (unsigned i = 0; i < d->n && r == 0; i++) {
		struct json_object *s = json_object_new_object();
		unsigned char sig[BASE64_LEN(WV_SIGNATURE_SIZE) + 1];

		EVP_EncodeBlock(sig, d->signatures[i].bytes, WV_SIGNATURE_SIZE);
		json_object_object_add(s, "keyid", json_object_new_string(d->signatures[i].key_id));
		json_object_object_add(s, "sig", json_object_new_string((char *)sig));
		json_object_array_add(list, s);
	}
	json_object_object_add(o, "signatures", list);
	if (r == 0)
		r = wv_canonical(o, ret, ret_len);
	json_object_put(o);
	return r;
}

int wv_dsse_sign(struct wv_dsse *d, const char *type, const void *payload, size_t len,
		 const struct wv_secret_key *key)
{
	_cleanup_free_ char *pae = NULL;
	struct wv_dsse_signature s = {.key_id = ""};
	size_t pae_len;
	unsigned i = 0;
	int r = wv_dsse_pae(type, payload, len, &pae, &pae_len);

	if (r == 0)
		r = wv_sign(key, pae, pae_len, s.bytes);
	if (r < 0)
		return r;
	wv_key_id(&key->public_key, s.key_id);
	if (!s.key_id[0])
		return -ENOMEM;
	while (i < d->n && strcmp(d->signatures[i].key_id, s.key_id) != 0)
		i++;
	if (i == WV_DSSE_SIGNATURES_MAX)
		return -ENOSPC;
	d->signatures[i] = s;
	d->n += i == d->n;
	return 0;
}

void wv_dsse_done(struct wv_dsse *d)
{
	free(d->payload);
	d->payload = NULL;
	d->len = 0;
	d->n = 0;
}
