// SPDX-License-Identifier: GPL-2.0-only
/*
 * The agent's own page: files of user/web/, compressed when the agent was built (mk/assets.sh). It
 * fetches nothing from anywhere else, and its policy does not let it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "user/core/cleanup.h"
#include "user/export/web_answer.h"
#include "web/assets.h"

#define INDEX "index.html"
#define GZIP_WINDOW (15 + 16)
#define CONTENT_POLICY                                                                             \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "                \
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static const struct asset {
	const char *name, *type, *etag;
	const char *gzip, *gzip_end;
	size_t bytes; /* of the file itself */
} assets[] = {WV_ASSETS};

static const struct asset *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(assets); i++)
		if (strcmp(assets[i].name, name) == 0)
			return &assets[i];
	return NULL;
}

/* The file as it was; to be freed. NULL without memory. */
static char *unpack(const struct asset *a)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)a->gzip,
		      .avail_in = (uInt)(a->gzip_end - a->gzip)};
	_cleanup_free_ char *out = malloc(a->bytes + 1);
	int r;

	if (!out || inflateInit2(&z, GZIP_WINDOW) != Z_OK)
		return NULL;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)a->bytes;
	r = inflate(&z, Z_FINISH);
	(void)inflateEnd(&z);
	return r == Z_STREAM_END && z.avail_out == 0 ? TAKE_PTR(out) : NULL;
}

static struct MHD_Response *respond(struct wv_web *w, const struct asset *a, bool gzip)
{
	struct MHD_Response *response;
	char *text;

	if (gzip)
		return w->mhd.create_response_from_buffer((size_t)(a->gzip_end - a->gzip),
							  (void *)(uintptr_t)a->gzip,
							  MHD_RESPMEM_PERSISTENT);
	text = unpack(a);
	if (!text)
		return NULL;
	response = w->mhd.create_response_from_buffer(a->bytes, text, MHD_RESPMEM_MUST_FREE);
	if (!response)
		free(text);
	return response;
}

enum MHD_Result wv_web_page(const struct wv_web_request *q)
{
	struct wv_web *w = q->web;
	const struct asset *a = find(*q->rest ? q->rest : INDEX);
	bool gzip = wv_web_accepts_gzip(w->mhd.lookup_connection_value(
		q->c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT_ENCODING));
	struct MHD_Response *response;
	enum MHD_Result r;

	if (!a)
		return wv_web_send_text(q, MHD_HTTP_NOT_FOUND, "text/plain; charset=utf-8",
					"the page has no such file\n");
	if (wv_web_matches(w->mhd.lookup_connection_value(q->c, MHD_HEADER_KIND,
							  MHD_HTTP_HEADER_IF_NONE_MATCH),
			   a->etag))
		return wv_web_not_modified(q, a->etag);
	response = respond(w, a, gzip);
	if (!response)
		return MHD_NO;
	wv_web_tag(w, response, a->etag);
	wv_web_header(w, response, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
	wv_web_header(w, response, MHD_HTTP_HEADER_VARY, "Accept-Encoding");
	if (gzip)
		wv_web_header(w, response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	wv_web_header(w, response, "Content-Security-Policy", CONTENT_POLICY);
	wv_web_header(w, response, "X-Frame-Options", "DENY");
	wv_web_header(w, response, "Referrer-Policy", "no-referrer");
	wv_web_header(w, response, "Cross-Origin-Opener-Policy", "same-origin");
	r = w->mhd.queue_response(q->c, MHD_HTTP_OK, response);
	w->mhd.destroy_response(response);
	return r;
}
