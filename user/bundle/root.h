/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A root: the keys, and for each role which of them may sign and how many must. Travels as a DSSE
 * envelope of type WV_TYPE_ROOT; version N + 1 is signed to the thresholds of N and of N + 1 (TUF
 * 1.0.31, section 5.3). Pure.
 */
#ifndef WV_BUNDLE_ROOT_H
#define WV_BUNDLE_ROOT_H

#include "user/bundle/dsse.h"

#define WV_ROOT_MAX (128U << 10) /* bytes of an envelope */
#define WV_ROOT_KEYS_MAX 64
#define WV_ROOT_REVOKED_MAX 256

/* The first ones are the kinds of bundles (enum wv_bundle_kind). */
enum wv_role {
	WV_ROLE_APP,
	WV_ROLE_CONFIG,
	WV_ROLE_POLICY,
	WV_ROLE_CERT,
	WV_ROLE_INDEX,
	WV_ROLE_ROOT,
	WV_ROLES
};
extern const char *const wv_role_names[]; /* NULL-terminated */

struct wv_root_key {
	char id[WV_SHA256_HEX];
	char name[WV_BUNDLE_NAME_SIZE]; /* whose it is, for people */
	struct wv_public_key key;
};

struct wv_root_role {
	uint64_t keys; /* bit i: keys[i] */
	uint32_t threshold;
};

struct wv_root {
	uint64_t version, created_s, expires_s;
	struct wv_root_key keys[WV_ROOT_KEYS_MAX]; /* by id */
	unsigned n_keys;
	struct wv_root_role roles[WV_ROLES];
	char revoked[WV_ROOT_REVOKED_MAX][WV_SHA256_HEX]; /* sorted; they never come back */
	unsigned n_revoked;
};

/* Of a payload, without a look at signatures. -EBADMSG, -EFBIG, -ENOMEM. */
int wv_root_parse(const char *payload, size_t len, struct wv_root *ret,
		  struct wv_manifest_error *error);
/* The canonical payload, to be freed. */
int wv_root_text(const struct wv_root *root, char **ret, size_t *ret_len);
/* The key with that id, or NULL. */
const struct wv_root_key *wv_root_key_of(const struct wv_root *root, const char *id);
/*
 * Keys of the role whose signature over the payload is good: bit i is keys[i], so one key counts
 * once. What other keys signed, and what does not verify, is as if it were not there. 0 or -ENOMEM.
 */
int wv_root_signers(const struct wv_root *root, enum wv_role role, const struct wv_dsse *d,
		    const char *type, const void *payload, size_t len, uint64_t *ret);
/* -EKEYREJECTED if those are fewer than the threshold; error counts them. */
int wv_root_check(const struct wv_root *root, enum wv_role role, const struct wv_dsse *d,
		  const char *type, const void *payload, size_t len,
		  struct wv_manifest_error *error);
/*
 * Whether an envelope is the root that follows `old`, or, with NULL, any root that its own keys
 * signed. *ret is that root. -EBADMSG, -EKEYREJECTED (signatures, a version that is not the next,
 * a key that was revoked), -ENOMEM.
 */
int wv_root_open(const struct wv_root *old, const char *text, size_t len, struct wv_root *ret,
		 struct wv_manifest_error *error);
/* SHA-256 over what a role is: another key or threshold is another digest. */
void wv_root_role_digest(const struct wv_root *root, enum wv_role role, char ret[WV_SHA256_HEX]);

#endif
