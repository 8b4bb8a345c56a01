/* SPDX-License-Identifier: GPL-2.0-only */
/* Client certificates as identities, and the files of TLS (RFC 5280, RFC 6125). */
#ifndef WV_ACCESS_CERTIFICATE_H
#define WV_ACCESS_CERTIFICATE_H

#include "user/access/rules.h"

#define WV_PEM_MAX (256U << 10)

struct wv_authorities; /* certificates of access.client_ca */

/* 0, or -errno with the file's fault in why. */
int wv_authorities_open(struct wv_authorities **ret, const char *file, char *why, size_t size);
void wv_authorities_close(struct wv_authorities *a);

/*
 * Roles of who holds this certificate (DER): it must come from one of the authorities, directly,
 * be valid now and be made for clients; each of its names is looked up. ret_name: the first name
 * that has a role, else its first one. -EKEYREJECTED with why: it does not count.
 */
int wv_certificate_roles(const struct wv_authorities *a, const struct wv_config *c,
			 const unsigned char *der, size_t len, unsigned *ret_roles,
			 char ret_name[140], char *why, size_t size);

/*
 * Whether the files of access.tls_cert, tls_key and client_ca can be used together. 0, or -errno
 * with why.
 */
int wv_tls_files_check(const struct wv_config *c, char *why, size_t size);
/* Whether metrics.listen names a loopback address ("" counts as one). */
bool wv_listen_is_loopback(const struct wv_config *c);
/* Whether what the configuration says of access may be put in force at all; why: what to do. 0,
 * -EINVAL (a contradiction), or -errno of the files. */
int wv_access_check(const struct wv_config *c, char *why, size_t size);

#endif
