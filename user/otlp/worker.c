// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <systemd/sd-event.h>

#include "user/agent/beat.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/export/sandbox.h"
#include "user/otlp/http.h"
#include "user/otlp/otlp.h"
#include "user/otlp/resource.h"
#include "user/otlp/status.h"
#include "user/spool/rights.h"

/* Requests of one signal in a round; then the loop has its turn. */
#define REQUESTS_AT_ONCE 20
#define AGAIN_SOON_US 1000

struct worker {
	const struct wv_worker_context *ctx;
	struct wv_helper http;
	struct wv_otlp_pipe pipes[2];
	unsigned n;
	struct wv_otlp_turn_list turns;
	struct wv_turns_reader reader; /* turns is NULL: none are read */
	struct wv_otlp_resource resource;
	struct wv_otlp_status status;
	sd_event *loop;
	bool broken; /* the helper is gone: start anew */
};

bool wv_otlp_wanted(const struct wv_config *config)
{
	return config->otlp_endpoint[0] && (config->otlp_traces || config->otlp_logs);
}

bool wv_otlp_wants_turns(const struct wv_config *config)
{
	return config->otlp_endpoint[0] && config->otlp_traces;
}

static uint64_t now_ns(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

/* Sending ------------------------------------------------------------------------------------- */

static void read_turns(struct worker *w)
{
	struct wv_turn turn;

	while (w->reader.turns && wv_turns_read(&w->reader, &turn))
		(void)wv_otlp_turns_add(&w->turns, &turn);
}

static int send_one(struct worker *w, struct wv_otlp_pipe *p)
{
	bool gzip = w->ctx->config->otlp_compression == 0;
	_cleanup_free_ char *packed = NULL;
	struct wv_otlp_answer a;
	size_t len = p->body.len;
	int r = gzip ? wv_otlp_gzip(p->body.data, p->body.len, &packed, &len) : 0;

	if (r == 0)
		r = wv_otlp_post(&w->http, p->options.logs, gzip, packed ?: p->body.data, len, &a);
	if (r == -EPIPE || r == -ETIMEDOUT || r == -ECANCELED) {
		w->broken = r != -ECANCELED;
		return -ECANCELED;
	}
	if (r < 0) {
		a = (struct wv_otlp_answer){.error = r};
		snprintf(a.text, sizeof(a.text), "%s", strerror(-r));
	}
	wv_otlp_answered(p, &a);
	return 0;
}

/* Whether it should go on at once; *ret_wait_us: at most until then. */
static int send_all(struct worker *w, struct wv_otlp_pipe *p, uint64_t *ret_wait_us)
{
	int r;

	for (unsigned i = 0; i < REQUESTS_AT_ONCE; i++) {
		uint64_t now = now_ns();

		read_turns(w);
		if (p->retry_ns > now) {
			uint64_t us = (p->retry_ns - now) / 1000 + 1;

			*ret_wait_us = us < *ret_wait_us ? us : *ret_wait_us;
			return 0;
		}
		r = wv_otlp_fill(p);
		if (r < 0)
			return wv_log_full(LOG_DEBUG, 0, "otlp", "log: %s", strerror(-r));
		if (r == 0)
			return 0;
		r = send_one(w, p);
		if (r < 0)
			return r;
	}
	*ret_wait_us = AGAIN_SOON_US;
	return 0;
}

static int on_round(sd_event_source *s, uint64_t usec _unused_, void *userdata)
{
	struct worker *w = userdata;
	uint64_t wait_us = w->ctx->config->otlp_interval / 1000;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < w->n; i++)
		r = send_all(w, &w->pipes[i], &wait_us);
	if (w->broken) {
		(void)wv_log_full(LOG_ERR, 0, "otlp", "the process that talks HTTP is gone");
		return sd_event_exit(w->loop, EXIT_FAILURE);
	}
	wv_otlp_status_write(&w->status, w->pipes, w->n, &w->turns, w->reader.missed);
	(void)sd_event_source_set_time_relative(s, wait_us);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* Setting up ---------------------------------------------------------------------------------- */

static int open_pipes(struct worker *w)
{
	const struct wv_worker_context *ctx = w->ctx;
	const struct wv_config *c = ctx->config;
	struct wv_otlp_pipe_options o = {
		.io = &wv_io_system,
		.state = ctx->paths->state,
		.run_id = ctx->run_id,
		.encoding = (enum wv_otlp_encoding)c->otlp_encoding,
		.batch = c->otlp_batch,
		.resource = &w->resource,
		.first = wv_otlp_first(&wv_io_system, ctx->paths->state, ctx->run_id),
	};
	int r = 0;

	w->resource.attributes = wv_otlp_resource_attributes(c, ctx->run_id);
	if (!w->resource.attributes)
		return -ENOMEM;
	if (c->otlp_traces) {
		o.turns = &w->turns;
		r = wv_otlp_pipe_open(&w->pipes[w->n++], &o);
	}
	if (r == 0 && c->otlp_logs) {
		o.turns = NULL;
		o.logs = true;
		r = wv_otlp_pipe_open(&w->pipes[w->n++], &o);
	}
	return r;
}

static int confine(struct worker *w)
{
	const struct wv_worker_context *ctx = w->ctx;
	struct wv_helper_work work;
	int r = wv_sandbox_close_fds(&ctx->control, ctx->control >= 0);

	if (r < 0)
		return r;
	wv_otlp_http_work(&work, ctx->config);
	if (ctx->snapshot && ctx->snapshot->head) /* not this worker's business */
		(void)munmap(ctx->snapshot->head, ctx->snapshot->bytes);
	r = wv_helper_start(&w->http, ctx->control, &work);
	if (r < 0)
		return r;
	if (ctx->turns && mprotect(ctx->turns, sizeof(*ctx->turns), PROT_READ) < 0)
		return -errno;
	return wv_spool_drop_powers(true);
}

static int set_up(struct worker *w)
{
	const struct wv_config *c = w->ctx->config;
	int r;

	w->turns.one_in = c->otlp_turns_one_in;
	w->turns.slow_ns = c->otlp_slow_turn;
	r = confine(w);
	if (r < 0)
		return wv_log_errno(r, "otlp", "cannot give up rights");
	if (w->ctx->turns)
		wv_turns_open(&w->reader, w->ctx->turns);
	wv_otlp_status_open(&w->status, w->ctx->paths, c);
	r = open_pipes(w);
	if (r < 0)
		return r;
	r = wv_beat_loop(&w->loop, w->ctx->control);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, NULL, CLOCK_MONOTONIC,
					       c->otlp_interval / 1000, 1000, on_round, w);
	if (r >= 0)
		r = wv_beat_start(w->loop, w->ctx->control);
	return r < 0 ? r : 0;
}

/* Settings that cannot work: said once, not by dying again and again. */
static bool is_usable(const struct wv_config *c)
{
	char url[WV_OTLP_URL_SIZE], why[160];

	if (wv_otlp_url(c, "traces", url, why) == 0)
		return true;
	(void)wv_log_full(LOG_ERR, 0, "otlp", "otlp.endpoint: %s; nothing is sent", why);
	return false;
}

static int idle(struct worker *w)
{
	int r = sd_event_new(&w->loop);

	if (r >= 0)
		r = wv_beat_end_on(w->loop, w->ctx->control);
	if (r >= 0)
		r = wv_beat_start(w->loop, w->ctx->control);
	return r < 0 ? r : sd_event_loop(w->loop);
}

static void done(struct worker *w)
{
	for (unsigned i = 0; i < w->n; i++)
		wv_otlp_pipe_close(&w->pipes[i]);
	wv_otlp_turns_done(&w->turns);
	wv_otlp_status_close(&w->status);
	json_object_put(w->resource.attributes);
	sd_event_unref(w->loop);
	wv_closep(&w->http.fd);
	free(w);
}

int wv_otlp_run(const struct wv_worker_context *ctx)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return EXIT_FAILURE;
	w->ctx = ctx;
	w->http.fd = w->status.dirfd = -1;
	if (is_usable(ctx->config)) {
		r = set_up(w);
		if (r == 0)
			r = sd_event_loop(w->loop);
	} else {
		r = idle(w);
	}
	if (r < 0)
		(void)wv_log_errno(r, "otlp", "ended");
	done(w);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
