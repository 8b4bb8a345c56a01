// SPDX-License-Identifier: GPL-2.0-only
/*
 * The spool's segments, an output's cursor, and the removal of what was delivered. After any power
 * cut the spool opens; a record that was taken in durably was delivered or will be, whole and in
 * order; none comes twice in one reading; and a number is never given to two records, of which the
 * destination may have seen one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scenario.h"
#include "user/spool/cursor.h"
#include "user/spool/store.h"

#define DIR "/simulated/spool"
#define CURSOR "out.cursor"
#define SEGMENT_BYTES 900
#define DEEDS 9
#define IDS 4096 /* records of one machine at most */

struct spool {
	int dir;
	struct wv_spool_store store;
	struct wv_cursor cursor;
};

static size_t text(uint64_t n, char *buf, size_t size)
{
	size_t fill = (size_t)(n * 97 % 250), at;

	at = (size_t)snprintf(buf, size, "record %llu ", (unsigned long long)n);
	for (size_t i = 0; i < fill; i++)
		buf[at++] = (char)('a' + (i + n) % 26);
	buf[at++] = '\n';
	return at;
}

static int open_spool(struct wv_sim *s, struct spool *p)
{
	const struct wv_io *io = &s->io;
	int r = wv_io_mkdirs(io, DIR, 0700);

	p->dir = r < 0 ? r : io->open(io->ctx, AT_FDCWD, DIR, O_RDONLY | O_DIRECTORY, 0);
	if (p->dir < 0)
		return p->dir;
	r = wv_spool_store_open(&p->store, io, p->dir, SEGMENT_BYTES);
	if (r == 0) {
		r = wv_cursor_load(&p->cursor, io, p->dir, CURSOR);
		if (r == -ENOENT) {
			p->cursor = (struct wv_cursor){.pos = {wv_spool_store_oldest(&p->store),
							       WV_SPOOL_SEGMENT_HEADER, 0}};
			r = 0;
		}
		if (r < 0)
			wv_spool_store_close(&p->store);
	}
	if (r < 0) {
		(void)io->close(io->ctx, p->dir);
		return r;
	}
	wv_spool_store_not_before(&p->store, p->cursor.pos.seq);
	return 0;
}

static void close_spool(struct wv_sim *s, struct spool *p)
{
	wv_spool_store_close(&p->store);
	(void)s->io.close(s->io.ctx, p->dir);
}

/* A frame of some records, as the writer does it: what fails is appended again, some times. */
static void take_in(struct wv_sim *s, struct spool *p)
{
	uint8_t buf[WV_FRAME_HEADER + 2048];
	struct wv_frame f = {.type = WV_FRAME_LINES, .name_len = 2, .wall_ns = 5};
	uint64_t first = wv_sim_greatest(s, "record", false) + 1;
	unsigned n = 1 + (unsigned)wv_sim_pick(s, 3);
	bool durable = false;

	if (first + n >= IDS)
		return;
	memcpy(buf + WV_FRAME_HEADER, "in", 2);
	f.len = 2;
	for (unsigned i = 0; i < n; i++) {
		f.len += (uint32_t)text(first + i, (char *)buf + WV_FRAME_HEADER + f.len, 512);
		wv_sim_try(s, "record", first + i);
	}
	f.count = n;
	for (unsigned i = 0; i < 3 && !durable; i++) {
		/* what was not acknowledged may come twice: at least once, never not at all */
		for (unsigned k = 0; i > 0 && k < n; k++)
			wv_sim_try(s, "again", first + k);
		durable = wv_spool_store_append(&p->store, &f, buf) == 0 &&
			  wv_spool_store_sync(&p->store) == 0;
	}
	for (unsigned i = 0; durable && i < n; i++)
		wv_sim_ack(s, "record", first + i);
}

struct reading {
	struct wv_sim *s;
	bool deliver;
	uint64_t last_n, last_seq;
	char *why;
	size_t size;
};

/* A record that comes out: one that was put in, behind the one before it. */
static int on_record(struct reading *x, uint64_t seq, const char *line, size_t len)
{
	char want[512];
	unsigned long long n;

	bool again = sscanf(line, "record %llu ", &n) == 1 && n <= x->last_n &&
		     wv_sim_told(x->s, "again", n, false);

	if (sscanf(line, "record %llu ", &n) != 1 || (n <= x->last_n && !again) ||
	    n > wv_sim_greatest(x->s, "record", false) || text(n, want, sizeof(want)) != len + 1 ||
	    memcmp(want, line, len) != 0 || seq <= x->last_seq) {
		snprintf(x->why, x->size,
			 "number %llu after %llu is no record that was next: %.60s",
			 (unsigned long long)seq, (unsigned long long)x->last_seq, line);
		return -1;
	}
	for (size_t i = 0; i < x->s->n_facts; i++) {
		const struct wv_sim_fact *f = &x->s->facts[i];

		if (strcmp(f->what, "delivered") == 0 && f->n / IDS == seq && f->n % IDS != n) {
			snprintf(x->why, x->size,
				 "number %llu was given to record %llu and to %llu",
				 (unsigned long long)seq, (unsigned long long)(f->n % IDS), n);
			return -1;
		}
	}
	for (uint64_t i = x->last_n + 1; x->last_n && i < n; i++)
		if (wv_sim_told(x->s, "record", i, true)) {
			snprintf(x->why, x->size, "record %llu was taken in and does not come out",
				 (unsigned long long)i);
			return -1;
		}
	x->last_n = again ? x->last_n : n;
	x->last_seq = seq;
	/* the destination has it, whatever becomes of us */
	if (x->deliver)
		wv_sim_ack(x->s, "delivered", seq * IDS + n);
	return 0;
}

/* From the cursor to the end of what is durable. 0, -errno of a read, or -1 with why. */
static int read_all(struct spool *p, struct reading *x, struct wv_pos *ret_end)
{
	struct wv_pos limit = p->store.durable, at;
	struct wv_reader r;
	struct wv_frame f;
	int e = wv_reader_init(&r, &x->s->io, p->dir, p->cursor.pos);

	if (e < 0)
		return e;
	while ((e = wv_reader_next(&r, &limit, wv_spool_store_oldest(&p->store), &f, &at)) == 1) {
		const char *line;
		size_t pos = 0, len;

		for (uint64_t seq = f.seq; wv_frame_next(&f, &pos, &line, &len); seq++)
			if (seq >= at.seq && on_record(x, seq, line, len) < 0)
				e = -1;
		if (e < 0)
			break;
	}
	*ret_end = r.pos;
	wv_reader_done(&r);
	return e;
}

static void deliver(struct wv_sim *s, struct spool *p)
{
	char why[256] = "";
	struct reading x = {.s = s, .deliver = true, .why = why, .size = sizeof(why)};
	struct wv_pos end;

	if (read_all(p, &x, &end) < 0)
		return;
	p->cursor.pos = end;
	if (wv_cursor_save(&p->cursor, &s->io, p->dir, CURSOR) == 0)
		(void)wv_spool_store_trim(&p->store, p->cursor.pos.segment);
}

static void work(struct wv_sim *s, struct spool *p, unsigned deeds)
{
	for (unsigned i = 0; i < deeds; i++) {
		if (wv_sim_pick(s, 4))
			take_in(s, p);
		else
			deliver(s, p);
	}
}

static int run(struct wv_sim *s)
{
	struct spool p;

	if (open_spool(s, &p) < 0)
		return 0;
	work(s, &p, DEEDS);
	close_spool(s, &p);
	return 0;
}

static bool was_delivered(const struct wv_sim *s, uint64_t n)
{
	for (size_t i = 0; i < s->n_facts; i++)
		if (strcmp(s->facts[i].what, "delivered") == 0 && s->facts[i].n % IDS == n)
			return true;
	return false;
}

static int check(struct wv_sim *s, char *why, size_t size)
{
	struct reading x = {.s = s, .why = why, .size = size};
	uint64_t promised = wv_sim_greatest(s, "record", true);
	struct wv_pos end;
	struct spool p;
	int r = open_spool(s, &p);

	if (r < 0) {
		snprintf(why, size, "cannot be opened: %s", strerror(-r));
		return -1;
	}
	r = read_all(&p, &x, &end);
	if (r < 0 && !why[0])
		snprintf(why, size, "cannot be read: %s", strerror(-r));
	/* what is neither before the cursor and delivered nor read now is lost */
	for (uint64_t n = promised; r == 0 && n > 0; n--) {
		if (!wv_sim_told(s, "record", n, true) || was_delivered(s, n))
			continue;
		if (n > x.last_n) {
			snprintf(why, size, "record %llu was taken in, the last one is %llu",
				 (unsigned long long)n, (unsigned long long)x.last_n);
			r = -1;
		}
	}
	if (r == 0)
		work(s, &p, 2);
	close_spool(s, &p);
	return r;
}

const struct wv_sim_scenario wv_sim_spool = {
	.name = "spool",
	.what = "the log spooler: segments, cursor of an output, removal of what was delivered",
	.run = run,
	.check = check,
	.finds = WV_SIM_FINDS(NO_FILE_SYNC) | WV_SIM_FINDS(NO_DIR_SYNC) |
		 WV_SIM_FINDS(EARLY_RENAME) | WV_SIM_FINDS(EARLY_ACK),
};
