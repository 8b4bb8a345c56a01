// SPDX-License-Identifier: GPL-2.0-only
/* The table and the overview as JSON. Names of cgroups are hostile: only wv_text_json() writes
 * them. */
#include <errno.h>
#include <stdlib.h>

#include "user/core/cleanup.h"
#include "user/export/web_table.h"

static const char *const place_names[WV_PLACE_N] = {
#define X(id, text) #id,
	WV_PLACES(X)
#undef X
};
static const char *const place_texts[WV_PLACE_N] = {
#define X(id, text) text,
	WV_PLACES(X)
#undef X
};
static const char *const event_names[WV_EV_N] = {
#define X(id, text) text,
	WV_EVENTS(X)
#undef X
};

static void member(struct wv_text *t, const char *name)
{
	if (t->len && t->data[t->len - 1] != '{')
		wv_text_add(t, ",", 1);
	wv_text_add(t, "\"", 1);
	wv_text_str(t, name);
	wv_text_add(t, "\":", 2);
}

static void number(struct wv_text *t, const char *name, uint64_t v)
{
	member(t, name);
	wv_text_u64(t, v);
}

static void string(struct wv_text *t, const char *name, const char *v)
{
	member(t, name);
	wv_text_json(t, v);
}

/* Identity of a cgroup: 64 bits do not fit a number of JavaScript. */
static void identity(struct wv_text *t, uint64_t key)
{
	if (!key) {
		wv_text_str(t, "\"\"");
		return;
	}
	wv_text_str(t, key & WV_KEY_V1 ? "\"v1/" : "\"v2/");
	wv_text_u64(t, key & ~WV_KEY_V1);
	wv_text_add(t, "\"", 1);
}

struct order {
	const struct wv_web_row *row;
	int sort;
};

static int by_column(const void *a, const void *b)
{
	const struct order *x = a, *y = b;

	if (x->sort >= 0 && x->row->v[x->sort] != y->row->v[x->sort])
		return x->row->v[x->sort] < y->row->v[x->sort] ? 1 : -1;
	return strcmp(x->row->path, y->row->path);
}

static void row_json(struct wv_text *t, const struct wv_web_row *r)
{
	wv_text_add(t, "[", 1);
	wv_text_json(t, r->path);
	wv_text_add(t, ",", 1);
	identity(t, r->key);
	wv_text_add(t, ",", 1);
	identity(t, r->parent_key);
	for (unsigned i = 0; i < WV_WEB_COLUMN_N; i++) {
		wv_text_add(t, ",", 1);
		wv_text_u64(t, r->v[i]);
	}
	wv_text_add(t, "]", 1);
}

static void table_head(struct wv_text *t, const struct wv_web_table *table, uint32_t matched)
{
	wv_text_add(t, "{", 1);
	number(t, "schema_version", 1);
	string(t, "run_id", table->head.run_id);
	number(t, "tick", table->head.tick);
	number(t, "mono_ns", table->head.mono_ns);
	number(t, "wall_ns", table->head.wall_ns);
	number(t, "interval_ns", table->interval_ns);
	number(t, "total", table->n_rows);
	number(t, "matched", matched);
	member(t, "columns");
	wv_text_str(t, "[\"cgroup\",\"id\",\"parent\"");
	for (unsigned i = 0; i < WV_WEB_COLUMN_N; i++) {
		wv_text_add(t, ",", 1);
		wv_text_json(t, wv_web_columns[i]);
	}
	wv_text_add(t, "]", 1);
}

void wv_web_table_json(const struct wv_web_table *t, const struct wv_web_query *q,
		       struct wv_text *out)
{
	_cleanup_free_ struct order *order = malloc((t->n_rows + 1) * sizeof(*order));
	uint32_t n = 0;

	if (!order) {
		out->error = -ENOMEM;
		return;
	}
	for (uint32_t i = 0; i < t->n_rows; i++)
		if (!q->filter || strstr(t->rows[i].path, q->filter))
			order[n++] = (struct order){&t->rows[i], q->sort};
	if (q->sort != WV_WEB_SORT_NONE)
		qsort(order, n, sizeof(*order), by_column);
	table_head(out, t, n);
	member(out, "rows");
	wv_text_add(out, "[", 1);
	for (uint32_t i = q->offset, done = 0; i < n && done < q->limit; i++, done++) {
		if (done)
			wv_text_add(out, ",", 1);
		row_json(out, order[i].row);
	}
	wv_text_add(out, "]}", 2);
}

static void workers_json(struct wv_text *t, const struct wv_snapshot *h)
{
	member(t, "workers");
	wv_text_add(t, "[", 1);
	for (unsigned i = 0; i < WV_WORKER_N; i++) {
		wv_text_str(t, i ? ",{" : "{");
		string(t, "name", wv_worker_names[i]);
		number(t, "pid", atomic_load(&h->workers[i].pid));
		number(t, "restarts", atomic_load(&h->workers[i].restarts));
		wv_text_add(t, "}", 1);
	}
	wv_text_add(t, "]", 1);
}

static void losses_json(struct wv_text *t, const struct wv_self *self)
{
	bool first = true;

	member(t, "events");
	wv_text_add(t, "[", 1);
	for (unsigned i = 0; i < WV_EV_N; i++) {
		wv_text_str(t, i ? ",{" : "{");
		string(t, "source", event_names[i]);
		number(t, "produced", self->events_produced[i]);
		number(t, "consumed", self->events_consumed[i]);
		number(t, "dropped", self->events_dropped[i]);
		wv_text_add(t, "}", 1);
	}
	wv_text_add(t, "]", 1);
	member(t, "losses");
	wv_text_add(t, "[", 1);
	for (unsigned i = 0; i < WV_PLACE_N; i++) {
		if (!self->places[i])
			continue;
		wv_text_str(t, first ? "{" : ",{");
		first = false;
		string(t, "place", place_names[i]);
		string(t, "what", place_texts[i]);
		number(t, "count", self->places[i]);
		wv_text_printf(t, ",\"errno\":%lld}", (long long)self->place_errno[i]);
	}
	wv_text_add(t, "]", 1);
}

static void programs_json(struct wv_text *t, const struct wv_self *self)
{
	member(t, "programs");
	wv_text_add(t, "[", 1);
	for (unsigned i = 0; i < self->n_progs && i < WV_MAX_PROGS; i++) {
		const struct wv_prog_stats *p = &self->progs[i];
		char name[sizeof(p->name) + 1] = "";

		memcpy(name, p->name, sizeof(p->name));
		wv_text_str(t, i ? ",{" : "{");
		string(t, "name", name);
		number(t, "verified_insns", p->verified_insns);
		number(t, "run_ns", p->run_ns);
		number(t, "run_count", p->run_count);
		number(t, "misses", p->misses);
		wv_text_add(t, "}", 1);
	}
	wv_text_add(t, "]", 1);
}

static void self_json(struct wv_text *t, const struct wv_self *self)
{
	member(t, "self");
	wv_text_add(t, "{", 1);
	number(t, "cpu_ns", self->cpu_ns);
	number(t, "rss_bytes", self->rss_bytes);
	number(t, "pss_bytes", self->pss_bytes);
	number(t, "map_bytes", self->map_bytes);
	number(t, "sense_ns", self->sense_ns);
	number(t, "decisions", self->decisions);
	number(t, "actions", self->actions);
	number(t, "action_failures", self->action_failures);
	number(t, "records_written", self->records_written);
	number(t, "records_failed", self->records_failed);
	wv_text_add(t, "}", 1);
}

/* The members that `dump` has, with identities. */
static void harms_json(struct wv_text *t, const struct wv_web_table *table)
{
	member(t, "harms");
	wv_text_add(t, "[", 1);
	for (size_t i = 0; i < table->n_harms; i++) {
		const struct wv_web_harm *w = &table->harms[i];
		const struct wv_harm *h = &w->harm;

		wv_text_str(t, i ? ",{" : "{");
		string(t, "kind", wv_harm_kinds[h->kind]);
		string(t, "cause", wv_harm_causes[h->cause]);
		string(t, "confidence", wv_harm_confidences[h->confidence]);
		member(t, "victim_id");
		identity(t, w->victim->key);
		string(t, "victim", w->victim->path);
		member(t, "culprit_id");
		identity(t, w->culprit->key);
		string(t, "culprit", w->culprit->path);
		number(t, "span_ns", h->span_ns);
		number(t, "wait_ns", h->wait_ns);
		number(t, "blamed_ns", h->blamed_ns);
		number(t, "lost_permille", h->lost_permille);
		number(t, "share_permille", h->share_permille);
		member(t, "culprit_took");
		wv_text_printf(t, "%.9g", h->culprit_took);
		member(t, "victim_took");
		wv_text_printf(t, "%.9g", h->victim_took);
		string(t, "unit",
		       h->kind == WV_HARM_CPU			  ? "cpus"
		       : h->kind == WV_HARM_MEMORY || h->by_bytes ? "bytes_per_second"
								  : "requests_in_flight");
		wv_text_add(t, "}", 1);
	}
	wv_text_add(t, "]", 1);
}

static void counts_json(struct wv_text *t, const struct wv_web_table *table)
{
	const struct wv_snapshot *h = &table->head;
	uint32_t cgroups = 0;

	for (uint32_t i = 0; i < table->n_rows; i++)
		cgroups += table->rows[i].key != 0;
	member(t, "counts");
	wv_text_add(t, "{", 1);
	number(t, "cgroups", cgroups);
	number(t, "max_cgroups", h->max_rows - 1);
	number(t, "budgets", h->n_budgets);
	number(t, "budgets_in_force", h->n_budgets_in_force);
	number(t, "rules", h->n_rules);
	number(t, "rules_open", h->n_rules_open);
	number(t, "breakers_in_force", h->n_breakers_in_force);
	number(t, "held", h->n_held);
	number(t, "policies_taken", atomic_load(&h->policies_taken));
	number(t, "policies_refused", atomic_load(&h->policies_refused));
	wv_text_add(t, "}", 1);
	member(t, "drift");
	wv_text_add(t, "{", 1);
	for (unsigned i = 0; i < WV_DRIFT_N; i++)
		number(t, wv_drift_names[i], h->drift[i]);
	wv_text_add(t, "}", 1);
}

void wv_web_overview_json(const struct wv_web_table *table, const struct wv_web_host *host,
			  uint64_t now_mono_ns, struct wv_text *t)
{
	const struct wv_snapshot *h = &table->head;

	wv_text_add(t, "{", 1);
	number(t, "schema_version", 1);
	string(t, "waveos_version", h->version);
	string(t, "policy_version", h->policy_version);
	string(t, "bundle_id", h->bundle_id);
	string(t, "run_id", h->run_id);
	string(t, "boot_id", h->boot_id);
	string(t, "host", host->name);
	number(t, "cpus", host->cpus);
	number(t, "memory_bytes", host->memory_bytes);
	number(t, "tick", h->tick);
	number(t, "tick_interval_ns", h->tick_interval_ns);
	number(t, "wall_ns", h->wall_ns);
	number(t, "started_wall_ns", h->started_wall_ns);
	number(t, "uptime_ns",
	       now_mono_ns > h->started_mono_ns ? now_mono_ns - h->started_mono_ns : 0);
	number(t, "sample_age_ns", now_mono_ns > h->mono_ns ? now_mono_ns - h->mono_ns : 0);
	number(t, "first_limit_ns", h->first_limit_ns);
	member(t, "armed");
	wv_text_str(t, atomic_load(&h->disarmed) ? "false" : "true");
	number(t, "log_errno", atomic_load(&h->log_errno));
	number(t, "enforce_errno", atomic_load(&h->enforce_errno));
	string(t, "metrics_address", h->metrics_address);
	counts_json(t, table);
	harms_json(t, table);
	workers_json(t, h);
	self_json(t, &h->self);
	losses_json(t, &h->self);
	programs_json(t, &h->self);
}
