// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/root_edit.h"

#include <errno.h>
#include <string.h>

#include "user/bundle/strict.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

static int index_of(const struct wv_root *root, const char *name)
{
	for (unsigned i = 0; i < root->n_keys; i++)
		if (strcmp(root->keys[i].name, name) == 0)
			return (int)i;
	return -1;
}

int wv_root_add_key(struct wv_root *root, const char *name, const struct wv_public_key *key)
{
	struct wv_root_key row = {.key = *key};
	unsigned at = 0;

	if (!wv_bundle_is_name(name))
		return -EINVAL;
	wv_key_id(key, row.id);
	if (index_of(root, name) >= 0 || wv_root_key_of(root, row.id))
		return -EEXIST;
	for (unsigned i = 0; i < root->n_revoked; i++)
		if (strcmp(root->revoked[i], row.id) == 0)
			return -EEXIST;
	if (root->n_keys == WV_ROOT_KEYS_MAX)
		return -ENOSPC;
	strcpy(row.name, name);
	while (at < root->n_keys && strcmp(root->keys[at].id, row.id) < 0)
		at++;
	memmove(&root->keys[at + 1], &root->keys[at], (root->n_keys - at) * sizeof(row));
	root->keys[at] = row;
	root->n_keys++;
	for (int role = 0; role < WV_ROLES; role++) {
		uint64_t keys = root->roles[role].keys, low = keys & ((1ULL << at) - 1);

		root->roles[role].keys = low | (keys ^ low) << 1;
	}
	return 0;
}

static int add_revoked(struct wv_root *root, const char *id)
{
	unsigned at = 0;

	if (root->n_revoked == WV_ROOT_REVOKED_MAX)
		return -ENOSPC;
	while (at < root->n_revoked && strcmp(root->revoked[at], id) < 0)
		at++;
	memmove(root->revoked[at + 1], root->revoked[at],
		(root->n_revoked - at) * sizeof(root->revoked[0]));
	strcpy(root->revoked[at], id);
	root->n_revoked++;
	return 0;
}

int wv_root_revoke(struct wv_root *root, const char *name)
{
	int at = index_of(root, name), r;

	if (at < 0)
		return -ENOENT;
	r = add_revoked(root, root->keys[at].id);
	if (r < 0)
		return r;
	root->n_keys--;
	memmove(&root->keys[at], &root->keys[at + 1],
		(root->n_keys - (unsigned)at) * sizeof(root->keys[0]));
	for (int role = 0; role < WV_ROLES; role++) {
		uint64_t keys = root->roles[role].keys, low = keys & ((1ULL << at) - 1);

		root->roles[role].keys = low | (keys >> 1 & ~((1ULL << at) - 1));
	}
	return 0;
}

int wv_root_set_role(struct wv_root *root, const char *text, struct wv_manifest_error *error)
{
	_cleanup_free_ char *copy = strdup(text);
	char *equals = copy ? strchr(copy, '=') : NULL, *colon = copy ? strrchr(copy, ':') : NULL;
	struct wv_root_role to = {.keys = 0};
	char *save = NULL;
	uint64_t threshold;
	int role;

	if (!equals || !colon || colon < equals || wv_parse_uint(colon + 1, &threshold) < 0 ||
	    threshold > WV_DSSE_SIGNATURES_MAX) {
		(void)wv_manifest_fail(error, "'%.80s' is no ROLE=NAME,NAME:THRESHOLD", text);
		return -EINVAL;
	}
	*equals = *colon = '\0';
	role = strcmp(copy, "all") == 0 ? WV_ROLES : wv_strict_choice(copy, wv_role_names);
	if (role < 0) {
		(void)wv_manifest_fail(error, "there is no role '%.64s'", copy);
		return -EINVAL;
	}
	for (char *name = strtok_r(equals + 1, ",", &save); name;
	     name = strtok_r(NULL, ",", &save)) {
		int i = index_of(root, name);

		if (i < 0) {
			(void)wv_manifest_fail(error, "no key has the name '%.64s'", name);
			return -EINVAL;
		}
		to.keys |= 1ULL << i;
	}
	to.threshold = (uint32_t)threshold;
	for (int i = 0; i < WV_ROLES; i++)
		if (role == WV_ROLES || role == i)
			root->roles[i] = to;
	return 0;
}
