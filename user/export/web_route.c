// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paths of the web worker: a table, one row a path, and what every answer has in common. Nothing
 * that a client sends is kept or echoed.
 */
#include <json-c/json.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/export/web_answer.h"

#define API "/api/v1/"

/* The first that matches answers. */
static const struct wv_web_route routes[] = {
	{"/metrics", false, WV_WEB_GET, wv_web_metrics, WV_WEB_FIGURES},
	{"/healthz", false, WV_WEB_GET, wv_web_health, WV_WEB_OPEN},
	{"/", false, WV_WEB_GET, wv_web_page, WV_WEB_STATIC},
	{"/assets/", true, WV_WEB_GET, wv_web_page, WV_WEB_STATIC},
	{API "overview", false, WV_WEB_GET, wv_web_overview, WV_WEB_VIEW},
	{API "cgroups", false, WV_WEB_GET, wv_web_cgroups, WV_WEB_VIEW},
	{API "whoami", false, WV_WEB_GET, wv_web_api_answer, WV_WEB_ASKED},
	{API "events", false, WV_WEB_GET, wv_web_api_answer, WV_WEB_ASKED},
	{API "events/", true, WV_WEB_GET, wv_web_api_answer, WV_WEB_ASKED},
	{API "policy", false, WV_WEB_GET, wv_web_api_answer, WV_WEB_ASKED},
	{API "runs", false, WV_WEB_GET, wv_web_api_answer, WV_WEB_ASKED},
	{API "history", false, WV_WEB_GET, wv_web_api_answer, WV_WEB_ASKED},
	{API "report", false, WV_WEB_GET, wv_web_api_answer, WV_WEB_ASKED},
	{API "status", false, WV_WEB_GET, wv_web_api_answer, WV_WEB_ASKED},
	{API "gpu", false, WV_WEB_GET, wv_web_api_answer, WV_WEB_ASKED},
	{API "policy/apply", false, WV_WEB_POST, wv_web_api_answer, WV_WEB_ASKED},
	{API "policy/dry-run", false, WV_WEB_POST, wv_web_api_answer, WV_WEB_ASKED},
	{API "bundle/rollback", false, WV_WEB_POST, wv_web_api_answer, WV_WEB_ASKED},
	{API "evidence/export", false, WV_WEB_POST, wv_web_api_answer, WV_WEB_ASKED},
	{API "recover", false, WV_WEB_POST, wv_web_api_answer, WV_WEB_ASKED},
};
char wv_web_seen;

void wv_web_paths_json(struct wv_text *out)
{
	wv_text_add(out, "[", 1);
	for (size_t i = 0, n = 0; i < ARRAY_SIZE(routes); i++) {
		if (strncmp(routes[i].path, API, strlen(API)) != 0)
			continue;
		if (n++)
			wv_text_add(out, ",", 1);
		wv_text_json(out, routes[i].path);
	}
	wv_text_add(out, "]", 1);
}

void wv_web_header(struct wv_web *w, struct MHD_Response *response, const char *name,
		   const char *value)
{
	(void)w->mhd.add_response_header(response, name, value);
}

enum MHD_Result wv_web_send_text(const struct wv_web_request *q, unsigned status, const char *type,
				 const char *text)
{
	struct wv_web *w = q->web;
	struct MHD_Response *response = w->mhd.create_response_from_buffer(
		strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	wv_web_header(w, response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	wv_web_header(w, response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	wv_web_header(w, response, "X-Content-Type-Options", "nosniff");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		wv_web_header(w, response, MHD_HTTP_HEADER_ALLOW,
			      q->method & WV_WEB_POST ? "POST" : "GET, HEAD");
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
		wv_web_header(w, response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	r = w->mhd.queue_response(q->c, status, response);
	w->mhd.destroy_response(response);
	return r;
}

const char *wv_web_argument(const struct wv_web_request *q, const char *name)
{
	return q->web->mhd.lookup_connection_value(q->c, MHD_GET_ARGUMENT_KIND, name);
}

void wv_web_tag(struct wv_web *w, struct MHD_Response *response, const char *etag)
{
	wv_web_header(w, response, MHD_HTTP_HEADER_ETAG, etag);
	/* kept, but asked for again every time */
	wv_web_header(w, response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
	wv_web_header(w, response, "X-Content-Type-Options", "nosniff");
	wv_web_header(w, response, "Cross-Origin-Resource-Policy", "same-origin");
}

bool wv_web_matches(const char *list, const char *etag)
{
	size_t n = strlen(etag);

	while (list && *list) {
		list += strspn(list, " \t,");
		if (*list == '*')
			return true;
		if (strncmp(list, "W/", 2) == 0)
			list += 2;
		if (strncmp(list, etag, n) == 0 && strchr(" \t,", list[n]))
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

enum MHD_Result wv_web_not_modified(const struct wv_web_request *q, const char *etag)
{
	struct wv_web *w = q->web;
	struct MHD_Response *response =
		w->mhd.create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	wv_web_tag(w, response, etag);
	r = w->mhd.queue_response(q->c, MHD_HTTP_NOT_MODIFIED, response);
	w->mhd.destroy_response(response);
	return r;
}

static void json_release(struct json_object **o)
{
	json_object_put(*o);
}

enum MHD_Result wv_web_send_error(const struct wv_web_request *q, unsigned status, const char *code,
				  const char *message)
{
	_cleanup_(json_release) struct json_object *o = json_object_new_object();
	struct json_object *error = json_object_new_object();

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(error, "code", json_object_new_string(code));
	json_object_object_add(error, "message", json_object_new_string(message));
	json_object_object_add(o, "error", error);
	return wv_web_send_text(q, status, "application/json",
				json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
}

/* "not allowed" and "not here", in JSON below the API's path. */
static enum MHD_Result refuse(struct wv_web_request *q, unsigned allowed)
{
	bool api = strncmp(q->url, API, strlen(API)) == 0;

	if (allowed) {
		q->method = allowed; /* what the answer says that there is */
		return api ? wv_web_send_error(q, MHD_HTTP_METHOD_NOT_ALLOWED, "bad-request",
					       "this path does not take that method")
			   : wv_web_send_text(q, MHD_HTTP_METHOD_NOT_ALLOWED,
					      "text/plain; charset=utf-8",
					      "this path does not take that method\n");
	}
	return api ? wv_web_send_error(q, MHD_HTTP_NOT_FOUND, "not-found",
				       "this agent has no such path")
		   : wv_web_send_text(q, MHD_HTTP_NOT_FOUND, "text/plain; charset=utf-8",
				      "not here; try / for what there is\n");
}

/* What follows the route's path in url, or NULL if it is another's. */
static const char *match(const struct wv_web_route *route, const char *url)
{
	size_t n = strlen(route->path);

	if (strncmp(url, route->path, n) != 0 || (!route->below && url[n]))
		return NULL;
	return url + n;
}

static unsigned method_of(const char *name)
{
	if (strcmp(name, MHD_HTTP_METHOD_GET) == 0 || strcmp(name, MHD_HTTP_METHOD_HEAD) == 0)
		return WV_WEB_GET;
	return strcmp(name, MHD_HTTP_METHOD_POST) == 0 ? WV_WEB_POST : 0;
}

enum MHD_Result wv_web_answer(void *cls, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **state)
{
	struct wv_web_request q = {.web = cls,
				   .c = c,
				   .url = url,
				   .method = method_of(method),
				   .upload = upload,
				   .upload_size = upload_size,
				   .state = state};
	unsigned allowed = 0;
	enum MHD_Result r = MHD_NO;

	(void)version;
	if (!*state)
		wv_web_slow_head(&q.web->mhd, c);
	/* the library closes a connection whose request is answered before it has all been read */
	if (q.method == WV_WEB_GET && !*state) {
		*state = &wv_web_seen;
		return MHD_YES;
	}
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		q.rest = match(&routes[i], url);
		if (!q.rest)
			continue;
		if (q.method & routes[i].methods)
			return wv_web_admit(&q, routes[i].needs, &r) ? routes[i].answer(&q) : r;
		allowed |= routes[i].methods;
	}
	return refuse(&q, allowed);
}
