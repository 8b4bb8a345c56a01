// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module `priority`: caps on the priorities of a domain's tasks. Where LSM programs run the kernel
 * refuses (bpf/gate_lsm.bpf.c; gate_place.c puts the caps there). Everywhere what is above a cap is
 * put back every tick: tasks come into a cgroup with what they had before, and not every way to
 * raise a priority can be seen by a program.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "user/core/cleanup.h"
#include "user/core/host.h"
#include "user/core/log.h"
#include "user/domain/domain.h"
#include "user/enforce/gate_modules.h"
#include "user/enforce/gate_objects.h"
#include "user/recover/switch.h"

/* Tasks that one tick looks at; the next goes on behind them. */
#define TASKS_A_TICK 4096
/* Corrections that are told one by one in a tick; the rest is told as a number. */
#define TOLD_A_TICK 32

#define IO_WHO_PROCESS 1
#define IO_CLASS_SHIFT 13
#define IO_CLASS_BEST_EFFORT 2
#define IO_LEVEL_LOWEST 7

/* As the kernel's sched_attr, which not every C library has. */
struct sched_attr_v0 {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static struct {
	struct wv_agent *agent;
	bool dry_run;
	uint32_t next_slot; /* where the next tick goes on */
	unsigned looked, told;
	uint64_t untold;
} state;

bool wv_priority_caps(const struct wv_agent *agent, uint32_t slot, struct wv_priority_caps *ret)
{
	const struct wv_policy *p = agent->policy;
	bool any = false;

	*ret = (struct wv_priority_caps){-20, 99, 1, WV_NONE, WV_NONE, WV_NONE};
	for (unsigned depth = 0; depth < 64; depth++) {
		const struct wv_row *row =
			slot != WV_SLOT_OTHER
				? wv_sample_row((struct wv_sample *)&agent->sample, slot)
				: NULL;
		uint32_t domain = row ? wv_domain_of(agent, slot) : WV_NONE;

		for (uint32_t i = 0; domain != WV_NONE && i < p->n_priorities; i++) {
			const struct wv_priority *c = &p->priorities[i];
			unsigned io_class = c->io_class == WV_IO_IDLE	       ? 3
					    : c->io_class == WV_IO_BEST_EFFORT ? 2
									       : 1;

			if (c->domain_index != domain)
				continue;
			any = true;
			if (c->nice_min > ret->nice_min) {
				ret->nice_min = (int)c->nice_min;
				ret->nice_by = i;
			}
			if (c->realtime_max < ret->realtime_max) {
				ret->realtime_max = (unsigned)c->realtime_max;
				ret->realtime_by = i;
			}
			if (io_class > ret->io_class) {
				ret->io_class = io_class;
				ret->io_by = i;
			}
		}
		if (!row || row->parent_slot == slot)
			break;
		slot = row->parent_slot;
	}
	return any;
}

static void tell(const struct wv_row *row, uint32_t index, int tid, const char *what, int64_t found,
		 int64_t set, int error)
{
	const struct wv_priority *p =
		index == WV_NONE ? NULL : &state.agent->policy->priorities[index];
	struct json_object *o;

	if (state.told++ >= TOLD_A_TICK) {
		state.untold++;
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "gate", json_object_new_string(p ? p->name : ""));
	json_object_object_add(o, "cgroup", json_object_new_string(row->path));
	json_object_object_add(o, "cgroup_key", json_object_new_uint64(row->key));
	json_object_object_add(o, "tid", json_object_new_int64(tid));
	json_object_object_add(o, "what", json_object_new_string(what));
	json_object_object_add(o, "before", json_object_new_int64(found));
	json_object_object_add(o, "after", json_object_new_int64(set));
	json_object_object_add(o, "outcome",
			       json_object_new_string(error ? strerror(-error) : "changed"));
	(void)state.agent->record(state.agent, "priority-corrected", o);
}

static int set_attr(int tid, struct sched_attr_v0 *attr)
{
	attr->size = sizeof(*attr);
	return syscall(SYS_sched_setattr, tid, attr, 0) < 0 ? -errno : 0;
}

static void correct_scheduling(const struct wv_row *row, const struct wv_priority_caps *c, int tid)
{
	struct sched_attr_v0 attr = {.size = sizeof(attr)};
	bool realtime;
	int64_t found;

	if (syscall(SYS_sched_getattr, tid, &attr, sizeof(attr), 0) < 0)
		return;
	realtime = attr.policy == SCHED_FIFO || attr.policy == SCHED_RR;
	if (attr.policy == SCHED_DEADLINE && c->realtime_max < 99) {
		realtime = true;
		attr.priority = 100; /* above all of them */
	}
	if (realtime && attr.priority > c->realtime_max) {
		found = attr.priority;
		if (c->realtime_max && attr.policy != SCHED_DEADLINE) {
			attr.priority = c->realtime_max;
		} else {
			int nice = c->nice_min > 0 ? c->nice_min : 0;

			attr = (struct sched_attr_v0){.policy = SCHED_OTHER, .nice = nice};
		}
		tell(row, c->realtime_by, tid, "real-time priority", found, attr.priority,
		     set_attr(tid, &attr));
		return;
	}
	if ((attr.policy == SCHED_OTHER || attr.policy == SCHED_BATCH) && attr.nice < c->nice_min) {
		found = attr.nice;
		attr.nice = c->nice_min;
		tell(row, c->nice_by, tid, "nice", found, c->nice_min, set_attr(tid, &attr));
	}
}

static void correct_io(const struct wv_row *row, const struct wv_priority_caps *c, int tid)
{
	long ioprio = c->io_class > 1 ? syscall(SYS_ioprio_get, IO_WHO_PROCESS, tid) : -1;
	unsigned class = ioprio < 0 ? 0 : (unsigned)ioprio >> IO_CLASS_SHIFT & 7;
	int error, wanted = (int)c->io_class << IO_CLASS_SHIFT;

	if (ioprio < 0)
		return;
	if (class == 0) /* goes by nice */
		class = IO_CLASS_BEST_EFFORT;
	if (class >= c->io_class)
		return;
	if (c->io_class == IO_CLASS_BEST_EFFORT)
		wanted |= IO_LEVEL_LOWEST / 2 + 1;
	error = syscall(SYS_ioprio_set, IO_WHO_PROCESS, tid, wanted) < 0 ? -errno : 0;
	tell(row, c->io_by, tid, "I/O class", class, c->io_class, error);
}

static int open_tasks(const struct wv_agent *agent, const struct wv_row *row)
{
	char path[1024];

	/* of a v1 row the path is the same in the hierarchy that tells tasks apart */
	if (row->key & WV_KEY_V1)
		snprintf(path, sizeof(path), "%s%s/tasks",
			 agent->host->v1[agent->host->v1_attribution],
			 strcmp(row->path, "/") == 0 ? "" : row->path);
	else
		snprintf(path, sizeof(path), "%s%s/cgroup.threads", agent->host->cgroup2,
			 strcmp(row->path, "/") == 0 ? "" : row->path);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void correct_row(const struct wv_row *row, const struct wv_priority_caps *c)
{
	_cleanup_fclose_ FILE *f = NULL;
	int fd = open_tasks(state.agent, row), tid;

	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f) {
		wv_closep(&fd);
		return;
	}
	while (state.looked < TASKS_A_TICK && fscanf(f, "%d", &tid) == 1) {
		state.looked++;
		correct_scheduling(row, c, tid);
		correct_io(row, c, tid);
	}
}

static int decide(struct wv_agent *agent)
{
	struct wv_sample *s = &agent->sample;
	struct wv_priority_caps caps;

	if (state.dry_run || !agent->policy->n_priorities ||
	    !agent->policy->features[WV_FEATURE_PRIORITY] || !wv_recover_armed(agent))
		return 0;
	state.looked = state.told = 0;
	for (uint32_t n = 0; n < s->used_rows && state.looked < TASKS_A_TICK; n++) {
		uint32_t slot = state.next_slot < s->used_rows ? state.next_slot : 0;
		const struct wv_row *row = slot ? wv_sample_row(s, slot) : NULL;

		state.next_slot = slot + 1;
		if (row && !(row->flags & WV_ROW_GONE) && wv_priority_caps(agent, slot, &caps))
			correct_row(row, &caps);
	}
	if (state.untold) {
		(void)wv_log_warn(0, "priority", "%llu more corrections in one tick",
				  (unsigned long long)state.untold);
		state.untold = 0;
	}
	return 0;
}

static int start(struct wv_agent *agent)
{
	state.agent = agent;
	state.dry_run = agent->dry_run || !agent->config->enforce_enabled;
	state.next_slot = 0;
	return 0;
}

const struct wv_module wv_module_priority = {
	.name = "priority",
	.summary = "caps on nice, real-time and I/O priority",
	.object = &wv_gate_lsm_object,
	.probe = wv_priority_probe,
	.start = start,
	.decide = decide,
};
