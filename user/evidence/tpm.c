// SPDX-License-Identifier: GPL-2.0-only
/*
 * The attestation key is a primary key of the endorsement hierarchy made from a fixed template: the
 * TPM derives the same one each time, so that nothing of it needs to be kept. It is restricted: the
 * TPM signs with it only what it made itself.
 */
#include "user/evidence/tpm.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>

#include "user/core/cleanup.h"
#include "user/core/dl.h"
#include "user/core/log.h"

#define COORDINATE 32

static __typeof__(Tss2_TctiLdr_Initialize) *tcti_open;
static __typeof__(Tss2_TctiLdr_Finalize) *tcti_close;
static __typeof__(Tss2_MU_TPMT_SIGNATURE_Marshal) *marshal_signature;
static __typeof__(Tss2_MU_TPMS_ATTEST_Unmarshal) *unmarshal_attest;
static __typeof__(Esys_Initialize) *esys_open;
static __typeof__(Esys_Finalize) *esys_close;
static __typeof__(Esys_Startup) *esys_startup;
static __typeof__(Esys_CreatePrimary) *esys_create_primary;
static __typeof__(Esys_PCR_Extend) *esys_pcr_extend;
static __typeof__(Esys_Quote) *esys_quote;
static __typeof__(Esys_FlushContext) *esys_flush;
static __typeof__(Esys_Free) *esys_free;

static const struct wv_dl_symbol loader[] = {
	{"Tss2_TctiLdr_Initialize", &tcti_open},
	{"Tss2_TctiLdr_Finalize", &tcti_close},
	{0},
};
static const struct wv_dl_symbol marshalling[] = {
	{"Tss2_MU_TPMT_SIGNATURE_Marshal", &marshal_signature},
	{"Tss2_MU_TPMS_ATTEST_Unmarshal", &unmarshal_attest},
	{0},
};
static const struct wv_dl_symbol esys[] = {
	{"Esys_Initialize", &esys_open},
	{"Esys_Finalize", &esys_close},
	{"Esys_Startup", &esys_startup},
	{"Esys_CreatePrimary", &esys_create_primary},
	{"Esys_PCR_Extend", &esys_pcr_extend},
	{"Esys_Quote", &esys_quote},
	{"Esys_FlushContext", &esys_flush},
	{"Esys_Free", &esys_free},
	{0},
};

static int load(void)
{
	int r;

	/* what went wrong is said once, by us */
	(void)setenv("TSS2_LOG", "all+none", 0);
	r = wv_dl_load("libtss2-tctildr.so.0", "libtss2-tctildr0", loader);
	if (r == 0)
		r = wv_dl_load("libtss2-mu.so.0", "libtss2-mu0", marshalling);
	if (r == 0)
		r = wv_dl_load("libtss2-esys.so.0", "libtss2-esys-3.0.2-0", esys);
	return r;
}

static int refused(TSS2_RC rc, const char *what)
{
	return wv_log_errno(-EIO, "tpm", "%s: TPM 2.0 code 0x%x", what, rc);
}

static const TPM2B_PUBLIC template = {
	.publicArea =
		{
			.type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT |
					    TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					    TPMA_OBJECT_SENSITIVEDATAORIGIN |
					    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
			.parameters.eccDetail =
				{
					.symmetric.algorithm = TPM2_ALG_NULL,
					.scheme = {.scheme = TPM2_ALG_ECDSA,
						   .details.ecdsa.hashAlg = TPM2_ALG_SHA256},
					.curveID = TPM2_ECC_NIST_P256,
					.kdf.scheme = TPM2_ALG_NULL,
				},
		},
};

static int make_key(ESYS_CONTEXT *ctx, ESYS_TR *ret, TPM2B_PUBLIC **ret_public)
{
	const TPM2B_SENSITIVE_CREATE sensitive = {0};
	const TPM2B_DATA outside = {0};
	const TPML_PCR_SELECTION none = {0};
	TSS2_RC rc = esys_create_primary(ctx, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD,
					 ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template,
					 &outside, &none, ret, ret_public, NULL, NULL, NULL);

	return rc ? refused(rc, "making the attestation key") : 0;
}

static int extend(ESYS_CONTEXT *ctx, const struct wv_hash *digest)
{
	TPML_DIGEST_VALUES values = {.count = 1, .digests[0].hashAlg = TPM2_ALG_SHA256};
	TSS2_RC rc;

	memcpy(values.digests[0].digest.sha256, digest->bytes, WV_HASH_SIZE);
	rc = esys_pcr_extend(ctx, ESYS_TR_PCR0 + WV_TPM_PCR, ESYS_TR_PASSWORD, ESYS_TR_NONE,
			     ESYS_TR_NONE, &values);
	return rc ? refused(rc, "extending the PCR") : 0;
}

static int keep_quote(const TPM2B_ATTEST *message, const TPMT_SIGNATURE *signature,
		      struct wv_tpm_quote *ret)
{
	TPMS_ATTEST attest;
	size_t at = 0;

	if (message->size > sizeof(ret->message) ||
	    marshal_signature(signature, ret->signature, sizeof(ret->signature), &at))
		return -EIO;
	ret->signature_len = at;
	memcpy(ret->message, message->attestationData, message->size);
	ret->message_len = message->size;
	at = 0;
	if (unmarshal_attest(message->attestationData, message->size, &at, &attest))
		return -EIO;
	ret->clock_ms = attest.clockInfo.clock;
	ret->resets = attest.clockInfo.resetCount;
	ret->restarts = attest.clockInfo.restartCount;
	return 0;
}

static int quote(ESYS_CONTEXT *ctx, ESYS_TR key, const struct wv_hash *digest,
		 struct wv_tpm_quote *ret)
{
	TPML_PCR_SELECTION pcrs = {
		.count = 1,
		.pcrSelections[0] = {.hash = TPM2_ALG_SHA256, .sizeofSelect = 3},
	};
	TPMT_SIG_SCHEME scheme = {0};
	TPM2B_DATA qualifying = {.size = WV_HASH_SIZE};
	TPMT_SIGNATURE *signature = NULL;
	TPM2B_ATTEST *message = NULL;
	TSS2_RC rc;
	int r;

	scheme.scheme = TPM2_ALG_NULL;
	pcrs.pcrSelections[0].pcrSelect[WV_TPM_PCR / 8] = 1U << WV_TPM_PCR % 8;
	memcpy(qualifying.buffer, digest->bytes, WV_HASH_SIZE);
	rc = esys_quote(ctx, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &qualifying,
			&scheme, &pcrs, &message, &signature);
	r = rc ? refused(rc, "the quote") : keep_quote(message, signature, ret);
	esys_free(message);
	esys_free(signature);
	return r;
}

static int to_pem(EVP_PKEY *key, char **ret)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *bytes;
	long len;
	int r = -ENOMEM;

	if (b && PEM_write_bio_PUBKEY(b, key) == 1) {
		len = BIO_get_mem_data(b, &bytes);
		*ret = strndup(bytes, (size_t)len);
		r = *ret ? 0 : -ENOMEM;
	}
	BIO_free(b);
	return r;
}

static int key_pem(const TPM2B_PUBLIC *public, char **ret)
{
	const TPMS_ECC_POINT *p = &public->publicArea.unique.ecc;
	/* uncompressed; a coordinate may be given without its leading zeroes */
	unsigned char point[1 + 2 * COORDINATE] = {0x04};
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)"prime256v1",
						 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY *key = NULL;
	int r = -EIO;

	if (c && p->x.size <= COORDINATE && p->y.size <= COORDINATE) {
		memcpy(point + 1 + COORDINATE - p->x.size, p->x.buffer, p->x.size);
		memcpy(point + 1 + 2 * COORDINATE - p->y.size, p->y.buffer, p->y.size);
		if (EVP_PKEY_fromdata_init(c) == 1 &&
		    EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) == 1)
			r = to_pem(key, ret);
	}
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(c);
	ERR_clear_error();
	return r;
}

static int anchor(ESYS_CONTEXT *ctx, const struct wv_hash *digest, struct wv_tpm_quote *ret)
{
	struct wv_tpm_quote q = {0};
	TPM2B_PUBLIC *public = NULL;
	ESYS_TR key = ESYS_TR_NONE;
	TSS2_RC rc = esys_startup(ctx, TPM2_SU_CLEAR);
	int r;

	/* the firmware did it long ago, as a rule */
	if (rc && rc != TPM2_RC_INITIALIZE)
		return refused(rc, "starting the TPM");
	r = make_key(ctx, &key, &public);
	if (r < 0)
		return r;
	r = extend(ctx, digest);
	if (r == 0)
		r = quote(ctx, key, digest, &q);
	if (r == 0)
		r = key_pem(public, &q.key_pem);
	(void)esys_flush(ctx, key);
	esys_free(public);
	if (r == 0)
		*ret = q;
	return r;
}

int wv_tpm_anchor(const char *tcti, const struct wv_hash *digest, struct wv_tpm_quote *ret)
{
	TSS2_TCTI_CONTEXT *transport = NULL;
	ESYS_CONTEXT *ctx = NULL;
	TSS2_RC rc;
	int r;

	r = load();
	if (r < 0)
		return r;
	rc = tcti_open(tcti, &transport);
	if (rc)
		return wv_log_errno(-ENODEV, "tpm", "no TPM 2.0 answers%s%s", tcti ? " at " : "",
				    tcti ?: "");
	rc = esys_open(&ctx, transport, NULL);
	r = rc ? refused(rc, "opening the TPM") : anchor(ctx, digest, ret);
	if (ctx)
		esys_close(&ctx);
	tcti_close(&transport);
	return r;
}
