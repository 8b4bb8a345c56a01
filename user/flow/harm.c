// SPDX-License-Identifier: GPL-2.0-only
#include "user/flow/harm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

const char *const wv_harm_kinds[WV_HARM_N] = {"cpu", "memory", "io"};
const char *const wv_harm_causes[2] = {"other", "limit"};
const char *const wv_harm_confidences[3] = {"low", "medium", "high"};

/* Less than this is noise of any busy machine. */
#define MIN_WAIT_PERMILLE 20
#define MIN_LOST_PERMILLE 50
/* A shorter time has too few events to trust. */
#define MIN_SPAN_NS 900000000ULL
/* From here on a resource counts as short. */
#define CPU_SHORT_PERMILLE 850
#define CPU_BUSY_PERMILLE 500
#define MEMORY_FULL_PERMILLE 900
/* What a page fault takes at least. Huge pages take more, which growth shows. */
#define PAGE_BYTES 4096.0
/* No tree is deeper; a damaged link must not make a loop. */
#define MAX_DEPTH 64

/* What a row did in the time, per kind. */
struct part {
	uint64_t span_ns;
	double wait_ns[WV_HARM_N];
	double took[WV_HARM_N]; /* per second */
	double io_bytes;	/* per second */
	double throttled_ns;	/* by the row's own quota */
	bool live, parent;
};

struct look {
	const struct wv_sample *now, *before;
	unsigned ncpu;
	struct part *parts; /* [now->used_rows] */
	bool by_bytes;	    /* no block request was seen to end */
};

static const struct wv_row *earlier(const struct look *l, uint32_t slot)
{
	const struct wv_row *now = &l->now->rows[slot], *row;

	if (!l->before || slot >= l->before->used_rows)
		return NULL;
	row = &l->before->rows[slot];
	return (row->flags & WV_ROW_LIVE) && row->key == now->key &&
			       row->created_mono_ns == now->created_mono_ns
		       ? row
		       : NULL;
}

static double own(const struct wv_sample *s, uint32_t slot, enum wv_signal sig)
{
	uint64_t v = s->rows[slot].f.v[sig], base = 0;

	if ((s->rows[slot].flags & WV_ROW_BASE) && wv_signals[sig].kind == WV_COUNTER)
		base = s->base[slot].v[sig];
	return v > base ? (double)(v - base) : 0;
}

/* Change of a counter. A file's counter has a beginning only where there is a sample before. */
static double change(const struct look *l, uint32_t slot, enum wv_signal sig)
{
	const struct wv_row *old = earlier(l, slot);
	double v;

	if (!old && !l->before && wv_signals[sig].kind == WV_TREE_COUNTER)
		return 0;
	v = own(l->now, slot, sig) - (old ? own(l->before, slot, sig) : 0);
	return v > 0 ? v : 0;
}

static double growth(const struct look *l, uint32_t slot, enum wv_signal sig)
{
	const struct wv_row *old = earlier(l, slot);
	uint64_t now = l->now->rows[slot].f.v[sig];

	return old && now > old->f.v[sig] ? (double)(now - old->f.v[sig]) : 0;
}

static double hist_sum(const struct wv_sample *s, uint32_t slot, enum wv_hist_id h)
{
	uint64_t v = s->rows[slot].f.hist[h].sum_ns, base = 0;

	if (s->rows[slot].flags & WV_ROW_BASE)
		base = s->base[slot].hist[h].sum_ns;
	return v > base ? (double)(v - base) : 0;
}

static double hist_change(const struct look *l, uint32_t slot, enum wv_hist_id h)
{
	double v = hist_sum(l->now, slot, h);

	if (earlier(l, slot))
		v -= hist_sum(l->before, slot, h);
	return v > 0 ? v : 0;
}

static double larger(double a, double b)
{
	return a > b ? a : b;
}

static double smaller(double a, double b)
{
	return a < b ? a : b;
}

static uint32_t permille(double part, double whole)
{
	return whole <= 0 ? 0 : (uint32_t)(smaller(part / whole, 1) * 1000 + 0.5);
}

/* The row above, or WV_SLOT_OTHER. */
static uint32_t above(const struct look *l, uint32_t slot)
{
	const struct wv_row *row = &l->now->rows[slot];
	uint32_t up = row->parent_slot;

	return up < l->now->used_rows && up != slot && up != WV_SLOT_OTHER && l->parts[up].live &&
			       l->now->rows[up].key == row->parent_key
		       ? up
		       : WV_SLOT_OTHER;
}

static void measure(const struct look *l, uint32_t slot, struct part *p)
{
	uint64_t created = l->now->rows[slot].created_mono_ns;
	uint64_t since = earlier(l, slot) ? l->before->mono_ns : created;
	double seconds, pages;

	p->span_ns = l->now->mono_ns > since + 1000000 ? l->now->mono_ns - since : 1000000;
	seconds = (double)p->span_ns / 1e9;
	p->throttled_ns = change(l, slot, WV_SIG_CPU_THROTTLED);
	p->wait_ns[WV_HARM_CPU] = change(l, slot, WV_SIG_CPU_RUN_DELAY);
	p->took[WV_HARM_CPU] = change(l, slot, WV_SIG_CPU_USAGE) / 1e9 / seconds;
	p->wait_ns[WV_HARM_MEMORY] = change(l, slot, WV_SIG_MEM_RECLAIM);
	pages = PAGE_BYTES * (change(l, slot, WV_SIG_MEM_MINOR_FAULTS) +
			      change(l, slot, WV_SIG_MEM_MAJOR_FAULTS));
	p->took[WV_HARM_MEMORY] = larger(pages, growth(l, slot, WV_SIG_MEM_RSS)) / seconds;
	/* time of requests over time: how many are in flight on average (Little) */
	p->took[WV_HARM_IO] = hist_change(l, slot, WV_HIST_IO_LATENCY) / (double)p->span_ns;
	p->io_bytes =
		(change(l, slot, WV_SIG_IO_READ_BYTES) + change(l, slot, WV_SIG_IO_WRITE_BYTES)) /
		seconds;
	p->wait_ns[WV_HARM_IO] = smaller(p->took[WV_HARM_IO], 1) * (double)p->span_ns;
}

/* Pressure is of the whole subtree: only a leaf's is its own. It knows of waits that no hook sees.
 */
static void measure_pressure(const struct look *l, uint32_t slot, struct part *p)
{
	bool root = strcmp(l->now->rows[slot].path, "/") == 0;

	if (p->parent || root)
		return;
	p->wait_ns[WV_HARM_MEMORY] =
		larger(p->wait_ns[WV_HARM_MEMORY], 1e3 * change(l, slot, WV_SIG_PSI_MEM_SOME));
	/* pressure says which waits held tasks up: a request may well be waited for by none */
	if (l->before && l->now->rows[slot].f.v[WV_SIG_PSI_IO_SOME])
		p->wait_ns[WV_HARM_IO] = 1e3 * change(l, slot, WV_SIG_PSI_IO_SOME);
}

static void measure_all(struct look *l)
{
	double requests = 0;

	/* `other`, slot 0, is many cgroups: it counts for what was taken, and is never named */
	for (uint32_t s = 0; s < l->now->used_rows; s++)
		l->parts[s].live =
			(l->now->rows[s].flags & (WV_ROW_LIVE | WV_ROW_GONE)) == WV_ROW_LIVE;
	for (uint32_t s = 0; s < l->now->used_rows; s++) {
		uint32_t up = l->parts[s].live ? above(l, s) : WV_SLOT_OTHER;

		if (up != WV_SLOT_OTHER)
			l->parts[up].parent = true;
		if (l->parts[s].live)
			measure(l, s, &l->parts[s]);
		requests += l->parts[s].took[WV_HARM_IO];
	}
	l->by_bytes = requests <= 0;
	for (uint32_t s = 0; s < l->now->used_rows; s++) {
		if (!l->parts[s].live)
			continue;
		measure_pressure(l, s, &l->parts[s]);
		if (l->by_bytes)
			l->parts[s].took[WV_HARM_IO] = l->parts[s].io_bytes;
	}
}

/* Whether a slot is `top` or below it; WV_SLOT_OTHER is above everything. */
static bool below(const struct look *l, uint32_t slot, uint32_t top)
{
	for (int i = 0; i < MAX_DEPTH && top != WV_SLOT_OTHER; i++) {
		if (slot == top)
			return true;
		slot = above(l, slot);
		if (slot == WV_SLOT_OTHER)
			return false;
	}
	return top == WV_SLOT_OTHER;
}

/* The victim or the nearest cgroup above it that has reached its memory limit, or WV_SLOT_OTHER. */
static uint32_t full_above(const struct look *l, uint32_t slot)
{
	for (int i = 0; i < MAX_DEPTH && slot != WV_SLOT_OTHER; i++, slot = above(l, slot)) {
		const uint64_t *v = l->now->rows[slot].f.v;

		if (v[WV_SIG_MEM_LIMIT] &&
		    (double)v[WV_SIG_MEM_USAGE] * 1000 >=
			    (double)v[WV_SIG_MEM_LIMIT] * MEMORY_FULL_PERMILLE)
			return slot;
	}
	return WV_SLOT_OTHER;
}

/* The victim or the cgroup above it that its quota held longest, or WV_SLOT_OTHER. */
static uint32_t throttled_above(const struct look *l, uint32_t slot)
{
	uint32_t most = WV_SLOT_OTHER;

	for (int i = 0; i < MAX_DEPTH && slot != WV_SLOT_OTHER; i++, slot = above(l, slot))
		if (l->parts[slot].throttled_ns > 0 &&
		    (most == WV_SLOT_OTHER ||
		     l->parts[slot].throttled_ns > l->parts[most].throttled_ns))
			most = slot;
	return most;
}

struct taken {
	uint32_t most; /* who took most, or WV_SLOT_OTHER */
	double total, most_took;
};

static struct taken who_took(const struct look *l, enum wv_harm_kind kind, uint32_t scope)
{
	struct taken t = {.most = WV_SLOT_OTHER};

	for (uint32_t s = 0; s < l->now->used_rows; s++) {
		double took = l->parts[s].live ? l->parts[s].took[kind] : 0;

		if (took <= 0 || !below(l, s, scope))
			continue;
		t.total += took;
		if (s != WV_SLOT_OTHER && took > t.most_took) {
			t.most = s;
			t.most_took = took;
		}
	}
	return t;
}

static enum wv_harm_confidence confidence(const struct look *l, const struct wv_harm *h,
					  const struct taken *t, bool scoped)
{
	uint32_t share = permille(h->culprit_took, t->total - h->victim_took);
	uint32_t busy = h->kind == WV_HARM_CPU ? permille(t->total, l->ncpu) : 1000;
	bool is_short = scoped || busy >= CPU_SHORT_PERMILLE;

	/* waiting itself shows that memory was short, but not whose taking made it so */
	if (h->kind == WV_HARM_MEMORY && !scoped && h->wait_ns * 20 < h->span_ns)
		is_short = false;
	if (h->span_ns < MIN_SPAN_NS || busy < CPU_BUSY_PERMILLE)
		return WV_HARM_LOW;
	if (is_short && share >= 500)
		return WV_HARM_HIGH;
	return share >= 300 ? WV_HARM_MEDIUM : WV_HARM_LOW;
}

/* An own limit, or that of a cgroup above, where nobody else is to be blamed. */
static void blame_limit(struct wv_harm *h, uint32_t limit, double held_ns)
{
	h->cause = WV_HARM_LIMIT;
	h->culprit = limit;
	h->blamed_ns = (uint64_t)smaller(held_ns, (double)h->wait_ns);
	h->confidence = h->span_ns < MIN_SPAN_NS ? WV_HARM_LOW : WV_HARM_HIGH;
}

/* h->wait_ns less what an own quota explains, blamed on who took most. false: nobody did. */
static bool blame_other(const struct look *l, struct wv_harm *h, const struct taken *t,
			double wait_ns, bool scoped)
{
	double excess = t->most_took - h->victim_took;

	if (t->most == WV_SLOT_OTHER || t->most == h->victim || excess <= 0)
		return false;
	h->cause = WV_HARM_OTHER;
	h->culprit = t->most;
	h->culprit_took = t->most_took;
	h->share_permille = permille(t->most_took, t->total);
	h->blamed_ns = (uint64_t)(wait_ns * (excess / t->total));
	h->confidence = confidence(l, h, t, scoped);
	return true;
}

static bool judge(const struct look *l, struct wv_harm *h, const struct taken *machine)
{
	const struct part *p = &l->parts[h->victim];
	double wait = (double)h->wait_ns;
	uint32_t limit;

	if (h->kind == WV_HARM_CPU) {
		limit = throttled_above(l, h->victim);
		if (limit == WV_SLOT_OTHER)
			return blame_other(l, h, machine, wait, false);
		/* tasks wait while their group is throttled, and that is in their delay as well */
		if (l->parts[limit].throttled_ns * 2 < wait)
			return blame_other(l, h, machine, wait - l->parts[limit].throttled_ns,
					   false);
		blame_limit(h, limit, l->parts[limit].throttled_ns);
		return true;
	}
	if (h->kind == WV_HARM_MEMORY) {
		struct taken t = *machine;

		limit = full_above(l, h->victim);
		if (limit != WV_SLOT_OTHER)
			t = who_took(l, WV_HARM_MEMORY, limit);
		if (blame_other(l, h, &t, wait, limit != WV_SLOT_OTHER))
			return true;
		if (limit == WV_SLOT_OTHER)
			return false;
		blame_limit(h, limit, wait);
		return true;
	}
	h->by_bytes = l->by_bytes;
	return p->wait_ns[WV_HARM_IO] > 0 && blame_other(l, h, machine, wait, false);
}

static void weigh_loss(const struct part *p, struct wv_harm *h)
{
	double need = (double)h->span_ns;

	if (h->kind == WV_HARM_CPU)
		need = (double)h->wait_ns + p->took[WV_HARM_CPU] * (double)h->span_ns;
	h->lost_permille = permille((double)h->blamed_ns, need);
}

static double weight(const struct wv_harm *h)
{
	return (double)h->blamed_ns / (double)h->span_ns * h->lost_permille;
}

/* Keeps ret sorted: max is small. */
static void insert(struct wv_harm *ret, size_t max, size_t *n, const struct wv_harm *h)
{
	size_t at = *n;

	while (at > 0 && weight(&ret[at - 1]) < weight(h))
		at--;
	if (at == max)
		return;
	if (*n < max)
		(*n)++;
	memmove(ret + at + 1, ret + at, (*n - 1 - at) * sizeof(*ret));
	ret[at] = *h;
}

int wv_harm_rank(const struct wv_sample *now, const struct wv_sample *before, unsigned ncpu,
		 struct wv_harm *ret, size_t max, size_t *ret_n)
{
	_cleanup_free_ struct part *parts = calloc(now->used_rows + 1, sizeof(*parts));
	struct look l = {.now = now, .before = before, .ncpu = ncpu, .parts = parts};
	size_t n = 0;

	if (!parts)
		return -ENOMEM;
	measure_all(&l);
	for (int k = 0; k < WV_HARM_N; k++) {
		struct taken machine = who_took(&l, (enum wv_harm_kind)k, WV_SLOT_OTHER);

		for (uint32_t s = 0; s < now->used_rows; s++) {
			struct wv_harm h = {.kind = (enum wv_harm_kind)k,
					    .victim = s,
					    .span_ns = parts[s].span_ns,
					    .wait_ns = (uint64_t)parts[s].wait_ns[k],
					    .victim_took = parts[s].took[k]};

			if (s == WV_SLOT_OTHER || !parts[s].live ||
			    permille((double)h.wait_ns, (double)h.span_ns) < MIN_WAIT_PERMILLE ||
			    !judge(&l, &h, &machine))
				continue;
			weigh_loss(&parts[s], &h);
			if (permille((double)h.blamed_ns, (double)h.span_ns) >= MIN_WAIT_PERMILLE &&
			    h.lost_permille >= MIN_LOST_PERMILLE)
				insert(ret, max, &n, &h);
		}
	}
	*ret_n = n;
	return 0;
}
