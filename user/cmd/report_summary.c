// SPDX-License-Identifier: GPL-2.0-only
/* What a report says in words and tables. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/cmd/report_doc.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"

#define TOP 10

static const char *member(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && v ? json_object_get_string(v) : "";
}

static double number(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_double(v) : 0;
}

static uint64_t duration_ns(const struct wv_report *r)
{
	uint64_t start = wv_report_meta_u64(r, NULL, "started_mono_ns");
	uint64_t end = wv_report_meta_u64(r, NULL, "ended_mono_ns");

	/* a run that goes on has no end yet */
	if (end <= start && r->n_samples)
		end = r->mono[r->n_samples - 1];
	return end > start ? end - start : 0;
}

static const char *wall_text(uint64_t ns, char buf[WV_WORD])
{
	time_t s = (time_t)(ns / 1000000000ULL);
	struct tm tm;

	buf[0] = '\0';
	if (ns && gmtime_r(&s, &tm))
		(void)strftime(buf, WV_WORD, "%Y-%m-%d %H:%M:%S UTC", &tm);
	return buf;
}

static void fact(struct wv_doc *d, const char *name, const char *value)
{
	if (!value[0])
		return;
	wv_doc_cell(d, name);
	wv_doc_cell(d, value);
}

void wv_report_facts(struct wv_doc *d, const struct wv_report *r)
{
	static const char *const titles[] = {"Run", "", NULL};
	const char *ended =
		wv_report_meta_u64(r, NULL, "ended_wall_ns") ? "" : " (no end recorded)";
	char buf[256], word[WV_WORD], start[WV_WORD];

	wv_doc_table(d, titles);
	fact(d, "Host", wv_report_meta(r, "host", "name"));
	snprintf(buf, sizeof(buf), "%.100s (%.30s, %.10s CPUs)",
		 wv_report_meta(r, "host", "kernel"), wv_report_meta(r, "host", "machine"),
		 wv_report_meta(r, "host", "cpus"));
	fact(d, "Kernel", buf);
	snprintf(buf, sizeof(buf), "%s, for %s%s",
		 wall_text(wv_report_meta_u64(r, NULL, "started_wall_ns"), start),
		 wv_word_span(word, duration_ns(r)), ended);
	fact(d, "Time", buf);
	snprintf(buf, sizeof(buf), "waveos-bpf %.30s, policy %.80s, bundle %.12s",
		 wv_report_meta(r, NULL, "waveos_version"),
		 wv_report_meta(r, NULL, "policy_version"), wv_report_meta(r, NULL, "bundle_id"));
	fact(d, "Version", buf);
	snprintf(buf, sizeof(buf), "%s%s", wv_report_meta(r, "host", "hooks"),
		 r->adopted ? ", adopted from the agent before" : "");
	fact(d, "Hooks", buf);
	snprintf(buf, sizeof(buf), "%u samples of %u cgroups", r->n_samples, r->n_cgroups);
	fact(d, "Data", buf);
	fact(d, "Folder", r->dir);
	wv_doc_table_end(d);
}

static const char *path_of(const struct wv_report_cgroup *c, char buf[300])
{
	snprintf(buf, 300, "%s%s", c->path, c->key & WV_KEY_V1 ? " (v1)" : "");
	return buf;
}

static void cpu_table(struct wv_doc *d, const struct wv_report *r)
{
	static const char *const titles[] = {"Cgroup",	   ">CPU time",	     ">Mean CPU",
					     ">Throttled", ">Run queue p99", NULL};
	double seconds = (double)duration_ns(r) / 1e9;
	uint32_t top[TOP];
	unsigned n = wv_report_rank(r, WV_REPORT_CPU, WV_REPORT_CPU, TOP, top);
	char word[WV_WORD], path[300];

	wv_doc_heading(d, 2, "CPU");
	wv_doc_table(d, titles);
	for (unsigned i = 0; i < n; i++) {
		const struct wv_report_cgroup *c = &r->cgroups[top[i]];
		uint64_t cpu = wv_report_total(r, c, WV_REPORT_CPU);
		uint64_t throttled = wv_report_total(r, c, WV_REPORT_THROTTLED);
		uint64_t p99 = wv_report_total(r, c, WV_REPORT_RUNQ_P99);

		wv_doc_cell(d, path_of(c, path));
		wv_doc_cell(d, wv_word_span(word, cpu));
		wv_doc_cellf(d, "%.1f %%", seconds > 0 ? (double)cpu / 1e7 / seconds : 0);
		wv_doc_cell(d, throttled ? wv_word_span(word, throttled) : "");
		wv_doc_cell(d, p99 == UINT64_MAX ? "> 4 s" : p99 ? wv_word_span(word, p99) : "");
	}
	wv_doc_table_end(d);
	wv_doc_paragraph(d, "Of each cgroup's own tasks; 100 % is one CPU. The percentile is over "
			    "the time that the "
			    "cgroup was observed, as the upper bound of a power of two.");
}

static void memory_table(struct wv_doc *d, const struct wv_report *r)
{
	static const char *const titles[] = {"Cgroup", ">Largest usage, with descendants",
					     ">Largest RSS of own tasks", ">OOM kills", NULL};
	uint32_t top[TOP];
	unsigned n = wv_report_rank(r, WV_REPORT_MEM, WV_REPORT_RSS, TOP, top);
	char word[WV_WORD], path[300];

	wv_doc_heading(d, 2, "Memory");
	wv_doc_table(d, titles);
	for (unsigned i = 0; i < n; i++) {
		const struct wv_report_cgroup *c = &r->cgroups[top[i]];
		uint64_t usage = wv_report_total(r, c, WV_REPORT_MEM),
			 rss = wv_report_total(r, c, WV_REPORT_RSS);
		uint64_t oom = wv_report_total(r, c, WV_REPORT_OOM);

		wv_doc_cell(d, path_of(c, path));
		wv_doc_cell(d, usage ? wv_word_bytes(word, (double)usage) : "");
		wv_doc_cell(d, rss ? wv_word_bytes(word, (double)rss) : "");
		wv_doc_cellf(d, "%.0llu", (unsigned long long)oom);
	}
	wv_doc_table_end(d);
}

/* A table of two byte counters and one count of trouble. */
static void bytes_table(struct wv_doc *d, const struct wv_report *r, const char *heading,
			const char *const *titles, const enum wv_report_column *columns)
{
	uint32_t top[TOP];
	unsigned n = wv_report_rank(r, columns[0], columns[1], TOP, top);
	char word[WV_WORD], path[300];

	wv_doc_heading(d, 2, heading);
	if (!n) {
		wv_doc_paragraph(d, "None was seen.");
		return;
	}
	wv_doc_table(d, titles);
	for (unsigned i = 0; i < n; i++) {
		const struct wv_report_cgroup *c = &r->cgroups[top[i]];

		wv_doc_cell(d, path_of(c, path));
		wv_doc_cell(d, wv_word_bytes(word, (double)wv_report_total(r, c, columns[0])));
		wv_doc_cell(d, wv_word_bytes(word, (double)wv_report_total(r, c, columns[1])));
		wv_doc_cellf(d, "%.0llu", (unsigned long long)wv_report_total(r, c, columns[2]));
	}
	wv_doc_table_end(d);
}

/* Failures by what the counters say: events may be limited in rate, counters are not. */
static void failure_counts(struct wv_doc *d, const struct wv_report *r)
{
	static const struct {
		enum wv_report_column column;
		const char *name;
	} kinds[] = {
		{WV_REPORT_OOM, "OOM kills"},
		{WV_REPORT_FATAL_SIGNALS, "Tasks ended by a signal"},
		{WV_REPORT_EXITS_NONZERO, "Processes that exited with a non-zero status"},
		{WV_REPORT_CRASH_LOOPS, "Crash loops"},
		{WV_REPORT_IO_ERRORS, "Failed block requests"},
		{WV_REPORT_CONNECT_FAILURES, "Failed TCP connects"},
		{WV_REPORT_RETRANSMITS, "TCP segments retransmitted"},
		{WV_REPORT_LIMIT_DROPS, "Packets dropped by an egress budget"},
		{WV_REPORT_LIMIT_DROPS_IN, "Packets dropped by an ingress budget"},
	};
	static const char *const titles[] = {"What", ">How many", "Most in", NULL};

	wv_doc_heading(d, 2, "Failures");
	wv_doc_table(d, titles);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		uint64_t sum = 0;
		uint32_t most;
		char path[300];

		for (uint32_t i = 0; i < r->n_cgroups; i++)
			sum += wv_report_total(r, &r->cgroups[i], kinds[k].column);
		wv_doc_cell(d, kinds[k].name);
		wv_doc_cellf(d, "%llu", (unsigned long long)sum);
		wv_doc_cell(d, wv_report_rank(r, kinds[k].column, kinds[k].column, 1, &most)
				       ? path_of(&r->cgroups[most], path)
				       : "");
	}
	wv_doc_table_end(d);
}

/* Seconds since the start of the run. */
static const char *when(const struct wv_report *r, struct json_object *o, char buf[WV_WORD])
{
	uint64_t start = wv_report_meta_u64(r, NULL, "started_mono_ns");
	double at = number(o, "mono_ns") - (double)(start ?: (r->n_samples ? r->mono[0] : 0));

	snprintf(buf, WV_WORD, "%.1f s", at > 0 ? at / 1e9 : 0);
	return buf;
}

/* The members of a record that say what happened, as "key value, ...". */
static void details(struct json_object *o, char *buf, size_t size)
{
	static const char *const known[] = {
		"schema_version", "seq",	   "boot_id",	   "mono_ns", "wall_ns", "run_id",
		"type",		  "event_mono_ns", "cgroup",	   "comm",    "pid",	 "slot",
		"cgroup_key",	  "ppid",	   WV_REPORT_TIMES};
	size_t len = 0;

	buf[0] = '\0';
	json_object_object_foreach(o, key, value)
	{
		bool skip = false;

		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			skip = skip || strcmp(key, known[i]) == 0;
		if (skip || len >= size)
			continue;
		len += (size_t)snprintf(buf + len, size - len, "%s%s %s", len ? ", " : "", key,
					json_object_get_string(value));
	}
}

static void notable(struct wv_doc *d, const struct wv_report *r)
{
	static const char *const titles[] = {
		">First at", ">Times", "Event", "Cgroup", "Task", "Details of the first", NULL};
	size_t n = json_object_array_length(r->notable);
	char buf[400], word[WV_WORD];

	if (!n)
		return;
	wv_doc_heading(d, 3, n == WV_REPORT_NOTABLE ? "The first 50 kinds of events" : "Events");
	wv_doc_table(d, titles);
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(r->notable, i);

		wv_doc_cell(d, when(r, o, word));
		wv_doc_cell(d, member(o, WV_REPORT_TIMES));
		wv_doc_cell(d, member(o, "type"));
		wv_doc_cell(d, member(o, "cgroup"));
		wv_doc_cellf(d, "%.60s %.12s", member(o, "comm"), member(o, "pid"));
		details(o, buf, sizeof(buf));
		wv_doc_cell(d, buf);
	}
	wv_doc_table_end(d);
}

/* Why a decision was taken: the signal, its value and the threshold that it crossed. */
static void reason(struct json_object *o, char *buf, size_t size)
{
	char span[WV_WORD];

	if (!member(o, "signal")[0]) {
		snprintf(buf, size, "always in force (%.200s:%.10s)", member(o, "rule_file"),
			 member(o, "rule_line"));
		return;
	}
	snprintf(buf, size, "%.64s%s was %.6g, %.4s %.6g for %s (%.200s:%.10s)",
		 member(o, "signal"), strcmp(member(o, "rate"), "true") == 0 ? " a second" : "",
		 number(o, "value"), member(o, "comparison"), number(o, "threshold"),
		 wv_word_span(span, (uint64_t)number(o, "for_ns")), member(o, "rule_file"),
		 member(o, "rule_line"));
}

static void decisions(struct wv_doc *d, const struct wv_report *r)
{
	static const char *const titles[] = {">At", "Budget", "Cgroup", "Verdict", "Reason", NULL};
	size_t n = json_object_array_length(r->decisions);
	char buf[512], word[WV_WORD];

	wv_doc_heading(d, 2, "Decisions");
	if (!n) {
		wv_doc_paragraph(d, "None was taken.");
		return;
	}
	wv_doc_table(d, titles);
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(r->decisions, i);

		wv_doc_cell(d, when(r, o, word));
		wv_doc_cell(d, member(o, "budget"));
		wv_doc_cell(d, member(o, "cgroup"));
		wv_doc_cellf(d, "%.20s%s", member(o, "verdict"),
			     strcmp(member(o, "dry_run"), "true") == 0 ? " (dry run)" : "");
		reason(o, buf, sizeof(buf));
		wv_doc_cell(d, buf);
	}
	wv_doc_table_end(d);
}

static void outcome(struct wv_doc *d, const struct wv_report *r, struct json_object *o)
{
	struct json_object *actions;
	char word[WV_WORD];

	if (!json_object_object_get_ex(o, "actions", &actions) ||
	    !json_object_is_type(actions, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(actions); i++) {
		struct json_object *a = json_object_array_get_idx(actions, i);
		const char *before = member(a, "before"), *after = member(a, "after");

		wv_doc_cell(d, when(r, o, word));
		wv_doc_cell(d, member(o, "cgroup"));
		wv_doc_cell(d, member(a, "item"));
		wv_doc_cell(d, member(a, "outcome"));
		if (before[0] || after[0])
			wv_doc_cellf(d, "%.150s -> %.150s", before, after);
		else
			wv_doc_cell(d, member(a, "limits"));
		wv_doc_cell(d, member(a, "reason"));
	}
}

static void outcomes(struct wv_doc *d, const struct wv_report *r)
{
	static const char *const titles[] = {
		">At", "Cgroup", "Limit", "Outcome", "Before and after", "Reason", NULL};
	size_t n = json_object_array_length(r->outcomes);

	if (!n)
		return;
	wv_doc_heading(d, 3, "What was done");
	wv_doc_table(d, titles);
	for (size_t i = 0; i < n; i++)
		outcome(d, r, json_object_array_get_idx(r->outcomes, i));
	wv_doc_table_end(d);
}

static void records(struct wv_doc *d, const struct wv_report *r)
{
	static const char *const titles[] = {"Record", ">How many", NULL};
	char buf[512];

	wv_doc_heading(d, 2, "Records and losses");
	wv_doc_table(d, titles);
	json_object_object_foreach(r->counts, type, count)
	{
		wv_doc_cell(d, type);
		wv_doc_cell(d, json_object_get_string(count));
	}
	wv_doc_table_end(d);
	snprintf(buf, sizeof(buf),
		 "Not written: %llu records, %llu samples. Not readable: %llu lines. %.200s",
		 (unsigned long long)wv_report_meta_u64(r, "losses", "records"),
		 (unsigned long long)wv_report_meta_u64(r, "losses", "samples"),
		 (unsigned long long)r->bad_lines, wv_report_meta(r, "losses", "last_error"));
	wv_doc_paragraph(d, buf);
}

void wv_report_summary(struct wv_doc *d, const struct wv_report *r)
{
	static const char *const io[] = {"Cgroup", ">Read", ">Written", ">Failed requests", NULL};
	static const char *const net[] = {"Cgroup", ">Received", ">Sent", ">Retransmits", NULL};
	static const enum wv_report_column io_columns[] = {WV_REPORT_IO_READ, WV_REPORT_IO_WRITE,
							   WV_REPORT_IO_ERRORS};
	static const enum wv_report_column net_columns[] = {WV_REPORT_RX, WV_REPORT_TX,
							    WV_REPORT_RETRANSMITS};

	if (!r->meta)
		wv_doc_paragraph(d, "run_meta.json is missing: the agent did not end in order, or "
				    "the run goes on.");
	decisions(d, r);
	outcomes(d, r);
	failure_counts(d, r);
	notable(d, r);
	wv_report_drift(d, r);
	cpu_table(d, r);
	memory_table(d, r);
	bytes_table(d, r, "Block I/O", io, io_columns);
	bytes_table(d, r, "Network", net, net_columns);
	records(d, r);
}

void wv_report_markdown(struct wv_doc *d, const struct wv_report *r)
{
	char title[128];

	snprintf(title, sizeof(title), "Run %.100s", wv_report_meta(r, NULL, "run_id"));
	wv_doc_heading(d, 1, title);
	wv_report_facts(d, r);
	wv_report_summary(d, r);
}
