// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lines of a part of a file: which record each is. A line is the record that it says to be if its
 * hash is that record's leaf hash; nothing else is believed of it. Pieces are small enough to stay
 * in the cache between hashing and the check of their form.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <zstd.h>

#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"
#include "user/evidence/verify_internal.h"

#define READ_SIZE (256U << 10)

static int add_run(struct wv_part *p, enum wv_run_kind kind, uint64_t seq,
		   const struct wv_hash *leaf)
{
	struct wv_run *last = p->n_runs ? &p->runs[p->n_runs - 1] : NULL, *more;

	if (kind == WV_RUN_GOOD && last && last->kind == WV_RUN_GOOD && last->last + 1 == seq) {
		last->last = seq;
		return 0;
	}
	more = wv_grow(p->runs, &p->room, p->n_runs, sizeof(*more));
	if (!more)
		return -ENOMEM;
	p->runs = more;
	p->runs[p->n_runs++] = (struct wv_run){kind, seq, seq, *leaf};
	return 0;
}

/* Only of records whose leaf hash fits. */
static int note_retired(struct wv_part *p, const char *line, size_t len)
{
	_cleanup_free_ char *copy = strndup(line, len);
	struct json_object *o = copy ? json_tokener_parse(copy) : NULL, *first, *last;
	uint64_t a, b;
	int r = 0;

	if (json_object_object_get_ex(o, "first", &first) &&
	    json_object_object_get_ex(o, "last", &last)) {
		a = json_object_get_uint64(first);
		b = json_object_get_uint64(last);
		if (a && a <= b)
			r = wv_ranges_add(&p->retired, a, b);
	}
	json_object_put(o);
	return r;
}

static bool is_type(const struct wv_record_head *h, const char *type)
{
	return h->type && h->type_len == strlen(type) && memcmp(h->type, type, h->type_len) == 0;
}

static int on_line(struct wv_verify *v, struct wv_part *p, const char *line, size_t len)
{
	struct wv_record_head h;
	enum wv_run_kind kind = WV_RUN_BAD;
	struct wv_hash leaf;
	int form, r;

	wv_merkle_leaf(line, len, &leaf);
	form = wv_canonical_record(line, len, &h);
	if (form == -ENOMEM)
		return form;
	p->records++;
	if (h.seq && h.seq <= v->stored)
		kind = memcmp(&leaf, &v->leaves[h.seq - 1], sizeof(leaf)) == 0 ? WV_RUN_GOOD
									       : WV_RUN_BAD;
	else if (h.seq && form == 0)
		kind = WV_RUN_NEW;
	r = add_run(p, kind, h.seq, &leaf);
	if (r == 0 && kind == WV_RUN_GOOD && form < 0)
		r = wv_ranges_add(&p->odd, h.seq, h.seq);
	if (r == 0 && kind != WV_RUN_BAD &&
	    (is_type(&h, "segment-retired") || is_type(&h, "segments-retired")))
		r = note_retired(p, line, len);
	return r;
}

/* Whole lines of buf[0..len-1]; *ret_used: bytes up to behind the last newline. */
static int on_bytes(struct wv_verify *v, struct wv_part *p, const char *buf, size_t len,
		    size_t *ret_used)
{
	const char *line = buf, *end = buf + len, *newline;
	int r = 0;

	while (r == 0 && line < end && (newline = memchr(line, '\n', (size_t)(end - line)))) {
		r = on_line(v, p, line, (size_t)(newline - line));
		line = newline + 1;
	}
	*ret_used = (size_t)(line - buf);
	return r;
}

/* What is too long for a record is one line that is none. */
static int on_long(struct wv_part *p, const char *buf, size_t len)
{
	struct wv_hash leaf;

	wv_merkle_leaf(buf, len, &leaf);
	return add_run(p, WV_RUN_BAD, 0, &leaf);
}

/* Bytes of the file; fewer at its end. */
static ssize_t read_at(int fd, char *buf, size_t len, uint64_t off)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, buf + got, len - got, (off_t)(off + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* Where the first line begins that starts at or behind p->off. */
static int find_start(struct wv_part *p, int fd, char *buf, uint64_t *ret)
{
	uint64_t at = p->off - 1;
	char *newline;
	ssize_t n;

	for (;;) {
		n = read_at(fd, buf, READ_SIZE, at);
		if (n <= 0) {
			*ret = p->end;
			return (int)n;
		}
		newline = memchr(buf, '\n', (size_t)n);
		if (newline) {
			*ret = at + (uint64_t)(newline - buf) + 1;
			return 0;
		}
		at += (uint64_t)n;
	}
}

/* Lines that begin in off..end-1. */
static int read_plain(struct wv_verify *v, struct wv_part *p, int fd, char *buf)
{
	uint64_t at = p->off;
	size_t used, want;
	ssize_t n;
	int r = 0;

	if (at)
		r = find_start(p, fd, buf, &at);
	while (r == 0 && at < p->end) {
		/* a line that begins in the part may end behind it */
		want = p->end - at < READ_SIZE ? (size_t)(p->end - at) : READ_SIZE;
		n = read_at(fd, buf, want, at);
		if (n <= 0)
			return (int)n;
		r = on_bytes(v, p, buf, (size_t)n, &used);
		if (r == 0 && !used) {
			if ((size_t)n < READ_SIZE)
				n = read_at(fd, buf, READ_SIZE, at);
			if (n < 0)
				return (int)n;
			char *newline = memchr(buf, '\n', (size_t)n);

			used = newline ? (size_t)(newline - buf) + 1 : (size_t)n;
			if (newline)
				r = on_line(v, p, buf, used - 1);
			else if ((size_t)n == READ_SIZE)
				r = on_long(p, buf, used);
			else
				p->torn = true;
		}
		at += used;
		p->bytes += used;
	}
	return r;
}

struct unpack {
	ZSTD_DStream *z;
	char *in, *out;
	size_t in_size, out_size, have;
	uint64_t off;
	size_t left; /* 0: the frame has ended */
};

static int unpack_some(struct wv_verify *v, struct wv_part *p, struct unpack *u, size_t n)
{
	ZSTD_inBuffer in = {u->in, n, 0};
	ZSTD_outBuffer out;
	size_t used;
	int r = 0;

	while (r == 0) {
		out = (ZSTD_outBuffer){u->out, u->out_size, u->have};
		u->left = ZSTD_decompressStream(u->z, &out, &in);
		if (ZSTD_isError(u->left))
			return -EBADMSG;
		r = on_bytes(v, p, u->out, out.pos, &used);
		if (r == 0 && !used && out.pos == u->out_size) {
			r = on_long(p, u->out, out.pos);
			used = out.pos;
		}
		p->bytes += used;
		u->have = out.pos - used;
		memmove(u->out, u->out + used, u->have);
		/* room was left: the input is used up, and so is what was held back */
		if (out.pos < u->out_size && in.pos == in.size)
			break;
	}
	return r;
}

static int read_zst(struct wv_verify *v, struct wv_part *p, int fd, char *buf)
{
	struct unpack u = {.in_size = ZSTD_DStreamInSize(), .out = buf, .out_size = READ_SIZE};
	_cleanup_free_ char *in = malloc(u.in_size);
	ssize_t n = 1;
	int r = 0;

	u.in = in;
	u.left = 1;
	u.z = ZSTD_createDStream();
	if (!u.z || !in)
		r = -ENOMEM;
	while (r == 0) {
		n = read_at(fd, u.in, u.in_size, u.off);
		if (n <= 0)
			break;
		u.off += (uint64_t)n;
		r = unpack_some(v, p, &u, (size_t)n);
	}
	ZSTD_freeDStream(u.z);
	if (r == 0 && n < 0)
		r = (int)n;
	/* a segment ends with a whole line and a whole frame */
	return r == 0 && (u.left || u.have) ? -EBADMSG : r;
}

int wv_verify_part(struct wv_verify *v, size_t i)
{
	struct wv_part *p = &v->parts[i];
	_cleanup_close_ int fd = openat(v->dirfd, p->file->name, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *buf = malloc(READ_SIZE);

	if (!buf)
		return -ENOMEM;
	if (fd < 0)
		p->error = -errno;
	else
		p->error = p->file->zst ? read_zst(v, p, fd, buf) : read_plain(v, p, fd, buf);
	/* what is wrong with a file is a finding; only memory stops everything */
	return p->error == -ENOMEM ? -ENOMEM : 0;
}
