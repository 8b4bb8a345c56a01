/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tokens of the API: <state>/access/tokens (mode 0600 in a folder 0700), replaced atomically. A
 * token is "wvt_" ID "_" SECRET: the id (48 random bits, hex) finds the row and may be shown; the
 * secret is 256 random bits, of which only the SHA-256 is kept. A fast hash without salt suffices
 * here, other than for passwords: there is no list of likely secrets to try, and 2^256 cannot be
 * searched however fast the hash is.
 */
#ifndef WV_ACCESS_TOKENS_H
#define WV_ACCESS_TOKENS_H

#include "user/access/access.h"
#include "user/core/io.h"
#include "user/core/paths.h"

#define WV_ACCESS_FOLDER "access" /* in <state> */
#define WV_TOKENS_NAME "tokens"
#define WV_TOKEN_PREFIX "wvt_"
#define WV_TOKEN_ID 12	   /* hex digits */
#define WV_TOKEN_SECRET 64 /* hex digits */
#define WV_TOKEN_TEXT_SIZE (4 + WV_TOKEN_ID + 1 + WV_TOKEN_SECRET + 1)
#define WV_TOKENS_MAX 256
#define WV_TOKEN_NAME_SIZE 64

struct wv_token {
	char id[WV_TOKEN_ID + 1];
	char name[WV_TOKEN_NAME_SIZE];
	enum wv_user_role role;
	unsigned char hash[32];
	uint64_t created_s, expires_s; /* wall clock; expires 0: never */
	char by[64];		       /* who made it */
};

struct wv_tokens {
	struct wv_token *list; /* owned */
	size_t n;
};
void wv_tokens_done(struct wv_tokens *t);

/* The file's text. -EPROTO: it is none; nothing of it counts then. */
int wv_tokens_parse(const char *text, size_t len, struct wv_tokens *ret);
/* 0 (no file: no tokens), -EPROTO, or another -errno. */
int wv_tokens_load(const struct wv_io *io, const struct wv_paths *paths, struct wv_tokens *ret);

/* Letters, digits, '-', '_' and '.', 1 to 63 of them, and not what an id looks like. */
bool wv_token_name_ok(const char *name);
/*
 * The token that `text` (any bytes) is, at this time. NULL with *why "unknown", "expired" or
 * "malformed". Compares in constant time.
 */
const struct wv_token *wv_tokens_find(const struct wv_tokens *t, const char *text, size_t len,
				      uint64_t now_s, const char **why);

/*
 * A new token: fills id, hash and created_s of *token, whose other members the caller set, and
 * `secret_text`, which is to be wiped. announce (MAY be NULL) is called with the finished token
 * before it is valid; what it returns but 0 stops it. -EEXIST: the name is taken; -ENOSPC: there
 * are WV_TOKENS_MAX. Tokens that are over are removed on the way.
 */
int wv_token_create(const struct wv_io *io, const struct wv_paths *paths, struct wv_token *token,
		    char secret_text[WV_TOKEN_TEXT_SIZE],
		    int (*announce)(void *ctx, const struct wv_token *t), void *ctx);
/* By id or name; durable when it returns 0, with the token in *ret. -ENOENT: no such one. */
int wv_token_revoke(const struct wv_io *io, const struct wv_paths *paths, const char *which,
		    struct wv_token *ret);

#endif
