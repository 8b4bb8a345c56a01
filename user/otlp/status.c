// SPDX-License-Identifier: GPL-2.0-only
#include "user/otlp/status.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/flow/figures.h"
#include "user/otlp/otlp.h"

#define FILE_MAX_BYTES (64U << 10)
#define SCHEMA_VERSION 1

void wv_otlp_status_open(struct wv_otlp_status *s, const struct wv_paths *paths,
			 const struct wv_config *config)
{
	const struct wv_io *io = &wv_io_system;
	int fd = io->open(io->ctx, AT_FDCWD, paths->runtime, O_RDONLY | O_DIRECTORY, 0);

	*s = (struct wv_otlp_status){.dirfd = fd < 0 ? -1 : fd, .config = config};
}

static void put(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static struct json_object *signal_of(const struct wv_otlp_pipe *p)
{
	const struct wv_otlp_counts *c = &p->counts;
	struct json_object *o = json_object_new_object();

	put(o, "requests", c->requests);
	put(o, "failures", c->failures);
	put(o, "sent", c->sent);
	put(o, "rejected", c->rejected);
	put(o, "refused", c->refused);
	put(o, "missed", c->missed);
	put(o, "unreadable", c->unreadable);
	put(o, "waiting", p->ready ? p->items : 0);
	put(o, "delivered_seq", p->follow ? wv_follow_kept(p->follow) : 0);
	put(o, "open_traces", p->tracker ? wv_otlp_tracker_open(p->tracker) : 0);
	json_object_object_add(o, "error", json_object_new_string(p->error));
	return o;
}

static void tell(enum wv_figure_id id, uint64_t now, uint64_t *told)
{
	wv_figure_add(id, now - *told);
	*told = now;
}

/* Counters of a worker that is restarted go on: only what is new is added. */
static void tell_figures(struct wv_otlp_status *s, const struct wv_otlp_pipe *p,
			 const struct wv_otlp_turn_list *turns, uint64_t missed)
{
	const struct wv_otlp_counts *c = &p->counts;
	struct wv_otlp_counts *t = &s->told[p->options.logs];

	if (p->options.logs) {
		tell(WV_FIG_OTLP_LOGS_SENT, c->sent, &t->sent);
		tell(WV_FIG_OTLP_LOGS_REJECTED, c->rejected, &t->rejected);
		tell(WV_FIG_OTLP_LOGS_REFUSED, c->refused, &t->refused);
		tell(WV_FIG_OTLP_LOGS_MISSED, c->missed, &t->missed);
		tell(WV_FIG_OTLP_LOGS_FAILURES, c->failures, &t->failures);
		return;
	}
	tell(WV_FIG_OTLP_TRACES_SENT, c->sent, &t->sent);
	tell(WV_FIG_OTLP_TRACES_REJECTED, c->rejected, &t->rejected);
	tell(WV_FIG_OTLP_TRACES_REFUSED, c->refused, &t->refused);
	tell(WV_FIG_OTLP_TRACES_MISSED, c->missed, &t->missed);
	tell(WV_FIG_OTLP_TRACES_FAILURES, c->failures, &t->failures);
	tell(WV_FIG_OTLP_TURNS_SENT, c->turns, &t->turns);
	tell(WV_FIG_OTLP_TURNS_DROPPED, turns->dropped + c->turns_dropped, &s->told_turns[0]);
	tell(WV_FIG_OTLP_TURNS_MISSED, missed, &s->told_turns[1]);
}

void wv_otlp_status_write(struct wv_otlp_status *s, const struct wv_otlp_pipe *pipes, unsigned n,
			  const struct wv_otlp_turn_list *turns, uint64_t missed)
{
	struct json_object *o, *t;
	const char *text;

	for (unsigned i = 0; i < n; i++)
		tell_figures(s, &pipes[i], turns, missed);
	if (s->dirfd < 0)
		return;
	o = json_object_new_object();
	json_object_object_add(o, "schema_version", json_object_new_int(SCHEMA_VERSION));
	json_object_object_add(o, "endpoint", json_object_new_string(s->config->otlp_endpoint));
	for (unsigned i = 0; i < n; i++) {
		const struct wv_otlp_pipe *p = &pipes[i];

		json_object_object_add(o, p->options.logs ? "logs" : "traces", signal_of(p));
		if (p->options.logs)
			continue;
		t = json_object_new_object();
		put(t, "seen", turns->seen);
		put(t, "sent", p->counts.turns);
		put(t, "dropped", turns->dropped + p->counts.turns_dropped);
		put(t, "missed", missed);
		json_object_object_add(o, "turns", t);
	}
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text && (!s->last || strcmp(text, s->last) != 0) &&
	    wv_io_replace(&wv_io_system, s->dirfd, WV_OTLP_STATUS_FILE, text, strlen(text), 0640) ==
		    0) {
		free(s->last);
		s->last = strdup(text);
	}
	json_object_put(o);
}

void wv_otlp_status_close(struct wv_otlp_status *s)
{
	wv_closep(&s->dirfd);
	free(TAKE_PTR(s->last));
}

struct json_object *wv_otlp_status_read(const struct wv_paths *paths)
{
	_cleanup_free_ char *text = NULL;
	char path[WV_PATH_SIZE + 32];

	snprintf(path, sizeof(path), "%s/" WV_OTLP_STATUS_FILE, paths->runtime);
	if (wv_io_read_file(&wv_io_system, AT_FDCWD, path, FILE_MAX_BYTES, &text, NULL) < 0)
		return NULL;
	return json_tokener_parse(text);
}

static uint64_t get(struct json_object *o, const char *signal, const char *key)
{
	struct json_object *of, *v;

	return json_object_object_get_ex(o, signal, &of) && json_object_object_get_ex(of, key, &v)
		       ? json_object_get_uint64(v)
		       : 0;
}

static void print_signal(FILE *f, struct json_object *o, const char *signal, bool first)
{
	struct json_object *of, *error;

	if (!json_object_object_get_ex(o, signal, &of))
		return;
	fprintf(f,
		"%-10s %s: %" PRIu64 " sent, %" PRIu64 " rejected, %" PRIu64 " refused, %" PRIu64
		" missed",
		first ? "otlp" : "", signal, get(o, signal, "sent"), get(o, signal, "rejected"),
		get(o, signal, "refused"), get(o, signal, "missed"));
	if (json_object_object_get_ex(of, "error", &error) && *json_object_get_string(error))
		fprintf(f, "  ** %s (%" PRIu64 " failures) **", json_object_get_string(error),
			get(o, signal, "failures"));
	fputc('\n', f);
}

void wv_otlp_status_print(FILE *f, struct json_object *o)
{
	print_signal(f, o, "traces", true);
	print_signal(f, o, "logs", !json_object_object_get_ex(o, "traces", NULL));
	if (get(o, "turns", "dropped") || get(o, "turns", "missed"))
		fprintf(f, "%-10s turns: %" PRIu64 " dropped, %" PRIu64 " missed\n", "",
			get(o, "turns", "dropped"), get(o, "turns", "missed"));
}
