// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order of what the lines are: which records are altered, missing, added or moved. Records
 * between which nothing is wrong pass as whole runs; only around what is wrong is anything looked
 * at line by line.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/verify_internal.h"

struct order {
	struct wv_verify *v;
	uint64_t next; /* seq that comes */
	/* lines that are no records since the last that was one */
	struct wv_run *unknown;
	size_t n_unknown, room;
	struct wv_ranges gaps;	/* missing between lines of one file */
	struct wv_ranges files; /* missing where a file should be */
	struct wv_ranges retired;
	bool damaged; /* the file before could not be read to its end */
};

int wv_ranges_add(struct wv_ranges *r, uint64_t first, uint64_t last)
{
	struct wv_range *more;

	if (r->n && r->list[r->n - 1].last + 1 == first) {
		r->list[r->n - 1].last = last;
		return 0;
	}
	more = wv_grow(r->list, &r->room, r->n, sizeof(*more));
	if (!more)
		return -ENOMEM;
	r->list = more;
	r->list[r->n++] = (struct wv_range){first, last};
	return 0;
}

uint64_t wv_ranges_take(struct wv_ranges *r, uint64_t first, uint64_t last)
{
	uint64_t taken = 0, a, b;
	struct wv_range old;
	size_t i, n = r->n;

	for (i = 0; i < n; i++) {
		old = r->list[i];
		a = first > old.first ? first : old.first;
		b = last < old.last ? last : old.last;
		if (a > b)
			continue;
		taken += b - a + 1;
		/* what is left in front stays here; what is left behind goes to the end */
		r->list[i].last = a - 1;
		if (b < old.last && wv_ranges_add(r, b + 1, old.last) < 0)
			break;
	}
	for (i = 0, n = 0; i < r->n; i++)
		if (r->list[i].first <= r->list[i].last)
			r->list[n++] = r->list[i];
	r->n = n;
	return taken;
}

static void altered(struct order *o, uint64_t seq, const struct wv_run *line)
{
	struct wv_verify *v = o->v;
	struct wv_run *more;

	wv_verify_found(v, WV_FINDING_ALTERED, seq, seq,
			"record %" PRIu64 " was altered: its bytes are not those that were logged",
			seq);
	more = wv_grow(v->replaced, &v->replaced_room, v->n_replaced, sizeof(*more));
	if (!more) {
		v->error = -ENOMEM;
		return;
	}
	v->replaced = more;
	v->replaced[v->n_replaced] = *line;
	v->replaced[v->n_replaced++].first = seq;
}

static int by_claim(const void *a, const void *b)
{
	const struct wv_run *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static int by_first(const void *a, const void *b)
{
	const struct wv_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static void inserted(struct order *o, uint64_t before, size_t n)
{
	wv_verify_found(o->v, WV_FINDING_INSERTED, before, before,
			"%zu line%s that %s never logged stand%s in front of record %" PRIu64, n,
			n == 1 ? "" : "s", n == 1 ? "was" : "were", n == 1 ? "s" : "", before);
}

/*
 * Record `seq` comes; what is missing in front of it is matched with the lines that stand there. A
 * line that says to be one of those is that one, altered; lines that are left stand for what is
 * left, in order; more lines than records were inserted, more records than lines are missing.
 */
static int settle(struct order *o, uint64_t seq, struct wv_ranges *missing)
{
	struct wv_ranges left = {0};
	size_t i, spare = 0;
	int r = 0;

	if (o->next < seq)
		r = wv_ranges_add(&left, o->next, seq - 1);
	if (o->n_unknown)
		qsort(o->unknown, o->n_unknown, sizeof(*o->unknown), by_claim);
	for (i = 0; i < o->n_unknown && r == 0; i++) {
		struct wv_run *u = &o->unknown[i];

		if (u->first && wv_ranges_take(&left, u->first, u->first))
			altered(o, u->first, u);
		else
			o->unknown[spare++] = *u;
	}
	if (left.n)
		qsort(left.list, left.n, sizeof(*left.list), by_first);
	for (i = 0; i < spare && left.n; i++) {
		uint64_t at = left.list[0].first;

		altered(o, at, &o->unknown[i]);
		wv_ranges_take(&left, at, at);
	}
	if (i < spare)
		inserted(o, seq, spare - i);
	for (i = 0; i < left.n && r == 0; i++)
		r = wv_ranges_add(missing, left.list[i].first, left.list[i].last);
	o->n_unknown = 0;
	free(left.list);
	return r;
}

/* Records that stand behind later ones. */
static void moved(struct order *o, uint64_t first, uint64_t last)
{
	uint64_t taken =
		wv_ranges_take(&o->gaps, first, last) + wv_ranges_take(&o->files, first, last);

	if (taken)
		wv_verify_found(o->v, WV_FINDING_REORDERED, first, last,
				"record%s %" PRIu64 " to %" PRIu64 " stand%s behind later ones",
				first == last ? "" : "s", first, last, first == last ? "s" : "");
	if (taken < last - first + 1)
		wv_verify_found(o->v, WV_FINDING_REPEATED, first, last,
				first == last ? "record %" PRIu64 " is there twice"
					      : "records %" PRIu64 " to %" PRIu64
						" are there twice, or some of them",
				first, last);
}

static int on_good(struct order *o, uint64_t first, uint64_t last)
{
	int r;

	if (first < o->next) {
		moved(o, first, last < o->next ? last : o->next - 1);
		first = o->next;
	}
	if (first > last)
		return 0;
	r = settle(o, first, &o->gaps);
	if (!o->v->report->first || first < o->v->report->first)
		o->v->report->first = first;
	o->v->report->last = last;
	o->next = last + 1;
	return r;
}

static int add_unknown(struct order *o, const struct wv_run *run)
{
	struct wv_run *more = wv_grow(o->unknown, &o->room, o->n_unknown, sizeof(*more));

	if (!more)
		return -ENOMEM;
	o->unknown = more;
	o->unknown[o->n_unknown++] = *run;
	return 0;
}

/* A record that has no stored leaf hash: believed where it is the next one. */
static int on_new(struct order *o, const struct wv_run *run)
{
	struct wv_verify *v = o->v;
	struct wv_hash *more;

	if (run->first != v->n_leaves + 1 || run->first < o->next)
		return add_unknown(o, run);
	more = wv_grow(v->leaves, &v->room, v->n_leaves, sizeof(*more));
	if (!more)
		return -ENOMEM;
	v->leaves = more;
	v->leaves[v->n_leaves++] = run->leaf;
	return on_good(o, run->first, run->first);
}

static int on_part(struct order *o, const struct wv_part *p)
{
	int r = 0;

	for (size_t i = 0; i < p->n_runs && r == 0; i++) {
		const struct wv_run *run = &p->runs[i];

		switch (run->kind) {
		case WV_RUN_GOOD:
			r = on_good(o, run->first, run->last);
			break;
		case WV_RUN_NEW:
			r = on_new(o, run);
			break;
		case WV_RUN_BAD:
			r = add_unknown(o, run);
			break;
		}
	}
	for (size_t i = 0; i < p->odd.n; i++)
		wv_verify_found(o->v, WV_FINDING_FORM, p->odd.list[i].first, p->odd.list[i].last,
				"record %" PRIu64 " was logged in a form that is not canonical",
				p->odd.list[i].first);
	for (size_t i = 0; i < p->retired.n && r == 0; i++)
		r = wv_ranges_add(&o->retired, p->retired.list[i].first, p->retired.list[i].last);
	o->v->report->records += p->records;
	o->v->report->bytes += p->bytes;
	o->v->report->torn |= p->torn;
	return r;
}

static int on_file(struct order *o, const struct wv_verify_file *f)
{
	const struct wv_part *part = &o->v->parts[f->part];
	int r = 0, error = 0;

	/* what should be in front of this file was in another one */
	if (f->first > o->next)
		r = settle(o, f->first, &o->files);
	if (r == 0 && f->first > o->next)
		o->next = f->first;
	if (f->skipped) {
		o->next = f->last + 1 > o->next ? f->last + 1 : o->next;
		return r;
	}
	for (size_t i = 0; i < f->n_parts && r == 0; i++) {
		r = on_part(o, &part[i]);
		error = error ?: part[i].error;
	}
	if (error)
		wv_verify_found(o->v, WV_FINDING_UNREADABLE, f->first, f->last,
				"%s cannot be read to its end: %s", f->name,
				error == -EBADMSG ? "it is damaged" : strerror(-error));
	/* a closed segment's name says what it had */
	if (r == 0 && f->last && f->last + 1 > o->next) {
		r = settle(o, f->last + 1, &o->gaps);
		o->next = f->last + 1;
	}
	return r;
}

/*
 * The log tells for ever what was retired (retain.c), so that what is missing and not told is told
 * here. Where lines were left out, those that tell may be among them: then only what is missing
 * behind is judged.
 */
static void missing_files(struct order *o)
{
	struct wv_verify *v = o->v;
	uint64_t begin = v->n_files ? v->files[0].first : 0;

	for (size_t i = 0; i < v->n_files; i++)
		if (v->files[i].skipped)
			wv_ranges_take(&o->files, 1, v->o->from - 1);
	for (size_t i = 0; i < o->files.n; i++) {
		const struct wv_range *f = &o->files.list[i];

		if (f->last < begin)
			wv_verify_found(v, WV_FINDING_BEGINNING, f->first, f->last,
					"the log was truncated at its beginning: records %" PRIu64
					" to %" PRIu64
					" are missing, and no record says that they were retired",
					f->first, f->last);
		else
			wv_verify_found(v, WV_FINDING_SEGMENT, f->first, f->last,
					"the segment of records %" PRIu64 " to %" PRIu64
					" is missing, and no record says that it was retired",
					f->first, f->last);
	}
}

/* What is missing and not said to be deleted. */
static void missing(struct order *o)
{
	struct wv_verify *v = o->v;
	size_t i;

	for (i = 0; i < o->retired.n; i++)
		v->report->retired += wv_ranges_take(&o->files, o->retired.list[i].first,
						     o->retired.list[i].last);
	missing_files(o);
	for (i = 0; i < o->gaps.n; i++)
		wv_verify_found(v, WV_FINDING_DROPPED, o->gaps.list[i].first, o->gaps.list[i].last,
				o->gaps.list[i].first == o->gaps.list[i].last
					? "record %" PRIu64 " is missing"
					: "records %" PRIu64 " to %" PRIu64 " are missing",
				o->gaps.list[i].first, o->gaps.list[i].last);
}

/* The end: as many records as there are leaf hashes, or as a signed checkpoint has. */
static int finish(struct order *o)
{
	struct wv_verify *v = o->v;
	struct wv_ranges end = {0};
	uint64_t size = v->n_leaves;
	size_t i;
	int r;

	for (i = 0; i < v->n_claims; i++)
		if (v->claims[i].signed_by & 1 && v->claims[i].c.size > size)
			size = v->claims[i].c.size;
	r = settle(o, size + 1 > o->next ? size + 1 : o->next, &end);
	for (i = 0; i < end.n; i++)
		wv_verify_found(v, WV_FINDING_TRUNCATED, end.list[i].first, end.list[i].last,
				"the log was truncated: records %" PRIu64 " to %" PRIu64
				" are missing at its end",
				end.list[i].first, end.list[i].last);
	free(end.list);
	missing(o);
	return r;
}

int wv_verify_order(struct wv_verify *v)
{
	struct order o = {.v = v, .next = 1};
	int r = 0;

	for (size_t i = 0; i < v->n_files && r == 0; i++)
		r = on_file(&o, &v->files[i]);
	if (r == 0)
		r = finish(&o);
	free(o.unknown);
	free(o.gaps.list);
	free(o.files.list);
	free(o.retired.list);
	return r ? r : v->error;
}
