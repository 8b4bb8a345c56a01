// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paths of the web worker. A scrape is rendered once a tick and format, and shared by all who ask
 * for it meanwhile. Nothing that a client sends is kept or echoed.
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

static uint64_t mono_ns(void)
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
	struct wv_metrics_process process = {.now_mono_ns = mono_ns(), .open_fds = open_fds()};
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

static void header(struct wv_web *w, struct MHD_Response *response, const char *name,
		   const char *value)
{
	(void)w->mhd.add_response_header(response, name, value);
}

static enum MHD_Result send_text(struct wv_web *w, struct MHD_Connection *c, unsigned status,
				 const char *type, const char *text)
{
	struct MHD_Response *response = w->mhd.create_response_from_buffer(
		strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	header(w, response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	header(w, response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	header(w, response, "X-Content-Type-Options", "nosniff");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		header(w, response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
		header(w, response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	r = w->mhd.queue_response(c, status, response);
	w->mhd.destroy_response(response);
	return r;
}

static struct MHD_Response *wrap(struct wv_web *w, struct body *b, enum wv_metrics_format format,
				 bool gzip)
{
	struct MHD_Response *response = w->mhd.create_response_from_buffer_with_free_callback_cls(
		b->text.len, b->text.data, free_body, b);

	if (!response)
		return NULL;
	header(w, response, MHD_HTTP_HEADER_CONTENT_TYPE, wv_metrics_types[format]);
	header(w, response, MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
	if (gzip)
		header(w, response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
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
	return false;
}

/* On loopback compression costs more than it saves. */
static bool is_local(struct wv_web *w, struct MHD_Connection *c)
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

static enum MHD_Result answer_metrics(struct wv_web *w, struct MHD_Connection *c)
{
	enum wv_metrics_format format = wv_web_negotiate(
		w->mhd.lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT));
	bool gzip =
		!is_local(w, c) && wv_web_accepts_gzip(w->mhd.lookup_connection_value(
					   c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT_ENCODING));
	int r = 0;

	if (!w->cached[format][gzip] || w->snapshot->head->tick != w->tick)
		r = fresh_body(w, format, gzip);
	if (r == 0)
		return w->mhd.queue_response(c, MHD_HTTP_OK, w->cached[format][gzip]);
	if (r == -EAGAIN)
		return send_text(w, c, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain; charset=utf-8",
				 "no sample: the core worker is starting\n");
	if (r == -EBUSY)
		return send_text(w, c, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain; charset=utf-8",
				 "too many scrapes are still being sent\n");
	(void)wv_log_full(LOG_ERR, r, "web", "cannot render a scrape");
	return send_text(w, c, MHD_HTTP_INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8",
			 "cannot render; see the log of the agent\n");
}

static enum MHD_Result answer_health(struct wv_web *w, struct MHD_Connection *c)
{
	const struct wv_snapshot *head = w->snapshot->head;
	uint64_t now = mono_ns(), at = head->mono_ns, age = now > at ? now - at : 0;
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
	r = send_text(w, c, ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "application/json",
		      json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return r;
}

static enum MHD_Result answer_index(struct wv_web *w, struct MHD_Connection *c)
{
	static const char page[] =
		"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width\"><title>waveos-bpf</title>"
		"<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;"
		"margin:3rem auto;max-width:36rem;padding:0 1rem}</style>"
		"<h1>waveos-bpf</h1><ul>"
		"<li><a href=\"/metrics\">/metrics</a>: Prometheus text, OpenMetrics or "
		"protobuf</li>"
		"<li><a href=\"/healthz\">/healthz</a>: age of the last sample</li></ul>"
		"<p>Live figures in a terminal: <code>waveos-bpf top</code></p></html>\n";

	return send_text(w, c, MHD_HTTP_OK, "text/html; charset=utf-8", page);
}

static const struct {
	const char *path;
	enum MHD_Result (*answer)(struct wv_web *w, struct MHD_Connection *c);
} routes[] = {
	{"/metrics", answer_metrics},
	{"/healthz", answer_health},
	{"/", answer_index},
};

enum MHD_Result wv_web_answer(void *cls, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **state)
{
	struct wv_web *w = cls;

	(void)version;
	(void)upload;
	(void)upload_size;
	(void)state;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return send_text(w, c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain; charset=utf-8",
				 "only GET and HEAD\n");
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		if (strcmp(url, routes[i].path) == 0)
			return routes[i].answer(w, c);
	return send_text(w, c, MHD_HTTP_NOT_FOUND, "text/plain; charset=utf-8",
			 "not here; try / for what there is\n");
}
