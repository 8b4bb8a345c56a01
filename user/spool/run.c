// SPDX-License-Identifier: GPL-2.0-only
/* The spool worker: opens all spools, gives up its rights, takes in until it is told to stop. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "user/agent/beat.h"
#include "user/agent/core.h"
#include "user/cmd/cmd.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/export/sandbox.h"
#include "user/flow/figures.h"
#include "user/spool/intake.h"
#include "user/spool/rights.h"

#define SPOOLS_MAX 16
#define TICK_US 1000000
#define TICK_OVER_US 50000 /* when only outputs are left */

struct worker {
	const struct wv_spool_run_options *options;
	sd_event *loop;
	struct wv_spool *spools;
	struct wv_input *inputs[SPOOLS_MAX]; /* n_inputs of each spool */
	size_t n;
	sd_event_source *tick;
};

static int open_inputs(struct worker *w, size_t i)
{
	struct wv_spool *s = &w->spools[i];
	int r = 0;

	w->inputs[i] = calloc(s->n_inputs + 1, sizeof(struct wv_input));
	if (!w->inputs[i])
		return -ENOMEM;
	if (w->options->drain)
		s->n_inputs = 0;
	for (unsigned k = 0; k < s->n_inputs; k++)
		w->inputs[i][k].fd = -1;
	for (unsigned k = 0; r == 0 && k < s->n_inputs; k++) {
		if (s->inputs[k]->type == WV_INPUT_STDIN && w->options->control >= 0)
			return wv_log_errno(-EINVAL, "spool",
					    "input %s: standard input is for `waveos-bpf spool "
					    "run` only",
					    s->inputs[k]->name);
		r = wv_input_open(&w->inputs[i][k], s, k);
	}
	return r;
}

static int give(struct wv_spool *s)
{
	int r = wv_spool_give(s->dir);

	return r < 0 ? wv_log_errno(r, "spool", "give %s to user " WV_SPOOL_USER, s->path) : 0;
}

static int open_spools(struct worker *w)
{
	const struct wv_config *config = w->options->config;
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->n_spools && w->n < SPOOLS_MAX; i++) {
		const struct wv_spool_config *c = &config->spools[i];

		if (w->options->only && strcmp(w->options->only, c->name) != 0)
			continue;
		r = wv_spool_open(&w->spools[w->n++], config, c, w->options->paths, &wv_io_system);
		if (r == 0)
			r = open_inputs(w, w->n - 1);
		if (r == 0 && !w->options->keep_rights)
			r = give(&w->spools[w->n - 1]);
		if (r == 0 && !w->spools[w->n - 1].n_outputs)
			(void)wv_log_full(LOG_WARNING, 0, "spool",
					  "%s has no output: it fills up to its bound", c->name);
	}
	return r;
}

static bool reads_files(const struct worker *w)
{
	for (size_t i = 0; i < w->n; i++)
		for (size_t k = 0; k < w->spools[i].n_inputs; k++)
			if (w->spools[i].inputs[k]->type == WV_INPUT_FILE)
				return true;
	return false;
}

/* The chunks that are durable go back, senders are answered, who waited goes on. */
static void settle(struct worker *w, size_t i)
{
	struct wv_spool *s = &w->spools[i];
	struct wv_chunk *c = wv_spool_take_done(s);

	while (c) {
		struct wv_chunk *next = c->next;

		wv_input_done(&w->inputs[i][c->input], c);
		wv_chunk_recycle(s, c);
		c = next;
	}
	for (size_t k = 0; k < s->n_inputs; k++)
		wv_input_go_on(&w->inputs[i][k]);
}

static int on_done(sd_event_source *source _unused_, int fd, uint32_t events _unused_,
		   void *userdata)
{
	struct worker *w = userdata;

	for (size_t i = 0; i < w->n; i++)
		if (w->spools[i].done_fd == fd)
			settle(w, i);
	return 0;
}

/* Nothing can come any more: all inputs are standard inputs that ended, or there are none. */
static bool is_over(const struct worker *w)
{
	for (size_t i = 0; i < w->n; i++)
		for (size_t k = 0; k < w->spools[i].n_inputs; k++)
			if (!w->inputs[i][k].ended)
				return false;
	return w->options->control < 0;
}

/* Lets the outputs end; whether they have, or their time is up. */
static bool is_delivered(struct worker *w)
{
	bool all = true;

	for (size_t i = 0; i < w->n; i++)
		all &= wv_spool_drain(&w->spools[i]);
	return all;
}

/* Sums over all spools, for the metrics endpoint. */
static void show(const struct worker *w)
{
	struct wv_spool_figures f = {0};

	for (size_t i = 0; i < w->n; i++)
		wv_spool_sum(&w->spools[i], &f);
	wv_figure_set(WV_FIG_SPOOL_RECEIVED, f.received);
	wv_figure_set(WV_FIG_SPOOL_DELIVERED, f.delivered);
	wv_figure_set(WV_FIG_SPOOL_LOST_INPUT, f.lost_input);
	wv_figure_set(WV_FIG_SPOOL_LOST_KERNEL, f.lost_kernel);
	wv_figure_set(WV_FIG_SPOOL_LOST_BUFFER, f.lost_buffer);
	wv_figure_set(WV_FIG_SPOOL_LOST_DAMAGED, f.lost_damaged);
	wv_figure_set(WV_FIG_SPOOL_DEAD, f.dead);
	wv_figure_set(WV_FIG_SPOOL_BUFFERED, f.buffered);
	wv_figure_set(WV_FIG_SPOOL_USED, f.used_bytes);
	wv_figure_set(WV_FIG_SPOOL_MAX, f.max_bytes);
	wv_figure_set(WV_FIG_SPOOL_ERRORS_OUTPUT, f.output_errors);
	wv_figure_set(WV_FIG_SPOOL_ERRORS_DISK, f.disk_errors);
}

static int on_tick(sd_event_source *source, uint64_t usec _unused_, void *userdata)
{
	struct worker *w = userdata;

	for (size_t i = 0; i < w->n; i++) {
		settle(w, i);
		wv_spool_shrink(&w->spools[i]);
		(void)wv_spool_write_status(&w->spools[i]);
	}
	show(w);
	if (is_over(w) && is_delivered(w))
		return sd_event_exit(w->loop, 0);
	(void)sd_event_source_set_time_relative(source, is_over(w) ? TICK_OVER_US : TICK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_control(sd_event_source *source _unused_, int fd, uint32_t events _unused_,
		      void *userdata)
{
	struct worker *w = userdata;
	char message;
	ssize_t n = recv(fd, &message, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n == 1 && message != WV_CONTROL_STOP && message != WV_CONTROL_END)
		return 0;
	return sd_event_exit(w->loop, 0);
}

static int add_sources(struct worker *w)
{
	static const int ends[] = {SIGTERM, SIGINT};
	sigset_t set;
	int r;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		sigaddset(&set, ends[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	(void)signal(SIGPIPE, SIG_IGN);
	r = sd_event_new(&w->loop);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(ends); i++)
		r = sd_event_add_signal(w->loop, NULL, ends[i], NULL, NULL);
	if (r >= 0 && w->options->control >= 0)
		r = sd_event_add_io(w->loop, NULL, w->options->control, EPOLLIN, on_control, w);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, &w->tick, CLOCK_MONOTONIC, 0, 1000, on_tick,
					       w);
	for (size_t i = 0; r >= 0 && i < w->n; i++) {
		r = sd_event_add_io(w->loop, NULL, w->spools[i].done_fd, EPOLLIN, on_done, w);
		for (size_t k = 0; r >= 0 && k < w->spools[i].n_inputs; k++)
			r = wv_input_start(&w->inputs[i][k], w->loop);
	}
	return r < 0 ? r : 0;
}

static int set_up(struct worker *w)
{
	int r;

	tzset(); /* reads a file */
	r = open_spools(w);
	if (r == 0 && !w->n)
		return wv_log_errno(-ENOENT, "spool", "there is no spool%s%s in the configuration",
				    w->options->only ? " " : "", w->options->only ?: "");
	if (r == 0)
		r = add_sources(w);
	if (r == 0 && !w->options->keep_rights) {
		r = wv_spool_drop_rights(reads_files(w), w->options->control >= 0);
		if (r < 0)
			return wv_log_errno(r, "spool", "cannot give up rights");
	}
	for (size_t i = 0; r == 0 && i < w->n; i++)
		r = wv_spool_start(&w->spools[i], w->options->drain_for_ns);
	return r;
}

/* Orderly: what was read becomes durable, cursors are saved. */
static uint64_t tear_down(struct worker *w)
{
	uint64_t left = 0;

	for (size_t i = 0; i < w->n; i++) {
		struct wv_spool *s = &w->spools[i];

		pthread_mutex_lock(&s->mutex);
		s->closing = true;
		pthread_mutex_unlock(&s->mutex);
		for (size_t k = 0; w->inputs[i] && k < s->n_inputs; k++)
			if (w->inputs[i][k].source || w->inputs[i][k].streams ||
			    w->inputs[i][k].tail)
				wv_input_stop(&w->inputs[i][k]);
		wv_spool_end_writer(s);
		for (size_t k = 0; w->inputs[i] && k < s->n_inputs; k++) {
			struct wv_chunk *c = k ? NULL : wv_spool_take_done(s), *next;

			for (; c; c = next) {
				next = c->next;
				wv_input_done(&w->inputs[i][c->input], c);
				wv_chunk_recycle(s, c);
			}
		}
		for (size_t k = 0; w->inputs[i] && k < s->n_inputs; k++)
			if (w->inputs[i][k].spool)
				wv_input_close(&w->inputs[i][k]);
		left += wv_spool_close(s);
		free(w->inputs[i]);
	}
	sd_event_source_unref(w->tick);
	sd_event_unref(w->loop);
	free(w->spools);
	return left;
}

static int run(const struct wv_spool_run_options *options)
{
	struct worker w = {.options = options};
	uint64_t left;
	int r;

	w.spools = calloc(SPOOLS_MAX, sizeof(*w.spools));
	if (!w.spools)
		return -ENOMEM;
	r = set_up(&w);
	if (r == 0) {
		wv_log_info("spool", "%zu spool(s) ready", w.n);
		r = wv_beat_start(w.loop, options->control);
		if (r == 0)
			r = sd_event_loop(w.loop);
	}
	left = tear_down(&w);
	if (options->left)
		*options->left = left;
	return r < 0 ? r : 0;
}

int wv_spool_run(const struct wv_worker_context *ctx)
{
	struct wv_spool_run_options options = {
		.config = ctx->config, .paths = ctx->paths, .control = ctx->control};

	/* nothing of the agent's is this worker's business */
	if (wv_sandbox_close_fds(&ctx->control, 1) < 0)
		return EXIT_FAILURE;
	if (ctx->snapshot && ctx->snapshot->head)
		(void)munmap(ctx->snapshot->head, ctx->snapshot->bytes);
	return run(&options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int wv_spool_run_alone(const struct wv_spool_run_options *options)
{
	switch (run(options)) {
	case 0:
		return WV_EXIT_OK;
	case -ENOENT:
	case -EINVAL:
		return WV_EXIT_USAGE;
	case -ENOPKG:
	case -EPROTONOSUPPORT:
		return WV_EXIT_UNSUPPORTED;
	case -EACCES:
	case -EPERM:
	case -EBUSY:
		return WV_EXIT_DENIED;
	default:
		return WV_EXIT_INTERNAL;
	}
}
