// SPDX-License-Identifier: GPL-2.0-only
/* The rows are JSON in one file, read whole and written whole under a lock of their folder. */
#include "user/access/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"

#define FILE_MAX_BYTES (512U << 10)
#define LOCK_NAME "lock"

static void json_release(struct json_object **o)
{
	json_object_put(*o);
}

void wv_tokens_done(struct wv_tokens *t)
{
	free(t->list);
	*t = (struct wv_tokens){0};
}

static bool is_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
			return false;
	return true;
}

bool wv_token_name_ok(const char *name)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t n = strlen(name);

	/* what looks like an id could be taken for one */
	return n && n < WV_TOKEN_NAME_SIZE && strspn(name, letters) == n &&
	       !(n == WV_TOKEN_ID && is_hex(name, n));
}

static unsigned nibble(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void to_hex(const unsigned char *bytes, size_t n, char *ret)
{
	for (size_t i = 0; i < n; i++)
		snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

/* Reading ------------------------------------------------------------------------------------- */

/* A text member of at most size - 1 bytes without control characters. */
static bool take_text(struct json_object *row, const char *key, char *ret, size_t size)
{
	struct json_object *v;
	const char *s;

	if (!json_object_object_get_ex(row, key, &v) || !json_object_is_type(v, json_type_string))
		return false;
	s = json_object_get_string(v);
	if (strlen(s) != (size_t)json_object_get_string_len(v) || strlen(s) >= size)
		return false;
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p < 0x20)
			return false;
	memcpy(ret, s, strlen(s) + 1);
	return true;
}

static bool take_time(struct json_object *row, const char *key, uint64_t *ret)
{
	struct json_object *v;
	int64_t n;

	if (!json_object_object_get_ex(row, key, &v) || !json_object_is_type(v, json_type_int))
		return false;
	n = json_object_get_int64(v);
	*ret = (uint64_t)n;
	return n >= 0;
}

static bool take_row(struct json_object *row, struct wv_token *t)
{
	char role[16], hash[65];

	*t = (struct wv_token){.id = ""};
	if (!json_object_is_type(row, json_type_object) ||
	    !take_text(row, "id", t->id, sizeof(t->id)) || strlen(t->id) != WV_TOKEN_ID ||
	    !is_hex(t->id, WV_TOKEN_ID) || !take_text(row, "name", t->name, sizeof(t->name)) ||
	    !wv_token_name_ok(t->name) || !take_text(row, "role", role, sizeof(role)) ||
	    wv_user_role_parse(role, &t->role) < 0 ||
	    !take_text(row, "sha256", hash, sizeof(hash)) || strlen(hash) != 64 ||
	    !is_hex(hash, 64) || !take_time(row, "created_s", &t->created_s) ||
	    !take_time(row, "expires_s", &t->expires_s) ||
	    !take_text(row, "by", t->by, sizeof(t->by)))
		return false;
	for (unsigned i = 0; i < 32; i++)
		t->hash[i] = (unsigned char)(nibble(hash[2 * i]) << 4 | nibble(hash[2 * i + 1]));
	return true;
}

static struct json_object *parse_whole(const char *text, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(8);
	struct json_object *o;

	if (!tok || len > FILE_MAX_BYTES) {
		if (tok)
			json_tokener_free(tok);
		return NULL;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	o = json_tokener_parse_ex(tok, text, (int)len);
	/* nothing may follow but the newline */
	for (size_t at = json_tokener_get_parse_end(tok); o && at < len; at++)
		if (text[at] != '\n') {
			json_object_put(o);
			o = NULL;
		}
	json_tokener_free(tok);
	return o;
}

int wv_tokens_parse(const char *text, size_t len, struct wv_tokens *ret)
{
	_cleanup_(json_release) struct json_object *o = parse_whole(text, len);
	_cleanup_(wv_tokens_done) struct wv_tokens t = {0};
	struct json_object *version, *rows;
	size_t n;

	if (!json_object_object_get_ex(o, "schema_version", &version) ||
	    json_object_get_int64(version) != 1 || !json_object_object_get_ex(o, "tokens", &rows) ||
	    !json_object_is_type(rows, json_type_array))
		return -EPROTO;
	n = json_object_array_length(rows);
	if (n > WV_TOKENS_MAX)
		return -EPROTO;
	t.list = calloc(n + 1, sizeof(*t.list));
	if (!t.list)
		return -ENOMEM;
	for (; t.n < n; t.n++) {
		if (!take_row(json_object_array_get_idx(rows, t.n), &t.list[t.n]))
			return -EPROTO;
		for (size_t i = 0; i < t.n; i++)
			if (strcmp(t.list[i].id, t.list[t.n].id) == 0)
				return -EPROTO;
	}
	*ret = t;
	t = (struct wv_tokens){0};
	return 0;
}

static int load_from(const struct wv_io *io, int dir, struct wv_tokens *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = wv_io_read_file(io, dir, WV_TOKENS_NAME, FILE_MAX_BYTES, &text, &len);

	if (r == -ENOENT) {
		*ret = (struct wv_tokens){0};
		return 0;
	}
	return r < 0 ? r : wv_tokens_parse(text, len, ret);
}

/* The folder; made if need be, where `make`. */
static int open_folder(const struct wv_io *io, const struct wv_paths *paths, bool make)
{
	char path[WV_PATH_SIZE + 16];
	int r;

	snprintf(path, sizeof(path), "%s/" WV_ACCESS_FOLDER, paths->state);
	r = make ? wv_io_mkdirs(io, path, 0700) : 0;
	return r < 0 ? r : io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

int wv_tokens_load(const struct wv_io *io, const struct wv_paths *paths, struct wv_tokens *ret)
{
	int dir = open_folder(io, paths, false), r;

	if (dir == -ENOENT) {
		*ret = (struct wv_tokens){0};
		return 0;
	}
	if (dir < 0)
		return dir;
	r = load_from(io, dir, ret);
	(void)io->close(io->ctx, dir);
	return r;
}

/* Looking one up ------------------------------------------------------------------------------ */

const struct wv_token *wv_tokens_find(const struct wv_tokens *t, const char *text, size_t len,
				      uint64_t now_s, const char **why)
{
	const size_t secret = strlen(WV_TOKEN_PREFIX) + WV_TOKEN_ID + 1;
	const char *id = text + strlen(WV_TOKEN_PREFIX);
	unsigned char hash[SHA256_DIGEST_LENGTH];
	const struct wv_token *found = NULL;

	*why = "malformed";
	if (len != WV_TOKEN_TEXT_SIZE - 1 ||
	    memcmp(text, WV_TOKEN_PREFIX, strlen(WV_TOKEN_PREFIX)) != 0 ||
	    !is_hex(id, WV_TOKEN_ID) || text[secret - 1] != '_' ||
	    !is_hex(text + secret, WV_TOKEN_SECRET))
		return NULL;
	*why = "unknown";
	SHA256((const unsigned char *)text + secret, WV_TOKEN_SECRET, hash);
	/* ids are no secret; secrets are compared in constant time */
	for (size_t i = 0; i < t->n && !found; i++)
		if (memcmp(t->list[i].id, id, WV_TOKEN_ID) == 0 &&
		    CRYPTO_memcmp(t->list[i].hash, hash, sizeof(hash)) == 0)
			found = &t->list[i];
	OPENSSL_cleanse(hash, sizeof(hash));
	if (found && found->expires_s && found->expires_s <= now_s) {
		*why = "expired";
		return NULL;
	}
	return found;
}

/* Changing the file --------------------------------------------------------------------------- */

static int save(const struct wv_io *io, int dir, const struct wv_tokens *t)
{
	_cleanup_(json_release) struct json_object *o = json_object_new_object();
	struct json_object *rows = json_object_new_array();
	const char *text;
	size_t len;

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(o, "tokens", rows);
	for (size_t i = 0; i < t->n; i++) {
		const struct wv_token *k = &t->list[i];
		struct json_object *row = json_object_new_object();
		char hash[65];

		to_hex(k->hash, sizeof(k->hash), hash);
		json_object_object_add(row, "id", json_object_new_string(k->id));
		json_object_object_add(row, "name", json_object_new_string(k->name));
		json_object_object_add(row, "role",
				       json_object_new_string(wv_user_role_names[k->role]));
		json_object_object_add(row, "sha256", json_object_new_string(hash));
		json_object_object_add(row, "created_s",
				       json_object_new_int64((int64_t)k->created_s));
		json_object_object_add(row, "expires_s",
				       json_object_new_int64((int64_t)k->expires_s));
		json_object_object_add(row, "by", json_object_new_string(k->by));
		json_object_array_add(rows, row);
	}
	text = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &len);
	return text ? wv_io_replace(io, dir, WV_TOKENS_NAME, text, len, 0600) : -ENOMEM;
}

/* One writer at a time. The lock's descriptor, to be closed, or -errno. */
static int take_lock(const struct wv_io *io, int dir)
{
	int fd = io->open(io->ctx, dir, LOCK_NAME, O_RDWR | O_CREAT, 0600), r;

	if (fd < 0)
		return fd;
	r = io->lock(io->ctx, fd, true);
	if (r == 0)
		return fd;
	(void)io->close(io->ctx, fd);
	return r;
}

static int fill(const struct wv_io *io, struct wv_token *t, char text[WV_TOKEN_TEXT_SIZE])
{
	unsigned char noise[WV_TOKEN_ID / 2 + WV_TOKEN_SECRET / 2];
	char secret[WV_TOKEN_SECRET + 1];
	int r = io->random(io->ctx, noise, sizeof(noise));

	if (r < 0)
		return r;
	to_hex(noise, WV_TOKEN_ID / 2, t->id);
	to_hex(noise + WV_TOKEN_ID / 2, WV_TOKEN_SECRET / 2, secret);
	SHA256((const unsigned char *)secret, WV_TOKEN_SECRET, t->hash);
	snprintf(text, WV_TOKEN_TEXT_SIZE, WV_TOKEN_PREFIX "%s_%s", t->id, secret);
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(noise, sizeof(noise));
	return 0;
}

static void drop(struct wv_tokens *t, size_t i)
{
	memmove(&t->list[i], &t->list[i + 1], (t->n - i - 1) * sizeof(*t->list));
	t->n--;
}

static void drop_expired(struct wv_tokens *t, uint64_t now_s)
{
	for (size_t i = t->n; i-- > 0;)
		if (t->list[i].expires_s && t->list[i].expires_s <= now_s)
			drop(t, i);
}

static int add(const struct wv_io *io, int dir, struct wv_token *token,
	       char text[WV_TOKEN_TEXT_SIZE], int (*announce)(void *ctx, const struct wv_token *t),
	       void *ctx)
{
	_cleanup_(wv_tokens_done) struct wv_tokens t = {0};
	struct wv_token *more;
	int r = load_from(io, dir, &t);

	if (r < 0)
		return r;
	token->created_s = io->wall_ns(io->ctx) / 1000000000ULL;
	drop_expired(&t, token->created_s);
	for (size_t i = 0; i < t.n; i++)
		if (strcmp(t.list[i].name, token->name) == 0)
			return -EEXIST;
	if (t.n >= WV_TOKENS_MAX)
		return -ENOSPC;
	more = realloc(t.list, (t.n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	t.list = more;
	r = fill(io, token, text);
	if (r == 0 && announce)
		r = announce(ctx, token);
	if (r < 0)
		return r;
	t.list[t.n++] = *token;
	return save(io, dir, &t);
}

int wv_token_create(const struct wv_io *io, const struct wv_paths *paths, struct wv_token *token,
		    char secret_text[WV_TOKEN_TEXT_SIZE],
		    int (*announce)(void *ctx, const struct wv_token *t), void *ctx)
{
	int dir = open_folder(io, paths, true), lock, r;

	if (dir < 0)
		return dir;
	r = lock = take_lock(io, dir);
	if (lock >= 0) {
		r = add(io, dir, token, secret_text, announce, ctx);
		(void)io->close(io->ctx, lock);
	}
	if (r < 0)
		OPENSSL_cleanse(secret_text, WV_TOKEN_TEXT_SIZE);
	(void)io->close(io->ctx, dir);
	return r;
}

static int take_away(const struct wv_io *io, int dir, const char *which, struct wv_token *ret)
{
	_cleanup_(wv_tokens_done) struct wv_tokens t = {0};
	int r = load_from(io, dir, &t);

	for (size_t i = 0; r == 0 && i < t.n; i++) {
		struct wv_token found = t.list[i];

		if (strcmp(found.id, which) != 0 && strcmp(found.name, which) != 0)
			continue;
		drop(&t, i);
		r = save(io, dir, &t);
		if (r == 0)
			*ret = found;
		return r;
	}
	return r < 0 ? r : -ENOENT;
}

int wv_token_revoke(const struct wv_io *io, const struct wv_paths *paths, const char *which,
		    struct wv_token *ret)
{
	int dir = open_folder(io, paths, false), lock, r;

	if (dir < 0)
		return dir;
	r = lock = take_lock(io, dir);
	if (lock >= 0) {
		r = take_away(io, dir, which, ret);
		(void)io->close(io->ctx, lock);
	}
	(void)io->close(io->ctx, dir);
	return r;
}
