// SPDX-License-Identifier: GPL-2.0-only
/* AWS Secrets Manager: GetSecretValue, signed by libcurl (SigV4). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/core/base64.h"
#include "user/core/cleanup.h"
#include "user/secret/store.h"

/* What its errors mean to us; all but throttling come as status 400. */
static const struct {
	const char *type;
	int error;
} errors[] = {
	{"ResourceNotFoundException", -ENOENT},
	{"InvalidRequestException", -ENOENT}, /* about to be deleted */
	{"AccessDeniedException", -EACCES},
	{"UnrecognizedClientException", -EACCES},
	{"InvalidSignatureException", -EACCES},
	{"IncompleteSignatureException", -EACCES},
	{"MissingAuthenticationTokenException", -EACCES},
	{"ExpiredTokenException", -EACCES},
	{"DecryptionFailure", -EACCES},
	{"ThrottlingException", -EAGAIN},
};

static int status_error(struct wv_secret_fetched *f, long status, struct json_object *o)
{
	struct json_object *type = wv_secret_member(o, "__type", json_type_string);
	const char *name = type ? json_object_get_string(type) : "";
	const char *hash = strchr(name, '#'); /* "com.amazonaws...#Name" */

	name = hash ? hash + 1 : name;
	for (size_t i = 0; status == 400 && i < ARRAY_SIZE(errors); i++)
		if (strcmp(errors[i].type, name) == 0)
			return wv_secret_fail(f, errors[i].error, "AWS answered %s",
					      errors[i].type);
	return wv_secret_status_error(f, "AWS", status);
}

static int keep_binary(struct wv_secret_fetched *f, struct json_object *text, const char *field)
{
	size_t len = (size_t)json_object_get_string_len(text);
	struct wv_locked bytes;
	ssize_t n;
	int r;

	if (wv_locked_alloc(&bytes, len + 1) < 0)
		return wv_secret_fail(f, -ENOMEM, "no memory");
	n = wv_base64_decode(json_object_get_string(text), len, bytes.p, bytes.size);
	r = n < 0 ? wv_secret_fail(f, -EBADMSG, "SecretBinary is no base64")
		  : wv_secret_keep_field(f, bytes.p, (size_t)n, field);
	wv_locked_free(&bytes);
	return r;
}

static int read_answer(const struct wv_secret_ref *ref, struct wv_secret_answer *a,
		       struct wv_secret_fetched *f)
{
	struct json_object *o = NULL, *text, *binary, *created;
	int r = wv_secret_json(a->body.p, a->len, &o);

	if (r < 0)
		return a->status == 200 ? wv_secret_fail(f, r, "AWS's answer is no JSON")
					: wv_secret_status_error(f, "AWS", a->status);
	text = wv_secret_member(o, "SecretString", json_type_string);
	binary = wv_secret_member(o, "SecretBinary", json_type_string);
	if (a->status != 200)
		r = status_error(f, a->status, o);
	else if (text)
		r = wv_secret_keep_field(f, json_object_get_string(text),
					 (size_t)json_object_get_string_len(text), ref->field);
	else if (binary)
		r = keep_binary(f, binary, ref->field);
	else
		r = wv_secret_fail(f, -EBADMSG, "AWS's answer has no SecretString");
	if (r == 0 && json_object_object_get_ex(o, "CreatedDate", &created))
		f->changed_s = json_object_get_int64(created);
	wv_secret_json_done(o);
	return r;
}

/* Copies of the keys, as what the store gives is valid until it is asked again. */
static int key(struct wv_secrets *s, unsigned id, const char *setting, const char *before,
	       struct wv_locked *ret, struct wv_secret_fetched *f)
{
	struct wv_secret_value v;
	int r = id == WV_SECRET_NONE ? -ENOENT : wv_secrets_get(s, id, &v);

	if (r < 0)
		return wv_secret_fail(f, r, "secrets.%s cannot be had", setting);
	if (wv_locked_alloc(ret, strlen(before) + v.len + 1) < 0)
		return wv_secret_fail(f, -ENOMEM, "no memory");
	snprintf(ret->p, ret->size, "%s%s", before, v.text);
	return 0;
}

static int ask(struct wv_secrets *s, const struct wv_secret_ref *ref, struct wv_secret_request *q,
	       struct wv_secret_fetched *f)
{
	struct wv_locked user = {NULL, 0}, password = {NULL, 0}, session = {NULL, 0};
	struct wv_secret_answer answer;
	int r = key(s, s->aws_access_key, "aws_access_key", "", &user, f);

	if (r == 0)
		r = key(s, s->aws_secret_key, "aws_secret_key", "", &password, f);
	if (r == 0 && s->aws_session_token != WV_SECRET_NONE)
		r = key(s, s->aws_session_token, "aws_session_token",
			"X-Amz-Security-Token: ", &session, f);
	q->user = user.p;
	q->password = password.p;
	q->headers[2] = session.p;
	if (r == 0)
		r = wv_secret_ask(s, q, &answer, f);
	wv_locked_free(&user);
	wv_locked_free(&password);
	wv_locked_free(&session);
	if (r < 0)
		return r;
	r = read_answer(ref, &answer, f);
	wv_locked_free(&answer.body);
	return r;
}

/* Keys that were replaced. */
static bool has_new_keys(struct wv_secrets *s)
{
	bool again = wv_secrets_refused(s, s->aws_access_key) > 0;

	again |= wv_secrets_refused(s, s->aws_secret_key) > 0;
	if (s->aws_session_token != WV_SECRET_NONE)
		again |= wv_secrets_refused(s, s->aws_session_token) > 0;
	return again;
}

int wv_secret_from_aws(struct wv_secrets *s, const struct wv_secret_ref *ref,
		       struct wv_secret_fetched *f)
{
	const char *endpoint = s->config->secrets_aws_endpoint;
	char url[2 * WV_SECRET_REF_SIZE], body[WV_SECRET_REF_SIZE + 32],
		sigv4[WV_SECRET_REF_SIZE + 32];
	struct wv_secret_request q = {.url = url,
				      .body = body,
				      .sigv4 = sigv4,
				      .headers = {"Content-Type: application/x-amz-json-1.1",
						  "X-Amz-Target: secretsmanager.GetSecretValue"}};
	int r;

	if (*endpoint)
		snprintf(url, sizeof(url), "%s%s", endpoint,
			 endpoint[strlen(endpoint) - 1] == '/' ? "" : "/");
	else
		snprintf(url, sizeof(url), "https://secretsmanager.%s.amazonaws.com%s/", ref->place,
			 strncmp(ref->place, "cn-", 3) == 0 ? ".cn" : "");
	/* the characters of an id need no escape in JSON */
	snprintf(body, sizeof(body), "{\"SecretId\":\"%s\"}", ref->name);
	snprintf(sigv4, sizeof(sigv4), "aws:amz:%s:secretsmanager", ref->place);
	r = ask(s, ref, &q, f);
	if (r == -EACCES && has_new_keys(s))
		r = ask(s, ref, &q, f);
	return r;
}
