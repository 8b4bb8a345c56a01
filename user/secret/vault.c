// SPDX-License-Identifier: GPL-2.0-only
/* HashiCorp Vault, KV version 2: GET /v1/<mount>/data/<path>. The token is a local reference, and
 * is read again when Vault refuses it (an agent beside us renews it). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/secret/store.h"

#define TOKEN_MAX 4096

/* RFC 3339 of created_time, to the second; 0 if it is none. */
static int64_t seconds(struct json_object *text)
{
	struct tm tm = {0};
	const char *end =
		text ? strptime(json_object_get_string(text), "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

	return end ? (int64_t)timegm(&tm) : 0;
}

static int read_answer(const struct wv_secret_ref *ref, struct wv_secret_answer *a,
		       struct wv_secret_fetched *f)
{
	struct json_object *o = NULL, *outer, *data, *meta;
	int r = wv_secret_json(a->body.p, a->len, &o);

	if (r < 0 && (a->status == 200 || a->status == 404))
		return a->status == 404 ? wv_secret_status_error(f, "Vault", a->status)
					: wv_secret_fail(f, -EBADMSG, "Vault's answer is no JSON");
	if (r < 0)
		return wv_secret_status_error(f, "Vault", a->status);
	outer = wv_secret_member(o, "data", json_type_object);
	data = wv_secret_member(outer, "data", json_type_object);
	meta = wv_secret_member(outer, "metadata", json_type_object);
	/* a version that is gone is told as 404, with its metadata */
	if (meta && json_object_get_boolean(wv_secret_member(meta, "destroyed", json_type_boolean)))
		r = wv_secret_fail(f, -ENOENT, "its latest version is destroyed");
	else if (meta && !data)
		r = wv_secret_fail(f, -ENOENT, "its latest version is deleted");
	else if (a->status != 200)
		r = wv_secret_status_error(f, "Vault", a->status);
	else if (!data)
		r = wv_secret_fail(f, -EBADMSG,
				   "Vault's answer has no data.data: is the mount KV version 2?");
	else
		r = wv_secret_keep_object(f, data, ref->field);
	if (r == 0)
		f->changed_s = seconds(wv_secret_member(meta, "created_time", json_type_string));
	wv_secret_json_done(o);
	return r;
}

static int ask(struct wv_secrets *s, const struct wv_secret_ref *ref, const char *url,
	       struct wv_secret_fetched *f)
{
	struct wv_secret_request q = {.url = url};
	char space[WV_SECRET_REF_SIZE + 32];
	struct wv_secret_answer answer;
	struct wv_secret_value token;
	struct wv_locked line;
	int r = wv_secrets_get(s, s->vault_token, &token);

	if (r < 0)
		return wv_secret_fail(f, r, "its token (secrets.vault_token) cannot be had");
	if (token.len > TOKEN_MAX || wv_locked_alloc(&line, token.len + 32) < 0)
		return wv_secret_fail(f, -ENOMEM, "no memory for the token");
	snprintf(line.p, line.size, "X-Vault-Token: %s", token.text);
	q.headers[0] = line.p;
	q.headers[1] = "X-Vault-Request: true";
	snprintf(space, sizeof(space), "X-Vault-Namespace: %s", s->config->secrets_vault_namespace);
	if (s->config->secrets_vault_namespace[0])
		q.headers[2] = space;
	r = wv_secret_ask(s, &q, &answer, f);
	wv_locked_free(&line);
	if (r < 0)
		return r;
	r = read_answer(ref, &answer, f);
	wv_locked_free(&answer.body);
	return r;
}

int wv_secret_from_vault(struct wv_secrets *s, const struct wv_secret_ref *ref,
			 struct wv_secret_fetched *f)
{
	const char *address = s->config->secrets_vault_address;
	char path[3 * WV_SECRET_REF_SIZE], url[4 * WV_SECRET_REF_SIZE];
	size_t len = strlen(address);
	int r;

	if (!len || s->vault_token == WV_SECRET_NONE)
		return wv_secret_fail(f, -EINVAL, "secrets.%s is not set",
				      len ? "vault_token" : "vault_address");
	len -= address[len - 1] == '/';
	r = wv_secret_escape(ref->name, path, sizeof(path));
	if (r < 0 || snprintf(url, sizeof(url), "%.*s/v1/%s/data/%s", (int)len, address, ref->place,
			      path) >= (int)sizeof(url))
		return wv_secret_fail(f, -ENAMETOOLONG, "the path is too long");
	r = ask(s, ref, url, f);
	if (r == -EACCES && wv_secrets_refused(s, s->vault_token) > 0)
		r = ask(s, ref, url, f);
	return r;
}
