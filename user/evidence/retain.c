// SPDX-License-Identifier: GPL-2.0-only
/*
 * Removal of old segments. Decided and recorded with the log's lock held, so that a hold that is
 * placed meanwhile either comes before the record, and is obeyed, or after it. A crash between
 * record and removal leaves a file that the next run removes.
 */
#include "user/evidence/retain.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/event.h"
#include "user/evidence/tlog_internal.h"

struct retain {
	struct wv_tlog *l;
	const struct wv_io *io;
	const char *state;
	const struct wv_retention *policy;
	struct wv_holds holds;
	struct wv_segment *segments;
	size_t n;
	uint64_t bytes; /* of all segments */
	struct wv_retained done;
};

static int remove_files(struct retain *x, const struct wv_segment *s)
{
	char name[WV_SEGMENT_NAME_SIZE];
	int r = 0;

	if (s->zst)
		r = x->io->unlink(x->io->ctx, x->l->dirfd, wv_segment_name(s, true, name));
	if (s->plain && (r == 0 || r == -ENOENT))
		r = x->io->unlink(x->io->ctx, x->l->dirfd, wv_segment_name(s, false, name));
	return r == -ENOENT ? 0 : r;
}

/* Roots of the complete subtrees that make up the leaves first-1 .. last-1. */
static int roots_json(struct wv_tlog *l, const struct wv_segment *s, struct json_object *list)
{
	_cleanup_free_ struct wv_merkle *m = malloc(sizeof(*m));
	uint64_t at = s->first - 1;

	if (!m)
		return -ENOMEM;
	while (at < s->last) {
		uint64_t size = wv_subtree(at, s->last);
		struct wv_hash h;

		m->size = 0;
		for (uint64_t end = at + size; at < end; at++) {
			int r = wv_tlog_leaves(l, at, 1, &h);

			if (r < 0)
				return r;
			wv_merkle_add(m, &h);
		}
		wv_merkle_root(m, &h);
		wv_told_add_root(list, &h);
	}
	return 0;
}

static int record_retired(struct retain *x, const struct wv_segment *s, const char *why)
{
	struct json_object *o = json_object_new_object(), *roots = json_object_new_array();
	int r = roots_json(x->l, s, roots);

	json_object_object_add(o, "first", json_object_new_uint64(s->first));
	json_object_object_add(o, "last", json_object_new_uint64(s->last));
	json_object_object_add(o, "bytes", json_object_new_uint64(s->bytes));
	json_object_object_add(o, "reason", json_object_new_string(why));
	json_object_object_add(o, "roots", roots);
	if (r < 0) {
		json_object_put(o);
		return r;
	}
	return wv_event(x->l, x->io, "", "segment-retired", o, true, NULL);
}

/* Holds that are in force and stand in the segment are written again, at the end of the log. */
static int restate_holds(struct retain *x, const struct wv_segment *s)
{
	for (size_t i = 0; i < x->holds.n; i++) {
		const struct wv_hold *h = &x->holds.holds[i];
		struct json_object *o;
		int r;

		if (h->seq < s->first || h->seq > s->last)
			continue;
		o = json_object_new_object();
		json_object_object_add(o, "hold", json_object_new_string(h->name));
		json_object_object_add(o, "first", json_object_new_uint64(h->first));
		json_object_object_add(o, "last", json_object_new_uint64(h->last));
		json_object_object_add(o, "reason", json_object_new_string(h->reason));
		json_object_object_add(o, "restated", json_object_new_uint64(h->seq));
		r = wv_event(x->l, x->io, "", "hold-placed", o, false, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * The same for what the segment's records tell of retirements: else a beginning that somebody
 * removed could not be told from one that was retired. What was told anew at the end of the log is
 * not in a segment that goes soon, so this is once for many segments.
 */
static int restate_told(struct retain *x, const struct wv_segment *s)
{
	for (size_t i = 0; i < x->holds.told.n; i++) {
		const struct wv_told *t = &x->holds.told.list[i];
		struct json_object *o;
		int r;

		if (t->seq > s->last)
			continue;
		o = wv_told_json(t);
		json_object_object_add(o, "restated", json_object_new_uint64(t->seq));
		r = wv_event(x->l, x->io, "", "segments-retired", o, false, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Wall time of the record after the segment: none of its own is younger. 0: unknown. */
static uint64_t ended_ns(struct retain *x, const struct wv_segment *s)
{
	struct wv_tlog_reader *reader;
	const char *line;
	uint64_t seq, wall_ns = 0;
	size_t len;

	if (wv_tlog_read_open(&reader, x->io, x->state, s->last + 1) < 0)
		return 0;
	if (wv_tlog_read(reader, &seq, &line, &len) == 1)
		(void)wv_record_number(line, len, "wall_ns", &wall_ns);
	wv_tlog_read_close(reader);
	return wall_ns;
}

static const char *why_retire(struct retain *x, const struct wv_segment *s)
{
	uint64_t ended, now;

	if (x->policy->keep_bytes && x->bytes > x->policy->keep_bytes)
		return "size";
	if (!x->policy->keep_ns)
		return NULL;
	ended = ended_ns(x, s);
	now = x->io->wall_ns(x->io->ctx);
	return ended && now > ended && now - ended > x->policy->keep_ns ? "age" : NULL;
}

static bool is_recorded(const struct retain *x, const struct wv_segment *s)
{
	for (size_t i = 0; i < x->holds.n_retired; i++)
		if (x->holds.retired[i].first == s->first && x->holds.retired[i].last == s->last)
			return true;
	return false;
}

/* With the lock. 1: recorded, its files may go; 0: it stays. */
static int decide(struct retain *x, const struct wv_segment *s)
{
	const char *why;
	int r;

	wv_holds_done(&x->holds);
	r = wv_holds_read(x->io, x->state, &x->holds);
	if (r < 0)
		return r;
	if (is_recorded(x, s)) { /* a crash came between */
		r = restate_told(x, s);
		r = r ?: wv_tlog_commit(x->l);
		return r ?: 1;
	}
	why = why_retire(x, s);
	if (!why)
		return 0;
	if (wv_holds_find(&x->holds, s->first, s->last)) {
		x->done.held++;
		return 0;
	}
	r = restate_holds(x, s);
	r = r ?: restate_told(x, s);
	if (r == 0 && x->policy->restate)
		r = x->policy->restate(x->policy->ctx, x->l, s->first, s->last);
	if (r == 0)
		r = record_retired(x, s, why);
	return r < 0 ? r : 1;
}

static int retire(struct retain *x)
{
	int r = wv_segments_list(x->io, x->l->dirfd, &x->segments, &x->n);

	if (r < 0)
		return r;
	x->bytes = x->l->len;
	for (size_t i = 0; i < x->n; i++)
		x->bytes += x->segments[i].bytes;
	for (size_t i = 0; i + 1 < x->n; i++) {
		const struct wv_segment *s = &x->segments[i];

		r = wv_tlog_lock(x->l);
		if (r < 0)
			return r;
		r = decide(x, s);
		wv_tlog_unlock(x->l);
		if (r > 0)
			r = remove_files(x, s) ?: 1;
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		x->done.segments++;
		x->done.records += s->last - s->first + 1;
		x->done.bytes += s->bytes;
		x->bytes -= s->bytes;
	}
	return x->done.segments ? wv_io_sync_dir(x->io, x->l->dirfd) : 0;
}

int wv_tlog_retain(struct wv_tlog *l, const struct wv_io *io, const char *state,
		   const struct wv_retention *policy, struct wv_retained *ret)
{
	struct retain x = {.l = l, .io = io, .state = state, .policy = policy};
	int fd = wv_tlog_tidy_lock(l, false), r;

	if (fd < 0)
		return fd == -EWOULDBLOCK ? -EBUSY : fd;
	r = retire(&x);
	(void)io->close(io->ctx, fd);
	free(x.segments);
	wv_holds_done(&x.holds);
	if (ret)
		*ret = x.done;
	return r;
}
