// SPDX-License-Identifier: GPL-2.0-only
#include "user/gpu/join.h"

#include <string.h>

#include "user/core/cleanup.h"

#define PARTS 8 /* processes of one device that are joined; what more tell is left out */

/*
 * A thread that has waited for the device needs some time to come back and to launch: so much of
 * the gap after a synchronisation is for the sake of that, and what goes beyond is its own work.
 */
#define AFTER_SYNC_NS 200000

bool wv_gpu_window_valid(const struct wv_gpu_window *w, uint32_t devices, uint64_t now)
{
	uint64_t sum = w->kernel_ns, last = w->begin;

	if (w->device >= devices || w->end - w->begin != WV_GPU_WINDOW_NS ||
	    w->begin % WV_GPU_WINDOW_NS || w->end > now || w->gaps > WV_GPU_GAPS)
		return false;
	if (w->kernel_ns > WV_GPU_WINDOW_NS || w->exposed_ns > WV_GPU_WINDOW_NS ||
	    w->memory_ns > WV_GPU_WINDOW_NS || w->idle_ns > WV_GPU_WINDOW_NS ||
	    w->overlapped_ns > w->kernel_ns || w->comms_ns != w->exposed_ns + w->overlapped_ns)
		return false;
	sum += w->exposed_ns + w->memory_ns + w->idle_ns;
	if (sum != WV_GPU_WINDOW_NS)
		return false;
	sum = 0;
	for (uint32_t i = 0; i < w->gaps; i++) {
		if (w->gap[i].begin < last || w->gap[i].end <= w->gap[i].begin ||
		    w->gap[i].end > w->end)
			return false;
		last = w->gap[i].end;
		sum += w->gap[i].end - w->gap[i].begin;
	}
	if (sum > w->idle_ns)
		return false;
	for (unsigned c = 0; c < 3; c++) {
		uint32_t end = 0;

		if (w->busy_n[c] > WV_GPU_BUSY)
			return false;
		for (uint32_t i = 0; i < w->busy_n[c]; i++) {
			if (w->busy[c][i].begin < end || w->busy[c][i].end <= w->busy[c][i].begin ||
			    w->busy[c][i].end > WV_GPU_WINDOW_NS)
				return false;
			end = w->busy[c][i].end;
		}
	}
	return true;
}

void wv_gpu_sums_add(struct wv_gpu_sums *a, const struct wv_gpu_sums *b)
{
	/* nothing but counters */
	uint64_t *to = (uint64_t *)a;
	const uint64_t *from = (const uint64_t *)b;

	for (size_t i = 0; i < sizeof(*a) / sizeof(*to); i++)
		to[i] += from[i];
}
_Static_assert(sizeof(struct wv_gpu_sums) % sizeof(uint64_t) == 0, "counters");

/* --- shares ---------------------------------------------------------------------------------- */

struct joined {
	struct wv_gpu_gap gap[WV_GPU_GAPS];
	uint32_t gaps;
	const struct wv_gpu_part *parts;
	unsigned n;
};

/* The launch that ended a gap, by the process whose own gap ends there. */
static void find_launch(const struct joined *j, struct wv_gpu_gap *g)
{
	g->launch_tid = j->parts[0].tid;
	for (unsigned p = 0; p < j->n; p++)
		for (uint32_t i = 0; i < j->parts[p].window->gaps; i++) {
			const struct wv_gpu_gap *own = &j->parts[p].window->gap[i];

			if (own->end != g->end)
				continue;
			g->launch = own->launch;
			g->launch_tid = own->launch_tid ? own->launch_tid : j->parts[p].tid;
			g->sync |= own->sync;
		}
}

/* Keeps the longest. */
static void on_gap(void *ctx, uint64_t begin, uint64_t end)
{
	struct joined *j = ctx;

	if (j->gaps == WV_GPU_GAPS) {
		uint32_t least = 0;

		for (uint32_t i = 1; i < j->gaps; i++)
			if (j->gap[i].end - j->gap[i].begin <
			    j->gap[least].end - j->gap[least].begin)
				least = i;
		if (end - begin <= j->gap[least].end - j->gap[least].begin)
			return;
		memmove(&j->gap[least], &j->gap[least + 1],
			(j->gaps - least - 1) * sizeof(j->gap[0]));
		j->gaps--;
	}
	j->gap[j->gaps] = (struct wv_gpu_gap){.begin = begin, .end = end};
	find_launch(j, &j->gap[j->gaps++]);
}

static void join_spans(struct joined *j, struct wv_gpu_shares *ret)
{
	static _Thread_local struct wv_span memory[3][PARTS * WV_GPU_BUSY];
	uint64_t begin = j->parts[0].window->begin;
	struct wv_spans set[3];

	for (unsigned c = 0; c < 3; c++) {
		wv_spans_init(&set[c], memory[c], ARRAY_SIZE(memory[c]));
		for (unsigned p = 0; p < j->n; p++) {
			const struct wv_gpu_window *w = j->parts[p].window;

			for (uint32_t i = 0; i < w->busy_n[c]; i++)
				wv_spans_add(&set[c], begin + w->busy[c][i].begin,
					     begin + w->busy[c][i].end);
		}
	}
	wv_gpu_account(&set[0], &set[1], &set[2], begin, begin + WV_GPU_WINDOW_NS, ret, on_gap, j);
}

static void take_one(struct joined *j, struct wv_gpu_shares *ret)
{
	const struct wv_gpu_window *w = j->parts[0].window;

	*ret = (struct wv_gpu_shares){.window = WV_GPU_WINDOW_NS,
				      .kernel = w->kernel_ns,
				      .comms = w->comms_ns,
				      .exposed = w->exposed_ns,
				      .overlapped = w->overlapped_ns,
				      .memory = w->memory_ns,
				      .idle = w->idle_ns};
	j->gaps = w->gaps;
	memcpy(j->gap, w->gap, sizeof(j->gap));
	for (uint32_t i = 0; i < j->gaps; i++)
		if (!j->gap[i].launch_tid)
			j->gap[i].launch_tid = j->parts[0].tid;
}

/* --- causes ---------------------------------------------------------------------------------- */

static void ask(const struct wv_gpu_waits *waits, uint32_t tid, uint64_t begin, uint64_t end,
		struct wv_chain_split *ret)
{
	*ret = (struct wv_chain_split){0};
	if (waits && tid)
		waits->split(waits->ctx, tid, begin, end, ret);
	else
		ret->cause_ns[WV_GPU_CAUSE_UNKNOWN] = end - begin;
}

static void explain(const struct wv_gpu_gap *g, const struct wv_gpu_waits *waits,
		    struct wv_chain_split *ret)
{
	uint64_t call = g->end;

	/* a launch from before the gap waited for something on the device */
	if (g->launch)
		call = g->launch <= g->begin ? g->begin : g->launch < g->end ? g->launch : g->end;
	ask(waits, g->launch_tid, g->begin, call, ret);
	ret->cause_ns[WV_GPU_CAUSE_LAUNCH] += g->end - call;
	if (g->sync) {
		uint64_t host = ret->cause_ns[WV_GPU_CAUSE_HOST];

		host = host < AFTER_SYNC_NS ? host : AFTER_SYNC_NS;
		ret->cause_ns[WV_GPU_CAUSE_HOST] -= host;
		ret->cause_ns[WV_GPU_CAUSE_SYNC] += host + ret->cause_ns[WV_GPU_CAUSE_UNKNOWN];
		ret->cause_ns[WV_GPU_CAUSE_UNKNOWN] = 0;
	}
}

static enum wv_gpu_cause most(const uint64_t cause_ns[WV_GPU_CAUSE_N])
{
	unsigned most = WV_GPU_CAUSE_UNKNOWN;

	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++)
		if (cause_ns[i] > cause_ns[most])
			most = i;
	return most;
}

/* Gaps that are too many to be told one by one: by what the thread did in the whole window. */
static void explain_rest(uint64_t rest, const struct joined *j, const struct wv_gpu_waits *waits,
			 struct wv_gpu_sums *sums)
{
	uint64_t begin = j->parts[0].window->begin, left = rest, input;
	struct wv_chain_split s;

	ask(waits, j->parts[0].tid, begin, begin + WV_GPU_WINDOW_NS, &s);
	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++) {
		uint64_t ns = rest * s.cause_ns[i] / WV_GPU_WINDOW_NS;

		sums->cause_ns[i] += ns;
		left -= ns;
	}
	sums->cause_ns[WV_GPU_CAUSE_UNKNOWN] += left;
	input = rest * s.cause_ns[WV_GPU_CAUSE_INPUT] / WV_GPU_WINDOW_NS;
	for (unsigned i = 0; i < WV_GPU_INPUT_N; i++) {
		uint64_t ns = rest * s.input_ns[i] / WV_GPU_WINDOW_NS;

		sums->input_ns[i] += ns;
		input -= ns;
	}
	sums->input_ns[WV_GPU_INPUT_OTHER] += input;
}

static void tell_gaps(const struct joined *j, const struct wv_gpu_waits *waits,
		      struct wv_gpu_told *ret)
{
	uint64_t rest = ret->sums.shares.idle;

	ret->gaps = j->gaps;
	for (uint32_t i = 0; i < j->gaps; i++) {
		const struct wv_gpu_gap *g = &j->gap[i];
		struct wv_chain_split s;

		explain(g, waits, &s);
		for (unsigned k = 0; k < WV_GPU_CAUSE_N; k++)
			ret->sums.cause_ns[k] += s.cause_ns[k];
		for (unsigned k = 0; k < WV_GPU_INPUT_N; k++)
			ret->sums.input_ns[k] += s.input_ns[k];
		ret->gap[i] = (struct wv_gpu_told_gap){g->begin, g->end, most(s.cause_ns)};
		rest -= g->end - g->begin;
	}
	if (rest)
		explain_rest(rest, j, waits, &ret->sums);
}

static void add_name(struct wv_gpu_told *ret, const char *name, uint64_t ns, uint64_t n)
{
	uint32_t i, least = 0;

	for (i = 0; i < ret->names; i++) {
		if (strncmp(ret->top[i].name, name, WV_GPU_NAME_SIZE - 1) == 0) {
			ret->top[i].ns += ns;
			ret->top[i].n += n;
			return;
		}
		if (ret->top[i].ns < ret->top[least].ns)
			least = i;
	}
	if (ret->names < WV_GPU_NAMES)
		least = ret->names++;
	else if (ret->top[least].ns >= ns)
		return;
	memset(&ret->top[least], 0, sizeof(ret->top[least]));
	memcpy(ret->top[least].name, name, strnlen(name, WV_GPU_NAME_SIZE - 1));
	ret->top[least].ns = ns;
	ret->top[least].n = n;
}

static void add_counts(struct wv_gpu_told *ret, const struct wv_gpu_window *w)
{
	struct wv_gpu_sums *s = &ret->sums;

	s->kernels += w->kernels;
	s->graphs += w->graphs;
	s->launches += w->launches;
	s->syncs += w->syncs;
	for (unsigned i = 0; i < ARRAY_SIZE(s->copy_bytes); i++)
		s->copy_bytes[i] += w->copy_bytes[i];
	s->records += w->records;
	s->dropped += w->dropped;
	s->late_ns += w->late_ns;
	s->closed_ns += w->closed_ns;
	s->own_ns += w->own_ns;
	for (unsigned i = 0; i < WV_GPU_NAMES; i++)
		if (w->top[i].n)
			add_name(ret, w->top[i].name, w->top[i].ns, w->top[i].n);
}

void wv_gpu_join(const struct wv_gpu_part *parts, unsigned n, uint32_t device,
		 const struct wv_gpu_waits *waits, struct wv_gpu_told *ret)
{
	struct joined j = {.parts = parts, .n = n < PARTS ? n : PARTS};

	memset(ret, 0, sizeof(*ret));
	ret->device = device;
	ret->begin = parts[0].window->begin;
	ret->end = parts[0].window->end;
	if (n == 1)
		take_one(&j, &ret->sums.shares);
	else
		join_spans(&j, &ret->sums.shares);
	tell_gaps(&j, waits, ret);
	for (unsigned i = 0; i < n; i++)
		add_counts(ret, parts[i].window);
}
