// SPDX-License-Identifier: GPL-2.0-only
/*
 * User half of bpf/task.bpf.c: starts and ends from its table, the figures of the walk over all
 * tasks
 * (/proc where the iterator is refused), crash loops from the events of failed exits, heartbeats.
 */
#include "waveos/task.h"

#include <bpf/btf.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "skel/task.btf.skel.h"
#include "skel/task.raw.skel.h"
#include "user/collect/crashloop.h"
#include "user/collect/error.h"
#include "user/collect/heartbeat.h"
#include "user/collect/task.h"
#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"
#include "user/flow/heartbeat.h"
#include "waveos/error.h"

#define NSEC 1000000000ULL
/* What a walk may cost of a tick: a two-hundredth, 5 ms at most. */
#define WALK_BUDGET_SHARE 200
#define WALK_BUDGET_MAX_NS 5000000ULL
/* Inode of the initial PID namespace, the same on every kernel. */
#define INIT_PID_NS 0xeffffffcU

/* State of the module; all of it is made in start() and released in stop(). */
static struct {
	struct wv_task_gauges *gauges; /* [max_rows], of the last walk */
	uint64_t *loops, *missed;      /* [max_rows], counted here since the slot was given */
	uint32_t max_rows;
	uint64_t walk; /* number of the walk that the table's gauges must carry */
	bool walked, iterator_failed;
	struct wv_cadence cadence;
	struct wv_stuck *stuck;
	struct wv_crashloops *crashloops;
	struct wv_heartbeat_watch *watches; /* [config->n_heartbeats] */
	struct wv_record_limit hung_limit;
	uint64_t now_ns;
} task;

static const char *slot_path(struct wv_agent *agent, uint32_t slot)
{
	const struct wv_row *row = wv_sample_row(&agent->sample, slot);

	return row ? row->path : "other";
}

static void add_comm(struct json_object *o, const char *comm)
{
	json_object_object_add(o, "comm", json_object_new_string_len(comm, (int)strnlen(comm, 16)));
}

/* The walk --------------------------------------------------------------------------------------
 */

static void record_hung(struct wv_agent *agent, const struct wv_dtask *t, uint64_t age_ns)
{
	struct json_object *o;
	uint64_t suppressed;

	if (!wv_record_limit_take(&task.hung_limit, task.now_ns, &suppressed))
		return;
	o = json_object_new_object();
	if (!o)
		return;
	json_object_object_add(o, "cgroup", json_object_new_string(slot_path(agent, t->slot)));
	add_comm(o, t->comm);
	json_object_object_add(o, "pid", json_object_new_int64(t->tgid));
	json_object_object_add(o, "tid", json_object_new_int64(t->pid));
	json_object_object_add(o, "blocked_ns", json_object_new_uint64(age_ns));
	if (suppressed)
		json_object_object_add(o, "suppressed", json_object_new_uint64(suppressed));
	(void)agent->record(agent, "task-hung", o);
}

/* A task in D: whether it has been for long. */
static bool see_dstate(struct wv_agent *agent, const struct wv_dtask *t)
{
	uint64_t limit_ns = agent->config->task_hung_after;
	struct wv_stuck_age age = wv_stuck_see(task.stuck, t, limit_ns, task.now_ns);

	if (age.crossed)
		record_hung(agent, t, age.ns);
	return age.ns >= limit_ns;
}

static void take_record(struct wv_agent *agent, const struct wv_task_record *rec,
			uint64_t *ret_walk)
{
	struct wv_dtask t = {.pid = rec->pid,
			     .tgid = rec->tgid,
			     .slot = rec->slot,
			     .start = rec->start_ns,
			     .switches = rec->switches};

	if (!rec->pid) {
		*ret_walk = rec->start_ns;
		return;
	}
	memcpy(t.comm, rec->comm, sizeof(t.comm));
	if (see_dstate(agent, &t) && t.slot < task.max_rows)
		task.gauges[t.slot].dstate_long++;
}

/* Runs the iterator. *ret_walk is the walk's number; -ENODATA if it did not come to its end. */
static int walk_iterator(struct wv_agent *agent, int link, uint64_t *ret_walk)
{
	_cleanup_close_ int fd = bpf_iter_create(link);
	struct wv_task_record recs[64];
	uint64_t walk = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	for (;;) {
		n = read(fd, recs, sizeof(recs));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue; /* a million tasks further on it asks to come again */
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		for (size_t i = 0; i < (size_t)n / sizeof(recs[0]); i++)
			take_record(agent, &recs[i], &walk);
	}
	if (!walk)
		return -ENODATA;
	*ret_walk = walk;
	return 0;
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

static uint64_t walk_budget_ns(const struct wv_config *config)
{
	uint64_t share = config->agent_tick / WALK_BUDGET_SHARE;

	return share < WALK_BUDGET_MAX_NS ? share : WALK_BUDGET_MAX_NS;
}

/* Fills task.gauges, from the iterator in part: the rest is in the table. */
static int walk_tasks(struct wv_agent *agent)
{
	int link = task.iterator_failed ? -1 : wv_bpf_link_fd(agent->bpf, "task_walk"), r;
	uint64_t before = thread_cpu_ns();

	memset(task.gauges, 0, agent->sample.used_rows * sizeof(*task.gauges));
	wv_stuck_begin(task.stuck);
	task.walk = 0;
	if (link >= 0)
		r = walk_iterator(agent, link, &task.walk);
	else
		r = wv_task_walk_proc(agent, task.gauges, agent->sample.used_rows, see_dstate);
	if (r == 0) {
		wv_stuck_end(task.stuck);
	} else if (link >= 0 && r != -ENODATA && r != -ENOMEM) {
		(void)wv_log_warn(r, "task", "task iterator failed; walking /proc from now on");
		task.iterator_failed = true;
	}
	wv_cadence_spent(&task.cadence, thread_cpu_ns() - before, walk_budget_ns(agent->config));
	return r == -ENODATA ? 0 : r < 0 ? r : 1;
}

static void store_row(void *ctx, uint32_t slot, const uint64_t *words)
{
	const struct wv_task_row *row = (const struct wv_task_row *)words;
	struct wv_sample *s = ctx;

	wv_sample_set(s, slot, WV_SIG_TASK_FORKS, row->forks);
	wv_sample_set(s, slot, WV_SIG_TASK_EXECS, row->execs);
	wv_sample_set(s, slot, WV_SIG_TASK_EXITS, row->exits);
	if (!task.walk || row->walk != task.walk || slot >= task.max_rows)
		return;
	task.gauges[slot].processes = row->processes;
	task.gauges[slot].threads = row->threads;
	task.gauges[slot].runnable = row->runnable;
	task.gauges[slot].zombies = row->zombies;
	task.gauges[slot].dstate = row->dstate;
}

static void store_gauges(struct wv_sample *s)
{
	wv_sample_for_each (s, slot, row) {
		const struct wv_task_gauges *g = &task.gauges[slot];

		wv_sample_set(s, slot, WV_SIG_TASK_PROCESSES, g->processes);
		wv_sample_set(s, slot, WV_SIG_TASK_THREADS, g->threads);
		wv_sample_set(s, slot, WV_SIG_CPU_RUNNABLE, g->runnable);
		wv_sample_set(s, slot, WV_SIG_TASK_ZOMBIES, g->zombies);
		wv_sample_set(s, slot, WV_SIG_TASK_DSTATE, g->dstate);
		wv_sample_set(s, slot, WV_SIG_TASK_DSTATE_LONG, g->dstate_long);
	}
}

/* Crash loops -----------------------------------------------------------------------------------
 */

static void record_crash_loop(struct wv_agent *agent, const struct wv_event_exit *ev, uint32_t slot,
			      uint64_t in_ns)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return;
	json_object_object_add(o, "cgroup", json_object_new_string(slot_path(agent, slot)));
	add_comm(o, ev->h.comm);
	json_object_object_add(o, "exits",
			       json_object_new_uint64(agent->config->task_crash_loop_exits));
	json_object_object_add(o, "in_ns", json_object_new_uint64(in_ns));
	json_object_object_add(o, "window_ns",
			       json_object_new_uint64(agent->config->task_crash_loop_window));
	json_object_object_add(o, "last_pid", json_object_new_int64(ev->h.pid));
	if (ev->status & 0x7f)
		json_object_object_add(o, "last_signal",
				       json_object_new_int((int)(ev->status & 0x7f)));
	else
		json_object_object_add(o, "last_status",
				       json_object_new_int((int)(ev->status >> 8 & 0xff)));
	(void)agent->record(agent, "crash-loop", o);
}

static void event(struct wv_agent *agent, const struct wv_event *h)
{
	const struct wv_event_exit *ev = (const struct wv_event_exit *)h;
	const struct wv_row *row = wv_sample_row(&agent->sample, h->slot);
	/* the slot may have been given to another cgroup since */
	uint32_t slot = row && row->key == h->key ? h->slot : WV_SLOT_OTHER;
	uint64_t in_ns;

	if (h->size < sizeof(*ev) || !task.crashloops)
		return;
	if (!wv_crashloops_failed(task.crashloops, slot, h->comm, h->mono_ns, &in_ns))
		return;
	task.loops[slot]++;
	wv_sample_set(&agent->sample, slot, WV_SIG_TASK_CRASH_LOOPS, task.loops[slot]);
	record_crash_loop(agent, ev, slot, in_ns);
}

/* Heartbeats ------------------------------------------------------------------------------------
 */

static void record_heartbeat(struct wv_agent *agent, const struct wv_heartbeat *hb,
			     const struct wv_heartbeat_result *r, bool exists)
{
	bool back = r->news == WV_HEARTBEAT_BACK;
	struct json_object *o = json_object_new_object();

	if (!o)
		return;
	json_object_object_add(o, "name", json_object_new_string(hb->name));
	json_object_object_add(o, "file", json_object_new_string(hb->file));
	json_object_object_add(o, "cgroup", json_object_new_string(hb->cgroup));
	json_object_object_add(o, "every_ns", json_object_new_uint64(hb->every_ns));
	json_object_object_add(o, "silent_ns", json_object_new_uint64(r->silent_ns));
	if (back)
		json_object_object_add(o, "missed", json_object_new_uint64(r->missed_in_a_row));
	else
		json_object_object_add(o, "file_exists", json_object_new_boolean(exists));
	(void)agent->record(agent, back ? "heartbeat-back" : "heartbeat-missed", o);
}

/* Slot that counts a missed beat: the cgroup's, the root's while that cgroup does not exist. */
static uint32_t heartbeat_slot(struct wv_agent *agent, const struct wv_heartbeat *hb)
{
	int slot = wv_cgroups_slot_by_path(agent, hb->cgroup);

	if (slot < 0)
		slot = wv_cgroups_slot_by_path(agent, "/");
	return slot < 0 || (uint32_t)slot >= task.max_rows ? WV_SLOT_OTHER : (uint32_t)slot;
}

static void watch_heartbeats(struct wv_agent *agent)
{
	for (size_t i = 0; i < agent->config->n_heartbeats; i++) {
		const struct wv_heartbeat *hb = &agent->config->heartbeats[i];
		struct wv_beat beat = wv_heartbeat_look(hb->file);
		struct wv_heartbeat_result r =
			wv_heartbeat_observe(&task.watches[i], beat, hb->every_ns, task.now_ns);
		uint32_t slot;

		if (r.missed) {
			slot = heartbeat_slot(agent, hb);
			task.missed[slot] += r.missed;
			wv_sample_set(&agent->sample, slot, WV_SIG_TASK_HEARTBEATS_MISSED,
				      task.missed[slot]);
		}
		if (r.news != WV_HEARTBEAT_NONE)
			record_heartbeat(agent, hb, &r, beat.exists);
	}
}

/* The module ------------------------------------------------------------------------------------
 */

static int sense(struct wv_agent *agent)
{
	int r = 0;

	task.now_ns = agent->io->mono_ns(agent->io->ctx);
	task.walked = false;
	if (wv_cadence_due(&task.cadence)) {
		r = walk_tasks(agent);
		task.walked = r > 0;
	}
	if (r >= 0 && wv_bpf_has(agent->bpf, "task"))
		r = wv_bpf_table_read(agent->bpf, "task_rows", agent->sample.used_rows, store_row,
				      &agent->sample);
	if (r >= 0 && task.walked)
		store_gauges(&agent->sample);
	watch_heartbeats(agent);
	return r < 0 ? r : 0;
}

/* What this half counts is kept in the sample: a restarted core goes on from there. */
static void restore_counts(struct wv_sample *s)
{
	wv_sample_for_each (s, slot, row) {
		const struct wv_figures *base = (row->flags & WV_ROW_BASE) ? &s->base[slot] : NULL;

		task.loops[slot] = row->f.v[WV_SIG_TASK_CRASH_LOOPS] -
				   (base ? base->v[WV_SIG_TASK_CRASH_LOOPS] : 0);
		task.missed[slot] = row->f.v[WV_SIG_TASK_HEARTBEATS_MISSED] -
				    (base ? base->v[WV_SIG_TASK_HEARTBEATS_MISSED] : 0);
	}
}

static void stop(struct wv_agent *agent _unused_)
{
	free(task.gauges);
	free(task.loops);
	free(task.missed);
	free(task.watches);
	wv_stuck_free(task.stuck);
	wv_crashloops_free(task.crashloops);
	memset(&task, 0, sizeof(task));
}

static int start(struct wv_agent *agent)
{
	const struct wv_config *config = agent->config;
	int r;

	task.max_rows = agent->sample.max_rows;
	task.gauges = calloc(task.max_rows, sizeof(*task.gauges));
	task.loops = calloc(task.max_rows, sizeof(*task.loops));
	task.missed = calloc(task.max_rows, sizeof(*task.missed));
	task.watches = calloc(config->n_heartbeats + 1, sizeof(*task.watches));
	task.hung_limit = (struct wv_record_limit){.burst = 16, .every_ns = NSEC};
	r = task.gauges && task.loops && task.missed && task.watches ? 0 : -ENOMEM;
	if (r == 0)
		r = wv_stuck_new(&task.stuck);
	if (r == 0)
		r = wv_crashloops_new(&task.crashloops, (uint32_t)config->task_crash_loop_exits,
				      config->task_crash_loop_window);
	if (r < 0) {
		stop(agent);
		return r;
	}
	restore_counts(&agent->sample);
	return 0;
}

static void slot_gone(struct wv_agent *agent _unused_, uint32_t slot)
{
	if (slot >= task.max_rows)
		return;
	task.loops[slot] = task.missed[slot] = 0;
	task.gauges[slot] = (struct wv_task_gauges){0};
	wv_crashloops_slot_gone(task.crashloops, slot);
}

/* What this machine can do ----------------------------------------------------------------------
 */

static bool has_iterator(void)
{
	return wv_btf_id("bpf_iter__task", BTF_KIND_STRUCT) >= 0;
}

static int probe_walk(const struct wv_host *host, const struct wv_bpf *bpf,
		      struct wv_capabilities *caps)
{
	static const char name[] = "processes, threads, zombies, D state";
	bool iterator = host->flavour != WV_FLAVOUR_NONE && has_iterator();
	struct stat ns;

	if (bpf)
		iterator = wv_bpf_link_fd(bpf, "task_walk") >= 0;
	if (stat("/proc/self/ns/pid", &ns) == 0 && ns.st_ino != INIT_PID_NS)
		return wv_capability_add(
			caps, "task", name, WV_CAP_FALLBACK, iterator ? "iter/task" : "/proc",
			"runs in a PID namespace: sees its tasks only (use the host's, hostPID)");
	if (iterator)
		return wv_capability_add(caps, "task", name, WV_CAP_OK, "iter/task", "");
	return wv_capability_add(caps, "task", name, WV_CAP_FALLBACK, "/proc",
				 "no task iterator: every process and thread is read from /proc, "
				 "less often if that is slow");
}

static int probe(const struct wv_host *host, const struct wv_bpf *bpf, struct wv_capabilities *caps)
{
	bool btf = host->flavour == WV_FLAVOUR_BTF;
	const char *refusal = NULL, *no_exits = NULL;
	int r;

	if (host->flavour == WV_FLAVOUR_NONE)
		refusal = no_exits =
			"no kind of tracepoint program works here or collect.hooks is files";
	if (!refusal && bpf && !wv_bpf_has(bpf, "task"))
		refusal = wv_bpf_reason(bpf, "task");
	if (!no_exits && bpf && !wv_bpf_has(bpf, "error"))
		no_exits = wv_bpf_reason(bpf, "error");
	if (refusal)
		r = wv_capability_add(caps, "task", "starts, execs, exits", WV_CAP_MISSING, "",
				      refusal);
	else
		r = wv_capability_add(caps, "task", "starts, execs, exits",
				      btf ? WV_CAP_OK : WV_CAP_FALLBACK,
				      btf ? "tp_btf/sched_process_*" : "raw_tp/sched_process_*",
				      btf ? "" : "BTF tracepoints are refused");
	if (r == 0)
		r = probe_walk(host, bpf, caps);
	if (r == 0)
		r = wv_capability_add(caps, "task", "crash loops",
				      no_exits ? WV_CAP_MISSING : WV_CAP_OK,
				      no_exits ? "" : "events of failed exits", no_exits);
	return r < 0 ? r : wv_capability_add(caps, "task", "heartbeats", WV_CAP_OK, "stat", "");
}

/* The object ------------------------------------------------------------------------------------
 */

static int configure(struct bpf_object *obj, const struct wv_host *host _unused_,
		     const struct wv_config *config _unused_)
{
	if (!has_iterator())
		wv_bpf_skip_program(obj, "task_walk");
	return 0;
}

static const void *elf_btf(size_t *size)
{
	return task_btf__elf_bytes(size);
}

static const void *elf_raw(size_t *size)
{
	return task_raw__elf_bytes(size);
}

static const struct wv_table_desc tables[] = {
	{"task_rows", sizeof(struct wv_task_row), false},
	{0},
};

static const struct wv_object object = {
	.name = "task",
	.elf_btf = elf_btf,
	.elf_raw = elf_raw,
	.tables = tables,
	.configure = configure,
};

const struct wv_module wv_module_task = {
	.name = "task",
	.summary = "Starts and ends of tasks, threads, zombies, D state, crash loops, heartbeats",
	.object = &object,
	.probe = probe,
	.start = start,
	.sense = sense,
	.event = event,
	.events = 1u << WV_EV_FATAL_SIGNAL | 1u << WV_EV_EXIT_NONZERO,
	.slot_gone = slot_gone,
	.stop = stop,
};
