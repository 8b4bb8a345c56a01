// SPDX-License-Identifier: GPL-2.0-only
/* status: one page about the agent that runs on this machine. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/cmd.h"
#include "user/cmd/gpu_line.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/otlp/status.h"

#define META_MAX_BYTES (1U << 20)

struct status {
	const struct wv_paths *paths;
	struct wv_view view;
	int lock_pid;
	bool running;
	int read_error;		  /* of the snapshot */
	struct json_object *meta; /* run_meta.json, NULL if it cannot be read */
	int adopted;		  /* 1, 0, or -1 if the records do not say */
	struct json_object *otlp; /* what that worker says of itself; NULL: there is none */
};

static int no_option(void *ctx _unused_, const struct wv_option *o _unused_,
		     const char *value _unused_)
{
	return WV_EXIT_USAGE;
}

static struct json_object *read_meta(const char *run_dir)
{
	_cleanup_close_ int fd = open(run_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (fd < 0 ||
	    wv_io_read_file(&wv_io_system, fd, "run_meta.json", META_MAX_BYTES, &text, &len) < 0)
		return NULL;
	return json_tokener_parse(text);
}

static unsigned observed(const struct wv_view *v)
{
	unsigned n = 0;

	for (uint32_t i = 1; i < v->sample.used_rows; i++)
		n += (v->sample.rows[i].flags & WV_ROW_LIVE) != 0;
	return n;
}

/* Whether this run's first core took over what an agent before it had loaded: its record says so.
 */
static int read_adopted(const char *run_dir)
{
	char path[sizeof(((struct wv_snapshot *)0)->run_dir) + 16];
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int adopted = -1;

	snprintf(path, sizeof(path), "%s/events.jsonl", run_dir);
	f = fopen(path, "re");
	/* it is among the first records */
	for (int i = 0; f && adopted < 0 && i < 16 && getline(&line, &size, f) > 0; i++) {
		struct json_object *o = json_tokener_parse(line), *type, *v;

		if (o && json_object_object_get_ex(o, "type", &type) &&
		    strcmp(json_object_get_string(type), "core-start") == 0 &&
		    json_object_object_get_ex(o, "adopted", &v))
			adopted = json_object_get_boolean(v);
		json_object_put(o);
	}
	return adopted;
}

/* Text of a string, number or boolean below run_meta.json's top level or its "host"; "" if absent.
 */
static const char *meta_text(const struct status *s, const char *key)
{
	struct json_object *v = NULL, *host = NULL;

	if (!s->meta)
		return "";
	if (!json_object_object_get_ex(s->meta, key, &v) &&
	    (!json_object_object_get_ex(s->meta, "host", &host) ||
	     !json_object_object_get_ex(host, key, &v)))
		return "";
	return json_object_get_string(v) ?: "";
}

/* Text ----------------------------------------------------------------------------------------- */

static void print_events(const struct wv_self *self)
{
	unsigned shown = 0;

	for (unsigned i = 0; i < WV_EV_N; i++) {
		uint64_t produced = self->events_produced[i], consumed = self->events_consumed[i];
		uint64_t dropped = self->events_dropped[i], known = consumed + dropped;

		if (!produced && !known)
			continue;
		printf("%-10s %s: %llu produced = %llu consumed + %llu dropped",
		       shown++ ? "" : "events", wv_event_names[i], (unsigned long long)produced,
		       (unsigned long long)consumed, (unsigned long long)dropped);
		if (produced > known)
			printf(" + %llu on their way", (unsigned long long)(produced - known));
		else if (produced < known)
			printf(" (%llu counted since)", (unsigned long long)(known - produced));
		printf("\n");
	}
	if (!shown)
		printf("%-10s none\n", "events");
}

static void print_drift(const struct wv_snapshot *h)
{
	unsigned shown = 0;

	for (int i = 0; i < WV_DRIFT_N; i++)
		if (h->drift[i])
			printf("%s%u of %s",
			       shown++ ? ", " : "drift      not as in the run before: ",
			       h->drift[i], wv_drift_names[i]);
	if (shown)
		printf(" (records config-drift)\n");
}

static void print_losses(const struct wv_self *self)
{
	unsigned shown = 0;

	for (unsigned i = 0; i < WV_PLACE_N; i++) {
		if (!self->places[i])
			continue;
		printf("%-10s %s: %llu", shown++ ? "" : "losses", wv_place_texts[i],
		       (unsigned long long)self->places[i]);
		if (self->place_errno[i])
			printf(" (last: %s)", strerror((int)-self->place_errno[i]));
		printf("\n");
	}
	if (!shown)
		printf("%-10s none\n", "losses");
	for (unsigned i = 0; i < self->n_progs && i < WV_MAX_PROGS; i++)
		if (self->progs[i].misses)
			printf("%-10s %s: %llu runs skipped by the kernel (interrupted by its own "
			       "hook)\n",
			       "", self->progs[i].name, (unsigned long long)self->progs[i].misses);
}

static void print_cost(const struct wv_snapshot *h, uint64_t now)
{
	uint64_t up = now > h->started_mono_ns ? now - h->started_mono_ns : 1;
	char rss[WV_WORD], pss[WV_WORD], maps[WV_WORD];

	printf("%-10s %.2f %% of one CPU since the start, %s resident (%s without double "
	       "counting), "
	       "%s in BPF maps\n",
	       "cost", 100.0 * (double)h->self.cpu_ns / (double)up,
	       wv_word_bytes(rss, (double)h->self.rss_bytes),
	       wv_word_bytes(pss, (double)h->self.pss_bytes),
	       wv_word_bytes(maps, (double)h->self.map_bytes));
}

static void print_budgets(const struct wv_snapshot *h)
{
	char first[WV_WORD];

	printf("%-10s %u of %u in force; %llu decisions, %llu actions, %llu failed", "budgets",
	       h->n_budgets_in_force, h->n_budgets, (unsigned long long)h->self.decisions,
	       (unsigned long long)h->self.actions, (unsigned long long)h->self.action_failures);
	if (h->first_limit_ns)
		printf("; first limit after %s", wv_word_span(first, h->first_limit_ns));
	printf("\n");
}

/* The mode of each domain, as applications read it. o: NULL prints, else an object to add to. */
static void show_modes(const struct wv_paths *paths, struct json_object *o)
{
	char path[2 * WV_PATH_SIZE], line[256], mode[80];
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *e;

	snprintf(path, sizeof(path), "%s/domains", paths->runtime);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		_cleanup_fclose_ FILE *f = NULL;
		char *end = strstr(e->d_name, ".env");
		int fd = end && !end[4] ? openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC) : -1;

		f = fd < 0 ? NULL : fdopen(fd, "r");
		mode[0] = '\0';
		while (f && fgets(line, sizeof(line), f))
			(void)sscanf(line, "WAVEOS_MODE=%79s", mode);
		if (!mode[0])
			continue;
		*end = '\0';
		if (o)
			wv_json_str(o, e->d_name, mode);
		else
			printf("%-10s domain %s is %s\n", "", e->d_name, mode);
	}
}

static void print_rules(const struct status *s)
{
	const struct wv_snapshot *h = &s->view.head;

	if (h->n_rules)
		printf("%-10s %u, open on %u cgroup(s)\n", "rules", h->n_rules, h->n_rules_open);
	show_modes(s->paths, NULL);
}

static void print_recovery(const struct wv_snapshot *h, uint64_t now)
{
	char ago[WV_WORD];

	if (atomic_load(&h->disarmed))
		printf("%-10s ** kill switch on for %s: observing only **\n", "actions",
		       wv_word_span(ago, now - atomic_load(&h->disarmed_mono_ns)));
	else
		printf("%-10s armed; %u cgroups frozen, isolated, throttled or in a mode\n",
		       "actions", h->n_held);
	if (atomic_load(&h->log_errno))
		printf("%-10s ** the log cannot be written: %s **\n", "",
		       strerror((int)atomic_load(&h->log_errno)));
	if (atomic_load(&h->enforce_errno))
		printf("%-10s ** enforcement fails: %s **\n", "",
		       strerror((int)atomic_load(&h->enforce_errno)));
}

static void print_text(const struct status *s)
{
	const struct wv_snapshot *h = &s->view.head;
	uint64_t now = wv_view_mono_ns(), age = now > h->mono_ns ? now - h->mono_ns : 0;
	const char *hooks = meta_text(s, "hooks");
	char up[WV_WORD], old[WV_WORD], every[WV_WORD], takes[WV_WORD], gpus[512];

	printf("waveos-bpf %s, policy %s, bundle %.12s\n", h->version, h->policy_version,
	       h->bundle_id);
	printf("%-10s running for %s; supervisor %u", "agent",
	       wv_word_span(up, now - h->started_mono_ns), h->supervisor_pid);
	for (int i = 0; i < WV_WORKER_N; i++)
		if (h->workers[i].pid)
			printf(", %s %u", wv_worker_names[i], h->workers[i].pid);
	putchar('\n');
	printf("%-10s %s\n%-10s %s\n", "run", h->run_id, "", h->run_dir);
	if (hooks[0])
		printf("%-10s %s%s\n", "hooks", hooks,
		       s->adopted == 1 ? ", adopted from the agent before" : "");
	if (!h->mono_ns)
		printf("%-10s none yet: the core worker is starting\n", "sample");
	else
		printf("%-10s tick %llu, %s old; every %s, takes %s%s\n", "sample",
		       (unsigned long long)h->tick, wv_word_span(old, age),
		       wv_word_span(every, h->tick_interval_ns),
		       wv_word_span(takes, h->self.sense_ns),
		       age > 3 * h->tick_interval_ns ? "  ** the core worker is late **" : "");
	printf("%-10s %u observed, room for %u\n", "cgroups", observed(&s->view), h->max_rows - 1);
	print_budgets(h);
	print_rules(s);
	print_recovery(h, now);
	print_events(&h->self);
	print_drift(h);
	print_losses(&h->self);
	printf("%-10s %llu written, %llu failed\n", "records",
	       (unsigned long long)h->self.records_written,
	       (unsigned long long)h->self.records_failed);
	printf("%-10s", "restarts");
	for (int i = 0; i < WV_WORKER_N; i++)
		printf("%s %s %u", i ? "," : "", wv_worker_names[i], h->workers[i].restarts);
	putchar('\n');
	print_cost(h, now);
	if (wv_gpu_line(s->paths, gpus, sizeof(gpus)))
		printf("%-10s %s\n", "gpu", gpus);
	if (s->otlp)
		wv_otlp_status_print(stdout, s->otlp);
	if (h->metrics_address[0])
		printf("%-10s http://%s/metrics\n", "metrics", h->metrics_address);
	else
		printf("%-10s none (metrics.listen is empty)\n", "metrics");
}

/* JSON ----------------------------------------------------------------------------------------- */

static struct json_object *events_json(const struct wv_self *self)
{
	struct json_object *all = json_object_new_object();

	for (unsigned i = 0; i < WV_EV_N; i++) {
		struct json_object *e = json_object_new_object();

		wv_json_u64(e, "produced", self->events_produced[i]);
		wv_json_u64(e, "consumed", self->events_consumed[i]);
		wv_json_u64(e, "dropped", self->events_dropped[i]);
		json_object_object_add(all, wv_event_names[i], e);
	}
	return all;
}

/* run_ns and run_count grow only while the kernel's BPF statistics are on. */
static struct json_object *programs_json(const struct wv_self *self)
{
	struct json_object *all = json_object_new_array();

	for (unsigned i = 0; i < self->n_progs && i < WV_MAX_PROGS; i++) {
		const struct wv_prog_stats *p = &self->progs[i];
		struct json_object *o = json_object_new_object();

		wv_json_str(o, "name", p->name);
		wv_json_u64(o, "verified_insns", p->verified_insns);
		wv_json_u64(o, "run_ns", p->run_ns);
		wv_json_u64(o, "run_count", p->run_count);
		wv_json_u64(o, "misses", p->misses);
		json_object_array_add(all, o);
	}
	return all;
}

static struct json_object *losses_json(const struct wv_self *self)
{
	struct json_object *all = json_object_new_array();

	for (unsigned i = 0; i < WV_PLACE_N; i++) {
		struct json_object *l;

		if (!self->places[i])
			continue;
		l = json_object_new_object();
		wv_json_str(l, "place", wv_place_ids[i]);
		wv_json_str(l, "meaning", wv_place_texts[i]);
		wv_json_u64(l, "count", self->places[i]);
		json_object_object_add(l, "last_errno",
				       json_object_new_int64(self->place_errno[i]));
		json_object_array_add(all, l);
	}
	return all;
}

static struct json_object *drift_json(const struct wv_snapshot *h)
{
	struct json_object *o = json_object_new_object();

	for (int i = 0; i < WV_DRIFT_N; i++)
		wv_json_u64(o, wv_drift_names[i], h->drift[i]);
	return o;
}

static void add_process(struct json_object *o, const struct wv_snapshot *h)
{
	wv_json_u64(o, "supervisor_pid", h->supervisor_pid);
	for (int i = 0; i < WV_WORKER_N; i++) {
		char key[40];

		snprintf(key, sizeof(key), "%s_pid", wv_worker_names[i]);
		wv_json_u64(o, key, h->workers[i].pid);
		snprintf(key, sizeof(key), "%s_restarts", wv_worker_names[i]);
		wv_json_u64(o, key, h->workers[i].restarts);
	}
	wv_json_u64(o, "cpu_ns", h->self.cpu_ns);
	wv_json_u64(o, "rss_bytes", h->self.rss_bytes);
	wv_json_u64(o, "pss_bytes", h->self.pss_bytes);
	wv_json_u64(o, "map_bytes", h->self.map_bytes);
}

static void print_json(const struct status *s)
{
	const struct wv_snapshot *h = &s->view.head;
	struct json_object *o = json_object_new_object();
	uint64_t now = wv_view_mono_ns();

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(o, "running", json_object_new_boolean(s->running));
	if (s->running && s->read_error == 0) {
		struct json_object *modes = json_object_new_object(), *gpus;

		wv_json_str(o, "waveos_version", h->version);
		wv_json_str(o, "policy_version", h->policy_version);
		wv_json_str(o, "bundle_id", h->bundle_id);
		wv_json_str(o, "run_id", h->run_id);
		wv_json_str(o, "run_dir", h->run_dir);
		wv_json_str(o, "hooks", meta_text(s, "hooks"));
		json_object_object_add(o, "adopted",
				       s->adopted < 0 ? NULL : json_object_new_boolean(s->adopted));
		wv_json_u64(o, "uptime_ns", now - h->started_mono_ns);
		wv_json_u64(o, "tick", h->tick);
		wv_json_u64(o, "tick_interval_ns", h->tick_interval_ns);
		wv_json_u64(o, "sample_age_ns", now > h->mono_ns ? now - h->mono_ns : 0);
		wv_json_u64(o, "sense_ns", h->self.sense_ns);
		wv_json_u64(o, "cgroups", observed(&s->view));
		wv_json_u64(o, "max_cgroups", h->max_rows - 1);
		wv_json_u64(o, "budgets", h->n_budgets);
		wv_json_u64(o, "budgets_in_force", h->n_budgets_in_force);
		wv_json_u64(o, "rules", h->n_rules);
		wv_json_u64(o, "rules_open", h->n_rules_open);
		json_object_object_add(o, "modes", modes);
		show_modes(s->paths, modes);
		wv_json_u64(o, "first_limit_ns", h->first_limit_ns);
		wv_json_u64(o, "decisions", h->self.decisions);
		wv_json_u64(o, "actions", h->self.actions);
		wv_json_u64(o, "action_failures", h->self.action_failures);
		json_object_object_add(o, "armed",
				       json_object_new_boolean(!atomic_load(&h->disarmed)));
		wv_json_u64(o, "held", h->n_held);
		wv_json_u64(o, "log_errno", atomic_load(&h->log_errno));
		wv_json_u64(o, "enforce_errno", atomic_load(&h->enforce_errno));
		json_object_object_add(o, "drift", drift_json(h));
		wv_json_u64(o, "records_written", h->self.records_written);
		wv_json_u64(o, "records_failed", h->self.records_failed);
		wv_json_str(o, "metrics_address", h->metrics_address);
		add_process(o, h);
		json_object_object_add(o, "events", events_json(&h->self));
		json_object_object_add(o, "losses", losses_json(&h->self));
		json_object_object_add(o, "programs", programs_json(&h->self));
		gpus = wv_gpu_line_json(s->paths);
		if (gpus)
			json_object_object_add(o, "gpu", gpus);
		if (s->otlp)
			json_object_object_add(o, "otlp", json_object_get(s->otlp));
	}
	wv_json_print(o);
	json_object_put(o);
}

/* The one line where there is nothing to show; an exit code. */
static int explain(const struct status *s, const struct wv_paths *paths)
{
	const struct wv_snapshot *h = &s->view.head;
	uint64_t now = wv_view_mono_ns();
	char ago[WV_WORD];

	if (s->read_error == -EACCES || s->read_error == -EPERM) {
		fprintf(stderr, "waveos-bpf status: may not read %s: run it as root\n",
			paths->runtime);
		return WV_EXIT_DENIED;
	}
	if (!s->running && s->read_error == 0 && h->mono_ns && h->mono_ns < now)
		fprintf(stderr,
			"waveos-bpf status: no agent runs; run %s ended %s ago. Start: waveos-bpf "
			"attach. "
			"Remove what it may have left: waveos-bpf detach\n",
			h->run_id, wv_word_span(ago, now - h->mono_ns));
	else if (!s->running)
		fprintf(stderr,
			"waveos-bpf status: no agent runs (nothing holds %s/lock). Start: "
			"waveos-bpf attach\n",
			paths->runtime);
	else if (s->read_error == -EPROTO)
		fprintf(stderr,
			"waveos-bpf status: agent %d is of another version than this program: use "
			"its own\n",
			s->lock_pid);
	else
		fprintf(stderr, "waveos-bpf status: agent %d has published no sample yet: %s\n",
			s->lock_pid, strerror(-s->read_error));
	return WV_EXIT_FINDING;
}

int wv_cmd_status(struct wv_cli *cli, int argc, char **argv)
{
	struct status s = {.paths = &cli->paths};
	int r = wv_cli_parse(cli, argc, argv, "status [--json]",
			     "  waveos-bpf status\n  waveos-bpf status --json | jq .losses\n", NULL,
			     no_option, NULL);

	if (r < 0)
		return -r;
	if (r < argc) {
		fprintf(stderr, "waveos-bpf status: takes no operand, but got '%s'\n", argv[r]);
		return WV_EXIT_USAGE;
	}
	s.running = wv_view_agent_runs(&cli->paths, &s.lock_pid);
	s.read_error = wv_view_read(&s.view, &cli->paths);
	s.adopted = -1;
	if (s.read_error == 0) {
		s.meta = read_meta(s.view.head.run_dir);
		s.adopted = read_adopted(s.view.head.run_dir);
		if (s.view.head.workers[WV_WORKER_OTLP].pid)
			s.otlp = wv_otlp_status_read(&cli->paths);
	}
	if (cli->json)
		print_json(&s);
	if (!s.running || s.read_error < 0)
		r = explain(&s, &cli->paths);
	else
		r = WV_EXIT_OK;
	if (r == WV_EXIT_OK && !cli->json)
		print_text(&s);
	json_object_put(s.meta);
	json_object_put(s.otlp);
	wv_view_done(&s.view);
	return r;
}
