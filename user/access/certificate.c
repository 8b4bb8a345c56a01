// SPDX-License-Identifier: GPL-2.0-only
#include "user/access/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"

#define NAME_SIZE 140

struct wv_authorities {
	X509_STORE *store;
};

static void x509_release(X509 **x)
{
	X509_free(*x);
}
static void key_release(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}
static void bio_release(BIO **b)
{
	BIO_free(*b);
}

static const char *last_error(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ?: "not understood";
}

int wv_authorities_open(struct wv_authorities **ret, const char *file, char *why, size_t size)
{
	struct wv_authorities *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	ERR_clear_error();
	a->store = X509_STORE_new();
	if (!a->store || X509_STORE_load_file(a->store, file) != 1) {
		snprintf(why, size, "%.200s: %s", file, last_error());
		wv_authorities_close(a);
		return -EINVAL;
	}
	*ret = a;
	return 0;
}

void wv_authorities_close(struct wv_authorities *a)
{
	if (!a)
		return;
	X509_STORE_free(a->store);
	free(a);
}

static int verify(const struct wv_authorities *a, X509 *x, char *why, size_t size)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int r = -ENOMEM;

	if (ctx && X509_STORE_CTX_init(ctx, a->store, x, NULL) == 1) {
		X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx),
					    X509_V_FLAG_X509_STRICT);
		(void)X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT);
		r = X509_verify_cert(ctx) == 1 ? 0 : -EKEYREJECTED;
		if (r < 0)
			snprintf(why, size, "%s",
				 X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	}
	X509_STORE_CTX_free(ctx);
	return r;
}

/* kind and the name's bytes; false if it is no printable text, or does not fit. */
static bool compose(char ret[NAME_SIZE], const char *kind, const unsigned char *s, size_t len)
{
	size_t n = strlen(kind);

	if (!len || n + len >= NAME_SIZE)
		return false;
	memcpy(ret, kind, n);
	for (size_t i = 0; i < len; i++) {
		/* a NUL in it would make two different names look alike */
		if (s[i] < 0x20 || s[i] == 0x7f)
			return false;
		ret[n + i] = (char)s[i];
	}
	ret[n + len] = '\0';
	return true;
}

struct names {
	const struct wv_config *c;
	unsigned roles;
	char *name;
};

static void take(struct names *n, const char *name)
{
	unsigned roles = wv_roles_of_certificate(n->c, name);

	if (!n->name[0] || (roles && !n->roles))
		snprintf(n->name, NAME_SIZE, "%s", name);
	n->roles |= roles;
}

static void take_subject(struct names *n, X509 *x)
{
	X509_NAME *subject = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *utf8 = NULL;
	char name[NAME_SIZE];
	int len;

	/* several common names: which one counts would be a guess */
	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return;
	len = ASN1_STRING_to_UTF8(&utf8,
				  X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (len > 0 && compose(name, "CN:", utf8, (size_t)len))
		take(n, name);
	OPENSSL_free(utf8);
}

static void take_alternatives(struct names *n, X509 *x)
{
	GENERAL_NAMES *list = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; list && i < sk_GENERAL_NAME_num(list); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(list, i);
		const char *kind = g->type == GEN_DNS	  ? "DNS:"
				   : g->type == GEN_EMAIL ? "email:"
				   : g->type == GEN_URI	  ? "URI:"
							  : NULL;
		char name[NAME_SIZE];

		/* these three are IA5String of one union member */
		if (kind && compose(name, kind, ASN1_STRING_get0_data(g->d.ia5),
				    (size_t)ASN1_STRING_length(g->d.ia5)))
			take(n, name);
	}
	GENERAL_NAMES_free(list);
}

int wv_certificate_roles(const struct wv_authorities *a, const struct wv_config *c,
			 const unsigned char *der, size_t len, unsigned *ret_roles,
			 char ret_name[NAME_SIZE], char *why, size_t size)
{
	const unsigned char *p = der;
	_cleanup_(x509_release) X509 *x = d2i_X509(NULL, &p, (long)len);
	char name[NAME_SIZE] = "";
	struct names n = {.c = c, .name = name};
	int r;

	if (!x || p != der + len) {
		snprintf(why, size, "it is no certificate");
		return -EKEYREJECTED;
	}
	r = verify(a, x, why, size);
	if (r < 0)
		return r;
	take_subject(&n, x);
	take_alternatives(&n, x);
	snprintf(ret_name, NAME_SIZE, "%s", name[0] ? name : "CN:");
	*ret_roles = n.roles;
	return 0;
}

/* Files and addresses -------------------------------------------------------------------------- */

int wv_tls_files_check(const struct wv_config *c, char *why, size_t size)
{
	_cleanup_(bio_release) BIO *cert_file = BIO_new_file(c->access_tls_cert, "r");
	_cleanup_(bio_release) BIO *key_file = BIO_new_file(c->access_tls_key, "r");
	_cleanup_(x509_release) X509 *cert = NULL;
	_cleanup_(key_release) EVP_PKEY *key = NULL;
	struct wv_authorities *a = NULL;
	int r = 0;

	ERR_clear_error();
	if (!cert_file || !(cert = PEM_read_bio_X509(cert_file, NULL, NULL, NULL))) {
		snprintf(why, size, "access.tls_cert: %.200s is no certificate that can be read",
			 c->access_tls_cert);
		return -EINVAL;
	}
	if (!key_file || !(key = PEM_read_bio_PrivateKey(key_file, NULL, NULL, (void *)""))) {
		snprintf(why, size,
			 "access.tls_key: %.200s is no key that can be read without a pass phrase",
			 c->access_tls_key);
		return -EINVAL;
	}
	if (X509_check_private_key(cert, key) != 1) {
		snprintf(why, size, "access.tls_key is not the key of access.tls_cert");
		return -EINVAL;
	}
	if (c->access_client_ca[0])
		r = wv_authorities_open(&a, c->access_client_ca, why, size);
	wv_authorities_close(a);
	return r;
}

bool wv_listen_is_loopback(const struct wv_config *c)
{
	const char *listen = c->metrics_listen, *colon = strrchr(listen, ':');
	size_t len = colon ? (size_t)(colon - listen) : strlen(listen);
	struct in6_addr six;
	struct in_addr four;
	char host[64];

	if (!listen[0])
		return true;
	if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']') {
		listen++;
		len -= 2;
	}
	snprintf(host, sizeof(host), "%.*s", (int)len, listen);
	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

int wv_access_check(const struct wv_config *c, char *why, size_t size)
{
	if (!c->access_tls_cert[0] != !c->access_tls_key[0]) {
		snprintf(why, size,
			 "access.tls_cert and access.tls_key belong together; %s is "
			 "missing",
			 c->access_tls_cert[0] ? "access.tls_key" : "access.tls_cert");
		return -EINVAL;
	}
	if (c->access_client_ca[0] && !c->access_tls_cert[0]) {
		snprintf(why, size,
			 "access.client_ca needs access.tls_cert and access.tls_key: "
			 "certificates are shown over TLS only");
		return -EINVAL;
	}
	if (c->access_tls_cert[0])
		return wv_tls_files_check(c, why, size);
	if (wv_listen_is_loopback(c) || c->access_plain_metrics)
		return 0;
	snprintf(why, size,
		 "metrics.listen=%.80s is no loopback address, and nothing encrypts it: set "
		 "access.tls_cert and access.tls_key, or access.plain_metrics=true for /metrics "
		 "and /healthz only, or listen on 127.0.0.1",
		 c->metrics_listen);
	return -EINVAL;
}
