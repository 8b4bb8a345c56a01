/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a setting names a secret that is kept elsewhere. Pure.
 *
 *   env:NAME                          variable of the agent's environment
 *   file:/path                        a file; one newline at its end is not part of it
 *   credential:NAME                   $CREDENTIALS_DIRECTORY/NAME, systemd.exec(5) LoadCredential=
 *   vault:MOUNT/PATH#FIELD            HashiCorp Vault, KV version 2
 *   aws:REGION/SECRET_ID[#FIELD]      AWS Secrets Manager; FIELD of a secret that is JSON
 *   gcp:PROJECT/NAME[/VERSION][#FIELD] Google Secret Manager; VERSION: `latest` by default
 */
#ifndef WV_SECRET_REFERENCE_H
#define WV_SECRET_REFERENCE_H

#include <stdbool.h>

#define WV_SECRET_REF_SIZE 256 /* of a reference with its NUL */

enum wv_secret_kind {
	WV_SECRET_ENV,
	WV_SECRET_FILE,
	WV_SECRET_CREDENTIAL,
	WV_SECRET_VAULT,
	WV_SECRET_AWS,
	WV_SECRET_GCP,
	WV_SECRET_KIND_N
};

struct wv_secret_ref {
	enum wv_secret_kind kind;
	char place[WV_SECRET_REF_SIZE];	  /* NAME, /path, MOUNT, REGION, PROJECT */
	char name[WV_SECRET_REF_SIZE];	  /* PATH, SECRET_ID, NAME; "" for local kinds */
	char version[WV_SECRET_REF_SIZE]; /* gcp only */
	char field[WV_SECRET_REF_SIZE];	  /* "" if none */
};

/*
 * -EINVAL with *ret_expected, which tells what a right reference looks like. What was written is
 * never part of a message: it may be the secret itself.
 */
int wv_secret_ref_parse(const char *text, struct wv_secret_ref *ret, const char **ret_expected);
/* Kept on this machine: no network is needed, so that a store's own token may be one. */
static inline bool wv_secret_is_local(const struct wv_secret_ref *ref)
{
	return ref->kind <= WV_SECRET_CREDENTIAL;
}

#endif
