// SPDX-License-Identifier: GPL-2.0-only
/* What the agent says of itself: versions, own cost, losses, workers. */
#include <stdio.h>

#include "user/export/metrics_plan.h"

static const char *const place_names[WV_PLACE_N] = {
#define X(id, text) #id,
	WV_PLACES(X)
#undef X
};
static const char *const event_names[WV_EV_N] = {
#define X(id, text) text,
	WV_EVENTS(X)
#undef X
};

struct self {
	struct wv_metrics *m;
	struct wv_text *out;
	enum wv_metrics_format format;
	const char *name;
};

static void family(struct self *s, const char *name, const char *type, const char *help)
{
	s->name = name;
	wv_metrics_header(s->out, s->format, name, type, help);
}

/* A series of the family; label may be NULL. */
static void value(struct self *s, const char *label, const char *label_value, uint64_t v,
		  enum wv_scale scale)
{
	wv_text_str(s->out, s->name);
	if (label) {
		wv_text_printf(s->out, "{%s=\"", label);
		wv_text_label(s->out, label_value);
		wv_text_str(s->out, "\"}");
	}
	wv_text_add(s->out, " ", 1);
	wv_text_scaled(s->out, v, scale);
	wv_text_add(s->out, "\n", 1);
	s->m->series++;
}

static void single(struct self *s, const char *name, const char *type, const char *help, uint64_t v,
		   enum wv_scale scale)
{
	family(s, name, type, help);
	value(s, NULL, NULL, v, scale);
}

static void identity(struct self *s, const struct wv_snapshot *h)
{
	const char *const names[] = {"version", "policy_version", "bundle_id"};
	const char *const values[] = {h->version, h->policy_version, h->bundle_id};

	family(s, "waveos_build_info", "info", "Version triple of the agent");
	for (unsigned i = 0; i < 3; i++) {
		wv_text_str(s->out, i ? "\"," : "waveos_build_info{");
		wv_text_str(s->out, names[i]);
		wv_text_str(s->out, "=\"");
		wv_text_label(s->out, values[i]);
	}
	wv_text_str(s->out, "\"} 1\n");
	s->m->series++;
	family(s, "waveos_run_info", "info", "Identity of this run");
	value(s, "run_id", h->run_id, 1, WV_ONE);
}

static void process(struct self *s, const struct wv_snapshot *h, const struct wv_metrics_process *p)
{
	single(s, "process_cpu_seconds_total", "counter", "CPU time of all processes of the agent",
	       h->self.cpu_ns, WV_NS);
	single(s, "process_resident_memory_bytes", "gauge",
	       "Resident memory of all processes of the agent; shared pages count in each",
	       h->self.rss_bytes, WV_ONE);
	single(s, "waveos_process_proportional_memory_bytes", "gauge",
	       "Resident memory of all processes of the agent; shared pages count once",
	       h->self.pss_bytes, WV_ONE);
	single(s, "process_open_fds", "gauge",
	       "Open file descriptors of the process that serves metrics", p->open_fds, WV_ONE);
	single(s, "process_start_time_seconds", "gauge", "Start of the agent since the epoch",
	       h->started_wall_ns, WV_NS);
	single(s, "waveos_bpf_map_bytes", "gauge",
	       "Memory of all BPF maps, as the kernel accounts it", h->self.map_bytes, WV_ONE);
}

static void losses(struct self *s, const struct wv_self *self)
{
	family(s, "waveos_events_produced_total", "counter",
	       "Events that BPF programs wanted to send");
	for (unsigned i = 0; i < WV_EV_N; i++)
		value(s, "type", event_names[i], self->events_produced[i], WV_ONE);
	family(s, "waveos_events_dropped_total", "counter",
	       "Events that found no place in the ring");
	for (unsigned i = 0; i < WV_EV_N; i++)
		value(s, "type", event_names[i], self->events_dropped[i], WV_ONE);
	family(s, "waveos_events_consumed_total", "counter", "Events that the agent read");
	for (unsigned i = 0; i < WV_EV_N; i++)
		value(s, "type", event_names[i], self->events_consumed[i], WV_ONE);
	family(s, "waveos_bpf_failures_total", "counter",
	       "Drops and failing helpers in BPF, by place");
	for (unsigned i = 0; i < WV_PLACE_N; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s", place_names[i]);
		for (char *c = name; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
		value(s, "place", name, self->places[i], WV_ONE);
	}
}

static void programs(struct self *s, const struct wv_self *self)
{
	unsigned n = self->n_progs < WV_MAX_PROGS ? self->n_progs : WV_MAX_PROGS;
	uint64_t runs = 0;

	family(s, "waveos_bpf_program_instructions", "gauge",
	       "Instructions that the verifier processed");
	for (unsigned i = 0; i < n; i++)
		value(s, "prog", self->progs[i].name, self->progs[i].verified_insns, WV_ONE);
	family(s, "waveos_bpf_program_misses_total", "counter",
	       "Runs that the kernel skipped because the program was interrupted by its own hook");
	for (unsigned i = 0; i < n; i++)
		value(s, "prog", self->progs[i].name, self->progs[i].misses, WV_ONE);
	for (unsigned i = 0; i < n; i++)
		runs += self->progs[i].run_count;
	/* the kernel counts only while BPF statistics are on: zeros would be untrue */
	if (!runs)
		return;
	family(s, "waveos_bpf_program_seconds_total", "counter",
	       "Run time while BPF statistics were on");
	for (unsigned i = 0; i < n; i++)
		value(s, "prog", self->progs[i].name, self->progs[i].run_ns, WV_NS);
	family(s, "waveos_bpf_program_runs_total", "counter", "Runs while BPF statistics were on");
	for (unsigned i = 0; i < n; i++)
		value(s, "prog", self->progs[i].name, self->progs[i].run_count, WV_ONE);
}

static void loop(struct self *s, const struct wv_snapshot *h, uint64_t now_mono_ns)
{
	single(s, "waveos_ticks_total", "counter", "Samples taken", h->tick, WV_ONE);
	single(s, "waveos_tick_interval_seconds", "gauge", "Interval between samples",
	       h->tick_interval_ns, WV_NS);
	single(s, "waveos_tick_duration_seconds", "gauge", "Time that the last sample took",
	       h->self.sense_ns, WV_NS);
	single(s, "waveos_sample_age_seconds", "gauge", "Age of the sample that this scrape shows",
	       now_mono_ns > h->mono_ns ? now_mono_ns - h->mono_ns : 0, WV_NS);
	family(s, "waveos_worker_restarts_total", "counter",
	       "Workers that died and were started again");
	for (int i = 0; i < WV_WORKER_N; i++)
		value(s, "worker", wv_worker_names[i],
		      atomic_load(&((struct wv_snapshot *)h)->workers[i].restarts), WV_ONE);
}

static void enforcement(struct self *s, const struct wv_snapshot *h)
{
	single(s, "waveos_budgets", "gauge", "Budgets configured", h->n_budgets, WV_ONE);
	single(s, "waveos_rules", "gauge", "Rules of the policy", h->n_rules, WV_ONE);
	single(s, "waveos_rules_open", "gauge", "Pairs of rule and cgroup that are open now",
	       h->n_rules_open, WV_ONE);
	single(s, "waveos_budgets_in_force", "gauge", "Budgets in force now", h->n_budgets_in_force,
	       WV_ONE);
	single(s, "waveos_decisions_total", "counter", "Decisions taken", h->self.decisions,
	       WV_ONE);
	single(s, "waveos_enforcement_actions_total", "counter", "Actions carried out or tried",
	       h->self.actions, WV_ONE);
	single(s, "waveos_enforcement_failures_total", "counter", "Actions that failed",
	       h->self.action_failures, WV_ONE);
	if (h->first_limit_ns)
		single(s, "waveos_first_limit_seconds", "gauge",
		       "Start to the first enforced limit", h->first_limit_ns, WV_NS);
	family(s, "waveos_config_drift", "gauge",
	       "Settings and facts that are not as in the run before, by kind");
	for (int i = 0; i < WV_DRIFT_N; i++)
		value(s, "kind", wv_drift_names[i], h->drift[i], WV_ONE);
	family(s, "waveos_records_total", "counter", "Records of the evidence log");
	value(s, "result", "written", h->self.records_written, WV_ONE);
	value(s, "result", "failed", h->self.records_failed, WV_ONE);
}

void wv_metrics_self(struct wv_metrics *m, const struct wv_snapshot *head,
		     const struct wv_sample *sample, const struct wv_metrics_process *p,
		     enum wv_metrics_format format, struct wv_text *out)
{
	struct self s = {.m = m, .out = out, .format = format};

	(void)sample;
	identity(&s, head);
	process(&s, head, p);
	losses(&s, &head->self);
	programs(&s, &head->self);
	loop(&s, head, p->now_mono_ns);
	enforcement(&s, head);
	family(&s, "waveos_cgroups", "gauge", "Cgroups by how much of them this scrape exports");
	value(&s, "detail", "full", m->rows_level[WV_LEVEL_FULL], WV_ONE);
	value(&s, "detail", "core", m->rows_level[WV_LEVEL_CORE], WV_ONE);
	value(&s, "detail", "none", m->rows_level[WV_LEVEL_REST], WV_ONE);
	single(&s, "waveos_metrics_series_dropped", "gauge",
	       "Series that the ceiling metrics.max_series keeps out of this scrape",
	       m->series_dropped, WV_ONE);
	/* counts itself */
	single(&s, "waveos_metrics_series", "gauge", "Series in this scrape", m->series + 1,
	       WV_ONE);
}
