// SPDX-License-Identifier: GPL-2.0-only
#include "user/flow/figures.h"
#include "user/proxy/view.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"

#define STATUS_MAX_BYTES (1U << 20)

static bool is_gauge(int column)
{
	return column == WV_STATS_qcur || column == WV_STATS_qmax || column == WV_STATS_scur ||
	       column == WV_STATS_smax;
}

static void add(struct wv_proxy_counts *c, const uint64_t now[WV_STATS_N])
{
	for (int i = 0; i < WV_STATS_N; i++) {
		if (is_gauge(i))
			c->sum[i] = now[i];
		else
			c->sum[i] += now[i] >= c->last[i] ? now[i] - c->last[i] : now[i];
		c->last[i] = now[i];
	}
}

struct taking {
	struct wv_proxy_state *state;
	uint64_t now_ns;
	wv_proxy_changed_fn changed;
	void *ctx;
};

static void take_server(struct taking *t, struct wv_proxy_view *v, const struct wv_stats_row *row,
			size_t i)
{
	const struct wv_proxy *p = v->proxy;
	const struct wv_circuit_limits limits = {
		.error_permille = p->breaker.error_permille,
		.min_requests = p->breaker.min_requests,
		.window_ns = p->breaker.window_ns,
	};
	const uint64_t *n = row->figures;
	uint64_t lost = n[WV_STATS_econ] + n[WV_STATS_eresp], answers = 0;
	struct wv_proxy_server *s = &v->servers[i];
	struct wv_circuit_change change;

	for (int k = WV_STATS_hrsp_1xx; k <= WV_STATS_hrsp_other; k++)
		answers += n[k];
	/* bytes have no answers: there each connection counts */
	if (p->mode == WV_PROXY_TCP)
		answers = n[WV_STATS_stot];
	add(&s->counts, n);
	memcpy(s->status, row->status, sizeof(s->status));
	memcpy(s->check, row->check, sizeof(s->check));
	change = wv_circuit_observe(&s->circuit, &limits, row->status, row->check, answers + lost,
				    n[WV_STATS_hrsp_5xx] + lost, t->now_ns);
	if (change.changed || change.order_down)
		t->changed(t->ctx, p, i, s, &change);
}

static void take_row(void *ctx, const struct wv_stats_row *row)
{
	struct taking *t = ctx;

	for (size_t i = 0; i < t->state->n; i++) {
		struct wv_proxy_view *v = &t->state->views[i];
		unsigned long server;

		if (strcmp(row->proxy + (row->proxy[0] != '\0') + (row->proxy[0] && row->proxy[1]),
			   v->proxy->name) != 0)
			continue;
		if (strncmp(row->proxy, "f_", 2) == 0 && strcmp(row->server, "FRONTEND") == 0) {
			add(&v->front, row->figures);
		} else if (strncmp(row->proxy, "b_", 2) == 0 &&
			   strcmp(row->server, "BACKEND") == 0) {
			add(&v->back, row->figures);
		} else if (strncmp(row->proxy, "b_", 2) == 0 && row->server[0] == 'u') {
			server = strtoul(row->server + 1, NULL, 10);
			if (server >= 1 && server <= v->proxy->upstream.n &&
			    server <= WV_PROXY_SERVERS_MAX)
				take_server(t, v, row, server - 1);
		}
	}
}

int wv_proxy_state_take(struct wv_proxy_state *s, const char *answer, uint64_t now_ns,
			wv_proxy_changed_fn changed, void *ctx)
{
	struct taking t = {.state = s, .now_ns = now_ns, .changed = changed, .ctx = ctx};
	int r = wv_stats_parse(answer, take_row, &t);

	return r < 0 ? r : 0;
}

void wv_proxy_state_anew(struct wv_proxy_state *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct wv_proxy_view *v = &s->views[i];

		memset(v->front.last, 0, sizeof(v->front.last));
		memset(v->back.last, 0, sizeof(v->back.last));
		for (size_t k = 0; k < WV_PROXY_SERVERS_MAX; k++) {
			memset(v->servers[k].counts.last, 0, sizeof(v->servers[k].counts.last));
			v->servers[k].circuit.last_total = v->servers[k].circuit.last_failed = 0;
		}
	}
}

/* The file ----------------------------------------------------------------------------------------
 */

static void add_u64(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

/* Only what HAProxy counts for this kind of row. */
static struct json_object *counts_json(const struct wv_proxy_counts *c, bool http, bool front)
{
	static const struct {
		enum wv_stats_column column;
		const char *name;
		bool http, front, back;
	} rows[] = {
		{WV_STATS_scur, "connections", false, true, true},
		{WV_STATS_smax, "connections_max", false, true, true},
		{WV_STATS_stot, "connections_total", false, true, true},
		{WV_STATS_bin, "bytes_in_total", false, true, true},
		{WV_STATS_bout, "bytes_out_total", false, true, true},
		{WV_STATS_dses, "sessions_refused_total", false, true, false},
		{WV_STATS_dreq, "requests_refused_total", false, true, true},
		{WV_STATS_ereq, "requests_bad_total", false, true, false},
		{WV_STATS_qcur, "queue", false, false, true},
		{WV_STATS_qmax, "queue_max", false, false, true},
		{WV_STATS_econ, "connect_errors_total", false, false, true},
		{WV_STATS_eresp, "response_errors_total", false, false, true},
		{WV_STATS_hrsp_2xx, "responses_2xx_total", true, false, true},
		{WV_STATS_hrsp_3xx, "responses_3xx_total", true, false, true},
		{WV_STATS_hrsp_4xx, "responses_4xx_total", true, false, true},
		{WV_STATS_hrsp_5xx, "responses_5xx_total", true, false, true},
	};
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if ((http || !rows[i].http) && (front ? rows[i].front : rows[i].back))
			add_u64(o, rows[i].name, c->sum[rows[i].column]);
	return o;
}

static struct json_object *server_json(const struct wv_proxy_view *v, size_t i)
{
	const struct wv_proxy_server *s = &v->servers[i];
	struct json_object *o = json_object_new_object();

	add_text(o, "address", v->proxy->upstream.list[i]);
	add_text(o, "breaker", wv_circuit_states[s->circuit.state]);
	add_u64(o, "breaker_opened_total", s->circuit.opened);
	add_u64(o, "breaker_since_mono_ns", s->circuit.since_ns);
	add_text(o, "status", s->status);
	add_text(o, "probe", s->check);
	add_u64(o, "probes_failed_total", s->counts.sum[WV_STATS_chkfail]);
	json_object_object_add(o, "figures",
			       counts_json(&s->counts, v->proxy->mode == WV_PROXY_HTTP, false));
	return o;
}

static struct json_object *proxy_json(const struct wv_proxy_view *v)
{
	struct json_object *o = json_object_new_object(), *servers = json_object_new_array();
	bool http = v->proxy->mode == WV_PROXY_HTTP;

	add_text(o, "name", v->proxy->name);
	add_text(o, "mode", http ? "http" : "tcp");
	add_text(o, "listen", v->proxy->listen);
	json_object_object_add(o, "clients", counts_json(&v->front, http, true));
	json_object_object_add(o, "requests", counts_json(&v->back, http, false));
	for (size_t i = 0; i < v->proxy->upstream.n && i < WV_PROXY_SERVERS_MAX; i++)
		json_object_array_add(servers, server_json(v, i));
	json_object_object_add(o, "servers", servers);
	return o;
}

static struct json_object *state_json(const struct wv_proxy_state *s, uint64_t now_ns)
{
	struct json_object *o = json_object_new_object(), *h = json_object_new_object();
	struct json_object *proxies = json_object_new_array();

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	add_u64(o, "mono_ns", now_ns);
	json_object_object_add(o, "worker_pid", json_object_new_int((int)getpid()));
	json_object_object_add(h, "pid", json_object_new_int((int)s->haproxy));
	add_u64(h, "started_mono_ns", s->started_ns);
	add_u64(h, "answered_mono_ns", s->answered_ns);
	add_u64(h, "restarts_total", s->restarts);
	add_u64(h, "hangs_total", s->hangs);
	add_u64(h, "reloads_total", s->reloads);
	add_u64(h, "refused_total", s->refused);
	add_text(h, "refusal", s->refusal);
	add_u64(h, "draining", s->draining);
	json_object_object_add(o, "haproxy", h);
	for (size_t i = 0; i < s->n; i++)
		json_object_array_add(proxies, proxy_json(&s->views[i]));
	json_object_object_add(o, "proxies", proxies);
	return o;
}

void wv_proxy_state_show(const struct wv_proxy_state *s)
{
	uint64_t sum[WV_STATS_N] = {0}, active = 0, open = 0, server_errors = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct wv_proxy_view *v = &s->views[i];

		for (unsigned c = 0; c < WV_STATS_N; c++)
			sum[c] += v->front.sum[c];
		active += v->front.last[WV_STATS_scur];
		server_errors += v->back.sum[WV_STATS_econ] + v->back.sum[WV_STATS_eresp];
		for (size_t k = 0; k < v->proxy->upstream.n && k < WV_PROXY_SERVERS_MAX; k++)
			open += v->servers[k].circuit.state != WV_CIRCUIT_CLOSED;
	}
	wv_figure_set(WV_FIG_PROXY_SESSIONS, sum[WV_STATS_stot]);
	wv_figure_set(WV_FIG_PROXY_ACTIVE, active);
	wv_figure_set(WV_FIG_PROXY_BYTES_IN, sum[WV_STATS_bin]);
	wv_figure_set(WV_FIG_PROXY_BYTES_OUT, sum[WV_STATS_bout]);
	wv_figure_set(WV_FIG_PROXY_DENIED,
		      sum[WV_STATS_dreq] + sum[WV_STATS_dcon] + sum[WV_STATS_dses]);
	wv_figure_set(WV_FIG_PROXY_ERRORS_CLIENT, sum[WV_STATS_ereq]);
	wv_figure_set(WV_FIG_PROXY_ERRORS_SERVER, server_errors);
	wv_figure_set(WV_FIG_PROXY_BREAKERS_OPEN, open);
	wv_figure_set(WV_FIG_PROXY_RESTARTS, s->restarts);
	wv_figure_set(WV_FIG_PROXY_REFUSED, s->refusal[0] != '\0');
}

int wv_proxy_state_save(const struct wv_proxy_state *s, const char *dir, uint64_t now_ns)
{
	const struct wv_io *io = &wv_io_system;
	_cleanup_close_ int fd = -1, folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct json_object *o;
	const char *text;
	int r;

	if (folder < 0)
		return -errno;
	fd = io->open(io->ctx, folder, ".status.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		      0640);
	if (fd < 0)
		return fd;
	o = state_json(s, now_ns);
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
	r = wv_io_write_all(io, fd, text, strlen(text));
	json_object_put(o);
	return r < 0 ? r : io->rename(io->ctx, folder, ".status.tmp", WV_PROXY_STATUS_FILE);
}

int wv_proxy_state_read(const struct wv_paths *paths, char **ret)
{
	char path[WV_PATH_SIZE + 64];
	size_t len;

	snprintf(path, sizeof(path), "%s/" WV_PROXY_DIR "/" WV_PROXY_STATUS_FILE, paths->runtime);
	return wv_io_read_file(&wv_io_system, AT_FDCWD, path, STATUS_MAX_BYTES, ret, &len);
}
