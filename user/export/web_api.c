// SPDX-License-Identifier: GPL-2.0-only
/* Routes that the api worker answers, and what this one answers itself to who may see it. */
#include "user/export/web_wait.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "user/core/cleanup.h"
#include "user/export/web_client.h"

/* how much later than the api worker this one gives up */
#define GRACE_NS 1000000000ULL

/* Requests ------------------------------------------------------------------------------------ */

static struct wv_web_asked *new_asked(const struct wv_web_request *r)
{
	struct wv_web_asked *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->api = r->web->api;
	q->c = r->c;
	q->slot = WV_WEB_NO_SLOT;
	q->body = -1;
	*r->state = q;
	return q;
}

void wv_web_completed(void *cls, struct MHD_Connection *c, void **state,
		      enum MHD_RequestTerminationCode code _unused_)
{
	struct wv_web_asked *q = *state == &wv_web_seen ? NULL : *state;

	*state = NULL;
	wv_web_slow_done(&((struct wv_web *)cls)->mhd, c);
	if (!q)
		return;
	wv_web_wait_leave(q);
	wv_closep(&q->body);
	if (q->mapped)
		(void)munmap(q->data, q->mapped);
	else
		free(q->data);
	free(q);
}

/* What this route left in *state; NULL at the begin of a request. */
static struct wv_web_asked *asked_of(const struct wv_web_request *r)
{
	return *r->state == &wv_web_seen ? NULL : *r->state;
}

static int take_upload(struct wv_web_asked *q, const char *data, size_t len)
{
	if (q->refused)
		return 0;
	if (q->bytes + len > WV_API_UPLOAD_MAX)
		return -EFBIG;
	if (q->body < 0)
		q->body = wv_api_body_open();
	if (q->body < 0)
		return q->body;
	for (size_t at = 0; at < len;) {
		ssize_t n = write(q->body, data + at, len - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	q->bytes += len;
	return 0;
}

struct query {
	struct wv_api_request *q;
	bool bad;
};

static enum MHD_Result take_param(void *cls, enum MHD_ValueKind kind _unused_, const char *key,
				  const char *value)
{
	struct query *p = cls;

	if (p->q->n_params == WV_API_PARAMS_MAX || !key || !*key || strlen(key) > WV_API_KEY_MAX ||
	    (value && strlen(value) > WV_API_VALUE_MAX)) {
		p->bad = true;
		return MHD_NO;
	}
	p->q->params[p->q->n_params++] = (struct wv_api_param){key, value ?: ""};
	return MHD_YES;
}

/* 0, or the status with which it cannot be asked. */
static unsigned send_request(const struct wv_web_request *r, struct wv_web_asked *q,
			     const struct wv_web_client *client, struct wv_api_request *m)
{
	static char message[WV_API_MESSAGE_MAX];
	unsigned seconds = m->kind == WV_API_AUTHORIZE ? 5 : wv_api_routes[m->route].seconds;
	uint64_t now = wv_web_mono_ns();
	int fds[2] = {client->fd, q->body};
	ssize_t n;

	m->deadline_ns = now + seconds * 1000000000ULL;
	m->has_body = q->body >= 0;
	m->token = client->token;
	m->token_len = client->token_len;
	m->certificate = client->certificate;
	m->certificate_len = client->certificate_len;
	if (q->body >= 0 && wv_api_body_seal(q->body) < 0)
		return MHD_HTTP_INTERNAL_SERVER_ERROR;
	if (wv_web_wait_enter(q, m->deadline_ns + GRACE_NS, &m->id) < 0)
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	n = wv_api_request_encode(m, message, sizeof(message));
	if (n < 0)
		return n == -EINVAL ? MHD_HTTP_BAD_REQUEST : MHD_HTTP_URI_TOO_LONG;
	n = wv_api_send(r->web->api->fd, message, (size_t)n, fds, m->has_body ? 2 : 1);
	explicit_bzero(message, sizeof(message));
	return n < 0 ? MHD_HTTP_SERVICE_UNAVAILABLE : 0;
}

static enum MHD_Result submit(const struct wv_web_request *r, struct wv_web_asked *q,
			      const struct wv_web_client *client, struct wv_api_request *m)
{
	unsigned status = send_request(r, q, client, m);

	q->submitted = true;
	wv_closep(&q->body);
	q->body = -1;
	if (status) {
		wv_web_wait_leave(q);
		return wv_web_send_error(
			r, status, status == MHD_HTTP_SERVICE_UNAVAILABLE ? "busy" : "bad-request",
			status == MHD_HTTP_SERVICE_UNAVAILABLE
				? "too many requests wait for the api worker"
				: "the request is too long");
	}
	r->web->mhd.suspend_connection(r->c);
	return MHD_YES;
}

static void keep_nothing(void *cls _unused_)
{
}

static enum MHD_Result pass_on(const struct wv_web_request *r, struct wv_web_asked *q)
{
	const struct wv_api_answer *a = &q->answer;
	struct wv_web *w = r->web;
	struct MHD_Response *response;
	static char empty[1];
	char retry[16];
	enum MHD_Result result;

	if (q->refused)
		return wv_web_send_error(
			r, q->refused,
			q->refused == MHD_HTTP_CONTENT_TOO_LARGE ? "bad-request" : "busy", q->why);
	/* the request frees the bytes, and lives until they are sent */
	response = w->mhd.create_response_from_buffer_with_free_callback_cls(
		q->mapped ?: a->body_len, q->data ?: empty, keep_nothing, NULL);
	if (!response)
		return MHD_NO;
	wv_web_header(w, response, MHD_HTTP_HEADER_CONTENT_TYPE, wv_api_types[a->type]);
	wv_web_header(w, response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	wv_web_header(w, response, "X-Content-Type-Options", "nosniff");
	/* a report has no script, and gets no way to run one */
	if (a->type == WV_API_HTML)
		wv_web_header(w, response, "Content-Security-Policy",
			      "sandbox; default-src 'none'; style-src 'unsafe-inline'; "
			      "img-src data:");
	if (a->type == WV_API_ZSTD)
		wv_web_header(w, response, MHD_HTTP_HEADER_CONTENT_DISPOSITION,
			      "attachment; filename=\"evidence.tar.zst\"");
	if (a->status == MHD_HTTP_UNAUTHORIZED)
		wv_web_header(w, response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
			      "Bearer realm=\"waveos\"");
	snprintf(retry, sizeof(retry), "%u", a->retry_s);
	if (a->retry_s)
		wv_web_header(w, response, MHD_HTTP_HEADER_RETRY_AFTER, retry);
	result = w->mhd.queue_response(r->c, a->status, response);
	w->mhd.destroy_response(response);
	return result;
}

/* What is refused without asking. 0: nothing. */
static unsigned check_client(const struct wv_web_request *r, const struct wv_web_client *client,
			     const char **why)
{
	const char *host = client->host, *origin = client->origin;

	*why = "this address speaks plain HTTP: it has nothing but /metrics and /healthz";
	if (client->plain_remote)
		return MHD_HTTP_FORBIDDEN;
	/* pages of others in a browser on this machine: by a name that they made point here, or by
	 * a form that they send */
	*why = "without a credential, only by address or as localhost";
	if (client->anonymous && !wv_web_host_is_literal(host))
		return MHD_HTTP_FORBIDDEN;
	*why = "from another origin";
	if ((r->method & WV_WEB_POST) && origin && !wv_web_origin_is_own(origin, host))
		return MHD_HTTP_FORBIDDEN;
	*why = "the token is no token";
	return client->token_len > WV_API_TOKEN_MAX ? MHD_HTTP_UNAUTHORIZED : 0;
}

static enum MHD_Result begin(const struct wv_web_request *r, struct wv_web_asked **ret)
{
	struct wv_web_client client;
	const char *why;
	unsigned status;

	wv_web_client(r, &client);
	status = check_client(r, &client, &why);
	if (status)
		return wv_web_send_error(r, status, "denied", why);
	*ret = new_asked(r);
	return *ret ? MHD_YES : MHD_NO;
}

enum MHD_Result wv_web_api_answer(const struct wv_web_request *r)
{
	struct wv_api_request m = {.kind = WV_API_REQUEST};
	struct query query = {.q = &m};
	struct wv_web_asked *q = asked_of(r);
	struct wv_web_client client;
	enum wv_api_route route;

	if (!r->web->api)
		return wv_web_send_error(r, MHD_HTTP_SERVICE_UNAVAILABLE, "busy",
					 "there is no api worker");
	if (!wv_web_api_route(r->method & WV_WEB_POST ? "POST" : "GET", r->url, &route, &m.number))
		return wv_web_send_error(r, MHD_HTTP_NOT_FOUND, "not-found",
					 "this agent has no such path");
	if (!q) {
		enum MHD_Result e = begin(r, &q);

		/* a GET has been read by now, a POST has not */
		if (!q || !(r->method & WV_WEB_GET))
			return e;
	}
	if (q->answered)
		return pass_on(r, q);
	if (*r->upload_size) {
		int e = take_upload(q, r->upload, *r->upload_size);

		if (e < 0) {
			q->refused = e == -EFBIG ? MHD_HTTP_CONTENT_TOO_LARGE
						 : MHD_HTTP_INTERNAL_SERVER_ERROR;
			q->why = e == -EFBIG ? "a body of more than 1 MiB" : "no memory for a body";
		}
		*r->upload_size = 0;
		return MHD_YES;
	}
	if (q->refused)
		return pass_on(r, q);
	m.route = route;
	(void)r->web->mhd.get_connection_values(r->c, MHD_GET_ARGUMENT_KIND, take_param, &query);
	if (query.bad)
		return wv_web_send_error(r, MHD_HTTP_BAD_REQUEST, "bad-request",
					 "too many parameters, or one that is too long");
	wv_web_client(r, &client);
	return submit(r, q, &client, &m);
}

/* What this worker answers itself, to who may see it ------------------------------------------- */

static bool is_known(const struct wv_web_api *api, const unsigned char *who, uint64_t now)
{
	for (unsigned i = 0; i < WV_WEB_KNOWN_MAX; i++)
		if (api->known[i].until_ns > now &&
		    memcmp(api->known[i].who, who, sizeof(api->known[i].who)) == 0)
			return true;
	return false;
}

static void remember(const struct wv_web_request *r, const struct wv_web_asked *q)
{
	struct wv_web_api *api = r->web->api;
	unsigned char who[SHA256_DIGEST_LENGTH];
	struct wv_web_client client;

	wv_web_client(r, &client);
	if (!q->answer.ttl_ms || !wv_web_client_digest(&client, who))
		return;
	memcpy(api->known[api->next_known].who, who, sizeof(who));
	api->known[api->next_known].until_ns =
		wv_web_mono_ns() + (uint64_t)(q->answer.ttl_ms % 60000) * 1000000ULL;
	api->next_known = (api->next_known + 1) % WV_WEB_KNOWN_MAX;
}

static bool allowed(const struct wv_web_request *r, enum MHD_Result *ret)
{
	struct wv_api_request m = {.kind = WV_API_AUTHORIZE, .route = WV_MAY_READ_LIVE};
	struct wv_web_api *api = r->web->api;
	unsigned char who[SHA256_DIGEST_LENGTH];
	struct wv_web_asked *q = asked_of(r);
	struct wv_web_client client;
	uint64_t now = wv_web_mono_ns();
	const char *why = "there is no api worker";
	unsigned status;

	if (q && q->answered) {
		if (!q->refused && q->answer.status == 200) {
			remember(r, q);
			return true;
		}
		*ret = pass_on(r, q);
		return false;
	}
	wv_web_client(r, &client);
	if (!api && client.loopback)
		return true;
	status = api ? check_client(r, &client, &why) : MHD_HTTP_FORBIDDEN;
	if (status) {
		*ret = wv_web_send_error(r, status, "denied", why);
		return false;
	}
	if (wv_web_client_digest(&client, who) && is_known(api, who, now))
		return true;
	q = new_asked(r);
	*ret = q ? submit(r, q, &client, &m) : MHD_NO;
	return false;
}

bool wv_web_admit(const struct wv_web_request *r, enum wv_web_needs needs, enum MHD_Result *ret)
{
	struct wv_web_client client;

	if (needs == WV_WEB_OPEN || needs == WV_WEB_ASKED)
		return true;
	if (needs == WV_WEB_VIEW)
		return allowed(r, ret);
	wv_web_client(r, &client);
	if (needs == WV_WEB_FIGURES)
		return client.loopback || client.plain_remote || allowed(r, ret);
	if (!client.plain_remote)
		return true;
	*ret = wv_web_send_error(r, MHD_HTTP_FORBIDDEN, "denied",
				 "this address speaks plain HTTP: it has nothing but /metrics and "
				 "/healthz");
	return false;
}
