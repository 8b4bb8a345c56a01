// SPDX-License-Identifier: GPL-2.0-only
/* Figures of workers, and the states of rules and domains. */
#include <stdio.h>

#include "user/export/metrics_plan.h"
#include "user/flow/figures.h"

static bool ran(const struct wv_snapshot *h, enum wv_worker_id w)
{
	return atomic_load(&h->workers[w].pid) || atomic_load(&h->workers[w].restarts);
}

static bool heads_family(unsigned i)
{
	return !i || strcmp(wv_figure_infos[i].metric, wv_figure_infos[i - 1].metric) != 0;
}

static void workers(const struct wv_snapshot *head, bool everything, struct wv_metrics_out *out)
{
	char name[128];

	for (unsigned i = 0; i < WV_FIGURE_N; i++) {
		const struct wv_figure_info *f = &wv_figure_infos[i];

		if (!everything && !ran(head, f->worker))
			continue;
		if (heads_family(i)) {
			snprintf(name, sizeof(name), "waveos_%s", f->metric);
			wv_out_family(out, name, f->kind == WV_COUNTER ? "counter" : "gauge",
				      f->help);
		}
		wv_out_value(out, "", 0, f->labels, wv_figure_get(i), f->scale);
	}
}

static void labelled(struct wv_metrics_out *out, const char *const *names,
		     const char *const *values, unsigned n, uint64_t v)
{
	struct wv_text t = {.max = 4096};

	for (unsigned i = 0; i < n; i++) {
		wv_text_str(&t, i ? "," : "");
		wv_text_str(&t, names[i]);
		wv_text_str(&t, "=\"");
		wv_text_label(&t, values[i]);
		wv_text_str(&t, "\"");
	}
	wv_out_value(out, t.data, t.len, "", v, WV_ONE);
	wv_text_done(&t);
}

static void rules(const struct wv_policy_figures *f, struct wv_metrics_out *out)
{
	static const char *const names[] = {"rule"};

	wv_out_family(out, "waveos_rule_open", "gauge",
		      "Cgroups on which the rule is open, on trial or withheld now");
	for (uint32_t i = 0; i < f->n_rules; i++)
		labelled(out, names, (const char *const[]){f->rules[i].name}, 1, f->rules[i].open);
	wv_out_family(out, "waveos_rule_trips_total", "counter", "Times that the rule opened");
	for (uint32_t i = 0; i < f->n_rules; i++)
		labelled(out, names, (const char *const[]){f->rules[i].name}, 1, f->rules[i].trips);
}

static void domains(const struct wv_policy_figures *f, struct wv_metrics_out *out)
{
	static const char *const names[] = {"domain", "mode"};

	wv_out_family(out, "waveos_domain_mode", "gauge",
		      "The mode that the domain is in: always 1");
	for (uint32_t i = 0; i < f->n_domains; i++)
		if (f->domains[i].name[0])
			labelled(out, names,
				 (const char *const[]){f->domains[i].name, f->domains[i].mode}, 2,
				 1);
	wv_out_family(out, "waveos_domain_mode_severity", "gauge",
		      "Place of the domain's mode in the policy's list: 0 is the normal one");
	for (uint32_t i = 0; i < f->n_domains; i++)
		if (f->domains[i].name[0])
			labelled(out, names, (const char *const[]){f->domains[i].name}, 1,
				 f->domains[i].severity);
}

void wv_metrics_figures(const struct wv_snapshot *head, bool everything, struct wv_metrics_out *out)
{
	struct wv_policy_figures f = {0};

	workers(head, everything, out);
	(void)wv_policy_figures_read(&f);
	if (f.n_rules || everything)
		rules(&f, out);
	if (f.n_domains || everything)
		domains(&f, out);
}
