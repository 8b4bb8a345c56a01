/* SPDX-License-Identifier: GPL-2.0-only */
/* What the web worker answers. Internal to it. */
#ifndef WV_EXPORT_WEB_ANSWER_H
#define WV_EXPORT_WEB_ANSWER_H

#include "user/export/openmetrics.h"
#include "user/export/web_mhd.h"
#include "user/export/web_slow.h"
#include "user/export/web_table.h"

/*
 * Bodies of scrapes that may be alive at once. Every client of one tick shares one; a slow client
 * keeps its own alive, and when that many are held, others are told to come back (503).
 */
#define WV_WEB_BODIES 4

struct wv_web {
	struct wv_mhd mhd;
	const struct wv_snapshot_map *snapshot;
	struct wv_metrics *metrics;
	uint32_t max_series;
	/* the newest body, by format and encoding; all of the tick `tick` */
	struct MHD_Response *cached[WV_METRICS_FORMATS][2];
	uint64_t tick;
	unsigned bodies;
	struct wv_web_api *api; /* NULL: there is no api worker */
	bool tls;		/* of the TCP address */
	/* what the page shows of this machine; the JSON of all cgroups, by encoding, of live_tick
	 */
	struct wv_web_host host;
	struct wv_web_table table;
	struct MHD_Response *live[2];
	uint64_t live_tick;
	size_t live_bytes; /* of all bodies that are still being sent */
	struct wv_web_connections connections;
};

/* One request, as a route sees it. */
struct wv_web_request {
	struct wv_web *web;
	struct MHD_Connection *c;
	const char *url;     /* path, percent-decoded, without the query */
	const char *rest;    /* what follows the route's path: "" unless it is a prefix */
	unsigned method;     /* one of enum wv_web_method */
	const char *upload;  /* as the library hands them: a body comes in pieces, */
	size_t *upload_size; /* then once more with none */
	void **state;	     /* the route's own, for that */
};

enum wv_web_method { WV_WEB_GET = 1 << 0, WV_WEB_POST = 1 << 1 }; /* HEAD is a GET */

/* What a client must have for a route; the first, which rows get that say nothing, is the safest.
 */
enum wv_web_needs {
	WV_WEB_VIEW,	/* permission read-live */
	WV_WEB_FIGURES, /* the same, but for this machine, and a network that was said to be safe */
	WV_WEB_STATIC,	/* nothing: the page without any figure; not over a plain network */
	WV_WEB_OPEN,	/* nothing */
	WV_WEB_ASKED,	/* what the api worker says */
};

struct wv_web_route {
	const char *path; /* percent-decoded */
	bool below;	  /* path ends in '/': everything below it, with `rest` */
	unsigned methods;
	enum MHD_Result (*answer)(const struct wv_web_request *q);
	enum wv_web_needs needs;
};

/* What *state is after the first call for a request that has nothing of its own there. */
extern char wv_web_seen;

/* MHD_AccessHandlerCallback; cls is the struct wv_web. Dispatches by the table in web_route.c. */
enum MHD_Result wv_web_answer(void *cls, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **state);

/* What routes answer with. */
enum MHD_Result wv_web_metrics(const struct wv_web_request *q);
enum MHD_Result wv_web_health(const struct wv_web_request *q);
enum MHD_Result wv_web_page(const struct wv_web_request *q);
enum MHD_Result wv_web_overview(const struct wv_web_request *q);
enum MHD_Result wv_web_cgroups(const struct wv_web_request *q);
enum MHD_Result wv_web_api_answer(const struct wv_web_request *r); /* user/export/web_api.h */
/* Whether the client has what a route needs; else *ret is what the route answers now. */
bool wv_web_admit(const struct wv_web_request *q, enum wv_web_needs needs, enum MHD_Result *ret);

/* Answers with a copy of `text`; never stored by a cache. */
enum MHD_Result wv_web_send_text(const struct wv_web_request *q, unsigned status, const char *type,
				 const char *text);
/*
 * Answers with {"schema_version":1,"error":{"code":...,"message":...}}. code: denied, bad-request,
 * not-found, busy or internal; message: plain text of the agent, nothing that a client sent.
 */
enum MHD_Result wv_web_send_error(const struct wv_web_request *q, unsigned status, const char *code,
				  const char *message);
void wv_web_header(struct wv_web *w, struct MHD_Response *response, const char *name,
		   const char *value);
/* Whether the client is on this machine: there compression costs more than it saves. */
bool wv_web_is_local(struct wv_web *w, struct MHD_Connection *c);
uint64_t wv_web_mono_ns(void);

/* Gives back what nobody asks for any more of the table and its JSON; all of it if `all`. */
void wv_web_live_forget(struct wv_web *w, bool all);
/* Adds the paths of the API that this agent answers, as a list of JSON. */
void wv_web_paths_json(struct wv_text *out);
/* An argument of the query, percent-decoded; NULL if it is not there. */
const char *wv_web_argument(const struct wv_web_request *q, const char *name);
/* Adds ETag, and what all answers of the page and its data have in common. */
void wv_web_tag(struct wv_web *w, struct MHD_Response *response, const char *etag);
/* Whether If-None-Match names this entity (RFC 9110, 13.1.2: weak comparison). */
bool wv_web_matches(const char *if_none_match, const char *etag);
/* 304, with that ETag. */
enum MHD_Result wv_web_not_modified(const struct wv_web_request *q, const char *etag);
/* Lets go of the newest bodies (those still being sent live until they are sent). */
void wv_web_forget(struct wv_web *w);
bool wv_web_holds(const struct wv_web *w);

/* Parts that are tested alone. */
enum wv_metrics_format wv_web_negotiate(const char *accept);
bool wv_web_accepts_gzip(const char *accept_encoding);

#endif
