// SPDX-License-Identifier: GPL-2.0-only
/* dump: one full sample of everything, with rates and who hurts whom, and that is all. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "user/cmd/cmd.h"
#include "user/cmd/harm_text.h"
#include "user/cmd/top_print.h"
#include "user/core/cleanup.h"

#define MAX_HARMS 100

static int no_option(void *ctx _unused_, const struct wv_option *o _unused_,
		     const char *value _unused_)
{
	return WV_EXIT_USAGE;
}

static void print_row(const struct wv_top *t, const struct wv_top_row *r)
{
	const struct wv_row *row = &t->now->rows[r->slot];
	char path[WV_ROW_PATH_MAX + 8];

	printf("%s%s\n", wv_top_path(row, path, sizeof(path)),
	       row->key & WV_KEY_V1 ? "  (v1)" : "");
	for (unsigned i = 0; i < WV_SIG_N; i++) {
		double rate = wv_signal_is_counter(i) ? wv_top_rate(t, r->slot, i) : 0;

		if (!row->f.v[i])
			continue;
		printf("  %-26s %20llu", wv_signals[i].name, (unsigned long long)row->f.v[i]);
		if (rate > 0)
			printf("  %16.1f/s", rate);
		putchar('\n');
	}
	for (unsigned i = 0; i < WV_HIST_N; i++) {
		const struct wv_hist *h = &row->f.hist[i];
		char p50[WV_WORD], p99[WV_WORD];

		if (wv_hist_count(h))
			printf("  %-26s %20llu  p50 %s, p99 %s\n", wv_hists[i].name,
			       (unsigned long long)wv_hist_count(h),
			       wv_word_span(p50, wv_hist_quantile_ns(h, 0.5)),
			       wv_word_span(p99, wv_hist_quantile_ns(h, 0.99)));
	}
}

static void print_facets(const struct wv_sample *s)
{
	for (uint32_t i = 0; i < s->n_facets; i++) {
		const struct wv_facet_row *f = &s->facets[i];
		const struct wv_facet_info *info = &wv_facets[f->family];
		char path[WV_ROW_PATH_MAX + 8] = "";

		if (f->slot < s->used_rows)
			wv_top_path(&s->rows[f->slot], path, sizeof(path));
		printf("%s %s=%s %s:", info->name, info->label, f->label, path);
		for (unsigned c = 0; c < info->n_columns; c++)
			printf(" %s=%llu", info->columns[c].name, (unsigned long long)f->v[c]);
		putchar('\n');
	}
}

static void print_text(const struct wv_top *t, const struct wv_snapshot *h,
		       const struct wv_snapshot *before, const struct wv_harm *harms, size_t n,
		       unsigned ncpu)
{
	char line[256], text[WV_HARM_TEXT];

	wv_top_self_line(h, before, line, sizeof(line));
	printf("run %s, tick %llu\n%s\n\n", h->run_id, (unsigned long long)h->tick, line);
	for (size_t i = 0; i < n; i++)
		printf("%s\n", wv_harm_text(text, &harms[i], t->now, ncpu));
	printf(n ? "\n" : "nobody is hurting anybody\n\n");
	for (uint32_t i = 0; i < t->n_lines; i++)
		print_row(t, &t->rows[t->lines[i].row]);
	print_facets(t->now);
}

int wv_cmd_dump(struct wv_cli *cli, int argc, char **argv)
{
	const struct wv_top_options all = {.sort = WV_TOP_BY_NAME, .flat = true};
	unsigned ncpu = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	struct wv_view first = {0}, second = {0};
	struct wv_harm harms[MAX_HARMS];
	struct wv_top t = {0};
	size_t n = 0;
	int r = wv_cli_parse(cli, argc, argv, "dump [--json]",
			     "  waveos-bpf dump\n"
			     "  waveos-bpf dump --json | jq '.harms[0], (.rows | length)'\n",
			     NULL, no_option, NULL);

	if (r < 0)
		return -r;
	if (r < argc) {
		fprintf(stderr, "waveos-bpf dump: takes no operand, but got '%s'\n", argv[r]);
		return WV_EXIT_USAGE;
	}
	/* two samples: rates and harms are of the time between them */
	r = wv_view_next(&first, &cli->paths, 0);
	second.head.mono_ns = first.head.mono_ns;
	second.head.tick_interval_ns = first.head.tick_interval_ns;
	if (r == 0)
		r = wv_view_next(&second, &cli->paths, 0);
	if (r == 0)
		r = wv_top_build(&t, &second.sample, &first.sample);
	if (r == 0)
		r = wv_top_arrange(&t, &all, &(struct wv_top_folds){0});
	if (r == 0)
		r = wv_harm_rank(&second.sample, &first.sample, ncpu, harms, MAX_HARMS, &n);
	if (r == 0 && cli->json) {
		struct json_object *more = json_object_new_object();

		json_object_object_add(more, "harms", wv_harm_json(harms, n, &second.sample));
		wv_top_print_json(&t, &second.head, &first.head, 0, more);
	} else if (r == 0) {
		print_text(&t, &second.head, &first.head, harms, n, ncpu);
	}
	if (r == 0 && fflush(stdout) != 0)
		fprintf(stderr, "waveos-bpf dump: cannot write\n");
	wv_top_done(&t);
	wv_view_done(&first);
	wv_view_done(&second);
	if (r < 0)
		return wv_view_explain("dump", &cli->paths, r);
	return ferror(stdout) ? WV_EXIT_INTERNAL : WV_EXIT_OK;
}
