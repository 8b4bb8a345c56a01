/* SPDX-License-Identifier: GPL-2.0-only */
/* Changes to a root that is not signed yet. Keys stay sorted, and roles keep theirs. Pure. */
#ifndef WV_BUNDLE_ROOT_EDIT_H
#define WV_BUNDLE_ROOT_EDIT_H

#include "user/bundle/root.h"

/* -EEXIST: the name or the key is there, or was revoked; -EINVAL: no name; -ENOSPC. */
int wv_root_add_key(struct wv_root *root, const char *name, const struct wv_public_key *key);
/* Takes a key out of all roles and never lets it back. -ENOENT: no key has that name. */
int wv_root_revoke(struct wv_root *root, const char *name);
/*
 * "app=alice,bob:2": keys of a role and how many of them must sign; "all=..." for every role. 0, or
 * -EINVAL with error.
 */
int wv_root_set_role(struct wv_root *root, const char *text, struct wv_manifest_error *error);

#endif
