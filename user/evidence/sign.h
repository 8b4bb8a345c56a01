/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ed25519 (RFC 8032) by OpenSSL, and the files in which keys and signatures stand: PEM (PKCS#8 and
 * SPKI, as `openssl pkey` has them) and minisign's.
 */
#ifndef WV_EVIDENCE_SIGN_H
#define WV_EVIDENCE_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "user/core/io.h"
#include "user/core/paths.h"

#define WV_PUBLIC_KEY_SIZE 32
#define WV_SECRET_KEY_SIZE 32
#define WV_SIGNATURE_SIZE 64

struct wv_public_key {
	unsigned char bytes[WV_PUBLIC_KEY_SIZE];
};
/* Wipe with wv_secret_key_wipe() when done. */
struct wv_secret_key {
	unsigned char seed[WV_SECRET_KEY_SIZE];
	struct wv_public_key public_key;
};

int wv_key_generate(const struct wv_io *io, struct wv_secret_key *ret);
/* The public half from the seed. */
int wv_key_derive(struct wv_secret_key *key);
void wv_secret_key_wipe(struct wv_secret_key *key);
int wv_sign(const struct wv_secret_key *key, const void *message, size_t len,
	    unsigned char ret[WV_SIGNATURE_SIZE]);
/* 0, or -EBADMSG if the signature is not one of this key over these bytes. */
int wv_sign_check(const struct wv_public_key *key, const void *message, size_t len,
		  const unsigned char signature[WV_SIGNATURE_SIZE]);

/* PEM, to be freed by the caller (the secret one to be wiped first). */
int wv_key_to_pem(const struct wv_secret_key *key, char **ret_secret, char **ret_public);
int wv_secret_key_from_pem(const char *pem, struct wv_secret_key *ret);
int wv_public_key_from_pem(const char *pem, struct wv_public_key *ret);

/*
 * minisign's detached signature file (prehashed with BLAKE2b-512, algorithm "ED") and public key
 * file. id: 8 bytes that key and signature share. Texts are to be freed.
 */
int wv_minisign_sign(const struct wv_secret_key *key, const unsigned char id[8],
		     const void *message, size_t len, const char *trusted_comment, char **ret_text);
int wv_minisign_public(const struct wv_public_key *key, const unsigned char id[8], char **ret_text);
int wv_minisign_parse_public(const char *text, struct wv_public_key *ret, unsigned char ret_id[8]);
/* -EBADMSG: not this key's signature over these bytes and its trusted comment. */
int wv_minisign_check(const struct wv_public_key *key, const void *message, size_t len,
		      const char *signature_text);

/*
 * The device's own key: <state>/keys/device.pem, made (0600, atomically, durable) at first use when
 * create is set. ret_name: its name in notes, "waveos/<16 hex digits>" from the machine id
 * (sd_id128_get_machine_app_specific); where there is no machine id, from the public key. -ENOENT
 * if there is none and create is not set.
 */
#define WV_KEY_NAME_SIZE 64
int wv_device_key(const struct wv_io *io, const struct wv_paths *paths, bool create,
		  struct wv_secret_key *ret, char ret_name[WV_KEY_NAME_SIZE]);

/* "waveos/<16 hex digits>"; of the key only where there is no machine id. */
void wv_key_device_name(const struct wv_public_key *key, char ret[WV_KEY_NAME_SIZE]);
/* Another key of this device, <state>/keys/<file>, made and kept in the same way. */
int wv_own_key(const struct wv_io *io, const struct wv_paths *paths, const char *file, bool create,
	       struct wv_secret_key *ret);

#endif
