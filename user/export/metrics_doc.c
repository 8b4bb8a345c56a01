// SPDX-License-Identifier: GPL-2.0-only
/* docs/metrics.md. The tables come from the registries and from a scrape, so that they cannot
 * drift. */
#include <stdlib.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/export/metrics_plan.h"
#include "user/flow/gpu.h"

static const char intro[] =
	"# Metrics\n"
	"\n"
	"<!-- generated: edit user/export/metrics_doc.c, signals.def or facets.def, then run\n"
	"     WV_UPDATE_DOCS=1 build/tests/test_openmetrics -->\n"
	"\n"
	"`GET /metrics` on `metrics.listen` (default `127.0.0.1:9850`) answers in one of three "
	"formats "
	"with the same\n"
	"content, by the weights of the client's `Accept` header: Prometheus text 0.0.4 (also "
	"where "
	"nothing fits),\n"
	"OpenMetrics 1.0, and delimited protobuf (`application/vnd.google.protobuf; "
	"proto=io.prometheus.client.MetricFamily;\n"
	"encoding=delimited`), which Prometheus asks for when native histograms are on. `GET "
	"/healthz` "
	"answers 200 with\n"
	"JSON while the last sample is at most three ticks old, else 503. Only GET and HEAD; gzip "
	"for "
	"clients that are\n"
	"not on loopback.\n"
	"\n"
	"Text has every figure exactly; protobuf has doubles, which round what is above 2^53 of a "
	"figure's own unit.\n"
	"\n"
	"## Labels\n"
	"\n"
	"| label | meaning |\n"
	"| --- | --- |\n"
	"| `cgroup` | path below the root of its hierarchy; `__other__`: all rows that have no "
	"series of their own in this family |\n"
	"| `hierarchy` | `v1` where the path is one of a cgroup v1 hierarchy; absent on v2 |\n"
	"| `cgroup_id` | only where the path was too long: `cgroup` then holds its end |\n"
	"| `unit`, `pod_uid`, `container_id` | identity read off the path, where it has one |\n"
	"| `namespace`, `pod`, `container` | names from the API server of Kubernetes, once it told "
	"them (docs/kubernetes.md) |\n"
	"\n"
	"## Which series there are\n"
	"\n"
	"1. Figures are of the cgroup's own tasks unless the table says *tree*: then the kernel's "
	"figure holds the\n"
	"   descendants too. Never add up tree figures of parents and children.\n"
	"2. A counter of a cgroup appears once it is not zero and stays until the cgroup is "
	"removed. CPU time and OOM\n"
	"   kills are there from the start, at 0, so that `increase()` sees the first one. For any "
	"other rare counter\n"
	"   use `x > 0 unless x offset 5m` to see it appear.\n"
	"3. A gauge appears once it was not zero and stays, at 0 too (until the web worker is "
	"restarted).\n"
	"4. A family without series means that nothing of the kind happened, or that this kernel "
	"cannot tell:\n"
	"   `waveos-bpf doctor` says which.\n"
	"5. When a cgroup is removed its series end. What it had counted moves into "
	"`waveos_gone_*`, one sum for the\n"
	"   machine: totals are conserved, and the rate of a parent does not jump.\n"
	"6. `metrics.max_series` is a hard ceiling. Rows are ranked by CPU time, then memory; a "
	"row keeps its place\n"
	"   until another has twice its CPU time. All rows that fit get the core signals (marked "
	"below); with what is\n"
	"   left the first ones get everything. What a family leaves out is summed in "
	"`cgroup=\"__other__\"` (only what\n"
	"   adds up: no tree figures, no means). These sums never go back. "
	"`waveos_metrics_series_dropped` says how\n"
	"   many series were left out, `waveos_cgroups{detail}` how many cgroups have which "
	"detail.\n"
	"7. Histograms have 13 bounds; observations equal to a bound count above it. In protobuf "
	"they are "
	"native\n"
	"   histograms, too, of schema 0 (one bucket a factor of two, 24 of them): that is what "
	"the "
	"kernel half counts,\n"
	"   and nothing finer is claimed. Its bounds are powers of two in microseconds, those of "
	"the "
	"schema powers of\n"
	"   two in seconds: a bound reads 4.6 % too low. Below 1 us is the zero bucket; 4.2 s and "
	"more is "
	"told as 4 s\n"
	"   to 8 s. Sums and counts are exact.\n"
	"8. A restarted web worker starts ranks and `__other__` anew: that is a counter reset.\n"
	"\n";

static const char figures_intro[] = "\n"
				    "## What workers tell\n"
				    "\n"
				    "Of `include/waveos/worker_figures.def`; rows of a worker that "
				    "never ran are left out. Labels "
				    "come from closed\n"
				    "sets. Rules and domains are named as in the policy: at most "
				    "64 rules and 32 domains, the rest "
				    "is summed in\n"
				    "`__other__`.\n"
				    "\n"
				    "| metric | type | meaning |\n| --- | --- | --- |\n";

static const char gpus_intro[] = "\n"
				 "## GPUs\n"
				 "\n"
				 "Of the page that the worker of GPUs writes "
				 "([gpu.md](gpu.md)), not while it is older "
				 "than a minute.\n"
				 "What a device does not tell, or has not told "
				 "for five seconds, has no series.\n"
				 "\n"
				 "| metric | type | meaning |\n| --- | --- | --- |\n";

static const char *kind_name(enum wv_signal_kind kind)
{
	static const char *const names[] = {"counter", "gauge", "counter, tree", "gauge, tree"};

	return names[kind];
}

static void print_signals(FILE *f)
{
	fprintf(f, "## Signals of a cgroup\n\n| metric | type | core | signal | meaning |\n"
		   "| --- | --- | --- | --- | --- |\n");
	for (unsigned i = 0; i < WV_SIG_N; i++) {
		const struct wv_signal_info *s = &wv_signals[i];

		fprintf(f, "| `waveos_%s%s%s%s` | %s | %s | `%s` | %s |\n", s->metric,
			s->labels[0] ? "{" : "", s->labels, s->labels[0] ? "}" : "",
			kind_name(s->kind), wv_plan_core(i) ? "core" : "", s->name, s->help);
	}
	fprintf(f, "\nCounters of own tasks also exist as `waveos_gone_*` (rule 5), without a "
		   "cgroup.\n\n");
}

static void print_histograms(FILE *f)
{
	struct wv_text t = {.max = 4096};

	fprintf(f, "## Histograms of a cgroup\n\n| metric | bounds in seconds | meaning |\n| --- | "
		   "--- | --- |\n");
	for (unsigned h = 0; h < WV_HIST_N; h++) {
		t.len = 0;
		for (unsigned i = 0; i < WV_PLAN_BOUNDS; i++) {
			wv_text_str(&t, i ? ", " : "");
			wv_text_scaled(&t, wv_hist_bound_ns(wv_metrics_bounds(h)[i]), WV_NS);
		}
		if (wv_text_end(&t) == 0)
			fprintf(f, "| `waveos_%s` | %s | %s |\n", wv_hists[h].metric, t.data,
				wv_hists[h].help);
	}
	wv_text_done(&t);
	fprintf(f, "\n");
}

static void print_facets(FILE *f)
{
	fprintf(f, "## Figures with one more label\n\n| metric | type | label | meaning |\n"
		   "| --- | --- | --- | --- |\n");
	for (unsigned i = 0; i < WV_FACET_N; i++)
		for (unsigned c = 0; c < wv_facets[i].n_columns; c++) {
			const struct wv_facet_column *col = &wv_facets[i].columns[c];

			fprintf(f, "| `waveos_%s%s%s%s` | %s | `%s`%s | %s |\n", col->metric,
				col->labels[0] ? "{" : "", col->labels, col->labels[0] ? "}" : "",
				kind_name(col->kind), wv_facets[i].label,
				wv_plan_machine_wide(i) ? " (no cgroup)" : "", col->help);
		}
	fprintf(f, "\n");
}

/* Families of a scrape: each "# HELP name text\n# TYPE name type\n" of the text. */
static void print_families(FILE *f, const char *text)
{
	for (const char *at = text; (at = strstr(at, "# HELP ")); at++) {
		const char *name = at + strlen("# HELP "), *help = strchr(name, ' ') + 1;
		const char *end = strchr(help, '\n');
		const char *type = strstr(end, "# TYPE ") + strlen("# TYPE ") + (help - name);

		fprintf(f, "| `%.*s` | %.*s | %.*s |\n", (int)(help - name - 1), name,
			(int)strcspn(type, "\n"), type, (int)(end - help), help);
	}
}

static void print_gpus(FILE *f, const struct wv_metrics *m, struct wv_metrics_out *writer)
{
	/* a page without a device: all families, no series */
	_cleanup_free_ struct wv_gpu_view *v = calloc(1, sizeof(*v));

	if (!v)
		return;
	v->layout = sizeof(*v);
	v->updated = wv_io_system.mono_ns(wv_io_system.ctx);
	writer->out->len = 0;
	wv_metrics_gpu_page(v, m, NULL, writer);
	fputs(gpus_intro, f);
	if (wv_text_end(writer->out) == 0)
		print_families(f, writer->out->data);
}

void wv_metrics_print_doc(FILE *f)
{
	/* everything that appears only sometimes is there */
	struct wv_snapshot head = {
		.first_limit_ns = 1,
		.self = {.n_progs = 1, .progs = {{.name = "x", .run_count = 1}}}};
	struct wv_metrics_process process = {0};
	struct wv_text out = {.max = 1U << 20};
	struct wv_metrics_out writer = {.format = WV_METRICS_TEXT, .out = &out};
	struct wv_metrics *m = NULL;

	fputs(intro, f);
	print_signals(f);
	print_histograms(f);
	print_facets(f);
	fprintf(f, "## The agent itself\n\n| metric | type | meaning |\n| --- | --- | --- |\n");
	if (wv_metrics_new(&m, 1, 1) == 0) {
		wv_metrics_self(m, &head, &process, &writer);
		if (wv_text_end(&out) == 0)
			print_families(f, out.data);
		fprintf(f, "%s", figures_intro);
		out.len = 0;
		wv_metrics_figures(&head, true, &writer);
		if (wv_text_end(&out) == 0)
			print_families(f, out.data);
		print_gpus(f, m, &writer);
	}
	wv_metrics_free(m);
	wv_text_done(&out);
}
