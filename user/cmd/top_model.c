// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/top_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/export/text.h"

const char *const wv_top_titles[WV_TOP_N] = {
#define X(id, key, title) title,
	WV_TOP_COLUMNS(X)
#undef X
};
const char *const wv_top_keys[WV_TOP_N] = {
#define X(id, key, title) key,
	WV_TOP_COLUMNS(X)
#undef X
};

int wv_top_sort_by_name(const char *name)
{
	for (int i = 0; i < WV_TOP_N; i++)
		if (strcmp(wv_top_keys[i], name) == 0)
			return i;
	return strcmp(name, "name") == 0 ? WV_TOP_BY_NAME : -1;
}

static uint64_t own(const struct wv_sample *s, uint32_t slot, enum wv_signal sig)
{
	uint64_t v = s->rows[slot].f.v[sig], base;

	if (!(s->rows[slot].flags & WV_ROW_BASE) || wv_signals[sig].kind != WV_COUNTER)
		return v;
	base = s->base[slot].v[sig];
	return v > base ? v - base : 0;
}

static void own_hist(const struct wv_sample *s, uint32_t slot, enum wv_hist_id h,
		     struct wv_hist *ret)
{
	const struct wv_hist *left = &s->base[slot].hist[h];

	*ret = s->rows[slot].f.hist[h];
	if (!(s->rows[slot].flags & WV_ROW_BASE))
		return;
	for (unsigned i = 0; i < WV_HIST_BUCKETS; i++)
		ret->bucket[i] -=
			left->bucket[i] < ret->bucket[i] ? left->bucket[i] : ret->bucket[i];
	ret->sum_ns -= left->sum_ns < ret->sum_ns ? left->sum_ns : ret->sum_ns;
}

const struct wv_row *wv_top_earlier(const struct wv_top *t, uint32_t slot)
{
	const struct wv_row *now = &t->now->rows[slot], *before;

	if (!t->before || slot >= t->before->max_rows)
		return NULL;
	before = &t->before->rows[slot];
	return (before->flags & WV_ROW_LIVE) && before->key == now->key &&
			       before->created_mono_ns == now->created_mono_ns
		       ? before
		       : NULL;
}

/* Time that a row's change covers: the interval, or its age if it is newer than the sample before.
 */
static double span_s(const struct wv_top *t, uint32_t slot, const struct wv_row *earlier)
{
	uint64_t created = t->now->rows[slot].created_mono_ns;
	uint64_t since = earlier ? t->before->mono_ns : created;
	double s = t->now->mono_ns > since ? (double)(t->now->mono_ns - since) / 1e9 : 0;

	return s > 0.001 ? s : 0.001;
}

double wv_top_rate(const struct wv_top *t, uint32_t slot, enum wv_signal s)
{
	const struct wv_row *earlier = wv_top_earlier(t, slot);
	uint64_t v = own(t->now, slot, s), old = earlier ? own(t->before, slot, s) : 0;

	return v > old ? (double)(v - old) / span_s(t, slot, earlier) : 0;
}

void wv_top_hist(const struct wv_top *t, uint32_t slot, enum wv_hist_id h, struct wv_hist *ret)
{
	struct wv_hist old;

	own_hist(t->now, slot, h, ret);
	if (!wv_top_earlier(t, slot))
		return;
	own_hist(t->before, slot, h, &old);
	for (unsigned i = 0; i < WV_HIST_BUCKETS; i++)
		ret->bucket[i] -= old.bucket[i] < ret->bucket[i] ? old.bucket[i] : ret->bucket[i];
	ret->sum_ns -= old.sum_ns < ret->sum_ns ? old.sum_ns : ret->sum_ns;
}

static double larger(double a, double b)
{
	return a > b ? a : b;
}

static double p99(const struct wv_hist *h)
{
	uint64_t v = wv_hist_quantile_ns(h, 0.99);

	/* the last bucket has no upper bound: show its lower one */
	return (double)(v == UINT64_MAX ? wv_hist_bound_ns(WV_HIST_BUCKETS - 2) : v);
}

static void measure(const struct wv_top *t, struct wv_top_row *r)
{
	const uint64_t *f = t->now->rows[r->slot].f.v;
	double *v = r->own.v;

	wv_top_hist(t, r->slot, WV_HIST_RUNQ_LATENCY, &r->runq);
	v[WV_TOP_CPU] = wv_top_rate(t, r->slot, WV_SIG_CPU_USAGE) / 1e7;
	v[WV_TOP_RUNQ] = p99(&r->runq);
	v[WV_TOP_MEM] = (double)f[WV_SIG_MEM_RSS];
	v[WV_TOP_IO] = wv_top_rate(t, r->slot, WV_SIG_IO_READ_BYTES) +
		       wv_top_rate(t, r->slot, WV_SIG_IO_WRITE_BYTES);
	v[WV_TOP_RX] = wv_top_rate(t, r->slot, WV_SIG_NET_RX_BYTES);
	v[WV_TOP_TX] = wv_top_rate(t, r->slot, WV_SIG_NET_TX_BYTES);
	v[WV_TOP_TASKS] = (double)f[WV_SIG_TASK_THREADS];
	v[WV_TOP_PSI] = larger(wv_top_rate(t, r->slot, WV_SIG_PSI_CPU_SOME),
			       larger(wv_top_rate(t, r->slot, WV_SIG_PSI_MEM_SOME),
				      wv_top_rate(t, r->slot, WV_SIG_PSI_IO_SOME))) /
			1e4;
	if (v[WV_TOP_PSI] > 100)
		v[WV_TOP_PSI] = 100;
	r->tree = r->own;
}

/* Adds a row's subtree to its parent's. Deepest rows come first. */
static void add_to_parent(struct wv_top *t, const struct wv_top_row *r)
{
	struct wv_top_row *parent = &t->rows[r->parent];

	for (unsigned i = 0; i < WV_TOP_N; i++)
		if (i != WV_TOP_RUNQ && i != WV_TOP_PSI)
			parent->tree.v[i] += r->tree.v[i];
	for (unsigned b = 0; b < WV_HIST_BUCKETS; b++)
		parent->runq.bucket[b] += r->runq.bucket[b];
}

/* What the kernel says of the whole subtree is better than a sum. */
static void finish_tree(const struct wv_top *t, struct wv_top_row *r)
{
	uint64_t memory = t->now->rows[r->slot].f.v[WV_SIG_MEM_USAGE];

	r->tree.v[WV_TOP_RUNQ] = p99(&r->runq);
	if (memory)
		r->tree.v[WV_TOP_MEM] = (double)memory;
}

static int sum_up(struct wv_top *t)
{
	_cleanup_free_ uint32_t *count = NULL, *order = NULL;
	uint32_t levels = 0, at = 0;

	/* by level, deepest first: counting sort */
	for (uint32_t i = 0; i < t->n_rows; i++)
		if (t->now->rows[t->rows[i].slot].level >= levels)
			levels = t->now->rows[t->rows[i].slot].level + 1U;
	count = calloc(levels + 1, sizeof(*count));
	order = calloc(t->n_rows + 1, sizeof(*order));
	if (!count || !order)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->n_rows; i++)
		count[t->now->rows[t->rows[i].slot].level]++;
	for (uint32_t level = levels; level-- > 0;) {
		uint32_t n = count[level];

		count[level] = at;
		at += n;
	}
	for (uint32_t i = 0; i < t->n_rows; i++)
		order[count[t->now->rows[t->rows[i].slot].level]++] = i;
	for (uint32_t i = 0; i < t->n_rows; i++) {
		struct wv_top_row *r = &t->rows[order[i]];

		finish_tree(t, r);
		if (r->parent >= 0)
			add_to_parent(t, r);
	}
	return 0;
}

/* A parent must be one level up or more, or a damaged link could make a loop. */
static int32_t find_parent(const struct wv_top *t, uint32_t slot)
{
	const struct wv_row *row = &t->now->rows[slot], *parent;

	if (row->parent_slot == slot || row->parent_slot == WV_SLOT_OTHER ||
	    row->parent_slot >= t->now->used_rows)
		return -1;
	parent = &t->now->rows[row->parent_slot];
	if (!(parent->flags & WV_ROW_LIVE) || parent->key != row->parent_key ||
	    parent->level >= row->level)
		return -1;
	return (int32_t)t->row_of[row->parent_slot] - 1;
}

int wv_top_build(struct wv_top *t, struct wv_sample *now, struct wv_sample *before)
{
	wv_top_done(t);
	t->now = now;
	t->before = before;
	t->interval_ns =
		before && now->mono_ns > before->mono_ns ? now->mono_ns - before->mono_ns : 0;
	t->rows = calloc(now->used_rows + 1, sizeof(*t->rows));
	t->lines = calloc(now->used_rows + 1, sizeof(*t->lines));
	t->row_of = calloc(now->used_rows + 1, sizeof(*t->row_of));
	if (!t->rows || !t->lines || !t->row_of)
		return -ENOMEM;
	wv_sample_for_each (now, slot, row) {
		struct wv_top_row *r = &t->rows[t->n_rows];

		if (row->flags & WV_ROW_GONE)
			continue;
		*r = (struct wv_top_row){.slot = slot, .parent = -1, .child = -1, .next = -1};
		measure(t, r);
		for (unsigned i = 0; i < WV_TOP_N; i++)
			t->total.v[i] += r->own.v[i];
		t->row_of[slot] = ++t->n_rows;
	}
	for (uint32_t i = 0; i < t->n_rows; i++)
		t->rows[i].parent = find_parent(t, t->rows[i].slot);
	return sum_up(t);
}

void wv_top_done(struct wv_top *t)
{
	free(t->rows);
	free(t->lines);
	free(t->row_of);
	*t = (struct wv_top){0};
}

/* Order --------------------------------------------------------------------------------------- */

struct order {
	const struct wv_top *t;
	const struct wv_top_options *o;
};

static int compare(const void *a, const void *b, void *ctx)
{
	const struct order *by = ctx;
	const struct wv_top_row *x = &by->t->rows[*(const uint32_t *)a];
	const struct wv_top_row *y = &by->t->rows[*(const uint32_t *)b];
	int r;

	if (by->o->sort < WV_TOP_N) {
		double p = by->o->flat ? x->own.v[by->o->sort] : x->tree.v[by->o->sort];
		double q = by->o->flat ? y->own.v[by->o->sort] : y->tree.v[by->o->sort];

		if (p > q || p < q)
			return p > q ? -1 : 1;
	}
	r = strcmp(by->t->now->rows[x->slot].path, by->t->now->rows[y->slot].path);
	return r ? r : (x->slot > y->slot) - (x->slot < y->slot);
}

static void mark_matches(struct wv_top *t, const char *filter)
{
	for (uint32_t i = 0; i < t->n_rows; i++) {
		struct wv_top_row *r = &t->rows[i];

		r->matches = !filter[0] || strcasestr(t->now->rows[r->slot].path, filter) != NULL;
		r->shown = false;
		r->child = r->next = -1;
	}
	for (uint32_t i = 0; i < t->n_rows; i++)
		for (int32_t at = (int32_t)i; t->rows[i].matches && at >= 0;
		     at = t->rows[at].parent)
			t->rows[at].shown = true;
}

static void add_line(struct wv_top *t, uint32_t row, uint16_t depth,
		     const struct wv_top_folds *folds)
{
	struct wv_top_line *line = &t->lines[t->n_lines++];

	*line = (struct wv_top_line){
		.row = row, .depth = depth, .children = t->rows[row].child >= 0};
	line->folded = line->children && wv_top_folded(folds, t->now->rows[t->rows[row].slot].key);
}

/* Depth first from the first of `roots`, along child and next. */
static void walk(struct wv_top *t, int32_t first, const struct wv_top_folds *folds)
{
	int32_t at = first;
	uint16_t depth = 0;

	while (at >= 0) {
		add_line(t, (uint32_t)at, depth, folds);
		if (t->rows[at].child >= 0 && !t->lines[t->n_lines - 1].folded) {
			at = t->rows[at].child;
			depth++;
			continue;
		}
		while (at >= 0 && t->rows[at].next < 0) {
			at = t->rows[at].parent;
			depth--;
		}
		if (at >= 0)
			at = t->rows[at].next;
	}
}

int wv_top_arrange(struct wv_top *t, const struct wv_top_options *o,
		   const struct wv_top_folds *folds)
{
	_cleanup_free_ uint32_t *order = calloc(t->n_rows + 1, sizeof(*order));
	struct order by = {.t = t, .o = o};
	int32_t first = -1;

	if (!order)
		return -ENOMEM;
	mark_matches(t, o->filter);
	for (uint32_t i = 0; i < t->n_rows; i++)
		order[i] = i;
	qsort_r(order, t->n_rows, sizeof(*order), compare, &by);
	t->n_lines = 0;
	if (o->flat) {
		for (uint32_t i = 0; i < t->n_rows; i++)
			if (t->rows[order[i]].matches)
				add_line(t, order[i], 0, folds);
		return 0;
	}
	/* from the last to the first, so that each list begins with its first */
	for (uint32_t i = t->n_rows; i-- > 0;) {
		struct wv_top_row *r = &t->rows[order[i]];
		int32_t *head = r->parent >= 0 ? &t->rows[r->parent].child : &first;

		if (!r->shown)
			continue;
		r->next = *head;
		*head = (int32_t)order[i];
	}
	walk(t, first, folds);
	return 0;
}

bool wv_top_folded(const struct wv_top_folds *f, uint64_t key)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->keys[i] == key)
			return true;
	return false;
}

int wv_top_fold(struct wv_top_folds *f, uint64_t key, bool folded)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->keys[i] != key)
			continue;
		if (!folded)
			f->keys[i] = f->keys[--f->n];
		return 0;
	}
	if (!folded)
		return 0;
	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 16;
		uint64_t *keys = reallocarray(f->keys, cap, sizeof(*keys));

		if (!keys)
			return -ENOMEM;
		f->keys = keys;
		f->cap = cap;
	}
	f->keys[f->n++] = key;
	return 0;
}

/* Text ----------------------------------------------------------------------------------------- */

const char *wv_top_path(const struct wv_row *row, char *buf, size_t size)
{
	size_t len = 0;

	if (row->flags & WV_ROW_CUT)
		len = (size_t)snprintf(buf, size, "...");
	for (const char *p = row->path; *p;) {
		size_t n = wv_utf8_sequence(p);

		if (len + (n ?: 1) >= size)
			break;
		memcpy(buf + len, n ? p : "?", n ?: 1);
		len += n ?: 1;
		p += n ?: 1;
	}
	buf[len] = '\0';
	return buf;
}

const char *wv_top_text(enum wv_top_column c, double v, char buf[WV_WORD])
{
	if (v <= 0) {
		snprintf(buf, WV_WORD, "-");
		return buf;
	}
	switch (c) {
	case WV_TOP_CPU:
	case WV_TOP_PSI:
		snprintf(buf, WV_WORD, v < 0.05 ? "0.0" : v < 99.95 ? "%.1f" : "%.0f", v);
		return buf;
	case WV_TOP_RUNQ:
		return wv_word_span(buf, (uint64_t)v);
	case WV_TOP_TASKS:
		return wv_word_count(buf, v);
	default:
		return wv_word_bytes(buf, v);
	}
}
