// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the page polls: the agent in one JSON, its cgroups in another. The list of all cgroups is
 * written once a tick and encoding and shared; one that is sorted, filtered or cut is the asker's
 * own. What is being sent at once has a ceiling, whoever reads slowly.
 */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "user/core/log.h"
#include "user/core/config.h"
#include "user/export/web_answer.h"

#define LIVE_BYTES_MAX (32U << 20) /* of all bodies */
#define BODY_BYTES_MAX (16U << 20) /* of one */
#define TYPE "application/json"
#define GZIP_WINDOW (15 + 16)

struct live_body {
	struct wv_web *web;
	char *data;
	size_t len;
};

static void free_live(void *cls)
{
	struct live_body *b = cls;

	b->web->live_bytes -= b->len;
	free(b->data);
	free(b);
}

/* Replaces text with its compressed form. */
static int compress_text(struct wv_text *text)
{
	z_stream z = {0};
	size_t bound;
	char *out;
	int r;

	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	bound = deflateBound(&z, text->len);
	out = malloc(bound);
	if (!out) {
		(void)deflateEnd(&z);
		return -ENOMEM;
	}
	z.next_in = (Bytef *)text->data;
	z.avail_in = (uInt)text->len;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)bound;
	r = deflate(&z, Z_FINISH) == Z_STREAM_END ? 0 : -EIO;
	(void)deflateEnd(&z);
	wv_text_done(text);
	*text = (struct wv_text){.data = out, .len = r == 0 ? bound - z.avail_out : 0};
	return r;
}

/* Takes over text; NULL with *ret_error where there is no response. */
static struct MHD_Response *wrap_text(struct wv_web *w, struct wv_text *text, bool gzip,
				      int *ret_error)
{
	struct MHD_Response *response = NULL;
	struct live_body *b = NULL;
	int r = text->error;

	if (r == 0 && gzip)
		r = compress_text(text);
	if (r == 0 && w->live_bytes + text->len > LIVE_BYTES_MAX)
		r = -EBUSY;
	if (r == 0) {
		b = calloc(1, sizeof(*b));
		r = b ? 0 : -ENOMEM;
	}
	if (r == 0) {
		*b = (struct live_body){.web = w, .data = text->data, .len = text->len};
		w->live_bytes += b->len;
		*text = (struct wv_text){0};
		response = w->mhd.create_response_from_buffer_with_free_callback_cls(
			b->len, b->data, free_live, b);
		if (!response) {
			free_live(b);
			r = -ENOMEM;
		}
	}
	wv_text_done(text);
	if (response) {
		wv_web_header(w, response, MHD_HTTP_HEADER_CONTENT_TYPE, TYPE);
		wv_web_header(w, response, MHD_HTTP_HEADER_VARY, "Accept-Encoding");
		if (gzip)
			wv_web_header(w, response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	}
	*ret_error = r;
	return response;
}

static enum MHD_Result send_failure(const struct wv_web_request *q, int r)
{
	if (r == -EAGAIN)
		return wv_web_send_error(q, MHD_HTTP_SERVICE_UNAVAILABLE, "busy",
					 "no sample: the core worker is starting");
	if (r == -EBUSY)
		return wv_web_send_error(q, MHD_HTTP_SERVICE_UNAVAILABLE, "busy",
					 "too much is still being sent to others");
	(void)wv_log_full(LOG_ERR, r, "web", "cannot answer the page");
	return wv_web_send_error(q, MHD_HTTP_INTERNAL_SERVER_ERROR, "internal",
				 "cannot answer; see the log of the agent");
}

static bool wants_gzip(const struct wv_web_request *q)
{
	struct wv_web *w = q->web;

	return !wv_web_is_local(w, q->c) &&
	       wv_web_accepts_gzip(w->mhd.lookup_connection_value(q->c, MHD_HEADER_KIND,
								  MHD_HTTP_HEADER_ACCEPT_ENCODING));
}

static int update(struct wv_web *w)
{
	int r = wv_web_table_update(&w->table, w->snapshot);

	w->table.asked_mono_ns = wv_web_mono_ns();
	return r;
}

static enum MHD_Result send_own(const struct wv_web_request *q, struct wv_text *text)
{
	struct wv_web *w = q->web;
	enum MHD_Result result;
	int r;
	struct MHD_Response *response = wrap_text(w, text, wants_gzip(q), &r);

	if (!response)
		return send_failure(q, r);
	wv_web_header(w, response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	wv_web_header(w, response, "X-Content-Type-Options", "nosniff");
	result = w->mhd.queue_response(q->c, MHD_HTTP_OK, response);
	w->mhd.destroy_response(response);
	return result;
}

enum MHD_Result wv_web_overview(const struct wv_web_request *q)
{
	struct wv_web *w = q->web;
	struct wv_text text = {.max = 1U << 20};
	int r = update(w);

	if (r < 0)
		return send_failure(q, r);
	wv_web_overview_json(&w->table, &w->host, wv_web_mono_ns(), &text);
	wv_text_str(&text, ",\"paths\":");
	wv_web_paths_json(&text);
	wv_text_str(&text, "}");
	return send_own(q, &text);
}

/* An unsigned number of the query; its default where it is not there. */
static int number_argument(const struct wv_web_request *q, const char *name, uint32_t *value)
{
	const char *text = wv_web_argument(q, name);
	uint64_t v;

	if (!text)
		return 0;
	if (wv_parse_uint(text, &v) < 0 || v > UINT32_MAX)
		return -EINVAL;
	*value = (uint32_t)v;
	return 0;
}

static int parse_query(const struct wv_web_request *q, struct wv_web_query *ret)
{
	const char *sort = wv_web_argument(q, "sort");

	ret->filter = wv_web_argument(q, "filter");
	if (ret->filter && !*ret->filter)
		ret->filter = NULL;
	if (sort) {
		ret->sort = wv_web_column_by_name(sort);
		if (ret->sort == -EINVAL)
			return -EINVAL;
	}
	if (number_argument(q, "limit", &ret->limit) < 0 ||
	    number_argument(q, "offset", &ret->offset) < 0)
		return -EINVAL;
	return 0;
}

static void drop_live(struct wv_web *w)
{
	for (unsigned i = 0; i < 2; i++) {
		struct MHD_Response *old = w->live[i];

		w->live[i] = NULL;
		if (old)
			w->mhd.destroy_response(old);
	}
}

/* The list of all, shared by all who ask in this tick. */
static enum MHD_Result send_all(const struct wv_web_request *q, const struct wv_web_query *all)
{
	struct wv_web *w = q->web;
	struct wv_text text = {.max = BODY_BYTES_MAX};
	bool gzip = wants_gzip(q);
	char etag[48];
	int r;

	if (w->live_tick != w->table.head.tick)
		drop_live(w);
	w->live_tick = w->table.head.tick;
	snprintf(etag, sizeof(etag), "\"%" PRIx64 "-%" PRIx64 "%s\"", w->table.head.started_mono_ns,
		 w->live_tick, gzip ? "-gz" : "");
	if (wv_web_matches(w->mhd.lookup_connection_value(q->c, MHD_HEADER_KIND,
							  MHD_HTTP_HEADER_IF_NONE_MATCH),
			   etag))
		return wv_web_not_modified(q, etag);
	if (!w->live[gzip]) {
		wv_web_table_json(&w->table, all, &text);
		w->live[gzip] = wrap_text(w, &text, gzip, &r);
		if (!w->live[gzip])
			return send_failure(q, r);
		wv_web_tag(w, w->live[gzip], etag);
	}
	return w->mhd.queue_response(q->c, MHD_HTTP_OK, w->live[gzip]);
}

enum MHD_Result wv_web_cgroups(const struct wv_web_request *q)
{
	struct wv_web *w = q->web;
	const struct wv_web_query all = {.sort = WV_WEB_SORT_NONE, .limit = UINT32_MAX};
	struct wv_web_query query = all;
	struct wv_text text = {.max = BODY_BYTES_MAX};
	int r = parse_query(q, &query);

	if (r < 0)
		return wv_web_send_error(q, MHD_HTTP_BAD_REQUEST, "bad-request",
					 "sort is a name out of columns, limit and offset are "
					 "numbers from 0 on");
	r = update(w);
	if (r < 0)
		return send_failure(q, r);
	if (!query.filter && query.sort == all.sort && query.limit == all.limit && !query.offset)
		return send_all(q, &all);
	wv_web_table_json(&w->table, &query, &text);
	return send_own(q, &text);
}

void wv_web_live_forget(struct wv_web *w, bool all)
{
	bool had = w->live[0] || w->live[1];

	if (all || w->snapshot->head->tick != w->live_tick)
		drop_live(w);
	if (all)
		wv_web_table_done(&w->table);
	else
		wv_web_table_age(&w->table, wv_web_mono_ns());
	if (had && !w->live[0] && !w->live[1])
		(void)malloc_trim(0);
}
