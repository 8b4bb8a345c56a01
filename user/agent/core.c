// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/core.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "user/agent/count.h"
#include "user/agent/drift.h"
#include "user/agent/guard.h"
#include "user/agent/packs.h"
#include "user/agent/policy_source.h"
#include "user/agent/self.h"
#include "user/agent/turn.h"
#include "user/core/cgroup_index.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/memory.h"
#include "user/core/module.h"
#include "user/core/version.h"
#include "user/enforce/breaker.h"
#include "user/enforce/enforce.h"
#include "user/evidence/record.h"
#include "user/policy/policy.h"
#include "user/rules/rules.h"
#include "user/recover/recover.h"

/* Two ticks are never closer than this, however many removals press. */
#define MIN_TICK_NS 20000000ULL
/* Memory of the agent itself is measured every so many ticks. */
#define MEMORY_EVERY_TICKS 10
/* collect.program_stats: sampled is on for one tick in so many. */
#define STATS_EVERY_TICKS 30
enum { STATS_SAMPLED, STATS_ALWAYS, STATS_OFF };
/* A run folder that could not be made is tried again every so many ticks. */
#define RETRY_RECORDS_TICKS 30
/* By this tick everything ran once; what only the start used goes. */
#define TRIM_AT_TICK 3
/* Events taken in one go: what a flood may delay a tick by, a few milliseconds. */
#define EVENTS_AT_ONCE 16384
/* Priorities of the loop: enforcement before export (sd-event: smaller is first). */
#define PRIORITY_CONTROL (-20)
#define PRIORITY_EVENTS (-10)
#define PRIORITY_TICK 0

struct core {
	const struct wv_worker_context *ctx;
	struct wv_policy *reloaded; /* replaces the context's; NULL: none yet */
	struct wv_agent agent;
	struct wv_records *records;
	struct wv_self self;
	sd_event *loop;
	sd_event_source *timer;
	struct ring_buffer *ring;
	uint32_t events_left;		   /* of EVENTS_AT_ONCE */
	uint64_t last_tick_ns, set_for_ns; /* set_for: the time that the timer waits for */
	struct wv_turn_clock turn;
	uint64_t memory_due, ticks;
	struct wv_packs packs;
	int stats_fd;
	bool ready;
};

static int on_record(struct wv_agent *agent, const char *type, struct json_object *fields);

/* Which policy is in force from now on. */
static void record_policy(struct core *c, bool restarted)
{
	const struct wv_policy *p = c->agent.policy;
	struct wv_snapshot *head = c->ctx->snapshot->head;
	struct json_object *o = json_object_new_object();
	struct wv_version version;

	/* `policy apply` waits for this: it is the word of the worker that decides */
	if (wv_version_get(c->ctx->config, p, &version) == 0)
		snprintf(head->policy_version, sizeof(head->policy_version), "%s", version.policy);
	json_object_object_add(o, "name", json_object_new_string(p->name));
	json_object_object_add(o, "sha256", json_object_new_string(p->digest));
	json_object_object_add(o, "file", json_object_new_string(p->source));
	json_object_object_add(o, "rules", json_object_new_uint64(p->n_rules));
	json_object_object_add(o, "budgets", json_object_new_uint64(p->n_budgets));
	(void)on_record(&c->agent, "policy", o);
	if (c->records && wv_records_policy(c->records, p, restarted) < 0)
		(void)wv_log_warn(0, "core", "samples of this run cannot be recorded");
}

static int on_record(struct wv_agent *agent, const char *type, struct json_object *fields)
{
	struct core *c = (struct core *)((char *)agent - offsetof(struct core, agent));
	/* a decision must be on disk before its action starts, and an action's intent as well; the
	 * rest may follow with the next flush */
	bool durable = strcmp(type, "decision") == 0;
	struct json_object *error;
	int r;

	wv_count_record(type, fields);
	if (!c->records) {
		json_object_put(fields);
		return -ENOENT;
	}
	if (durable) {
		c->self.decisions++;
		(void)wv_record_explain(c->records, json_object_get(fields));
		durable = !agent->batch;
	}
	if (strcmp(type, "action") == 0) {
		c->self.actions++;
		durable = true;
	} else if (strcmp(type, "action-outcome") == 0 &&
		   json_object_object_get_ex(fields, "errno", &error)) {
		c->self.action_failures++;
	}
	if (durable)
		wv_turn_sync_begins(&c->turn);
	r = wv_record(c->records, type, fields, durable);
	if (durable)
		wv_turn_sync_ends(&c->turn);
	return r;
}

static int on_sync(struct wv_agent *agent)
{
	struct core *c = (struct core *)((char *)agent - offsetof(struct core, agent));

	int r;

	wv_turn_sync_begins(&c->turn);
	r = c->records ? wv_records_sync(c->records) : -ENOENT;
	wv_turn_sync_ends(&c->turn);
	return r;
}

static int on_event(void *ctx, void *bytes, size_t size)
{
	struct core *c = ctx;
	const struct wv_event *ev = bytes;

	if (size < sizeof(*ev) || ev->size > size || ev->type >= WV_EV_N)
		return 0;
	c->self.events_consumed[ev->type]++;
	/* the ring's position is shared memory, and so is this: neither waits for the next tick */
	c->ctx->snapshot->head->events_consumed[ev->type] = c->self.events_consumed[ev->type];
	for (size_t i = 0; i < wv_modules_count; i++)
		if (wv_modules[i]->event && (wv_modules[i]->events & (1u << ev->type)))
			wv_modules[i]->event(&c->agent, ev);
	return --c->events_left ? 0 : -EAGAIN; /* the ring stands after this event */
}

static void consume(struct core *c)
{
	c->events_left = EVENTS_AT_ONCE;
	if (c->ring)
		(void)ring_buffer__consume(c->ring);
}

static void sense_all(struct core *c)
{
	int r;

	c->agent.sample.n_facets = 0;
	for (size_t i = 0; i < wv_modules_count; i++) {
		if (!wv_modules[i]->sense)
			continue;
		r = wv_modules[i]->sense(&c->agent);
		wv_turn_sensed(&c->turn, i);
		if (r < 0)
			(void)wv_log_warn(r, wv_modules[i]->name, "sense");
	}
}

static void decide_all(struct core *c)
{
	int r;

	for (size_t i = 0; i < wv_modules_count; i++) {
		if (!wv_modules[i]->decide)
			continue;
		r = wv_modules[i]->decide(&c->agent);
		wv_turn_decided(&c->turn, i);
		if (r < 0)
			(void)wv_log_warn(r, wv_modules[i]->name, "decide");
	}
}

/* After the first limit of this run, whoever set it, the snapshot says how long it took. */
static void note_first_limit(struct wv_snapshot *head)
{
	uint64_t first_ns = wv_enforce_first_applied_mono_ns();

	if (!head->first_limit_ns && first_ns)
		head->first_limit_ns = first_ns - head->started_mono_ns;
}

/* Without records the agent still observes and enforces; a full disk may be emptied. */
static int open_records(struct core *c)
{
	const struct wv_worker_context *ctx = c->ctx;
	int r = wv_records_open(&c->records, c->agent.io, ctx->paths, ctx->config, c->agent.policy,
				ctx->host, ctx->run_id);

	if (r == 0)
		snprintf(ctx->snapshot->head->run_dir, sizeof(ctx->snapshot->head->run_dir), "%s",
			 wv_records_dir(c->records));
	return r;
}

static void publish(struct core *c)
{
	struct wv_snapshot *head = c->ctx->snapshot->head;
	uint32_t pids[1 + WV_WORKER_N] = {head->supervisor_pid};
	int r;

	for (int i = 0; i < WV_WORKER_N; i++)
		pids[1 + i] = atomic_load(&head->workers[i].pid);
	wv_self_read(&c->self, c->agent.bpf, pids, ARRAY_SIZE(pids));
	if (!c->memory_due--) {
		wv_self_read_memory(&c->self, c->agent.bpf, pids, ARRAY_SIZE(pids));
		c->memory_due = MEMORY_EVERY_TICKS - 1;
	}
	if (c->records)
		wv_records_counts(c->records, &c->self.records_written, &c->self.records_failed);
	wv_snapshot_begin(c->ctx->snapshot);
	r = wv_snapshot_rows(c->ctx->snapshot, &c->agent.sample);
	head->self = c->self;
	head->tick_interval_ns = c->ctx->config->agent_tick;
	head->n_budgets = (uint32_t)c->agent.policy->n_budgets;
	head->n_budgets_in_force = (uint32_t)wv_enforce_in_force();
	head->n_rules = (uint32_t)c->agent.policy->n_rules;
	head->n_rules_open = wv_rules_open();
	head->n_breakers_in_force = (uint32_t)wv_breakers_in_force();
	head->n_held = (uint32_t)wv_recover_holding();
	atomic_store(&head->log_errno,
		     (uint32_t)(c->records ? -wv_records_error(c->records) : ENOENT));
	atomic_store(&head->enforce_errno, (uint32_t)-wv_enforce_error());
	note_first_limit(head);
	wv_snapshot_end(c->ctx->snapshot);
	if (r < 0) /* decisions are made on what core holds itself */
		(void)wv_log_warn(r, "core", "publish: some rows are those of the last tick");
}

/* Once a tick: a core that hangs is told from one that works. */
static void say_alive(struct core *c)
{
	char word = c->ready ? WV_CONTROL_ALIVE : WV_CONTROL_READY;

	if (send(c->ctx->control, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		(void)wv_log_warn(-errno, "core", "tell the supervisor");
	c->ready = true;
}

/* Run times of programs are counted only while someone holds this descriptor (BPF_ENABLE_STATS). */
static void program_stats(struct core *c)
{
	int mode = c->ctx->config->collect_program_stats;
	bool on = mode == STATS_ALWAYS ||
		  (mode == STATS_SAMPLED && c->ticks % STATS_EVERY_TICKS == 1);

	if (on && c->stats_fd < 0)
		c->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	else if (!on && c->stats_fd >= 0) {
		close(c->stats_fd);
		c->stats_fd = -1;
	}
}

static void tick(struct core *c)
{
	const struct wv_io *io = c->agent.io;
	uint64_t start = io->mono_ns(io->ctx);
	int r;

	c->last_tick_ns = start;
	c->agent.want_tick = false;
	c->agent.sample.mono_ns = start;
	c->agent.sample.wall_ns = io->wall_ns(io->ctx);
	wv_turn_begins(&c->turn, &c->agent.sample, c->set_for_ns);
	consume(c);
	wv_turn_stage(&c->turn, WV_TURN_EVENTS);
	c->agent.sample.seq++;
	sense_all(c);
	wv_turn_stage(&c->turn, WV_TURN_SENSE);
	decide_all(c);
	wv_turn_stage(&c->turn, WV_TURN_DECIDE);
	if (!c->records && c->ticks % RETRY_RECORDS_TICKS == RETRY_RECORDS_TICKS - 1)
		(void)open_records(c);
	if (c->records) {
		r = wv_records_tick(c->records, &c->agent.sample);
		if (r < 0)
			(void)wv_log_full(LOG_DEBUG, r, "core", "records");
		wv_packs_tick(&c->packs, &c->agent);
	}
	wv_turn_stage(&c->turn, WV_TURN_RECORD);
	wv_cgroups_reap(&c->agent, start);
	wv_turn_stage(&c->turn, WV_TURN_REAP);
	c->self.sense_ns = io->mono_ns(io->ctx) - start;
	publish(c);
	wv_turn_stage(&c->turn, WV_TURN_PUBLISH);
	wv_turn_ends(&c->turn, &c->self, &c->agent);
	say_alive(c);
	if (++c->ticks == TRIM_AT_TICK) {
		wv_memory_scan();
		wv_memory_trim();
		c->memory_due = 0; /* the figure of the first tick is untrue now */
	}
	program_stats(c);
}

/* The next tick is due one interval after the last; at once, within limits, when a module presses.
 */
static uint64_t due_ns(const struct core *c)
{
	return c->last_tick_ns + (c->agent.want_tick ? MIN_TICK_NS : c->ctx->config->agent_tick);
}

static int arm(struct core *c)
{
	uint64_t now = c->agent.io->mono_ns(c->agent.io->ctx);
	int r = sd_event_source_set_time(c->timer, due_ns(c) / 1000);

	c->set_for_ns = due_ns(c) > now ? due_ns(c) : now;
	return r < 0 ? r : sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata)
{
	struct core *c = userdata;

	tick(c);
	return arm(c);
}

static int on_ring(sd_event_source *s _unused_, int fd _unused_, uint32_t revents _unused_,
		   void *userdata)
{
	struct core *c = userdata;
	bool pressed = c->agent.want_tick;

	consume(c);
	/* the ring comes before the timer: a flood must not keep the tick from its turn */
	if (c->agent.io->mono_ns(c->agent.io->ctx) >= due_ns(c))
		return on_timer(NULL, 0, c);
	return c->agent.want_tick && !pressed ? arm(c) : 0;
}

/* All modules change over between two ticks; the old policy is released when none looks at it. */
static void reload_policy(struct core *c)
{
	struct wv_config_error error = {.text = ""};
	struct wv_policy *next, *old = c->reloaded;
	int r = wv_policy_accepted(&next, c->ctx->config, c->ctx->paths, &error);

	if (r < 0) { /* it was good when the supervisor read it */
		(void)wv_log_errno(r, "core", "accepted policy: %s", error.text);
		return;
	}
	c->agent.policy = c->reloaded = next;
	for (size_t i = 0; i < wv_modules_count; i++) {
		if (!wv_modules[i]->policy_changed)
			continue;
		r = wv_modules[i]->policy_changed(&c->agent);
		if (r < 0)
			(void)wv_log_errno(r, wv_modules[i]->name, "take over the policy");
	}
	wv_policy_free(old);
	record_policy(c, false);
	atomic_fetch_add(&c->ctx->snapshot->head->policies_taken, 1);
	c->agent.want_tick = true;
}

/* The supervisor speaks or has died; it says one byte a time. */
static int on_control(sd_event_source *s, int fd, uint32_t revents _unused_, void *userdata)
{
	struct core *c = userdata;
	char message;

	if (recv(fd, &message, 1, MSG_DONTWAIT) != 1 ||
	    (message != WV_CONTROL_POLICY && message != WV_CONTROL_SWITCH))
		return sd_event_exit(sd_event_source_get_event(s), 0);
	if (message == WV_CONTROL_POLICY)
		reload_policy(c);
	c->agent.want_tick = true; /* modules look at the switch in every tick */
	return arm(c);
}

static int setup_ring(struct core *c)
{
	int map = wv_bpf_map_fd(c->agent.bpf, "wv_events"), r;
	sd_event_source *source;

	if (map < 0)
		return 0;
	c->ring = ring_buffer__new(map, on_event, c, NULL);
	if (!c->ring)
		return wv_log_errno(-errno, "core", "event ring");
	r = sd_event_add_io(c->loop, &source, ring_buffer__epoll_fd(c->ring), EPOLLIN, on_ring, c);
	return r < 0 ? r : sd_event_source_set_priority(source, PRIORITY_EVENTS);
}

static int setup_loop(struct core *c)
{
	sd_event_source *control;
	int r = sd_event_add_signal(c->loop, NULL, SIGTERM, NULL, NULL);

	if (r >= 0)
		r = sd_event_add_io(c->loop, &control, c->ctx->control, EPOLLIN, on_control, c);
	if (r >= 0)
		r = sd_event_source_set_priority(control, PRIORITY_CONTROL);
	if (r >= 0)
		r = sd_event_add_time(c->loop, &c->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, c);
	if (r >= 0)
		r = setup_ring(c);
	return r < 0 ? wv_log_errno(r, "core", "event loop") : 0;
}

/* first_limits: only those that are needed to apply budgets */
static int start_modules(struct core *c, bool first_limits)
{
	int r;

	for (size_t i = 0; i < wv_modules_count; i++) {
		if (!wv_modules[i]->start || (first_limits && !wv_modules[i]->early))
			continue;
		r = wv_modules[i]->start(&c->agent);
		if (r < 0)
			return wv_log_errno(r, wv_modules[i]->name, "start");
	}
	return 0;
}

static void record_start(struct core *c)
{
	const struct wv_worker_context *ctx = c->ctx;
	struct json_object *fields = json_object_new_object();
	uint32_t restarts = atomic_load(&ctx->snapshot->head->workers[WV_WORKER_CORE].restarts);

	json_object_object_add(fields, "adopted",
			       json_object_new_boolean(wv_bpf_adopted(ctx->bpf)));
	json_object_object_add(fields, "core_restarts", json_object_new_int64(restarts));
	json_object_object_add(fields, "cgroups",
			       json_object_new_int64((int64_t)c->agent.cgroups->live));
	json_object_object_add(fields, "dry_run", json_object_new_boolean(ctx->dry_run));
	(void)on_record(&c->agent, "core-start", fields);
	if (ctx->guard && !restarts)
		wv_guard_record(ctx->guard, &c->agent);
	if (c->records && !restarts)
		wv_drift_record(&c->agent, wv_records_dir(c->records), ctx->snapshot->head->drift);
	record_policy(c, true);
}

static int open_all(struct core *c)
{
	const struct wv_worker_context *ctx = c->ctx;
	int r;

	c->agent = (struct wv_agent){
		.host = ctx->host,
		.config = ctx->config,
		.policy = ctx->policy,
		.paths = ctx->paths,
		.io = &wv_io_system,
		.bpf = ctx->bpf,
		.run_id = ctx->run_id,
		.dry_run = ctx->dry_run,
		.disarmed = &ctx->snapshot->head->disarmed,
		.service_events = ctx->service_events,
		.record = on_record,
		.sync = on_sync,
	};
	c->self =
		ctx->snapshot->head->self; /* consumed counts go on over a restart of this worker */
	memcpy(c->self.events_consumed, ctx->snapshot->head->events_consumed,
	       sizeof(c->self.events_consumed));
	wv_turn_clock_init(&c->turn, c->agent.io, ctx->turns, &c->self);
	r = wv_sample_init(&c->agent.sample, ctx->snapshot->head->max_rows);
	if (r < 0)
		return wv_log_errno(r, "core", "sample");
	wv_snapshot_restore(ctx->snapshot, &c->agent.sample);
	r = open_records(c);
	if (r < 0)
		(void)wv_log_errno(r, "core",
				   "run folder: nothing is recorded until it can be made");
	return 0;
}

static void close_all(struct core *c)
{
	if (c->loop && c->ready)
		tick(c); /* the last figures */
	for (size_t i = wv_modules_count; i-- > 0;)
		if (wv_modules[i]->stop)
			wv_modules[i]->stop(&c->agent);
	if (c->records) {
		(void)wv_records_flush(c->records, true);
		wv_records_close(c->records);
	}
	wv_closep(&c->stats_fd);
	ring_buffer__free(c->ring);
	sd_event_source_unref(c->timer);
	sd_event_unref(c->loop);
	wv_sample_done(&c->agent.sample);
	wv_policy_free(c->reloaded);
}

int wv_core_run(const struct wv_worker_context *ctx)
{
	struct core c = {.ctx = ctx, .stats_fd = -1};
	int r = open_all(&c);

	if (r == 0) {
		r = sd_event_new(&c.loop);
		c.agent.loop = c.loop;
	}
	if (r >= 0)
		r = start_modules(&c, false);
	if (r == 0)
		r = setup_loop(&c);
	if (r == 0) {
		record_start(&c);
		r = sd_event_loop(c.loop);
	}
	close_all(&c);
	return r < 0 ? 1 : 0;
}

int wv_core_first_limits(const struct wv_worker_context *ctx)
{
	struct core c = {.ctx = ctx, .stats_fd = -1};
	int r = open_all(&c);

	if (r == 0)
		r = start_modules(&c, true);
	note_first_limit(ctx->snapshot->head);
	/* the process ends here and core goes on with the same run: nothing is completed or stopped
	 */
	wv_records_close(c.records);
	return r < 0 ? 1 : 0;
}
