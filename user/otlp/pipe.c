// SPDX-License-Identifier: GPL-2.0-only
#include "user/otlp/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/paths.h"
#include "user/evidence/tlog.h"

#define BACKOFF_MIN_NS 1000000000ULL
#define BACKOFF_MAX_NS 60000000000ULL
#define RETRY_AFTER_MAX_S 3600
/* A cursor over records that gave nothing to send is kept so often: it costs two writes. */
#define IDLE_RECORDS 1000
/* What the buffer of a request may keep between requests. */
#define KEEP_BYTES (64U << 10)
/* So far back from the log's end the beginning of the run is looked for. */
#define FIRST_BACK 2000

static const char *name(const struct wv_otlp_pipe *p)
{
	return p->options.logs ? "otlp-logs" : "otlp-traces";
}

/* Folds what was delivered but belongs to traces that go on. */
static int restore(struct wv_otlp_pipe *p, uint64_t upto)
{
	struct wv_otlp_record r;
	struct wv_otlp_where where;
	const char *line;
	uint64_t seq;
	size_t len;
	int e;

	while ((e = wv_follow_next(p->open, &seq, &line, &len)) == 1 && seq <= upto) {
		if (wv_otlp_record_parse(&r, seq, line, len) < 0)
			continue;
		wv_otlp_track(p->tracker, &r, NULL, NULL, &where);
		json_object_put(r.o);
	}
	wv_follow_rewind(p->open); /* gives its reader back */
	return e < 0 ? e : 0;
}

static void close_log(struct wv_otlp_pipe *p)
{
	wv_follow_close(TAKE_PTR(p->follow));
	wv_follow_close(TAKE_PTR(p->open));
	wv_otlp_tracker_free(TAKE_PTR(p->tracker));
}

/* As after a restart: everything behind the cursor again. */
static int open_log(struct wv_otlp_pipe *p)
{
	const struct wv_otlp_pipe_options *o = &p->options;
	char open[32];
	int r;

	close_log(p);
	snprintf(open, sizeof(open), "%s-open", name(p));
	p->missed = 0;
	p->tracker = wv_otlp_tracker_new();
	if (!p->tracker)
		return -ENOMEM;
	r = wv_follow_open(&p->follow, o->io, o->state, name(p), o->first);
	if (r == 0)
		r = wv_follow_open(&p->open, o->io, o->state, open, wv_follow_kept(p->follow) + 1);
	if (r == 0)
		r = restore(p, wv_follow_kept(p->follow));
	if (r < 0)
		close_log(p);
	return r;
}

int wv_otlp_pipe_open(struct wv_otlp_pipe *p, const struct wv_otlp_pipe_options *options)
{
	*p = (struct wv_otlp_pipe){
		.options = *options, .body = {.max = WV_OTLP_BODY_MAX}, .limit = options->batch};
	return open_log(p);
}

void wv_otlp_pipe_close(struct wv_otlp_pipe *p)
{
	close_log(p);
	wv_text_done(&p->body);
}

/* Requests ------------------------------------------------------------------------------------ */

static void start_body(struct wv_otlp_pipe *p)
{
	if (p->body.cap > KEEP_BYTES)
		wv_text_done(&p->body);
	p->body.max = WV_OTLP_BODY_MAX;
	p->body.len = 0;
	p->body.error = 0;
	p->items = 0;
	p->records = p->turns = 0;
	p->seq = 0;
	wv_otlp_request(&p->writer, p->options.encoding, &p->body, p->options.resource,
			p->options.logs);
}

static void on_span(void *ctx, const struct wv_otlp_span *s)
{
	struct wv_otlp_pipe *p = ctx;

	wv_otlp_write_span(&p->writer, s);
	p->items++;
}

/* An event of the turn in which a decision was taken or a chain begun. */
static void note_turn(struct wv_otlp_pipe *p, const struct wv_otlp_record *r,
		      const struct wv_otlp_where *where)
{
	struct wv_otlp_record cause = *r;

	if (!p->options.turns || strcmp(r->run_id, p->options.run_id) != 0)
		return;
	if (strcmp(r->type, "decision") != 0 &&
	    (strcmp(r->type, "recovery") != 0 || !where->began ||
	     !json_object_object_get_ex(r->o, "cause", &cause.o)))
		return;
	if (wv_otlp_number(&cause, "sample_mono_ns"))
		wv_otlp_turns_note(p->options.turns, wv_otlp_number(&cause, "sample_mono_ns"), r,
				   where);
}

static void take(struct wv_otlp_pipe *p, uint64_t seq, const char *line, size_t len,
		 uint64_t *ret_mono_ns)
{
	const struct wv_io *io = p->options.io;
	struct wv_otlp_where where;
	struct wv_otlp_record r;

	p->records++;
	p->seq = seq;
	if (wv_otlp_record_parse(&r, seq, line, len) < 0) {
		p->counts.unreadable++;
		return;
	}
	if (p->options.logs) {
		wv_otlp_track(p->tracker, &r, NULL, NULL, &where);
		wv_otlp_write_log(&p->writer, &r, where.known ? &where.ids : NULL,
				  io->wall_ns(io->ctx));
		p->items++;
	} else {
		wv_otlp_track(p->tracker, &r, on_span, p, &where);
		note_turn(p, &r, &where);
	}
	if (strcmp(r.run_id, p->options.run_id) == 0)
		*ret_mono_ns = r.mono_ns;
	json_object_put(r.o);
}

/* Records until there are enough. *ret_until: turns that ended by then have all their records read.
 */
static int read_records(struct wv_otlp_pipe *p, uint64_t *ret_until)
{
	const struct wv_io *io = p->options.io;
	uint64_t now = io->mono_ns(io->ctx), seq;
	const char *line;
	size_t len;
	int r = 1;

	while (p->records < p->limit && p->body.len < WV_OTLP_BODY_BYTES) {
		r = wv_follow_next(p->follow, &seq, &line, &len);
		if (r <= 0)
			break;
		take(p, seq, line, len, ret_until);
	}
	if (r == 0)
		*ret_until = now;
	return r < 0 ? r : 0;
}

static void keep_cursor(struct wv_otlp_pipe *p)
{
	uint64_t oldest;
	int r;

	if (!p->seq)
		return;
	p->counts.missed += wv_follow_missed(p->follow) - p->missed;
	p->missed = wv_follow_missed(p->follow);
	/* in this order: what lies between the two is folded twice, never missed */
	r = wv_follow_done(p->follow, p->seq);
	oldest = wv_otlp_tracker_oldest(p->tracker, p->seq + 1);
	if (r == 0 && oldest > 1)
		r = wv_follow_done(p->open, oldest - 1);
	if (r < 0)
		(void)wv_log_warn(r, "otlp", "keep the cursor %s", name(p));
}

int wv_otlp_fill(struct wv_otlp_pipe *p)
{
	uint64_t until = 0;
	int r;

	if (p->ready)
		return 1;
	r = p->follow ? 0 : open_log(p);
	if (r < 0)
		return r;
	start_body(p);
	r = read_records(p, &until);
	/* while it is looked for what is refused, no turn shall be lost with it */
	if (p->options.turns && p->limit == p->options.batch)
		p->turns =
			wv_otlp_turns_emit(p->options.turns, until, p->options.run_id, on_span, p);
	wv_otlp_request_end(&p->writer);
	if (p->body.error) {
		r = p->body.error;
		p->counts.turns_dropped += p->turns;
		close_log(p); /* opened again, behind the cursor */
		return r;
	}
	if (r < 0 && !p->items)
		return r;
	if (!p->items) {
		if (p->seq && p->seq - wv_follow_kept(p->follow) >= IDLE_RECORDS)
			keep_cursor(p);
		return 0;
	}
	p->ready = true;
	return 1;
}

/* Answers ------------------------------------------------------------------------------------- */

/* 1 s, doubled up to a minute, each time half of it earlier or later. */
static uint64_t backoff(const struct wv_otlp_pipe *p)
{
	const struct wv_io *io = p->options.io;
	uint64_t ns = BACKOFF_MIN_NS, random = 0;

	for (unsigned i = 1; i < p->failed && ns < BACKOFF_MAX_NS; i++)
		ns *= 2;
	if (ns > BACKOFF_MAX_NS)
		ns = BACKOFF_MAX_NS;
	(void)io->random(io->ctx, &random, sizeof(random));
	return ns / 2 + random % ns;
}

static void later(struct wv_otlp_pipe *p, const struct wv_otlp_answer *a)
{
	const struct wv_io *io = p->options.io;
	uint64_t after =
		a->retry_after_s < RETRY_AFTER_MAX_S ? a->retry_after_s : RETRY_AFTER_MAX_S;
	uint64_t wait;

	p->failed++;
	p->counts.failures++;
	wait = backoff(p);
	if (after * 1000000000ULL > wait) /* not all of them at that very moment */
		wait = after * 1000000000ULL + wait % BACKOFF_MIN_NS;
	p->retry_ns = io->mono_ns(io->ctx) + wait;
	if (p->failed == 1)
		(void)wv_log_full(LOG_WARNING, 0, "otlp", "%s: %s; tried again until it works",
				  name(p), p->error);
}

static void delivered(struct wv_otlp_pipe *p, const struct wv_otlp_answer *a)
{
	if (p->failed)
		wv_log_info("otlp", "%s: delivered again", name(p));
	p->failed = 0;
	p->retry_ns = 0;
	p->counts.rejected += a->rejected;
	p->counts.sent += p->items > a->rejected ? p->items - a->rejected : 0;
	p->counts.turns += p->turns;
	if (a->rejected && a->text[0])
		(void)wv_log_warn(0, "otlp", "%s: the receiver did not take %llu of %llu: %s",
				  name(p), (unsigned long long)a->rejected,
				  (unsigned long long)p->items, a->text);
	keep_cursor(p);
	p->limit = 2 * p->limit < p->options.batch ? 2 * p->limit : p->options.batch;
	p->ready = false;
}

/*
 * It will never take this request. What is wrong with it is one record: half of them are tried,
 * until it is alone.
 */
static void refused(struct wv_otlp_pipe *p)
{
	p->ready = false;
	p->failed = 0;
	p->retry_ns = 0;
	p->counts.turns_dropped += p->turns;
	if (p->records > 1) {
		p->limit = p->records / 2;
		close_log(p); /* opened again, behind the cursor */
		return;
	}
	p->counts.refused += p->records;
	if (p->records)
		(void)wv_log_warn(0, "otlp", "%s: record %llu is refused for good: %s", name(p),
				  (unsigned long long)p->seq, p->error);
	else
		(void)wv_log_warn(0, "otlp", "%s: turns are refused: %s", name(p), p->error);
	keep_cursor(p);
}

/*
 * Which answers mean that these bytes will never be taken. The specification would have everything
 * but 429, 502, 503 and 504 dropped; but what speaks of rights, of the address or of load is about
 * us and not about the records: it is mended, and then they go on.
 */
static bool is_refusal(long status)
{
	return status == 400 || status == 411 || status == 413 || status == 415 || status == 422 ||
	       status == 431;
}

void wv_otlp_answered(struct wv_otlp_pipe *p, const struct wv_otlp_answer *a)
{
	p->counts.requests++;
	if (!a->error && a->status >= 200 && a->status < 300) {
		p->error[0] = '\0';
		delivered(p, a);
		return;
	}
	if (a->error)
		snprintf(p->error, sizeof(p->error), "%s", a->text);
	else
		snprintf(p->error, sizeof(p->error), "HTTP %ld%s%s", a->status,
			 a->text[0] ? ": " : "", a->text);
	if (!a->error && is_refusal(a->status))
		refused(p);
	else
		later(p, a);
}

/* Where to begin ------------------------------------------------------------------------------ */

/* Records ever, by the hashes of their lines. */
static uint64_t log_size(const struct wv_io *io, const char *state)
{
	char path[WV_PATH_SIZE + 32];
	uint64_t bytes = 0;
	int fd;

	if (snprintf(path, sizeof(path), "%s/" WV_TLOG_FOLDER "/" WV_TLOG_HASHES_NAME, state) >=
	    (int)sizeof(path))
		return 0;
	fd = io->open(io->ctx, AT_FDCWD, path, O_RDONLY, 0);
	if (fd < 0)
		return 0;
	if (io->size(io->ctx, fd, &bytes) < 0)
		bytes = 0;
	(void)io->close(io->ctx, fd);
	return bytes / WV_HASH_SIZE;
}

uint64_t wv_otlp_first(const struct wv_io *io, const char *state, const char *run_id)
{
	uint64_t size = log_size(io, state), seq, first = size + 1;
	struct wv_tlog_reader *reader;
	const char *line;
	char member[96];
	size_t len;

	if (wv_tlog_read_open(&reader, io, state, size > FIRST_BACK ? size - FIRST_BACK : 1) < 0)
		return first;
	snprintf(member, sizeof(member), "\"run_id\":\"%s\"", run_id);
	while (wv_tlog_read(reader, &seq, &line, &len) == 1)
		if (strstr(line, member)) {
			first = seq;
			break;
		}
	wv_tlog_read_close(reader);
	return first;
}
