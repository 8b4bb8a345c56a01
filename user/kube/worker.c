// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loop: two watches, the node's labels, the status of policies, the supervisor. The API server
 * is not trusted more than it must be: the worker has no capability, may load no code, holds one
 * object at a time, and what comes of a policy is decided by the checker and by the supervisor.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/event.h"
#include "user/flow/figures.h"
#include "user/kube/internal.h"
#include "user/kube/json.h"
#include "user/spool/rights.h"

#define ANSWER_MAX (1U << 20)
/* Failing for so long, a collection counts as lost; the log is told. */
#define LOST_NS (10 * WV_KUBE_SECOND_NS)
#define BEAT_NS (5 * WV_KUBE_SECOND_NS)
#define FILE_NS (2 * WV_KUBE_SECOND_NS)
#define LABELS_NS (60 * WV_KUBE_SECOND_NS)
#define NODE_TIMEOUT_S 15
/* over what the server was asked to end the watch after */
#define WATCH_GRACE_S 30

static const char *environment(const char *name)
{
	const char *v = getenv(name);

	return v ? v : "";
}

static const char *node_of(const struct wv_config *c)
{
	return c->kubernetes_node[0] ? c->kubernetes_node : environment("NODE_NAME");
}

/* "" where there is none. */
static void server_of(const struct wv_config *c, char *ret, size_t size)
{
	const char *host = environment("KUBERNETES_SERVICE_HOST"),
		   *port = environment("KUBERNETES_SERVICE_PORT");
	bool v6 = strchr(host, ':') != NULL;

	if (c->kubernetes_server[0])
		snprintf(ret, size, "%s", c->kubernetes_server);
	else if (*host)
		snprintf(ret, size, "https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "",
			 *port ? port : "443");
	else
		*ret = '\0';
}

bool wv_kube_wanted(const struct wv_config *c)
{
	enum { AUTO, ON, OFF };
	char server[300];

	if (c->kubernetes_enabled != AUTO)
		return c->kubernetes_enabled == ON;
	server_of(c, server, sizeof(server));
	return *server && *node_of(c) &&
	       (c->kubernetes_server[0] || access(c->kubernetes_token, R_OK) == 0);
}

void wv_kube_record(struct wv_kube_worker *w, const char *type, struct json_object *fields)
{
	int r = wv_event_device(w->io, w->ctx->paths, "", type, fields);

	if (r < 0)
		(void)wv_log_warn(r, "kube", "a record of %s is not in the log", type);
}

int wv_kube_collect(struct wv_kube_answer *a, const char *bytes, size_t len)
{
	char *more = a->len + len < ANSWER_MAX ? realloc(a->text, a->len + len + 1) : NULL;

	if (!more)
		return -EFBIG;
	memcpy(more + a->len, bytes, len);
	a->text = more;
	a->len += len;
	a->text[a->len] = '\0';
	return 0;
}

/* Streams ----------------------------------------------------------------------------------------
 */

static void pods_begin(void *ctx)
{
	wv_kube_pods_begin(&((struct wv_kube_worker *)ctx)->pods);
}

static void pods_object(void *ctx, struct json_object *o)
{
	wv_kube_pods_take(&((struct wv_kube_worker *)ctx)->pods, o);
}

static void pods_gone(void *ctx, struct json_object *o)
{
	wv_kube_pods_gone(&((struct wv_kube_worker *)ctx)->pods, o);
}

static void pods_fresh(void *ctx)
{
	wv_kube_pods_fresh(&((struct wv_kube_worker *)ctx)->pods);
}

static void policies_begin(void *ctx)
{
	wv_kube_policies_begin(&((struct wv_kube_worker *)ctx)->policies);
}

static void policies_object(void *ctx, struct json_object *o)
{
	struct wv_kube_worker *w = ctx;

	wv_kube_policies_take(&w->policies, o);
	w->settled = false;
	w->dirty = true;
}

static void policies_gone(void *ctx, struct json_object *o)
{
	struct wv_kube_worker *w = ctx;

	wv_kube_policies_gone(&w->policies, o);
	w->settled = false;
	w->dirty = true;
}

static void policies_fresh(void *ctx)
{
	struct wv_kube_worker *w = ctx;

	wv_kube_policies_fresh(&w->policies);
	w->settled = false;
	w->dirty = true;
}

static const struct wv_kube_watch_fns pod_fns = {pods_begin, pods_object, pods_gone, pods_fresh};
static const struct wv_kube_watch_fns policy_fns = {policies_begin, policies_object, policies_gone,
						    policies_fresh};

static int on_stream(void *ctx, long status, const char *bytes, size_t len)
{
	struct wv_kube_stream *s = ctx;

	return wv_kube_watch_take(&s->watch, status, bytes, len);
}

static void tell_log(struct wv_kube_stream *s, const char *type, uint64_t after_ns)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "what", json_object_new_string(s->watch.name));
	if (s->lost)
		json_object_object_add(o, "why", json_object_new_string(s->watch.why));
	else
		json_object_object_add(o, "after_ns", json_object_new_uint64(after_ns));
	wv_kube_record(s->worker, type, o);
}

static void look_at_health(struct wv_kube_stream *s, uint64_t now)
{
	if (!s->watch.failures) {
		if (s->lost) {
			s->lost = false;
			wv_log_info("kube", "%s can be watched again", s->watch.name);
			tell_log(s, "cluster-back", now - s->failing_since_ns);
		}
		s->failing_since_ns = 0;
		return;
	}
	if (!s->failing_since_ns)
		s->failing_since_ns = now;
	if (s->lost || now - s->failing_since_ns < LOST_NS)
		return;
	s->lost = true;
	(void)wv_log_warn(0, "kube", "%s cannot be watched, what is known stays: %s", s->watch.name,
			  s->watch.why);
	tell_log(s, "cluster-lost", 0);
}

static void on_stream_over(void *ctx, long status, const char *error, uint64_t retry_after_s)
{
	struct wv_kube_stream *s = ctx;
	struct wv_kube_worker *w = s->worker;
	uint64_t now = wv_kube_now(w);

	wv_kube_watch_over(&s->watch, status, error, retry_after_s, now, wv_kube_random(w));
	look_at_health(s, now);
}

static void open_stream(struct wv_kube_worker *w, struct wv_kube_stream *s, const char *name,
			const char *path, const char *query, const struct wv_kube_watch_fns *fns)
{
	*s = (struct wv_kube_stream){
		.watch = {.name = name, .path = path, .query = query, .fns = fns, .ctx = w},
		.request = {.take = on_stream, .over = on_stream_over, .ctx = s},
		.worker = w,
	};
	wv_kube_watch_init(&s->watch);
}

static void drive(struct wv_kube_stream *s, uint64_t now)
{
	struct wv_kube_worker *w = s->worker;
	char path[WV_KUBE_PATH_SIZE];
	int r;

	if (!wv_kube_watch_due(&s->watch, now, wv_kube_random(w), path))
		return;
	r = wv_kube_request(w->client, &s->request, path, NULL,
			    WV_KUBE_WATCH_S + WV_KUBE_WATCH_S / 2 + WATCH_GRACE_S);
	if (r < 0)
		wv_kube_watch_over(&s->watch, 0, strerror(-r), 0, now, wv_kube_random(w));
}

/* Labels of the node -----------------------------------------------------------------------------
 */

static int on_node_bytes(void *ctx, long status _unused_, const char *bytes, size_t len)
{
	return wv_kube_collect(&((struct wv_kube_worker *)ctx)->node_answer, bytes, len);
}

static void on_node_over(void *ctx, long status, const char *error, uint64_t retry_after_s _unused_)
{
	struct wv_kube_worker *w = ctx;
	struct json_object *o = NULL, *labels;

	w->labels_ns = wv_kube_now(w) + (error || status != 200 ? LABELS_NS / 6 : LABELS_NS);
	if (!error && status == 200)
		o = wv_kube_parse(w->node_answer.text ?: "", w->node_answer.len);
	labels = wv_kube_object(wv_kube_object(o, "metadata"), "labels");
	if (labels && (!w->policies.labels || !json_object_equal(labels, w->policies.labels))) {
		json_object_put(w->policies.labels);
		w->policies.labels = json_object_get(labels);
		w->policies.labels_known = true;
		w->settled = false;
		w->dirty = true;
	}
	json_object_put(o);
	free(w->node_answer.text);
	w->node_answer = (struct wv_kube_answer){.text = NULL};
}

static void ask_labels(struct wv_kube_worker *w, uint64_t now)
{
	char path[320];

	if (w->node_request.running || now < w->labels_ns ||
	    !wv_kube_policies_want_labels(&w->policies))
		return;
	snprintf(path, sizeof(path), "/api/v1/nodes/%s", w->node);
	if (wv_kube_request(w->client, &w->node_request, path, NULL, NODE_TIMEOUT_S) < 0)
		w->labels_ns = now + LABELS_NS;
}

/* How it goes, for people -------------------------------------------------------------------------
 */

static struct json_object *stream_json(const struct wv_kube_stream *s)
{
	const struct wv_kube_watch *x = &s->watch;
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "fresh", json_object_new_boolean(x->fresh));
	json_object_object_add(o, "events", json_object_new_uint64(x->events));
	json_object_object_add(o, "lists", json_object_new_uint64(x->lists));
	json_object_object_add(o, "relists", json_object_new_uint64(x->relists));
	json_object_object_add(o, "too_large", json_object_new_uint64(x->too_large));
	json_object_object_add(o, "malformed", json_object_new_uint64(x->malformed));
	json_object_object_add(o, "failures", json_object_new_int64(x->failures));
	json_object_object_add(o, "why", json_object_new_string(x->why));
	return o;
}

/* Figures live longer than this process: what was added before is added on to. */
static void tell_figures(struct wv_kube_worker *w)
{
	const struct wv_kube_watch *pods = &w->pod_stream.watch,
				   *policies = &w->policy_stream.watch;
	uint64_t dropped = pods->too_large + pods->malformed + policies->too_large +
			   policies->malformed + w->pods.dropped + w->policies.dropped;

	wv_figure_set(WV_FIG_KUBE_LOST_PODS, pods->failures);
	wv_figure_set(WV_FIG_KUBE_LOST_POLICIES, policies->failures);
	wv_figure_add(WV_FIG_KUBE_EVENTS_PODS, pods->events - w->told[0]);
	wv_figure_add(WV_FIG_KUBE_EVENTS_POLICIES, policies->events - w->told[1]);
	wv_figure_add(WV_FIG_KUBE_DROPPED, dropped - w->told[2]);
	wv_figure_set(WV_FIG_KUBE_CONTAINERS, w->pods.n);
	wv_figure_set(WV_FIG_KUBE_POLICIES, w->policies.n);
	w->told[0] = pods->events;
	w->told[1] = policies->events;
	w->told[2] = dropped;
}

static void write_file(struct wv_kube_worker *w, uint64_t now)
{
	struct json_object *o, *s;
	const char *text;

	if (now < w->file_ns)
		return;
	w->file_ns = now + FILE_NS;
	tell_figures(w);
	o = json_object_new_object();
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(o, "node", json_object_new_string(w->node));
	s = stream_json(&w->pod_stream);
	json_object_object_add(s, "containers", json_object_new_uint64(w->pods.n));
	json_object_object_add(s, "dropped", json_object_new_uint64(w->pods.dropped));
	json_object_object_add(o, "pods", s);
	if (w->ctx->config->kubernetes_policies) {
		s = stream_json(&w->policy_stream);
		json_object_object_add(s, "objects", json_object_new_uint64(w->policies.n));
		json_object_object_add(s, "dropped", json_object_new_uint64(w->policies.dropped));
		json_object_object_add(s, "in_force", json_object_new_string(w->version));
		json_object_object_add(o, "policies", s);
	}
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	(void)wv_io_replace(w->io, w->runtime, WV_KUBE_FILE, text, strlen(text), 0644);
	json_object_put(o);
}

/* The supervisor ----------------------------------------------------------------------------------
 */

char wv_kube_await(struct wv_kube_worker *w, const char *wanted, int timeout_ms)
{
	uint64_t end = wv_kube_now(w) + (uint64_t)timeout_ms * 1000000ULL;
	char got = 0;

	while (!got || !strchr(wanted, got)) {
		struct pollfd p = {.fd = w->control, .events = POLLIN};
		uint64_t now = wv_kube_now(w);

		if (now >= end || poll(&p, 1, (int)((end - now) / 1000000ULL) + 1) == 0)
			return 0;
		if (recv(w->control, &got, 1, MSG_DONTWAIT) <= 0)
			return 0;
		if (got == WV_CONTROL_STOP)
			w->stopping = true;
	}
	return got;
}

static void look_at_control(struct wv_kube_worker *w)
{
	char messages[16];
	ssize_t n = recv(w->control, messages, sizeof(messages), MSG_DONTWAIT);

	if (n == 0 || (n > 0 && memchr(messages, WV_CONTROL_STOP, (size_t)n)))
		w->stopping = true;
}

static void beat(struct wv_kube_worker *w, uint64_t now, char message)
{
	if (w->control < 0 || now < w->beat_ns)
		return;
	w->beat_ns = now + BEAT_NS;
	(void)send(w->control, &message, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The loop ----------------------------------------------------------------------------------------
 */

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int wait_ms(const struct wv_kube_worker *w, uint64_t now)
{
	uint64_t next = earliest(w->file_ns, wv_kube_watch_when(&w->pod_stream.watch));

	if (w->control >= 0)
		next = earliest(next, w->beat_ns);
	if (w->ctx->config->kubernetes_policies) {
		next = earliest(next, wv_kube_watch_when(&w->policy_stream.watch));
		next = earliest(next, wv_kube_tell_when(w));
	}
	return next <= now ? 0 : (int)((next - now) / 1000000ULL) + 1;
}

static int turn(struct wv_kube_worker *w)
{
	struct wv_kube_wait wait[2] = {{.fd = w->signals}, {.fd = w->control}};
	uint64_t now = wv_kube_now(w);
	int r;

	drive(&w->pod_stream, now);
	if (w->ctx->config->kubernetes_policies) {
		drive(&w->policy_stream, now);
		ask_labels(w, now);
		if (!w->settled)
			wv_kube_hand_over(w);
		wv_kube_tell(w);
	}
	wv_kube_pods_publish(&w->pods, w->names);
	write_file(w, now);
	beat(w, now, WV_CONTROL_ALIVE);
	r = wv_kube_client_turn(w->client, wait, w->control < 0 ? 1 : 2,
				wait_ms(w, wv_kube_now(w)));
	if (r < 0)
		return r;
	if (wait[0].ready)
		w->stopping = true;
	if (wait[1].ready)
		look_at_control(w);
	return 0;
}

static int open_worker(struct wv_kube_worker *w, const char *server)
{
	const struct wv_config *c = w->ctx->config;
	const struct wv_kube_client_options options = {
		.server = server, .token = c->kubernetes_token, .ca = c->kubernetes_ca};
	sigset_t term;
	int r;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL);
	w->signals = signalfd(-1, &term, SFD_NONBLOCK | SFD_CLOEXEC);
	w->runtime = open(w->ctx->paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->signals < 0 || w->runtime < 0)
		return wv_log_errno(-errno, "kube", "%s", w->ctx->paths->runtime);
	r = wv_kube_client_open(&w->client, &options);
	if (r < 0)
		return wv_log_errno(r, "kube", "API server '%s'", server);
	w->names = wv_kube_names_map(w->runtime, true);
	r = wv_kube_hand_over_open(w);
	if (r < 0)
		return wv_log_errno(r, "kube", "%s/kubernetes", w->ctx->paths->state);
	r = wv_kube_pods_open(&w->pods, w->io, w->folder, c->kubernetes_labels);
	if (r < 0)
		return wv_log_errno(r, "kube", "%s/kubernetes/" WV_KUBE_PODS_DIR,
				    w->ctx->paths->state);
	snprintf(w->pod_query, sizeof(w->pod_query), "fieldSelector=spec.nodeName%%3D%s", w->node);
	open_stream(w, &w->pod_stream, "pods", "/api/v1/pods", w->pod_query, &pod_fns);
	open_stream(w, &w->policy_stream, "policies", WV_KUBE_POLICIES_PATH, "", &policy_fns);
	w->policies.node = w->node;
	w->node_request =
		(struct wv_kube_request){.take = on_node_bytes, .over = on_node_over, .ctx = w};
	wv_kube_tell_open(w);
	/* parent's death is the supervisor's to arrange; the filter is last, as it forbids most of
	 * this */
	r = wv_spool_drop_powers_online(w->control >= 0);
	return r < 0 ? wv_log_errno(r, "kube", "rights cannot be given up") : 0;
}

static void close_worker(struct wv_kube_worker *w)
{
	wv_kube_client_close(w->client);
	wv_kube_watch_done(&w->pod_stream.watch);
	wv_kube_watch_done(&w->policy_stream.watch);
	wv_kube_pods_close(&w->pods);
	wv_kube_names_unmap(w->names);
	wv_kube_policies_done(&w->policies);
	free(w->node_answer.text);
	free(w->tell_answer.text);
	free(w->text);
	wv_closep(&w->folder);
	wv_closep(&w->runtime);
	wv_closep(&w->signals);
}

/* A name of the API's becomes part of paths and queries (RFC 1123 subdomain). */
static bool is_name(const char *s)
{
	size_t n = strlen(s);

	return n && n < 254 && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-.")] == '\0';
}

int wv_kube_run(const struct wv_worker_context *ctx)
{
	_cleanup_free_ struct wv_kube_worker *w = calloc(1, sizeof(*w));
	char server[300];
	int r;

	if (!w)
		return 1;
	*w = (struct wv_kube_worker){.io = &wv_io_system, .ctx = ctx, .control = ctx->control};
	w->folder = w->runtime = w->signals = w->pods.dir = -1;
	server_of(ctx->config, server, sizeof(server));
	snprintf(w->node, sizeof(w->node), "%.253s", node_of(ctx->config));
	if (!*server || !is_name(w->node)) {
		(void)wv_log_errno(0, "kube",
				   "kubernetes.node and kubernetes.server, or NODE_NAME and "
				   "KUBERNETES_SERVICE_HOST in the environment, are needed");
		return 1;
	}
	r = open_worker(w, server);
	if (r == 0) {
		wv_log_info("kube", "pods of node %s from %s", w->node, server);
		beat(w, wv_kube_now(w), WV_CONTROL_READY);
	}
	while (r == 0 && !w->stopping)
		r = turn(w);
	if (r == 0 && w->stopping)
		wv_kube_leave(w);
	close_worker(w);
	return r < 0 ? 1 : 0;
}
