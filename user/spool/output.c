// SPDX-License-Identifier: GPL-2.0-only
#include "user/spool/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"

/* How much is delivered twice after a crash, at most. */
#define SAVE_NS 500000000ULL
/* A record grows by its escapes and names: a batch holds one more beyond its size. */
#define BODY_SLACK (8U << 20)

enum wv_send wv_sink_failed(struct wv_sink *k, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(k->error, sizeof(k->error), format, ap);
	va_end(ap);
	return WV_SEND_RETRY;
}

/* What one batch holds. */
struct batch {
	struct wv_pos from, to;
	uint64_t records, gap, damaged, removed;
};

static bool is_stopping(void *ctx)
{
	struct wv_output *o = ctx;
	bool stop;

	pthread_mutex_lock(&o->spool->mutex);
	stop = o->spool->stop ||
	       (o->spool->drain_until_ns &&
		o->spool->io->mono_ns(o->spool->io->ctx) >= o->spool->drain_until_ns);
	o->spool->stop = stop;
	pthread_mutex_unlock(&o->spool->mutex);
	return stop;
}

/* Cursor ---------------------------------------------------------------------------------------
 */

static void lower_bound(struct wv_spool *s)
{
	uint64_t below = UINT64_MAX;

	for (size_t i = 0; i < s->n_outputs; i++)
		if (s->outputs[i] && s->outputs[i]->saved_segment < below)
			below = s->outputs[i]->saved_segment;
	s->saved_below = below == UINT64_MAX ? 0 : below;
}

static void save(struct wv_output *o)
{
	struct wv_spool *s = o->spool;
	int r = o->sink.ops->flush ? o->sink.ops->flush(&o->sink) : 0;
	bool is_full = false;

	if (r == 0) {
		r = wv_cursor_save(&o->cursor, s->io, s->dir, o->cursor_name);
		is_full = r == -ENOSPC || r == -EDQUOT;
	}
	o->saved_ns = s->io->mono_ns(s->io->ctx);
	if (r < 0 && !o->save_failed) /* it is delivered again then */
		(void)wv_log_errno(r, "spool", "%s: save the cursor of %s; trying again",
				   s->config->name, o->config->name);
	o->save_failed = o->dirty = r < 0;
	/* On a full disk, segments that are delivered make room for the cursor that says so, or it
	 * stays full for good. A crash in between counts them as dropped. */
	if (r < 0 && !is_full)
		return;
	pthread_mutex_lock(&s->mutex);
	o->saved_segment = o->cursor.pos.segment;
	lower_bound(s);
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->mutex);
}

static int load(struct wv_output *o)
{
	struct wv_spool *s = o->spool;
	struct wv_cursor *c = &o->cursor;
	int r = wv_cursor_load(c, s->io, s->dir, o->cursor_name);

	if (r == -EBADMSG)
		(void)wv_log_full(LOG_WARNING, 0, "spool",
				  "%s: the cursor of %s is damaged; all that is buffered is "
				  "delivered again",
				  s->config->name, o->config->name);
	else if (r != -ENOENT)
		return r;
	*c = (struct wv_cursor){0};
	c->pos = (struct wv_pos){wv_spool_store_oldest(&s->store), WV_SPOOL_SEGMENT_HEADER, 0};
	return 0;
}

/* A new output starts with the first record that is there. */
static int find_start(struct wv_output *o)
{
	struct wv_spool *s = o->spool;
	struct wv_cursor *c = &o->cursor;
	struct wv_frame f;
	struct wv_pos at = s->store.durable;
	int r;

	if (c->start_seq)
		return 0;
	r = wv_reader_next(&o->reader, &s->store.durable, c->pos.segment, &f, &at);
	if (r < 0)
		return r;
	c->start_seq = r ? f.seq : s->store.durable.seq;
	if (r)
		c->pos = (struct wv_pos){at.segment, at.offset, f.seq};
	else
		c->pos.seq = c->start_seq;
	wv_reader_seek(&o->reader, c->pos);
	o->reader.lost_damaged = o->reader.lost_removed = 0;
	return 0;
}

int wv_output_new(struct wv_output **ret, struct wv_spool *s,
		  const struct wv_spool_output_config *config)
{
	static const struct wv_sink_ops *const ops[] = {&wv_sink_file, &wv_sink_tls, &wv_sink_http};
	struct wv_output *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	*ret = o; /* wv_spool_close() frees it, whatever happens */
	o->spool = s;
	o->config = config;
	o->dead_dir = o->dead.fd = -1;
	o->encoder.format = (enum wv_spool_format)config->format;
	o->encoder.host = o->host;
	o->body.max = config->batch_bytes + BODY_SLACK;
	if (gethostname(o->host, sizeof(o->host) - 1) < 0)
		o->host[0] = '\0';
	snprintf(o->cursor_name, sizeof(o->cursor_name), "cursor-%s", config->name);
	r = load(o);
	if (r == 0)
		r = wv_reader_init(&o->reader, s->io, s->dir, o->cursor.pos);
	if (r == 0)
		r = find_start(o);
	o->saved_segment = o->cursor.pos.segment;
	o->sink = (struct wv_sink){.ops = ops[config->type],
				   .config = config,
				   .io = s->io,
				   .is_stopping = is_stopping,
				   .ctx = o};
	return r < 0 ? r : o->sink.ops->open(&o->sink);
}

uint64_t wv_output_seq(const struct wv_output *o)
{
	return o->cursor.pos.seq;
}

void wv_output_free(struct wv_output *o)
{
	if (!o)
		return;
	if (o->sink.ops)
		o->sink.ops->close(&o->sink);
	wv_output_dead_close(o);
	wv_reader_done(&o->reader);
	wv_text_done(&o->body);
	free(o);
}

/* Batches --------------------------------------------------------------------------------------
 */

static int32_t utc_offset(const struct wv_io *io)
{
	time_t now = (time_t)(io->wall_ns(io->ctx) / 1000000000);
	struct tm tm;

	return localtime_r(&now, &tm) ? (int32_t)tm.tm_gmtoff : 0;
}

/* What the reader found missing since the last look, as a record of its own. */
static void tell_losses(struct wv_output *o, struct batch *b)
{
	uint64_t now = o->spool->io->wall_ns(o->spool->io->ctx);

	if (o->reader.lost_damaged)
		wv_encode_loss(&o->encoder, &o->body, o->reader.lost_damaged,
			       "they did not survive on disk", now);
	if (o->reader.lost_removed)
		wv_encode_loss(&o->encoder, &o->body, o->reader.lost_removed,
			       "the buffer was full and the oldest made room", now);
	b->damaged += o->reader.lost_damaged;
	b->removed += o->reader.lost_removed;
	o->reader.lost_damaged = o->reader.lost_removed = 0;
}

/* Records of a frame from at->seq on; where it stopped is in *at. True: the batch is full. */
static bool add_frame(struct wv_output *o, struct batch *b, const struct wv_frame *f,
		      struct wv_pos *at)
{
	uint64_t seq = f->seq;
	size_t pos = 0, len;
	const char *text;

	if (f->type == WV_FRAME_GAP) {
		wv_encode_loss(&o->encoder, &o->body, f->seq + f->count - at->seq,
			       "the buffer was full", f->wall_ns);
		b->gap += f->seq + f->count - at->seq;
		return false;
	}
	wv_encode_frame(&o->encoder, f);
	while (seq < f->seq + f->count && wv_frame_next(f, &pos, &text, &len)) {
		if (seq++ < at->seq)
			continue;
		wv_encode_record(&o->encoder, &o->body, seq - 1, text, len);
		b->records++;
		if (o->body.len < o->config->batch_bytes)
			continue;
		at->seq = seq;
		return seq < f->seq + f->count;
	}
	/* a frame that says more records than it has: our own writer does not make such */
	b->damaged += f->seq + f->count - seq;
	return false;
}

static int build(struct wv_output *o, struct batch *b)
{
	struct wv_spool *s = o->spool;
	struct wv_frame f;
	struct wv_pos at;
	uint64_t oldest;
	struct wv_pos limit;
	int r = 1;

	pthread_mutex_lock(&s->mutex);
	limit = s->durable;
	oldest = s->oldest;
	pthread_mutex_unlock(&s->mutex);
	*b = (struct batch){.from = o->cursor.pos};
	wv_reader_seek(&o->reader, o->cursor.pos);
	o->body.len = 0;
	o->body.error = 0;
	o->encoder.utc_offset_s = utc_offset(s->io);
	wv_encode_begin(&o->encoder, &o->body);
	while (o->body.len < o->config->batch_bytes) {
		r = wv_reader_next(&o->reader, &limit, oldest, &f, &at);
		tell_losses(o, b);
		if (r <= 0)
			break;
		if (add_frame(o, b, &f, &at)) {
			wv_reader_seek(&o->reader, at);
			break;
		}
	}
	b->to = o->reader.pos;
	wv_encode_end(&o->encoder, &o->body);
	return o->body.error ?: r < 0 ? r : 0;
}

/* Delivering ------------------------------------------------------------------------------------
 */

/* Doubled with each failure, with jitter, so that many machines do not come back in step. */
static uint64_t backoff(struct wv_output *o)
{
	uint64_t wait = o->config->retry_min_ns, random = 0;

	for (unsigned i = 1; i < o->failures && wait < o->config->retry_max_ns; i++)
		wait *= 2;
	if (wait > o->config->retry_max_ns)
		wait = o->config->retry_max_ns;
	if (o->spool->io->random(o->spool->io->ctx, &random, sizeof(random)) < 0)
		random = 0;
	wait = wait / 2 + random % (wait / 2 + 1);
	return wait > o->sink.retry_after_ns ? wait : o->sink.retry_after_ns;
}

static void failed(struct wv_output *o, const char *error)
{
	struct wv_spool *s = o->spool;
	uint64_t until, now;

	pthread_mutex_lock(&s->mutex);
	o->failures += o->failures < 1000;
	pthread_mutex_unlock(&s->mutex);
	if (o->failures == 1)
		(void)wv_log_full(LOG_WARNING, 0, "spool", "%s: output %s: %s; trying again",
				  s->config->name, o->config->name, error);
	until = s->io->mono_ns(s->io->ctx) + backoff(o);
	pthread_mutex_lock(&s->mutex);
	o->errors++;
	snprintf(o->last_error, sizeof(o->last_error), "%s", error);
	while (!s->stop && (now = s->io->mono_ns(s->io->ctx)) < until)
		wv_spool_wait(&s->news, &s->mutex, until - now);
	pthread_mutex_unlock(&s->mutex);
}

/* Sends a batch until somebody has it. False: told to stop. */
static bool deliver(struct wv_output *o, const struct batch *b, bool *ret_dead)
{
	*ret_dead = false;
	while (!is_stopping(o)) {
		enum wv_send result;

		o->sink.retry_after_ns = o->sink.rejected = 0;
		o->sink.error[0] = '\0';
		result = o->sink.ops->send(&o->sink, o->body.data, o->body.len);
		if (result == WV_SEND_REFUSED) {
			int r = wv_output_bury(o, b->from, b->to);

			if (r == 0) {
				(void)wv_log_full(
					LOG_WARNING, 0, "spool",
					"%s: output %s refused %llu records: %s; they are in its "
					"dead letters",
					o->spool->config->name, o->config->name,
					(unsigned long long)b->records, o->sink.error);
				*ret_dead = true;
				return true;
			}
			wv_sink_failed(&o->sink, "dead letters: %s", strerror(-r));
		} else if (result == WV_SEND_OK) {
			if (o->failures)
				wv_log_info("spool", "%s: output %s works again after %u failures",
					    o->spool->config->name, o->config->name, o->failures);
			pthread_mutex_lock(&o->spool->mutex);
			o->failures = 0;
			pthread_mutex_unlock(&o->spool->mutex);
			return true;
		}
		failed(o, o->sink.error);
	}
	return false;
}

static void account(struct wv_output *o, const struct batch *b, bool dead)
{
	struct wv_spool *s = o->spool;
	struct wv_cursor *c = &o->cursor;

	pthread_mutex_lock(&s->mutex);
	*(dead ? &c->dead : &c->delivered) += b->records;
	c->rejected += dead ? 0 : o->sink.rejected;
	c->dropped_full += b->gap;
	c->dropped += b->removed;
	c->damaged += b->damaged;
	c->pos = b->to;
	o->batches++;
	o->bytes += o->body.len;
	if (dead)
		snprintf(o->last_error, sizeof(o->last_error), "%s", o->sink.error);
	pthread_mutex_unlock(&s->mutex);
	o->dirty = true;
}

/* Whether there is something to deliver; waits for it. False: the end. */
static bool wait_for_news(struct wv_output *o)
{
	struct wv_spool *s = o->spool;
	bool more;

	pthread_mutex_lock(&s->mutex);
	for (;;) {
		const struct wv_pos *p = &o->cursor.pos;

		more = s->durable.seq > p->seq;
		if (s->stop || more || (s->drain && s->ended))
			break;
		if (o->dirty) { /* nothing to do: the cursor can as well be saved */
			pthread_mutex_unlock(&s->mutex);
			save(o);
			pthread_mutex_lock(&s->mutex);
			if (!o->dirty)
				continue;
		}
		wv_spool_wait(&s->news, &s->mutex, SAVE_NS);
	}
	/* a small batch waits a little for more */
	if (more && !s->stop && !(s->drain && s->ended) && o->config->batch_wait_ns &&
	    s->durable.segment == o->cursor.pos.segment &&
	    s->durable.offset - o->cursor.pos.offset < o->config->batch_bytes) {
		uint64_t now, until = s->io->mono_ns(s->io->ctx) + o->config->batch_wait_ns;

		while (!s->stop && !(s->drain && s->ended) &&
		       s->durable.segment == o->cursor.pos.segment &&
		       s->durable.offset - o->cursor.pos.offset < o->config->batch_bytes &&
		       (now = s->io->mono_ns(s->io->ctx)) < until)
			wv_spool_wait(&s->news, &s->mutex, until - now);
	}
	more &= !s->stop;
	pthread_mutex_unlock(&s->mutex);
	return more;
}

static void *run(void *output)
{
	struct wv_output *o = output;
	struct wv_spool *s = o->spool;

	while (wait_for_news(o)) {
		struct batch b;
		bool dead = false;
		int r = build(o, &b);

		if (r < 0) { /* the disk does not read */
			failed(o, strerror(-r));
			continue;
		}
		if ((b.records || b.gap || b.damaged || b.removed) && !deliver(o, &b, &dead))
			break;
		account(o, &b, dead);
		if (s->io->mono_ns(s->io->ctx) - o->saved_ns > SAVE_NS)
			save(o);
	}
	if (o->dirty)
		save(o);
	return NULL;
}

int wv_output_start(struct wv_output *o)
{
	int r = -pthread_create(&o->thread, NULL, run, o);

	o->runs = r == 0;
	return r;
}

void wv_output_join(struct wv_output *o)
{
	if (o->runs)
		pthread_join(o->thread, NULL);
	o->runs = false;
}
