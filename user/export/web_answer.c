// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scrapes and health. A scrape is rendered once a tick and format, and shared by all who ask for
 * it meanwhile.
 */
#include "user/export/web_answer.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <time.h>
#include <zlib.h>

#include "user/core/log.h"

/* A series with two escaped paths and a container id stays below this many bytes. */
#define BYTES_PER_SERIES 1024
#define STALE_TICKS 3
/* zlib: gzip framing (16) around the largest window */
#define GZIP_WINDOW (15 + 16)
#define DRAIN_BYTES 65536
#define FDS_COUNTED 128

struct body {
	struct wv_web *web;
	struct wv_text text;
};

uint64_t wv_web_mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < FDS_COUNTED; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void free_body(void *cls)
{
	struct body *b = cls;

	b->web->bodies--;
	wv_text_done(&b->text);
	free(b);
	/* a body is megabytes: without this the heap keeps them */
	(void)malloc_trim(0);
}

/* Compression on its way: plain text comes in pieces, `to` grows. */
struct gzip {
	z_stream z;
	struct wv_text *to;
};

static int gzip_piece(struct gzip *g, const char *data, size_t len, int flush)
{
	char out[8192];
	int r;

	g->z.next_in = (Bytef *)(uintptr_t)data;
	g->z.avail_in = (uInt)len;
	do {
		g->z.next_out = (Bytef *)out;
		g->z.avail_out = sizeof(out);
		r = deflate(&g->z, flush);
		if (r == Z_STREAM_ERROR)
			return -EIO;
		wv_text_add(g->to, out, sizeof(out) - g->z.avail_out);
	} while (g->z.avail_out == 0);
	return g->to->error;
}

static int gzip_drain(void *ctx, const char *data, size_t len)
{
	return gzip_piece(ctx, data, len, Z_NO_FLUSH);
}

static int render(struct wv_web *w, const struct wv_snapshot *head, struct wv_sample *s,
		  enum wv_metrics_format format, bool gzip, struct wv_text *out)
{
	struct wv_metrics_process process = {.now_mono_ns = wv_web_mono_ns(),
					     .open_fds = open_fds()};
	struct gzip g = {.to = out};
	struct wv_text plain = {.max = DRAIN_BYTES, .drain = gzip_drain, .ctx = &g};
	int r;

	out->max = (size_t)w->max_series * BYTES_PER_SERIES + (1U << 20);
	if (!gzip)
		return wv_metrics_render(w->metrics, head, s, &process, format, out);
	if (deflateInit2(&g.z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		return -ENOMEM;
	r = wv_metrics_render(w->metrics, head, s, &process, format, &plain);
	if (r == 0)
		r = gzip_piece(&g, plain.data, plain.len, Z_FINISH);
	wv_text_done(&plain);
	(void)deflateEnd(&g.z);
	return r;
}

static struct MHD_Response *wrap(struct wv_web *w, struct body *b, enum wv_metrics_format format,
				 bool gzip)
{
	struct MHD_Response *response = w->mhd.create_response_from_buffer_with_free_callback_cls(
		b->text.len, b->text.data, free_body, b);

	if (!response)
		return NULL;
	wv_web_header(w, response, MHD_HTTP_HEADER_CONTENT_TYPE, wv_metrics_types[format]);
	wv_web_header(w, response, MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
	if (gzip)
		wv_web_header(w, response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	return response;
}

/* Renders a body into the cache. */
static int make_body(struct wv_web *w, struct wv_sample *s, const struct wv_snapshot *head,
		     enum wv_metrics_format format, bool gzip)
{
	struct body *b;
	int r;

	if (w->bodies >= WV_WEB_BODIES)
		return -EBUSY;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->web = w;
	w->bodies++;
	r = render(w, head, s, format, gzip, &b->text);
	if (r == 0) {
		w->cached[format][gzip] = wrap(w, b, format, gzip);
		r = w->cached[format][gzip] ? 0 : -ENOMEM;
	}
	if (r < 0)
		free_body(b);
	return r;
}

static void sample_release(struct wv_sample *s)
{
	wv_sample_done(s);
}

static int fresh_body(struct wv_web *w, enum wv_metrics_format format, bool gzip)
{
	_cleanup_(sample_release) struct wv_sample s = {0};
	struct wv_snapshot head = {0};
	int r = wv_sample_init(&s, w->snapshot->head->max_rows);

	if (r == 0)
		r = wv_snapshot_read(w->snapshot, &s, &head);
	/* the pages are the file's: they need not stay mapped until the next scrape */
	(void)madvise(w->snapshot->head, w->snapshot->bytes, MADV_DONTNEED);
	if (r < 0)
		return r;
	if (!head.mono_ns)
		return -EAGAIN;
	wv_web_forget(w);
	w->tick = head.tick;
	return make_body(w, &s, &head, format, gzip);
}

void wv_web_forget(struct wv_web *w)
{
	for (unsigned f = 0; f < WV_METRICS_FORMATS; f++)
		for (unsigned g = 0; g < 2; g++) {
			struct MHD_Response *old = w->cached[f][g];

			w->cached[f][g] = NULL;
			if (old)
				w->mhd.destroy_response(old);
		}
}

bool wv_web_holds(const struct wv_web *w)
{
	for (unsigned f = 0; f < WV_METRICS_FORMATS; f++)
		if (w->cached[f][0] || w->cached[f][1])
			return true;
	return w->table.rows || w->live[0] || w->live[1];
}

bool wv_web_is_local(struct wv_web *w, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
		w->mhd.get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *a = info ? info->client_addr : NULL;

	if (!a)
		return false;
	if (a->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
	return a->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

enum MHD_Result wv_web_metrics(const struct wv_web_request *q)
{
	struct wv_web *w = q->web;
	struct MHD_Connection *c = q->c;
	enum wv_metrics_format format = wv_web_negotiate(
		w->mhd.lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT));
	bool gzip = !wv_web_is_local(w, c) &&
		    wv_web_accepts_gzip(w->mhd.lookup_connection_value(
			    c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT_ENCODING));
	int r = 0;

	if (!w->cached[format][gzip] || w->snapshot->head->tick != w->tick)
		r = fresh_body(w, format, gzip);
	if (r == 0)
		return w->mhd.queue_response(c, MHD_HTTP_OK, w->cached[format][gzip]);
	if (r == -EAGAIN)
		return wv_web_send_text(q, MHD_HTTP_SERVICE_UNAVAILABLE,
					"text/plain; charset=utf-8",
					"no sample: the core worker is starting\n");
	if (r == -EBUSY)
		return wv_web_send_text(q, MHD_HTTP_SERVICE_UNAVAILABLE,
					"text/plain; charset=utf-8",
					"too many scrapes are still being sent\n");
	(void)wv_log_full(LOG_ERR, r, "web", "cannot render a scrape");
	return wv_web_send_text(q, MHD_HTTP_INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8",
				"cannot render; see the log of the agent\n");
}

enum MHD_Result wv_web_health(const struct wv_web_request *q)
{
	struct wv_web *w = q->web;
	const struct wv_snapshot *head = w->snapshot->head;
	uint64_t now = wv_web_mono_ns(), at = head->mono_ns, age = now > at ? now - at : 0;
	bool ok = at && age <= STALE_TICKS * head->tick_interval_ns;
	struct json_object *o = json_object_new_object();
	enum MHD_Result r = MHD_NO;

	if (!o)
		return MHD_NO;
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(o, "status",
			       json_object_new_string(ok   ? "ok"
						      : at ? "stale"
							   : "starting"));
	json_object_object_add(o, "sample_age_ns", json_object_new_int64((int64_t)(at ? age : 0)));
	json_object_object_add(o, "tick", json_object_new_int64((int64_t)head->tick));
	json_object_object_add(o, "tick_interval_ns",
			       json_object_new_int64((int64_t)head->tick_interval_ns));
	r = wv_web_send_text(q, ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "application/json",
			     json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return r;
}
