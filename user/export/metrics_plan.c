// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ranks the rows of a sample and gives each a level, so that a scrape stays below its ceiling of
 * series. A row keeps its level unless another has twice its CPU time: series do not come and go
 * with noise.
 * `__other__` is the sum of the rows without series of their own; when a row changes sides its
 * figure is taken from (added to) an offset, so that the sum shows only what the rows did while
 * they were in it.
 */
#include "user/export/metrics_plan.h"

#include <errno.h>
#include <stdlib.h>

#include "user/core/cgroup.h"
#include "user/kube/names.h"
#include "user/flow/figures.h"
#include "user/flow/gpu.h"

/* Label block of a row: path and identity, all escaped. Longer ones cannot come from 256-byte
 * paths. */
#define LABELS_MAX_BYTES (64U << 20)

static const enum wv_signal core_signals[] = {
	WV_SIG_CPU_USAGE,    WV_SIG_CPU_RUN_DELAY, WV_SIG_CPU_THROTTLED,     WV_SIG_MEM_USAGE,
	WV_SIG_MEM_RSS,	     WV_SIG_MEM_OOM_KILLS, WV_SIG_IO_READ_BYTES,     WV_SIG_IO_WRITE_BYTES,
	WV_SIG_NET_RX_BYTES, WV_SIG_NET_TX_BYTES,  WV_SIG_ERR_FATAL_SIGNALS, WV_SIG_TASK_PROCESSES,
};

/* Exported at 0 too: without a first 0, increase() does not see the first event. */
static bool always(enum wv_signal s)
{
	return s == WV_SIG_CPU_USAGE || s == WV_SIG_MEM_OOM_KILLS;
}

bool wv_plan_core(enum wv_signal s)
{
	for (size_t i = 0; i < ARRAY_SIZE(core_signals); i++)
		if (core_signals[i] == s)
			return true;
	return false;
}

bool wv_plan_adds(enum wv_signal s)
{
	/* a tree's figure is in its ancestors already; a mean does not add */
	return (wv_signals[s].kind == WV_COUNTER || wv_signals[s].kind == WV_GAUGE) &&
	       s != WV_SIG_TCP_SRTT;
}

bool wv_plan_machine_wide(enum wv_facet_id f)
{
	return f == WV_FACET_SOFTIRQ || f == WV_FACET_HWERR;
}

uint64_t wv_plan_own(const struct wv_sample *s, uint32_t slot, enum wv_signal sig)
{
	const struct wv_row *row = &s->rows[slot];
	uint64_t v = row->f.v[sig], base;

	if (!(row->flags & WV_ROW_BASE) || wv_signals[sig].kind != WV_COUNTER)
		return v;
	base = s->base[slot].v[sig];
	return v > base ? v - base : 0;
}

uint64_t wv_plan_own_bucket(const struct wv_sample *s, uint32_t slot, enum wv_hist_id h,
			    unsigned bucket)
{
	const struct wv_row *row = &s->rows[slot];
	const struct wv_hist *hist = &row->f.hist[h], *left = &s->base[slot].hist[h];
	uint64_t v = bucket < WV_HIST_BUCKETS ? hist->bucket[bucket] : hist->sum_ns, base;

	if (!(row->flags & WV_ROW_BASE))
		return v;
	base = bucket < WV_HIST_BUCKETS ? left->bucket[bucket] : left->sum_ns;
	return v > base ? v - base : 0;
}

bool wv_plan_shows(const struct wv_plan_row *r, enum wv_signal s)
{
	return r->show[s / 64] & (1ULL << (s % 64));
}

uint64_t wv_plan_sum_value(struct wv_plan_sum *p, bool counter)
{
	uint64_t v = p->sum + (uint64_t)p->offset;

	if (!counter)
		return p->sum;
	/* a member was removed: stand still instead of going back */
	if ((int64_t)v < 0 || v < p->last) {
		p->offset += (int64_t)(p->last - v);
		v = p->last;
	}
	p->last = v;
	return v;
}

int wv_metrics_new(struct wv_metrics **ret, uint32_t max_rows, uint32_t max_series)
{
	struct wv_metrics *m = calloc(1, sizeof(*m));
	uint32_t names = 64;

	if (!m)
		return -ENOMEM;
	while (names < 2 * max_rows)
		names *= 2;
	m->max_rows = max_rows;
	m->max_series = max_series;
	m->names_mask = names - 1;
	m->labels.max = LABELS_MAX_BYTES;
	m->slots = calloc(max_rows, sizeof(*m->slots));
	if (!m->slots) {
		wv_metrics_free(m);
		return -ENOMEM;
	}
	*ret = m;
	return 0;
}

void wv_metrics_free(struct wv_metrics *m)
{
	if (!m)
		return;
	wv_text_done(&m->labels);
	free(m->slots);
	free(m->rows);
	free(m->names);
	free(m);
}

uint64_t wv_metrics_series(const struct wv_metrics *m)
{
	return m->series;
}

/* Whether a row of this path and hierarchy was planned already; else remembers it. */
static bool name_taken(struct wv_metrics *m, const struct wv_sample *s, uint32_t slot)
{
	const struct wv_row *row = &s->rows[slot];
	/* a cut path is told apart by its cgroup_id label */
	uint64_t v1 = row->flags & WV_ROW_CUT ? row->key : row->key & WV_KEY_V1,
		 hash = 0xcbf29ce484222325ULL ^ (v1 >> 1);
	uint32_t at;

	for (const char *p = row->path; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3ULL;
	for (at = (uint32_t)(hash >> 20) & m->names_mask; m->names[at];
	     at = (at + 1) & m->names_mask) {
		const struct wv_row *other = &s->rows[m->names[at] - 1];

		if ((row->flags & WV_ROW_CUT ? other->key : other->key & WV_KEY_V1) == v1 &&
		    strcmp(other->path, row->path) == 0)
			return true;
	}
	m->names[at] = slot + 1;
	return false;
}

static int by_rank(const void *a, const void *b)
{
	const struct wv_plan_row *x = a, *y = b;

	if (x->root != y->root)
		return x->root ? -1 : 1;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	if (x->memory != y->memory)
		return x->memory > y->memory ? -1 : 1;
	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

/* What the row would show in full, and what that costs. */
static void weigh(struct wv_metrics *m, const struct wv_sample *s, struct wv_plan_row *r)
{
	struct wv_plan_slot *kept = &m->slots[r->slot];

	for (unsigned i = 0; i < WV_SIG_N; i++) {
		uint64_t bit = 1ULL << (i % 64);
		bool counter = wv_signal_is_counter(i);

		if (!wv_plan_own(s, r->slot, i) && !always(i) &&
		    (counter || !(kept->seen[i / 64] & bit)))
			continue;
		r->show[i / 64] |= bit;
		if (!counter)
			kept->seen[i / 64] |= bit;
		if (wv_plan_core(i))
			r->core_series++;
		else
			r->full_series++;
	}
	for (unsigned h = 0; h < WV_HIST_N; h++) {
		bool any = false;

		for (unsigned b = 0; b < WV_HIST_BUCKETS && !any; b++)
			any = wv_plan_own_bucket(s, r->slot, h, b);
		if (any) {
			r->hists |= (uint8_t)(1U << h);
			r->full_series += WV_PLAN_HIST_SERIES;
		}
	}
	r->full_series += kept->facets;
}
_Static_assert(WV_HIST_N <= 8, "wv_plan_row.hists has a bit for each");

static void recognise(struct wv_plan_slot *kept, const struct wv_row *row)
{
	if (!kept->known || kept->key != row->key || kept->created_mono_ns != row->created_mono_ns)
		*kept = (struct wv_plan_slot){.key = row->key,
					      .created_mono_ns = row->created_mono_ns};
	else
		kept->before = kept->level;
	kept->facets = 0;
}

static int collect_rows(struct wv_metrics *m, struct wv_sample *s)
{
	uint32_t used = s->used_rows < m->max_rows ? s->used_rows : m->max_rows;

	free(m->rows);
	free(m->names);
	m->rows = calloc(used ?: 1, sizeof(*m->rows));
	m->names = calloc(m->names_mask + 1, sizeof(*m->names));
	m->n_rows = 0;
	if (!m->rows || !m->names)
		return -ENOMEM;
	for (uint32_t slot = 0; slot < used; slot++)
		if (wv_sample_row(s, slot) && !(s->rows[slot].flags & WV_ROW_GONE))
			recognise(&m->slots[slot], &s->rows[slot]);
		else
			m->slots[slot] = (struct wv_plan_slot){0};
	for (uint32_t i = 0; i < s->n_facets; i++)
		if (s->facets[i].slot < used && !wv_plan_machine_wide(s->facets[i].family))
			m->slots[s->facets[i].slot].facets +=
				(uint16_t)wv_facets[s->facets[i].family].n_columns;
	for (uint32_t slot = 0; slot < used; slot++) {
		struct wv_row *row = wv_sample_row(s, slot);
		struct wv_plan_row *r = &m->rows[m->n_rows];

		/* a row that is being removed is counted as gone at the next tick */
		if (!row || (row->flags & WV_ROW_GONE))
			continue;
		*r = (struct wv_plan_row){.slot = slot, .root = strcmp(row->path, "/") == 0};
		r->score = wv_plan_own(s, slot, WV_SIG_CPU_USAGE) + 1;
		if (m->slots[slot].before > WV_LEVEL_REST)
			r->score *= 2;
		r->memory = row->f.v[WV_SIG_MEM_USAGE] ?: row->f.v[WV_SIG_MEM_RSS];
		weigh(m, s, r);
		m->n_rows++;
	}
	qsort(m->rows, m->n_rows, sizeof(*m->rows), by_rank);
	return 0;
}

/* Core signals for all that fit, then everything for the first ones. */
static void give_levels(struct wv_metrics *m, const struct wv_sample *s, uint32_t fixed)
{
	uint32_t left = m->max_series > fixed ? m->max_series - fixed : 0;
	bool full = true;

	m->series_dropped = 0;
	memset(m->rows_level, 0, sizeof(m->rows_level));
	for (uint32_t i = 0; i < m->n_rows; i++) {
		struct wv_plan_row *r = &m->rows[i];
		struct wv_plan_slot *kept = &m->slots[r->slot];

		kept->level = WV_LEVEL_REST;
		if (r->slot == WV_SLOT_OTHER || r->core_series > left || name_taken(m, s, r->slot))
			continue;
		kept->level = WV_LEVEL_CORE;
		left -= r->core_series;
	}
	for (uint32_t i = 0; i < m->n_rows; i++) {
		struct wv_plan_row *r = &m->rows[i];
		struct wv_plan_slot *kept = &m->slots[r->slot];

		full = full && r->full_series <= left;
		if (full && kept->level == WV_LEVEL_CORE) {
			kept->level = WV_LEVEL_FULL;
			left -= r->full_series;
		} else if (r->slot != WV_SLOT_OTHER) {
			m->series_dropped += r->full_series;
			m->series_dropped += kept->level == WV_LEVEL_REST ? r->core_series : 0;
		}
		m->rows_level[kept->level]++;
	}
}

static bool covers(enum wv_plan_level level, bool core)
{
	return level == WV_LEVEL_FULL || (level == WV_LEVEL_CORE && core);
}

/* Adds a figure to the sum of the rest, or corrects the sum for a row that changed sides. */
static void rest_add(struct wv_plan_sum *p, const struct wv_plan_slot *kept, bool core, uint64_t v)
{
	bool had = covers(kept->before, core), has = covers(kept->level, core);

	if (!has)
		p->sum += v;
	if (kept->known && had != has)
		p->offset += had ? -(int64_t)v : (int64_t)v;
}

static void sum_rest(struct wv_metrics *m, const struct wv_sample *s)
{
	for (unsigned i = 0; i < WV_SIG_N; i++)
		m->rest[i].sum = 0;
	for (unsigned h = 0; h < WV_HIST_N; h++)
		for (unsigned b = 0; b <= WV_HIST_BUCKETS; b++)
			m->rest_hist[h][b].sum = 0;
	for (uint32_t k = 0; k < m->n_rows; k++) {
		uint32_t slot = m->rows[k].slot;
		struct wv_plan_slot *kept = &m->slots[slot];

		if (kept->level == WV_LEVEL_FULL && kept->before == WV_LEVEL_FULL)
			continue;
		for (unsigned i = 0; i < WV_SIG_N; i++)
			if (wv_plan_adds(i))
				rest_add(&m->rest[i], kept, wv_plan_core(i),
					 wv_plan_own(s, slot, i));
		for (unsigned h = 0; h < WV_HIST_N; h++)
			for (unsigned b = 0; b <= WV_HIST_BUCKETS && (m->rows[k].hists & (1U << h));
			     b++)
				rest_add(&m->rest_hist[h][b], kept, false,
					 wv_plan_own_bucket(s, slot, h, b));
	}
}

static struct wv_plan_facet_rest *facet_rest(struct wv_metrics *m, uint32_t family,
					     const char *label)
{
	struct wv_plan_facet_rest *f;

	for (uint32_t i = 0; i < m->n_facet_rest; i++)
		if (m->facet_rest[i].family == family && strcmp(m->facet_rest[i].label, label) == 0)
			return &m->facet_rest[i];
	/* places for the label "other" of each family are kept free */
	if ((m->n_facet_rest >= WV_PLAN_FACET_REST - WV_FACET_N ||
	     m->n_facet_rest_new >= WV_PLAN_FACET_REST_NEW - WV_FACET_N) &&
	    strcmp(label, "other") != 0)
		return facet_rest(m, family, "other");
	f = &m->facet_rest[m->n_facet_rest++];
	m->n_facet_rest_new++;
	*f = (struct wv_plan_facet_rest){.family = family};
	memcpy(f->label, label, strnlen(label, sizeof(f->label) - 1));
	return f;
}

static void sum_facets(struct wv_metrics *m, const struct wv_sample *s)
{
	m->n_facet_rest_new = 0;
	for (uint32_t i = 0; i < m->n_facet_rest; i++)
		for (unsigned c = 0; c < WV_FACET_COLUMNS; c++)
			m->facet_rest[i].v[c].sum = 0;
	for (uint32_t i = 0; i < s->n_facets; i++) {
		const struct wv_facet_row *f = &s->facets[i];
		struct wv_plan_slot *kept =
			f->slot < m->max_rows ? &m->slots[f->slot] : &m->slots[0];
		struct wv_plan_facet_rest *rest;

		if (wv_plan_machine_wide(f->family) ||
		    (kept->level == WV_LEVEL_FULL && kept->before == WV_LEVEL_FULL))
			continue;
		if (kept->level == WV_LEVEL_FULL && !kept->known)
			continue;
		rest = facet_rest(m, f->family, f->label);
		for (unsigned c = 0; c < wv_facets[f->family].n_columns; c++)
			rest_add(&rest->v[c], kept, false, f->v[c]);
	}
}

static void add_label(struct wv_text *t, const char *name, const char *value)
{
	if (!value[0])
		return;
	wv_text_add(t, ",", 1);
	wv_text_str(t, name);
	wv_text_add(t, "=\"", 2);
	wv_text_label(t, value);
	wv_text_add(t, "\"", 1);
}

void wv_metrics_name_pods(struct wv_metrics *m, const struct wv_kube_names *pods)
{
	m->pods = pods;
}

void wv_metrics_show_gpus(struct wv_metrics *m, const struct wv_gpu_view *gpus)
{
	m->gpus = gpus;
}

/* As in Kubernetes' own metrics; a label that is not there says that nobody told (yet). */
static void name_pod(struct wv_metrics *m, struct wv_text *t, const struct wv_identity *id)
{
	struct wv_kube_name name;

	if (!m->pods || (!*id->container_id && !*id->pod_uid) ||
	    !wv_kube_names_find(m->pods, id->container_id, id->pod_uid, &name))
		return;
	add_label(t, "namespace", name.namespace);
	add_label(t, "pod", name.pod);
	add_label(t, "container", name.container);
}

static void write_labels(struct wv_metrics *m, const struct wv_sample *s, struct wv_plan_row *r)
{
	const struct wv_row *row = &s->rows[r->slot];
	struct wv_text *t = &m->labels;
	struct wv_identity id = {0};

	r->label_at = (uint32_t)t->len;
	wv_text_str(t, "cgroup=\"");
	if (row->flags & WV_ROW_CUT)
		wv_text_str(t, "...");
	wv_text_label(t, row->path);
	wv_text_add(t, "\"", 1);
	if (row->key & WV_KEY_V1)
		add_label(t, "hierarchy", "v1");
	if (row->flags & WV_ROW_CUT)
		wv_text_printf(t, ",cgroup_id=\"%llu\"",
			       (unsigned long long)(row->key & ~WV_KEY_V1));
	wv_identity_parse(row->path, &id);
	add_label(t, "pod_uid", id.pod_uid);
	add_label(t, "container_id", id.container_id);
	add_label(t, "unit", id.unit);
	name_pod(m, t, &id);
	r->label_len = (uint32_t)(t->len - r->label_at);
}

static void sum_gone(struct wv_metrics *m, struct wv_sample *s)
{
	memset(m->gone, 0, sizeof(m->gone));
	wv_sample_for_each (s, slot, row) {
		if (!(row->flags & WV_ROW_BASE))
			continue;
		for (unsigned i = 0; i < WV_SIG_N; i++)
			if (wv_signals[i].kind == WV_COUNTER)
				m->gone[i] += s->base[slot].v[i];
	}
}

uint32_t wv_plan_fixed_series(const struct wv_metrics *m, const struct wv_snapshot *head)
{
	uint32_t n = 2 * WV_SIG_N + WV_HIST_N * WV_PLAN_HIST_SERIES; /* __other__, gone */

	n += (m->n_facet_rest + WV_PLAN_FACET_REST_NEW) * WV_FACET_COLUMNS;
	for (unsigned f = 0; f < WV_FACET_N; f++)
		if (wv_plan_machine_wide(f))
			n += wv_facets[f].max * wv_facets[f].n_columns;
	n += m->gpus && m->gpus->updated ? WV_GPU_SERIES_MAX : 0;
	n += 3 * WV_EV_N + WV_PLACE_N + 3 * head->self.n_progs + WV_FIGURE_SERIES_MAX + 64;
	return n;
}

int wv_plan_scrape(struct wv_metrics *m, const struct wv_snapshot *head, struct wv_sample *s)
{
	int r = collect_rows(m, s);

	if (r < 0)
		return r;
	give_levels(m, s, wv_plan_fixed_series(m, head));
	sum_rest(m, s);
	sum_facets(m, s);
	sum_gone(m, s);
	m->labels.len = 0;
	for (uint32_t i = 0; i < m->n_rows; i++) {
		struct wv_plan_slot *kept = &m->slots[m->rows[i].slot];

		kept->known = 1;
		kept->rank = i;
		if (kept->level > WV_LEVEL_REST)
			write_labels(m, s, &m->rows[i]);
	}
	m->series = 0;
	return m->labels.error;
}
