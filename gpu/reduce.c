// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/reduce.h"

#include <string.h>

enum wv_gpu_class wv_gpu_classify(const char *name)
{
	static const char *const comms[] = {"ncclDevKernel_", "ncclSymkDevKernel_", "ncclKernel_"};

	if (name[0] != 'n') /* most */
		return WV_GPU_KERNEL;
	for (size_t i = 0; i < sizeof(comms) / sizeof(comms[0]); i++)
		if (strncmp(name, comms[i], strlen(comms[i])) == 0)
			return WV_GPU_COMMS;
	return WV_GPU_KERNEL;
}

void wv_gpu_reduce_init(struct wv_gpu_reducer *r, uint32_t device, uint64_t slack_ns)
{
	memset(r, 0, sizeof(*r));
	r->device = device;
	r->slack_ns = r->least_slack_ns = slack_ns;
	for (unsigned c = 0; c < WV_GPU_CLASSES; c++)
		wv_spans_init(&r->set[c], r->memory[c], WV_GPU_SPANS);
}

/* The longest-running names stay: the least of them makes room, and takes its past along. */
static void count_name(struct wv_gpu_window *w, const char *name, uint64_t ns)
{
	unsigned least = 0;

	for (unsigned i = 0; i < WV_GPU_NAMES; i++) {
		if (w->top[i].n && strncmp(w->top[i].name, name, WV_GPU_NAME_SIZE - 1) == 0) {
			w->top[i].ns += ns;
			w->top[i].n++;
			return;
		}
		if (w->top[i].ns < w->top[least].ns)
			least = i;
	}
	if (w->top[least].n && w->top[least].ns >= ns)
		return;
	strncpy(w->top[least].name, name, WV_GPU_NAME_SIZE - 1);
	w->top[least].ns = ns;
	w->top[least].n = 1;
}

void wv_gpu_reduce_add(struct wv_gpu_reducer *r, const struct wv_gpu_activity *a)
{
	struct wv_gpu_window *w = &r->window;
	uint64_t begin = a->begin;

	w->records++;
	/* CUPTI gives 0 where it could not measure; a time from before the first window is late */
	if (!a->begin || a->end < a->begin) {
		w->dropped++;
		return;
	}
	/* buffers of several threads come in any order: the first one need not have the earliest */
	if (!r->begin || (!r->begun && begin < r->begin && r->begin - begin < WV_GPU_SLACK_MOST_NS))
		r->begin = begin - begin % WV_GPU_WINDOW_NS;
	if (a->end > r->seen)
		r->seen = a->end;
	if (begin < r->begin) {
		w->late_ns += (a->end < r->begin ? a->end : r->begin) - begin;
		if (!r->late_from || begin < r->late_from)
			r->late_from = begin;
		begin = r->begin;
	}
	wv_spans_add(&r->set[a->class], begin, a->end);
	if (a->bytes)
		w->copy_bytes[a->copy] += a->bytes;
	if (a->graph)
		w->graphs++;
	if (a->class != WV_GPU_MEMORY) {
		w->kernels++;
		if (a->name)
			count_name(w, a->name, a->end - a->begin);
	}
}

void wv_gpu_reduce_launch(struct wv_gpu_reducer *r, const struct wv_gpu_launch *l)
{
	if (l->sync)
		r->window.syncs++;
	else
		r->window.launches++;
	r->launch[(r->launches_head + r->launches_n) % WV_GPU_LAUNCHES] = *l;
	if (r->launches_n < WV_GPU_LAUNCHES)
		r->launches_n++;
	else
		r->launches_head = (r->launches_head + 1) % WV_GPU_LAUNCHES;
}

/* The first gap that ends at or after t. */
static unsigned gap_until(const struct wv_gpu_window *w, uint64_t t)
{
	unsigned low = 0, high = w->gaps;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (w->gap[mid].end < t)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * What ended each gap: the last launch before the work began. One pass over the calls, which are
 * many, with a search among the gaps, which are few and in order.
 */
static void explain(struct wv_gpu_reducer *r, struct wv_gpu_window *w)
{
	for (uint32_t i = 0; i < r->launches_n; i++) {
		const struct wv_gpu_launch *l =
			&r->launch[(r->launches_head + i) % WV_GPU_LAUNCHES];
		unsigned g = gap_until(w, l->sync ? l->at + 1 : l->at);

		if (!l->sync) {
			if (g < w->gaps && l->at > w->gap[g].launch) {
				w->gap[g].launch = l->at;
				w->gap[g].launch_tid = l->tid;
			}
			continue;
		}
		for (; g < w->gaps && w->gap[g].begin < l->end; g++)
			w->gap[g].sync = 1;
	}
	for (unsigned g = 1; g < w->gaps; g++) {
		if (w->gap[g].launch)
			continue;
		w->gap[g].launch = w->gap[g - 1].launch;
		w->gap[g].launch_tid = w->gap[g - 1].launch_tid;
	}
	/* two at least: the last one before a gap may be of before the window */
	while (r->launches_n > 2 && r->launch[r->launches_head].end < w->begin) {
		r->launches_head = (r->launches_head + 1) % WV_GPU_LAUNCHES;
		r->launches_n--;
	}
}

struct gaps {
	struct wv_gpu_window *w;
	unsigned shortest; /* of a full list */
	uint64_t length;   /* of that one */
};

static void find_shortest(struct gaps *g)
{
	g->length = UINT64_MAX;
	for (unsigned i = 0; i < g->w->gaps; i++) {
		if (g->w->gap[i].end - g->w->gap[i].begin >= g->length)
			continue;
		g->shortest = i;
		g->length = g->w->gap[i].end - g->w->gap[i].begin;
	}
}

/* Keeps the longest gaps, in order of time. */
static void on_gap(void *ctx, uint64_t begin, uint64_t end)
{
	struct gaps *g = ctx;
	struct wv_gpu_window *w = g->w;

	if (w->gaps == WV_GPU_GAPS) {
		if (end - begin <= g->length)
			return;
		memmove(&w->gap[g->shortest], &w->gap[g->shortest + 1],
			(w->gaps - g->shortest - 1) * sizeof(w->gap[0]));
		w->gaps--;
	}
	w->gap[w->gaps++] = (struct wv_gpu_gap){.begin = begin, .end = end};
	if (w->gaps == WV_GPU_GAPS)
		find_shortest(g);
}

/*
 * The union of a class within the window, as the frame has room for: gaps below a limit are closed,
 * and the limit is doubled until it fits.
 */
static void tell_busy(const struct wv_spans *set, struct wv_gpu_window *w, unsigned class)
{
	uint64_t least = 1;
	unsigned n;

	do {
		n = 0;
		for (size_t i = 0; i < set->n && set->at[i].begin < w->end; i++) {
			uint64_t begin = set->at[i].begin, end = set->at[i].end;

			begin = begin > w->begin ? begin - w->begin : 0;
			end = end < w->end ? end - w->begin : w->end - w->begin;
			if (n && begin - w->busy[class][n - 1].end < least)
				w->busy[class][n - 1].end = (uint32_t)end;
			else if (n < WV_GPU_BUSY) {
				w->busy[class][n].begin = (uint32_t)begin;
				w->busy[class][n++].end = (uint32_t)end;
			} else {
				n++;
				break;
			}
		}
		least = least < 1000 ? 1000 : 2 * least;
	} while (n > WV_GPU_BUSY);
	w->busy_n[class] = n;
}

void wv_gpu_reduce_start(struct wv_gpu_reducer *r, uint64_t now)
{
	r->begun = true;
	if (!r->begin)
		r->begin = now - now % WV_GPU_WINDOW_NS;
}

void wv_gpu_reduce_blind(struct wv_gpu_reducer *r, uint64_t begin, uint64_t end)
{
	struct wv_span *last = r->n_unseen ? &r->unseen[r->n_unseen - 1] : NULL;

	if (!begin && !end)
		return;
	if (last && last->end == UINT64_MAX) {
		last->end = end;
		return;
	}
	if (!begin) /* an end of what never began here */
		return;
	/* no room: what lies between the last two is not told either */
	if (r->n_unseen == WV_GPU_BLIND)
		r->unseen[WV_GPU_BLIND - 1].end = end;
	else
		r->unseen[r->n_unseen++] = (struct wv_span){begin, end};
}

/* Whether nothing was recorded for a part of the window; forgets what lies before it. */
static bool unseen(struct wv_gpu_reducer *r, uint64_t begin, uint64_t end)
{
	while (r->n_unseen && r->unseen[0].end <= begin)
		memmove(&r->unseen[0], &r->unseen[1], --r->n_unseen * sizeof(r->unseen[0]));
	return r->n_unseen && r->unseen[0].begin < end;
}

/* On to the next window. */
static void go_on(struct wv_gpu_reducer *r, uint64_t end)
{
	for (unsigned c = 0; c < WV_GPU_CLASSES; c++)
		wv_spans_forget(&r->set[c], end);
	memset(&r->window, 0, sizeof(r->window));
	r->begin = end;
	r->begun = true;
	r->slack_ns -= (r->slack_ns - r->least_slack_ns) / 512;
}

bool wv_gpu_reduce_tell(struct wv_gpu_reducer *r, uint64_t now, const struct wv_gpu_window **ret)
{
	struct wv_gpu_window *told = &r->told;
	struct gaps gaps = {.w = told};
	uint64_t end = r->begin + WV_GPU_WINDOW_NS, closed = 0;
	struct wv_gpu_shares s;

	/* had it waited so long, nothing would have been late */
	if (r->late_from && now > r->late_from && now - r->late_from > r->slack_ns)
		r->slack_ns = now - r->late_from;
	r->late_from = 0;
	if (r->slack_ns > WV_GPU_SLACK_MOST_NS)
		r->slack_ns = WV_GPU_SLACK_MOST_NS;
	if (!r->begin || now < end + r->slack_ns)
		return false;
	for (; unseen(r, r->begin, end); end += WV_GPU_WINDOW_NS) {
		go_on(r, end);
		if (now < end + WV_GPU_WINDOW_NS + r->slack_ns)
			return false;
	}
	*told = r->window;
	told->frame = (struct wv_gpu_frame){.bytes = sizeof(*told), .type = WV_GPU_WINDOW};
	told->device = r->device;
	told->begin = r->begin;
	told->end = end;
	wv_gpu_account(&r->set[WV_GPU_KERNEL], &r->set[WV_GPU_COMMS], &r->set[WV_GPU_MEMORY],
		       r->begin, end, &s, on_gap, &gaps);
	told->kernel_ns = s.kernel;
	told->comms_ns = s.comms;
	told->exposed_ns = s.exposed;
	told->overlapped_ns = s.overlapped;
	told->memory_ns = s.memory;
	told->idle_ns = s.idle;
	explain(r, told);
	for (unsigned c = 0; c < WV_GPU_CLASSES; c++) {
		tell_busy(&r->set[c], told, c);
		closed += r->set[c].closed_ns;
	}
	told->closed_ns = closed - r->closed_told_ns;
	r->closed_told_ns = closed;
	go_on(r, end);
	*ret = told;
	return true;
}
