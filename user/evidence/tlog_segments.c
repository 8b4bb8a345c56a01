// SPDX-License-Identifier: GPL-2.0-only
/*
 * Closed segments: which there are, how the open one becomes one, and their compression. A segment
 * exists at every moment under at least one of its two names; where both are there, the plain one
 * counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "user/core/cleanup.h"
#include "user/core/sha256.h"
#include "user/evidence/event.h"
#include "user/evidence/tlog_internal.h"

#define PACK_NAME ".segment.zst.tmp"

const char *wv_segment_name(const struct wv_segment *s, bool zst, char buf[WV_SEGMENT_NAME_SIZE])
{
	snprintf(buf, WV_SEGMENT_NAME_SIZE, "%020" PRIu64 "-%020" PRIu64 ".jsonl%s", s->first,
		 s->last, zst ? ".zst" : "");
	return buf;
}

struct list {
	struct wv_segment *s;
	size_t n, room;
};

static bool parse_name(const char *name, struct wv_segment *ret, bool *ret_zst)
{
	char again[WV_SEGMENT_NAME_SIZE];

	*ret = (struct wv_segment){0};
	if (sscanf(name, "%20" SCNu64 "-%20" SCNu64, &ret->first, &ret->last) != 2)
		return false;
	*ret_zst = strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".zst") == 0;
	return ret->first && ret->first <= ret->last &&
	       strcmp(name, wv_segment_name(ret, *ret_zst, again)) == 0;
}

static int add_name(void *userdata, const char *name)
{
	struct list *list = userdata;
	struct wv_segment s, *more;
	bool zst;
	size_t i;

	if (!parse_name(name, &s, &zst))
		return 0;
	for (i = 0; i < list->n; i++)
		if (list->s[i].first == s.first && list->s[i].last == s.last)
			break;
	if (i == list->n) {
		if (list->n == list->room) {
			more = realloc(list->s, (list->room + 16) * 2 * sizeof(*more));
			if (!more)
				return -ENOMEM;
			list->s = more;
			list->room = (list->room + 16) * 2;
		}
		list->s[list->n++] = s;
	}
	list->s[i].plain |= !zst;
	list->s[i].zst |= zst;
	return 0;
}

static int by_first(const void *a, const void *b)
{
	const struct wv_segment *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->last > y->last) - (x->last < y->last);
}

int wv_segments_list(const struct wv_io *io, int dirfd, struct wv_segment **ret, size_t *ret_n)
{
	struct list list = {0};
	int r = io->list(io->ctx, dirfd, add_name, &list);

	if (r < 0) {
		free(list.s);
		return r;
	}
	if (list.n)
		qsort(list.s, list.n, sizeof(*list.s), by_first);
	for (size_t i = 0; i < list.n; i++) {
		char name[WV_SEGMENT_NAME_SIZE];
		int fd = io->open(io->ctx, dirfd,
				  wv_segment_name(&list.s[i], !list.s[i].plain, name), O_RDONLY, 0);

		if (fd < 0)
			continue; /* it went meanwhile */
		(void)io->size(io->ctx, fd, &list.s[i].bytes);
		(void)io->close(io->ctx, fd);
	}
	*ret = list.s;
	*ret_n = list.n;
	return 0;
}

/*
 * With everything synced. A crash after the rename leaves no open segment, which the next load
 * makes; the folder is synced in between, for a new file must not become durable in place of the
 * old one.
 */
int wv_tlog_rotate_locked(struct wv_tlog *l)
{
	struct wv_segment s = {.first = l->first, .last = l->tree.size};
	char name[WV_SEGMENT_NAME_SIZE];
	int r = wv_tlog_hashes_sync(l);

	if (r == 0)
		r = wv_tlog_tree_save(l);
	if (r == 0)
		r = wv_tlog_bump(l);
	if (r == 0)
		r = l->io->rename(l->io->ctx, l->dirfd, WV_TLOG_OPEN_NAME,
				  wv_segment_name(&s, false, name));
	if (r < 0)
		return r;
	(void)l->io->close(l->io->ctx, l->fd);
	l->fd = -1;
	l->first = l->tree.size + 1;
	l->len = l->begun_ns = 0;
	l->dir_dirty = true;
	r = wv_io_sync_dir(l->io, l->dirfd);
	return r ?: wv_tlog_open_segment(l);
}

int wv_tlog_tidy_lock(struct wv_tlog *l, bool wait)
{
	int fd = l->io->open(l->io->ctx, l->dirfd, WV_TLOG_TIDY_NAME, O_RDWR | O_CREAT,
			     WV_TLOG_MODE),
	    r;

	if (fd < 0)
		return fd;
	r = l->io->lock(l->io->ctx, fd, wait);
	if (r < 0) {
		(void)l->io->close(l->io->ctx, fd);
		return r;
	}
	return fd;
}

struct pack {
	const struct wv_io *io;
	int from, to;
	char *in, *out;
	size_t in_size, out_size;
	struct wv_sha256 plain, packed; /* of all that was read and written */
};

static int pack_stream(struct pack *p, int level)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	uint64_t off = 0;
	bool ended = false;
	int r = z ? 0 : -ENOMEM;

	if (r == 0) {
		(void)ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, level);
		(void)ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
	}
	while (r == 0 && !ended) {
		ssize_t n = p->io->pread(p->io->ctx, p->from, p->in, p->in_size, (off_t)off);
		ZSTD_inBuffer in = {p->in, n > 0 ? (size_t)n : 0, 0};
		size_t left;

		if (n == -EINTR)
			continue;
		if (n < 0) {
			r = (int)n;
			break;
		}
		off += (uint64_t)n;
		wv_sha256_add(&p->plain, p->in, (size_t)n);
		do {
			ZSTD_outBuffer out = {p->out, p->out_size, 0};

			left = ZSTD_compressStream2(z, &out, &in, n ? ZSTD_e_continue : ZSTD_e_end);
			if (ZSTD_isError(left))
				r = -EIO;
			else if (out.pos)
				r = wv_io_write_all(p->io, p->to, p->out, out.pos);
			wv_sha256_add(&p->packed, p->out, out.pos);
		} while (r == 0 && (n ? in.pos < in.size : left != 0));
		ended = n == 0;
	}
	ZSTD_freeCCtx(z);
	return r;
}

/* Whether these bytes of the plain file are the same. */
static int same(const struct pack *p, const char *bytes, size_t len, uint64_t off, char *scratch)
{
	ssize_t got = wv_io_pread_all(p->io, p->from, scratch, len, off);

	if (got < 0 || (size_t)got != len)
		return got < 0 ? (int)got : -EBADMSG;
	return memcmp(bytes, scratch, len) == 0 ? 0 : -EBADMSG;
}

/* What was written, decompressed, is the plain file. */
static int pack_verify(struct pack *p)
{
	_cleanup_free_ char *scratch = malloc(p->out_size);
	ZSTD_DStream *z = ZSTD_createDStream();
	uint64_t off = 0, plain = 0, size;
	size_t left = 1;
	int r = z && scratch ? p->io->size(p->io->ctx, p->from, &size) : -ENOMEM;

	while (r == 0) {
		ssize_t n = p->io->pread(p->io->ctx, p->to, p->in, p->in_size, (off_t)off);
		ZSTD_inBuffer in = {p->in, n > 0 ? (size_t)n : 0, 0};

		if (n == -EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? (int)n : left || plain != size ? -EBADMSG : 1;
			break;
		}
		off += (uint64_t)n;
		while (r == 0 && in.pos < in.size) {
			ZSTD_outBuffer out = {p->out, p->out_size, 0};

			left = ZSTD_decompressStream(z, &out, &in);
			r = ZSTD_isError(left) ? -EBADMSG
					       : same(p, p->out, out.pos, plain, scratch);
			plain += out.pos;
		}
	}
	ZSTD_freeDStream(z);
	return r < 0 ? r : 0;
}

/* Whether nothing but records of compressions is in it. */
static int only_of_packing(const struct pack *p)
{
	_cleanup_(wv_scan_donep) struct wv_scan scan = {0};
	static const struct {
		const char *member, *value;
	} own[] = {{"type", "\"transformation\""}, {"what", "\"compress\""}};
	const char *line, *value;
	size_t len, n;
	int r = wv_scan_init(&scan, p->io, p->from, 0);

	while (r == 0 && (r = wv_scan_next(&scan, &line, &len)) == 1) {
		r = 0;
		for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
			if (wv_record_member(line, len, own[i].member, &value, &n) < 0 ||
			    n != strlen(own[i].value) || memcmp(value, own[i].value, n) != 0)
				return 0;
	}
	/* the end, or a line that is none: that is not looked at here */
	return r == -EFBIG ? 0 : r < 0 ? r : 1;
}

/*
 * The audit trail, durable before the compressed file is there. Written without closing the
 * segment, and not for one that has only such records: else a log in which nothing happens would go
 * on for ever by itself.
 */
static int record_packed(struct wv_tlog *l, const struct wv_segment *s, const char *plain_sha256,
			 const char *packed_sha256)
{
	struct json_object *o = json_object_new_object(), *detail = json_object_new_object();
	char name[WV_SEGMENT_NAME_SIZE];
	int r;

	json_object_object_add(o, "what", json_object_new_string("compress"));
	json_object_object_add(o, "tool_version", json_object_new_string(WV_VERSION));
	json_object_object_add(o, "from", json_object_new_string(wv_segment_name(s, false, name)));
	json_object_object_add(o, "to", json_object_new_string(wv_segment_name(s, true, name)));
	json_object_object_add(o, "from_sha256", json_object_new_string(plain_sha256));
	json_object_object_add(o, "to_sha256", json_object_new_string(packed_sha256));
	json_object_object_add(detail, "first", json_object_new_uint64(s->first));
	json_object_object_add(detail, "last", json_object_new_uint64(s->last));
	json_object_object_add(detail, "level", json_object_new_int(l->o.compress_level));
	json_object_object_add(o, "detail", detail);
	r = wv_event_common(o, l->io, "", "transformation");
	r = r ?: wv_tlog_begin(l);
	if (r == 0) {
		r = wv_tlog_append(l, wv_event_compose, o, NULL);
		if (r < 0)
			wv_tlog_abort(l);
		else
			r = wv_tlog_end(l, true);
	}
	json_object_put(o);
	return r;
}

static int record_pack(struct wv_tlog *l, const struct wv_segment *s, const struct pack *p,
		       const char *plain_sha256, const char *packed_sha256)
{
	int r = only_of_packing(p);

	return r ? r < 0 ? r : 0 : record_packed(l, s, plain_sha256, packed_sha256);
}

static int pack_segment(struct wv_tlog *l, const struct wv_segment *s)
{
	const struct wv_io *io = l->io;
	struct pack p = {.io = io, .from = -1, .to = -1, .in_size = 64U << 10};
	char plain[WV_SEGMENT_NAME_SIZE], zst[WV_SEGMENT_NAME_SIZE];
	char from_sha256[WV_SHA256_HEX], to_sha256[WV_SHA256_HEX];
	_cleanup_free_ char *in = malloc(p.in_size), *out = NULL;
	int r;

	p.out_size = ZSTD_CStreamOutSize();
	out = malloc(p.out_size);
	p.in = in;
	p.out = out;
	wv_segment_name(s, false, plain);
	wv_segment_name(s, true, zst);
	p.from = in && out ? io->open(io->ctx, l->dirfd, plain, O_RDONLY, 0) : -ENOMEM;
	if (p.from < 0)
		return p.from;
	p.to = r = io->open(io->ctx, l->dirfd, PACK_NAME, O_RDWR | O_CREAT | O_TRUNC, WV_TLOG_MODE);
	wv_sha256_init(&p.plain);
	wv_sha256_init(&p.packed);
	if (r >= 0)
		r = pack_stream(&p, l->o.compress_level);
	wv_sha256_end(&p.plain, from_sha256);
	wv_sha256_end(&p.packed, to_sha256);
	if (r == 0)
		r = io->fsync(io->ctx, p.to);
	if (r == 0)
		r = pack_verify(&p);
	if (r == 0)
		r = record_pack(l, s, &p, from_sha256, to_sha256);
	if (r == 0)
		r = io->rename(io->ctx, l->dirfd, PACK_NAME, zst);
	if (r == 0)
		r = wv_io_sync_dir(io, l->dirfd);
	else
		(void)io->unlink(io->ctx, l->dirfd, PACK_NAME);
	if (r == 0)
		r = io->unlink(io->ctx, l->dirfd, plain);
	if (p.to >= 0)
		(void)io->close(io->ctx, p.to);
	(void)io->close(io->ctx, p.from);
	return r;
}

int wv_tlog_compress(struct wv_tlog *l)
{
	_cleanup_free_ struct wv_segment *s = NULL;
	int fd = wv_tlog_tidy_lock(l, false), r;
	size_t n;

	if (fd < 0)
		return fd == -EWOULDBLOCK ? 0 : fd;
	r = wv_segments_list(l->io, l->dirfd, &s, &n);
	if (r == 0 && l->o.compress_level) {
		for (size_t i = 0; i < n; i++) {
			if (!s[i].plain)
				continue;
			r = pack_segment(l, &s[i]);
			r = r ?: 1;
			break;
		}
	}
	(void)l->io->close(l->io->ctx, fd);
	return r;
}
