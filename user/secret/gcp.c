// SPDX-License-Identifier: GPL-2.0-only
/* Google Secret Manager: the `access` method of a version of a secret, with a token of a reference
 * or of the metadata server. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/base64.h"
#include "user/secret/store.h"
#include "user/spool/crc32c.h"

#define ENDPOINT "https://secretmanager.googleapis.com"
#define TOKEN_PATH "/computeMetadata/v1/instance/service-accounts/default/token"
#define TOKEN_EARLY_S 60 /* it is fetched anew that long before it ends */
#define SECOND 1000000000ULL

/* Payload: base64, and the CRC32C of its bytes as a decimal text (int64 in proto3 JSON). */
static int keep_payload(const struct wv_secret_ref *ref, struct json_object *o,
			struct wv_secret_fetched *f)
{
	struct json_object *payload = wv_secret_member(o, "payload", json_type_object);
	struct json_object *data = wv_secret_member(payload, "data", json_type_string);
	struct json_object *sum = wv_secret_member(payload, "dataCrc32c", json_type_string);
	struct wv_locked bytes;
	size_t len;
	ssize_t n;
	int r;

	if (!data || !sum)
		return wv_secret_fail(f, -EBADMSG, "Google's answer has no %s",
				      data ? "checksum" : "payload");
	len = (size_t)json_object_get_string_len(data);
	if (wv_locked_alloc(&bytes, len + 1) < 0)
		return wv_secret_fail(f, -ENOMEM, "no memory");
	n = wv_base64_decode(json_object_get_string(data), len, bytes.p, bytes.size);
	if (n < 0)
		r = wv_secret_fail(f, -EBADMSG, "Google's payload is no base64");
	else if (strtoull(json_object_get_string(sum), NULL, 10) !=
		 wv_crc32c(0, bytes.p, (size_t)n))
		r = wv_secret_fail(f, -EBADMSG, "Google's payload does not match its checksum");
	else
		r = wv_secret_keep_field(f, bytes.p, (size_t)n, ref->field);
	wv_locked_free(&bytes);
	return r;
}

static int read_answer(const struct wv_secret_ref *ref, struct wv_secret_answer *a,
		       struct wv_secret_fetched *f)
{
	struct json_object *o = NULL;
	int r;

	if (a->status == 400) /* also: the version is disabled or destroyed */
		return wv_secret_fail(
			f, -ENOENT,
			"Google refuses the request (400): is the version disabled or "
			"destroyed?");
	if (a->status != 200)
		return wv_secret_status_error(f, "Google", a->status);
	r = wv_secret_json(a->body.p, a->len, &o);
	if (r < 0)
		return wv_secret_fail(f, r, "Google's answer is no JSON");
	r = keep_payload(ref, o, f);
	wv_secret_json_done(o);
	return r;
}

/* The metadata server's token, "Authorization: Bearer ..." */
static int read_token(struct wv_secrets *s, struct wv_secret_answer *a, struct wv_secret_fetched *f)
{
	struct json_object *o = NULL, *token, *expires;
	int64_t left;
	int r;

	if (a->status != 200)
		return wv_secret_status_error(f, "the metadata server", a->status);
	r = wv_secret_json(a->body.p, a->len, &o);
	if (r < 0)
		return wv_secret_fail(f, r, "the metadata server's answer is no JSON");
	token = wv_secret_member(o, "access_token", json_type_string);
	expires = wv_secret_member(o, "expires_in", json_type_int);
	if (!token)
		r = wv_secret_fail(f, -EBADMSG, "the metadata server gave no access_token");
	else if (wv_locked_alloc(&s->gcp_meta, (size_t)json_object_get_string_len(token) + 32) < 0)
		r = wv_secret_fail(f, -ENOMEM, "no memory");
	if (r == 0) {
		snprintf(s->gcp_meta.p, s->gcp_meta.size, "Authorization: Bearer %s",
			 json_object_get_string(token));
		left = expires ? json_object_get_int64(expires) - TOKEN_EARLY_S : 0;
		s->gcp_meta_until_ns = s->io->mono_ns(s->io->ctx) +
				       (left > 0 && left < 86400 ? (uint64_t)left * SECOND : 0);
	}
	wv_secret_json_done(o);
	return r;
}

static int token_of_metadata(struct wv_secrets *s, struct wv_secret_fetched *f)
{
	char url[WV_SECRET_REF_SIZE + sizeof(TOKEN_PATH)];
	struct wv_secret_request q = {
		.url = url, .headers = {"Metadata-Flavor: Google"}, .plain_anywhere = true};
	struct wv_secret_answer answer;
	int r;

	if (s->gcp_meta.p && s->io->mono_ns(s->io->ctx) < s->gcp_meta_until_ns)
		return 0;
	wv_locked_free(&s->gcp_meta);
	snprintf(url, sizeof(url), "%s" TOKEN_PATH, s->config->secrets_gcp_metadata);
	r = wv_secret_ask(s, &q, &answer, f);
	if (r < 0)
		return r;
	r = read_token(s, &answer, f);
	wv_locked_free(&answer.body);
	return r;
}

static int ask(struct wv_secrets *s, const struct wv_secret_ref *ref, const char *url,
	       struct wv_secret_fetched *f)
{
	struct wv_secret_request q = {.url = url};
	struct wv_locked line = {NULL, 0};
	struct wv_secret_answer answer;
	struct wv_secret_value token;
	int r;

	if (s->gcp_token == WV_SECRET_NONE) {
		r = token_of_metadata(s, f);
		if (r < 0)
			return r;
		q.headers[0] = s->gcp_meta.p;
	} else {
		r = wv_secrets_get(s, s->gcp_token, &token);
		if (r < 0)
			return wv_secret_fail(f, r, "secrets.gcp_token cannot be had");
		if (wv_locked_alloc(&line, token.len + 32) < 0)
			return wv_secret_fail(f, -ENOMEM, "no memory");
		snprintf(line.p, line.size, "Authorization: Bearer %s", token.text);
		q.headers[0] = line.p;
	}
	r = wv_secret_ask(s, &q, &answer, f);
	wv_locked_free(&line);
	if (r < 0)
		return r;
	r = read_answer(ref, &answer, f);
	wv_locked_free(&answer.body);
	return r;
}

static bool has_new_token(struct wv_secrets *s)
{
	if (s->gcp_token != WV_SECRET_NONE)
		return wv_secrets_refused(s, s->gcp_token) > 0;
	s->gcp_meta_until_ns = 0;
	return true;
}

int wv_secret_from_gcp(struct wv_secrets *s, const struct wv_secret_ref *ref,
		       struct wv_secret_fetched *f)
{
	const char *endpoint = s->config->secrets_gcp_endpoint;
	char url[5 * WV_SECRET_REF_SIZE];
	size_t len;
	int r;

	if (!*endpoint)
		endpoint = ENDPOINT;
	len = strlen(endpoint);
	len -= endpoint[len - 1] == '/';
	snprintf(url, sizeof(url), "%.*s/v1/projects/%s/secrets/%s/versions/%s:access", (int)len,
		 endpoint, ref->place, ref->name, ref->version);
	r = ask(s, ref, url, f);
	if (r == -EACCES && has_new_token(s))
		r = ask(s, ref, url, f);
	return r;
}
