// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory per cgroup: direct reclaim, OOM kills, and the sizes of processes.
 *
 * Hooks: mm_vmscan_{direct,memcg}_reclaim_{begin,end}; mark_victim, or sched_process_exit where
 * mark_victim names the victim by number only; an iterator over tasks that user space runs.
 *
 * Reclaim is charged to the task that had to do it, which is also the one that waited. The
 * outermost reclaim counts: soft limits nest inside a global one. A write that shrinks a limit
 * reclaims too, in the name of the writer.
 */
#include "lib/waveos.bpf.h"
#include "waveos/mem.h"

WV_TABLE(mem_rows, struct wv_mem_row);

/* tasks that are in direct reclaim right now */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct wv_reclaim_start);
} reclaim_starts SEC(".maps");

/* victims already counted: the kernel marks every thread of one that is found dying */
struct oom_victim {
	__u64 start_ns;
	__u64 tgid;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, struct oom_victim);
	__type(value, __u32);
} oom_victims SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wv_mem_walk);
} mem_walk SEC(".maps");

/* user space removes what is not seen any more */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct wv_mem_seen);
} mem_seen SEC(".maps");

const volatile __u64 mem_page_bytes = 4096;

static __always_inline __u64 current_key(void)
{
	return wv_task_key_read((struct task_struct *)bpf_get_current_task());
}

/*
 * Resident pages of a process. Before 6.2 the counters are atomics, which lag behind by what
 * threads keep to themselves (at most 64 pages each). Since then each CPU keeps a part of up to
 * max(32, 2 * CPUs) pages: on a large machine that is more than most processes have, so the parts
 * are summed here. Where a per-CPU part lies is told by any per-CPU variable that BTF knows.
 */
struct mm_rss_stat___old {
	atomic_long_t count[4];
} __attribute__((preserve_access_index));

struct mm_struct___old {
	struct mm_rss_stat___old rss_stat;
} __attribute__((preserve_access_index));

#define MAX_CPUS 4096

/* Never written: it tells how far apart the CPUs' parts of any per-CPU allocation lie. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} mem_cpu_probe SEC(".maps");

/* What to add to a per-CPU pointer of the kernel, by CPU; 0: not known yet. Sized by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} mem_cpu_offsets SEC(".maps");

/* A pointer as a plain number: the verifier allows no arithmetic on the maps' own. */
static __always_inline __u64 number_of(void *pointer)
{
	void *copy = pointer;
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &copy);
	return number;
}

/* Fills mem_cpu_offsets: where the probe map's value is on each CPU, against its per-CPU pointer.
 */
static __always_inline void learn_cpu_offsets(void)
{
	struct bpf_array *probe = (void *)number_of(&mem_cpu_probe);
	__u64 base = (__u64)BPF_CORE_READ(probe, pptrs[0]), there, *offset;
	__u32 zero = 0;

	for (__u32 cpu = 0; base && cpu < MAX_CPUS && cpu < wv_settings.ncpu; cpu++) {
		__u32 key = cpu; /* the counter itself stays in a register */

		there = number_of(bpf_map_lookup_percpu_elem(&mem_cpu_probe, &zero, cpu));
		offset = bpf_map_lookup_elem(&mem_cpu_offsets, &key);
		if (!there || !offset || *offset)
			return;
		*offset = there - base;
	}
}

/* Sum of the CPUs' parts of three counters, given by their per-CPU pointers. */
static __always_inline __s64 per_cpu_parts(__u64 file, __u64 anon, __u64 shmem)
{
	/* one allocation holds all four since 6.6 */
	bool together = anon == file + sizeof(__s32) && shmem == file + 3 * sizeof(__s32);
	__s64 pages = 0;

	for (__u32 cpu = 0; cpu < MAX_CPUS && cpu < wv_settings.ncpu; cpu++) {
		__u32 key = cpu;
		__u64 *offset = bpf_map_lookup_elem(&mem_cpu_offsets, &key);
		__s32 part[4] = {};

		if (!offset || !*offset)
			break;
		if (together) {
			bpf_probe_read_kernel(part, sizeof(part), (void *)(file + *offset));
		} else {
			bpf_probe_read_kernel(&part[0], sizeof(__s32), (void *)(file + *offset));
			bpf_probe_read_kernel(&part[1], sizeof(__s32), (void *)(anon + *offset));
			bpf_probe_read_kernel(&part[3], sizeof(__s32), (void *)(shmem + *offset));
		}
		pages += (__s64)part[0] + part[1] + part[3];
	}
	return pages;
}

static __always_inline bool has_per_cpu_rss(void)
{
	struct mm_struct *mm = NULL;

	return bpf_core_field_exists(mm->rss_stat[0].count);
}

static __always_inline __u64 rss_pages(struct mm_struct *mm)
{
	struct mm_struct___old *old = (void *)mm;
	__s64 pages = 0;

	if (has_per_cpu_rss()) {
		pages = BPF_CORE_READ(mm, rss_stat[MM_FILEPAGES].count) +
			BPF_CORE_READ(mm, rss_stat[MM_ANONPAGES].count) +
			BPF_CORE_READ(mm, rss_stat[MM_SHMEMPAGES].count);
		pages += per_cpu_parts((__u64)BPF_CORE_READ(mm, rss_stat[MM_FILEPAGES].counters),
				       (__u64)BPF_CORE_READ(mm, rss_stat[MM_ANONPAGES].counters),
				       (__u64)BPF_CORE_READ(mm, rss_stat[MM_SHMEMPAGES].counters));
	} else if (bpf_core_field_exists(old->rss_stat.count)) {
		pages = BPF_CORE_READ(old, rss_stat.count[MM_FILEPAGES].counter) +
			BPF_CORE_READ(old, rss_stat.count[MM_ANONPAGES].counter) +
			BPF_CORE_READ(old, rss_stat.count[MM_SHMEMPAGES].counter);
	}
	return pages > 0 ? pages : 0;
}

/* Reclaim --------------------------------------------------------------- */

static __always_inline void reclaim_begin(enum wv_reclaim_kind kind)
{
	struct wv_reclaim_start start = {.mono_ns = bpf_ktime_get_ns(), .kind = kind}, *open;
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	long err;

	open = bpf_map_lookup_elem(&reclaim_starts, &tid);
	/* an entry of the same kind is left over from an end that was not seen */
	if (open && open->kind != kind && start.mono_ns - open->mono_ns < 60000000000ULL)
		return;
	err = bpf_map_update_elem(&reclaim_starts, &tid, &start, BPF_ANY);
	if (err)
		wv_count_place(WV_PLACE_START_INSERT, err);
}

static __always_inline void reclaim_end(enum wv_reclaim_kind kind)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct wv_reclaim_start *open = bpf_map_lookup_elem(&reclaim_starts, &tid);
	struct wv_mem_row *row;
	__u64 ns;

	if (!open || open->kind != kind)
		return;
	ns = bpf_ktime_get_ns() - open->mono_ns;
	bpf_map_delete_elem(&reclaim_starts, &tid);
	row = wv_row(mem_rows, wv_key_slot(current_key()));
	if (!row)
		return;
	wv_add(row->reclaims, 1);
	wv_add(row->reclaim_ns, ns);
	wv_add(row->reclaim_latency[wv_hist_bucket(ns)], 1);
}

/* No argument is used: their number changed from kernel to kernel. */
WV_TP("mm_vmscan_direct_reclaim_begin")
int mem_direct_begin(void *ctx)
{
	if (wv_live())
		reclaim_begin(WV_RECLAIM_GLOBAL);
	return 0;
}

WV_TP("mm_vmscan_direct_reclaim_end")
int mem_direct_end(void *ctx)
{
	if (wv_live())
		reclaim_end(WV_RECLAIM_GLOBAL);
	return 0;
}

WV_TP("mm_vmscan_memcg_reclaim_begin")
int mem_memcg_begin(void *ctx)
{
	if (wv_live())
		reclaim_begin(WV_RECLAIM_MEMCG);
	return 0;
}

WV_TP("mm_vmscan_memcg_reclaim_end")
int mem_memcg_end(void *ctx)
{
	if (wv_live())
		reclaim_end(WV_RECLAIM_MEMCG);
	return 0;
}

/* OOM kills ------------------------------------------------------------- */

static __always_inline void count_oom_kill(struct task_struct *task)
{
	struct wv_mem_row *row = wv_row(mem_rows, wv_task_slot(task));

	if (row)
		wv_add(row->oom_kills, 1);
}

WV_TP("mark_victim")
int BPF_PROG(mem_oom_mark, struct task_struct *task)
{
	struct oom_victim victim = {
		.start_ns = BPF_CORE_READ(task, group_leader, start_time),
		.tgid = BPF_CORE_READ(task, tgid),
	};
	struct wv_event_oom *ev;
	struct mm_struct *mm;
	__u32 one = 1;

	if (!wv_live())
		return 0;
	if (bpf_map_lookup_elem(&oom_victims, &victim))
		return 0;
	bpf_map_update_elem(&oom_victims, &victim, &one, BPF_ANY);
	count_oom_kill(task);
	ev = wv_event_reserve(WV_EV_OOM_KILL, sizeof(*ev));
	if (!ev)
		return 0;
	wv_event_subject(&ev->h, task);
	mm = BPF_CORE_READ(task, mm);
	ev->rss_bytes = rss_pages(mm) * mem_page_bytes;
	ev->total_vm_bytes = BPF_CORE_READ(mm, total_vm) * mem_page_bytes;
	ev->trigger_key = current_key();
	ev->trigger_pid = bpf_get_current_pid_tgid() >> 32;
	ev->oom_score_adj = BPF_CORE_READ(task, signal, oom_score_adj);
	ev->flags = 0;
	ev->pad = 0;
	wv_event_submit(ev);
	return 0;
}

/*
 * Where mark_victim gives a number instead of a task: a process that was chosen carries oom_mm
 * until its last thread ends. Its memory is being torn down by then, so the size is the peak that
 * the kernel keeps.
 */
WV_TP("sched_process_exit")
int BPF_PROG(mem_oom_exit, struct task_struct *task)
{
	struct wv_event_oom *ev;
	struct mm_struct *mm;

	if (!wv_live())
		return 0;
	mm = WV_READ2(task, signal, oom_mm);
	if (!mm || BPF_CORE_READ(task, signal, live.counter))
		return 0;
	count_oom_kill(task);
	ev = wv_event_reserve(WV_EV_OOM_KILL, sizeof(*ev));
	if (!ev)
		return 0;
	wv_event_subject(&ev->h, task);
	ev->rss_bytes = BPF_CORE_READ(task, signal, maxrss) * mem_page_bytes;
	ev->total_vm_bytes = BPF_CORE_READ(mm, total_vm) * mem_page_bytes;
	ev->trigger_key = 0;
	ev->trigger_pid = 0;
	ev->oom_score_adj = BPF_CORE_READ(task, signal, oom_score_adj);
	ev->flags = WV_OOM_AT_EXIT;
	ev->pad = 0;
	wv_event_submit(ev);
	return 0;
}

/* Sizes of processes ---------------------------------------------------- */

#define PF_KTHREAD 0x00200000

/* mm->owner is there with CONFIG_MEMCG only. A child of vfork() shares its parent's: counted once.
 */
static __always_inline bool borrowed(struct mm_struct *mm, __u32 tgid)
{
	struct task_struct *owner = NULL;

	if (bpf_core_field_exists(mm->owner))
		owner = BPF_CORE_READ(mm, owner);
	return owner && BPF_CORE_READ(owner, tgid) != (pid_t)tgid;
}

/* Pages by which a process grew since the last walk; 0 where it is seen for the first time. */
static __always_inline __u64 grown_pages(struct task_struct *task, struct mm_struct *mm, __u32 tgid,
					 __u64 pages, __u64 walk)
{
	struct wv_mem_seen now = {
		.start_ns = task->start_time,
		.mm = (__u64)mm,
		.data_pages = pages,
		.walk = walk,
	};
	struct wv_mem_seen *seen = bpf_map_lookup_elem(&mem_seen, &tgid);
	__u64 grown = 0;
	long err;

	if (seen) {
		if (seen->start_ns == now.start_ns && seen->mm == now.mm &&
		    pages > seen->data_pages)
			grown = pages - seen->data_pages;
		*seen = now;
		return grown;
	}
	err = bpf_map_update_elem(&mem_seen, &tgid, &now, BPF_ANY);
	if (err)
		wv_count_place(WV_PLACE_TASK_STATE, err);
	return 0;
}

static __always_inline void add_process(struct task_struct *task, struct wv_mem_walk *walk)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	__u64 rss, brk, data, start_brk, grown;
	__u32 tgid = task->tgid;
	struct wv_mem_row *row;

	if (!mm || (task->flags & PF_KTHREAD) || borrowed(mm, tgid))
		return;
	rss = rss_pages(mm);
	brk = BPF_CORE_READ(mm, brk);
	start_brk = BPF_CORE_READ(mm, start_brk);
	data = BPF_CORE_READ(mm, data_vm);
	if (BPF_CORE_READ(task, mm) != mm) /* it ended or changed program meanwhile */
		return;
	walk->processes++;
	row = wv_row(mem_rows, wv_task_slot(task));
	if (!row)
		return;
	if (row->walk != walk->walk) {
		row->walk = walk->walk;
		row->rss_bytes = 0;
		row->brk_bytes = 0;
		row->data_bytes = 0;
	}
	row->rss_bytes += rss * mem_page_bytes;
	if (brk > start_brk)
		row->brk_bytes += brk - start_brk;
	row->data_bytes += data * mem_page_bytes;
	grown = grown_pages(task, mm, tgid, data, walk->walk);
	if (grown)
		row->growth_bytes += grown * mem_page_bytes;
}

SEC("iter/task")
int mem_iter(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u64 session = ctx->meta->session_id;
	struct wv_mem_walk *walk;
	__u32 zero = 0;

	if (!wv_live())
		return 0;
	walk = bpf_map_lookup_elem(&mem_walk, &zero);
	if (!walk)
		return 0;
	if (walk->session != session) {
		walk->session = session;
		walk->walk++;
		walk->tasks = 0;
		walk->processes = 0;
		if (has_per_cpu_rss())
			learn_cpu_offsets();
	}
	if (!task) {
		walk->done = walk->walk;
		return 0;
	}
	walk->tasks++;
	if (task->pid == task->tgid)
		add_process(task, walk);
	return 0;
}
