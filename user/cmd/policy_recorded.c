// SPDX-License-Identifier: GPL-2.0-only
/* A recorded run, and what a policy makes of it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/cmd/policy_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/evidence/artifacts.h"
#include "user/evidence/samples.h"
#include "user/rules/store.h"

#define META_MAX (1U << 20)
/* Samples further apart than this many ticks are not continuous, as in the agent. */
#define GAP_TICKS 3

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) ?: "" : "";
}

static uint64_t number_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

static uint8_t state_of(const char *name)
{
	uint8_t i = 0;

	while (i < WV_RULE_STATE_N && strcmp(wv_rule_state_names[i], name) != 0)
		i++;
	return i;
}

static int add_decision(struct wv_recorded *r, struct json_object *o)
{
	struct wv_kept_list *l = &r->decisions;
	const char *withheld = text_of(o, "withheld");
	struct wv_kept *bigger, k = {
					.tick = number_of(o, "tick"),
					.at_ns = number_of(o, "sample_mono_ns"),
					.key = number_of(o, "cgroup_key"),
					.from = state_of(text_of(o, "from")),
					.to = state_of(text_of(o, "verdict")),
				};

	if (k.from == WV_RULE_STATE_N || k.to == WV_RULE_STATE_N)
		return 0; /* a budget's */
	while (*withheld && k.withheld + 1 < WV_WITHHELD_N &&
	       strcmp(wv_withheld_names[k.withheld], withheld) != 0)
		k.withheld++;
	snprintf(k.rule, sizeof(k.rule), "%s", text_of(o, "rule"));
	snprintf(k.cgroup, sizeof(k.cgroup), "%s", text_of(o, "cgroup"));
	bigger = reallocarray(l->list, l->n + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	l->list = bigger;
	bigger[l->n++] = k;
	return 0;
}

static int add_pod(struct wv_recorded *r, struct json_object *o)
{
	struct wv_pod_record *bigger = reallocarray(r->pods, r->n_pods + 1, sizeof(*bigger)), *p;

	if (!bigger)
		return -ENOMEM;
	r->pods = bigger;
	p = &bigger[r->n_pods++];
	*p = (struct wv_pod_record){.tick = number_of(o, "tick"),
				    .key = number_of(o, "cgroup_key")};
	snprintf(p->info.namespace, sizeof(p->info.namespace), "%s", text_of(o, "namespace"));
	snprintf(p->info.pod, sizeof(p->info.pod), "%s", text_of(o, "pod"));
	snprintf(p->info.container, sizeof(p->info.container), "%s", text_of(o, "container"));
	snprintf(p->info.labels, sizeof(p->info.labels), "%s", text_of(o, "labels"));
	return 0;
}

static int take_line(struct wv_recorded *r, const char *line)
{
	struct json_object *o;
	const char *type;
	int e = 0;

	/* most lines are of other types: they are not parsed */
	if (!strstr(line, "\"type\":\"decision\"") && !strstr(line, "\"type\":\"pod\"") &&
	    !strstr(line, "\"type\":\"rules-adopted\""))
		return 0;
	o = json_tokener_parse(line);
	type = text_of(o, "type");
	if (strcmp(type, "decision") == 0)
		e = add_decision(r, o);
	else if (strcmp(type, "pod") == 0)
		e = add_pod(r, o);
	else if (strcmp(type, "rules-adopted") == 0)
		json_object_array_add(r->adopted, json_object_get(o));
	json_object_put(o);
	return e;
}

static int read_events(struct wv_recorded *r)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	int fd = openat(r->dir, WV_EVENTS_NAME, O_RDONLY | O_CLOEXEC), e = 0;

	if (fd < 0)
		return -errno;
	f = fdopen(fd, "r");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	while (e == 0 && getline(&line, &room, f) > 0)
		e = take_line(r, line);
	return e;
}

static int read_meta(struct wv_recorded *r)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o, *config, *settings, *section;
	int e = wv_io_read_file(&wv_io_system, r->dir, WV_META_NAME, META_MAX, &text, NULL);

	if (e < 0)
		return e;
	o = json_tokener_parse(text);
	snprintf(r->boot_id, sizeof(r->boot_id), "%s", text_of(o, "boot_id"));
	if (json_object_object_get_ex(o, "config", &config) &&
	    json_object_object_get_ex(config, "settings", &settings)) {
		if (json_object_object_get_ex(settings, "agent", &section))
			r->tick_interval_ns = number_of(section, "tick");
		if (json_object_object_get_ex(settings, "collect", &section))
			r->max_rows = (uint32_t)number_of(section, "max_cgroups");
	}
	json_object_put(o);
	return r->tick_interval_ns && r->max_rows && r->max_rows <= WV_MAX_SLOTS ? 0 : -EBADMSG;
}

int wv_recorded_open(struct wv_recorded *r, const char *verb, const struct wv_paths *paths,
		     const char *run)
{
	int e;

	*r = (struct wv_recorded){.dir = -1, .adopted = json_object_new_array()};
	e = wv_find_run(paths, run, r->path, sizeof(r->path));
	if (e == 0) {
		r->dir = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		e = r->dir < 0 ? -errno : read_meta(r);
	}
	e = e ?: read_events(r);
	if (e == 0)
		return WV_EXIT_OK;
	fprintf(stderr,
		"waveos-bpf %s: cannot read the run '%s': %s; runs are in %s/runs ('latest' is the "
		"newest)\n",
		verb, run, strerror(-e), paths->state);
	wv_recorded_done(r);
	return e == -EACCES ? WV_EXIT_DENIED : e == -ENOENT ? WV_EXIT_FINDING : WV_EXIT_INTERNAL;
}

void wv_recorded_done(struct wv_recorded *r)
{
	wv_kept_done(&r->decisions);
	free(r->pods);
	json_object_put(r->adopted);
	wv_closep(&r->dir);
	*r = (struct wv_recorded){.dir = -1};
}

/* Replay ----------------------------------------------------------------------------------------
 */

struct replay {
	const struct wv_recorded *recorded;
	const struct wv_policy *given; /* NULL: those that ran */
	struct wv_policy *own;	       /* the one that ran, read from the run's folder */
	struct wv_policy_run run;
	bool running;
	struct wv_replayed *ret;
	char why[512];
};

/* The policy with this digest, as it is kept in the run's folder. */
static int ran_policy(struct replay *p, const char *digest)
{
	struct wv_config_error error = {.text = ""};
	char path[3 * WV_PATH_SIZE];
	int e;

	wv_policy_free(p->own);
	p->own = NULL;
	if (!*digest) {
		p->own = wv_policy_new();
		return p->own ? 0 : -ENOMEM;
	}
	snprintf(path, sizeof(path), "%s/policy-%.12s.yaml", p->recorded->path, digest);
	e = wv_policy_load(&p->own, path, &error);
	if (e < 0)
		snprintf(p->why, sizeof(p->why), "%s", error.text);
	return e;
}

/* A new engine goes on where the last one was, or where the run began. */
static int begin(struct replay *p, const struct wv_policy *policy)
{
	struct json_object *states = NULL;
	int e;

	if (p->running && p->run.engine)
		states = wv_rules_states_json(p->run.engine, p->run.policy, p->recorded->boot_id);
	if (p->running)
		wv_policy_run_done(&p->run);
	p->running = false;
	e = wv_policy_run_init(&p->run, policy, p->recorded->max_rows,
			       GAP_TICKS * p->recorded->tick_interval_ns);
	if (e < 0) {
		json_object_put(states);
		return e;
	}
	p->running = true;
	if (states)
		wv_policy_run_put(&p->run, states);
	json_object_put(states);
	p->run.pods = p->recorded->pods;
	p->run.n_pods = p->recorded->n_pods;
	snprintf(p->run.boot_id, sizeof(p->run.boot_id), "%s", p->recorded->boot_id);
	return 0;
}

static int take_mark(struct replay *p, int mark, const char *text)
{
	const struct wv_policy *now = p->running ? p->run.policy : NULL;
	struct wv_policy *last = p->own;
	int e;

	if (mark == WV_SAMPLES_RESTART)
		return p->running ? begin(p, now) : 0;
	if (mark != WV_SAMPLES_POLICY)
		return 0; /* of a newer agent */
	if (p->given)
		return p->running ? 0 : begin(p, p->given);
	if (p->running && strcmp(now->digest, text) == 0)
		return 0;
	/* the old one is in use until its states are taken over */
	p->own = NULL;
	e = ran_policy(p, text);
	if (e == 0)
		e = begin(p, p->own);
	wv_policy_free(last);
	p->ret->policies++;
	return e;
}

static int take_tick(struct replay *p, const struct wv_sample *s)
{
	const struct wv_rule_decision *list = NULL;
	int e = 0;
	size_t n;

	if (!p->running)
		return -EBADMSG;
	if (!p->ret->ticks++) {
		p->ret->start_ns = s->mono_ns;
		/* what a restarted core took over later is known from the replay itself */
		for (size_t i = 0; i < json_object_array_length(p->recorded->adopted); i++) {
			struct json_object *o = json_object_array_get_idx(p->recorded->adopted, i);

			if (number_of(o, "mono_ns") < s->mono_ns)
				wv_policy_run_put(&p->run, o);
		}
	}
	p->ret->end_ns = s->mono_ns;
	n = wv_policy_run_tick(&p->run, s, &list);
	for (size_t i = 0; e == 0 && i < n; i++)
		e = wv_kept_add(&p->ret->decisions, p->run.policy, s, &list[i]);
	return e;
}

static uint64_t now_ns(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

static int replay(struct replay *p)
{
	struct wv_samples_reader *reader;
	const struct wv_sample *s = NULL;
	const char *text = "";
	uint64_t start = now_ns();
	int e = wv_samples_read_open(&reader, p->recorded->dir, p->recorded->max_rows), type = 0;

	if (e < 0)
		return e;
	while (e == 0 && (type = wv_samples_read(reader, &s, &text)) > 0)
		e = type == 'T' ? take_tick(p, s) : take_mark(p, type, text);
	wv_samples_read_close(reader);
	p->ret->took_ns = now_ns() - start;
	return e ?: type;
}

int wv_recorded_replay(const struct wv_recorded *r, const char *verb,
		       const struct wv_policy *policy, struct wv_replayed *ret)
{
	struct replay p = {.recorded = r, .given = policy, .ret = ret};
	int e;

	*ret = (struct wv_replayed){0};
	e = replay(&p);
	if (p.running)
		wv_policy_run_done(&p.run);
	wv_policy_free(p.own);
	if (e == 0 && ret->ticks)
		return WV_EXIT_OK;
	if (e == -ENOENT || e == 0)
		fprintf(stderr,
			"waveos-bpf %s: %s has no samples: they are recorded while a policy with "
			"rules "
			"is in force, or with record.samples=on\n",
			verb, r->path);
	else
		fprintf(stderr, "waveos-bpf %s: replay %s: %s\n", verb, r->path,
			p.why[0] ? p.why : strerror(-e));
	return e == -ENOENT || e == 0 ? WV_EXIT_FINDING : WV_EXIT_INTERNAL;
}
