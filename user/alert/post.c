// SPDX-License-Identifier: GPL-2.0-only
#include "user/alert/post.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/alert/render.h"
#include "user/alert/sender.h"
#include "user/alert/state.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/event.h"

#define SECOND 1000000000ULL

static const char *name_of(const struct wv_alert_post *p, unsigned sink)
{
	return p->book->config->alerts[sink].name;
}

/* Dead letters -------------------------------------------------------------------------------- */

static void record_dead(struct wv_alert_post *p, unsigned sink, size_t n, const char *why)
{
	const struct wv_tlog_options none = {.key = NULL};
	struct json_object *o = json_object_new_object();
	struct wv_tlog *l;
	int r = wv_tlog_open(&l, p->io, p->state, &none, NULL);

	if (r < 0) {
		json_object_put(o);
		(void)wv_log_errno(r, "alert", "a dead letter is not recorded");
		return;
	}
	json_object_object_add(o, "sink", json_object_new_string(name_of(p, sink)));
	json_object_object_add(o, "alerts", json_object_new_uint64(n));
	json_object_object_add(o, "why", json_object_new_string(why));
	r = wv_event(l, p->io, p->run_id, "alert-dead-letter", o, true, NULL);
	wv_tlog_close(l);
	if (r < 0)
		(void)wv_log_errno(r, "alert", "a dead letter is not recorded");
}

static char *dead_lines(struct wv_alert_post *p, unsigned sink, const struct wv_alert_told *told,
			size_t n, const char *why, size_t *ret_len)
{
	uint64_t wall_ns = p->io->wall_ns(p->io->ctx);
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	for (size_t i = 0; f && i < n; i++)
		for (size_t k = 0; k < p->book->n; k++) {
			const struct wv_alert *x = &p->book->list[k];
			struct json_object *o;

			if (x->fingerprint != told[i].fingerprint)
				continue;
			o = json_object_new_object();
			json_object_object_add(o, "buried_wall_ns",
					       json_object_new_uint64(wall_ns));
			json_object_object_add(o, "sink", json_object_new_string(name_of(p, sink)));
			json_object_object_add(o, "why", json_object_new_string(why));
			json_object_object_add(o, "alert", wv_alert_json(p->book, x));
			fprintf(f, "%s\n",
				json_object_to_json_string_ext(
					o,
					JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
			json_object_put(o);
			break;
		}
	if (!f || fclose(f) != 0)
		return NULL;
	return text;
}

/* They are kept where people can look, and nobody is told of them any more. 0 or -errno: they are
 * still to be told. */
static int bury(struct wv_alert_post *p, unsigned sink, uint64_t key,
		const struct wv_alert_told *told, size_t n, const char *why)
{
	_cleanup_free_ char *lines = NULL;
	size_t len = 0;
	int r;

	lines = dead_lines(p, sink, told, n, why, &len);
	r = lines ? wv_alert_bury(p->io, p->dirfd, name_of(p, sink),
				  p->book->config->alerts[sink].dead_letter_bytes, lines, len)
		  : -ENOMEM;
	if (r < 0)
		return wv_log_errno(r, "alert", "dead letters of %s", name_of(p, sink));
	(void)wv_log_full(LOG_ERR, 0, "alert",
			  "%s: %zu alert(s) could not be delivered and are in dead-%s.jsonl: %s",
			  name_of(p, sink), n, name_of(p, sink), why);
	record_dead(p, sink, n, why);
	p->book->sinks[sink].dead += n;
	wv_alert_done(p->book, sink, key, told, n, false, (int64_t)p->io->mono_ns(p->io->ctx));
	return 0;
}

/* Sending ------------------------------------------------------------------------------------- */

static struct wv_alert_told *told_of(const struct wv_alerts *a, const struct wv_alert_message *m)
{
	struct wv_alert_told *told = calloc(m->n, sizeof(*told));

	for (size_t i = 0; told && i < m->n; i++)
		told[i] = (struct wv_alert_told){a->list[m->alerts[i]].fingerprint,
						 a->list[m->alerts[i]].ends_ns != 0};
	return told;
}

static int send_one(struct wv_alert_post *p, const struct wv_alert_message *m)
{
	uint64_t random = 0, key = p->book->groups[m->group].key;
	struct wv_alert_told *told = told_of(p->book, m);
	_cleanup_free_ char *bytes = NULL;
	size_t len;
	int r;

	(void)p->io->random(p->io->ctx, &random, sizeof(random));
	if (!told)
		return -ENOMEM;
	if (m->expired) {
		const char *error = p->book->sinks[m->sink].error;

		r = bury(p, m->sink, key, told, m->n, *error ? error : "it took too long");
		free(told);
		if (r < 0)
			wv_alert_failed(p->book, m->sink, 60 * SECOND, random,
					(int64_t)p->io->mono_ns(p->io->ctx));
		return 0;
	}
	bytes = wv_alert_render(p->book, m, p->io->wall_ns(p->io->ctx), random, &len);
	if (!bytes || len > WV_ALERT_MESSAGE_MAX) {
		free(told);
		return -ENOMEM;
	}
	r = wv_alert_sender_put(p->sender, m->sink, bytes, len);
	if (r < 0) {
		free(told);
		return r;
	}
	p->under_way[m->sink].told = told;
	p->under_way[m->sink].n = m->n;
	p->under_way[m->sink].key = key;
	p->book->sinks[m->sink].busy = true;
	return 0;
}

int wv_alert_post_due(struct wv_alert_post *p, int64_t *ret_wait_ns)
{
	int64_t wait, soonest = 60 * (int64_t)SECOND;

	for (unsigned i = 0; i < p->book->config->n_alerts; i++) {
		struct wv_alert_message m;
		int r = wv_alert_next(p->book, i, (int64_t)p->io->mono_ns(p->io->ctx), &m, &wait);

		if (r > 0) {
			r = send_one(p, &m);
			free(m.alerts);
			wait = 0;
		}
		if (r == -EPIPE)
			return r;
		if (r < 0)
			(void)wv_log_warn(r, "alert", "%s", name_of(p, i));
		soonest = wait < soonest ? wait : soonest;
	}
	*ret_wait_ns = soonest;
	return 0;
}

static void take_answer(struct wv_alert_post *p, const struct wv_alert_answer *answer)
{
	unsigned sink = answer->sink;
	struct wv_alert_sink *s = &p->book->sinks[sink];
	struct wv_alert_told *told = TAKE_PTR(p->under_way[sink].told);
	int64_t now_ns = (int64_t)p->io->mono_ns(p->io->ctx);
	uint64_t key = p->under_way[sink].key, random = 0;
	size_t n = p->under_way[sink].n;

	s->busy = false;
	p->book->dirty = true;
	(void)p->io->random(p->io->ctx, &random, sizeof(random));
	if (answer->result == WV_ALERT_SENT) {
		if (s->failed)
			wv_log_info("alert", "%s takes messages again", name_of(p, sink));
		s->sent++;
		s->sent_wall_ns = p->io->wall_ns(p->io->ctx);
		wv_alert_done(p->book, sink, key, told, n, true, now_ns);
		free(told);
		return;
	}
	snprintf(s->error, sizeof(s->error), "%s", answer->why);
	s->error_wall_ns = p->io->wall_ns(p->io->ctx);
	if (!s->failed)
		(void)wv_log_warn(0, "alert", "%s: %s; it is tried again", name_of(p, sink),
				  answer->why);
	wv_alert_failed(p->book, sink, answer->retry_after_s * SECOND, random, now_ns);
	if (answer->result == WV_ALERT_REFUSED)
		(void)bury(p, sink, key, told, n, answer->why);
	free(told);
}

int wv_alert_post_answers(struct wv_alert_post *p)
{
	struct wv_alert_answer answer;
	int r;

	while ((r = wv_alert_sender_get(p->sender, &answer)) > 0) {
		if (answer.sink >= p->book->config->n_alerts || !p->under_way[answer.sink].told)
			return -EPIPE;
		take_answer(p, &answer);
	}
	return r;
}

bool wv_alert_post_busy(const struct wv_alert_post *p)
{
	for (unsigned i = 0; i < WV_ALERT_SINKS_MAX; i++)
		if (p->under_way[i].told)
			return true;
	return false;
}

void wv_alert_post_done(struct wv_alert_post *p)
{
	for (unsigned i = 0; i < WV_ALERT_SINKS_MAX; i++)
		free(TAKE_PTR(p->under_way[i].told));
}
