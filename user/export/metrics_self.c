// SPDX-License-Identifier: GPL-2.0-only
/* What the agent says of itself: versions, own cost, losses, workers. */
#include <stdio.h>

#include "user/export/metrics_plan.h"
#include "user/flow/figures.h"

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
	struct wv_metrics_out *out;
};

static void family(struct self *s, const char *name, const char *type, const char *help)
{
	wv_out_family(s->out, name, type, help);
}

/* A series of the family; label may be NULL. */
static void value(struct self *s, const char *label, const char *label_value, uint64_t v,
		  enum wv_scale scale)
{
	struct wv_text t = {.max = 4096};

	if (label) {
		wv_text_str(&t, label);
		wv_text_str(&t, "=\"");
		wv_text_label(&t, label_value);
		wv_text_str(&t, "\"");
	}
	wv_out_value(s->out, t.data, t.len, "", v, scale);
	wv_text_done(&t);
}

static void single(struct self *s, const char *name, const char *type, const char *help, uint64_t v,
		   enum wv_scale scale)
{
	family(s, name, type, help);
	value(s, NULL, NULL, v, scale);
}

/* An info series: names and values, n of each. */
static void info(struct self *s, const char *const *names, const char *const *values, unsigned n)
{
	struct wv_text t = {.max = 4096};

	for (unsigned i = 0; i < n; i++) {
		wv_text_str(&t, i ? "," : "");
		wv_text_str(&t, names[i]);
		wv_text_str(&t, "=\"");
		wv_text_label(&t, values[i]);
		wv_text_str(&t, "\"");
	}
	wv_out_value(s->out, t.data, t.len, "", 1, WV_ONE);
	wv_text_done(&t);
}

static void identity(struct self *s, const struct wv_snapshot *h)
{
	const char *const names[] = {"version", "policy_version", "bundle_id"};
	const char *const values[] = {h->version, h->policy_version, h->bundle_id};
	const char *const policy_names[] = {"policy", "version", "mode"};
	struct wv_policy_figures f = {0};
	char policy[sizeof(h->policy_version)];
	const char *at;

	family(s, "waveos_build_info", "info", "Version triple of the agent");
	info(s, names, values, 3);
	family(s, "waveos_run_info", "info", "Identity of this run");
	value(s, "run_id", h->run_id, 1, WV_ONE);
	/* <name>@<first 12 digits of its SHA-256> */
	snprintf(policy, sizeof(policy), "%s", h->policy_version);
	policy[strcspn(policy, "@")] = '\0';
	at = strchr(h->policy_version, '@');
	(void)wv_policy_figures_read(&f);
	{
		const char *const policy_values[] = {policy, at ? at + 1 : "",
						     atomic_load(&h->disarmed) ? "disarmed"
						     : f.dry_run	       ? "dry-run"
						     : f.enforces	       ? "enforce"
									       : "observe"};

		family(s, "waveos_policy_info", "info",
		       "Policy in force, and whether the agent acts: enforce, dry-run, observe "
		       "(enforce.enabled is off) or disarmed (kill switch)");
		info(s, policy_names, policy_values, 3);
	}
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
		value(s, "worker", wv_worker_names[i], atomic_load(&h->workers[i].restarts),
		      WV_ONE);
}

static void enforcement(struct self *s, const struct wv_snapshot *h)
{
	single(s, "waveos_budgets", "gauge", "Budgets configured", h->n_budgets, WV_ONE);
	single(s, "waveos_rules", "gauge", "Rules of the policy", h->n_rules, WV_ONE);
	single(s, "waveos_rules_open", "gauge", "Pairs of rule and cgroup that are open now",
	       h->n_rules_open, WV_ONE);
	single(s, "waveos_budgets_in_force", "gauge", "Budgets in force now", h->n_budgets_in_force,
	       WV_ONE);
	single(s, "waveos_breakers_in_force", "gauge", "Breakers in force now",
	       h->n_breakers_in_force, WV_ONE);
	single(s, "waveos_cgroups_held", "gauge",
	       "Cgroups that recovery froze, isolated or throttles", h->n_held, WV_ONE);
	single(s, "waveos_disarmed", "gauge", "1 while the kill switch is on",
	       atomic_load(&h->disarmed) != 0, WV_ONE);
	single(s, "waveos_enforcement_failures_total", "counter",
	       "Actions of rules and chains that failed", h->self.action_failures, WV_ONE);
	single(s, "waveos_enforcement_broken", "gauge",
	       "1 while the enforcer cannot do its work at all",
	       atomic_load(&h->enforce_errno) != 0, WV_ONE);
	if (h->first_limit_ns)
		single(s, "waveos_first_limit_seconds", "gauge",
		       "Start to the first enforced limit", h->first_limit_ns, WV_NS);
	family(s, "waveos_policy_reloads_total", "counter",
	       "Reloads of the policy that were taken, and that left the old one in force");
	value(s, "result", "taken", atomic_load(&h->policies_taken), WV_ONE);
	value(s, "result", "refused", atomic_load(&h->policies_refused), WV_ONE);
	family(s, "waveos_config_drift", "gauge",
	       "Settings and facts that are not as in the run before, by kind");
	for (int i = 0; i < WV_DRIFT_N; i++)
		value(s, "kind", wv_drift_names[i], h->drift[i], WV_ONE);
	family(s, "waveos_records_total", "counter", "Records of the evidence log");
	value(s, "result", "written", h->self.records_written, WV_ONE);
	value(s, "result", "failed", h->self.records_failed, WV_ONE);
	single(s, "waveos_log_broken", "gauge", "1 while records cannot be written",
	       atomic_load(&h->log_errno) != 0, WV_ONE);
}

void wv_metrics_self(struct wv_metrics *m, const struct wv_snapshot *head,
		     const struct wv_metrics_process *p, struct wv_metrics_out *out)
{
	struct self s = {.m = m, .out = out};

	identity(&s, head);
	process(&s, head, p);
	losses(&s, &head->self);
	programs(&s, &head->self);
	loop(&s, head, p->now_mono_ns);
	enforcement(&s, head);
	wv_metrics_figures(head, false, out);
	family(&s, "waveos_cgroups", "gauge", "Cgroups by how much of them this scrape exports");
	value(&s, "detail", "full", m->rows_level[WV_LEVEL_FULL], WV_ONE);
	value(&s, "detail", "core", m->rows_level[WV_LEVEL_CORE], WV_ONE);
	value(&s, "detail", "none", m->rows_level[WV_LEVEL_REST], WV_ONE);
	single(&s, "waveos_cgroups_limit", "gauge",
	       "Cgroups that can have figures of their own (collect.max_cgroups)", head->max_rows,
	       WV_ONE);
	single(&s, "waveos_metrics_series_dropped", "gauge",
	       "Series that the ceiling metrics.max_series keeps out of this scrape",
	       m->series_dropped, WV_ONE);
	single(&s, "waveos_metrics_series_limit", "gauge",
	       "The ceiling metrics.max_series of a scrape", m->max_series, WV_ONE);
	/* counts itself */
	single(&s, "waveos_metrics_series", "gauge", "Series in this scrape", out->series + 1,
	       WV_ONE);
}
