/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the store of secrets share; users see secret.h alone. */
#ifndef WV_SECRET_STORE_H
#define WV_SECRET_STORE_H

#include <json-c/json.h>

#include "user/secret/secret.h"

#define WV_SECRET_ENTRIES_MAX 256
#define WV_SECRET_NONE UINT32_MAX /* an id of nothing */
#define WV_SECRET_WHY 128

struct wv_secret_entry {
	char reference[WV_SECRET_REF_SIZE];
	struct wv_secret_ref ref;
	struct wv_locked value;
	size_t len;
	uint64_t fetched_ns, due_ns, tried_ns; /* monotonic; due_ns 0: never tried */
	unsigned failed;		       /* in a row */
	int error;
	char why[WV_SECRET_WHY];
	int64_t changed_s;
	uint64_t fetches, failures;
};

struct wv_secrets {
	const struct wv_io *io;
	const struct wv_config *config;
	struct wv_secret_entry *entries[WV_SECRET_ENTRIES_MAX];
	unsigned n;
	/* the stores' own: ids of local ones */
	unsigned vault_token, aws_access_key, aws_secret_key, aws_session_token, gcp_token;
	struct wv_locked gcp_meta; /* token of the metadata server */
	uint64_t gcp_meta_until_ns;
	void *curl; /* CURL *, opened when it is first used */
	char *ca;   /* PEM, as its file may be out of reach later */
	size_t ca_len;
};

/* What an attempt to fetch one gave. */
struct wv_secret_fetched {
	struct wv_locked value; /* text and NUL */
	size_t len;
	int64_t changed_s;
	uint64_t retry_after_s;
	char why[WV_SECRET_WHY]; /* set on failure; never has a byte of an answer in it */
};

/* Sets why, and returns error. */
int wv_secret_fail(struct wv_secret_fetched *f, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* One a kind of source; 0 or an error of wv_secrets_get(). */
int wv_secret_from_env(struct wv_secrets *s, const struct wv_secret_ref *ref,
		       struct wv_secret_fetched *f);
int wv_secret_from_file(struct wv_secrets *s, const struct wv_secret_ref *ref,
			struct wv_secret_fetched *f);
int wv_secret_from_vault(struct wv_secrets *s, const struct wv_secret_ref *ref,
			 struct wv_secret_fetched *f);
int wv_secret_from_aws(struct wv_secrets *s, const struct wv_secret_ref *ref,
		       struct wv_secret_fetched *f);
int wv_secret_from_gcp(struct wv_secrets *s, const struct wv_secret_ref *ref,
		       struct wv_secret_fetched *f);

/* A copy of bytes as the value; -ENOENT: empty; -EFBIG; -EBADMSG: a NUL in it. */
int wv_secret_keep(struct wv_secret_fetched *f, const char *bytes, size_t len);
/* The same with the text (or number, true, false) of a member of a JSON object that is in bytes. */
int wv_secret_keep_field(struct wv_secret_fetched *f, const char *bytes, size_t len,
			 const char *field);

int wv_secret_keep_object(struct wv_secret_fetched *f, struct json_object *o, const char *field);

/* JSON that may hold secrets: strict; *ret is given back by wv_secret_json_done(), which wipes it.
 * -EBADMSG. */
int wv_secret_json(const char *text, size_t len, struct json_object **ret);
void wv_secret_json_done(struct json_object *o);
/* Member of that type, or NULL. o MAY be NULL. */
struct json_object *wv_secret_member(struct json_object *o, const char *key, enum json_type type);

/* Asking a store ------------------------------------------------------------------------------ */

struct wv_secret_request {
	const char *url;
	const char *body;	     /* NULL: GET */
	const char *headers[6];	     /* whole lines, NULL-terminated */
	const char *sigv4;	     /* CURLOPT_AWS_SIGV4, NULL: none */
	const char *user, *password; /* of sigv4 */
	bool plain_anywhere;	     /* http: may leave this machine (metadata server) */
};
struct wv_secret_answer {
	long status;
	struct wv_locked body;
	size_t len;
};
/*
 * 0 with an answer of any status, to be released by wv_locked_free(&ret->body); f gets why and
 * retry_after_s.
 */
int wv_secret_ask(struct wv_secrets *s, const struct wv_secret_request *q,
		  struct wv_secret_answer *ret, struct wv_secret_fetched *f);
/* What statuses that are no success mean, with why: "Vault answered 503". */
int wv_secret_status_error(struct wv_secret_fetched *f, const char *who, long status);
/* Bytes of s that are not unreserved (RFC 3986, 2.3) nor '/' are written as %XX. -ENAMETOOLONG. */
int wv_secret_escape(const char *s, char *ret, size_t size);

/* https://, or http:// to a loopback address; no user, query or fragment. */
bool wv_secret_is_address(const char *url);

#endif
