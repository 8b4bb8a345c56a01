// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keys live as raw bytes and become OpenSSL objects only for one operation: a fault in a signature
 * is then never one of shared state. OpenSSL's error queue is left empty.
 */
#include "user/evidence/sign.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "user/core/cleanup.h"

static void pkey_freep(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

static void md_freep(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

static void bio_freep(BIO **b)
{
	BIO_free(*b);
}

static EVP_PKEY *secret_pkey(const unsigned char seed[WV_SECRET_KEY_SIZE])
{
	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, WV_SECRET_KEY_SIZE);
}

static EVP_PKEY *public_pkey(const struct wv_public_key *key)
{
	return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes, sizeof(key->bytes));
}

/* What a failure of the library is told as. */
static int failed(int error)
{
	ERR_clear_error();
	return error;
}

int wv_key_derive(struct wv_secret_key *key)
{
	_cleanup_(pkey_freep) EVP_PKEY *pkey = secret_pkey(key->seed);
	struct wv_public_key derived;
	size_t len = sizeof(derived.bytes);

	if (!pkey || EVP_PKEY_get_raw_public_key(pkey, derived.bytes, &len) != 1 ||
	    len != sizeof(derived.bytes))
		return failed(-ENOMEM);
	key->public_key = derived;
	return 0;
}

int wv_key_generate(const struct wv_io *io, struct wv_secret_key *ret)
{
	struct wv_secret_key key;
	int r;

	r = io->random(io->ctx, key.seed, sizeof(key.seed));
	if (r == 0)
		r = wv_key_derive(&key);
	if (r == 0)
		*ret = key;
	wv_secret_key_wipe(&key);
	return r;
}

void wv_secret_key_wipe(struct wv_secret_key *key)
{
	OPENSSL_cleanse(key, sizeof(*key));
}

int wv_sign(const struct wv_secret_key *key, const void *message, size_t len,
	    unsigned char ret[WV_SIGNATURE_SIZE])
{
	_cleanup_(pkey_freep) EVP_PKEY *pkey = secret_pkey(key->seed);
	_cleanup_(md_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned char signature[WV_SIGNATURE_SIZE];
	size_t n = sizeof(signature);

	if (!pkey || !c || EVP_DigestSignInit(c, NULL, NULL, NULL, pkey) != 1 ||
	    EVP_DigestSign(c, signature, &n, message, len) != 1 || n != sizeof(signature))
		return failed(-ENOMEM);
	memcpy(ret, signature, sizeof(signature));
	return 0;
}

int wv_sign_check(const struct wv_public_key *key, const void *message, size_t len,
		  const unsigned char signature[WV_SIGNATURE_SIZE])
{
	_cleanup_(pkey_freep) EVP_PKEY *pkey = public_pkey(key);
	_cleanup_(md_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();

	if (!pkey || !c || EVP_DigestVerifyInit(c, NULL, NULL, NULL, pkey) != 1)
		return failed(-ENOMEM);
	if (EVP_DigestVerify(c, signature, WV_SIGNATURE_SIZE, message, len) != 1)
		return failed(-EBADMSG);
	return 0;
}

/* The text of a memory BIO, to be freed. */
static char *bio_text(BIO *b)
{
	char *bytes;
	long len = BIO_get_mem_data(b, &bytes);

	return len > 0 ? strndup(bytes, (size_t)len) : NULL;
}

int wv_key_to_pem(const struct wv_secret_key *key, char **ret_secret, char **ret_public)
{
	_cleanup_(pkey_freep) EVP_PKEY *pkey = secret_pkey(key->seed);
	_cleanup_(bio_freep) BIO *secret = BIO_new(BIO_s_mem()), *public = BIO_new(BIO_s_mem());
	char *secret_text, *public_text;

	if (!pkey || !secret || !public ||
	    PEM_write_bio_PKCS8PrivateKey(secret, pkey, NULL, NULL, 0, NULL, NULL) != 1 ||
	    PEM_write_bio_PUBKEY(public, pkey) != 1)
		return failed(-ENOMEM);
	secret_text = bio_text(secret);
	public_text = bio_text(public);
	if (!secret_text || !public_text) {
		if (secret_text)
			OPENSSL_cleanse(secret_text, strlen(secret_text));
		free(secret_text);
		free(public_text);
		return -ENOMEM;
	}
	*ret_secret = secret_text;
	*ret_public = public_text;
	return 0;
}

/* A worker has no terminal: a key under a passphrase is refused, never asked for. */
static int no_passphrase(char *buf _unused_, int size _unused_, int writing _unused_,
			 void *userdata _unused_)
{
	return -1;
}

int wv_secret_key_from_pem(const char *pem, struct wv_secret_key *ret)
{
	_cleanup_(bio_freep) BIO *b = BIO_new_mem_buf(pem, -1);
	_cleanup_(pkey_freep) EVP_PKEY *pkey = NULL;
	struct wv_secret_key key;
	size_t len = sizeof(key.seed);
	int r;

	if (!b)
		return failed(-ENOMEM);
	pkey = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);
	if (!pkey || EVP_PKEY_get_base_id(pkey) != EVP_PKEY_ED25519 ||
	    EVP_PKEY_get_raw_private_key(pkey, key.seed, &len) != 1 || len != sizeof(key.seed))
		return failed(-EINVAL);
	r = wv_key_derive(&key);
	if (r == 0)
		*ret = key;
	wv_secret_key_wipe(&key);
	return r;
}

int wv_public_key_from_pem(const char *pem, struct wv_public_key *ret)
{
	_cleanup_(bio_freep) BIO *b = BIO_new_mem_buf(pem, -1);
	_cleanup_(pkey_freep) EVP_PKEY *pkey = NULL;
	struct wv_public_key key;
	size_t len = sizeof(key.bytes);

	if (!b)
		return failed(-ENOMEM);
	pkey = PEM_read_bio_PUBKEY(b, NULL, no_passphrase, NULL);
	if (!pkey || EVP_PKEY_get_base_id(pkey) != EVP_PKEY_ED25519 ||
	    EVP_PKEY_get_raw_public_key(pkey, key.bytes, &len) != 1 || len != sizeof(key.bytes))
		return failed(-EINVAL);
	*ret = key;
	return 0;
}
