// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections and standard input. With newline framing bytes go from the socket into the chunk that
 * is written to disk; only the end of the last line, which is not whole yet, is moved to the next.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/spool/intake.h"

/* Reads of one stream before the others have their turn. */
#define READS_AT_ONCE 32
/* A chunk with less room than this is handed on. */
#define ROOM_MIN (64U << 10)

static void pause_reading(struct wv_stream *st)
{
	st->paused = true;
	(void)sd_event_source_set_enabled(st->source, SD_EVENT_OFF);
}

/* False: there is no room, it is held and reading pauses. */
static bool submit(struct wv_stream *st, struct wv_chunk *c)
{
	c->conn = st->id;
	if (!c->frame.count) {
		wv_chunk_recycle(st->input->spool, c);
		return true;
	}
	st->submitted += c->frame.count;
	if (wv_chunk_submit(st->input->spool, c))
		return true;
	st->submitted -= c->frame.count;
	st->held = c;
	pause_reading(st);
	return false;
}

static bool need_chunk(struct wv_stream *st, enum wv_frame_type type)
{
	if (!st->chunk) {
		st->chunk = wv_chunk_new(st->input->spool, st->input->index);
		if (st->chunk)
			st->chunk->frame.type = (uint8_t)type;
	}
	return st->chunk;
}

/* The end of a line that has none: of the stream, or of what fits. */
static void end_line(struct wv_chunk *c)
{
	if (c->used && c->records[c->used - 1] != '\n')
		c->records[c->used++] = '\n';
}

/* Hands on the whole lines of the chunk; the rest starts the next one. */
static bool pass_lines(struct wv_stream *st)
{
	struct wv_chunk *c = st->chunk, *next = NULL;
	const uint8_t *newline = memrchr(c->records, '\n', c->used);
	size_t whole = newline ? (size_t)(newline - c->records) + 1 : 0;

	if (!whole && c->used < WV_CHUNK_BYTES)
		return true;
	if (!whole) {
		st->input->spool->in[st->input->index].cut++;
		end_line(c);
		whole = c->used;
	}
	if (whole < c->used) {
		next = wv_chunk_new(st->input->spool, st->input->index);
		if (!next) {
			pause_reading(st);
			return false;
		}
		next->used = c->used - whole;
		memcpy(next->records, c->records + whole, next->used);
	}
	st->chunk = next;
	c->used = whole;
	c->frame.count = wv_count_lines(c->records, whole);
	return submit(st, c);
}

static ssize_t read_some(struct wv_stream *st, void *buf, size_t len)
{
	ssize_t n;

	do
		n = st->plain_fd ? read(st->fd, buf, len) : recv(st->fd, buf, len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (n <= 0) /* a connection that was reset has ended as well */
		st->eof = true;
	return n < 0 ? 0 : n;
}

/* One read. False: nothing more for now. */
static bool read_lines(struct wv_stream *st)
{
	struct wv_chunk *c;
	ssize_t n;

	if (!need_chunk(st, WV_FRAME_LINES))
		return false;
	c = st->chunk;
	n = read_some(st, c->records + c->used, WV_CHUNK_BYTES - c->used);
	if (n > 0) {
		c->used += (size_t)n;
		return WV_CHUNK_BYTES - c->used >= ROOM_MIN || pass_lines(st);
	}
	if (st->eof)
		end_line(c);
	(void)pass_lines(st);
	return false;
}

/* A message into the chunk of counted records. */
static bool add_counted(struct wv_stream *st, const char *p, size_t len)
{
	uint32_t le = htole32((uint32_t)len);
	struct wv_chunk *c;

	if (st->chunk && st->chunk->used + 4 + len > WV_CHUNK_BYTES + 4) {
		c = TAKE_PTR(st->chunk);
		if (!submit(st, c))
			return false;
	}
	if (!need_chunk(st, WV_FRAME_COUNTED))
		return false;
	c = st->chunk;
	memcpy(c->records + c->used, &le, 4);
	memcpy(c->records + c->used + 4, p, len);
	c->used += 4 + len;
	c->frame.count++;
	return true;
}

static bool pass_messages(struct wv_stream *st)
{
	size_t at = 0, used;
	struct wv_slice m;
	bool room = true;
	int r = 0;

	while (room && (r = wv_framing_next(st->framing, st->octets + at, st->n_octets - at,
					    st->eof, &m, &used)) == 1) {
		room = !m.n || add_counted(st, m.p, m.n);
		at += room ? used : 0;
	}
	if (room && r < 0) { /* where the next message starts is not known any more */
		size_t n = st->n_octets - at;

		st->input->spool->in[st->input->index].refused++;
		room = add_counted(st, st->octets + at,
				   n < WV_SPOOL_RECORD_MAX ? n : WV_SPOOL_RECORD_MAX);
		at = room ? st->n_octets : at;
		st->eof = true;
	}
	memmove(st->octets, st->octets + at, st->n_octets - at);
	st->n_octets -= at;
	return room;
}

static bool read_octets(struct wv_stream *st)
{
	struct wv_chunk *c;
	ssize_t n;

	if (!st->octets)
		st->octets = malloc(2 * WV_SPOOL_RECORD_MAX);
	if (!st->octets)
		return false;
	n = read_some(st, st->octets + st->n_octets, 2 * WV_SPOOL_RECORD_MAX - st->n_octets);
	if (n > 0)
		st->n_octets += (size_t)n;
	if (!pass_messages(st))
		return false;
	if (n > 0 && !st->eof)
		return true;
	c = TAKE_PTR(st->chunk);
	if (c)
		(void)submit(st, c);
	return false;
}

/* RFC 6587: a connection that starts with a digit counts octets. */
static bool choose_framing(struct wv_stream *st)
{
	char first;
	ssize_t n;

	if (st->framing != WV_FRAMING_AUTO)
		return true;
	n = recv(st->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0) {
		st->eof = n == 0 || (errno != EAGAIN && errno != EINTR);
		return false;
	}
	st->framing = first >= '1' && first <= '9' ? WV_FRAMING_OCTET : WV_FRAMING_NEWLINE;
	return true;
}

static void read_stream(struct wv_stream *st)
{
	bool more = choose_framing(st);

	for (int i = 0; more && !st->held && i < READS_AT_ONCE; i++) {
		if (wv_spool_is_busy(st->input->spool)) {
			pause_reading(st);
			return;
		}
		more = st->framing == WV_FRAMING_OCTET ? read_octets(st) : read_lines(st);
	}
}

/* Whether all it brought is durable, so that nobody waits for an answer any more. */
static bool is_over(const struct wv_stream *st)
{
	return st->eof && !st->held && !st->chunk && !st->n_octets && st->settled == st->submitted;
}

static void end_if_over(struct wv_stream *st)
{
	if (st->eof)
		(void)sd_event_source_set_enabled(st->source, SD_EVENT_OFF);
	if (!is_over(st))
		return;
	if (st->plain_fd)
		st->input->ended = true;
	else
		wv_stream_free(st);
}

static int on_readable(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_,
		       void *userdata)
{
	struct wv_stream *st = userdata;

	read_stream(st);
	end_if_over(st);
	return 0;
}

/* Standard input is a file: always readable. */
static int on_defer(sd_event_source *source _unused_, void *userdata)
{
	return on_readable(NULL, -1, 0, userdata);
}

void wv_stream_go_on(struct wv_stream *st)
{
	struct wv_chunk *held = TAKE_PTR(st->held);

	if (held && !submit(st, held))
		return;
	if (st->paused && !wv_spool_is_busy(st->input->spool)) {
		st->paused = false;
		(void)sd_event_source_set_enabled(st->source, SD_EVENT_ON);
		/* what was read before it paused, and the end that it may have had */
		if (st->eof || st->n_octets)
			read_stream(st);
	}
	end_if_over(st);
}

void wv_stream_finish(struct wv_stream *st)
{
	struct wv_chunk *c;

	(void)sd_event_source_set_enabled(st->source, SD_EVENT_OFF);
	c = TAKE_PTR(st->held);
	if (c && !wv_chunk_submit(st->input->spool, c))
		wv_chunk_recycle(st->input->spool, c);
	c = TAKE_PTR(st->chunk);
	if (!c)
		return;
	if (c->frame.type == WV_FRAME_LINES) {
		end_line(c);
		c->frame.count = wv_count_lines(c->records, c->used);
	}
	c->conn = st->id;
	if (!c->frame.count || !wv_chunk_submit(st->input->spool, c))
		wv_chunk_recycle(st->input->spool, c);
}

void wv_stream_free(struct wv_stream *st)
{
	struct wv_stream **p = &st->input->streams;

	while (*p && *p != st)
		p = &(*p)->next;
	if (*p)
		*p = st->next;
	st->input->n_streams--;
	sd_event_source_disable_unref(st->source);
	if (!st->plain_fd)
		close(st->fd);
	free(st->octets);
	wv_chunk_recycle(st->input->spool, st->chunk);
	wv_chunk_recycle(st->input->spool, st->held);
	free(st);
}

int wv_stream_new(struct wv_input *in, int fd, bool plain_fd)
{
	struct wv_stream *st = calloc(1, sizeof(*st));
	int r;

	if (!st)
		return -ENOMEM;
	*st = (struct wv_stream){.input = in,
				 .id = ++in->next_id,
				 .fd = fd,
				 .plain_fd = plain_fd,
				 .framing = plain_fd ? WV_FRAMING_NEWLINE
						     : (enum wv_framing)in->config->framing,
				 .next = in->streams};
	r = sd_event_add_io(in->loop, &st->source, fd, EPOLLIN, on_readable, st);
	if (r == -EPERM && plain_fd) {
		r = sd_event_add_defer(in->loop, &st->source, on_defer, st);
		if (r >= 0)
			r = sd_event_source_set_enabled(st->source, SD_EVENT_ON);
	}
	if (r < 0) {
		free(st);
		return r;
	}
	in->streams = st;
	in->n_streams++;
	return 0;
}
