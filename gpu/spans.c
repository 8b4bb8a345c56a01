// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/spans.h"

#include <stdbool.h>
#include <string.h>

void wv_spans_init(struct wv_spans *s, struct wv_span *memory, size_t room)
{
	*s = (struct wv_spans){.at = memory, .room = room};
}

/* The first span that ends at or after t: the first that a span from t on can touch. */
static size_t first_touching(const struct wv_spans *s, uint64_t t)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->at[mid].end < t)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Closes every gap of at most `limit`; how many spans that leaves less. */
static size_t close_gaps(struct wv_spans *s, uint64_t limit)
{
	size_t kept = 1, had = s->n;

	for (size_t i = 1; i < s->n; i++) {
		uint64_t gap = s->at[i].begin - s->at[kept - 1].end;

		if (gap <= limit) {
			s->closed_ns += gap;
			s->at[kept - 1].end = s->at[i].end;
		} else {
			s->at[kept++] = s->at[i];
		}
	}
	s->n = kept;
	return had - kept;
}

/* The smallest gap, and so many more that a full set does not come here for each span. */
static void close_smallest_gaps(struct wv_spans *s)
{
	uint64_t least = UINT64_MAX;
	size_t freed;

	for (size_t i = 1; i < s->n; i++)
		if (s->at[i].begin - s->at[i - 1].end < least)
			least = s->at[i].begin - s->at[i - 1].end;
	freed = close_gaps(s, least);
	while (freed < s->room / 16 && least < UINT64_MAX / 2) {
		least = least ? 2 * least : 1;
		freed += close_gaps(s, least);
	}
}

static void insert(struct wv_spans *s, size_t i, uint64_t begin, uint64_t end)
{
	if (s->n == s->room) {
		close_smallest_gaps(s);
		/* places have moved, and what was closed may hold it now */
		wv_spans_add(s, begin, end);
		return;
	}
	memmove(&s->at[i + 1], &s->at[i], (s->n - i) * sizeof(s->at[0]));
	s->at[i] = (struct wv_span){begin, end};
	s->n++;
}

void wv_spans_add(struct wv_spans *s, uint64_t begin, uint64_t end)
{
	struct wv_span *last = s->n ? &s->at[s->n - 1] : NULL;
	size_t i, j;

	if (begin >= end)
		return;
	if (!last || begin > last->end) {
		insert(s, s->n, begin, end);
		return;
	}
	if (begin >= last->begin) {
		if (end > last->end)
			last->end = end;
		return;
	}
	i = first_touching(s, begin);
	if (end < s->at[i].begin) {
		insert(s, i, begin, end);
		return;
	}
	/* joins i to j - 1 */
	for (j = i + 1; j < s->n && s->at[j].begin <= end; j++)
		;
	if (begin < s->at[i].begin)
		s->at[i].begin = begin;
	s->at[i].end = s->at[j - 1].end > end ? s->at[j - 1].end : end;
	memmove(&s->at[i + 1], &s->at[j], (s->n - j) * sizeof(s->at[0]));
	s->n -= j - i - 1;
}

void wv_spans_forget(struct wv_spans *s, uint64_t until)
{
	size_t i = first_touching(s, until);

	if (i < s->n && s->at[i].end == until)
		i++;
	memmove(s->at, &s->at[i], (s->n - i) * sizeof(s->at[0]));
	s->n -= i;
	if (s->n && s->at[0].begin < until)
		s->at[0].begin = until;
}

uint64_t wv_spans_length(const struct wv_spans *s, uint64_t begin, uint64_t end)
{
	uint64_t sum = 0;

	for (size_t i = first_touching(s, begin); i < s->n && s->at[i].begin < end; i++) {
		uint64_t from = s->at[i].begin > begin ? s->at[i].begin : begin;
		uint64_t to = s->at[i].end < end ? s->at[i].end : end;

		if (to > from)
			sum += to - from;
	}
	return sum;
}

/* Where one set stands while all are walked along the time line. */
struct walk {
	const struct wv_spans *set;
	size_t i;
};

/* Whether the set covers t; lowers *next to where that changes. */
static bool covers(struct walk *w, uint64_t t, uint64_t *next)
{
	const struct wv_span *span;

	while (w->i < w->set->n && w->set->at[w->i].end <= t)
		w->i++;
	if (w->i == w->set->n)
		return false;
	span = &w->set->at[w->i];
	if (span->begin > t) {
		if (span->begin < *next)
			*next = span->begin;
		return false;
	}
	if (span->end < *next)
		*next = span->end;
	return true;
}

void wv_gpu_account(const struct wv_spans *kernels, const struct wv_spans *comms,
		    const struct wv_spans *memory, uint64_t begin, uint64_t end,
		    struct wv_gpu_shares *ret,
		    void (*idle)(void *ctx, uint64_t begin, uint64_t end), void *ctx)
{
	struct walk k = {kernels, first_touching(kernels, begin)};
	struct walk c = {comms, first_touching(comms, begin)};
	struct walk m = {memory, first_touching(memory, begin)};
	uint64_t next, gap = 0;
	bool in_gap = false;

	*ret = (struct wv_gpu_shares){.window = end > begin ? end - begin : 0};
	for (uint64_t t = begin; t < end; t = next) {
		bool in_k, in_c, in_m;

		next = end;
		in_k = covers(&k, t, &next);
		in_c = covers(&c, t, &next);
		in_m = covers(&m, t, &next);
		if (in_k)
			ret->kernel += next - t;
		if (in_c)
			ret->comms += next - t;
		if (in_c && !in_k)
			ret->exposed += next - t;
		if (in_c && in_k)
			ret->overlapped += next - t;
		if (in_m && !in_k && !in_c)
			ret->memory += next - t;
		if (!in_k && !in_c && !in_m) {
			ret->idle += next - t;
			if (!in_gap)
				gap = t;
			in_gap = true;
		} else if (in_gap) {
			if (idle)
				idle(ctx, gap, t);
			in_gap = false;
		}
	}
	if (in_gap && idle)
		idle(ctx, gap, end);
}
