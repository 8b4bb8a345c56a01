// SPDX-License-Identifier: GPL-2.0-only
/* One request: who asks, whether that may be, a record where it changes something, then a job. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "user/api/api.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/sha256.h"
#include "user/export/gpu_json.h"

/* How long the web worker may remember that a client may see its figures. */
#define AUTHORIZED_MS 5000

static void json_release(struct json_object **o)
{
	json_object_put(*o);
}

const char *wv_api_ask_param(const struct wv_api_ask *ask, const char *key)
{
	for (size_t i = 0; i < ask->n_params; i++)
		if (strcmp(ask->params[i].key, key) == 0)
			return ask->params[i].value;
	return NULL;
}

/* Answers ------------------------------------------------------------------------------------- */

static void send_answer(struct wv_api *a, const struct wv_api_answer *answer, int body)
{
	char message[WV_API_INLINE_MAX + 256];
	ssize_t n = wv_api_answer_encode(answer, message, sizeof(message));
	int r = n < 0 ? (int)n : wv_api_send(a->fd, message, (size_t)n, &body, body >= 0 ? 1 : 0);

	/* nobody reads: that request runs into its deadline over there */
	if (r < 0) {
		a->dropped++;
		(void)wv_log_full(LOG_DEBUG, r, "api", "an answer could not be delivered");
	}
}

void wv_api_reply(struct wv_api *a, uint64_t id, unsigned status, enum wv_api_type type,
		  const char *body, size_t len)
{
	struct wv_api_answer answer = {
		.kind = WV_API_ANSWER, .status = status, .id = id, .type = type};
	_cleanup_close_ int fd = -1;
	int r;

	a->answered++;
	if (len <= WV_API_INLINE_MAX) {
		answer.body = body;
		answer.body_len = len;
		send_answer(a, &answer, -1);
		return;
	}
	fd = wv_api_body_open();
	r = fd < 0 ? fd : wv_io_write_all(a->io, fd, body, len);
	if (r == 0)
		r = wv_api_body_seal(fd);
	if (r < 0) {
		wv_api_reply_error(a, id, 500, "internal", 0, "no memory for the answer");
		return;
	}
	answer.fd_bytes = len;
	send_answer(a, &answer, fd);
}

void wv_api_reply_error(struct wv_api *a, uint64_t id, unsigned status, const char *code,
			unsigned retry_s, const char *format, ...)
{
	_cleanup_(json_release) struct json_object *o = json_object_new_object();
	struct json_object *error = json_object_new_object();
	struct wv_api_answer answer = {.kind = WV_API_ANSWER,
				       .status = status,
				       .id = id,
				       .type = WV_API_JSON,
				       .retry_s = retry_s};
	char text[320];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	wv_make_printable(text);
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(error, "code", json_object_new_string(code));
	json_object_object_add(error, "message", json_object_new_string(text));
	json_object_object_add(o, "error", error);
	answer.body =
		json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &answer.body_len);
	a->answered++;
	send_answer(a, &answer, -1);
}

static void reply_whoami(struct wv_api *a, uint64_t id, const struct wv_caller *who)
{
	_cleanup_(json_release) struct json_object *o = json_object_new_object();
	struct json_object *roles = json_object_new_array(), *may = json_object_new_array();
	const char *text;
	size_t len;

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(o, "identity", json_object_new_string(who->name));
	json_object_object_add(o, "peer", json_object_new_string(who->peer));
	for (int i = 0; i < WV_USER_N; i++)
		if (who->roles & 1U << i)
			json_object_array_add(roles, json_object_new_string(wv_user_role_names[i]));
	/* the strongest, for who shows one */
	json_object_object_add(
		o, "role",
		json_object_new_string(who->roles & 1U << WV_USER_ADMIN	     ? "admin"
				       : who->roles & 1U << WV_USER_OPERATOR ? "operator"
				       : who->roles & 1U << WV_USER_AUDITOR  ? "auditor"
				       : who->roles & 1U << WV_USER_VIEWER   ? "viewer"
									     : "none"));
	json_object_object_add(o, "roles", roles);
	for (int i = 0; i < WV_MAY_N; i++)
		if (wv_access_allows(who->roles, (enum wv_permission)i))
			json_object_array_add(may, json_object_new_string(wv_permissions[i].name));
	json_object_object_add(o, "permissions", may);
	text = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &len);
	wv_api_reply(a, id, 200, WV_API_JSON, text, len);
}

static void reply_gpu(struct wv_api *a, uint64_t id)
{
	static const char none[] = "{\"schema_version\":1,\"available\":false,\"reason\":\"this "
				   "agent watches no GPUs: see gpu.enabled\"}";
	_cleanup_free_ struct wv_gpu_view *v = malloc(sizeof(*v));
	struct wv_text text = {.max = 1U << 20};

	if (v && wv_gpu_page_read(a->paths->runtime, v) == 0)
		wv_gpu_view_json(v, a->io->mono_ns(a->io->ctx), &text);
	if (text.len && wv_text_end(&text) == 0)
		wv_api_reply(a, id, 200, WV_API_JSON, text.data, text.len);
	else
		wv_api_reply(a, id, 200, WV_API_JSON, none, strlen(none));
	wv_text_done(&text);
}

/* Whether it may be --------------------------------------------------------------------------- */

static void refuse(struct wv_api *a, const struct wv_api_request *q, const struct wv_caller *who,
		   enum wv_permission p, enum wv_api_refusal kind, unsigned retry_s,
		   const char *why)
{
	a->refused++;
	if (kind == WV_API_LIMITED) {
		wv_audit_denied(&a->audit, who, p, "too many failures");
		wv_api_reply_error(a, q->id, 429, "busy", retry_s,
				   "too many failed attempts from here; again in %u s", retry_s);
		return;
	}
	wv_audit_denied(&a->audit, who, p, why);
	if (kind == WV_API_SUSPICIOUS)
		wv_api_reply_error(a, q->id, 403, "denied", 0, "%s", why);
	else if (kind == WV_API_WRONG)
		wv_api_reply_error(a, q->id, 401, "denied", 0,
				   "the token or certificate does not count: %s", why);
	else if (who->kind == WV_CALLER_NOBODY && strcmp(why, "not encrypted") != 0)
		wv_api_reply_error(a, q->id, 401, "denied", 0,
				   "a token (Authorization: Bearer) or client certificate is "
				   "needed; `waveos-bpf token create` makes one");
	else if (who->kind == WV_CALLER_NOBODY)
		wv_api_reply_error(a, q->id, 403, "denied", 0,
				   "this address speaks plain HTTP: it has nothing but /metrics "
				   "and /healthz");
	else
		wv_api_reply_error(a, q->id, 403, "denied", 0,
				   "%s may not %s; the roles that may are in "
				   "docs/access-control.md",
				   who->name, wv_permissions[p].name);
}

/* What the permission of a route is for this request: proofs and types of records of access are
 * told apart in the job, by what they are about. */
static bool authorise(struct wv_api *a, const struct wv_api_request *q, int conn,
		      enum wv_permission p, struct wv_caller *ret)
{
	unsigned retry_s;
	const char *why;
	enum wv_api_refusal kind = wv_api_identify(a, conn, q, ret, &retry_s, &why);

	if (kind == WV_API_KNOWN && wv_access_allows(ret->roles, p))
		return true;
	if (kind == WV_API_KNOWN && ret->kind != WV_CALLER_NOBODY)
		why = "role does not allow it";
	refuse(a, q, ret, p, kind, retry_s, why);
	return false;
}

/* Doing it ------------------------------------------------------------------------------------ */

static void copy_params(struct wv_api_ask *ask, const struct wv_api_request *q)
{
	ask->n_params = q->n_params;
	for (size_t i = 0; i < q->n_params; i++) {
		snprintf(ask->params[i].key, sizeof(ask->params[i].key), "%s", q->params[i].key);
		snprintf(ask->params[i].value, sizeof(ask->params[i].value), "%s",
			 q->params[i].value);
	}
}

static struct json_object *params_json(const struct wv_api_ask *ask)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < ask->n_params; i++) {
		char text[WV_API_KEY_MAX + 1 + WV_API_VALUE_MAX + 1];

		snprintf(text, sizeof(text), "%s=%s", ask->params[i].key, ask->params[i].value);
		wv_make_printable(text);
		json_object_array_add(list, json_object_new_string(text));
	}
	return list;
}

/* SHA-256 of the body: what was asked for can be told from the log. "" if there is none. */
static int digest_body(int fd, char ret[WV_SHA256_HEX])
{
	uint64_t bytes;
	void *map;

	ret[0] = '\0';
	if (fd < 0)
		return 0;
	if (wv_api_body_check(fd, WV_API_UPLOAD_MAX, &bytes) < 0)
		return -EPROTO;
	map = bytes ? mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0) : NULL;
	if (map == MAP_FAILED)
		return -errno;
	wv_sha256_hex(map ?: "", bytes, ret);
	if (map)
		(void)munmap(map, bytes);
	return 0;
}

static void start_job(struct wv_api *a, struct wv_api_ask *ask)
{
	enum wv_permission p = wv_api_routes[ask->route].permission;
	char digest[WV_SHA256_HEX];
	uint64_t seq = 0;
	int r = digest_body(ask->body, digest);

	if (r < 0) {
		wv_api_reply_error(a, ask->id, 400, "bad-request", 0, "the body cannot be read");
		return;
	}
	if (wv_permissions[p].each) {
		r = wv_audit_granted(&a->audit, &ask->who, p, wv_api_routes[ask->route].path,
				     params_json(ask), digest, &seq);
		if (r < 0) {
			wv_api_reply_error(a, ask->id, 503, "internal", 5,
					   "not done, as it cannot be recorded: %s", strerror(-r));
			return;
		}
	} else {
		wv_audit_used(&a->audit, &ask->who, p);
	}
	r = wv_api_job_start(a, ask, seq);
	if (r == 0)
		return;
	if (seq)
		wv_audit_outcome(&a->audit, &ask->who, p, seq, -1, r == -EBUSY ? 503 : 500, 0);
	if (r == -EBUSY)
		wv_api_reply_error(a, ask->id, 503, "busy", 1,
				   "too much is being done at once; try again");
	else
		wv_api_reply_error(a, ask->id, 500, "internal", 0, "%s", strerror(-r));
}

static void serve(struct wv_api *a, const struct wv_api_request *q, int conn, int body)
{
	_cleanup_free_ struct wv_api_ask *ask = NULL;
	struct wv_caller who;

	if (q->kind == WV_API_AUTHORIZE) {
		if (authorise(a, q, conn, (enum wv_permission)q->route, &who)) {
			struct wv_api_answer yes = {.kind = WV_API_ANSWER,
						    .status = 200,
						    .id = q->id,
						    .ttl_ms = AUTHORIZED_MS};

			wv_audit_used(&a->audit, &who, (enum wv_permission)q->route);
			a->answered++;
			send_answer(a, &yes, -1);
		}
		return;
	}
	if (!authorise(a, q, conn, wv_api_routes[q->route].permission, &who))
		return;
	if (q->route == WV_API_WHOAMI || q->route == WV_API_GPU) {
		wv_audit_used(&a->audit, &who, wv_api_routes[q->route].permission);
		if (q->route == WV_API_WHOAMI)
			reply_whoami(a, q->id, &who);
		else
			reply_gpu(a, q->id);
		return;
	}
	ask = calloc(1, sizeof(*ask));
	if (!ask)
		return; /* the deadline over there tells the client */
	ask->route = (enum wv_api_route)q->route;
	ask->id = q->id;
	ask->number = q->number;
	ask->who = who;
	ask->body = body; /* a job has its own copy of the descriptor */
	copy_params(ask, q);
	start_job(a, ask);
}

void wv_api_take(struct wv_api *a, const void *message, size_t len, int fds[WV_API_FDS_MAX])
{
	struct wv_api_request q;

	/* a request that waited for a worker before this one: its client was told so already */
	if (wv_api_request_decode(message, len, &q) < 0 || (q.has_body && fds[1] < 0) ||
	    a->io->mono_ns(a->io->ctx) >= q.deadline_ns) {
		a->dropped++;
		wv_log_debug("api", "a message was dropped");
	} else {
		serve(a, &q, fds[0], q.has_body ? fds[1] : -1);
	}
	for (size_t i = 0; i < WV_API_FDS_MAX; i++) {
		wv_closep(&fds[i]);
		fds[i] = -1;
	}
}
