// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/root.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/strict.h"
#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"

const char *const wv_role_names[] = {"app", "config", "policy", "cert", "index", "root", NULL};
static const char *const types[] = {"waveos-root", NULL};

/* Parsing ------------------------------------------------------------------------------------ */

struct key_row {
	char name[WV_BUNDLE_NAME_SIZE], public[2 * WV_PUBLIC_KEY_SIZE + 1];
};

static bool is_public(const char *text)
{
	return wv_strict_is_hex(text, (size_t)2 * WV_PUBLIC_KEY_SIZE);
}

static const struct wv_strict_field key_fields[] = {
	{"name", WV_STRICT_TEXT, WV_STRICT_AT(struct key_row, name), .ok = wv_bundle_is_name,
	 .want = "a name"},
	{"public", WV_STRICT_TEXT, WV_STRICT_AT(struct key_row, public), .ok = is_public,
	 .want = "64 hex digits"},
	{0},
};

static void from_hex(const char *hex, unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)((strchr(digits, hex[2 * i]) - digits) * 16 +
					   (strchr(digits, hex[2 * i + 1]) - digits));
}

static int read_keys(struct json_object *keys, struct wv_root *root,
		     struct wv_manifest_error *error)
{
	json_object_object_foreach(keys, id, value)
	{
		struct wv_root_key *k = &root->keys[root->n_keys];
		struct key_row row;
		int r = wv_strict_read(value, "keys", key_fields, &row, error);

		if (r < 0)
			return r;
		from_hex(row.public, k->key.bytes, WV_PUBLIC_KEY_SIZE);
		wv_key_id(&k->key, k->id);
		/* or one key could count as many under as many names */
		if (strcmp(k->id, id) != 0)
			return wv_manifest_fail(error, "keys: %.64s is not the id of that key", id);
		if (root->n_keys && strcmp(root->keys[root->n_keys - 1].id, id) >= 0)
			return wv_manifest_fail(error, "keys are not sorted");
		memcpy(k->name, row.name, sizeof(k->name));
		root->n_keys++;
	}
	return 0;
}

const struct wv_root_key *wv_root_key_of(const struct wv_root *root, const char *id)
{
	for (unsigned i = 0; i < root->n_keys; i++)
		if (strcmp(root->keys[i].id, id) == 0)
			return &root->keys[i];
	return NULL;
}

struct role_row {
	uint64_t threshold;
	struct json_object *keys;
};

static const struct wv_strict_field role_fields[] = {
	{"keys", WV_STRICT_LIST, WV_STRICT_AT(struct role_row, keys), .min = 1,
	 .max = WV_ROOT_KEYS_MAX},
	{"threshold", WV_STRICT_UINT, WV_STRICT_AT(struct role_row, threshold), .min = 1,
	 .max = WV_DSSE_SIGNATURES_MAX},
	{0},
};

static int read_role(struct json_object *o, enum wv_role role, struct wv_root *root,
		     struct wv_manifest_error *error)
{
	struct wv_root_role *to = &root->roles[role];
	struct role_row row;
	const char *last = "";
	size_t n;
	int r = wv_strict_read(o, wv_role_names[role], role_fields, &row, error);

	if (r < 0)
		return r;
	n = json_object_array_length(row.keys);
	for (size_t i = 0; i < n; i++) {
		const char *id = wv_strict_string(json_object_array_get_idx(row.keys, i));
		const struct wv_root_key *k = id ? wv_root_key_of(root, id) : NULL;

		if (!k || strcmp(last, id) >= 0)
			return wv_manifest_fail(error,
						"%s: key %.64s is unknown, twice or not "
						"sorted",
						wv_role_names[role], id ?: "?");
		to->keys |= 1ULL << (k - root->keys);
		last = id;
	}
	if (row.threshold > n)
		return wv_manifest_fail(error, "%s: threshold %u of %zu keys", wv_role_names[role],
					(unsigned)row.threshold, n);
	to->threshold = (uint32_t)row.threshold;
	return 0;
}

static int read_revoked(struct json_object *list, struct wv_root *root,
			struct wv_manifest_error *error)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *id = wv_strict_string(json_object_array_get_idx(list, i));

		if (!id || !wv_strict_is_hex(id, WV_SHA256_HEX - 1) ||
		    (i && strcmp(root->revoked[i - 1], id) >= 0))
			return wv_manifest_fail(error,
						"revoked: %.64s is no key id, twice or not "
						"sorted",
						id ?: "?");
		if (wv_root_key_of(root, id))
			return wv_manifest_fail(error, "key %.64s is revoked and in use", id);
		strcpy(root->revoked[root->n_revoked++], id);
	}
	return 0;
}

struct whole {
	struct wv_root root;
	uint64_t schema_version;
	int type;
	struct json_object *keys, *roles, *revoked;
};

static const struct wv_strict_field fields[] = {
	{"created", WV_STRICT_UINT, WV_STRICT_AT(struct whole, root.created_s), .min = 1,
	 .max = WV_BUNDLE_TIME_MAX_S},
	{"expires", WV_STRICT_UINT, WV_STRICT_AT(struct whole, root.expires_s), .min = 1,
	 .max = WV_BUNDLE_TIME_MAX_S},
	{"keys", WV_STRICT_OBJECT, WV_STRICT_AT(struct whole, keys), .min = 1,
	 .max = WV_ROOT_KEYS_MAX},
	{"revoked", WV_STRICT_LIST, WV_STRICT_AT(struct whole, revoked),
	 .max = WV_ROOT_REVOKED_MAX},
	{"roles", WV_STRICT_OBJECT, WV_STRICT_AT(struct whole, roles), .min = WV_ROLES,
	 .max = WV_ROLES},
	{"schema_version", WV_STRICT_UINT, WV_STRICT_AT(struct whole, schema_version), .min = 1,
	 .max = 1},
	{"type", WV_STRICT_CHOICE, WV_STRICT_AT(struct whole, type), .choices = types},
	{"version", WV_STRICT_UINT, WV_STRICT_AT(struct whole, root.version), .min = 1,
	 .max = WV_STRICT_UINT_MAX},
	{0},
};

static int read_whole(struct json_object *o, struct whole *w, struct wv_manifest_error *error)
{
	struct wv_root *root = &w->root;
	int r = wv_strict_read(o, "root", fields, w, error);

	if (r < 0)
		return r;
	if (root->expires_s <= root->created_s ||
	    root->expires_s - root->created_s > WV_BUNDLE_LIFE_MAX_S)
		return wv_manifest_fail(error, "expires is not after created, or over %llu days",
					WV_BUNDLE_LIFE_MAX_S / WV_BUNDLE_DAY_S);
	r = read_keys(w->keys, root, error);
	for (int role = 0; role < WV_ROLES && r == 0; role++) {
		struct json_object *v;

		if (!json_object_object_get_ex(w->roles, wv_role_names[role], &v))
			return wv_manifest_fail(error, "roles have no %s", wv_role_names[role]);
		r = read_role(v, (enum wv_role)role, root, error);
	}
	return r < 0 ? r : read_revoked(w->revoked, root, error);
}

int wv_root_parse(const char *payload, size_t len, struct wv_root *ret,
		  struct wv_manifest_error *error)
{
	_cleanup_free_ struct whole *w = calloc(1, sizeof(*w));
	struct json_object *o;
	int r;

	if (!w)
		return -ENOMEM;
	r = wv_strict_parse(payload, len, WV_ROOT_MAX, &o, error);
	if (r < 0)
		return r;
	r = read_whole(o, w, error);
	json_object_put(o);
	if (r == 0)
		*ret = w->root;
	return r;
}

/* Writing ------------------------------------------------------------------------------------ */

static void add_keys(struct json_object *keys, const struct wv_root *root)
{
	for (unsigned i = 0; i < root->n_keys; i++) {
		struct json_object *o = json_object_new_object();
		char hex[2 * WV_PUBLIC_KEY_SIZE + 1];

		for (int b = 0; b < WV_PUBLIC_KEY_SIZE; b++)
			sprintf(hex + (size_t)2 * b, "%02x", root->keys[i].key.bytes[b]);
		json_object_object_add(o, "name", json_object_new_string(root->keys[i].name));
		json_object_object_add(o, "public", json_object_new_string(hex));
		json_object_object_add(keys, root->keys[i].id, o);
	}
}

static struct json_object *role_json(const struct wv_root *root, enum wv_role role)
{
	struct json_object *o = json_object_new_object(), *ids = json_object_new_array();

	for (unsigned i = 0; i < root->n_keys; i++)
		if (root->roles[role].keys >> i & 1)
			json_object_array_add(ids, json_object_new_string(root->keys[i].id));
	json_object_object_add(o, "keys", ids);
	json_object_object_add(o, "threshold", json_object_new_uint64(root->roles[role].threshold));
	return o;
}

int wv_root_text(const struct wv_root *root, char **ret, size_t *ret_len)
{
	struct json_object *o = json_object_new_object(), *keys = json_object_new_object(),
			   *roles = json_object_new_object(), *revoked = json_object_new_array();
	int r;

	add_keys(keys, root);
	for (int role = 0; role < WV_ROLES; role++)
		json_object_object_add(roles, wv_role_names[role],
				       role_json(root, (enum wv_role)role));
	for (unsigned i = 0; i < root->n_revoked; i++)
		json_object_array_add(revoked, json_object_new_string(root->revoked[i]));
	json_object_object_add(o, "created", json_object_new_uint64(root->created_s));
	json_object_object_add(o, "expires", json_object_new_uint64(root->expires_s));
	json_object_object_add(o, "keys", keys);
	json_object_object_add(o, "revoked", revoked);
	json_object_object_add(o, "roles", roles);
	json_object_object_add(o, "schema_version", json_object_new_uint64(1));
	json_object_object_add(o, "type", json_object_new_string(types[0]));
	json_object_object_add(o, "version", json_object_new_uint64(root->version));
	r = o ? wv_canonical(o, ret, ret_len) : -ENOMEM;
	json_object_put(o);
	return r;
}

void wv_root_role_digest(const struct wv_root *root, enum wv_role role, char ret[WV_SHA256_HEX])
{
	struct wv_sha256 sum;

	wv_sha256_init(&sum);
	wv_sha256_add(&sum, &root->roles[role].threshold, sizeof(root->roles[role].threshold));
	for (unsigned i = 0; i < root->n_keys; i++)
		if (root->roles[role].keys >> i & 1)
			wv_sha256_add(&sum, root->keys[i].id, sizeof(root->keys[i].id));
	wv_sha256_end(&sum, ret);
}

/* Signatures --------------------------------------------------------------------------------- */

int wv_root_signers(const struct wv_root *root, enum wv_role role, const struct wv_dsse *d,
		    const char *type, const void *payload, size_t len, uint64_t *ret)
{
	_cleanup_free_ char *pae = NULL;
	uint64_t good = 0;
	size_t pae_len;
	int r = wv_dsse_pae(type, payload, len, &pae, &pae_len);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < d->n; i++) {
		const struct wv_root_key *k = wv_root_key_of(root, d->signatures[i].key_id);
		uint64_t bit = k ? 1ULL << (k - root->keys) : 0;

		if ((root->roles[role].keys & bit & ~good) &&
		    wv_sign_check(&k->key, pae, pae_len, d->signatures[i].bytes) == 0)
			good |= bit;
	}
	*ret = good;
	return 0;
}

int wv_root_check(const struct wv_root *root, enum wv_role role, const struct wv_dsse *d,
		  const char *type, const void *payload, size_t len,
		  struct wv_manifest_error *error)
{
	uint64_t signers;
	int n, r = wv_root_signers(root, role, d, type, payload, len, &signers);

	if (r < 0)
		return r;
	n = __builtin_popcountll(signers);
	if ((uint32_t)n >= root->roles[role].threshold)
		return 0;
	(void)wv_manifest_fail(error, "%d good signatures of role %s in root %llu, %u are needed",
			       n, wv_role_names[role], (unsigned long long)root->version,
			       root->roles[role].threshold);
	return -EKEYREJECTED;
}

/* What was revoked once is revoked for ever. */
static int check_revoked(const struct wv_root *old, const struct wv_root *next,
			 struct wv_manifest_error *error)
{
	unsigned k = 0;

	for (unsigned i = 0; i < old->n_revoked; i++) {
		while (k < next->n_revoked && strcmp(next->revoked[k], old->revoked[i]) < 0)
			k++;
		if (k == next->n_revoked || strcmp(next->revoked[k], old->revoked[i]) != 0) {
			(void)wv_manifest_fail(error, "root %llu does not revoke %.64s any more",
					       (unsigned long long)next->version, old->revoked[i]);
			return -EKEYREJECTED;
		}
	}
	return 0;
}

int wv_root_open(const struct wv_root *old, const char *text, size_t len, struct wv_root *ret,
		 struct wv_manifest_error *error)
{
	_cleanup_free_ struct wv_root *next = calloc(1, sizeof(*next));
	struct wv_dsse d;
	int r;

	if (!next)
		return -ENOMEM;
	if (len > WV_ROOT_MAX) {
		(void)wv_manifest_fail(error, "a root of %zu bytes", len);
		return -EFBIG;
	}
	r = wv_dsse_parse(text, len, WV_TYPE_ROOT, false, &d, error);
	if (r < 0)
		return r;
	r = wv_root_parse(d.payload, d.len, next, error);
	if (r == 0 && old && next->version != old->version + 1) {
		(void)wv_manifest_fail(error, "root %llu does not follow root %llu",
				       (unsigned long long)next->version,
				       (unsigned long long)old->version);
		r = -EKEYREJECTED;
	}
	if (r == 0 && old)
		r = wv_root_check(old, WV_ROLE_ROOT, &d, WV_TYPE_ROOT, d.payload, d.len, error);
	if (r == 0)
		r = wv_root_check(next, WV_ROLE_ROOT, &d, WV_TYPE_ROOT, d.payload, d.len, error);
	if (r == 0 && old)
		r = check_revoked(old, next, error);
	wv_dsse_done(&d);
	if (r == 0)
		*ret = *next;
	return r;
}
