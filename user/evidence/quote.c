// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/quote.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <string.h>

#include "user/core/cleanup.h"

/* TCG TPM 2.0 library, part 2 */
#define GENERATED 0xff544347U
#define ST_ATTEST_QUOTE 0x8018
#define ALG_SHA256 0x000b
#define ALG_ECDSA 0x0018
#define NAME_MAX_BYTES 66 /* algorithm and digest, or a handle */
#define SELECT_MIN 3
#define SELECT_MAX 4
#define COORDINATE 32

struct in {
	const unsigned char *at;
	size_t left;
	bool bad;
};

/* n bytes, or NULL from the first one on that is not there. */
static const unsigned char *take(struct in *in, size_t n)
{
	const unsigned char *p = in->at;

	if (in->bad || n > in->left) {
		in->bad = true;
		return NULL;
	}
	in->at += n;
	in->left -= n;
	return p;
}

/* Big endian. */
static uint64_t number(struct in *in, size_t bytes)
{
	const unsigned char *p = take(in, bytes);
	uint64_t v = 0;

	for (size_t i = 0; p && i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

/* TPM2B_*: a length and so many bytes. */
static const unsigned char *sized(struct in *in, size_t min, size_t max, size_t *ret_len)
{
	size_t n = number(in, 2);

	if (n < min || n > max)
		in->bad = true;
	*ret_len = n;
	return take(in, n);
}

static void take_hash(struct in *in, struct wv_hash *ret)
{
	size_t len;
	const unsigned char *p = sized(in, WV_HASH_SIZE, WV_HASH_SIZE, &len);

	if (p)
		memcpy(ret->bytes, p, WV_HASH_SIZE);
}

/* TPML_PCR_SELECTION: one bank, one PCR of it. */
static void take_selection(struct in *in, unsigned *ret)
{
	const unsigned char *p;
	unsigned n = 0;
	size_t len;

	if (number(in, 4) != 1 || number(in, 2) != ALG_SHA256)
		in->bad = true;
	len = number(in, 1);
	if (len < SELECT_MIN || len > SELECT_MAX)
		in->bad = true;
	p = take(in, len);
	for (unsigned i = 0; p && i < 8 * len; i++)
		if (p[i / 8] >> i % 8 & 1) {
			*ret = i;
			n++;
		}
	if (n != 1)
		in->bad = true;
}

int wv_quote_parse(const void *message, size_t len, struct wv_quote *ret)
{
	struct in in = {.at = message, .left = len};
	struct wv_quote q = {0};
	uint64_t safe;
	size_t n;

	if (number(&in, 4) != GENERATED || number(&in, 2) != ST_ATTEST_QUOTE)
		return -EPROTO;
	(void)sized(&in, 0, NAME_MAX_BYTES, &n); /* qualifiedSigner: the key is checked itself */
	take_hash(&in, &q.qualifying);
	q.clock_ms = number(&in, 8);
	q.resets = (uint32_t)number(&in, 4);
	q.restarts = (uint32_t)number(&in, 4);
	safe = number(&in, 1);
	(void)number(&in, 8); /* firmwareVersion */
	take_selection(&in, &q.pcr);
	take_hash(&in, &q.pcr_digest);
	if (in.bad || in.left || safe > 1)
		return -EPROTO;
	q.safe = safe;
	*ret = q;
	return 0;
}

/* TPMT_SIGNATURE of ECDSA as libcrypto wants it: DER, to be freed with OPENSSL_free(). */
static int to_der(const void *signature, size_t len, unsigned char **ret, int *ret_len)
{
	struct in in = {.at = signature, .left = len};
	const unsigned char *r_bytes, *s_bytes;
	size_t r_len, s_len;
	ECDSA_SIG *sig;
	BIGNUM *r, *s;

	if (number(&in, 2) != ALG_ECDSA || number(&in, 2) != ALG_SHA256)
		return -EPROTO;
	r_bytes = sized(&in, 1, COORDINATE, &r_len);
	s_bytes = sized(&in, 1, COORDINATE, &s_len);
	if (in.bad || in.left)
		return -EPROTO;
	sig = ECDSA_SIG_new();
	r = BN_bin2bn(r_bytes, (int)r_len, NULL);
	s = BN_bin2bn(s_bytes, (int)s_len, NULL);
	if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		ECDSA_SIG_free(sig);
		return -ENOMEM;
	}
	*ret = NULL;
	*ret_len = i2d_ECDSA_SIG(sig, ret);
	ECDSA_SIG_free(sig);
	return *ret_len > 0 ? 0 : -ENOMEM;
}

int wv_quote_check(EVP_PKEY *key, const void *message, size_t len, const void *signature,
		   size_t signature_len)
{
	unsigned char *der;
	EVP_MD_CTX *c;
	int der_len, r = to_der(signature, signature_len, &der, &der_len);

	if (r < 0)
		return r;
	c = EVP_MD_CTX_new();
	if (!c)
		r = -ENOMEM;
	else if (EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key) != 1 ||
		 EVP_DigestVerify(c, der, (size_t)der_len, message, len) != 1)
		r = -EBADMSG;
	EVP_MD_CTX_free(c);
	OPENSSL_free(der);
	ERR_clear_error();
	return r;
}

int wv_quote_key(const char *pem, EVP_PKEY **ret)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = b ? PEM_read_bio_PUBKEY(b, NULL, NULL, NULL) : NULL;
	char group[32] = "";

	BIO_free(b);
	ERR_clear_error();
	if (!b)
		return -ENOMEM;
	if (!key || !EVP_PKEY_is_a(key, "EC") ||
	    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1 ||
	    strcmp(group, "prime256v1") != 0) {
		EVP_PKEY_free(key);
		return -EINVAL;
	}
	*ret = key;
	return 0;
}

/* The PCR after it was extended; whether it is what was quoted. */
static bool extended(const struct wv_hash *from, const struct wv_quote *q, struct wv_hash *ret)
{
	unsigned char both[2 * WV_HASH_SIZE];
	struct wv_hash digest;

	memcpy(both, from->bytes, WV_HASH_SIZE);
	memcpy(both + WV_HASH_SIZE, q->qualifying.bytes, WV_HASH_SIZE);
	SHA256(both, sizeof(both), ret->bytes);
	SHA256(ret->bytes, WV_HASH_SIZE, digest.bytes);
	return memcmp(&digest, &q->pcr_digest, sizeof(digest)) == 0;
}

const char *wv_quote_follow(struct wv_quote_chain *c, const struct wv_quote *q)
{
	const struct wv_quote *last = &c->last;
	const struct wv_hash zero = {.bytes = {0}};
	struct wv_hash next;
	const char *why = NULL;
	bool begun = c->begun, known = c->known, same_boot, follows;

	same_boot = begun && q->resets == last->resets && q->restarts == last->restarts;
	follows = known && q->resets == last->resets && extended(&c->pcr, q, &next);
	if (begun && (q->resets < last->resets ||
		      (q->resets == last->resets && q->restarts < last->restarts)))
		why = "the TPM's count of resets went back: another TPM, or it was cleared";
	else if (same_boot && q->clock_ms < last->clock_ms)
		why = "the TPM's clock is behind that of the anchor before";
	else if (same_boot && known && !follows)
		why = "its PCR does not follow the anchor before: one between them is missing, or "
		      "another program extended or reset it";
	/* only a start of the TPM sets it to zero */
	if (!follows)
		c->known = extended(&zero, q, &next);
	if (c->known || follows)
		c->pcr = next;
	c->known |= follows;
	c->begun = true;
	c->last = *q;
	return why;
}
