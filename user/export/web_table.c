// SPDX-License-Identifier: GPL-2.0-only
#include "user/export/web_table.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "user/core/cleanup.h"

#define NONE_SIGNAL WV_SIG_N
#define WV_SIG_NONE NONE_SIGNAL

enum kind { RATE, VALUE, P99 };

static const struct column {
	enum kind kind;
	unsigned a, b; /* enum wv_signal or NONE_SIGNAL */
} columns[WV_WEB_COLUMN_N] = {
#define X(id, name, kind, a, b) {kind, WV_SIG_##a, WV_SIG_##b},
	WV_WEB_COLUMNS(X)
#undef X
};
const char *const wv_web_columns[WV_WEB_COLUMN_N] = {
#define X(id, name, ...) name,
	WV_WEB_COLUMNS(X)
#undef X
};

/* What one slot had at a tick. */
struct wv_web_mark {
	uint64_t key, created_mono_ns;
	uint64_t counted[WV_WEB_COLUMN_N]; /* of the columns that are rates */
	uint64_t runq[WV_HIST_BUCKETS];
};

static uint64_t counted(const struct column *c, const uint64_t *v)
{
	return v[c->a] + (c->b == NONE_SIGNAL ? 0 : v[c->b]);
}

/* Nanoseconds and microseconds a second become millionths. */
static uint64_t a_second(const struct column *c, uint64_t change, uint64_t ns)
{
	double per_second = (double)change * 1e9 / (double)ns;

	return (uint64_t)(wv_signals[c->a].scale == WV_NS ? per_second / 1e3 : per_second);
}

static uint64_t runq_p99(const struct wv_sample *s, uint32_t slot, struct wv_web_mark *now,
			 const struct wv_web_mark *old)
{
	const struct wv_hist *h = &s->rows[slot].f.hist[WV_HIST_RUNQ_LATENCY];
	const struct wv_hist *left = &s->base[slot].hist[WV_HIST_RUNQ_LATENCY];
	bool based = s->rows[slot].flags & WV_ROW_BASE;
	struct wv_hist d = {0};
	uint64_t p99;

	for (unsigned i = 0; i < WV_HIST_BUCKETS; i++) {
		uint64_t gone = based && left->bucket[i] < h->bucket[i] ? left->bucket[i] : 0;

		now->runq[i] = h->bucket[i] - gone;
		d.bucket[i] =
			now->runq[i] - (old && old->runq[i] < now->runq[i] ? old->runq[i] : 0);
		if (old && old->runq[i] == now->runq[i])
			d.bucket[i] = 0;
	}
	p99 = wv_hist_quantile_ns(&d, 0.99);
	/* the last bucket has no upper bound */
	return p99 == UINT64_MAX ? wv_hist_bound_ns(WV_HIST_BUCKETS - 2) : p99;
}

static void measure(const struct wv_sample *s, uint32_t slot, uint64_t before_mono_ns,
		    const struct wv_web_mark *old, struct wv_web_mark *now, struct wv_web_row *out)
{
	const struct wv_row *row = &s->rows[slot];
	uint64_t own[WV_SIG_N], since, ns;
	const uint64_t *v = wv_sample_own(s, slot, own);

	if (old && (old->key != row->key || old->created_mono_ns != row->created_mono_ns))
		old = NULL;
	since = old ? before_mono_ns : row->created_mono_ns;
	ns = s->mono_ns > since + 1000000 ? s->mono_ns - since : 1000000;
	*now = (struct wv_web_mark){.key = row->key, .created_mono_ns = row->created_mono_ns};
	out->key = row->key;
	out->parent_key = row->parent_key;
	snprintf(out->path, sizeof(out->path), "%s%.*s", row->flags & WV_ROW_CUT ? "..." : "",
		 WV_ROW_PATH_MAX - 1, row->path);
	for (unsigned i = 0; i < WV_WEB_COLUMN_N; i++) {
		const struct column *c = &columns[i];
		uint64_t was = 0;

		if (c->kind == P99) {
			out->v[i] = runq_p99(s, slot, now, old);
			continue;
		}
		if (c->kind == VALUE) {
			out->v[i] = counted(c, row->f.v);
			continue;
		}
		now->counted[i] = counted(c, v);
		was = old ? old->counted[i] : 0;
		/* the kernel's own counters began before the agent saw the cgroup */
		if (!old && wv_signals[c->a].kind == WV_TREE_COUNTER)
			was = now->counted[i];
		out->v[i] = now->counted[i] > was ? a_second(c, now->counted[i] - was, ns) : 0;
	}
}

static void sample_release(struct wv_sample *s)
{
	wv_sample_done(s);
}

/* Ranks are of so long at most; then the sample that they began with makes way for a newer one. */
#define HARM_SPAN_NS 5000000000ULL

/* rows: by slot, for those that live. Takes over *s where it is to be the next one to compare with.
 */
static void rank(struct wv_web_table *t, struct wv_sample *s, const uint32_t *row_of_slot)
{
	struct wv_harm list[WV_WEB_HARMS];
	size_t n = 0;

	t->n_harms = 0;
	if (t->before.rows && t->before.mono_ns < s->mono_ns &&
	    wv_harm_rank(s, &t->before, t->cpus ?: 1, list, WV_WEB_HARMS, &n) == 0)
		for (size_t i = 0; i < n; i++)
			t->harms[t->n_harms++] = (struct wv_web_harm){
				.harm = list[i],
				.victim = &t->rows[row_of_slot[list[i].victim]],
				.culprit = &t->rows[row_of_slot[list[i].culprit]],
			};
	if (!t->before.rows || t->before.mono_ns >= s->mono_ns ||
	    s->mono_ns - t->before.mono_ns >= HARM_SPAN_NS) {
		wv_sample_done(&t->before);
		t->before = *s;
		*s = (struct wv_sample){0};
	}
}

/* Rows and marks of a sample that is newer than what the table has. */
static int fill(struct wv_web_table *t, const struct wv_snapshot *head, struct wv_sample *s)
{
	_cleanup_free_ uint32_t *row_of_slot = calloc(s->used_rows + 1, sizeof(*row_of_slot));
	struct wv_web_mark *marks = calloc(s->used_rows + 1, sizeof(*marks));
	struct wv_web_row *rows = malloc((s->used_rows + 1) * sizeof(*rows));
	bool before = t->marks && t->head.started_mono_ns == head->started_mono_ns &&
		      head->mono_ns > t->head.mono_ns;
	uint32_t n = 0;

	if (!marks || !rows || !row_of_slot) {
		free(marks);
		free(rows);
		return -ENOMEM;
	}
	for (uint32_t slot = 0; slot < s->used_rows; slot++) {
		const struct wv_row *row = &s->rows[slot];

		if (!(row->flags & WV_ROW_LIVE))
			continue;
		row_of_slot[slot] = n;
		measure(s, slot, t->head.mono_ns,
			before && slot < t->n_marks ? &t->marks[slot] : NULL, &marks[slot],
			&rows[n++]);
	}
	t->interval_ns = before ? head->mono_ns - t->head.mono_ns : 0;
	free(t->marks);
	free(t->rows);
	t->marks = marks;
	t->n_marks = s->used_rows;
	t->rows = rows;
	t->n_rows = n;
	/* another agent's sample is compared with none of this one's */
	if (t->head.started_mono_ns != head->started_mono_ns)
		wv_sample_done(&t->before);
	t->head = *head;
	rank(t, s, row_of_slot);
	return 0;
}

int wv_web_table_update(struct wv_web_table *t, const struct wv_snapshot_map *m)
{
	_cleanup_(sample_release) struct wv_sample s = {0};
	struct wv_snapshot head = {0};
	int r;

	if (t->rows && m->head->tick == t->head.tick &&
	    m->head->started_mono_ns == t->head.started_mono_ns)
		return 0;
	r = wv_sample_init(&s, m->head->max_rows);
	if (r == 0)
		r = wv_snapshot_read(m, &s, &head);
	(void)madvise(m->head, m->bytes, MADV_DONTNEED);
	if (r < 0)
		return r;
	return head.mono_ns ? fill(t, &head, &s) : -EAGAIN;
}

void wv_web_table_done(struct wv_web_table *t)
{
	free(t->marks);
	free(t->rows);
	wv_sample_done(&t->before);
	*t = (struct wv_web_table){.cpus = t->cpus};
}

void wv_web_table_age(struct wv_web_table *t, uint64_t now_mono_ns)
{
	if (!t->rows || now_mono_ns < t->asked_mono_ns + WV_WEB_TABLE_KEEP_NS)
		return;
	wv_web_table_done(t);
	(void)malloc_trim(0);
}

int wv_web_column_by_name(const char *name)
{
	for (int i = 0; i < WV_WEB_COLUMN_N; i++)
		if (strcmp(wv_web_columns[i], name) == 0)
			return i;
	return strcmp(name, "cgroup") == 0 ? WV_WEB_SORT_PATH : -EINVAL;
}
