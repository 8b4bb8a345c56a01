// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPU time, run queue latency, switches, migrations and page faults per cgroup.
 *
 * Hooks: sched_switch (every context switch: the hot path), sched_migrate_task.
 *
 * The kernel already keeps, per task, the CPU time (se.sum_exec_runtime), the time spent waiting on
 * run queues (sched_info.run_delay) and the faults. They change only while the task runs or when it
 * arrives on a CPU, so the difference between switch-in and switch-out is exact without a wakeup
 * hook and without reading a clock: `next`'s values are saved at switch-in, before
 * sched_info_arrive() adds the wait that just ended, and compared at switch-out.
 */
#include "lib/waveos.bpf.h"
#include "waveos/cpu.h"

WV_TABLE(cpu_rows, struct wv_cpu_row);

/* indexed by CPU; sized by user space */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wv_cpu_state);
} cpu_states SEC(".maps");

/* The slot of a task's cgroup, from this CPU's cache or else the index. */
static __always_inline __u32 cached_slot(struct wv_cpu_state *state, struct task_struct *task)
{
	__u64 key = wv_task_key(task);
	struct wv_cpu_cached *c = &state->cache[(key ^ (key >> 5)) & (WV_CPU_CACHE - 1)];
	__u32 slot;

	if (c->key == key)
		return c->slot;
	slot = wv_key_slot(key);
	if (slot != WV_SLOT_OTHER) { /* one without a slot may get one yet */
		c->key = key;
		c->slot = slot;
	}
	return slot;
}

static __always_inline void read_counters(struct wv_task_counters *c, struct task_struct *task)
{
	c->sum_exec_ns = WV_READ(task, se.sum_exec_runtime);
	c->run_delay_ns = WV_READ(task, sched_info.run_delay);
	c->minor_faults = WV_READ(task, min_flt);
	c->major_faults = WV_READ(task, maj_flt);
}

/* Adds to the row what the task used since the stint's counters were taken. */
static __always_inline void stint_charge(const struct wv_cpu_state *stint, struct wv_cpu_row *row,
					 const struct wv_task_counters *now)
{
	__u64 minor = now->minor_faults - stint->at.minor_faults;
	__u64 major = now->major_faults - stint->at.major_faults;
	__u64 delay;

	row->usage_ns += now->sum_exec_ns - stint->at.sum_exec_ns;
	if (minor)
		row->minor_faults += minor;
	if (major)
		row->major_faults += major;
	if (stint->delay_counted)
		return;
	delay = now->run_delay_ns - stint->at.run_delay_ns;
	row->run_delay_ns += delay;
	row->runq_latency[wv_hist_bucket(delay)]++;
}

/* state: the task's state as it leaves the CPU; 0 is still runnable, so it was preempted */
static __always_inline void on_switch(bool preempt, struct task_struct *prev,
				      struct task_struct *next, long state)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct wv_cpu_state *stint = bpf_map_lookup_elem(&cpu_states, &cpu);
	struct wv_task_counters now;
	struct wv_cpu_row *row;

	if (!stint)
		return;
	if (stint->task == (__u64)prev) {
		row = wv_row_of_cpu(cpu_rows, stint->slot, cpu);
		if (row) {
			read_counters(&now, prev);
			stint_charge(stint, row, &now);
			if (preempt || !state)
				row->switch_involuntary++;
			else
				row->switch_voluntary++;
		}
	}
	if (!WV_READ(next, pid)) { /* idle: nobody's time */
		stint->task = 0;
		return;
	}
	stint->task = (__u64)next;
	read_counters(&stint->at, next);
	stint->slot = cached_slot(stint, next);
	stint->delay_counted = 0;
}

WV_TP("sched_switch")
int BPF_PROG(cpu_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	if (wv_live())
		on_switch(preempt, prev, next, wv_task_state(prev));
	return 0;
}

WV_TP("sched_migrate_task")
int BPF_PROG(cpu_migrate, struct task_struct *task)
{
	struct wv_cpu_row *row;

	if (!wv_live())
		return 0;
	row = wv_cpu_row(cpu_rows, wv_task_slot(task));
	if (row)
		row->migrations++;
	return 0;
}

/*
 * Run by user space on each CPU before a sample is taken (test run, no hook): charges what the task
 * that runs there used so far, so that one that is never switched out still shows.
 */
SEC("raw_tp")
int cpu_flush(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 cpu = bpf_get_smp_processor_id();
	struct wv_cpu_state *stint = bpf_map_lookup_elem(&cpu_states, &cpu);
	struct wv_task_counters now;
	struct wv_cpu_row *row;

	if (!stint || !wv_live() || stint->task != (__u64)task)
		return 0;
	row = wv_row_of_cpu(cpu_rows, stint->slot, cpu);
	if (!row)
		return 0;
	now.sum_exec_ns = BPF_CORE_READ(task, se.sum_exec_runtime);
	now.run_delay_ns = BPF_CORE_READ(task, sched_info.run_delay);
	now.minor_faults = BPF_CORE_READ(task, min_flt);
	now.major_faults = BPF_CORE_READ(task, maj_flt);
	stint_charge(stint, row, &now);
	stint->at = now;
	stint->delay_counted = 1;
	return 0;
}
