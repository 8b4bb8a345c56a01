// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/top_print.h"

#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"

static uint64_t sum(const uint64_t *v, unsigned n)
{
	uint64_t s = 0;

	for (unsigned i = 0; i < n; i++)
		s += v[i];
	return s;
}

static uint64_t program_ns(const struct wv_self *self)
{
	uint64_t ns = 0;

	for (unsigned i = 0; i < self->n_progs && i < WV_MAX_PROGS; i++)
		ns += self->progs[i].run_ns;
	return ns;
}

/* Share of one CPU between two samples, in percent; of all time without the one before. */
static double share(uint64_t now, uint64_t before, uint64_t ns)
{
	return ns && now > before ? 100.0 * (double)(now - before) / (double)ns : 0;
}

void wv_top_self_line(const struct wv_snapshot *h, const struct wv_snapshot *before, char *buf,
		      size_t size)
{
	uint64_t ns = h->mono_ns - h->started_mono_ns, in_bpf = program_ns(&h->self);
	char rss[WV_WORD], maps[WV_WORD], tick[WV_WORD], bpf[48] = "";

	/* since the start: the kernel counts a process's time in steps of 10 ms */
	if (before && in_bpf > program_ns(&before->self))
		snprintf(bpf, sizeof(bpf), " + %.2f %% in BPF now",
			 share(in_bpf, program_ns(&before->self), h->mono_ns - before->mono_ns));
	snprintf(buf, size,
		 "self: cpu %.2f %% since start%s, memory %s + maps %s, tick %s; events lost %llu, "
		 "failures %llu",
		 share(h->self.cpu_ns, 0, ns), bpf,
		 wv_word_bytes(rss, (double)(h->self.pss_bytes ?: h->self.rss_bytes)),
		 wv_word_bytes(maps, (double)h->self.map_bytes),
		 wv_word_span(tick, h->self.sense_ns),
		 (unsigned long long)sum(h->self.events_dropped, WV_EV_N),
		 (unsigned long long)sum(h->self.places, WV_PLACE_N));
}

static void print_line(const struct wv_top *t, const struct wv_top_line *line, bool flat)
{
	const struct wv_top_row *r = &t->rows[line->row];
	const struct wv_row *row = &t->now->rows[r->slot];
	char word[WV_WORD], path[WV_ROW_PATH_MAX + 8];

	for (unsigned c = 0; c < WV_TOP_N; c++)
		printf("%9s ", wv_top_text(c, flat ? r->own.v[c] : r->tree.v[c], word));
	printf("%*s%s%s\n", flat ? 0 : 2 * line->depth, "", wv_top_path(row, path, sizeof(path)),
	       row->key & WV_KEY_V1 ? "  (v1)" : "");
}

void wv_top_print_table(const struct wv_top *t, const struct wv_snapshot *h,
			const struct wv_snapshot *before, const struct wv_top_options *o,
			unsigned limit)
{
	char line[256], span[WV_WORD];

	wv_top_self_line(h, before, line, sizeof(line));
	printf("run %s, tick %llu, %s%s\n%s\n", h->run_id, (unsigned long long)h->tick,
	       before ? "rates over " : "means since each cgroup was first seen",
	       before ? wv_word_span(span, t->interval_ns) : "", line);
	wv_top_print_lines(t, o, limit);
}

void wv_top_print_lines(const struct wv_top *t, const struct wv_top_options *o, unsigned limit)
{
	for (unsigned c = 0; c < WV_TOP_N; c++)
		printf("%9s ", wv_top_titles[c]);
	printf("CGROUP (%s)\n", o->flat ? "own tasks" : "with descendants");
	for (uint32_t i = 0; i < t->n_lines && (!limit || i < limit); i++)
		print_line(t, &t->lines[i], o->flat);
	if (limit && t->n_lines > limit)
		printf("... and %u more\n", t->n_lines - limit);
	fflush(stdout);
}

static struct json_object *values_json(const struct wv_top_values *v)
{
	static const char *const names[WV_TOP_N] = {
		[WV_TOP_CPU] = "cpu_percent",
		[WV_TOP_RUNQ] = "runq_p99_ns",
		[WV_TOP_MEM] = "mem_bytes",
		[WV_TOP_IO] = "io_bytes_per_second",
		[WV_TOP_RX] = "net_rx_bytes_per_second",
		[WV_TOP_TX] = "net_tx_bytes_per_second",
		[WV_TOP_TASKS] = "tasks",
		[WV_TOP_PSI] = "psi_percent",
	};
	struct json_object *o = json_object_new_object();

	for (unsigned c = 0; c < WV_TOP_N; c++)
		if (c == WV_TOP_RUNQ || c == WV_TOP_MEM || c == WV_TOP_TASKS)
			wv_json_u64(o, names[c], (uint64_t)v->v[c]);
		else
			json_object_object_add(o, names[c], json_object_new_double(v->v[c]));
	return o;
}

static struct json_object *hists_json(const struct wv_top *t, uint32_t slot)
{
	struct json_object *all = json_object_new_object();

	for (unsigned i = 0; i < WV_HIST_N; i++) {
		const struct wv_hist *h = &t->now->rows[slot].f.hist[i];
		struct json_object *o, *buckets;

		if (!wv_hist_count(h))
			continue;
		o = json_object_new_object();
		wv_json_u64(o, "count", wv_hist_count(h));
		wv_json_u64(o, "sum_ns", h->sum_ns);
		wv_json_u64(o, "p50_ns", wv_hist_quantile_ns(h, 0.5));
		wv_json_u64(o, "p99_ns", wv_hist_quantile_ns(h, 0.99));
		buckets = json_object_new_array();
		for (unsigned b = 0; b < WV_HIST_BUCKETS; b++)
			json_object_array_add(buckets, json_object_new_uint64(h->bucket[b]));
		json_object_object_add(o, "buckets", buckets);
		json_object_object_add(all, wv_hists[i].name, o);
	}
	return all;
}

static struct json_object *row_json(const struct wv_top *t, const struct wv_top_row *r)
{
	const struct wv_row *row = &t->now->rows[r->slot];
	struct json_object *o = json_object_new_object(), *signals = json_object_new_object();
	struct json_object *rates = json_object_new_object();
	char path[WV_ROW_PATH_MAX + 8];

	wv_json_str(o, "cgroup", wv_top_path(row, path, sizeof(path)));
	wv_json_str(o, "hierarchy", !row->key ? "none" : row->key & WV_KEY_V1 ? "v1" : "v2");
	wv_json_u64(o, "id", row->key & ~WV_KEY_V1);
	wv_json_u64(o, "level", row->level);
	wv_json_u64(o, "created_mono_ns", row->created_mono_ns);
	for (unsigned i = 0; i < WV_SIG_N; i++) {
		double rate;

		wv_json_u64(signals, wv_signals[i].name, row->f.v[i]);
		if (!t->before || !wv_signal_is_counter(i))
			continue;
		rate = wv_top_rate(t, r->slot, i);
		if (rate > 0)
			json_object_object_add(rates, wv_signals[i].name,
					       json_object_new_double(rate));
	}
	json_object_object_add(o, "signals", signals);
	json_object_object_add(o, "rates", t->before ? rates : NULL);
	if (!t->before)
		json_object_put(rates);
	json_object_object_add(o, "histograms", hists_json(t, r->slot));
	json_object_object_add(o, "own", values_json(&r->own));
	json_object_object_add(o, "subtree", values_json(&r->tree));
	return o;
}

static struct json_object *self_json(const struct wv_snapshot *h, const struct wv_snapshot *before)
{
	struct json_object *o = json_object_new_object();

	wv_json_u64(o, "cpu_ns", h->self.cpu_ns);
	json_object_object_add(
		o, "cpu_percent",
		before ? json_object_new_double(share(h->self.cpu_ns, before->self.cpu_ns,
						      h->mono_ns - before->mono_ns))
		       : NULL);
	wv_json_u64(o, "rss_bytes", h->self.rss_bytes);
	wv_json_u64(o, "pss_bytes", h->self.pss_bytes);
	wv_json_u64(o, "map_bytes", h->self.map_bytes);
	wv_json_u64(o, "sense_ns", h->self.sense_ns);
	wv_json_u64(o, "events_produced", sum(h->self.events_produced, WV_EV_N));
	wv_json_u64(o, "events_consumed", sum(h->self.events_consumed, WV_EV_N));
	wv_json_u64(o, "events_dropped", sum(h->self.events_dropped, WV_EV_N));
	wv_json_u64(o, "failures", sum(h->self.places, WV_PLACE_N));
	return o;
}

static struct json_object *facets_json(const struct wv_sample *s)
{
	struct json_object *all = json_object_new_array();

	for (uint32_t i = 0; i < s->n_facets; i++) {
		const struct wv_facet_row *f = &s->facets[i];
		const struct wv_facet_info *info = &wv_facets[f->family];
		struct json_object *o = json_object_new_object();
		char path[WV_ROW_PATH_MAX + 8] = "";

		if (f->slot < s->used_rows)
			wv_top_path(&s->rows[f->slot], path, sizeof(path));
		wv_json_str(o, "facet", info->name);
		wv_json_str(o, "cgroup", path);
		wv_json_str(o, info->label, f->label);
		for (unsigned c = 0; c < info->n_columns; c++)
			wv_json_u64(o, info->columns[c].name, f->v[c]);
		json_object_array_add(all, o);
	}
	return all;
}

void wv_top_print_json(const struct wv_top *t, const struct wv_snapshot *h,
		       const struct wv_snapshot *before, unsigned limit, struct json_object *more)
{
	struct json_object *o = json_object_new_object(), *rows = json_object_new_array();

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	wv_json_str(o, "waveos_version", h->version);
	wv_json_str(o, "run_id", h->run_id);
	wv_json_str(o, "boot_id", h->boot_id);
	wv_json_u64(o, "tick", t->now->seq);
	wv_json_u64(o, "mono_ns", t->now->mono_ns);
	wv_json_u64(o, "wall_ns", t->now->wall_ns);
	json_object_object_add(o, "interval_ns",
			       before ? json_object_new_uint64(t->interval_ns) : NULL);
	/* a recorded sample does not have it */
	json_object_object_add(o, "self", h->started_mono_ns ? self_json(h, before) : NULL);
	if (more) {
		json_object_object_foreach(more, name, value)
		{
			json_object_object_add(o, name, json_object_get(value));
		}
		json_object_put(more);
	}
	for (uint32_t i = 0; i < t->n_lines && (!limit || i < limit); i++)
		json_object_array_add(rows, row_json(t, &t->rows[t->lines[i].row]));
	json_object_object_add(o, "rows", rows);
	json_object_object_add(o, "facets", facets_json(t->now));
	wv_json_print(o);
	json_object_put(o);
}
